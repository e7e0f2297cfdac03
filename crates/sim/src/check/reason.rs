//! Each task that stops says why.

use std::sync::Arc;

use model::{DesiredStatus, Task, TaskStatus};
use store::Tables;

use super::{Check, short};

pub struct Reason;

impl Check for Reason {
    fn invariant(&self) -> &'static str {
        "each stopped task says why"
    }

    fn look(&mut self, _: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        let stops = |task: &&Arc<Task>| {
            task.last_status >= TaskStatus::Stopped || task.desired_status == DesiredStatus::Stopped
        };
        for task in changed.iter().filter(stops) {
            let has_reason = task.stopped_reason.as_ref().is_some_and(|reason| !reason.is_empty());
            if task.stop_code.is_none() || !has_reason {
                return Err(format!("task {} has {:?} and {:?}", short(task), task.stop_code, task.stopped_reason));
            }
            if task.last_status >= TaskStatus::Stopped && task.stopped_at.is_none() {
                return Err(format!("task {} does not say when", short(task)));
            }
        }
        Ok(())
    }
}
