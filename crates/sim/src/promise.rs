//! What clients were promised: kept apart from what the control plane keeps, to hold it to that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::TaskId;

use crate::order::Order;
use crate::shape::Shape;

/// Clones are the same promises.
#[derive(Clone, Default)]
pub struct Promises {
    all: Arc<Mutex<All>>,
}

#[derive(Default)]
pub struct All {
    /// In the order of the answers.
    pub tasks: Vec<RunTask>,
    /// How many tasks at most may carry this `startedBy`.
    pub runs: BTreeMap<String, usize>,
    pub services: BTreeMap<usize, Wanted>,
    /// By service, in the order of the answers.
    pub sets: BTreeMap<usize, Vec<WantedSet>>,
}

/// A task of RunTask or StartTask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTask {
    pub id: TaskId,
    pub shape: Shape,
    /// StopTask was answered.
    pub is_stopped: bool,
}

/// A service as the last answer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub order: Order,
    pub is_deleted: bool,
    /// A change was asked for and is not answered yet.
    pub is_doubtful: bool,
    /// Its newest deployment was asked to stop or to go back.
    pub is_stopped: bool,
}

/// A task set as the last answer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSet {
    pub id: String,
    pub shape: Shape,
    pub percent: i32,
    pub is_dropped: bool,
    pub is_doubtful: bool,
}

impl Promises {
    pub fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn service_name(slot: usize) -> String {
    format!("service-{slot}")
}
