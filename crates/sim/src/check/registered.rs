//! In the end target groups hold the tasks of their services that run, and nothing else; those that last are healthy.

use std::time::Duration;

use control::Clock;
use model::load_balancer::Target;
use model::service::ServiceStatus;
use model::{Service, Task, TaskStatus, TaskTarget};
use store::{Tables, service_of};

use super::{Check, End, short};
use crate::client::balance::DELAY;
use crate::promise::{Promises, service_name};
use crate::shape::Nature;

/// Between the end of the delay and the target's.
const SLACK: Duration = Duration::from_secs(5);

pub struct Registered {
    promises: Promises,
    clock: Clock,
}

impl Registered {
    pub fn new(promises: Promises, clock: Clock) -> Self {
        Self { promises, clock }
    }
}

impl Check for Registered {
    fn invariant(&self) -> &'static str {
        "target groups hold the tasks that run, and nothing else"
    }

    fn unsettled(&self, end: &End<'_>) -> Option<String> {
        let stray = end.tables.targets.iter().find_map(|target| self.judge(end.tables, target).err());
        let missing = || end.tables.tasks.iter().find_map(|task| self.judge_task(end.tables, task).err());
        stray.or_else(missing)
    }
}

impl Registered {
    fn judge(&self, tables: &Tables, target: &Target) -> Result<(), String> {
        let named = || format!("{}:{} in {}", target.address, target.port, target.group);
        if let Some(since) = target.deregistered_at {
            return match self.clock.now() <= since.plus(DELAY + SLACK) {
                true => Ok(()),
                false => Err(format!("{} is draining for too long", named())),
            };
        }
        let task = target.task.and_then(|id| tables.tasks.get(&id));
        match task.is_some_and(|task| task.last_status == TaskStatus::Running) {
            true => Ok(()),
            false => Err(format!("{} is no task that runs", named())),
        }
    }

    fn judge_task(&self, tables: &Tables, task: &Task) -> Result<(), String> {
        let service = service_of(task).and_then(|key| tables.services.get(&key));
        let lasts = service.is_some_and(|service| self.lasts(service));
        let runs = task.last_status == TaskStatus::Running;
        match lasts && runs && !task.targets.iter().all(TaskTarget::is_healthy) {
            true => Err(format!("task {} runs and is not healthy in its target groups", short(task))),
            false => Ok(()),
        }
    }

    /// It runs in the end what was asked for, and that lasts.
    fn lasts(&self, service: &Service) -> bool {
        let promises = self.promises.all();
        let wanted = promises.services.iter().find(|(slot, _)| service_name(**slot) == service.name);
        let lasts = wanted.is_some_and(|(_, wanted)| {
            let is_sure = !wanted.is_stopped && !wanted.order.may_fail() && !wanted.is_deleted;
            is_sure && wanted.order.shape.image.nature() == Nature::Lasting
        });
        lasts && service.status == ServiceStatus::Active && service.deployments.len() == 1
    }
}
