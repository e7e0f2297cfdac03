//! Follows the output of one container and ships it, one batch at a time. The loop; what it decides with is in
//! `assembly`, `mark` and `progress`.
//!
//! ```text
//! file ──fill──→ assembly ──depart──→ in flight ──land──→ done, saved, punched out
//!   └─ grown beyond the bound: the oldest of what has not been read is given up
//! ```

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::link::LogBatch;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::assembly::Assembly;
use super::mark::Marks;
use super::option::Options;
use super::progress::{self, Progress};
use super::spool::{Record, Spool};
use super::{Shipment, Verdict};
use crate::clock::Clock;

/// One read.
const READ_BYTES: usize = 64 << 10;
/// Between the batches of one stream, unless they are full: lines that come one by one travel together.
const BATCH_PAUSE: Duration = Duration::from_millis(200);
/// How long the control plane may take to store a batch before it is sent again.
const VERDICT_LIMIT: Duration = Duration::from_secs(60);
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How long the output of a container that has ended is kept for shipping.
const KEEP_FINISHED: Duration = Duration::from_secs(24 * 60 * 60);

/// What a tail needs from outside.
pub struct Context {
    pub sink: mpsc::Sender<Shipment>,
    pub clock: Clock,
    pub grown: Arc<Notify>,
    /// When the container ended.
    pub finished: watch::Receiver<Option<Timestamp>>,
}

pub struct Tail {
    context: Context,
    options: Options,
    spool: Spool,
    progress: Progress,
    /// Where the next read is.
    position: u64,
    assembly: Assembly,
    marks: Marks,
    flight: Option<Flight>,
    /// No batch leaves before.
    pause_until: Timestamp,
    refused: Option<String>,
}

/// A batch that is on its way.
struct Flight {
    batch: LogBatch,
    end: u64,
    /// Losses that it tells of.
    lost: u64,
    attempts: u32,
    verdict: Pin<Box<dyn Future<Output = Option<Verdict>> + Send>>,
}

impl Tail {
    pub fn open(directory: &Path, key: &str, record: Record, context: Context) -> io::Result<Self> {
        let (spool, progress) = Spool::open(directory, key)?;
        let assembly = Assembly::new(progress.done, record.options.regex());
        Ok(Self {
            context,
            position: progress.done,
            options: record.options,
            spool,
            progress,
            assembly,
            marks: Marks::default(),
            flight: None,
            pause_until: Timestamp::default(),
            refused: None,
        })
    }

    /// Until the container has ended and all is shipped, or given up; then its files are gone.
    pub async fn run(mut self) {
        let key = self.spool.key().to_owned();
        let result = match self.follow().await {
            Ok(()) => self.spool.remove(),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(container = key, %error, "cannot follow the container's output any more");
        }
    }

    async fn follow(&mut self) -> io::Result<()> {
        self.look().await?;
        loop {
            let at_end = self.fill()?;
            self.depart();
            let finished_at = *self.context.finished.borrow();
            if finished_at.is_some() && at_end && self.flight.is_none() && !self.assembly.has_batch() {
                return Ok(());
            }
            let now = self.context.clock.now();
            if finished_at.is_some_and(|at| now.since(at) > KEEP_FINISHED) {
                tracing::warn!(container = self.spool.key(), "output that could not be shipped for long is given up");
                return Ok(());
            }
            let deadline = self.deadline(at_end, finished_at);
            tokio::select! {
                verdict = arrival(&mut self.flight) => self.land(verdict)?,
                () = self.context.grown.notified() => self.look().await?,
                () = self.context.clock.sleep_until(deadline) => {}
                // Dropped together with the tail: then there is nobody left to tell.
                _ = self.context.finished.changed(), if finished_at.is_none() => {}
            }
        }
    }

    /// Reads what there is, as far as there is room; answers whether the end was reached.
    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = Vec::new();
        let now = self.context.clock.now();
        while !self.assembly.is_full() {
            let position = self.progress.over_gap(self.position);
            if position != self.position {
                self.assembly.jump(position, now);
                self.position = position;
            }
            let room = self.progress.readable_to(self.position).map_or(READ_BYTES as u64, |to| to - self.position);
            buffer.resize(READ_BYTES.min(room as usize), 0);
            let length = self.spool.read_at(&mut buffer, self.position)?;
            if length == 0 {
                self.settle_end(now)?;
                return Ok(true);
            }
            let marks = &mut self.marks;
            self.assembly.push(&buffer[..length], |end| marks.written(end).unwrap_or(now));
            self.position += length as u64;
        }
        Ok(false)
    }

    /// Nothing more to read, now or ever.
    fn settle_end(&mut self, now: Timestamp) -> io::Result<()> {
        match self.context.finished.borrow().is_some() {
            true => self.assembly.finish(now),
            false => self.assembly.tick(now),
        }
        // Lines that make no event are done without being shipped.
        let settled = self.assembly.settled().filter(|end| self.flight.is_none() && *end > self.progress.done);
        let Some(end) = settled else { return Ok(()) };
        self.progress.settle(end);
        self.spool.save(&self.progress)
    }

    /// Sends the next batch when none is on its way and it is time.
    fn depart(&mut self) {
        let now = self.context.clock.now();
        let due = self.assembly.is_full() || self.pause_until <= now || self.context.finished.borrow().is_some();
        if self.flight.is_some() || !due {
            return;
        }
        let lost = self.progress.lost;
        let Some(batch) = self.assembly.take(progress::notice(lost)) else { return };
        self.pause_until = now.plus(BATCH_PAUSE);
        let message = LogBatch {
            batch: 0,
            scope: self.options.scope.clone(),
            group: self.options.group.clone(),
            stream: self.options.stream.clone(),
            create_group: self.options.create_group,
            events: batch.events,
        };
        let verdict = Box::pin(ship(self.context.sink.clone(), message.clone(), Duration::ZERO));
        self.flight = Some(Flight { batch: message, end: batch.end, lost, attempts: 0, verdict });
    }

    fn land(&mut self, verdict: Option<Verdict>) -> io::Result<()> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        match verdict {
            None => {
                let pause = RETRY_MIN.saturating_mul(1 << flight.attempts.min(10)).min(RETRY_MAX);
                flight.attempts = flight.attempts.saturating_add(1);
                flight.verdict = Box::pin(ship(self.context.sink.clone(), flight.batch.clone(), pause));
                return Ok(());
            }
            Some(Verdict::Taken) => {
                self.progress.lost -= flight.lost;
                self.refused = None;
            }
            Some(Verdict::Refused(reason)) => {
                let notices = u64::from(flight.lost > 0);
                self.progress.lost += flight.batch.events.len() as u64 - notices;
                if self.refused.as_ref() != Some(&reason) {
                    tracing::warn!(container = self.spool.key(), reason, "log events are refused");
                }
                self.refused = Some(reason);
            }
        }
        self.progress.settle(flight.end);
        self.flight = None;
        self.spool.save(&self.progress)
    }

    /// The file has grown: notes when, and keeps to the bound.
    async fn look(&mut self) -> io::Result<()> {
        let length = self.spool.length()?;
        self.marks.note(length, self.context.clock.now());
        let bound = self.options.waiting_bytes_max;
        let keep_from = length.saturating_sub(bound);
        // What lies before a gap that reading has not come to is little, and older agents promised it.
        let ahead = self.progress.gap.filter(|gap| self.position < gap.to);
        let unread = ahead.map_or(self.position, |gap| gap.to);
        if unread >= keep_from {
            return Ok(());
        }
        let (to, mut events) = count_lines(&self.spool, unread, keep_from, length).await?;
        let from = match (ahead, &self.flight) {
            (Some(gap), _) => gap.from,
            (None, Some(flight)) => flight.end,
            (None, None) => self.progress.done,
        };
        if ahead.is_none() {
            events += self.assembly.restart(to);
            self.position = to;
        }
        self.progress.skip(from, to, events);
        self.spool.save(&self.progress)
    }

    fn deadline(&self, at_end: bool, finished_at: Option<Timestamp>) -> Option<Timestamp> {
        let departure = (self.flight.is_none() && self.assembly.has_batch()).then_some(self.pause_until);
        let expiry = finished_at.map(|at| at.plus(KEEP_FINISHED + Duration::from_secs(1)));
        // Before the end of the file, what an event waits for may be there already.
        let event = self.assembly.deadline().filter(|_| at_end);
        [departure, event, expiry].into_iter().flatten().min()
    }
}

/// The lines from `position` on that begin before `keep_from`, and where the first one behind it begins.
async fn count_lines(spool: &Spool, position: u64, keep_from: u64, length: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut at, mut lines) = (position, 0);
    while at < length {
        let part = READ_BYTES.min((length - at) as usize);
        let read = spool.read_at(&mut buffer[..part], at)?;
        if read == 0 {
            break;
        }
        for (index, _) in buffer[..read].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            lines += 1;
            let next = at + index as u64 + 1;
            if next >= keep_from {
                return Ok((next, lines));
            }
        }
        at += read as u64;
        tokio::task::yield_now().await;
    }
    // One line without an end: the part before the bound is lost.
    Ok((keep_from, lines + 1))
}

/// `None`: not stored, as far as is known.
async fn ship(sink: mpsc::Sender<Shipment>, batch: LogBatch, pause: Duration) -> Option<Verdict> {
    tokio::time::sleep(pause).await;
    let (answer, verdict) = oneshot::channel();
    if sink.send(Shipment { batch, answer }).await.is_err() {
        // Nobody will ever take it: the agent is ending.
        return std::future::pending().await;
    }
    timeout(VERDICT_LIMIT, verdict).await.ok()?.ok()
}

async fn arrival(flight: &mut Option<Flight>) -> Option<Verdict> {
    match flight {
        Some(flight) => flight.verdict.as_mut().await,
        None => std::future::pending().await,
    }
}
