//! What a node shall run, and what it has left: its tasks, resolved so that the node needs nothing else, and its ledger
//! of resources.
//!
//! Invariants
//! - A task's spec depends only on what never changes after its placement, so it is the same each time.
//! - What is free on a node is its total less the reservations of the tasks that are not yet STOPPED.

use std::sync::Arc;

use model::link::{ConnectSpec, ContainerSpec, InterfaceSpec, TaskSpec};
use model::network::private_dns_name;
use model::task::{Container, ContainerOverride};
use model::{Arn, ContainerDefinition, NetworkInterface, Resources, Task, TaskDefinition, Vpc};

use crate::service_connect;

/// The log option that a task's account setting stands in for.
const LOG_MODE_OPTION: &str = "mode";

/// A task on the node with the rows that its spec is made from.
#[derive(Clone, Copy, Debug)]
pub struct TaskRows<'a> {
    pub task: &'a Task,
    pub definition: &'a TaskDefinition,
    /// For awsvpc, with the VPC that it lies in.
    pub interface: Option<(&'a NetworkInterface, &'a Vpc)>,
}

/// What is free on a node with these tasks. Tasks that are STOPPED hold nothing and must not be among them.
pub fn free<'a>(total: &Resources, reservations: impl IntoIterator<Item = &'a Resources>) -> Resources {
    let mut free = total.clone();
    for reservation in reservations {
        free.take(reservation);
    }
    free
}

/// All that a node needs to run a task: its definition with the overrides applied, and its interface.
pub fn spec(TaskRows { task, definition, interface }: TaskRows) -> TaskSpec {
    TaskSpec {
        id: task.id,
        arn: Arn::task(&task.scope, &task.cluster, task.id).to_string(),
        scope: task.scope.clone(),
        cluster: task.cluster.clone(),
        cluster_arn: Arn::cluster(&task.scope, &task.cluster).to_string(),
        family: task.family.clone(),
        revision: task.revision,
        launch_type: task.launch_type,
        group: task.group.clone(),
        started_by: task.started_by.clone(),
        availability_zone: task.availability_zone.clone(),
        created_at: task.created_at,
        tags: task.tags.clone(),
        cpu: task.cpu,
        memory: task.memory,
        network_mode: definition.network_mode,
        interface: interface.map(|(interface, vpc)| interface_spec(interface, vpc)),
        containers: task.containers.iter().filter_map(|row| container_spec(task, row, definition)).collect(),
        volumes: definition.volumes.clone(),
        connect: task.connect.as_ref().map(|connect| ConnectSpec {
            proxy_port: connect.service.proxy_port,
            hosts: service_connect::hosts(&connect.service),
        }),
    }
}

fn interface_spec(interface: &NetworkInterface, vpc: &Vpc) -> InterfaceSpec {
    let subnet = vpc.subnet(&interface.subnet_id).expect("an interface lies in one of the VPC's subnets");
    InterfaceSpec {
        attachment_id: interface.attachment_id.clone(),
        interface_id: interface.id.clone(),
        mac: interface.mac.clone(),
        address: interface.address,
        subnet_id: interface.subnet_id.clone(),
        subnet_prefix_length: subnet.prefix_length,
        gateway: subnet.gateway(),
        vpc_id: interface.vpc_id.clone(),
        private_dns_name: private_dns_name(interface.address, &interface.scope.region),
        security_groups: interface.security_groups.clone(),
        own_network: !vpc.is_default,
    }
}

fn container_spec(task: &Task, row: &Container, definition: &TaskDefinition) -> Option<ContainerSpec> {
    let mut resolved = definition.containers.iter().find(|container| container.name == row.name)?.clone();
    if let Some(change) = task.overrides.containers.iter().find(|change| change.name == row.name) {
        apply(change, &mut resolved);
    }
    if let Some(image) = row.pinned_image() {
        resolved.image = image;
    }
    if let Some(mode) = &task.overrides.log_driver_mode {
        set_log_mode(&mut resolved, mode);
    }
    let arn = Arn::container(&task.scope, &task.cluster, task.id, &row.id).to_string();
    Some(ContainerSpec { id: row.id.clone(), arn, definition: Arc::new(resolved), gpu_ids: row.gpu_ids.clone() })
}

/// A container's overrides: the command is replaced, environment variables are set one by one, limits are replaced.
pub fn apply(change: &ContainerOverride, definition: &mut ContainerDefinition) {
    if let Some(command) = &change.command {
        definition.command.clone_from(command);
    }
    for (name, value) in &change.environment {
        match definition.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => definition.environment.push((name.clone(), value.clone())),
        }
    }
    definition.cpu = change.cpu.unwrap_or(definition.cpu);
    definition.memory = change.memory.or(definition.memory);
    definition.memory_reservation = change.memory_reservation.or(definition.memory_reservation);
}

fn set_log_mode(definition: &mut ContainerDefinition, mode: &str) {
    let Some(log) = &mut definition.log_configuration else { return };
    if log.option(LOG_MODE_OPTION).is_none() {
        log.options.push((LOG_MODE_OPTION.to_owned(), mode.to_owned()));
    }
}
