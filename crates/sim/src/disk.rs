//! The control plane's disk: a log whose writes take time, fail, or are cut short when the process is killed.
//!
//! ```text
//! commit ──until durable──▶ (a kill here loses it) ▶ durable ──until answered──▶ (a kill here leaves it in doubt) ▶ ok
//! ```
//! A [`Fuse`] makes it hang at a chosen commit, on either side of its being durable, so that a kill meets just that.
//!
//! Invariant: a process that was killed writes nothing any more, whatever of it still runs in the simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use store::log::{Group, TakeRow};
use store::{Log, LogError, Pace};
use tokio::sync::Notify;

use crate::random;
use crate::trace::Trace;

const USUALLY: Duration = Duration::from_millis(3);
/// Longer than a kill lets a commit wait.
const HANGS: Duration = Duration::from_secs(60);

/// After so many commits, the next one hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuse {
    pub commits: usize,
    /// Once it is durable.
    pub is_durable: bool,
}

/// Outlives the processes that open it. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    hung: Arc<Notify>,
    trace: Trace,
}

struct State {
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
    revision: u64,
    /// The process that has it open; older ones are dead.
    process: u64,
    random: StdRng,
    slowest: Duration,
    failures: u32,
    failures_after_write: u32,
    fuse: Option<Fuse>,
    /// The commit that is under way is to hang once it is durable.
    hangs: bool,
}

impl Disk {
    pub fn new(seed: u64, trace: Trace) -> Self {
        let state = State {
            rows: BTreeMap::new(),
            revision: 0,
            process: 0,
            random: random::fork(seed, "disk"),
            slowest: USUALLY,
            failures: 0,
            failures_after_write: 0,
            fuse: None,
            hangs: false,
        };
        Self { state: Arc::new(Mutex::new(state)), hung: Arc::default(), trace }
    }

    /// For a new process. Earlier ones are cut off.
    pub fn open(&self) -> DiskLog {
        let mut state = self.state();
        state.process += 1;
        DiskLog { disk: self.clone(), process: state.process }
    }

    /// The process that has it open is dead.
    pub fn cut_off(&self) {
        self.state().process += 1;
    }

    /// Each of the two waits of a commit takes up to this long.
    pub fn slow(&self, slowest: Duration) {
        self.state().slowest = slowest;
    }

    /// The next commits fail: as on a full disk, or after they were written.
    pub fn fail(&self, commits: u32, is_written: bool) {
        let mut state = self.state();
        match is_written {
            true => state.failures_after_write = commits,
            false => state.failures = commits,
        }
    }

    pub fn set_fuse(&self, fuse: Option<Fuse>) {
        self.state().fuse = fuse;
    }

    /// Returns when a commit hangs on the fuse.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    pub fn heal(&self) {
        let mut state = self.state();
        (state.slowest, state.failures, state.failures_after_write) = (USUALLY, 0, 0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's log on the disk.
pub struct DiskLog {
    disk: Disk,
    process: u64,
}

impl Log for DiskLog {
    fn pace(&mut self) -> Pace {
        let mut state = self.disk.state();
        let slowest = u64::try_from(state.slowest.as_millis()).expect("a short time");
        let mut wait = || Duration::from_millis(state.random.random_range(0..=slowest));
        let (until_durable, until_answered) = (wait(), wait());
        match &mut state.fuse {
            Some(fuse) if fuse.commits > 0 => fuse.commits -= 1,
            Some(Fuse { is_durable: true, .. }) => {
                state.hangs = true;
                return Pace::Simulated { until_durable, until_answered: HANGS };
            }
            Some(Fuse { is_durable: false, .. }) => {
                self.disk.hung.notify_one();
                return Pace::Simulated { until_durable: HANGS, until_answered };
            }
            None => {}
        }
        Pace::Simulated { until_durable, until_answered }
    }

    fn load(&mut self, row: &mut TakeRow) -> Result<u64, LogError> {
        let state = self.disk.state();
        for ((table, key), value) in &state.rows {
            row(table, key, value)?;
        }
        Ok(state.revision)
    }

    fn commit(&mut self, group: &Group) -> Result<(), LogError> {
        let mut state = self.disk.state();
        if state.process != self.process {
            return Err(LogError::Closed);
        }
        if state.failures > 0 {
            state.failures -= 1;
            return Err(LogError::DiskFull);
        }
        for ((table, key), value) in &group.writes {
            self.disk.trace.digest(key);
            self.disk.trace.digest(value.as_deref().unwrap_or_default());
            let key = ((*table).to_owned(), key.clone());
            match value {
                Some(value) => state.rows.insert(key, value.clone()),
                None => state.rows.remove(&key),
            };
        }
        state.revision = group.revision;
        if std::mem::take(&mut state.hangs) {
            self.disk.hung.notify_one();
        }
        if state.failures_after_write > 0 {
            state.failures_after_write -= 1;
            return Err(LogError::Io(std::io::Error::other("fsync failed")));
        }
        Ok(())
    }
}
