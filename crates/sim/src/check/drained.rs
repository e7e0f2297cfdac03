//! A task that is in target groups is asked to stop only when nothing is under way to it any more, by what the data path
//! told, or when the deregistration delay is over.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use control::Clock;
use model::load_balancer::TargetGroup;
use model::{DesiredStatus, Task, TaskId, TaskStatus, TaskTarget};
use store::Tables;

use super::{Check, short};
use crate::client::balance::DELAY;
use crate::edge::{Leaving, Releases};

pub struct Drained {
    releases: Releases,
    clock: Clock,
    /// What was seen to be taken out, by the task and the number of its target.
    leaving: BTreeMap<(TaskId, usize), Leaving>,
}

impl Drained {
    pub fn new(releases: Releases, clock: Clock) -> Self {
        Self { releases, clock, leaving: BTreeMap::new() }
    }
}

impl Check for Drained {
    fn invariant(&self) -> &'static str {
        "a task is asked to stop only when its targets are drained"
    }

    fn look(&mut self, tables: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        for task in changed {
            for (index, target) in task.targets.iter().enumerate() {
                if let Some(leaving) = leaving(tables, task, target) {
                    self.leaving.insert((task.id, index), leaving);
                }
                let is_told =
                    task.desired_on_node() == DesiredStatus::Stopped && task.last_status < TaskStatus::Stopped;
                if is_told && target.place.is_some() {
                    self.judge(task, index)?;
                }
            }
        }
        Ok(())
    }
}

impl Drained {
    fn judge(&self, task: &Task, index: usize) -> Result<(), String> {
        let group = &task.targets[index].target_group;
        let Some(leaving) = self.leaving.get(&(task.id, index)) else {
            return Err(format!("task {} is asked to stop, and still in {group}", short(task)));
        };
        let is_over = self.clock.now() >= leaving.2.plus(DELAY);
        match is_over || self.releases.has(leaving) {
            true => Ok(()),
            false => Err(format!("task {} is asked to stop, and has requests from {group}", short(task))),
        }
    }
}

fn leaving(tables: &Tables, task: &Task, target: &TaskTarget) -> Option<Leaving> {
    let place = target.place?;
    let (scope, group) = TargetGroup::key_of(&target.target_group)?;
    let row = tables.targets.get(&(scope, group, place.address, place.port))?;
    let since = row.deregistered_at.filter(|_| row.task == Some(task.id))?;
    Some((target.target_group.clone(), SocketAddr::new(IpAddr::V4(place.address), place.port), since))
}
