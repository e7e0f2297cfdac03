//! What happened in a run, line by line, and a hash over all of it: two runs are the same when their hashes are.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Clones write to the same trace.
#[derive(Clone)]
pub struct Trace {
    start: Instant,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    lines: Vec<String>,
    hash: Sha256,
}

impl Trace {
    pub fn start() -> Self {
        Self { start: Instant::now(), shared: Arc::default() }
    }

    pub fn tell(&self, what: impl Display) {
        let at = self.start.elapsed();
        let line = format!("{:>4}.{:03}  {what}", at.as_secs(), at.subsec_millis());
        let mut shared = self.shared();
        shared.hash.update(line.as_bytes());
        shared.lines.push(line);
    }

    /// Goes into the hash, and not into the lines.
    pub fn digest(&self, bytes: &[u8]) {
        self.shared().hash.update(bytes);
    }

    pub fn lines(&self) -> Vec<String> {
        self.shared().lines.clone()
    }

    pub fn hash(&self) -> String {
        hex::encode(self.shared().hash.clone().finalize())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
