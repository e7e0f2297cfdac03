//! Task definitions between wire and model. Every member of the wire shapes is taken apart by name here or in
//! `container_definition`, without a rest pattern: one that a newer service model adds does not compile until it is
//! either converted or refused. So nothing is ever accepted and ignored.

use model::task_definition::{RuntimePlatform, TaskDefinition, TaskDefinitionStatus, Volume};
use model::{Arn, Attribute, LaunchType, NetworkMode, Scope, Timestamp};
use plan::task_definition::{Refusal, parse_cpu, parse_memory};
use wire::ecs;
use wire::ecs::Error;

use super::{container_definition, given, has_items, is_true, non_empty, refuse_unbuilt, tag, time};

/// What the caller does not say.
#[derive(Clone, Debug)]
pub struct Registration {
    pub scope: Scope,
    pub revision: u32,
    pub at: Timestamp,
    /// The caller's ARN.
    pub by: String,
}

/// A definition with its defaults filled in (ecs-semantics §2.1), not judged yet: neither `compatibilities` nor
/// `requires_attributes` are there.
///
/// # Errors
/// `ClientException` for a field that is not built, named, and for a value that the model cannot hold.
pub fn from_wire(
    request: ecs::RegisterTaskDefinitionRequest,
    registration: Registration,
) -> Result<TaskDefinition, Error> {
    let ecs::RegisterTaskDefinitionRequest {
        container_definitions,
        cpu,
        enable_fault_injection,
        ephemeral_storage,
        execution_role_arn,
        family,
        inference_accelerators,
        ipc_mode,
        memory,
        network_mode,
        pid_mode,
        placement_constraints,
        proxy_configuration,
        requires_compatibilities,
        runtime_platform,
        tags,
        task_role_arn,
        trusted_execution_configuration,
        volumes,
    } = request;
    refuse_unbuilt(
        "",
        &[
            ("taskRoleArn", given(&task_role_arn)),
            ("pidMode", pid_mode.is_some()),
            ("ipcMode", ipc_mode.is_some()),
            ("proxyConfiguration", proxy_configuration.is_some()),
            ("inferenceAccelerators", has_items(&inference_accelerators)),
            ("enableFaultInjection", is_true(enable_fault_injection)),
            ("trustedExecutionConfiguration", trusted_execution_configuration.is_some()),
        ],
    )?;
    let mode = network_mode_from_wire(network_mode.as_ref())?;
    let containers =
        container_definitions.into_iter().map(|container| container_definition::from_wire(container, mode));
    Ok(TaskDefinition {
        scope: registration.scope,
        family,
        revision: registration.revision,
        status: TaskDefinitionStatus::Active,
        containers: containers.collect::<Result<_, _>>()?,
        volumes: volumes.unwrap_or_default().into_iter().map(volume_from_wire).collect::<Result<_, _>>()?,
        cpu: cpu.map(|cpu| parse_cpu(&cpu)).transpose().map_err(refused)?,
        memory: memory.map(|memory| parse_memory(&memory)).transpose().map_err(refused)?,
        network_mode: mode,
        network_mode_given: network_mode.is_some(),
        requires_compatibilities: compatibilities_from_wire(requires_compatibilities.unwrap_or_default())?,
        compatibilities: vec![],
        execution_role_arn: non_empty(execution_role_arn),
        placement_constraints: constraints_from_wire(placement_constraints.unwrap_or_default())?,
        runtime_platform: runtime_platform.map(platform_from_wire).transpose()?,
        ephemeral_storage: ephemeral_storage.map(ephemeral_storage_from_wire).transpose()?,
        requires_attributes: vec![],
        tags: tag::from_wire(tags.unwrap_or_default())?,
        registered_at: registration.at,
        registered_by: registration.by,
        deregistered_at: None,
        delete_requested_at: None,
    })
}

/// A refusal is the text of a `ClientException`.
pub fn refused(refusal: Refusal) -> Error {
    Error::client(refusal.0)
}

fn network_mode_from_wire(mode: Option<&ecs::NetworkMode>) -> Result<NetworkMode, Error> {
    match mode {
        None | Some(ecs::NetworkMode::Bridge) => Ok(NetworkMode::Bridge),
        Some(ecs::NetworkMode::Host) => Ok(NetworkMode::Host),
        Some(ecs::NetworkMode::Awsvpc) => Ok(NetworkMode::Awsvpc),
        Some(ecs::NetworkMode::None) => Ok(NetworkMode::None),
        Some(ecs::NetworkMode::Unknown(mode)) => {
            Err(Error::client(format!("network mode should be one of [bridge,host,awsvpc,none], not '{mode}'")))
        }
    }
}

fn compatibilities_from_wire(given: Vec<ecs::Compatibility>) -> Result<Vec<LaunchType>, Error> {
    given.into_iter().map(|compatibility| compatibility_from_wire(&compatibility)).collect()
}

fn compatibility_from_wire(compatibility: &ecs::Compatibility) -> Result<LaunchType, Error> {
    match compatibility {
        ecs::Compatibility::Ec2 => Ok(LaunchType::Ec2),
        ecs::Compatibility::Fargate => Ok(LaunchType::Fargate),
        ecs::Compatibility::External => Ok(LaunchType::External),
        ecs::Compatibility::ManagedInstances => {
            Err(Error::client("The launch type 'MANAGED_INSTANCES' is not supported by Gantry yet."))
        }
        ecs::Compatibility::Unknown(_) => Err(Error::client("launch type should be one of [EC2,FARGATE,EXTERNAL]")),
    }
}

fn constraints_from_wire(given: Vec<ecs::TaskDefinitionPlacementConstraint>) -> Result<Vec<String>, Error> {
    given.into_iter().map(constraint_from_wire).collect()
}

fn constraint_from_wire(constraint: ecs::TaskDefinitionPlacementConstraint) -> Result<String, Error> {
    let ecs::TaskDefinitionPlacementConstraint { expression, r#type } = constraint;
    if r#type != Some(ecs::TaskDefinitionPlacementConstraintType::MemberOf) {
        return Err(Error::client("A placement constraint of a task definition must be of type 'memberOf'."));
    }
    non_empty(expression).ok_or_else(|| Error::client("A placement constraint of type 'memberOf' needs an expression."))
}

fn platform_from_wire(platform: ecs::RuntimePlatform) -> Result<RuntimePlatform, Error> {
    let ecs::RuntimePlatform { cpu_architecture, operating_system_family } = platform;
    if let Some(ecs::CPUArchitecture::Unknown(name)) = &cpu_architecture {
        return Err(Error::client(format!("cpuArchitecture should be one of [X86_64,ARM64], not '{name}'")));
    }
    match &operating_system_family {
        None | Some(ecs::OSFamily::Linux) => {}
        Some(other) => {
            let other = other.as_str();
            return Err(Error::client(format!(
                "The operating system family '{other}' is not supported by Gantry: only LINUX is."
            )));
        }
    }
    Ok(RuntimePlatform {
        cpu_architecture: cpu_architecture.map(|name| name.as_str().to_owned()),
        operating_system_family: operating_system_family.map(|name| name.as_str().to_owned()),
    })
}

fn ephemeral_storage_from_wire(storage: ecs::EphemeralStorage) -> Result<u32, Error> {
    let ecs::EphemeralStorage { size_in_gi_b } = storage;
    Ok(u32::try_from(size_in_gi_b).unwrap_or(0))
}

fn volume_from_wire(volume: ecs::Volume) -> Result<Volume, Error> {
    let ecs::Volume {
        configured_at_launch,
        docker_volume_configuration,
        efs_volume_configuration,
        fsx_windows_file_server_volume_configuration,
        host,
        name,
        s3files_volume_configuration,
    } = volume;
    let name = name.unwrap_or_default();
    refuse_unbuilt(
        &format!("volume '{name}'"),
        &[
            ("configuredAtLaunch", is_true(configured_at_launch)),
            ("dockerVolumeConfiguration", docker_volume_configuration.is_some()),
            ("efsVolumeConfiguration", efs_volume_configuration.is_some()),
            ("fsxWindowsFileServerVolumeConfiguration", fsx_windows_file_server_volume_configuration.is_some()),
            ("s3filesVolumeConfiguration", s3files_volume_configuration.is_some()),
        ],
    )?;
    let host_given = host.is_some();
    let host_path = host.and_then(|ecs::HostVolumeProperties { source_path }| non_empty(source_path));
    Ok(Volume { name, host_path, host_given })
}

/// As Register, Describe, Deregister and Delete show it; `tags` stand beside it.
pub fn to_wire(definition: &TaskDefinition) -> ecs::TaskDefinition {
    let arn = Arn::task_definition(&definition.scope, &definition.family, definition.revision);
    ecs::TaskDefinition {
        task_definition_arn: Some(arn.to_string()),
        container_definitions: Some(definition.containers.iter().map(container_definition::to_wire).collect()),
        family: Some(definition.family.clone()),
        revision: Some(i32::try_from(definition.revision).unwrap_or(i32::MAX)),
        status: Some(definition.status.as_str().into()),
        cpu: definition.cpu.map(|cpu| cpu.0.to_string()),
        memory: definition.memory.map(|memory| memory.0.to_string()),
        network_mode: definition.network_mode_given.then(|| definition.network_mode.as_str().into()),
        execution_role_arn: definition.execution_role_arn.clone(),
        volumes: Some(definition.volumes.iter().map(volume_to_wire).collect()),
        placement_constraints: Some(
            definition.placement_constraints.iter().map(|text| constraint_to_wire(text)).collect(),
        ),
        compatibilities: Some(compatibilities_to_wire(&definition.compatibilities)),
        requires_compatibilities: (!definition.requires_compatibilities.is_empty())
            .then(|| compatibilities_to_wire(&definition.requires_compatibilities)),
        requires_attributes: Some(definition.requires_attributes.iter().map(attribute_to_wire).collect()),
        runtime_platform: definition.runtime_platform.as_ref().map(platform_to_wire),
        ephemeral_storage: definition.ephemeral_storage.map(ephemeral_storage_to_wire),
        registered_at: Some(time(definition.registered_at)),
        registered_by: Some(definition.registered_by.clone()),
        deregistered_at: definition.deregistered_at.map(time),
        delete_requested_at: definition.delete_requested_at.map(time),
        enable_fault_injection: None,
        inference_accelerators: None,
        ipc_mode: None,
        pid_mode: None,
        proxy_configuration: None,
        task_role_arn: None,
        trusted_execution_configuration: None,
    }
}

fn compatibilities_to_wire(launch_types: &[LaunchType]) -> Vec<ecs::Compatibility> {
    launch_types.iter().map(|launch_type| launch_type.as_str().into()).collect()
}

fn constraint_to_wire(expression: &str) -> ecs::TaskDefinitionPlacementConstraint {
    ecs::TaskDefinitionPlacementConstraint {
        expression: Some(expression.to_owned()),
        r#type: Some(ecs::TaskDefinitionPlacementConstraintType::MemberOf),
    }
}

fn attribute_to_wire(attribute: &Attribute) -> ecs::Attribute {
    ecs::Attribute { name: attribute.name.clone(), value: attribute.value.clone(), target_id: None, target_type: None }
}

fn platform_to_wire(platform: &RuntimePlatform) -> ecs::RuntimePlatform {
    ecs::RuntimePlatform {
        cpu_architecture: platform.cpu_architecture.as_deref().map(Into::into),
        operating_system_family: platform.operating_system_family.as_deref().map(Into::into),
    }
}

fn ephemeral_storage_to_wire(size: u32) -> ecs::EphemeralStorage {
    ecs::EphemeralStorage { size_in_gi_b: i32::try_from(size).unwrap_or(i32::MAX) }
}

fn volume_to_wire(volume: &Volume) -> ecs::Volume {
    let host = volume.host_given.then(|| ecs::HostVolumeProperties { source_path: volume.host_path.clone() });
    ecs::Volume {
        name: Some(volume.name.clone()),
        host,
        configured_at_launch: None,
        docker_volume_configuration: None,
        efs_volume_configuration: None,
        fsx_windows_file_server_volume_configuration: None,
        s3files_volume_configuration: None,
    }
}
