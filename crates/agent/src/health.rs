//! The health of one container, judged from the results of its check command (ecs-semantics §2.5, with docker's
//! timing: the first check comes one interval after the start, each next one an interval after the last has ended).
//!
//! ```text
//!            success                    `retries` failures in a row
//! UNKNOWN ───────────→ HEALTHY ⇄ UNHEALTHY ←─────────────────────── UNKNOWN
//! ```
//! Until the first success, failures within the start period do not count. The first success ends the start period.

use std::time::Duration;

use model::task_definition::HealthCheck;
use model::{HealthStatus, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    /// Counted failures since the last success.
    failures: u32,
    /// A check has succeeded since the container started.
    succeeded: bool,
    /// When the next check is due; lost with the agent, so that an adopted container starts with a whole interval.
    #[serde(skip)]
    due: Option<Timestamp>,
}

impl Health {
    /// When the next check is to begin; `None` while the container does not run or a check is under way.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub fn schedule(&mut self, check: &HealthCheck, now: Timestamp) {
        self.due = Some(now.plus(Duration::from_secs(check.interval.into())));
    }

    pub fn unschedule(&mut self) {
        self.due = None;
    }

    /// Folds in the result of a check that has just ended. `started_at` is the container's.
    pub fn record(&mut self, check: &HealthCheck, success: bool, started_at: Timestamp, now: Timestamp) {
        if success {
            *self = Self { status: HealthStatus::Healthy, failures: 0, succeeded: true, due: self.due };
            return;
        }
        let start_period = Duration::from_secs(check.start_period.unwrap_or(0).into());
        if !self.succeeded && now.since(started_at) < start_period {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= check.retries {
            self.status = HealthStatus::Unhealthy;
        }
    }
}

/// The command to run, as the runtime takes it. A list that starts with neither `CMD` nor `CMD-SHELL` is taken as it
/// is, as docker does; `None` when there is nothing to run.
pub fn command_of(check: &HealthCheck) -> Option<Vec<String>> {
    let (form, rest) = check.command.split_first()?;
    match form.as_str() {
        "CMD" if !rest.is_empty() => Some(rest.to_vec()),
        "CMD-SHELL" if !rest.is_empty() => Some(vec!["/bin/sh".into(), "-c".into(), rest.join(" ")]),
        "CMD" | "CMD-SHELL" | "NONE" => None,
        _ => Some(check.command.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HealthStatus::{Healthy, Unhealthy, Unknown};

    /// Checks that end at the given seconds after the start, and the status after each.
    fn check(start_period: Option<u32>, results: &[(i64, bool, HealthStatus)]) {
        let check =
            HealthCheck { command: vec!["CMD".into(), "x".into()], interval: 10, timeout: 5, retries: 3, start_period };
        let mut health = Health::default();
        for (second, success, expected) in results {
            health.record(&check, *success, Timestamp(0), Timestamp(second * 1000));
            assert_eq!(health.status, *expected, "after the check at {second} s of {results:?}");
        }
    }

    #[test]
    fn first_success_is_healthy() {
        check(None, &[(10, true, Healthy)]);
        check(Some(60), &[(10, true, Healthy)]);
    }

    #[test]
    fn retries_failures_in_a_row_are_unhealthy() {
        check(None, &[(10, false, Unknown), (20, false, Unknown), (30, false, Unhealthy)]);
        check(None, &[(10, false, Unknown), (20, true, Healthy), (30, false, Healthy), (40, false, Healthy)]);
        check(None, &[(10, true, Healthy), (20, false, Healthy), (30, false, Healthy), (40, false, Unhealthy)]);
    }

    #[test]
    fn success_heals() {
        check(None, &[(1, false, Unknown), (2, false, Unknown), (3, false, Unhealthy), (4, true, Healthy)]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        check(
            Some(25),
            &[
                (10, false, Unknown),
                (20, false, Unknown),
                (30, false, Unknown),
                (40, false, Unknown),
                (50, false, Unhealthy),
            ],
        );
    }

    #[test]
    fn success_ends_the_start_period() {
        check(Some(300), &[(10, true, Healthy), (20, false, Healthy), (30, false, Healthy), (40, false, Unhealthy)]);
    }

    #[test]
    fn command_forms() {
        let command = |words: &[&str]| {
            let command = words.iter().map(|word| (*word).to_owned()).collect();
            command_of(&HealthCheck { command, interval: 30, timeout: 5, retries: 3, start_period: None })
        };
        assert_eq!(command(&["CMD", "curl", "-f"]), Some(vec!["curl".into(), "-f".into()]));
        assert_eq!(command(&["CMD-SHELL", "a || b"]), Some(vec!["/bin/sh".into(), "-c".into(), "a || b".into()]));
        assert_eq!(command(&["curl", "-f"]), Some(vec!["curl".into(), "-f".into()]));
        assert_eq!(command(&["CMD"]), None);
        assert_eq!(command(&["NONE"]), None);
        assert_eq!(command(&[]), None);
    }
}
