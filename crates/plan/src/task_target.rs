//! What is done about a task's places in target groups (ecs-semantics §1.4, §3.2, §3.6): when it is registered, how it is
//! known to be there, when it is taken out, and what that means for its status.
//!
//! ```text
//! the containers run ─▶ register ─▶ (in several groups, or in Cloud Map: ACTIVATING ─▶ RUNNING)
//! the task is to stop ─▶ DEACTIVATING: deregister ─▶ drained, or the delay is over ─▶ STOPPING: its node is told
//! the task is over, however ─▶ deregister
//! ```
//! Pure: a task's row and what there is of its places give the row as it becomes, and what is to be written beside it.
//!
//! Invariants
//! - Only a task that is meant to run, and whose containers do, is registered.
//! - A task's containers are asked to stop only when none of its places holds requests any more.
//! - What is known of a target's health stays known until the data path says something else: its silence, and that it
//!   has only begun to look, say nothing.

use std::net::Ipv4Addr;

use model::edge::{TargetHealth, TargetState};
use model::task_target::{Place, TaskTarget, TaskTargetStatus as Status};
use model::{ContainerInstance, DesiredStatus, Task, TaskRegistration, TaskStatus, Timestamp};

use crate::task_registration::{self, RegistrySight, RegistryStep};

const NOT_FOUND: &str = "TARGET IS NOT FOUND.";
const GROUP_NOT_FOUND: &str = "TARGET GROUP IS NOT FOUND.";

/// What there is of one of a task's places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The target group is there.
    pub has_group: bool,
    /// The place's target, if it is there for this task.
    pub target: Option<TargetSight>,
    /// What the data path said of it last.
    pub health: Option<TargetHealth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSight {
    Registered,
    Draining,
}

/// What is to be written about the target group of this index among the task's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Register(usize, Place),
    Deregister(usize, Place),
    /// About the registration of this index among the task's.
    Registry(usize, RegistryStep),
}

/// The task as it becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    pub task: Task,
    pub steps: Vec<Step>,
}

/// Whether anything could ever be to do about the task's places.
pub fn is_open(task: &Task) -> bool {
    let is_over = task.last_status >= TaskStatus::Stopped;
    let is_target_open = task.targets.iter().any(|target| match target.status {
        Status::Waiting => !is_over,
        Status::Gone => false,
        _ => true,
    });
    is_target_open || task.registrations.iter().any(|place| place.is_in() || (place.is_waiting() && !is_over))
}

/// When something is to be done about the task's places though nothing tells of it.
pub fn wake_at(task: &Task) -> Option<Timestamp> {
    task.registrations.iter().filter_map(|place| task_registration::wake_at(task, place)).min()
}

/// What is to be done now, one sight for each of the task's target groups and registrations. `None`: nothing. `host` is
/// the address of the task's node, if others can reach it.
pub fn advance(
    task: &Task,
    sights: &[Sight],
    registries: &[RegistrySight],
    host: Option<Ipv4Addr>,
    now: Timestamp,
) -> Option<Move> {
    let mut next = Move { task: task.clone(), steps: Vec::new() };
    let serves = serves(task);
    for (index, sight) in sights.iter().enumerate().take(task.targets.len()) {
        let place = place_of(task, &task.targets[index], host);
        let target = &mut next.task.targets[index];
        next.steps.extend(match target.status {
            Status::Waiting if serves => {
                target.instance = instance(task);
                register(target, place.filter(|_| sight.has_group), index)
            }
            Status::Waiting | Status::Gone => None,
            Status::Draining => {
                leave(target, sight);
                None
            }
            _ if !serves => deregister(target, sight, index),
            _ => {
                look(target, sight);
                None
            }
        });
    }
    for (index, (place, sight)) in next.task.registrations.iter_mut().zip(registries).enumerate() {
        let step = task_registration::advance(task, place, *sight, serves, now);
        next.steps.extend(step.map(|step| Step::Registry(index, step)));
    }
    let statuses = || next.task.targets.iter().map(|target| target.status);
    let is_waiting = statuses().any(|status| status == Status::Waiting)
        || next.task.registrations.iter().any(TaskRegistration::is_waiting);
    let is_held = next.task.targets.iter().any(TaskTarget::holds)
        || next.task.registrations.iter().any(TaskRegistration::is_draining);
    match task.last_status {
        TaskStatus::Activating if serves && !is_waiting => next.task.activate(now),
        TaskStatus::Deactivating if !is_held => next.task.finish_deactivating(),
        _ => {}
    }
    (next.task != *task || !next.steps.is_empty()).then_some(next)
}

fn serves(task: &Task) -> bool {
    let runs = matches!(task.last_status, TaskStatus::Activating | TaskStatus::Running);
    runs && task.desired_status == DesiredStatus::Running
}

/// Of a task without an address of its own.
fn instance(task: &Task) -> Option<String> {
    let node = task.node.filter(|_| task.attachment.is_none())?;
    Some(ContainerInstance::ec2_instance_id_of(node))
}

/// The port that requests of a target group go to: of the task's own address, or published on its node.
fn place_of(task: &Task, target: &TaskTarget, host: Option<Ipv4Addr>) -> Option<Place> {
    if let Some(attachment) = &task.attachment {
        return Some(Place { address: attachment.address, port: target.container_port });
    }
    let container = task.containers.iter().find(|container| container.name == target.container)?;
    let mut bindings = container.network_bindings.iter();
    let binding = bindings.find(|binding| binding.container_port == target.container_port)?;
    Some(Place { address: host?, port: binding.host_port })
}

fn register(target: &mut TaskTarget, place: Option<Place>, index: usize) -> Option<Step> {
    let place = place?;
    target.place = Some(place);
    target.status = Status::Initial;
    Some(Step::Register(index, place))
}

fn deregister(target: &mut TaskTarget, sight: &Sight, index: usize) -> Option<Step> {
    let is_there = sight.target.is_some();
    target.status = if is_there { Status::Draining } else { Status::Gone };
    target.place.filter(|_| is_there).map(|place| Step::Deregister(index, place))
}

/// The data path, or the deregistration delay, has ended it.
fn leave(target: &mut TaskTarget, sight: &Sight) {
    if sight.target.is_none() {
        target.status = Status::Gone;
    }
}

fn look(target: &mut TaskTarget, sight: &Sight) {
    let Sight { has_group, target: found, health } = sight;
    if *found != Some(TargetSight::Registered) {
        target.status = Status::Missing;
        target.reason = if *has_group { NOT_FOUND } else { GROUP_NOT_FOUND }.to_owned();
        return;
    }
    let Some(health) = health else { return };
    let status = match health.state {
        TargetState::Healthy => Status::Healthy,
        TargetState::Unhealthy => Status::Unhealthy,
        TargetState::Unused => Status::Initial,
        TargetState::Initial | TargetState::Draining => return,
    };
    target.status = status;
    target.reason = match status {
        Status::Unhealthy => health.description.clone(),
        _ => String::new(),
    };
}
