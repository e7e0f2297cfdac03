//! From bytes to batches: lines, joined into events where a pattern says so, gathered within the bounds of
//! PutLogEvents. Pure.
//!
//! Invariants
//! - Events come out in the order of their lines, with times that never go back.
//! - A batch's `end` is the offset up to which everything has come out: with what came before it, and nothing after.
//! - What is held is bounded: at most one batch and what one `push` adds to it.

use std::collections::VecDeque;
use std::time::Duration;

use model::Timestamp;
use regex::Regex;

use super::line::{EVENT_BYTES_MAX, Line, Lines};

/// PutLogEvents: the sum of the messages and [`EVENT_OVERHEAD`] for each.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// PutLogEvents.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// What CloudWatch Logs counts for an event beside its message.
const EVENT_OVERHEAD: usize = 26;
/// An event of several lines ends when no line has come for so long, as no line may ever come.
pub const EVENT_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    at: Timestamp,
    text: String,
    /// Offset after it; for all but the last part of one that was too long, the offset before it.
    end: u64,
}

/// Ready to be shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Time in milliseconds and message.
    pub events: Vec<(i64, String)>,
    pub end: u64,
}

#[derive(Debug)]
pub struct Assembly {
    lines: Lines,
    pattern: Option<Regex>,
    /// The event that further lines may join, and when its newest line was written.
    open: Option<(Event, Timestamp)>,
    ready: VecDeque<Event>,
    ready_bytes: usize,
    last_at: Timestamp,
}

impl Assembly {
    /// From the given offset of the stream on.
    pub fn new(offset: u64, pattern: Option<Regex>) -> Self {
        Self {
            lines: Lines::new(offset),
            pattern,
            open: None,
            ready: VecDeque::new(),
            ready_bytes: 0,
            last_at: Timestamp::default(),
        }
    }

    /// Takes the next bytes; `written` answers when what ends at an offset was written.
    pub fn push(&mut self, bytes: &[u8], mut written: impl FnMut(u64) -> Timestamp) {
        for line in self.lines.push(bytes) {
            let at = written(line.end);
            self.take_line(line, at);
        }
    }

    /// Nothing will follow: what is unfinished is finished.
    pub fn finish(&mut self, now: Timestamp) {
        if let Some(line) = self.lines.finish() {
            self.take_line(line, now);
        }
        self.close();
    }

    /// Ends an event that has waited long enough for further lines.
    pub fn tick(&mut self, now: Timestamp) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    /// When [`tick`](Self::tick) will have something to do.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|(_, newest)| newest.plus(EVENT_WAIT))
    }

    /// There is enough for a batch: no more should be pushed.
    pub fn is_full(&self) -> bool {
        self.ready_bytes >= BATCH_BYTES_MAX || self.ready.len() >= BATCH_EVENTS_MAX
    }

    pub fn has_batch(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The offset up to which all has come out and was taken; lines that make no event count as taken.
    pub fn settled(&self) -> Option<u64> {
        (self.ready.is_empty() && self.open.is_none()).then(|| self.lines.settled())
    }

    /// The oldest events, as many as one batch may have; `None` when there is none. `notice` goes before them.
    pub fn take(&mut self, notice: Option<String>) -> Option<Batch> {
        let first = self.ready.front()?;
        let mut batch = Batch { events: Vec::new(), end: first.end };
        let mut bytes = 0;
        if let Some(notice) = notice {
            bytes += notice.len() + EVENT_OVERHEAD;
            batch.events.push((first.at.as_millis(), notice));
        }
        while let Some(event) = self.ready.front() {
            let size = event.text.len() + EVENT_OVERHEAD;
            if bytes + size > BATCH_BYTES_MAX || batch.events.len() == BATCH_EVENTS_MAX {
                break;
            }
            bytes += size;
            self.ready_bytes -= size;
            batch.end = event.end;
            let event = self.ready.pop_front().expect("looked at");
            batch.events.push((event.at.as_millis(), event.text));
        }
        batch.end = self.settled().unwrap_or(batch.end);
        Some(batch)
    }

    /// Goes on at a later offset: what is unfinished is a line.
    pub fn jump(&mut self, offset: u64, now: Timestamp) {
        if let Some(line) = self.lines.finish() {
            self.take_line(line, now);
        }
        self.lines = Lines::new(offset);
    }

    /// Throws away all that was pushed and not taken, to go on at another offset. Answers how many events that were,
    /// without the line that was unfinished.
    pub fn restart(&mut self, offset: u64) -> u64 {
        let lost = self.ready.len() as u64 + u64::from(self.open.is_some());
        self.lines = Lines::new(offset);
        self.open = None;
        self.ready.clear();
        self.ready_bytes = 0;
        lost
    }

    fn take_line(&mut self, line: Line, at: Timestamp) {
        let at = at.max(self.last_at);
        self.last_at = at;
        let text = match String::from_utf8(line.bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let Some(pattern) = &self.pattern else { return self.ready_event(Event { at, text, end: line.end }) };
        let late = self.open.as_ref().is_some_and(|(_, newest)| at.since(*newest) > EVENT_WAIT);
        let begins = late || pattern.is_match(&text);
        match &mut self.open {
            Some((event, newest)) if !begins && event.text.len() + 1 + text.len() <= EVENT_BYTES_MAX => {
                event.text.push('\n');
                event.text.push_str(&text);
                event.end = line.end;
                *newest = at;
            }
            _ => {
                self.close();
                self.open = Some((Event { at, text, end: line.end }, at));
            }
        }
    }

    fn close(&mut self) {
        if let Some((event, _)) = self.open.take() {
            self.ready_event(event);
        }
    }

    /// An empty message is none to CloudWatch Logs. One that replacement characters made too long goes in parts.
    fn ready_event(&mut self, event: Event) {
        let mut rest = &event.text[..];
        while rest.len() > EVENT_BYTES_MAX {
            let (part, tail) = rest.split_at(rest.floor_char_boundary(EVENT_BYTES_MAX));
            let before = self.ready.back().map_or(0, |last| last.end);
            self.queue(Event { at: event.at, text: part.to_owned(), end: before });
            rest = tail;
        }
        if !rest.is_empty() {
            let text = rest.to_owned();
            self.queue(Event { text, ..event });
        }
    }

    fn queue(&mut self, event: Event) {
        self.ready_bytes += event.text.len() + EVENT_OVERHEAD;
        self.ready.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1000);

    fn assembly(pattern: Option<&str>) -> Assembly {
        Assembly::new(0, pattern.map(|pattern| Regex::new(pattern).unwrap()))
    }

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|(_, text)| &text[..]).collect()
    }

    #[test]
    fn every_line_is_an_event_and_empty_ones_are_none() {
        let mut assembly = assembly(None);
        assembly.push(b"a\n\nb\n\nrest", |_| NOW);
        let batch = assembly.take(None).unwrap();
        assert_eq!((texts(&batch), batch.end), (vec!["a", "b"], 6));
        assert_eq!((assembly.take(None), assembly.settled()), (None, Some(6)));
        assembly.finish(NOW);
        let batch = assembly.take(Some("lost".into())).unwrap();
        assert_eq!((texts(&batch), batch.end), (vec!["lost", "rest"], 10));
    }

    #[test]
    fn lines_join_the_event_that_a_match_began() {
        let mut assembly = assembly(Some("^[A-Z]"));
        assembly.push(b"  before\nError\n  at x\n\n  at y\nNext\n", |_| NOW);
        assert_eq!(texts(&assembly.take(None).unwrap()), ["  before", "Error\n  at x\n\n  at y"]);
        // The last one is open until no line has come for long.
        assert_eq!((assembly.take(None), assembly.settled()), (None, None));
        assert_eq!(assembly.deadline(), Some(NOW.plus(EVENT_WAIT)));
        assembly.tick(NOW.plus(EVENT_WAIT / 2));
        assert!(!assembly.has_batch());
        assembly.tick(NOW.plus(EVENT_WAIT));
        assert_eq!(texts(&assembly.take(None).unwrap()), ["Next"]);
        assert_eq!(assembly.deadline(), None);
    }

    #[test]
    fn lines_written_long_after_one_another_do_not_join_however_late_they_are_read() {
        let mut assembly = assembly(Some("^[A-Z]"));
        assembly.push(b"A\n x\n y\n", |end| Timestamp(if end > 5 { 20_000 } else { 1000 }));
        assembly.finish(NOW);
        let batch = assembly.take(None).unwrap();
        assert_eq!(batch.events, [(1000, "A\n x".to_owned()), (20_000, " y".to_owned())]);
    }

    #[test]
    fn an_event_of_many_lines_ends_at_the_bound() {
        let mut assembly = assembly(Some("^[A-Z]"));
        let line = format!(" {}\n", "x".repeat(1000));
        for _ in 0..600 {
            assembly.push(line.as_bytes(), |_| NOW);
        }
        assembly.finish(NOW);
        let batch = assembly.take(None).unwrap();
        let lengths: Vec<usize> = batch.events.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths.iter().all(|length| *length <= EVENT_BYTES_MAX));
        assert_eq!(lengths.iter().sum::<usize>(), 600 * 1002 - 3);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_stay_within_the_bound() {
        let mut assembly = assembly(None);
        assembly.push(b"a\xff\n", |_| NOW);
        assembly.push(&[vec![0xff; EVENT_BYTES_MAX], vec![b'\n']].concat(), |_| NOW);
        let mut events = Vec::new();
        let mut ends = Vec::new();
        while let Some(batch) = assembly.take(None) {
            ends.push(batch.end);
            events.extend(batch.events);
        }
        assert_eq!(events[0].1, "a\u{fffd}");
        assert!(events.iter().all(|(_, text)| text.len() <= EVENT_BYTES_MAX));
        assert_eq!(events[1..].iter().map(|(_, text)| text.chars().count()).sum::<usize>(), EVENT_BYTES_MAX);
        // What is in parts counts as shipped with its last one.
        assert_eq!(ends.last(), Some(&(3 + EVENT_BYTES_MAX as u64 + 1)));
    }

    #[test]
    fn times_never_go_back() {
        let mut assembly = assembly(None);
        assembly.push(b"a\nb\nc\n", |end| Timestamp(if end == 4 { 500 } else { 1000 }));
        let times: Vec<i64> = assembly.take(None).unwrap().events.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [1000, 1000, 1000]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn batches_keep_the_bounds_and_lose_nothing(
            lengths in proptest::collection::vec(prop_oneof![0_usize..50, 100_000_usize..300_000], 1..60),
            times in 1_usize..400,
        ) {
            let mut assembly = assembly(None);
            let mut taken = 0;
            let mut pushed = 0_u64;
            let mut written = 0;
            let mut end = 0;
            let mut drain = |assembly: &mut Assembly, all: bool| {
                while assembly.is_full() || all {
                    let Some(batch) = assembly.take(None) else { break };
                    let size: usize = batch.events.iter().map(|(_, text)| text.len() + EVENT_OVERHEAD).sum();
                    assert!(size <= BATCH_BYTES_MAX && batch.events.len() <= BATCH_EVENTS_MAX);
                    assert!(batch.end > end, "progress");
                    end = batch.end;
                    taken += batch.events.iter().map(|(_, text)| text.len()).sum::<usize>();
                }
                (taken, end)
            };
            for length in lengths.iter().cycle().take(lengths.len() * times).take(2000) {
                let line = [vec![b'x'; *length], vec![b'\n']].concat();
                assembly.push(&line, |_| NOW);
                pushed += line.len() as u64;
                written += length;
                if pushed > 3 << 20 {
                    break;
                }
                drain(&mut assembly, false);
            }
            let (taken, _) = drain(&mut assembly, true);
            prop_assert_eq!(taken, written);
            prop_assert_eq!(assembly.settled(), Some(pushed));
        }
    }
}
