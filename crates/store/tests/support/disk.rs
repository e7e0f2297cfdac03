//! A disk under redb that a test can crash: what was not synced is lost, in part or in whole, and any call can fail.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{BackendError, Builder, Database, StorageBackend};
use store::LogError;

/// What a power cut may tear apart.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// As the operating system shows it.
    cached: Vec<u8>,
    /// As it is after a power cut that loses everything unsynced.
    synced: Vec<u8>,
    /// Sectors written since the last sync.
    unsynced: Vec<usize>,
    /// Writes, syncs and length changes until everything fails.
    healthy_calls: Option<u32>,
    failure: Option<io::ErrorKind>,
    /// Rises with every crash and reopening: an older handle reaches nothing any more.
    generation: u64,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// After `calls` more changing calls every one fails with `kind`, until [`heal`](Self::heal).
    pub fn fail_after(&self, calls: u32, kind: io::ErrorKind) {
        let mut state = self.state();
        state.healthy_calls = Some(calls);
        state.failure = Some(kind);
    }

    pub fn heal(&self) {
        let mut state = self.state();
        state.healthy_calls = None;
        state.failure = None;
    }

    /// Cuts the power: of the sectors that were not synced, those survive for which `survives` says so.
    pub fn crash(&self, mut survives: impl FnMut() -> bool) {
        let mut state = self.state();
        state.generation += 1;
        let mut after = std::mem::take(&mut state.synced);
        let length = if survives() { state.cached.len() } else { after.len() };
        after.resize(length, 0);
        for sector in std::mem::take(&mut state.unsynced) {
            let bytes = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(after.len()).min(state.cached.len());
            if bytes.start < bytes.end && survives() {
                after[bytes.clone()].copy_from_slice(&state.cached[bytes]);
            }
        }
        state.cached.clone_from(&after);
        state.synced = after;
        state.healthy_calls = None;
        state.failure = None;
    }

    pub fn open(&self) -> Result<Database, LogError> {
        let generation = {
            let mut state = self.state();
            state.generation += 1;
            state.generation
        };
        let backend = Handle { disk: self.clone(), generation };
        Builder::new().create_with_backend(backend).map_err(|error| LogError::Engine(error.to_string()))
    }
}

impl State {
    fn changing_call(&mut self) -> io::Result<()> {
        match (&mut self.healthy_calls, self.failure) {
            (Some(0), Some(kind)) => Err(kind.into()),
            (Some(calls), _) => {
                *calls -= 1;
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Handle {
    disk: Disk,
    generation: u64,
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.generation != self.generation {
            return Err(io::Error::other("this handle is of before the crash"));
        }
        Ok(state)
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let from = offset as usize;
        let bytes = state.cached.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.changing_call()?;
        state.cached.resize(length as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.changing_call()?;
        state.synced = state.cached.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        state.changing_call()?;
        let from = offset as usize;
        let to = from + data.len();
        if state.cached.len() < to {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.cached[from..to].copy_from_slice(data);
        state.unsynced.extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
        Ok(())
    }

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}
