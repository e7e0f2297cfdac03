//! Once faults have stopped, every service becomes what it is to be; one whose tasks cannot run says so and stays within
//! its bounds.

use std::sync::Arc;

use model::service::{Rollout, ServiceStatus};
use model::task_set::Stability;
use model::{DesiredStatus, NodeId, Service, Task, TaskStatus};
use plan::service::bounds;
use store::Tables;

use super::{Check, End};
use crate::client::CLUSTER;
use crate::order::Kind;
use crate::plane::scope;
use crate::promise::{Promises, Wanted, WantedSet, service_name};
use crate::shape::{Nature, TASK_CPU, TASK_MEMORY};

pub struct Convergence {
    promises: Promises,
}

impl Convergence {
    pub fn new(promises: Promises) -> Self {
        Self { promises }
    }
}

impl Check for Convergence {
    fn invariant(&self) -> &'static str {
        "every service converges once faults stop"
    }

    fn unsettled(&self, end: &End<'_>) -> Option<String> {
        let promises = self.promises.all();
        promises.services.iter().find_map(|(slot, wanted)| {
            let name = service_name(*slot);
            let service = end.tables.services.get(&(scope(), CLUSTER.to_owned(), name.clone()))?;
            let tasks: Vec<&Arc<Task>> = live(end.tables, service).collect();
            let sets = promises.sets.get(slot).map(Vec::as_slice).unwrap_or_default();
            let what = match wanted.order.kind {
                _ if wanted.is_deleted => is_gone(service, &tasks),
                Kind::Rolling | Kind::Staged(_) => judge(service, wanted, &tasks),
                Kind::Daemon => judge_daemon(end.tables, service, wanted, &tasks),
                Kind::External => judge_sets(service, sets, &tasks),
            };
            Some(format!("{name} ({}): {}", wanted.order, what.err()?))
        })
    }
}

/// Its tasks that are not STOPPED, found without the control plane's index.
fn live<'a>(tables: &'a Tables, service: &Service) -> impl Iterator<Item = &'a Arc<Task>> {
    let group = service.group();
    tables.tasks.iter().filter(move |task| task.group == group && task.last_status < TaskStatus::Stopped)
}

fn is_gone(service: &Service, tasks: &[&Arc<Task>]) -> Result<(), String> {
    match (service.status, tasks.len()) {
        (ServiceStatus::Inactive, 0) => Ok(()),
        (status, count) => Err(format!("is {} with {count} tasks", status.as_str())),
    }
}

fn judge(service: &Service, wanted: &Wanted, tasks: &[&Arc<Task>]) -> Result<(), String> {
    let order = &wanted.order;
    let desired = service.desired_count as usize;
    let percent = |percent: i32| u32::try_from(percent).unwrap_or(0);
    let (lower, upper) = bounds(service.desired_count, percent(order.percent.0), percent(order.percent.1));
    // Revisions beside each other are bounded each for itself.
    let revisions = if order.kind == Kind::Rolling { 1 } else { service.deployments.len() };
    let kept = tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running).count();
    if kept > upper.max(desired) * revisions {
        return Err(format!("has {kept} tasks of at most {upper} for each of {revisions} revisions"));
    }
    // Percentages that let no task go before another comes, and none come before another goes, as AWS has it, too.
    if lower >= upper && desired > 0 && order.kind == Kind::Rolling {
        return Ok(());
    }
    match nature(service, wanted)? {
        Nature::Lasting => has_all(service, tasks, desired),
        Nature::Passing => Ok(()),
        Nature::NeverRuns => tries(service, desired),
    }
}

/// Of what is to run in the end. What may have been given up or taken back need not run.
fn nature(service: &Service, wanted: &Wanted) -> Result<Nature, String> {
    let primary = service.primary().ok_or("has no deployment")?;
    let may_be_otherwise = wanted.is_stopped || wanted.order.may_fail();
    let is_otherwise = primary.rollout == Rollout::Failed || service.deployments.len() > 1;
    let is_as_asked = primary.family == wanted.order.shape.family();
    Ok(match is_as_asked && !(is_otherwise && may_be_otherwise) {
        true => wanted.order.shape.image.nature(),
        false => Nature::Passing,
    })
}

fn tries(service: &Service, desired: usize) -> Result<(), String> {
    let has_tried = service.primary().is_some_and(|primary| primary.failed_attempts > 0);
    if desired > 0 && !has_tried { Err("does not try to run its tasks".to_owned()) } else { Ok(()) }
}

fn has_all(service: &Service, tasks: &[&Arc<Task>], desired: usize) -> Result<(), String> {
    let primary = service.primary().ok_or("has no deployment")?;
    let (running, all) = (running(tasks, &primary.id).count(), tasks.len());
    if running != desired || all != running {
        return Err(format!("has {running} running tasks of {all}"));
    }
    if service.deployments.len() != 1 || primary.rollout != Rollout::Completed {
        return Err(format!("has {} deployments, the newest {:?}", service.deployments.len(), primary.rollout));
    }
    Ok(())
}

fn running<'a>(tasks: &'a [&Arc<Task>], deployment: &'a str) -> impl Iterator<Item = &'a Arc<Task>> {
    let runs = move |task: &&Arc<Task>| {
        task.last_status == TaskStatus::Running
            && task.desired_status == DesiredStatus::Running
            && task.started_by.as_deref() == Some(deployment)
    };
    tasks.iter().copied().filter(runs)
}

/// One on each node that has room for it.
fn judge_daemon(tables: &Tables, service: &Service, wanted: &Wanted, tasks: &[&Arc<Task>]) -> Result<(), String> {
    let on = |node: NodeId| tasks.iter().filter(move |task| task.node == Some(node)).count();
    for node in tables.nodes.iter() {
        let has_room = node.free.cpu.0 >= TASK_CPU && node.free.memory.0 >= TASK_MEMORY;
        match on(node.id) {
            0 if has_room && wanted.order.shape.image.nature() == Nature::Lasting && !wanted.order.may_fail() => {
                return Err(format!("has no task on {}", node.name));
            }
            0 | 1 => {}
            count => return Err(format!("has {count} tasks on {}", node.name)),
        }
    }
    match nature(service, wanted)? {
        Nature::Lasting => {
            let primary = service.primary().ok_or("has no deployment")?;
            let (running, all) = (running(tasks, &primary.id).count(), tasks.len());
            if all == running { Ok(()) } else { Err(format!("has {running} running tasks of {all}")) }
        }
        Nature::Passing => Ok(()),
        Nature::NeverRuns => tries(service, wanted.order.desired.unsigned_abs() as usize),
    }
}

/// Each at its share, and nothing of one that was deleted.
fn judge_sets(service: &Service, sets: &[WantedSet], tasks: &[&Arc<Task>]) -> Result<(), String> {
    for set in sets.iter().filter(|set| !set.is_dropped) {
        let row = service.task_sets.iter().find(|row| row.id == set.id).ok_or("lost a task set")?;
        let desired = (f64::from(service.desired_count) * f64::from(set.percent) / 100.0).ceil() as usize;
        let (running, all) = (running(tasks, &set.id).count(), of(tasks, &set.id));
        let is_right = running == desired && all == running && row.stability == Stability::SteadyState;
        if set.shape.image.nature() == Nature::Lasting && !is_right {
            return Err(format!("has {running} running tasks of {all} in {}, which is {:?}", set.id, row.stability));
        }
        if all > desired * 2 {
            return Err(format!("has {all} tasks of {desired} in {}", set.id));
        }
    }
    let kept = sets.iter().filter(|set| !set.is_dropped).map(|set| of(tasks, &set.id)).sum::<usize>();
    if kept != tasks.len() {
        return Err(format!("has {} tasks of no task set", tasks.len() - kept));
    }
    Ok(())
}

fn of(tasks: &[&Arc<Task>], deployment: &str) -> usize {
    tasks.iter().filter(|task| task.started_by.as_deref() == Some(deployment)).count()
}
