//! Checkpoints on a simulated disk: what is written is there for the next agent; what is not synced may be lost, or be
//! torn, when the machine goes down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::TaskId;
use model::link::TaskSpec;
use rand::{Rng as _, RngCore};

use super::Checkpoint;
use crate::task::State;

/// Outlives the agents of its machine. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    tasks: Arc<Mutex<BTreeMap<TaskId, Entry>>>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    spec: File<TaskSpec>,
    state: File<State>,
    is_removed: bool,
}

impl Entry {
    /// A removal is undone as a whole: the spec went first, so it does not come back alone.
    fn crash(&mut self, random: &mut dyn RngCore) {
        if !self.is_removed {
            self.spec.crash(random);
            return self.state.crash(random);
        }
        self.is_removed = false;
        if random.random_bool(0.5) {
            (self.spec.synced, self.state.synced) = (None, None);
        }
        self.spec.lose();
        self.state.lose();
    }
}

/// A file as the next reader finds it, and as the machine would find it after a crash.
#[derive(Clone, Debug)]
struct File<T> {
    written: Option<T>,
    synced: Option<T>,
}

impl<T> Default for File<T> {
    fn default() -> Self {
        Self { written: None, synced: None }
    }
}

impl<T: Clone + PartialEq> File<T> {
    fn sync(&mut self) {
        self.synced.clone_from(&self.written);
    }

    fn lose(&mut self) {
        self.written.clone_from(&self.synced);
    }

    /// Keeps the old content or the new one, since files are replaced whole; a new file that is torn reads as none.
    fn crash(&mut self, random: &mut dyn RngCore) {
        if self.written != self.synced && random.random_bool(0.5) {
            self.lose();
        }
        self.sync();
    }

    fn is_gone(&self) -> bool {
        self.written.is_none() && self.synced.is_none()
    }
}

impl MemoryDisk {
    /// The machine goes down: of what was not synced, chance decides.
    pub fn crash(&self, random: &mut dyn RngCore) {
        let mut tasks = self.tasks();
        for entry in tasks.values_mut() {
            entry.crash(random);
        }
        tasks.retain(|_, entry| !entry.spec.is_gone());
    }

    pub(super) fn put_spec(&self, spec: &TaskSpec) {
        let mut tasks = self.tasks();
        let entry = tasks.entry(spec.id).or_default();
        entry.is_removed = false;
        entry.spec.written = Some(spec.clone());
    }

    pub(super) fn put_state(&self, id: TaskId, state: &State) {
        self.tasks().entry(id).or_default().state.written = Some(state.clone());
    }

    pub(super) fn sync_spec(&self, id: TaskId) {
        if let Some(entry) = self.tasks().get_mut(&id) {
            entry.spec.sync();
        }
    }

    pub(super) fn sync_state(&self, id: TaskId) {
        if let Some(entry) = self.tasks().get_mut(&id) {
            entry.state.sync();
        }
    }

    pub(super) fn remove(&self, id: TaskId) {
        let mut tasks = self.tasks();
        let Some(entry) = tasks.get_mut(&id) else { return };
        entry.spec.written = None;
        entry.state.written = None;
        entry.is_removed = true;
        if entry.spec.is_gone() {
            tasks.remove(&id);
        }
    }

    pub(super) fn read(&self) -> Vec<Checkpoint> {
        let checkpoint = |entry: &Entry| {
            let spec = entry.spec.written.clone()?;
            Some(Checkpoint { spec, state: entry.state.written.clone().unwrap_or_default() })
        };
        self.tasks().values().filter_map(checkpoint).collect()
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<TaskId, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::checkpoint::Checkpoints;
    use crate::task::tests::{container, spec};

    fn states_after_crash(synced: bool) -> Vec<u64> {
        let sequence = |seed| {
            let disk = MemoryDisk::default();
            let checkpoints = Checkpoints::Memory(disk.clone());
            let spec = spec(vec![container("a")]);
            checkpoints.put_spec(&spec).unwrap();
            checkpoints.sync_spec(spec.id).unwrap();
            checkpoints.put_state(spec.id, &State { sequence: 7, ..State::default() }).unwrap();
            if synced {
                checkpoints.sync_state(spec.id).unwrap();
            }
            disk.crash(&mut SmallRng::seed_from_u64(seed));
            checkpoints.read().unwrap()[0].state.sequence
        };
        (0..8).map(sequence).collect()
    }

    #[test]
    fn only_what_is_synced_is_sure_to_survive_a_crash() {
        assert_eq!(states_after_crash(true), [7; 8]);
        let unsure = states_after_crash(false);
        assert!(unsure.contains(&7) && unsure.contains(&0), "{unsure:?}");
    }

    #[test]
    fn what_was_removed_may_come_back_and_what_stays_removed_is_gone() {
        let came_back = |seed| {
            let disk = MemoryDisk::default();
            let checkpoints = Checkpoints::Memory(disk.clone());
            let spec = spec(vec![container("a")]);
            checkpoints.put_spec(&spec).unwrap();
            checkpoints.sync_spec(spec.id).unwrap();
            checkpoints.remove(spec.id).unwrap();
            assert_eq!(checkpoints.read().unwrap(), []);
            disk.crash(&mut SmallRng::seed_from_u64(seed));
            checkpoints.read().unwrap().len()
        };
        let found: Vec<usize> = (0..8).map(came_back).collect();
        assert!(found.contains(&0) && found.contains(&1), "{found:?}");
    }
}
