//! What was answered with success is never lost, and what was asked once is not done twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::service::ServiceStatus;
use model::{DesiredStatus, Service, Task, TaskStatus};
use store::Tables;

use super::{Check, End};
use crate::plane::scope;
use crate::promise::{Promises, RunTask, Wanted, service_name};
use crate::shape::{Image, Nature};

pub struct Acknowledged {
    promises: Promises,
}

impl Acknowledged {
    pub fn new(promises: Promises) -> Self {
        Self { promises }
    }
}

impl Check for Acknowledged {
    fn invariant(&self) -> &'static str {
        "acknowledged work is never lost"
    }

    fn look(&mut self, tables: &Tables, _: &[Arc<Task>]) -> Result<(), String> {
        let promises = self.promises.all();
        promises.tasks.iter().try_for_each(|promise| check_task(tables, promise))?;
        promises.services.iter().try_for_each(|(slot, wanted)| check_service(tables, *slot, wanted))?;
        check_runs(tables, &promises.runs)
    }

    fn unsettled(&self, end: &End<'_>) -> Option<String> {
        let promises = self.promises.all();
        promises.tasks.iter().find_map(|promise| {
            let task = end.tables.tasks.get(&promise.id)?;
            let is_over = task.last_status >= TaskStatus::Stopped;
            // Nobody stops a task of its own for failing its health check.
            let image = promise.shape.image;
            let may_run = !promise.is_stopped && (image.nature() == Nature::Lasting || image == Image::Sick);
            let is_settled = is_over || (may_run && task.last_status == TaskStatus::Running);
            (!is_settled)
                .then(|| format!("task {} of {} is still {}", promise.id, promise.shape, task.last_status.as_str()))
        })
    }
}

fn check_task(tables: &Tables, promise: &RunTask) -> Result<(), String> {
    let Some(task) = tables.tasks.get(&promise.id) else {
        return Err(format!("task {} of {} is gone", promise.id, promise.shape));
    };
    if promise.is_stopped && task.desired_status != DesiredStatus::Stopped {
        return Err(format!("task {} was to be stopped", promise.id));
    }
    Ok(())
}

fn check_service(tables: &Tables, slot: usize, wanted: &Wanted) -> Result<(), String> {
    if wanted.is_doubtful {
        return Ok(());
    }
    let name = service_name(slot);
    let Some(service) = tables.services.get(&(scope(), "default".to_owned(), name.clone())) else {
        return Err(format!("{name} is gone"));
    };
    if wanted.is_deleted {
        return match service.status {
            ServiceStatus::Active => Err(format!("{name} was deleted and is ACTIVE")),
            ServiceStatus::Draining | ServiceStatus::Inactive => Ok(()),
        };
    }
    if service.status != ServiceStatus::Active || i64::from(service.desired_count) != i64::from(wanted.desired) {
        let (status, count) = (service.status.as_str(), service.desired_count);
        return Err(format!("{name} is {status} with {count} of {} tasks desired", wanted.desired));
    }
    if !knows(service, &wanted.shape.family()) {
        return Err(format!("{name} does not know {} any more", wanted.shape));
    }
    Ok(())
}

/// A rollback puts another revision in front.
fn knows(service: &Service, family: &str) -> bool {
    let breaks = service.configuration.circuit_breaker.is_some();
    breaks || service.primary().is_some_and(|primary| primary.family == family)
}

fn check_runs(tables: &Tables, runs: &BTreeMap<String, usize>) -> Result<(), String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for started_by in tables.tasks.iter().filter_map(|task| task.started_by.as_deref()) {
        *counts.entry(started_by).or_default() += 1;
    }
    for (started_by, most) in runs {
        let count = counts.get(started_by.as_str()).copied().unwrap_or(0);
        if count > *most {
            return Err(format!("{started_by} asked for {most} tasks and has {count}"));
        }
    }
    Ok(())
}
