//! Remembers how long a file was at which time, so that lines which are read late keep the time at which they were
//! written. Pure.

use std::collections::VecDeque;

use model::Timestamp;

/// Beyond this many, every other mark is forgotten: times become coarser, never wrong in order.
const MARKS_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Length and time, both rising.
    marks: VecDeque<(u64, Timestamp)>,
}

impl Marks {
    /// The file is `length` bytes long now.
    pub fn note(&mut self, length: u64, now: Timestamp) {
        if self.marks.back().is_some_and(|(last, _)| *last >= length) {
            return;
        }
        if self.marks.len() == MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                !keep
            });
        }
        self.marks.push_back((length, now));
    }

    /// When what ends at `offset` had been written at the latest. Asked in rising order: what was asked for before is
    /// forgotten. `None`: not noted yet.
    pub fn written(&mut self, offset: u64) -> Option<Timestamp> {
        while self.marks.front().is_some_and(|(length, _)| *length < offset) {
            self.marks.pop_front();
        }
        self.marks.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_time_of_the_first_look_that_saw_them() {
        let mut marks = Marks::default();
        for (length, at) in [(10, 1), (10, 2), (30, 3)] {
            marks.note(length, Timestamp(at));
        }
        let written = [5, 10, 11, 30, 31].map(|offset| marks.written(offset).map(|at| at.0));
        assert_eq!(written, [Some(1), Some(1), Some(3), Some(3), None]);
    }

    #[test]
    fn too_many_marks_become_coarser_and_later() {
        let mut marks = Marks::default();
        let count = 3 * MARKS_MAX as u64;
        for n in 1..=count {
            marks.note(n, Timestamp(n as i64));
        }
        assert!(marks.marks.len() <= MARKS_MAX);
        let mut last = 0;
        for n in 1..=count {
            let at = marks.written(n).unwrap().0;
            assert!(at >= n as i64 && at >= last && at <= n as i64 + 64, "{n}: {at}");
            last = at;
        }
    }
}
