//! What was answered with success is never lost, and what was asked once is not done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::service::ServiceStatus;
use model::task_set::TaskSetStatus;
use model::{DesiredStatus, Service, Task, TaskStatus};
use store::Tables;

use super::{Check, End};
use crate::client::CLUSTER;
use crate::order::Kind;
use crate::plane::scope;
use crate::promise::{Promises, RunTask, Wanted, WantedSet, service_name};
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
        for (slot, wanted) in &promises.services {
            let sets = promises.sets.get(slot).map(Vec::as_slice).unwrap_or_default();
            check_service(tables, *slot, wanted, sets)?;
        }
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

fn check_service(tables: &Tables, slot: usize, wanted: &Wanted, sets: &[WantedSet]) -> Result<(), String> {
    if wanted.is_doubtful {
        return Ok(());
    }
    let name = service_name(slot);
    let Some(service) = tables.services.get(&(scope(), CLUSTER.to_owned(), name.clone())) else {
        return Err(format!("{name} is gone"));
    };
    if wanted.is_deleted {
        return match service.status {
            ServiceStatus::Active => Err(format!("{name} was deleted and is ACTIVE")),
            ServiceStatus::Draining | ServiceStatus::Inactive => Ok(()),
        };
    }
    let order = &wanted.order;
    let has_count = order.kind == Kind::Daemon || i64::from(service.desired_count) == i64::from(order.desired);
    if service.status != ServiceStatus::Active || !has_count {
        let (status, count) = (service.status.as_str(), service.desired_count);
        return Err(format!("{name} is {status} with {count} of {} tasks desired", order.desired));
    }
    if order.kind == Kind::External {
        check_external_ids(service).map_err(|what| format!("{name} {what}"))?;
        return sets.iter().try_for_each(|set| check_set(service, set)).map_err(|what| format!("{name} {what}"));
    }
    if !knows(service, wanted) {
        return Err(format!("{name} does not know {} any more", order.shape));
    }
    Ok(())
}

/// A rollback puts another revision in front.
fn knows(service: &Service, wanted: &Wanted) -> bool {
    let family = wanted.order.shape.family();
    let may_go_back = wanted.is_stopped || wanted.order.may_fail();
    may_go_back || service.primary().is_some_and(|primary| primary.family == family)
}

fn check_set(service: &Service, wanted: &WantedSet) -> Result<(), String> {
    if wanted.is_doubtful {
        return Ok(());
    }
    let set = service.task_sets.iter().find(|set| set.id == wanted.id);
    let is_draining = set.is_none_or(|set| set.status == TaskSetStatus::Draining);
    match set {
        _ if wanted.is_dropped => match is_draining {
            true => Ok(()),
            false => Err(format!("was to lose task set {}", wanted.id)),
        },
        Some(set) if !is_draining && set.scale == f64::from(wanted.percent) => Ok(()),
        _ => Err(format!("has not task set {} at {} %", wanted.id, wanted.percent)),
    }
}

/// Each was asked for once.
fn check_external_ids(service: &Service) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let mut ids = service.task_sets.iter().filter_map(|set| set.external_id.as_ref());
    match ids.find(|id| !seen.insert(*id)) {
        Some(id) => Err(format!("has {id} twice")),
        None => Ok(()),
    }
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
