//! Which process each container began with, as far as we made or saw it.
//!
//! A container that is made again after a kill has the id of the one before it, and containerd may tell of the end of the
//! earlier one's process only then. An exit that names another process than the container's is none of its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Processes {
    pids: Mutex<HashMap<String, u32>>,
}

impl Processes {
    pub fn note(&self, container: &str, pid: u32) {
        self.pids().insert(container.to_owned(), pid);
    }

    pub fn forget(&self, container: &str) {
        self.pids().remove(container);
    }

    /// Also true of a container of which nothing is known.
    pub fn may_be(&self, container: &str, pid: u32) -> bool {
        self.pids().get(container).is_none_or(|known| *known == pid)
    }

    fn pids(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_containers_own_process_ends_it() {
        let processes = Processes::default();
        assert!(processes.may_be("c", 1), "nothing is known yet");
        processes.note("c", 2);
        assert!(!processes.may_be("c", 1));
        assert!(processes.may_be("c", 2));
        processes.forget("c");
        assert!(processes.may_be("c", 1));
    }
}
