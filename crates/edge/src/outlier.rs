//! Whether a target of Service Connect is avoided for a while, because connections to it fail. Pure.
//!
//! ```text
//! trusted ──[`FAILURES`] within [`WINDOW`]──▶ avoided: [`AVOIDED_MIN`], longer each time, up to [`AVOIDED_MAX`]
//!    ▲                                           │
//!    └────────────────── over ───────────────────┘
//! ```
//! How long depends on how often it was avoided before; each `WINDOW` without is one time less.

use std::collections::VecDeque;
use std::time::Duration;

use model::Timestamp;

pub const FAILURES: usize = 5;
pub const WINDOW: Duration = Duration::from_secs(30);
pub const AVOIDED_MIN: Duration = Duration::from_secs(30);
pub const AVOIDED_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Default)]
pub struct Outlier {
    /// The newest ones, oldest first.
    failures: VecDeque<Timestamp>,
    times: u32,
    until: Option<Timestamp>,
}

impl Outlier {
    /// A connection has failed. Answers until when the target is avoided, when this is what makes it so.
    pub fn fail(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.until.is_some_and(|until| now < until) {
            return None;
        }
        while self.failures.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        if self.failures.len() < FAILURES {
            return None;
        }
        self.failures.clear();
        let quiet = self.until.map_or(Duration::ZERO, |until| now.since(until));
        let forgiven = u32::try_from(quiet.as_secs() / WINDOW.as_secs()).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(forgiven) + 1;
        let until = now.plus(AVOIDED_MIN.saturating_mul(self.times).min(AVOIDED_MAX));
        self.until = Some(until);
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at these seconds; answers when the target was avoided, and until when.
    fn avoided(failures: &[i64]) -> Vec<(i64, i64)> {
        let mut outlier = Outlier::default();
        let fail = |at: &i64| outlier.fail(Timestamp(at * 1000)).map(|until| (*at, until.as_millis() / 1000));
        failures.iter().filter_map(fail).collect()
    }

    #[test]
    fn five_failures_within_thirty_seconds() {
        assert_eq!(avoided(&[0, 1, 2, 3]), []);
        assert_eq!(avoided(&[0, 1, 2, 3, 4]), [(4, 34)]);
        assert_eq!(avoided(&[0, 1, 2, 3, 29]), [(29, 59)]);
        assert_eq!(avoided(&[0, 1, 2, 3, 30]), []);
        assert_eq!(avoided(&[0, 1, 2, 3, 30, 30]), [(30, 60)]);
    }

    #[test]
    fn what_fails_while_it_is_avoided_counts_for_nothing() {
        assert_eq!(avoided(&[0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 29, 30, 31, 32, 33]), [(0, 30)]);
    }

    #[test]
    fn longer_each_time_up_to_five_minutes() {
        let mut at = 0;
        let mut lengths = Vec::new();
        let mut outlier = Outlier::default();
        for _ in 0..12 {
            let last = (0..5).filter_map(|_| outlier.fail(Timestamp(at * 1000))).last();
            let until = last.expect("five failures").as_millis() / 1000;
            lengths.push(until - at);
            at = until;
        }
        assert_eq!(lengths, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    }

    #[test]
    fn quiet_times_are_forgiven() {
        let twice = [0, 0, 0, 0, 0, 30, 30, 30, 30, 30];
        // Until 90; then ninety seconds without a failure are three times less.
        let after = [twice.as_slice(), &[180; 5]].concat();
        assert_eq!(avoided(&after), [(0, 30), (30, 90), (180, 210)]);
    }
}
