//! What clients were promised: kept apart from what the control plane keeps, to hold it to that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::TaskId;

use crate::shape::Shape;
use crate::step::Breaker;

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
    pub shape: Shape,
    pub desired: i32,
    /// Minimum healthy and maximum.
    pub percent: (i32, i32),
    pub breaker: Option<Breaker>,
    pub is_deleted: bool,
    /// A change was asked for and is not answered yet.
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
