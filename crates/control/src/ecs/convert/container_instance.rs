//! Container instances from the model to the wire.

use model::{Arn, ContainerInstance, InstanceStatus, Node, Protocol, Resources};
use store::Tables;
use wire::ecs;

use super::{signed, tag, time};
use crate::ecs::attribute::attributes_of;
use crate::ecs::capacity_provider::of_attributes;

/// What of a container instance is shown beside what always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub tags: bool,
    pub health: bool,
}

/// A container instance as Describe shows it. One whose node is forgotten has no resources.
pub fn to_wire(tables: &Tables, instance: &ContainerInstance, detail: Detail) -> ecs::ContainerInstance {
    let node = tables.nodes.get(&instance.node).map(AsRef::as_ref);
    let is_member = instance.status != InstanceStatus::Inactive;
    let connected = is_member && node.is_some_and(|node| node.connected);
    let tasks = tables.node_tasks(instance.node).filter(|_| is_member);
    let attributes =
        node.map_or_else(|| instance.custom_attributes.clone(), |node| attributes_of(node, Some(instance)));
    ecs::ContainerInstance {
        agent_connected: Some(connected),
        attachments: Some(Vec::new()),
        capacity_provider_name: of_attributes(tables, &instance.scope, &attributes).map(str::to_owned),
        attributes: Some(attributes.into_iter().map(attribute_to_wire).collect()),
        container_instance_arn: Some(arn(instance)),
        ec2_instance_id: Some(instance.ec2_instance_id.clone()),
        health_status: (detail.health && is_member).then(|| health(connected)),
        pending_tasks_count: Some(tasks.map_or(0, |tasks| signed(tasks.pending))),
        registered_at: Some(time(instance.registered_at)),
        registered_resources: Some(node.map_or_else(Vec::new, |node| resources(&node.total))),
        remaining_resources: Some(node.map_or_else(Vec::new, |node| resources(&node.free))),
        running_tasks_count: Some(tasks.map_or(0, |tasks| signed(tasks.running))),
        status: Some(instance.status.as_str().to_owned()),
        status_reason: instance.status_reason.clone(),
        tags: Some(if detail.tags { tag::to_wire(&instance.tags) } else { Vec::new() }),
        version: i64::try_from(version(tables, instance)).ok(),
        version_info: node.map(version_info),
        ..Default::default()
    }
}

/// Rises with each change that AWS tells of by an event (ecs-semantics §6.1): the instance's own and its node's.
pub fn version(tables: &Tables, instance: &ContainerInstance) -> u64 {
    let node = tables.nodes.get(&instance.node).filter(|_| instance.status != InstanceStatus::Inactive);
    instance.version + node.map_or(0, |node| node.changes)
}

pub fn arn(instance: &ContainerInstance) -> String {
    Arn::container_instance(&instance.scope, &instance.cluster, instance.id).to_string()
}

pub fn attribute_to_wire(attribute: model::Attribute) -> ecs::Attribute {
    ecs::Attribute { name: attribute.name, value: attribute.value, ..Default::default() }
}

fn version_info(node: &Node) -> ecs::VersionInfo {
    ecs::VersionInfo {
        agent_hash: None,
        agent_version: Some(node.agent_version.clone()),
        docker_version: Some(node.runtime_version.clone()),
    }
}

/// Whether the agent is heard of is all that is watched of a machine.
fn health(connected: bool) -> ecs::ContainerInstanceHealthStatus {
    let state = if connected { ecs::InstanceHealthCheckState::Ok } else { ecs::InstanceHealthCheckState::Impaired };
    let check = ecs::InstanceHealthCheckResult {
        status: Some(state.clone()),
        r#type: Some(ecs::InstanceHealthCheckType::AgentConnectivity),
        ..Default::default()
    };
    ecs::ContainerInstanceHealthStatus { details: Some(vec![check]), overall_status: Some(state) }
}

/// CPU, MEMORY, PORTS, PORTS_UDP, and GPU where there are any (ecs-semantics §1.8).
fn resources(amount: &Resources) -> Vec<ecs::Resource> {
    let integer = |name: &str, value: u32| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: Some(signed(value)),
        double_value: Some(0.0),
        long_value: Some(0),
        string_set_value: None,
    };
    let set = |name: &str, values: Vec<String>| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        integer_value: Some(0),
        double_value: Some(0.0),
        long_value: Some(0),
        string_set_value: Some(values),
    };
    let ports = |protocol: Protocol| {
        let held = amount.ports.iter().filter(|port| port.protocol == protocol);
        held.map(|port| port.number.to_string()).collect()
    };
    let mut resources = vec![
        integer("CPU", amount.cpu.0),
        integer("MEMORY", amount.memory.0),
        set("PORTS", ports(Protocol::Tcp)),
        set("PORTS_UDP", ports(Protocol::Udp)),
    ];
    if !amount.gpus.is_empty() {
        resources.push(set("GPU", amount.gpus.iter().cloned().collect()));
    }
    resources
}
