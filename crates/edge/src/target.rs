//! One target of one group while it is registered: its state, what it has to do, the connections to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::client::conn::{http1, http2};
use model::Timestamp;
use model::edge::TargetState;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::body::RequestBody;
use crate::flow;
use crate::limits::{IDLE_CONNECTION_LIMIT, IDLE_CONNECTIONS_MAX, STREAMS_PER_CONNECTION};
use crate::outlier::Outlier;

const NOT_WARMING: i64 = i64::MIN;
const NOT_AVOIDED: i64 = i64::MIN;

#[derive(Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub zone: Option<String>,
    /// What flows find it by.
    pub seed: u64,
    /// What a cookie that leads here holds.
    pub tag: String,
    state: AtomicU8,
    warming_since: AtomicI64,
    avoided_until: AtomicI64,
    outlier: Mutex<Outlier>,
    outstanding: AtomicU32,
    is_draining: AtomicBool,
    is_cut: AtomicBool,
    /// Nothing is outstanding any more. Told only while it is draining.
    emptied: Notify,
    /// One per worker, which alone uses it, but for clearing.
    connections: Box<[Mutex<Connections>]>,
}

#[derive(Debug, Default)]
struct Connections {
    /// The last one was used last.
    idle: Vec<(http1::SendRequest<RequestBody>, Instant)>,
    shared: Vec<(http2::SendRequest<RequestBody>, Arc<AtomicUsize>)>,
    /// What moves the bytes of these and of those in use. Those that have ended are dropped when it would grow.
    tasks: Vec<AbortHandle>,
}

impl Target {
    pub fn new(address: SocketAddr, zone: Option<String>, tag: String, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            address,
            zone,
            seed: flow::seed(address),
            tag,
            state: AtomicU8::new(TargetState::Initial as u8),
            warming_since: AtomicI64::new(NOT_WARMING),
            avoided_until: AtomicI64::new(NOT_AVOIDED),
            outlier: Mutex::default(),
            outstanding: AtomicU32::new(0),
            is_draining: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            emptied: Notify::new(),
            connections: (0..workers).map(|_| Mutex::default()).collect(),
        })
    }

    pub fn is(&self, state: TargetState) -> bool {
        self.state.load(Ordering::Relaxed) == state as u8
    }

    /// Only the front turns it.
    pub fn turn(&self, state: TargetState, warming_since: Option<Timestamp>) {
        let since = warming_since.map_or(NOT_WARMING, Timestamp::as_millis);
        self.warming_since.store(since, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub fn warming_since(&self) -> Option<Timestamp> {
        let since = self.warming_since.load(Ordering::Relaxed);
        (since != NOT_WARMING).then_some(Timestamp(since))
    }

    /// A connection to it has failed that outliers are judged by.
    pub fn fail(&self, now: Timestamp) {
        let until = self.outlier.lock().unwrap_or_else(PoisonError::into_inner).fail(now);
        if let Some(until) = until {
            self.avoided_until.store(until.as_millis(), Ordering::Relaxed);
        }
    }

    /// The clock is read for those only that ever were.
    pub fn is_avoided(&self, now: impl Fn() -> Timestamp) -> bool {
        let until = self.avoided_until.load(Ordering::Relaxed);
        until != NOT_AVOIDED && now() < Timestamp(until)
    }

    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// One more request, until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Outstanding {
        self.outstanding.fetch_add(1, Ordering::SeqCst);
        Outstanding(self.clone())
    }

    pub fn drain(&self) {
        self.turn(TargetState::Draining, None);
        self.is_draining.store(true, Ordering::SeqCst);
        self.clear();
    }

    /// It is registered again.
    pub fn undrain(&self) {
        self.is_draining.store(false, Ordering::SeqCst);
        self.is_cut.store(false, Ordering::SeqCst);
    }

    /// Ends when nothing is outstanding. Only while it is draining.
    pub async fn empty(&self) {
        while self.outstanding.load(Ordering::SeqCst) > 0 {
            self.emptied.notified().await;
        }
    }

    /// Ends whatever is under way, and whatever would come yet.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.sever();
    }

    /// Ends whatever is under way.
    pub fn sever(&self) {
        for connections in &self.connections {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.tasks.drain(..).for_each(|task| task.abort());
            *connections = Connections::default();
        }
    }

    /// A task that moves bytes of this target, to be ended when it is cut off.
    pub fn add_task(&self, worker: usize, task: AbortHandle) {
        let mut connections = self.of(worker);
        // Asked under the lock, so that one that comes late is not left behind by `cut`.
        if self.is_cut.load(Ordering::SeqCst) {
            return task.abort();
        }
        if connections.tasks.len() == connections.tasks.capacity() {
            connections.tasks.retain(|task| !task.is_finished());
        }
        connections.tasks.push(task);
    }

    fn of(&self, worker: usize) -> MutexGuard<'_, Connections> {
        self.connections[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An HTTP/1 connection that nobody uses.
    pub fn take_idle(&self, worker: usize) -> Option<http1::SendRequest<RequestBody>> {
        let mut connections = self.of(worker);
        while let Some((sender, since)) = connections.idle.pop() {
            if sender.is_ready() && since.elapsed() < IDLE_CONNECTION_LIMIT {
                return Some(sender);
            }
        }
        None
    }

    pub fn give_back(&self, worker: usize, sender: http1::SendRequest<RequestBody>) {
        let mut connections = self.of(worker);
        // Asked under the lock, so that one that is given back late is not left behind by `clear`.
        let is_kept = !self.is_draining.load(Ordering::SeqCst) && !sender.is_closed();
        if is_kept && connections.idle.len() < IDLE_CONNECTIONS_MAX {
            connections.idle.push((sender, Instant::now()));
        }
    }

    /// An HTTP/2 connection that takes one more stream.
    pub fn share(&self, worker: usize) -> Option<(http2::SendRequest<RequestBody>, Stream)> {
        let mut connections = self.of(worker);
        connections.shared.retain(|(sender, _)| !sender.is_closed());
        let takes_more = |streams: &AtomicUsize| streams.load(Ordering::Relaxed) < STREAMS_PER_CONNECTION as usize;
        let (sender, streams) = connections.shared.iter().find(|(_, streams)| takes_more(streams))?;
        Some((sender.clone(), Stream::new(streams)))
    }

    pub fn add_shared(&self, worker: usize, sender: &http2::SendRequest<RequestBody>) -> Stream {
        let streams = Arc::default();
        let stream = Stream::new(&streams);
        if !self.is_draining.load(Ordering::SeqCst) {
            self.of(worker).shared.push((sender.clone(), streams));
        }
        stream
    }

    /// Closes connections that have not been used for long.
    pub fn close_stale(&self) {
        for connections in &self.connections {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE_CONNECTION_LIMIT);
        }
    }

    fn clear(&self) {
        for connections in &self.connections {
            let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.idle.clear();
            connections.shared.clear();
        }
    }
}

/// A request that a target has.
#[derive(Debug)]
pub struct Outstanding(Arc<Target>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        let was_last = self.0.outstanding.fetch_sub(1, Ordering::SeqCst) == 1;
        if was_last && self.0.is_draining.load(Ordering::SeqCst) {
            self.0.emptied.notify_one();
        }
    }
}

/// A stream of a shared connection.
#[derive(Debug)]
pub struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn new(streams: &Arc<AtomicUsize>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(streams.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
