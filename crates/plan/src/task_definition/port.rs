//! Port mappings by network mode (ecs-semantics §2.3).

use std::collections::BTreeSet;

use model::NetworkMode;
use model::task_definition::{ContainerDefinition, PortMapping, TaskDefinition};

use super::{Refusal, Verdict, refuse};

/// Port mappings of one container.
const PORT_MAPPINGS_MAX: usize = 100;
const PORT_NAME_LENGTH_MAX: usize = 64;

/// The host port of a mapping as it is stored: the container's own under awsvpc and host, else what was given, 0 for
/// one that the node chooses.
///
/// # Errors
/// When `given` is another port than the container's where there is but one.
pub fn host_port(mode: NetworkMode, container_port: u16, given: Option<u16>) -> Result<u16, Refusal> {
    match mode {
        NetworkMode::Bridge | NetworkMode::None => Ok(given.unwrap_or(0)),
        NetworkMode::Awsvpc | NetworkMode::Host if given.unwrap_or(container_port) != container_port => {
            refuse(format!(
                "When networkMode={}, the host ports and container ports in port mappings must match.",
                mode.as_str()
            ))
        }
        NetworkMode::Awsvpc | NetworkMode::Host => Ok(container_port),
    }
}

pub(super) fn check(definition: &TaskDefinition) -> Verdict {
    for container in &definition.containers {
        check_container(container, definition.network_mode)?;
    }
    check_host_ports(definition)?;
    check_names(definition)
}

fn check_container(container: &ContainerDefinition, mode: NetworkMode) -> Verdict {
    let (name, mappings) = (&container.name, &container.port_mappings);
    if !mappings.is_empty() && mode == NetworkMode::None {
        return refuse(format!(
            "Invalid 'portMappings' setting for container '{name}'. They are not allowed when networkMode=none."
        ));
    }
    if mappings.len() > PORT_MAPPINGS_MAX {
        return refuse(format!(
            "Invalid 'portMappings' setting for container '{name}'. There cannot be more than {PORT_MAPPINGS_MAX}."
        ));
    }
    for (index, mapping) in mappings.iter().enumerate() {
        if mapping.container_port == 0 {
            return refuse(format!(
                "Invalid 'containerPort' setting for container '{name}'. It must be between 1 and 65535."
            ));
        }
        if mappings[..index].iter().any(|other| is_mapped_by_another_protocol(mapping, other)) {
            return refuse(format!(
                "Invalid 'portMappings' setting for container '{name}'. The container port {} is mapped for more than \
                 one protocol.",
                mapping.container_port
            ));
        }
    }
    Ok(())
}

fn is_mapped_by_another_protocol(one: &PortMapping, other: &PortMapping) -> bool {
    one.container_port == other.container_port && one.protocol != other.protocol
}

/// One host port can be held once; under awsvpc the containers share the task's ports in the same way.
fn check_host_ports(definition: &TaskDefinition) -> Verdict {
    let mut held = BTreeSet::new();
    for port in definition.containers.iter().flat_map(ContainerDefinition::host_ports) {
        if !held.insert(port) {
            return refuse(format!(
                "The port {} ({}) is mapped more than once in the task definition.",
                port.number,
                port.protocol.as_str()
            ));
        }
    }
    Ok(())
}

fn check_names(definition: &TaskDefinition) -> Verdict {
    let mut taken = BTreeSet::new();
    let mappings = definition.containers.iter().flat_map(|container| &container.port_mappings);
    for name in mappings.filter_map(|mapping| mapping.name.as_deref()) {
        if !is_port_name(name) {
            return refuse(format!(
                "Invalid port mapping name '{name}'. It must be 1 to {PORT_NAME_LENGTH_MAX} lowercase letters, digits, \
                 underscores or hyphens and cannot start with a hyphen."
            ));
        }
        if !taken.insert(name) {
            return refuse(format!("Port mapping names must be unique: '{name}' is used more than once."));
        }
    }
    Ok(())
}

fn is_port_name(name: &str) -> bool {
    (1..=PORT_NAME_LENGTH_MAX).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}
