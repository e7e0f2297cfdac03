//! The overrides of RunTask and StartTask from the wire to the model. Whether they suit the task definition is judged
//! where it is known ([`task::overrides`](crate::ecs::task)).

use model::task::{ContainerOverride, TaskOverride};
use model::{CpuUnits, MemoryMib};
use wire::ecs;
use wire::ecs::Error;

use super::{has_items, items, non_empty, refuse_unbuilt, unsigned};

/// # Errors
/// `ClientException` for a field that is not built, named, and for a value that the model cannot hold.
pub fn from_wire(overrides: ecs::TaskOverride) -> Result<TaskOverride, Error> {
    let ecs::TaskOverride {
        container_overrides,
        cpu,
        ephemeral_storage,
        execution_role_arn,
        inference_accelerator_overrides,
        memory,
        task_role_arn,
    } = overrides;
    refuse_unbuilt(
        "the overrides",
        &[
            ("inferenceAcceleratorOverrides", has_items(&inference_accelerator_overrides)),
            ("taskRoleArn", super::given(&task_role_arn)),
        ],
    )?;
    Ok(TaskOverride {
        containers: items(container_overrides).into_iter().map(container_from_wire).collect::<Result<_, _>>()?,
        cpu: non_empty(cpu),
        memory: non_empty(memory),
        execution_role_arn: non_empty(execution_role_arn),
        ephemeral_storage: unsigned(
            "ephemeralStorage",
            "the overrides",
            ephemeral_storage.map(|storage| storage.size_in_gi_b),
        )?,
        log_driver_mode: None,
    })
}

fn container_from_wire(change: ecs::ContainerOverride) -> Result<ContainerOverride, Error> {
    let ecs::ContainerOverride {
        command,
        cpu,
        environment,
        environment_files,
        memory,
        memory_reservation,
        name,
        resource_requirements,
    } = change;
    let name = name.unwrap_or_default();
    let owner = format!("the override of container '{name}'");
    refuse_unbuilt(
        &owner,
        &[
            ("environmentFiles", has_items(&environment_files)),
            ("resourceRequirements", has_items(&resource_requirements)),
        ],
    )?;
    let pair = |pair: ecs::KeyValuePair| (pair.name.unwrap_or_default(), pair.value.unwrap_or_default());
    Ok(ContainerOverride {
        command: command.filter(|command| !command.is_empty()),
        environment: items(environment).into_iter().map(pair).collect(),
        cpu: unsigned("cpu", &owner, cpu)?.map(CpuUnits),
        memory: unsigned("memory", &owner, memory)?.map(MemoryMib),
        memory_reservation: unsigned("memoryReservation", &owner, memory_reservation)?.map(MemoryMib),
        name,
    })
}
