//! No task goes back: not its statuses, not what is known of its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{DesiredStatus, Task, TaskId};
use store::Tables;

use super::{Check, short};

#[derive(Default)]
pub struct Status {
    seen: BTreeMap<TaskId, Arc<Task>>,
}

impl Check for Status {
    fn invariant(&self) -> &'static str {
        "no task status goes back"
    }

    fn look(&mut self, _: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        for task in changed {
            if let Some(before) = self.seen.insert(task.id, task.clone()) {
                compare(&before, task).map_err(|what| format!("task {}: {what}", short(task)))?;
            }
        }
        Ok(())
    }
}

fn compare(before: &Task, after: &Task) -> Result<(), String> {
    if after.last_status < before.last_status {
        return Err(format!("{} after {}", after.last_status.as_str(), before.last_status.as_str()));
    }
    if before.desired_status == DesiredStatus::Stopped && after.desired_status != DesiredStatus::Stopped {
        return Err("is to run again".to_owned());
    }
    stays("stopCode", &before.stop_code, &after.stop_code)?;
    stays("stoppedReason", &before.stopped_reason, &after.stopped_reason)?;
    stays("startedAt", &before.started_at, &after.started_at)?;
    stays("stoppedAt", &before.stopped_at, &after.stopped_at)?;
    stays("node", &before.node, &after.node)?;
    if after.version < before.version {
        return Err(format!("version {} after {}", after.version, before.version));
    }
    for (before, after) in before.containers.iter().zip(&after.containers) {
        if after.last_status < before.last_status {
            return Err(format!("container {} after {}", after.last_status.as_str(), before.last_status.as_str()));
        }
        stays("exitCode", &before.exit_code, &after.exit_code)?;
    }
    Ok(())
}

/// What is known once is known for good.
fn stays<T: PartialEq + std::fmt::Debug>(name: &str, before: &Option<T>, after: &Option<T>) -> Result<(), String> {
    if before.is_some() && before != after {
        return Err(format!("{name} was {before:?} and is {after:?}"));
    }
    Ok(())
}
