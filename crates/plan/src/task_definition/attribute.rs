//! The attributes that a node must have to run a definition (ecs-semantics §2.10).

use std::collections::BTreeSet;

use model::task_definition::{ContainerDefinition, LinuxParameters, TaskDefinition};
use model::{Attribute, NetworkMode, capability};

use super::fargate::is_ecr_image;

const AWSLOGS: &str = "awslogs";

/// Names, and a value only for the CPU architecture, in the order of their names. The architecture is asked for only
/// when the definition names one, so that a fleet of one kind of machine needs no say.
pub fn requires_attributes(definition: &TaskDefinition) -> Vec<Attribute> {
    let mut names = BTreeSet::new();
    if definition.network_mode == NetworkMode::Awsvpc {
        names.extend([capability::TASK_ENI, capability::REMOTE_API_1_18]);
    }
    if definition.cpu.is_some() || definition.memory.is_some() {
        names.insert(capability::TASK_CPU_MEM_LIMIT);
    }
    let has_execution_role = definition.execution_role_arn.is_some();
    for container in &definition.containers {
        names.extend(of_container(container));
        names.extend(of_image(&container.image, has_execution_role));
        names.extend(of_logging(container, has_execution_role));
        names.extend(container.linux_parameters.iter().flat_map(of_linux_parameters));
    }
    let named = names.into_iter().map(|name| Attribute { name: name.to_owned(), value: None });
    named.chain(of_platform(definition)).collect()
}

fn of_container(container: &ContainerDefinition) -> impl Iterator<Item = &'static str> + use<> {
    let is_ordered =
        !container.depends_on.is_empty() || container.start_timeout.is_some() || container.stop_timeout.is_some();
    [
        (container.privileged == Some(true), capability::PRIVILEGED_CONTAINER),
        (container.memory_reservation.is_some(), capability::REMOTE_API_1_21),
        (container.health_check.is_some(), capability::CONTAINER_HEALTH_CHECK),
        (container.health_check.is_some(), capability::REMOTE_API_1_24),
        (is_ordered, capability::CONTAINER_ORDERING),
    ]
    .into_iter()
    .filter_map(|(is_needed, name)| is_needed.then_some(name))
}

fn of_image(image: &str, has_execution_role: bool) -> Vec<&'static str> {
    match (is_ecr_image(image), has_execution_role) {
        (false, _) => vec![],
        (true, false) => vec![capability::ECR_AUTH],
        (true, true) => vec![capability::ECR_AUTH, capability::EXECUTION_ROLE_ECR_PULL],
    }
}

fn of_logging(container: &ContainerDefinition, has_execution_role: bool) -> Vec<&'static str> {
    let logs_to_cloudwatch = container.log_configuration.as_ref().is_some_and(|logs| logs.driver == AWSLOGS);
    match (logs_to_cloudwatch, has_execution_role) {
        (false, _) => vec![],
        (true, false) => vec![capability::LOGGING_DRIVER_AWSLOGS, capability::REMOTE_API_1_19],
        (true, true) => {
            vec![capability::LOGGING_DRIVER_AWSLOGS, capability::REMOTE_API_1_19, capability::EXECUTION_ROLE_AWSLOGS]
        }
    }
}

fn of_linux_parameters(linux: &LinuxParameters) -> impl Iterator<Item = &'static str> + use<> {
    let has_memory_mounts = !linux.tmpfs.is_empty() || linux.shared_memory_size.is_some();
    [
        (has_memory_mounts, capability::REMOTE_API_1_22),
        (linux.init_process_enabled == Some(true), capability::REMOTE_API_1_25),
    ]
    .into_iter()
    .filter_map(|(is_needed, name)| is_needed.then_some(name))
}

fn of_platform(definition: &TaskDefinition) -> Option<Attribute> {
    let architecture = definition.runtime_platform.as_ref()?.cpu_architecture.as_ref()?;
    Some(Attribute { name: capability::CPU_ARCHITECTURE.to_owned(), value: Some(architecture.to_ascii_lowercase()) })
}
