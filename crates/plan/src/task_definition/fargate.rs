//! What FARGATE asks of a definition and what it refuses (ecs-semantics §2.2, §2.9).

use std::ops::RangeInclusive;

use model::task_definition::{ContainerDefinition, LinuxParameters, LogConfiguration, TaskDefinition};
use model::{CpuUnits, MemoryMib, NetworkMode};

use super::{Verdict, refuse};

/// `ephemeralStorage.sizeInGiB`.
pub const EPHEMERAL_STORAGE_GIB: RangeInclusive<u32> = 21..=200;
/// `startTimeout` and `stopTimeout`, in seconds.
const TIMEOUT_SECONDS: RangeInclusive<u32> = 2..=120;
const CAPABILITY_ALLOWED: &str = "SYS_PTRACE";
const ULIMIT_ALLOWED: &str = "nofile";
const STREAM_PREFIX: &str = "awslogs-stream-prefix";

pub(super) fn check(definition: &TaskDefinition) -> Verdict {
    if definition.network_mode != NetworkMode::Awsvpc {
        return refuse("Fargate only supports network mode ‘awsvpc’.");
    }
    let Some(cpu) = definition.cpu else {
        return refuse("Fargate requires that 'cpu' be defined at the task level.");
    };
    let Some(memory) = definition.memory else {
        return refuse("Fargate requires that 'memory' be defined at the task level.");
    };
    if !has_configuration(cpu, memory) {
        return refuse(format!(
            "No Fargate configuration exists for given values: {} CPU, {} memory. See the Amazon ECS documentation for \
             the valid values.",
            cpu.0, memory.0
        ));
    }
    if !definition.placement_constraints.is_empty() {
        return refuse("Fargate does not support placement constraints.");
    }
    if definition.volumes.iter().any(|volume| volume.host_path.is_some()) {
        return refuse("Fargate does not support 'sourcePath' for host volumes.");
    }
    definition.containers.iter().try_for_each(check_container)?;
    check_execution_role(definition)?;
    let mut logs = definition.containers.iter().filter_map(|container| container.log_configuration.as_ref());
    logs.try_for_each(check_log_configuration)
}

/// The size is checked whatever the launch type, as the definition keeps it.
pub(super) fn check_ephemeral_storage(definition: &TaskDefinition) -> Verdict {
    let (least, most) = (EPHEMERAL_STORAGE_GIB.start(), EPHEMERAL_STORAGE_GIB.end());
    match definition.ephemeral_storage {
        Some(size) if size < *least => refuse(format!("EphemeralStorage size should be at least {least}.")),
        Some(size) if size > *most => refuse(format!("EphemeralStorage size should be at most {most}.")),
        _ => Ok(()),
    }
}

/// Whether Fargate has a size of this CPU and memory.
fn has_configuration(cpu: CpuUnits, memory: MemoryMib) -> bool {
    let in_steps = |range: RangeInclusive<u32>, step: u32| range.contains(&memory.0) && memory.0.is_multiple_of(step);
    match cpu.0 {
        256 => [512, 1024, 2048].contains(&memory.0),
        512 => in_steps(1024..=4096, 1024),
        1024 => in_steps(2048..=8192, 1024),
        2048 => in_steps(4096..=16384, 1024),
        4096 => in_steps(8192..=30720, 1024),
        8192 => in_steps(16384..=61440, 4096),
        16384 => in_steps(32768..=122_880, 8192),
        _ => false,
    }
}

fn check_container(container: &ContainerDefinition) -> Verdict {
    let refused = [
        ("privileged", container.privileged == Some(true)),
        ("dnsServers", !container.dns_servers.is_empty()),
        ("dnsSearchDomains", !container.dns_search_domains.is_empty()),
        ("resourceRequirements", container.gpu_count > 0),
    ];
    if let Some((field, _)) = refused.into_iter().find(|(_, is_given)| *is_given) {
        return refuse_setting(container, field);
    }
    if let Some(ulimit) = container.ulimits.iter().find(|ulimit| ulimit.name != ULIMIT_ALLOWED) {
        return refuse(format!("Fargate only supports the ulimit '{ULIMIT_ALLOWED}', not '{}'.", ulimit.name));
    }
    for (field, timeout) in [("startTimeout", container.start_timeout), ("stopTimeout", container.stop_timeout)] {
        if timeout.is_some_and(|seconds| !TIMEOUT_SECONDS.contains(&seconds)) {
            return refuse(format!(
                "Invalid '{field}' setting for container '{}'. Fargate supports {} to {} seconds.",
                container.name,
                TIMEOUT_SECONDS.start(),
                TIMEOUT_SECONDS.end()
            ));
        }
    }
    container.linux_parameters.iter().try_for_each(|linux| check_linux_parameters(container, linux))
}

fn check_linux_parameters(container: &ContainerDefinition, linux: &LinuxParameters) -> Verdict {
    if !linux.devices.is_empty() {
        return refuse_setting(container, "devices");
    }
    if linux.shared_memory_size.is_some() {
        return refuse_setting(container, "sharedMemorySize");
    }
    match linux.capabilities_add.iter().find(|name| *name != CAPABILITY_ALLOWED) {
        Some(name) => {
            refuse(format!("Fargate only supports adding the capability '{CAPABILITY_ALLOWED}', not '{name}'."))
        }
        None => Ok(()),
    }
}

fn refuse_setting(container: &ContainerDefinition, field: &str) -> Verdict {
    refuse(format!("Fargate does not support the '{field}' setting of container '{}'.", container.name))
}

fn check_execution_role(definition: &TaskDefinition) -> Verdict {
    if definition.execution_role_arn.is_some() {
        return Ok(());
    }
    if definition.containers.iter().any(|container| is_ecr_image(&container.image)) {
        return refuse("Fargate requires task definition to have execution role ARN to support ECR images.");
    }
    match definition.containers.iter().find_map(|container| container.log_configuration.as_ref()) {
        Some(logs) => refuse(format!(
            "Fargate requires task definition to have execution role ARN to support log driver {}.",
            logs.driver
        )),
        None => Ok(()),
    }
}

fn check_log_configuration(logs: &LogConfiguration) -> Verdict {
    match logs.option(STREAM_PREFIX) {
        Some(prefix) if !prefix.is_empty() => Ok(()),
        _ => refuse(format!("Log driver {} requires options: {STREAM_PREFIX}", logs.driver)),
    }
}

/// `<account>.dkr.ecr.<region>.amazonaws.com/…`, the China partition's too.
pub(super) fn is_ecr_image(image: &str) -> bool {
    let Some((host, _)) = image.split_once('/') else { return false };
    let mut labels = host.split('.');
    let account = labels.next().unwrap_or_default();
    account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && labels.next() == Some("dkr")
        && labels.next().is_some_and(|label| label == "ecr" || label == "ecr-fips")
        && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}
