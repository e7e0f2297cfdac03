//! Tasks from the model to the wire.

use model::task::{Attachment, AttachmentStatus, Container, ContainerOverride, NetworkBinding};
use model::{Arn, HealthStatus, LaunchType, Protocol, StopCode, Task, capability};
use store::Tables;
use wire::ecs;

use super::{service_connect, signed, tag, time};

/// What a FARGATE task has when it asks for nothing, in GiB.
const EPHEMERAL_STORAGE_DEFAULT_GIB: u32 = 20;

/// A task as Describe shows it. `tags` are shown when they are asked for, else as an empty list.
pub fn to_wire(tables: &Tables, task: &Task, tags: bool) -> ecs::Task {
    let scope = &task.scope;
    let arn = Arn::task_text(scope, &task.cluster, task.id);
    let is_fargate = task.launch_type == LaunchType::Fargate;
    let storage = is_fargate.then(|| signed(task.ephemeral_storage.unwrap_or(EPHEMERAL_STORAGE_DEFAULT_GIB)));
    let instance = task.container_instance.map(|id| Arn::container_instance(scope, &task.cluster, id).to_string());
    ecs::Task {
        attachments: Some({
            let interface = task.attachment.iter().map(attachment_to_wire);
            interface.chain(service_connect::attachment_to_wire(task)).collect()
        }),
        attributes: Some(attributes(tables, task)),
        availability_zone: task.availability_zone.clone(),
        capacity_provider_name: task.capacity_provider.clone(),
        cluster_arn: Some(Arn::cluster(scope, &task.cluster).to_string()),
        connectivity: task.connectivity_at.map(|_| connectivity(task.connected)),
        connectivity_at: task.connectivity_at.map(time),
        container_instance_arn: instance,
        containers: Some(task.containers.iter().map(|container| container_to_wire(task, &arn, container)).collect()),
        cpu: Some(task.cpu.unwrap_or(task.reservation.cpu).0.to_string()),
        created_at: Some(time(task.created_at)),
        desired_status: Some(task.desired_status.as_str().to_owned()),
        enable_execute_command: Some(false),
        ephemeral_storage: storage.map(|size_in_gi_b| ecs::EphemeralStorage { size_in_gi_b }),
        execution_stopped_at: task.execution_stopped_at.map(time),
        fargate_ephemeral_storage: storage
            .map(|size| ecs::TaskEphemeralStorage { size_in_gi_b: Some(size), ..Default::default() }),
        group: Some(task.group.clone()),
        health_status: Some(health_to_wire(task.health)),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(task.last_status.as_str().to_owned()),
        launch_type: Some(launch_type_to_wire(task.launch_type)),
        memory: Some(task.memory.unwrap_or(task.reservation.memory).0.to_string()),
        overrides: Some(overrides_to_wire(task)),
        platform_family: is_fargate.then(|| "Linux".to_owned()),
        platform_version: task.platform_version.clone(),
        pull_started_at: task.pull_started_at.map(time),
        pull_stopped_at: task.pull_stopped_at.map(time),
        started_at: task.started_at.map(time),
        started_by: task.started_by.clone(),
        stop_code: task.stop_code.map(stop_code_to_wire),
        stopped_at: task.stopped_at.map(time),
        stopped_reason: task.stopped_reason.clone(),
        stopping_at: task.stopping_at.map(time),
        tags: Some(if tags { tag::to_wire(&task.tags) } else { Vec::new() }),
        task_arn: Some(arn),
        task_definition_arn: Some(Arn::task_definition(scope, &task.family, task.revision).to_string()),
        trusted_execution_summary: None,
        version: i64::try_from(task.version).ok(),
    }
}

pub fn launch_type_to_wire(launch_type: LaunchType) -> ecs::LaunchType {
    match launch_type {
        LaunchType::Ec2 => ecs::LaunchType::Ec2,
        LaunchType::Fargate => ecs::LaunchType::Fargate,
        LaunchType::External => ecs::LaunchType::External,
    }
}

/// The architecture of the node that the task is on.
fn attributes(tables: &Tables, task: &Task) -> Vec<ecs::Attribute> {
    let node = task.node.and_then(|id| tables.nodes.get(&id));
    let architecture =
        node.and_then(|node| node.attributes.iter().find(|attribute| attribute.name == capability::CPU_ARCHITECTURE));
    let shown = architecture.map(|attribute| ecs::Attribute {
        name: attribute.name.clone(),
        value: attribute.value.clone(),
        ..Default::default()
    });
    shown.into_iter().collect()
}

fn connectivity(connected: bool) -> ecs::Connectivity {
    if connected { ecs::Connectivity::Connected } else { ecs::Connectivity::Disconnected }
}

fn health_to_wire(health: HealthStatus) -> ecs::HealthStatus {
    match health {
        HealthStatus::Healthy => ecs::HealthStatus::Healthy,
        HealthStatus::Unhealthy => ecs::HealthStatus::Unhealthy,
        HealthStatus::Unknown => ecs::HealthStatus::UnknownValue,
    }
}

fn stop_code_to_wire(code: StopCode) -> ecs::TaskStopCode {
    match code {
        StopCode::TaskFailedToStart => ecs::TaskStopCode::TaskFailedToStart,
        StopCode::EssentialContainerExited => ecs::TaskStopCode::EssentialContainerExited,
        StopCode::UserInitiated => ecs::TaskStopCode::UserInitiated,
        StopCode::ServiceSchedulerInitiated => ecs::TaskStopCode::ServiceSchedulerInitiated,
        StopCode::SpotInterruption => ecs::TaskStopCode::SpotInterruption,
        StopCode::TerminationNotice => ecs::TaskStopCode::TerminationNotice,
    }
}

/// Before the interface is made, only its subnet is known (ecs-semantics §1.6).
fn is_made(attachment: &Attachment) -> bool {
    attachment.status > AttachmentStatus::Precreated
}

fn attachment_to_wire(attachment: &Attachment) -> ecs::Attachment {
    let detail =
        |name: &str, value: &str| ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_owned()) };
    let mut details = vec![detail("subnetId", &attachment.subnet_id)];
    if is_made(attachment) {
        details.extend([
            detail("networkInterfaceId", &attachment.interface_id),
            detail("macAddress", &attachment.mac),
            detail("privateDnsName", &attachment.private_dns_name),
            detail("privateIPv4Address", &attachment.address.to_string()),
        ]);
    }
    ecs::Attachment {
        details: Some(details),
        id: Some(attachment.id.clone()),
        status: Some(attachment.status.as_str().to_owned()),
        r#type: Some("ElasticNetworkInterface".to_owned()),
    }
}

fn container_to_wire(task: &Task, task_arn: &str, container: &Container) -> ecs::Container {
    let interface = task.attachment.iter().filter(|attachment| is_made(attachment)).map(interface_to_wire);
    ecs::Container {
        container_arn: Some(Arn::container(&task.scope, &task.cluster, task.id, &container.id).to_string()),
        cpu: Some(container.cpu.0.to_string()),
        exit_code: container.exit_code,
        gpu_ids: (!container.gpu_ids.is_empty()).then(|| container.gpu_ids.clone()),
        health_status: Some(health_to_wire(container.health)),
        image: Some(container.image.clone()),
        image_digest: container.image_digest.clone(),
        last_status: Some(container.last_status.as_str().to_owned()),
        memory: container.memory.map(|memory| memory.0.to_string()),
        memory_reservation: container.memory_reservation.map(|memory| memory.0.to_string()),
        name: Some(container.name.clone()),
        network_bindings: Some(container.network_bindings.iter().map(binding_to_wire).collect()),
        network_interfaces: Some(interface.collect()),
        reason: container.reason.clone(),
        runtime_id: container.runtime_id.clone(),
        task_arn: Some(task_arn.to_owned()),
        ..Default::default()
    }
}

fn interface_to_wire(attachment: &Attachment) -> ecs::NetworkInterface {
    ecs::NetworkInterface {
        attachment_id: Some(attachment.id.clone()),
        private_ipv4_address: Some(attachment.address.to_string()),
        ipv6_address: None,
    }
}

fn binding_to_wire(binding: &NetworkBinding) -> ecs::NetworkBinding {
    ecs::NetworkBinding {
        bind_ip: Some(binding.bind_ip.clone()),
        container_port: Some(binding.container_port.into()),
        host_port: Some(binding.host_port.into()),
        protocol: Some(match binding.protocol {
            Protocol::Tcp => ecs::TransportProtocol::Tcp,
            Protocol::Udp => ecs::TransportProtocol::Udp,
        }),
        ..Default::default()
    }
}

/// One entry per container, with at least its name.
fn overrides_to_wire(task: &Task) -> ecs::TaskOverride {
    let overrides = &task.overrides;
    let container = |name: &str| match overrides.containers.iter().find(|change| change.name == name) {
        Some(change) => container_override_to_wire(change),
        None => ecs::ContainerOverride { name: Some(name.to_owned()), ..Default::default() },
    };
    ecs::TaskOverride {
        container_overrides: Some(task.containers.iter().map(|row| container(&row.name)).collect()),
        cpu: overrides.cpu.clone(),
        ephemeral_storage: overrides.ephemeral_storage.map(|size| ecs::EphemeralStorage { size_in_gi_b: signed(size) }),
        execution_role_arn: overrides.execution_role_arn.clone(),
        inference_accelerator_overrides: Some(Vec::new()),
        memory: overrides.memory.clone(),
        task_role_arn: None,
    }
}

fn container_override_to_wire(change: &ContainerOverride) -> ecs::ContainerOverride {
    let pair =
        |(name, value): &(String, String)| ecs::KeyValuePair { name: Some(name.clone()), value: Some(value.clone()) };
    ecs::ContainerOverride {
        command: change.command.clone(),
        cpu: change.cpu.map(|cpu| signed(cpu.0)),
        environment: (!change.environment.is_empty()).then(|| change.environment.iter().map(pair).collect()),
        memory: change.memory.map(|memory| signed(memory.0)),
        memory_reservation: change.memory_reservation.map(|memory| signed(memory.0)),
        name: Some(change.name.clone()),
        ..Default::default()
    }
}
