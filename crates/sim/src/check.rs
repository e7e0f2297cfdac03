//! What must hold: one check for each invariant. Each sees every durable commit, and the whole once faults have stopped.

mod acknowledged;
mod capacity;
mod convergence;
mod drained;
mod exclusive;
mod machine;
mod once;
mod protection;
mod reason;
mod registered;
mod status;
mod time;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent::simulated::Inventory;
use model::{NodeId, Task};
use store::{Commit, Tables};
use tokio::sync::Notify;

use crate::edge::Releases;
use crate::plane;
use crate::promise::Promises;
use crate::trace::Trace;

/// One invariant.
pub trait Check: Send {
    /// As a sentence.
    fn invariant(&self) -> &'static str;

    /// Looks at the state after a durable commit, and at the tasks that it changed.
    ///
    /// # Errors
    /// How the invariant is broken.
    fn look(&mut self, tables: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        let _ = (tables, changed);
        Ok(())
    }

    /// Once faults have stopped: what is wrong, and will not be right again.
    ///
    /// # Errors
    /// How the invariant is broken.
    fn look_at_end(&self, end: &End<'_>) -> Result<(), String> {
        let _ = end;
        Ok(())
    }

    /// Once faults have stopped: what is not yet as it must become.
    fn unsettled(&self, end: &End<'_>) -> Option<String> {
        let _ = end;
        None
    }
}

/// The whole, once faults have stopped.
pub struct End<'a> {
    pub tables: &'a Tables,
    pub machines: &'a BTreeMap<NodeId, Inventory>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: String,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Shows the state to all checks, and keeps the first violation. Clones are the same watcher.
#[derive(Clone)]
pub struct Watcher {
    state: Arc<Mutex<State>>,
    violated: Arc<Notify>,
    trace: Trace,
}

struct State {
    checks: Vec<Box<dyn Check>>,
    violation: Option<Violation>,
}

impl Watcher {
    pub fn new(promises: &Promises, releases: &Releases, trace: Trace) -> Self {
        let checks: Vec<Box<dyn Check>> = vec![
            Box::new(status::Status::default()),
            Box::new(capacity::Capacity::default()),
            Box::new(exclusive::Exclusive::default()),
            Box::new(reason::Reason),
            Box::new(acknowledged::Acknowledged::new(promises.clone())),
            Box::new(once::Once),
            Box::new(protection::Protection::default()),
            Box::new(time::Time::new(plane::clock())),
            Box::new(drained::Drained::new(releases.clone(), plane::clock())),
            Box::new(machine::Machine),
            Box::new(registered::Registered::new(promises.clone(), plane::clock())),
            Box::new(convergence::Convergence::new(promises.clone())),
        ];
        Self { state: Arc::new(Mutex::new(State { checks, violation: None })), violated: Arc::default(), trace }
    }

    /// After a commit.
    pub fn look(&self, commit: &Commit, tables: &Tables) {
        let changed: Vec<Arc<Task>> = commit.changes.tasks.values().filter_map(|change| change.after.clone()).collect();
        for task in &changed {
            let id = short(task);
            let (last, desired) = (task.last_status.as_str(), task.desired_status.as_str());
            let reason = task.stopped_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            self.trace.tell(format_args!("  task {id} {last} (to be {desired}) of {}{reason}", task.group));
        }
        self.look_at(tables, &changed);
    }

    /// After a start: everything may be new.
    pub fn look_at_all(&self, tables: &Tables) {
        let tasks: Vec<Arc<Task>> = tables.tasks.iter().cloned().collect();
        self.look_at(tables, &tasks);
    }

    fn look_at(&self, tables: &Tables, changed: &[Arc<Task>]) {
        let mut state = self.state();
        let mut found = None;
        for check in &mut state.checks {
            if let Err(what) = check.look(tables, changed) {
                found.get_or_insert(Violation { invariant: check.invariant().to_owned(), what });
            }
        }
        if let Some(violation) = found {
            self.note(&mut state, violation);
        }
    }

    pub fn look_at_end(&self, end: &End<'_>) {
        let mut state = self.state();
        let broken = state.checks.iter().find_map(|check| {
            let what = check.look_at_end(end).err()?;
            Some(Violation { invariant: check.invariant().to_owned(), what })
        });
        if let Some(violation) = broken {
            self.note(&mut state, violation);
        }
    }

    /// What keeps the whole from being as it must become, if anything.
    pub fn unsettled(&self, end: &End<'_>) -> Option<Violation> {
        let state = self.state();
        state.checks.iter().find_map(|check| {
            let what = check.unsettled(end)?;
            Some(Violation { invariant: check.invariant().to_owned(), what })
        })
    }

    pub fn report(&self, violation: Violation) {
        self.note(&mut self.state(), violation);
    }

    pub fn violation(&self) -> Option<Violation> {
        self.state().violation.clone()
    }

    /// Returns when something is violated.
    pub async fn violated(&self) {
        while self.violation().is_none() {
            self.violated.notified().await;
        }
    }

    fn note(&self, state: &mut State, violation: Violation) {
        if state.violation.is_none() {
            self.trace.tell(format_args!("VIOLATION {violation}"));
            state.violation = Some(violation);
            self.violated.notify_waiters();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task as the trace names it.
pub fn short(task: &Task) -> String {
    task.id.to_string()[..8].to_owned()
}
