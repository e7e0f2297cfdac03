//! Once faults have stopped, every service becomes what it is to be; one whose tasks cannot run says so and stays within
//! its bounds.

use std::sync::Arc;

use model::service::{Rollout, ServiceStatus};
use model::{DesiredStatus, Service, Task, TaskStatus};
use plan::service::bounds;
use store::Tables;

use super::{Check, End};
use crate::plane::scope;
use crate::promise::{Promises, Wanted, service_name};
use crate::shape::Nature;

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
            let service = end.tables.services.get(&(scope(), "default".to_owned(), name.clone()))?;
            let tasks: Vec<&Arc<Task>> = live(end.tables, service).collect();
            let what = judge(service, wanted, &tasks).err()?;
            Some(format!("{name} ({} of {}): {what}", wanted.desired, wanted.shape))
        })
    }
}

/// Its tasks that are not STOPPED, found without the control plane's index.
fn live<'a>(tables: &'a Tables, service: &Service) -> impl Iterator<Item = &'a Arc<Task>> {
    let group = service.group();
    tables.tasks.iter().filter(move |task| task.group == group && task.last_status < TaskStatus::Stopped)
}

fn judge(service: &Service, wanted: &Wanted, tasks: &[&Arc<Task>]) -> Result<(), String> {
    if wanted.is_deleted {
        return match (service.status, tasks.len()) {
            (ServiceStatus::Inactive, 0) => Ok(()),
            (status, count) => Err(format!("is {} with {count} tasks", status.as_str())),
        };
    }
    let desired = service.desired_count as usize;
    let percent = |percent: i32| u32::try_from(percent).unwrap_or(0);
    let (lower, upper) = bounds(service.desired_count, percent(wanted.percent.0), percent(wanted.percent.1));
    if tasks.len() > upper.max(desired) {
        return Err(format!("has {} tasks of at most {upper}", tasks.len()));
    }
    // Percentages that let no task go before another comes, and none come before another goes, as AWS has it, too.
    if lower >= upper && desired > 0 {
        return Ok(());
    }
    let primary = service.primary().ok_or("has no deployment")?;
    if primary.rollout == Rollout::Failed && wanted.breaker.is_some() {
        return Ok(());
    }
    let is_as_asked = primary.family == wanted.shape.family();
    let nature = if is_as_asked { wanted.shape.image.nature() } else { Nature::Passing };
    match nature {
        Nature::Lasting => has_all(service, tasks),
        Nature::Passing => Ok(()),
        Nature::NeverRuns if desired == 0 || primary.failed_attempts > 0 => Ok(()),
        Nature::NeverRuns => Err("does not try to run its tasks".to_owned()),
    }
}

fn has_all(service: &Service, tasks: &[&Arc<Task>]) -> Result<(), String> {
    let primary = service.primary().ok_or("has no deployment")?;
    let runs = |task: &&&Arc<Task>| {
        task.last_status == TaskStatus::Running
            && task.desired_status == DesiredStatus::Running
            && task.started_by.as_deref() == Some(&primary.id)
    };
    let (running, all) = (tasks.iter().filter(runs).count(), tasks.len());
    if running != service.desired_count as usize || all != running {
        return Err(format!("has {running} running tasks of {all}"));
    }
    if service.deployments.len() != 1 || primary.rollout != Rollout::Completed {
        return Err(format!("has {} deployments, the newest {:?}", service.deployments.len(), primary.rollout));
    }
    Ok(())
}
