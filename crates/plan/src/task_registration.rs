//! What is done about a task's place in Cloud Map (ecs-semantics §3.7): the instance that it is there, from when its
//! containers run until it is to stop. When that is, is decided as for target groups: see [`task_target`](crate::task_target).
//!
//! Pure: a task's row, and what is there, give what is to be there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use model::discovery::{IPV4, PORT};
use model::service::GROUP_PREFIX;
use model::task_registration::{TaskRegistration, TaskRegistrationStatus as Status};
use model::{HealthStatus, Task, TaskStatus, Timestamp};

use crate::service_connect::HELD_MAX;

/// What there is of the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrySight {
    /// The Cloud Map service is there.
    pub has_service: bool,
    /// Its instances have a health of their own, which is the task's.
    pub has_health: bool,
    /// The instance is there, and as healthy as this.
    pub instance: Option<bool>,
    /// The data path has nothing under way to it any more.
    pub is_drained: bool,
}

/// What is to be done about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryStep {
    Register { is_healthy: bool },
    Mark { is_healthy: bool },
    Deregister,
}

/// `serves`: the task is meant to run, and its containers do. Somebody else may have taken the instance out: it stays
/// so.
pub fn advance(
    task: &Task,
    registration: &mut TaskRegistration,
    sight: RegistrySight,
    serves: bool,
    now: Timestamp,
) -> Option<RegistryStep> {
    if registration.is_waiting() && serves && is_held(task, registration, now) {
        return None;
    }
    let is_healthy = !sight.has_health || is_healthy(task);
    match (registration.status, serves) {
        // Its node has yet to say where the port is published.
        (Status::Waiting, true)
            if registration.registry.container_port.is_some() && port(task, registration).is_none() =>
        {
            None
        }
        (Status::Waiting, true) => {
            registration.status = Status::Registered;
            sight.has_service.then_some(RegistryStep::Register { is_healthy })
        }
        (Status::Registered, true) => {
            sight.instance.filter(|now| *now != is_healthy).map(|_| RegistryStep::Mark { is_healthy })
        }
        (Status::Draining, _) => {
            if sight.is_drained
                || task.last_status > TaskStatus::Deactivating
                || wake_at(task, registration) <= Some(now)
            {
                registration.status = Status::Gone;
            }
            None
        }
        (Status::Registered, false) => {
            registration.status = match &mut registration.connect {
                Some(place) if task.last_status == TaskStatus::Deactivating => {
                    place.since = Some(now);
                    Status::Draining
                }
                _ => Status::Gone,
            };
            sight.instance.map(|_| RegistryStep::Deregister)
        }
        (Status::Waiting, false) | (Status::Gone, _) => None,
    }
}

/// Whether a place of Service Connect waits for the task's health, beginning now if it has to.
fn is_held(task: &Task, registration: &mut TaskRegistration, now: Timestamp) -> bool {
    let Some(place) = &mut registration.connect else { return false };
    if is_healthy(task) {
        return false;
    }
    place.since.get_or_insert(now);
    wake_at(task, registration).is_some_and(|at| now < at)
}

/// When a place of Service Connect that waits has waited long enough.
pub fn wake_at(task: &Task, registration: &TaskRegistration) -> Option<Timestamp> {
    let place = registration.connect.as_ref()?;
    let limit = match (registration.status, task.health) {
        (Status::Waiting, HealthStatus::Unhealthy) => HELD_MAX,
        (Status::Waiting, _) => Duration::from_secs(place.hold_seconds.into()),
        (Status::Draining, _) => Duration::from_secs(place.drain_seconds.into()),
        (Status::Registered | Status::Gone, _) => return None,
    };
    Some(place.since?.plus(limit))
}

/// A task whose containers have health checks is healthy once all of them say so.
fn is_healthy(task: &Task) -> bool {
    let has_checks = task.containers.iter().any(|container| container.essential && container.has_health_check);
    !has_checks || task.health == HealthStatus::Healthy
}

/// What else is known of a task's node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// Where its published ports are.
    pub address: Option<Ipv4Addr>,
    /// `i-…`, of an EC2 instance.
    pub ec2_instance_id: Option<String>,
}

/// The instance's attributes, as ECS gives them.
pub fn attributes(task: &Task, registration: &TaskRegistration, node: &NodeFacts) -> BTreeMap<String, String> {
    let service = task.group.strip_prefix(GROUP_PREFIX).unwrap_or_default();
    let address = task.attachment.as_ref().map(|attachment| attachment.address).or(node.address);
    let all = [
        (IPV4, address.map(|address| address.to_string())),
        (PORT, port(task, registration).map(|port| port.to_string())),
        ("AVAILABILITY_ZONE", task.availability_zone.clone()),
        ("REGION", Some(task.scope.region.to_string())),
        ("ECS_SERVICE_NAME", Some(service.to_owned())),
        ("ECS_CLUSTER_NAME", Some(task.cluster.clone())),
        ("ECS_TASK_DEFINITION_FAMILY", Some(task.family.clone())),
        ("EC2_INSTANCE_ID", node.ec2_instance_id.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Where the task is called by Service Connect: at its own address, or where its node publishes the port.
pub fn place(task: &Task, registration: &TaskRegistration, node: Option<Ipv4Addr>) -> Option<SocketAddrV4> {
    let address = task.attachment.as_ref().map(|attachment| attachment.address).or(node)?;
    Some(SocketAddrV4::new(address, port(task, registration)?))
}

/// As it is given, the container's own in `awsvpc`, or where that is published.
fn port(task: &Task, registration: &TaskRegistration) -> Option<u16> {
    let registry = &registration.registry;
    if registry.port.is_some() {
        return registry.port;
    }
    let wanted = registry.container_port?;
    if task.attachment.is_some() {
        return Some(wanted);
    }
    let name = registry.container.as_deref()?;
    let container = task.containers.iter().find(|container| container.name == name)?;
    let binding = container.network_bindings.iter().find(|binding| binding.container_port == wanted)?;
    Some(binding.host_port)
}
