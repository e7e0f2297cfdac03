//! The health of one target of one group, judged from the results of its checks as ELBv2 judges it.
//!
//! ```text
//!              first success                   `unhealthy_threshold` failures in a row
//! initial ───────────────────▶ healthy ⇄ unhealthy ◀──────────────────────────────── initial
//!                                  `healthy_threshold` successes in a row
//! ```
//! A target that does not listen yet is asked again soon, so that it takes traffic as soon as it can. Such checks cost
//! it nothing, and count as failures only once per interval.

use std::time::Duration;

use model::Timestamp;
use model::edge::{HealthCheckSpec, Matcher, TargetReason, TargetState};

/// Between checks of a new target that refuses connections.
const REFUSED_INTERVAL: Duration = Duration::from_millis(100);
/// Between checks of a new target that answers, but not yet as a healthy one.
const INITIAL_INTERVAL: Duration = Duration::from_secs(1);

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// Answered with a code that the matcher has not.
    WrongCode(u16),
    TimedOut,
    /// No connection came about.
    Refused,
    /// What answered does not speak the protocol, or hung up.
    Broken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub state: TargetState,
    /// Of the last check that failed.
    failure: Option<Outcome>,
    /// In a row, of the kind that could change the state.
    run: u32,
    counted_at: Option<Timestamp>,
}

impl Default for Health {
    fn default() -> Self {
        Self { state: TargetState::Initial, failure: None, run: 0, counted_at: None }
    }
}

impl Health {
    /// Folds in a check that has just ended.
    pub fn record(&mut self, check: &HealthCheckSpec, outcome: Outcome, now: Timestamp) {
        let passed = outcome == Outcome::Passed;
        if !passed {
            self.failure = Some(outcome);
        }
        if self.state == TargetState::Initial && !passed && !self.counts(check, now) {
            return;
        }
        self.counted_at = Some(now);
        match (self.state, passed) {
            (TargetState::Initial, true) => self.turn(TargetState::Healthy),
            (TargetState::Unhealthy, true) => self.towards(TargetState::Healthy, check.healthy_threshold),
            (TargetState::Unhealthy, false) | (_, true) => self.run = 0,
            (_, false) => self.towards(TargetState::Unhealthy, check.unhealthy_threshold),
        }
    }

    fn counts(&self, check: &HealthCheckSpec, now: Timestamp) -> bool {
        self.counted_at.is_none_or(|counted| now.since(counted) >= interval(check))
    }

    fn towards(&mut self, state: TargetState, threshold: u32) {
        self.run += 1;
        if self.run >= threshold {
            self.turn(state);
        }
    }

    fn turn(&mut self, state: TargetState) {
        self.state = state;
        self.run = 0;
    }

    /// How long after the end of a check the next one begins.
    pub fn pause(&self, check: &HealthCheckSpec) -> Duration {
        let interval = interval(check);
        match (self.state, &self.failure) {
            (TargetState::Initial, Some(Outcome::Refused)) => REFUSED_INTERVAL.min(interval),
            (TargetState::Initial, Some(_)) => INITIAL_INTERVAL.min(interval),
            _ => interval,
        }
    }

    /// Reason and description as DescribeTargetHealth gives them.
    pub fn explain(&self) -> (Option<TargetReason>, String) {
        match (self.state, &self.failure) {
            (TargetState::Unhealthy, Some(failure)) => {
                let (reason, text) = explain_failure(failure);
                (Some(reason), text)
            }
            (TargetState::Initial, None) => explain(TargetReason::RegistrationInProgress),
            (TargetState::Initial, Some(_)) => explain(TargetReason::InitialHealthChecking),
            _ => (None, String::new()),
        }
    }
}

/// A reason whose description is always the same.
pub fn explain(reason: TargetReason) -> (Option<TargetReason>, String) {
    let text = match reason {
        TargetReason::RegistrationInProgress => "Target registration is in progress",
        TargetReason::InitialHealthChecking => "Initial health checks in progress",
        TargetReason::ResponseCodeMismatch | TargetReason::FailedHealthChecks => "Health checks failed",
        TargetReason::Timeout => "Request timed out",
        TargetReason::NotInUse => "Target group is not configured to receive traffic from the load balancer",
        TargetReason::DeregistrationInProgress => "Target deregistration is in progress",
    };
    (Some(reason), text.to_owned())
}

fn explain_failure(failure: &Outcome) -> (TargetReason, String) {
    match failure {
        Outcome::WrongCode(code) => {
            (TargetReason::ResponseCodeMismatch, format!("Health checks failed with these codes: [{code}]"))
        }
        Outcome::TimedOut => (TargetReason::Timeout, "Request timed out".to_owned()),
        Outcome::Passed | Outcome::Refused | Outcome::Broken => {
            (TargetReason::FailedHealthChecks, "Health checks failed".to_owned())
        }
    }
}

fn interval(check: &HealthCheckSpec) -> Duration {
    Duration::from_secs(check.interval_seconds.max(1).into())
}

pub fn fits(matcher: &Matcher, code: u16) -> bool {
    let (Matcher::HttpCode(ranges) | Matcher::GrpcCode(ranges)) = matcher;
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Broken, Passed, Refused, TimedOut, WrongCode};
    use TargetState::{Healthy, Initial, Unhealthy};

    fn spec() -> HealthCheckSpec {
        HealthCheckSpec {
            protocol: model::edge::CheckProtocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 3,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(vec![(200, 200)]),
        }
    }

    /// Checks that end at the given seconds, and the state after each.
    #[track_caller]
    fn check(results: &[(i64, Outcome, TargetState)]) -> Health {
        let mut health = Health::default();
        for (second, outcome, expected) in results {
            health.record(&spec(), outcome.clone(), Timestamp(second * 1000));
            assert_eq!(health.state, *expected, "after the check at {second} s of {results:?}");
        }
        health
    }

    #[test]
    fn first_success_is_healthy() {
        check(&[(0, Passed, Healthy)]);
        check(&[(0, Refused, Initial), (1, Passed, Healthy)]);
    }

    #[test]
    fn failures_in_a_row_are_unhealthy() {
        check(&[(0, Passed, Healthy), (30, TimedOut, Healthy), (60, TimedOut, Unhealthy)]);
        check(&[(0, Passed, Healthy), (30, TimedOut, Healthy), (60, Passed, Healthy), (90, TimedOut, Healthy)]);
        check(&[(0, Broken, Initial), (30, Broken, Unhealthy)]);
    }

    #[test]
    fn successes_in_a_row_heal() {
        let sick = [(0, Broken, Initial), (30, Broken, Unhealthy)];
        let heals = [(60, Passed, Unhealthy), (90, Passed, Unhealthy), (120, Passed, Healthy)];
        check(&[&sick[..], &heals].concat());
        let relapses = [(60, Passed, Unhealthy), (90, Broken, Unhealthy), (120, Passed, Unhealthy)];
        check(&[&sick[..], &relapses, &[(150, Passed, Unhealthy), (180, Passed, Healthy)]].concat());
    }

    #[test]
    fn soon_repeated_checks_of_a_new_target_count_once_an_interval() {
        let early: Vec<_> = (0..30).map(|second| (second, Refused, Initial)).collect();
        check(&[&early[..], &[(30, Refused, Unhealthy)]].concat());
    }

    #[test]
    fn pauses() {
        let pause = |results: &[(i64, Outcome, TargetState)]| check(results).pause(&spec());
        assert_eq!(pause(&[(0, Refused, Initial)]), REFUSED_INTERVAL);
        assert_eq!(pause(&[(0, WrongCode(503), Initial)]), INITIAL_INTERVAL);
        assert_eq!(pause(&[(0, Passed, Healthy)]), Duration::from_secs(30));
        assert_eq!(pause(&[(0, Refused, Initial), (30, Refused, Unhealthy)]), Duration::from_secs(30));
    }

    #[test]
    fn explanations() {
        let check = |results: &[(i64, Outcome, TargetState)], expected: Option<(&str, &str)>| {
            let (reason, text) = check(results).explain();
            assert_eq!(reason.map(|reason| (reason.as_str(), text.as_str())), expected, "{results:?}");
        };
        let sick = |outcome: Outcome| [(0, outcome.clone(), Initial), (30, outcome, Unhealthy)];
        check(&[], Some(("Elb.RegistrationInProgress", "Target registration is in progress")));
        check(&[(0, Refused, Initial)], Some(("Elb.InitialHealthChecking", "Initial health checks in progress")));
        check(&[(0, Passed, Healthy)], None);
        check(&[(0, Passed, Healthy), (30, Broken, Healthy)], None);
        let codes = "Health checks failed with these codes: [503]";
        check(&sick(WrongCode(503)), Some(("Target.ResponseCodeMismatch", codes)));
        check(&sick(TimedOut), Some(("Target.Timeout", "Request timed out")));
        check(&sick(Refused), Some(("Target.FailedHealthChecks", "Health checks failed")));
    }

    #[test]
    fn matchers() {
        let codes = Matcher::HttpCode(vec![(200, 299), (302, 302)]);
        for (code, expected) in [(199, false), (200, true), (299, true), (300, false), (302, true)] {
            assert_eq!(fits(&codes, code), expected, "{code}");
        }
    }
}
