//! The overrides of RunTask and StartTask against the task definition: the definition with the overrides in it must
//! satisfy all that a registered one must, for the launch type that was asked for.

use std::sync::Arc;

use model::task::TaskOverride;
use model::{LaunchType, TaskDefinition};
use plan::task_definition::{Refusal, check, parse_cpu, parse_memory};
use wire::ecs::{self, Error};

use crate::ecs::convert::task_override::from_wire;

/// Characters of the container overrides as JSON (ecs-semantics §4.4).
const OVERRIDES_LENGTH_MAX: usize = 8192;

/// The overrides, and the definition as it then is.
///
/// # Errors
/// `InvalidParameterException` for overrides that fit no such definition, `ClientException` for what no definition may
/// say.
pub fn resolve(
    definition: Arc<TaskDefinition>,
    launch_type: LaunchType,
    overrides: Option<ecs::TaskOverride>,
) -> Result<(TaskOverride, Arc<TaskDefinition>), Error> {
    let Some(overrides) = overrides else { return Ok((TaskOverride::default(), definition)) };
    check_length(&overrides)?;
    let overrides = from_wire(overrides)?;
    let mut effective = TaskDefinition::clone(&definition);
    apply(&overrides, &mut effective)?;
    if launch_type != LaunchType::Fargate && overrides.ephemeral_storage.is_some() {
        return Err(Error::invalid_parameter("ephemeralStorage can be overridden for the FARGATE launch type only."));
    }
    effective.requires_compatibilities = vec![launch_type];
    check(&effective).map_err(refused)?;
    effective.requires_compatibilities.clone_from(&definition.requires_compatibilities);
    Ok((overrides, Arc::new(effective)))
}

fn check_length(overrides: &ecs::TaskOverride) -> Result<(), Error> {
    let mut json = Vec::new();
    wire::json::write(overrides, &mut json);
    if json.len() > OVERRIDES_LENGTH_MAX {
        return Err(Error::invalid_parameter(format!(
            "Container Overrides length must be at most {OVERRIDES_LENGTH_MAX}"
        )));
    }
    Ok(())
}

fn apply(overrides: &TaskOverride, definition: &mut TaskDefinition) -> Result<(), Error> {
    for (index, change) in overrides.containers.iter().enumerate() {
        let name = &change.name;
        if overrides.containers[..index].iter().any(|other| other.name == *name) {
            return Err(Error::invalid_parameter(format!("The container {name} is overridden more than once.")));
        }
        let container = definition.containers.iter_mut().find(|container| container.name == *name);
        let Some(container) = container else {
            return Err(Error::invalid_parameter(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        };
        plan::node::apply(change, container);
    }
    if let Some(cpu) = &overrides.cpu {
        definition.cpu = Some(parse_cpu(cpu).map_err(refused)?);
    }
    if let Some(memory) = &overrides.memory {
        definition.memory = Some(parse_memory(memory).map_err(refused)?);
    }
    if let Some(role) = &overrides.execution_role_arn {
        definition.execution_role_arn = Some(role.clone());
    }
    definition.ephemeral_storage = overrides.ephemeral_storage.or(definition.ephemeral_storage);
    Ok(())
}

fn refused(Refusal(text): Refusal) -> Error {
    Error::client(text)
}
