//! What makes a task definition valid, and what follows from it: the launch types that it suits and the attributes
//! that a node must have (ecs-semantics §2).
//!
//! Pure: a definition in, a verdict out. Fields that Gantry does not act on never get here; `control::convert`
//! refuses them by name. Every refusal is the text of a `ClientException`, in AWS's words where they are known.

mod attribute;
mod container;
mod dependency;
mod fargate;
mod linux;
mod logging;
mod port;
mod size;
mod volume;

use std::fmt;

use model::query::Query;
use model::task_definition::TaskDefinition;
use model::{LaunchType, NetworkMode};

pub use attribute::requires_attributes;
pub use fargate::EPHEMERAL_STORAGE_GIB;
pub use port::host_port;
pub use size::{CPU_UNITS, parse_cpu, parse_memory};

/// Containers in one definition (ecs-semantics §4.4).
pub const CONTAINERS_MAX: usize = 10;
/// `memberOf` expressions, those given at run time included (ecs-semantics §2.2).
pub const PLACEMENT_CONSTRAINTS_MAX: usize = 10;
/// Of a family, container, volume or cluster (ecs-semantics §0.2).
pub const NAME_LENGTH_MAX: usize = 255;

/// Why a definition is refused: the text of a `ClientException`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Verdict = Result<(), Refusal>;

fn refuse<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(text.into()))
}

/// Whether `text` is 1 to 255 of `[A-Za-z0-9_-]`, the rule for names of ecs-semantics §0.2.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// RegisterTaskDefinition's rules (ecs-semantics §2.2 to §2.9), with those of each launch type that the definition
/// says it must suit. The first rule that is broken is named.
pub fn check(definition: &TaskDefinition) -> Verdict {
    check_family(&definition.family)?;
    check_containers(definition)?;
    size::check(definition)?;
    port::check(definition)?;
    dependency::check(&definition.containers)?;
    volume::check(definition)?;
    check_placement_constraints(definition)?;
    fargate::check_ephemeral_storage(definition)?;
    definition.requires_compatibilities.iter().try_for_each(|launch_type| check_suits(definition, *launch_type))
}

/// The launch types that a valid definition suits, whether or not it asks for them.
pub fn compatibilities(definition: &TaskDefinition) -> Vec<LaunchType> {
    LaunchType::ALL.into_iter().filter(|launch_type| check_suits(definition, *launch_type).is_ok()).collect()
}

fn check_suits(definition: &TaskDefinition, launch_type: LaunchType) -> Verdict {
    match launch_type {
        LaunchType::Ec2 => Ok(()),
        LaunchType::Fargate => fargate::check(definition),
        LaunchType::External => check_suits_external(definition),
    }
}

/// A machine outside of AWS has no VPC interfaces to give.
fn check_suits_external(definition: &TaskDefinition) -> Verdict {
    if definition.network_mode == NetworkMode::Awsvpc {
        return refuse("The external launch type does not support network mode 'awsvpc'.");
    }
    Ok(())
}

fn check_family(family: &str) -> Verdict {
    if family.is_empty() {
        return refuse("Family should not be null or empty.");
    }
    if family.len() > NAME_LENGTH_MAX {
        return refuse("Family length must be between 1 and 255 characters.");
    }
    if !is_name(family) {
        return refuse("Family contains invalid characters.");
    }
    Ok(())
}

fn check_containers(definition: &TaskDefinition) -> Verdict {
    let containers = &definition.containers;
    if containers.is_empty() {
        return refuse("Container list cannot be empty.");
    }
    if containers.len() > CONTAINERS_MAX {
        return refuse(format!("Container list cannot have more than {CONTAINERS_MAX} entries."));
    }
    for (index, container) in containers.iter().enumerate() {
        container::check(container, definition.network_mode)?;
        if containers[..index].iter().any(|other| other.name == container.name) {
            return refuse(format!("Container names must be unique: '{}' is used more than once.", container.name));
        }
    }
    if !containers.iter().any(|container| container.essential) {
        return refuse("At least one container in a task definition must be essential.");
    }
    Ok(())
}

fn check_placement_constraints(definition: &TaskDefinition) -> Verdict {
    let constraints = &definition.placement_constraints;
    if constraints.len() > PLACEMENT_CONSTRAINTS_MAX {
        return refuse(format!(
            "A task definition cannot have more than {PLACEMENT_CONSTRAINTS_MAX} placement constraints."
        ));
    }
    for expression in constraints {
        if let Err(error) = expression.parse::<Query>() {
            return refuse(format!("Invalid placement constraint expression '{expression}': {error}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
