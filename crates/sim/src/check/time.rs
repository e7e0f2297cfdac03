//! The times of a task are in their order, and none is ahead of the control plane's clock, whatever the nodes' clocks say.

use std::sync::Arc;

use control::Clock;
use model::{Task, Timestamp};
use store::Tables;

use super::{Check, short};

pub struct Time {
    clock: Clock,
}

impl Time {
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl Check for Time {
    fn invariant(&self) -> &'static str {
        "a task's times are in order"
    }

    fn look(&mut self, _: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        for task in changed {
            let mut told = told(task);
            told.push(("now", self.clock.now()));
            if let Some(pair) = told.windows(2).find(|pair| pair[0].1 > pair[1].1) {
                return Err(format!("task {} has {:?} before {:?}", short(task), pair[1], pair[0]));
            }
        }
        Ok(())
    }
}

/// Those that there are, in the order in which things happen.
fn told(task: &Task) -> Vec<(&'static str, Timestamp)> {
    let times = [
        ("createdAt", Some(task.created_at)),
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("executionStoppedAt", task.execution_stopped_at),
        ("stoppedAt", task.stopped_at),
    ];
    times.into_iter().filter_map(|(name, at)| Some((name, at?))).collect()
}
