//! How far a container's output has been shipped, and what was given up. Pure.

use serde::{Deserialize, Serialize};

/// Written beside the output after every step, so that a new agent goes on where the old one stopped.
///
/// ```text
///  0 ───────── done ─────────── gap.from ─────────── gap.to ────────── end of file
///    shipped         in flight             given up            waits
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// All before it is stored.
    pub done: u64,
    /// What was given up behind what was in flight at that time.
    pub gap: Option<Gap>,
    /// Events given up and not told of yet.
    pub lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
}

impl Progress {
    /// All before `end` is stored, and what was given up behind it with it.
    pub fn settle(&mut self, end: u64) {
        self.done = self.done.max(end);
        if let Some(gap) = self.gap.filter(|gap| gap.from <= self.done) {
            self.done = self.done.max(gap.to);
            self.gap = None;
        }
    }

    /// Gives up what lies between `from`, the end of what is in flight, and `to`.
    pub fn skip(&mut self, from: u64, to: u64, events: u64) {
        let from = self.gap.map_or(from, |gap| gap.from.min(from));
        self.gap = Some(Gap { from, to });
        self.lost += events;
        self.settle(self.done);
    }

    /// How far reading may go on from `position`, when a gap lies ahead of it.
    pub fn readable_to(&self, position: u64) -> Option<u64> {
        self.gap.map(|gap| gap.from).filter(|from| *from > position)
    }

    /// Where reading goes on from `position`: behind the gap when it has come to it.
    pub fn over_gap(&self, position: u64) -> u64 {
        match self.gap {
            Some(gap) if (gap.from..gap.to).contains(&position) => gap.to,
            _ => position,
        }
    }
}

/// What is said in the place of events that were given up.
pub fn notice(lost: u64) -> Option<String> {
    let events = if lost == 1 { "event was" } else { "events were" };
    (lost > 0).then(|| format!("[{lost} log {events} lost: more was waiting than the buffer of this container holds]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_behind_what_is_in_flight_closes_when_that_is_stored() {
        let mut progress = Progress::default();
        progress.settle(100);
        progress.skip(150, 400, 7);
        progress.skip(150, 500, 3);
        assert_eq!(progress, Progress { done: 100, gap: Some(Gap { from: 150, to: 500 }), lost: 10 });
        // A new agent reads what was in flight again, then jumps.
        assert_eq!(progress.readable_to(100), Some(150));
        assert_eq!([100, 149, 150, 499, 500].map(|at| progress.over_gap(at)), [100, 149, 500, 500, 500]);
        progress.settle(150);
        assert_eq!(progress, Progress { done: 500, gap: None, lost: 10 });
    }

    #[test]
    fn a_gap_with_nothing_in_flight_is_done_at_once() {
        let mut progress = Progress { done: 100, gap: None, lost: 0 };
        progress.skip(100, 400, 1);
        assert_eq!(progress, Progress { done: 400, gap: None, lost: 1 });
        progress.settle(50);
        assert_eq!(progress.done, 400);
    }

    #[test]
    fn losses_are_told_in_words() {
        assert_eq!(notice(0), None);
        assert!(notice(1).unwrap().starts_with("[1 log event was lost"));
        assert!(notice(2).unwrap().starts_with("[2 log events were lost"));
    }
}
