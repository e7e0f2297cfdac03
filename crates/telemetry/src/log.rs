//! The log store: an ordered key space on an LSM engine.
//!
//! ```text
//! events   uid · time · sequence  →  ingestion time · message
//! streams  uid                    →  StreamSummary
//! ```
//! Invariants
//! - An append that was answered is on disk: one thread writes, and many appends share one fsync.
//! - Events of a stream are ordered by (time, sequence); sequences rise with arrival, so equal times keep their order.
//! - A reader never blocks a writer.
//! - Nothing is written behind a failed write: the engine is opened again first, once there is room. Reads go on.
//! - There are no files before the first write: a store that nobody logs to costs nothing.
//!
//! ```text
//! empty ──first write──→ whole ──a write fails──→ broken: writes are refused ──room again, opened anew──→ whole
//! ```
//!
//! Not here: names, AWS's limits on batches, tokens' spelling. Those are `control::logs`'.

use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use fjall::PersistMode;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::filter::Pattern;

mod engine;

use engine::Engine;

/// Appends that wait for the writer; a caller beyond that waits.
const QUEUED_APPENDS_MAX: usize = 1024;
/// Appends that share one fsync.
const APPENDS_PER_SYNC_MAX: usize = 256;
/// Events that one filter call looks at before it answers with what it has and a position to go on from.
pub const EVENTS_SCANNED_MAX: usize = 200_000;
/// Events removed per batch when a stream is trimmed or deleted.
const REMOVALS_PER_BATCH: usize = 10_000;
/// After a failed write, whether there is room again is looked at this often at most.
const MEND_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log store could not be opened")]
    Open(#[source] fjall::Error),
    #[error("the log store could not write: is the disk full?")]
    Write(#[source] Arc<fjall::Error>),
    #[error("the log store takes no lines until the disk has room again")]
    Broken,
    #[error("the log store could not read")]
    Read(#[source] fjall::Error),
    #[error("the log store is closed")]
    Closed,
}

/// Where an event stands in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub sequence: u64,
}

impl Position {
    pub const FIRST: Self = Self { time: i64::MIN, sequence: 0 };
    pub const LAST: Self = Self { time: i64::MAX, sequence: u64::MAX };

    fn next(self) -> Option<Self> {
        match self.sequence.checked_add(1) {
            Some(sequence) => Some(Self { sequence, ..self }),
            None => Some(Self { time: self.time.checked_add(1)?, sequence: 0 }),
        }
    }

    fn previous(self) -> Option<Self> {
        match self.sequence.checked_sub(1) {
            Some(sequence) => Some(Self { sequence, ..self }),
            None => Some(Self { time: self.time.checked_sub(1)?, sequence: u64::MAX }),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub stream: u64,
    pub position: Position,
    pub ingested_at: Timestamp,
    pub message: String,
}

/// What DescribeLogStreams shows of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSummary {
    pub first_event: Option<i64>,
    pub last_event: Option<i64>,
    pub last_ingestion: Option<Timestamp>,
    /// Message bytes plus 26 per event, as AWS counts.
    pub stored_bytes: u64,
    pub next_sequence: u64,
}

/// Which events of a stream, and from which end.
#[derive(Clone, Copy, Debug)]
pub struct ReadQuery {
    /// Times from here on, inclusive.
    pub start: Option<i64>,
    /// Times before this.
    pub end: Option<i64>,
    /// Only what lies after this position (a forward token).
    pub after: Option<Position>,
    /// Only what lies before this position (a backward token).
    pub before: Option<Position>,
    /// The oldest of what is left first in line; else the newest. The answer is always in ascending order.
    pub from_head: bool,
    pub events_max: usize,
    pub bytes_max: usize,
}

/// One page of a search over several streams.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FilterPage {
    pub events: Vec<Event>,
    /// Where to go on; `None` when everything was looked at.
    pub next: Option<(Position, u64)>,
}

/// A search over streams, in order of time, then stream, then sequence.
#[derive(Debug)]
pub struct FilterQuery {
    pub streams: Vec<u64>,
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub pattern: Pattern,
    /// The `next` of the page before.
    pub resume: Option<(Position, u64)>,
    pub events_max: usize,
    pub bytes_max: usize,
}

pub struct LogStore {
    engine: Arc<Shared>,
    summaries: Arc<Mutex<HashMap<u64, StreamSummary>>>,
    appends: mpsc::Sender<Write>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

type Shared = RwLock<State>;

enum State {
    /// Nothing was ever written, so there are no files.
    Empty,
    Open(Engine),
    /// It was to be opened again and could not be.
    Shut,
}

impl State {
    /// `None`: there is nothing to read yet.
    fn engine(&self) -> Result<Option<&Engine>, LogError> {
        match self {
            Self::Empty => Ok(None),
            Self::Open(engine) => Ok(Some(engine)),
            Self::Shut => Err(LogError::Broken),
        }
    }
}

enum Write {
    Append { stream: u64, events: Vec<(i64, String)>, now: Timestamp, done: oneshot::Sender<Result<(), LogError>> },
    Trim { stream: u64, before: Option<i64>, done: oneshot::Sender<Result<(), LogError>> },
}

impl LogStore {
    /// Opens the store in a directory that is its own, or begins one.
    pub fn open(directory: &Path) -> Result<Arc<Self>, LogError> {
        let (state, summaries) = match engine::has_files(directory) {
            true => {
                let engine = Engine::open(directory)?;
                let summaries = load_summaries(&engine)?;
                (State::Open(engine), summaries)
            }
            false => (State::Empty, HashMap::new()),
        };
        let summaries = Arc::new(Mutex::new(summaries));
        let engine = Arc::new(RwLock::new(state));
        let (appends, queue) = mpsc::channel(QUEUED_APPENDS_MAX);
        let writer = Writer {
            directory: directory.to_owned(),
            engine: engine.clone(),
            summaries: summaries.clone(),
            broken: None,
        };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| LogError::Open(error.into()))?;
        Ok(Arc::new(Self { engine, summaries, appends, writer: Mutex::new(Some(thread)) }))
    }

    /// Adds events to a stream; answers when they are on disk.
    pub async fn append(&self, stream: u64, events: Vec<(i64, String)>, now: Timestamp) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        self.appends.send(Write::Append { stream, events, now, done }).await.map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// Removes the events before a time (retention).
    pub async fn trim(&self, stream: u64, before: i64) -> Result<(), LogError> {
        self.remove(stream, Some(before)).await
    }

    /// Removes a stream and all its events.
    pub async fn delete(&self, stream: u64) -> Result<(), LogError> {
        self.remove(stream, None).await
    }

    async fn remove(&self, stream: u64, before: Option<i64>) -> Result<(), LogError> {
        let (done, answer) = oneshot::channel();
        self.appends.send(Write::Trim { stream, before, done }).await.map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// All zero for a stream that has no events yet.
    pub fn summary(&self, stream: u64) -> StreamSummary {
        let summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        summaries.get(&stream).copied().unwrap_or_default()
    }

    /// Events of one stream in ascending order.
    pub async fn read(self: &Arc<Self>, stream: u64, query: ReadQuery) -> Result<Vec<Event>, LogError> {
        let this = self.clone();
        blocking(move || this.read_blocking(stream, &query)).await
    }

    /// Events of several streams that a pattern matches.
    pub async fn filter(self: &Arc<Self>, query: FilterQuery) -> Result<FilterPage, LogError> {
        let this = self.clone();
        blocking(move || this.filter_blocking(&query)).await
    }

    fn read_blocking(&self, stream: u64, query: &ReadQuery) -> Result<Vec<Event>, LogError> {
        let Some((low, high)) = bounds(query.start, query.end, query.after, query.before) else {
            return Ok(Vec::new());
        };
        let shared = read(&self.engine);
        let Some(engine) = shared.engine()? else { return Ok(Vec::new()) };
        let range = engine.events.range(event_key(stream, low)..=event_key(stream, high));
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut iterator: Box<dyn Iterator<Item = fjall::Guard>> =
            if query.from_head { Box::new(range) } else { Box::new(range.rev()) };
        while events.len() < query.events_max {
            let Some(guard) = iterator.next() else { break };
            let event = decode_event(guard)?;
            bytes += event.message.len() + EVENT_OVERHEAD_BYTES;
            if bytes > query.bytes_max && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        if !query.from_head {
            events.reverse();
        }
        Ok(events)
    }

    fn filter_blocking(&self, query: &FilterQuery) -> Result<FilterPage, LogError> {
        let shared = read(&self.engine);
        let Some(engine) = shared.engine()? else { return Ok(FilterPage::default()) };
        let mut heads = BinaryHeap::new();
        for &stream in &query.streams {
            if let Some(cursor) = cursor(engine, stream, query)? {
                heads.push(cursor);
            }
        }
        let mut page = FilterPage::default();
        let (mut scanned, mut bytes) = (0, 0);
        while let Some(mut cursor) = heads.pop() {
            let event = cursor.head;
            scanned += 1;
            if query.pattern.matches(&event.message) {
                bytes += event.message.len() + EVENT_OVERHEAD_BYTES;
                let full =
                    page.events.len() >= query.events_max || (bytes > query.bytes_max && !page.events.is_empty());
                if full || scanned > EVENTS_SCANNED_MAX {
                    page.next = Some((event.position, event.stream));
                    return Ok(page);
                }
                page.events.push(event);
            } else if scanned > EVENTS_SCANNED_MAX {
                page.next = Some((event.position, event.stream));
                return Ok(page);
            }
            if let Some(guard) = cursor.rest.next() {
                cursor.head = decode_event(guard)?;
                heads.push(cursor);
            }
        }
        Ok(page)
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> Result<u64, LogError> {
        let shared = read(&self.engine);
        let Some(engine) = shared.engine()? else { return Ok(0) };
        engine.database.disk_space().map_err(LogError::Read)
    }

    /// The streams that have events, for the loop that removes those whose row is gone.
    pub fn stream_uids(&self) -> Vec<u64> {
        let summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        summaries.keys().copied().collect()
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.appends = closed;
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// The stream's first event at or after where the search stands.
fn cursor(engine: &Engine, stream: u64, query: &FilterQuery) -> Result<Option<Cursor>, LogError> {
    let Some((mut low, high)) = bounds(query.start, query.end, None, None) else {
        return Ok(None);
    };
    if let Some((position, resumed)) = query.resume {
        low = low.max(resume_low(stream, position, resumed));
    }
    if low > high {
        return Ok(None);
    }
    let mut rest = engine.events.range(event_key(stream, low)..=event_key(stream, high));
    let Some(guard) = rest.next() else { return Ok(None) };
    Ok(Some(Cursor { head: decode_event(guard)?, rest }))
}

fn read(shared: &Shared) -> RwLockReadGuard<'_, State> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

/// In the order of (time, stream, sequence): a stream before `resumed` at the same time was passed already.
fn resume_low(stream: u64, position: Position, resumed: u64) -> Position {
    match stream.cmp(&resumed) {
        std::cmp::Ordering::Less => Position { time: position.time.saturating_add(1), sequence: 0 },
        std::cmp::Ordering::Equal => position,
        std::cmp::Ordering::Greater => Position { time: position.time, sequence: 0 },
    }
}

/// Inclusive bounds of a read; `None` when nothing can lie between.
fn bounds(
    start: Option<i64>,
    end: Option<i64>,
    after: Option<Position>,
    before: Option<Position>,
) -> Option<(Position, Position)> {
    let mut low = Position { time: start.unwrap_or(i64::MIN), sequence: 0 };
    let mut high = Position::LAST;
    if let Some(end) = end {
        high = Position { time: end.checked_sub(1)?, sequence: u64::MAX };
    }
    if let Some(after) = after {
        low = low.max(after.next()?);
    }
    if let Some(before) = before {
        high = high.min(before.previous()?);
    }
    (low <= high).then_some((low, high))
}

/// What AWS adds per event when it counts bytes.
pub const EVENT_OVERHEAD_BYTES: usize = 26;

const EVENT_KEY_BYTES: usize = 24;

fn event_key(stream: u64, position: Position) -> [u8; EVENT_KEY_BYTES] {
    let mut key = [0; EVENT_KEY_BYTES];
    key[..8].copy_from_slice(&stream.to_be_bytes());
    // The sign bit is flipped so that bytes order as times do.
    key[8..16].copy_from_slice(&(position.time as u64 ^ (1 << 63)).to_be_bytes());
    key[16..].copy_from_slice(&position.sequence.to_be_bytes());
    key
}

fn decode_event(guard: fjall::Guard) -> Result<Event, LogError> {
    let (key, value) = guard.into_inner().map_err(LogError::Read)?;
    let field = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&key[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    let mut ingested = [0; 8];
    ingested.copy_from_slice(&value[..8]);
    Ok(Event {
        stream: field(0),
        position: Position { time: (field(8) ^ (1 << 63)) as i64, sequence: field(16) },
        ingested_at: Timestamp(i64::from_be_bytes(ingested)),
        message: String::from_utf8_lossy(&value[8..]).into_owned(),
    })
}

fn load_summaries(engine: &Engine) -> Result<HashMap<u64, StreamSummary>, LogError> {
    let mut summaries = HashMap::new();
    for guard in engine.streams.iter() {
        let (key, value) = guard.into_inner().map_err(LogError::Read)?;
        let mut uid = [0; 8];
        uid.copy_from_slice(&key[..8]);
        // A summary that cannot be read is made again from the next append on.
        let summary = serde_json::from_slice(&value).unwrap_or_default();
        summaries.insert(u64::from_be_bytes(uid), summary);
    }
    Ok(summaries)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| LogError::Closed)?
}

/// A stream's next event and what follows it. The heap pops the smallest (time, stream, sequence).
struct Cursor {
    head: Event,
    rest: fjall::Iter,
}

impl Cursor {
    fn order(&self) -> (i64, u64, u64) {
        (self.head.position.time, self.head.stream, self.head.position.sequence)
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Cursor {}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.order().cmp(&self.order())
    }
}

/// The one thread that writes.
struct Writer {
    directory: PathBuf,
    engine: Arc<Shared>,
    summaries: Arc<Mutex<HashMap<u64, StreamSummary>>>,
    /// A write has failed, and when mending was last tried.
    broken: Option<Instant>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Write>) {
        let mut batch = Vec::with_capacity(APPENDS_PER_SYNC_MAX);
        while queue.blocking_recv_many(&mut batch, APPENDS_PER_SYNC_MAX) > 0 {
            if self.broken.is_some_and(|tried_at| tried_at.elapsed() >= MEND_PAUSE) {
                self.mend();
            }
            if let Err(error) = self.begin() {
                tracing::error!(error = &error as &dyn std::error::Error, "the log store cannot be made");
            }
            self.write_all(batch.drain(..));
        }
    }

    /// Makes the files of a store that is empty.
    fn begin(&self) -> Result<(), LogError> {
        if !matches!(*read(&self.engine), State::Empty) {
            return Ok(());
        }
        let engine = Engine::open(&self.directory)?;
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = State::Open(engine);
        Ok(())
    }

    /// Opens the engine again when there is room. What was never acknowledged may be gone afterwards.
    fn mend(&mut self) {
        self.broken = Some(Instant::now());
        if let Err(error) = engine::find_room(&self.directory) {
            tracing::warn!(%error, "no room for log lines yet");
            return;
        }
        // Waits for the readers at hand. The old engine must have let go of its files before they are opened anew.
        let mut shared = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        *shared = State::Shut;
        let opened = Engine::open(&self.directory).and_then(|engine| Ok((load_summaries(&engine)?, engine)));
        match opened {
            Ok((summaries, engine)) => {
                *self.summaries.lock().unwrap_or_else(PoisonError::into_inner) = summaries;
                *shared = State::Open(engine);
                self.broken = None;
                tracing::info!("the log store takes lines again");
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the log store cannot be opened again");
            }
        }
    }

    fn write_all(&mut self, writes: impl Iterator<Item = Write>) {
        let engine = self.engine.clone();
        let shared = read(&engine);
        let engine = shared.engine().ok().flatten();
        let mut waiting = Vec::new();
        for write in writes {
            let whole = engine.filter(|_| self.broken.is_none()).ok_or(LogError::Broken);
            let (result, done) = match write {
                Write::Append { stream, events, now, done } => {
                    (whole.and_then(|engine| self.append(engine, stream, events, now)), done)
                }
                Write::Trim { stream, before, done } => {
                    (whole.and_then(|engine| self.trim(engine, stream, before)), done)
                }
            };
            match result {
                Ok(()) => waiting.push(done),
                Err(error) => {
                    self.note(&error);
                    let _ = done.send(Err(error));
                }
            }
        }
        let Some(engine) = engine.filter(|_| !waiting.is_empty()) else { return };
        let synced = engine.database.persist(PersistMode::SyncData).map_err(Arc::new);
        if let Err(error) = &synced {
            self.note(&LogError::Write(error.clone()));
        }
        for done in waiting {
            let _ = done.send(synced.clone().map_err(LogError::Write));
        }
    }

    fn note(&mut self, error: &LogError) {
        if matches!(error, LogError::Write(_)) && self.broken.is_none() {
            tracing::error!(error = error as &dyn std::error::Error, "a write of log lines failed");
            self.broken = Some(Instant::now());
        }
    }

    fn append(&self, engine: &Engine, stream: u64, events: Vec<(i64, String)>, now: Timestamp) -> Result<(), LogError> {
        let mut summary = self.summary(stream);
        let mut batch = engine.database.batch();
        for (time, message) in events {
            let position = Position { time, sequence: summary.next_sequence };
            let mut value = Vec::with_capacity(8 + message.len());
            value.extend_from_slice(&now.0.to_be_bytes());
            value.extend_from_slice(message.as_bytes());
            batch.insert(&engine.events, event_key(stream, position), value);
            summary.next_sequence += 1;
            summary.stored_bytes += (message.len() + EVENT_OVERHEAD_BYTES) as u64;
            summary.first_event = Some(summary.first_event.map_or(time, |first| first.min(time)));
            summary.last_event = Some(summary.last_event.map_or(time, |last| last.max(time)));
        }
        summary.last_ingestion = Some(now);
        batch.insert(&engine.streams, stream.to_be_bytes(), encode_summary(&summary));
        batch.commit().map_err(|error| LogError::Write(Arc::new(error)))?;
        self.set_summary(stream, Some(summary));
        Ok(())
    }

    fn trim(&self, engine: &Engine, stream: u64, before: Option<i64>) -> Result<(), LogError> {
        let Some((low, high)) = bounds(None, before, None, None) else {
            return Ok(());
        };
        let mut freed = 0;
        loop {
            let range = engine.events.range(event_key(stream, low)..=event_key(stream, high));
            let mut batch = engine.database.batch();
            let mut removed = 0;
            for guard in range.take(REMOVALS_PER_BATCH) {
                let (key, value) = guard.into_inner().map_err(LogError::Read)?;
                freed += value.len() - 8 + EVENT_OVERHEAD_BYTES;
                batch.remove(&engine.events, key);
                removed += 1;
            }
            if removed == 0 {
                break;
            }
            batch.commit().map_err(|error| LogError::Write(Arc::new(error)))?;
        }
        let summary = before.map(|_| self.summary_after_trim(engine, stream, freed as u64)).transpose()?;
        let written = match &summary {
            Some(summary) => engine.streams.insert(stream.to_be_bytes(), encode_summary(summary)),
            None => engine.streams.remove(stream.to_be_bytes()),
        };
        written.map_err(|error| LogError::Write(Arc::new(error)))?;
        self.set_summary(stream, summary);
        Ok(())
    }

    fn summary_after_trim(&self, engine: &Engine, stream: u64, freed: u64) -> Result<StreamSummary, LogError> {
        let range = engine.events.range(event_key(stream, Position::FIRST)..=event_key(stream, Position::LAST));
        let oldest = range.map(decode_event).next().transpose()?;
        let summary = self.summary(stream);
        Ok(StreamSummary {
            first_event: oldest.as_ref().map(|event| event.position.time),
            last_event: summary.last_event.filter(|_| oldest.is_some()),
            stored_bytes: summary.stored_bytes.saturating_sub(freed),
            ..summary
        })
    }

    fn summary(&self, stream: u64) -> StreamSummary {
        let summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        summaries.get(&stream).copied().unwrap_or_default()
    }

    fn set_summary(&self, stream: u64, summary: Option<StreamSummary>) {
        let mut summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        match summary {
            Some(summary) => summaries.insert(stream, summary),
            None => summaries.remove(&stream),
        };
    }
}

fn encode_summary(summary: &StreamSummary) -> Vec<u8> {
    serde_json::to_vec(summary).expect("a summary is plain numbers")
}

#[cfg(test)]
mod tests;
