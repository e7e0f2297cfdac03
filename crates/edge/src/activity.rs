//! When something last happened on a client's connection, so that one on which nothing does is closed: after the idle
//! time-out between bytes, after the head limit when a head does not end, after the client keep-alive in any case.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::limits::{HEAD_LIMIT, TICK};
use crate::observed::Observer;

#[derive(Debug)]
pub struct Activity {
    begun: Instant,
    /// Milliseconds since `begun`, as all times here.
    last: AtomicU64,
    /// When the first byte of a head came that is not complete yet; zero: there is none.
    head_since: AtomicU64,
    /// Requests that are with a target and not answered yet. Their own time-out governs them.
    waiting: AtomicU32,
    /// Heads are not told apart on an HTTP/2 connection once it has brought a request.
    is_http2: AtomicBool,
    /// Of the connections that there may be; also while it is a tunnel.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Activity {
    pub fn new(permit: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            _permit: permit,
        })
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn touch(&self) {
        self.last.store(self.elapsed(), Relaxed);
    }

    /// Bytes came from the client.
    fn read(&self) {
        let now = self.elapsed();
        self.last.store(now, Relaxed);
        let begins_head = self.waiting.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0;
        if begins_head && !self.is_http2.load(Relaxed) {
            self.head_since.store(now.max(1), Relaxed);
        }
    }

    /// A request's head is complete; until what is returned is dropped, its answer is waited for.
    pub fn request(self: &Arc<Self>, is_http2: bool) -> Waiting {
        self.is_http2.store(is_http2, Relaxed);
        self.head_since.store(0, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self.clone())
    }

    /// How long nothing has happened.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.elapsed().saturating_sub(self.last.load(Relaxed)))
    }

    /// Ends when nothing has happened for `limit`.
    pub async fn idled(&self, limit: Duration) {
        while let Some(rest) = limit.checked_sub(self.idle()).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest).await;
        }
    }

    /// When the connection has to be looked at again, or `None`: it is to be closed at once.
    pub fn rest(&self, idle_limit: Duration) -> Option<Duration> {
        if self.waiting.load(Relaxed) > 0 {
            return Some(TICK);
        }
        let idle_rest = idle_limit.checked_sub(self.idle()).filter(|rest| !rest.is_zero())?;
        let head_limit = HEAD_LIMIT.min(idle_limit);
        let head_rest = match self.head_since.load(Relaxed) {
            0 => head_limit,
            since => {
                let took = Duration::from_millis(self.elapsed().saturating_sub(since));
                head_limit.checked_sub(took).filter(|rest| !rest.is_zero())?
            }
        };
        Some(TICK.min(idle_rest).min(head_rest))
    }

    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// A request that is waited for.
#[derive(Debug)]
pub struct Waiting(Arc<Activity>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.touch();
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// Bytes are activity.
impl Observer for Arc<Activity> {
    fn has_read(&self, bytes: usize) {
        if bytes > 0 {
            self.read();
        }
    }

    fn has_written(&self, _bytes: usize) {
        self.touch();
    }
}
