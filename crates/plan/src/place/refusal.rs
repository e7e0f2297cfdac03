//! Whether one node would take a task, and why not: first what it lacks, then the constraints, in AWS's order
//! (ecs-semantics §3.3, §4.2).

use model::query::InstanceView;
use model::resources::Shortage;
use model::{Attribute, InstanceStatus, NodeId, Query};

use super::queue::Shape;
use super::{Constraint, Node, Target};

/// Why a node does not take a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Resource(Shortage),
    /// No subnet that it could use has a free address.
    Interface,
    /// Its agent is not connected.
    Agent,
    /// Lacks this attribute.
    Attribute(String),
    /// Is in none of the zones of the subnets.
    Location,
    /// Is none of those that this expression means.
    MemberOf(String),
    DistinctInstance,
    /// The container instance is DRAINING, or is none any more.
    Inactive,
}

impl Reason {
    /// The text of `failures[].reason`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Resource(shortage) => shortage.reason(),
            Self::Interface => "RESOURCE:ENI",
            Self::Agent => "AGENT",
            Self::Attribute(_) => "ATTRIBUTE",
            Self::Location => "LOCATION",
            Self::MemberOf(_) => "MemberOf placement constraint unsatisfied.",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A node that does not take a task of the request, why, and the same in words with figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub node: NodeId,
    pub reason: Reason,
    pub detail: String,
}

/// Whether the node would take a task of this shape if it had the room: all of [`refusal`] that its tasks do not touch.
pub(super) fn admits(shape: &Shape, node: &Node) -> bool {
    let is_there = |required| has(node, required);
    takes_tasks(shape, node)
        && node.connected
        && shape.required_attributes.iter().all(is_there)
        && shape.zones.as_ref().is_none_or(|zones| zones.get(&node.zone) == Some(&true))
        && !shape.exhausted
        && shape.constraints.iter().all(|constraint| constraint.reads_tasks() || satisfies(constraint, node))
}

/// The rest of [`refusal`]: whether what is free and the tasks on the node leave room, of which so many are the group's.
pub(super) fn has_room(shape: &Shape, node: &Node, tasks: u32) -> bool {
    node.free.fits(&shape.reservation).is_ok()
        && (!shape.distinct || tasks == 0)
        && (!shape.reads_tasks || shape.constraints.iter().all(|constraint| satisfies(constraint, node)))
}

/// `None` when the node takes a task of this shape.
pub(super) fn refusal(shape: &Shape, node: &Node) -> Option<Reason> {
    if !takes_tasks(shape, node) {
        return Some(Reason::Inactive);
    }
    if let Err(shortage) = node.free.fits(&shape.reservation) {
        return Some(Reason::Resource(shortage));
    }
    if !node.connected {
        return Some(Reason::Agent);
    }
    if let Some(missing) = shape.required_attributes.iter().find(|required| !has(node, required)) {
        return Some(Reason::Attribute(missing.name.clone()));
    }
    match shape.zones.as_ref().map(|zones| zones.get(&node.zone)) {
        Some(None) => return Some(Reason::Location),
        Some(Some(false)) => return Some(Reason::Interface),
        Some(Some(true)) | None => {}
    }
    if shape.exhausted {
        return Some(Reason::Interface);
    }
    shape.constraints.iter().find_map(|constraint| violation(constraint, shape, node))
}

/// A machine that is being drained takes nothing new. One that is no container instance may still offer FARGATE.
fn takes_tasks(shape: &Shape, node: &Node) -> bool {
    match shape.target {
        Target::Cluster(_) | Target::Provider { .. } => node.status == InstanceStatus::Active,
        Target::Fargate => node.status != InstanceStatus::Draining,
    }
}

fn has(node: &Node, required: &Attribute) -> bool {
    let named = node.attributes.iter().find(|attribute| attribute.name == required.name);
    named.is_some_and(|attribute| required.value.is_none() || attribute.value == required.value)
}

/// But for `distinctInstance`, which is a question of room.
fn satisfies(constraint: &Constraint, node: &Node) -> bool {
    match constraint {
        Constraint::DistinctInstance => true,
        Constraint::MemberOf(query) => is_member(query, node),
    }
}

fn violation(constraint: &Constraint, shape: &Shape, node: &Node) -> Option<Reason> {
    match constraint {
        Constraint::DistinctInstance => node.task_groups.contains_key(&shape.group).then_some(Reason::DistinctInstance),
        Constraint::MemberOf(query) => (!is_member(query, node)).then(|| Reason::MemberOf(query.to_string())),
    }
}

fn is_member(query: &Query, node: &Node) -> bool {
    query.matches(&InstanceView {
        agent_connected: node.connected,
        agent_version: &node.agent_version,
        attributes: &node.attributes,
        ec2_instance_id: &node.ec2_instance_id,
        registered_at: node.registered_at,
        running_tasks: node.running_tasks,
        task_groups: &node.task_groups,
    })
}

/// The reason in words that help: what is asked for and what is there.
pub(super) fn detail(reason: &Reason, shape: &Shape, node: &Node) -> String {
    let wanted = &shape.reservation;
    match reason {
        Reason::Resource(Shortage::Cpu) => {
            format!("the task needs {} CPU units and {} are free", wanted.cpu.0, node.free.cpu.0)
        }
        Reason::Resource(Shortage::Memory) => {
            format!("the task needs {} MiB of memory and {} are free", wanted.memory.0, node.free.memory.0)
        }
        Reason::Resource(Shortage::Ports) => {
            let taken = wanted.ports.intersection(&node.free.ports);
            let listed: Vec<_> = taken.map(|port| format!("{}/{}", port.number, port.protocol.as_str())).collect();
            format!("host port {} is taken", listed.join(", "))
        }
        Reason::Resource(Shortage::Gpu) => {
            format!("the task needs {} GPUs and {} are free", wanted.gpu_count, node.free.gpus.len())
        }
        Reason::Interface => "the subnets of the request have no free address".to_owned(),
        Reason::Agent => "the agent is not connected".to_owned(),
        Reason::Attribute(name) => format!("the attribute {name} is missing or has another value"),
        Reason::Location => format!("no subnet of the request is in the zone {}", node.zone),
        Reason::MemberOf(expression) => format!("does not satisfy: {expression}"),
        Reason::DistinctInstance => format!("a task of the group {} is here already", shape.group),
        Reason::Inactive => format!("the container instance is {}", node.status.as_str()),
    }
}
