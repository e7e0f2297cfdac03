//! Container definitions between wire and model; `task_definition` says what must hold of both.

use std::collections::BTreeMap;

use model::task_definition::{
    Condition, ContainerDefinition, Dependency, Device, HealthCheck, LinuxParameters, LogConfiguration, MountPoint,
    PortMapping, Tmpfs, Ulimit, VolumeFrom,
};
use model::{CpuUnits, MemoryMib, NetworkMode, Protocol};
use plan::task_definition::host_port;
use wire::ecs;
use wire::ecs::Error;

use super::task_definition::refused;
use super::{given, has_items, is_true, items, non_empty, refuse_unbuilt, signed, unsigned};

const HEALTH_CHECK_INTERVAL_SECONDS: u32 = 30;
const HEALTH_CHECK_TIMEOUT_SECONDS: u32 = 5;
const HEALTH_CHECK_RETRIES: u32 = 3;

/// # Errors
/// `ClientException` for a field that is not built, named, and for a value that the model cannot hold.
pub fn from_wire(container: ecs::ContainerDefinition, mode: NetworkMode) -> Result<ContainerDefinition, Error> {
    let ecs::ContainerDefinition {
        command,
        cpu,
        credential_specs,
        depends_on,
        disable_networking,
        dns_search_domains,
        dns_servers,
        docker_labels,
        docker_security_options,
        entry_point,
        environment,
        environment_files,
        essential,
        extra_hosts,
        firelens_configuration,
        health_check,
        hostname,
        image,
        interactive,
        links,
        linux_parameters,
        log_configuration,
        memory,
        memory_reservation,
        mount_points,
        name,
        port_mappings,
        privileged,
        pseudo_terminal,
        readonly_root_filesystem,
        repository_credentials,
        resource_requirements,
        restart_policy,
        secrets,
        start_timeout,
        stop_timeout,
        system_controls,
        ulimits,
        user,
        version_consistency,
        volumes_from,
        working_directory,
    } = container;
    let name = name.unwrap_or_default();
    let owner = format!("container '{name}'");
    refuse_unbuilt(
        &owner,
        &[
            ("credentialSpecs", has_items(&credential_specs)),
            ("disableNetworking", is_true(disable_networking)),
            ("dockerSecurityOptions", has_items(&docker_security_options)),
            ("environmentFiles", has_items(&environment_files)),
            ("firelensConfiguration", firelens_configuration.is_some()),
            ("interactive", is_true(interactive)),
            ("links", has_items(&links)),
            ("pseudoTerminal", is_true(pseudo_terminal)),
            ("repositoryCredentials", repository_credentials.is_some()),
            ("restartPolicy", restart_policy.is_some_and(|policy| policy.enabled)),
            ("secrets", has_items(&secrets)),
        ],
    )?;
    let number = |field: &str, value: Option<i32>| unsigned(field, &owner, value);
    Ok(ContainerDefinition {
        image: image.unwrap_or_default(),
        cpu: CpuUnits(number("cpu", cpu)?.unwrap_or(0)),
        memory: number("memory", memory)?.map(MemoryMib),
        memory_reservation: number("memoryReservation", memory_reservation)?.map(MemoryMib),
        essential: essential.unwrap_or(true),
        entry_point: items(entry_point),
        command: items(command),
        environment: pairs_from_wire(items(environment)),
        port_mappings: ports_from_wire(items(port_mappings), &owner, mode)?,
        user: non_empty(user),
        working_directory: non_empty(working_directory),
        hostname: non_empty(hostname),
        privileged,
        readonly_root_filesystem,
        dns_servers: items(dns_servers),
        dns_search_domains: items(dns_search_domains),
        extra_hosts: items(extra_hosts).into_iter().map(host_from_wire).collect(),
        docker_labels: docker_labels.unwrap_or_default().into_iter().collect(),
        ulimits: items(ulimits).into_iter().map(ulimit_from_wire).collect(),
        system_controls: items(system_controls).into_iter().map(system_control_from_wire).collect(),
        linux_parameters: linux_parameters.map(|linux| linux_from_wire(linux, &owner)).transpose()?,
        health_check: health_check.map(|health| health_check_from_wire(health, &owner)).transpose()?,
        start_timeout: number("startTimeout", start_timeout)?,
        stop_timeout: number("stopTimeout", stop_timeout)?,
        depends_on: items(depends_on).into_iter().map(dependency_from_wire).collect::<Result<_, _>>()?,
        log_configuration: log_configuration.map(|logs| logs_from_wire(logs, &owner)).transpose()?,
        mount_points: items(mount_points).into_iter().map(mount_point_from_wire).collect(),
        volumes_from: items(volumes_from).into_iter().map(volume_from_from_wire).collect(),
        gpu_count: gpu_count_from_wire(items(resource_requirements), &owner)?,
        version_consistency: version_consistency.map(version_consistency_from_wire).transpose()?,
        interactive,
        pseudo_terminal,
        disable_networking,
        name,
    })
}

fn pairs_from_wire(pairs: Vec<ecs::KeyValuePair>) -> Vec<(String, String)> {
    let pair = |ecs::KeyValuePair { name, value }| (name.unwrap_or_default(), value.unwrap_or_default());
    pairs.into_iter().map(pair).collect()
}

fn ports_from_wire(ports: Vec<ecs::PortMapping>, owner: &str, mode: NetworkMode) -> Result<Vec<PortMapping>, Error> {
    ports.into_iter().map(|port| port_from_wire(port, owner, mode)).collect()
}

fn port_from_wire(mapping: ecs::PortMapping, owner: &str, mode: NetworkMode) -> Result<PortMapping, Error> {
    let ecs::PortMapping {
        app_protocol,
        container_port,
        container_port_range,
        host_port: given_host_port,
        name,
        protocol,
    } = mapping;
    refuse_unbuilt(&format!("a port mapping of {owner}"), &[("containerPortRange", given(&container_port_range))])?;
    let port = |field: &str, value: i32| {
        let range = "It must be between 0 and 65535.";
        u16::try_from(value).map_err(|_| Error::client(format!("Invalid '{field}' setting for {owner}. {range}")))
    };
    let Some(container_port) = container_port else {
        return Err(Error::client(format!(
            "Invalid 'portMappings' setting for {owner}. 'containerPort' must be specified."
        )));
    };
    let container_port = port("containerPort", container_port)?;
    let given_host_port = given_host_port.map(|value| port("hostPort", value)).transpose()?;
    Ok(PortMapping {
        container_port,
        host_port: host_port(mode, container_port, given_host_port).map_err(refused)?,
        protocol: protocol_from_wire(protocol.as_ref(), owner)?,
        name: non_empty(name),
        app_protocol: app_protocol.map(|protocol| app_protocol_from_wire(&protocol, owner)).transpose()?,
    })
}

fn protocol_from_wire(protocol: Option<&ecs::TransportProtocol>, owner: &str) -> Result<Protocol, Error> {
    match protocol {
        None | Some(ecs::TransportProtocol::Tcp) => Ok(Protocol::Tcp),
        Some(ecs::TransportProtocol::Udp) => Ok(Protocol::Udp),
        Some(ecs::TransportProtocol::Unknown(name)) => {
            Err(Error::client(format!("Invalid 'protocol' setting for {owner}. It must be tcp or udp, not '{name}'.")))
        }
    }
}

fn app_protocol_from_wire(protocol: &ecs::ApplicationProtocol, owner: &str) -> Result<String, Error> {
    match protocol {
        ecs::ApplicationProtocol::Unknown(name) => Err(Error::client(format!(
            "Invalid 'appProtocol' setting for {owner}. It must be http, http2 or grpc, not '{name}'."
        ))),
        known => Ok(known.as_str().to_owned()),
    }
}

fn host_from_wire(host: ecs::HostEntry) -> (String, String) {
    let ecs::HostEntry { hostname, ip_address } = host;
    (hostname, ip_address)
}

fn ulimit_from_wire(ulimit: ecs::Ulimit) -> Ulimit {
    let ecs::Ulimit { hard_limit, name, soft_limit } = ulimit;
    Ulimit { name: name.as_str().to_owned(), soft_limit: soft_limit.into(), hard_limit: hard_limit.into() }
}

fn system_control_from_wire(control: ecs::SystemControl) -> (String, String) {
    let ecs::SystemControl { namespace, value } = control;
    (namespace.unwrap_or_default(), value.unwrap_or_default())
}

fn linux_from_wire(linux: ecs::LinuxParameters, owner: &str) -> Result<LinuxParameters, Error> {
    let ecs::LinuxParameters {
        capabilities,
        devices,
        init_process_enabled,
        max_swap,
        shared_memory_size,
        swappiness,
        tmpfs,
    } = linux;
    let unbuilt = [("maxSwap", max_swap.is_some()), ("swappiness", swappiness.is_some())];
    refuse_unbuilt(&format!("the linuxParameters of {owner}"), &unbuilt)?;
    let capabilities_given = capabilities.is_some();
    let ecs::KernelCapabilities { add, drop } = capabilities.unwrap_or_default();
    Ok(LinuxParameters {
        capabilities_given,
        capabilities_add: items(add),
        capabilities_drop: items(drop),
        devices: items(devices).into_iter().map(device_from_wire).collect(),
        init_process_enabled,
        shared_memory_size: unsigned("sharedMemorySize", owner, shared_memory_size)?,
        tmpfs: items(tmpfs).into_iter().map(|tmpfs| tmpfs_from_wire(tmpfs, owner)).collect::<Result<_, _>>()?,
    })
}

fn device_from_wire(device: ecs::Device) -> Device {
    let ecs::Device { container_path, host_path, permissions } = device;
    let permissions = items(permissions).iter().map(|permission| permission.as_str().to_owned()).collect();
    Device { host_path, container_path: non_empty(container_path), permissions }
}

fn tmpfs_from_wire(tmpfs: ecs::Tmpfs, owner: &str) -> Result<Tmpfs, Error> {
    let ecs::Tmpfs { container_path, mount_options, size } = tmpfs;
    let size = unsigned("tmpfs size", owner, Some(size))?.unwrap_or(0);
    Ok(Tmpfs { container_path, size, mount_options: items(mount_options) })
}

fn health_check_from_wire(health: ecs::HealthCheck, owner: &str) -> Result<HealthCheck, Error> {
    let ecs::HealthCheck { command, interval, retries, start_period, timeout } = health;
    let number = |field: &str, value: Option<i32>, default: u32| -> Result<u32, Error> {
        Ok(unsigned(field, owner, value)?.unwrap_or(default))
    };
    Ok(HealthCheck {
        command,
        interval: number("healthCheck interval", interval, HEALTH_CHECK_INTERVAL_SECONDS)?,
        timeout: number("healthCheck timeout", timeout, HEALTH_CHECK_TIMEOUT_SECONDS)?,
        retries: number("healthCheck retries", retries, HEALTH_CHECK_RETRIES)?,
        start_period: unsigned("healthCheck startPeriod", owner, start_period)?,
    })
}

fn dependency_from_wire(dependency: ecs::ContainerDependency) -> Result<Dependency, Error> {
    let ecs::ContainerDependency { condition, container_name } = dependency;
    let condition = match condition {
        ecs::ContainerCondition::Start => Condition::Start,
        ecs::ContainerCondition::Complete => Condition::Complete,
        ecs::ContainerCondition::Success => Condition::Success,
        ecs::ContainerCondition::Healthy => Condition::Healthy,
        ecs::ContainerCondition::Unknown(name) => {
            return Err(Error::client(format!(
                "container condition should be one of [START,COMPLETE,SUCCESS,HEALTHY], not '{name}'"
            )));
        }
    };
    Ok(Dependency { container: container_name, condition })
}

fn logs_from_wire(logs: ecs::LogConfiguration, owner: &str) -> Result<LogConfiguration, Error> {
    let ecs::LogConfiguration { log_driver, options, secret_options } = logs;
    if log_driver != ecs::LogDriver::Awslogs {
        let driver = log_driver.as_str();
        return Err(Error::client(format!(
            "The log driver '{driver}' of {owner} is not supported by Gantry yet: only awslogs is."
        )));
    }
    refuse_unbuilt(&format!("the logConfiguration of {owner}"), &[("secretOptions", has_items(&secret_options))])?;
    Ok(LogConfiguration {
        driver: log_driver.as_str().to_owned(),
        options: options.unwrap_or_default().into_iter().collect(),
    })
}

fn mount_point_from_wire(mount: ecs::MountPoint) -> MountPoint {
    let ecs::MountPoint { container_path, read_only, source_volume } = mount;
    MountPoint {
        source_volume: source_volume.unwrap_or_default(),
        container_path: container_path.unwrap_or_default(),
        read_only,
    }
}

fn volume_from_from_wire(volume: ecs::VolumeFrom) -> VolumeFrom {
    let ecs::VolumeFrom { read_only, source_container } = volume;
    VolumeFrom { source_container: source_container.unwrap_or_default(), read_only }
}

fn gpu_count_from_wire(requirements: Vec<ecs::ResourceRequirement>, owner: &str) -> Result<u32, Error> {
    let mut count = None;
    for requirement in requirements {
        let ecs::ResourceRequirement { sharing_strategy, r#type, value } = requirement;
        let within = format!("the resourceRequirements of {owner}");
        refuse_unbuilt(&within, &[("sharingStrategy", sharing_strategy.is_some())])?;
        if r#type != ecs::ResourceType::Gpu {
            return Err(Error::client(format!(
                "The type '{}' in {within} is not supported by Gantry yet.",
                r#type.as_str()
            )));
        }
        let gpus = value.as_deref().and_then(|value| value.parse::<u32>().ok()).filter(|gpus| *gpus > 0);
        let Some(gpus) = gpus else {
            return Err(Error::client(format!("Invalid GPU value in {within}. It must be a number greater than 0.")));
        };
        if count.replace(gpus).is_some() {
            return Err(Error::client(format!("The type 'GPU' is given more than once in {within}.")));
        }
    }
    Ok(count.unwrap_or(0))
}

fn version_consistency_from_wire(consistency: ecs::VersionConsistency) -> Result<String, Error> {
    match consistency {
        ecs::VersionConsistency::Unknown(name) => {
            Err(Error::client(format!("versionConsistency should be one of [enabled,disabled], not '{name}'")))
        }
        known => Ok(known.as_str().to_owned()),
    }
}

/// With the lists that AWS shows even when they are empty.
pub fn to_wire(container: &ContainerDefinition) -> ecs::ContainerDefinition {
    ecs::ContainerDefinition {
        name: Some(container.name.clone()),
        image: Some(container.image.clone()),
        cpu: Some(signed(container.cpu.0)),
        memory: container.memory.map(|memory| signed(memory.0)),
        memory_reservation: container.memory_reservation.map(|memory| signed(memory.0)),
        essential: Some(container.essential),
        entry_point: some_items(&container.entry_point),
        command: some_items(&container.command),
        environment: Some(container.environment.iter().map(pair_to_wire).collect()),
        port_mappings: Some(container.port_mappings.iter().map(port_to_wire).collect()),
        user: container.user.clone(),
        working_directory: container.working_directory.clone(),
        hostname: container.hostname.clone(),
        privileged: container.privileged,
        readonly_root_filesystem: container.readonly_root_filesystem,
        dns_servers: some_items(&container.dns_servers),
        dns_search_domains: some_items(&container.dns_search_domains),
        extra_hosts: some_of(&container.extra_hosts, host_to_wire),
        docker_labels: some_map(&container.docker_labels),
        ulimits: some_of(&container.ulimits, ulimit_to_wire),
        system_controls: Some(container.system_controls.iter().map(system_control_to_wire).collect()),
        linux_parameters: container.linux_parameters.as_ref().map(linux_to_wire),
        health_check: container.health_check.as_ref().map(health_check_to_wire),
        start_timeout: container.start_timeout.map(signed),
        stop_timeout: container.stop_timeout.map(signed),
        depends_on: some_of(&container.depends_on, dependency_to_wire),
        log_configuration: container.log_configuration.as_ref().map(logs_to_wire),
        mount_points: Some(container.mount_points.iter().map(mount_point_to_wire).collect()),
        volumes_from: Some(container.volumes_from.iter().map(volume_from_to_wire).collect()),
        resource_requirements: (container.gpu_count > 0).then(|| vec![gpu_to_wire(container.gpu_count)]),
        version_consistency: container.version_consistency.as_deref().map(Into::into),
        interactive: container.interactive,
        pseudo_terminal: container.pseudo_terminal,
        disable_networking: container.disable_networking,
        credential_specs: None,
        docker_security_options: None,
        environment_files: None,
        firelens_configuration: None,
        links: None,
        repository_credentials: None,
        restart_policy: None,
        secrets: None,
    }
}

fn some_items(items: &[String]) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn some_of<T, U>(items: &[T], to_wire: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!items.is_empty()).then(|| items.iter().map(to_wire).collect())
}

fn some_map(pairs: &[(String, String)]) -> Option<BTreeMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.iter().cloned().collect())
}

fn pair_to_wire((name, value): &(String, String)) -> ecs::KeyValuePair {
    ecs::KeyValuePair { name: Some(name.clone()), value: Some(value.clone()) }
}

fn port_to_wire(mapping: &PortMapping) -> ecs::PortMapping {
    ecs::PortMapping {
        container_port: Some(mapping.container_port.into()),
        host_port: Some(mapping.host_port.into()),
        protocol: Some(mapping.protocol.as_str().into()),
        name: mapping.name.clone(),
        app_protocol: mapping.app_protocol.as_deref().map(Into::into),
        container_port_range: None,
    }
}

fn host_to_wire((hostname, address): &(String, String)) -> ecs::HostEntry {
    ecs::HostEntry { hostname: hostname.clone(), ip_address: address.clone() }
}

/// The wire's limits are 32 bits wide, so every one came from there.
fn ulimit_to_wire(ulimit: &Ulimit) -> ecs::Ulimit {
    let narrow = |limit: i64| i32::try_from(limit).unwrap_or(i32::MAX);
    ecs::Ulimit {
        name: ulimit.name.as_str().into(),
        soft_limit: narrow(ulimit.soft_limit),
        hard_limit: narrow(ulimit.hard_limit),
    }
}

fn system_control_to_wire((namespace, value): &(String, String)) -> ecs::SystemControl {
    ecs::SystemControl { namespace: Some(namespace.clone()), value: Some(value.clone()) }
}

fn linux_to_wire(linux: &LinuxParameters) -> ecs::LinuxParameters {
    let capabilities = linux.capabilities_given.then(|| ecs::KernelCapabilities {
        add: some_items(&linux.capabilities_add),
        drop: some_items(&linux.capabilities_drop),
    });
    ecs::LinuxParameters {
        capabilities,
        devices: some_of(&linux.devices, device_to_wire),
        init_process_enabled: linux.init_process_enabled,
        shared_memory_size: linux.shared_memory_size.map(signed),
        tmpfs: some_of(&linux.tmpfs, tmpfs_to_wire),
        max_swap: None,
        swappiness: None,
    }
}

fn device_to_wire(device: &Device) -> ecs::Device {
    ecs::Device {
        host_path: device.host_path.clone(),
        container_path: device.container_path.clone(),
        permissions: some_of(&device.permissions, |permission| permission.as_str().into()),
    }
}

fn tmpfs_to_wire(tmpfs: &Tmpfs) -> ecs::Tmpfs {
    ecs::Tmpfs {
        container_path: tmpfs.container_path.clone(),
        size: signed(tmpfs.size),
        mount_options: some_items(&tmpfs.mount_options),
    }
}

fn health_check_to_wire(health: &HealthCheck) -> ecs::HealthCheck {
    ecs::HealthCheck {
        command: health.command.clone(),
        interval: Some(signed(health.interval)),
        timeout: Some(signed(health.timeout)),
        retries: Some(signed(health.retries)),
        start_period: health.start_period.map(signed),
    }
}

fn dependency_to_wire(dependency: &Dependency) -> ecs::ContainerDependency {
    ecs::ContainerDependency {
        container_name: dependency.container.clone(),
        condition: dependency.condition.as_str().into(),
    }
}

fn logs_to_wire(logs: &LogConfiguration) -> ecs::LogConfiguration {
    ecs::LogConfiguration {
        log_driver: logs.driver.as_str().into(),
        options: some_map(&logs.options),
        secret_options: None,
    }
}

fn mount_point_to_wire(mount: &MountPoint) -> ecs::MountPoint {
    ecs::MountPoint {
        source_volume: Some(mount.source_volume.clone()),
        container_path: Some(mount.container_path.clone()),
        read_only: mount.read_only,
    }
}

fn volume_from_to_wire(volume: &VolumeFrom) -> ecs::VolumeFrom {
    ecs::VolumeFrom { source_container: Some(volume.source_container.clone()), read_only: volume.read_only }
}

fn gpu_to_wire(count: u32) -> ecs::ResourceRequirement {
    ecs::ResourceRequirement { r#type: ecs::ResourceType::Gpu, value: Some(count.to_string()), sharing_strategy: None }
}
