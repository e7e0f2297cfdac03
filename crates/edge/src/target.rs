//! One target of one group while it is registered: its state, what it has to do, the connections to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::client::conn::{http1, http2};
use model::Timestamp;
use model::edge::TargetState;
use tokio::sync::{Notify, watch};

use crate::body::RequestBody;
use crate::limits::{IDLE_CONNECTION_LIMIT, IDLE_CONNECTIONS_MAX, STREAMS_PER_CONNECTION};

const NOT_WARMING: i64 = i64::MIN;

#[derive(Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// What a cookie that leads here holds.
    pub tag: String,
    state: AtomicU8,
    warming_since: AtomicI64,
    outstanding: AtomicU32,
    is_draining: AtomicBool,
    /// Nothing is outstanding any more. Told only while it is draining.
    emptied: Notify,
    /// Its connections and tunnels are to be closed whatever they carry.
    cut: watch::Sender<bool>,
    /// One per worker, which alone uses it, but for clearing.
    connections: Box<[Mutex<Connections>]>,
}

#[derive(Debug, Default)]
struct Connections {
    /// The last one was used last.
    idle: Vec<(http1::SendRequest<RequestBody>, Instant)>,
    shared: Vec<(http2::SendRequest<RequestBody>, Arc<AtomicUsize>)>,
}

impl Target {
    pub fn new(address: SocketAddr, tag: String, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            address,
            tag,
            state: AtomicU8::new(TargetState::Initial as u8),
            warming_since: AtomicI64::new(NOT_WARMING),
            outstanding: AtomicU32::new(0),
            is_draining: AtomicBool::new(false),
            emptied: Notify::new(),
            cut: watch::Sender::new(false),
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
        self.cut.send_replace(false);
    }

    /// Ends when nothing is outstanding. Only while it is draining.
    pub async fn empty(&self) {
        while self.outstanding.load(Ordering::SeqCst) > 0 {
            self.emptied.notified().await;
        }
    }

    /// Ends whatever is under way.
    pub fn cut(&self) {
        self.cut.send_replace(true);
        self.clear();
    }

    /// Ends when the target is cut off, or gone. Does not hold it.
    pub fn cut_off(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cut = self.cut.subscribe();
        async move {
            // An error says that the target is gone.
            let _ = cut.wait_for(|cut| *cut).await;
        }
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
            *connections.lock().unwrap_or_else(PoisonError::into_inner) = Connections::default();
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
