//! A log in memory, for tests and simulated nodes. Its [`MemoryDisk`] outlives it, so that a store can be opened again,
//! and makes faults on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Group, Log, LogError, TakeRow};

/// What has become durable, and which faults come next.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    revision: u64,
    commits: u64,
    failures: u32,
    torn_failures: u32,
    held: bool,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `count` commits fail as on a full disk and leave no trace.
    pub fn fail_next(&self, count: u32) {
        self.state().failures = count;
    }

    /// The next `count` commits answer an error although they were written: what a failed fsync may do.
    pub fn fail_after_write_next(&self, count: u32) {
        self.state().torn_failures = count;
    }

    /// Commits wait until [`release`](Self::release): a slow disk.
    pub fn hold(&self) {
        self.state().held = true;
    }

    pub fn release(&self) {
        self.state().held = false;
        self.shared.released.notify_all();
    }

    /// Groups that became durable so far: the count of fsyncs of a real disk.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    pub fn log(&self) -> MemoryLog {
        MemoryLog { disk: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log on a [`MemoryDisk`].
#[derive(Default)]
pub struct MemoryLog {
    disk: MemoryDisk,
}

impl MemoryLog {
    /// On a disk of its own, which goes with it.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Log for MemoryLog {
    fn load(&mut self, row: &mut TakeRow) -> Result<u64, LogError> {
        let state = self.disk.state();
        for ((table, key), value) in &state.rows {
            row(table, key, value)?;
        }
        Ok(state.revision)
    }

    fn commit(&mut self, group: &Group) -> Result<(), LogError> {
        let state = self.disk.state();
        let held = self.disk.shared.released.wait_while(state, |state| state.held);
        let mut state = held.unwrap_or_else(PoisonError::into_inner);
        if state.failures > 0 {
            state.failures -= 1;
            return Err(LogError::DiskFull);
        }
        for ((table, key), value) in &group.writes {
            let key = ((*table).to_owned(), key.clone());
            match value {
                Some(value) => state.rows.insert(key, value.clone()),
                None => state.rows.remove(&key),
            };
        }
        state.revision = group.revision;
        if state.torn_failures > 0 {
            state.torn_failures -= 1;
            return Err(LogError::Io(std::io::Error::other("fsync failed")));
        }
        state.commits += 1;
        Ok(())
    }
}
