//! A protected task is not chosen to be stopped: not for scaling, deploying, draining or balancing.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::service::ServiceStatus;
use model::task_set::TaskSetStatus;
use model::{DesiredStatus, Service, StopCode, Task, TaskId};
use store::{Tables, service_of};

use super::{Check, short};

/// How the reasons begin that a service gives when the choice is its own.
const CHOSEN: [&str; 2] = ["Scaling activity initiated by", "Availability-zone rebalancing initiated by"];

#[derive(Default)]
pub struct Protection {
    /// What was asked to stop. A later service of the same name says nothing on it.
    judged: BTreeSet<TaskId>,
}

impl Check for Protection {
    fn invariant(&self) -> &'static str {
        "a protected task is not chosen"
    }

    fn look(&mut self, tables: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        for task in changed.iter().filter(|task| task.desired_status == DesiredStatus::Stopped) {
            let is_new = self.judged.insert(task.id);
            if is_new && was_protected(task) && was_chosen(tables, task) {
                return Err(format!("task {} went: {:?}", short(task), task.stopped_reason));
            }
        }
        Ok(())
    }
}

fn was_protected(task: &Task) -> bool {
    let ends = task.protected_until.zip(task.stopping_at);
    ends.is_some_and(|(until, stopping_at)| stopping_at < until)
}

fn was_chosen(tables: &Tables, task: &Task) -> bool {
    let reason = task.stopped_reason.as_deref().unwrap_or_default();
    let is_choice = CHOSEN.iter().any(|words| reason.starts_with(words));
    let service = service_of(task).and_then(|key| tables.services.get(&key));
    let stays = service.is_some_and(|service| stays(service, task));
    task.stop_code == Some(StopCode::ServiceSchedulerInitiated) && is_choice && stays
}

/// What is deleted takes its protected tasks with it, and so does an instance that is deregistered.
fn stays(service: &Service, task: &Task) -> bool {
    let set = service.task_sets.iter().find(|set| Some(&set.id) == task.started_by.as_ref());
    let is_dropped = !service.task_sets.is_empty() && set.is_none_or(|set| set.status == TaskSetStatus::Draining);
    service.status == ServiceStatus::Active && !is_dropped
}
