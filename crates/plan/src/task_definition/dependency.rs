//! The order of containers: `dependsOn` and what `volumesFrom` implies (ecs-semantics §2.4).

use model::ContainerDefinition;
use model::task_definition::{Condition, Dependency};

use super::{Verdict, refuse};

pub(super) fn check(containers: &[ContainerDefinition]) -> Verdict {
    for container in containers {
        for (index, dependency) in container.depends_on.iter().enumerate() {
            check_dependency(container, dependency, containers)?;
            if container.depends_on[..index].iter().any(|other| other.container == dependency.container) {
                return refuse(format!(
                    "Container '{}' depends on container '{}' more than once.",
                    container.name, dependency.container
                ));
            }
        }
        check_volumes_from(container, containers)?;
    }
    check_cycles(containers)
}

fn check_dependency(
    container: &ContainerDefinition,
    dependency: &Dependency,
    containers: &[ContainerDefinition],
) -> Verdict {
    let (name, on) = (&container.name, &dependency.container);
    if name == on {
        return refuse(format!("Container '{name}' cannot depend on itself."));
    }
    let Some(target) = containers.iter().find(|other| other.name == *on) else {
        return refuse(format!("Container '{name}' depends on container '{on}', which is not in the task definition."));
    };
    match dependency.condition {
        Condition::Start => Ok(()),
        Condition::Complete | Condition::Success if target.essential => refuse(format!(
            "Container '{name}' cannot depend on container '{on}' with condition {}: an essential container is not \
             expected to exit.",
            dependency.condition.as_str()
        )),
        Condition::Complete | Condition::Success => Ok(()),
        Condition::Healthy if target.health_check.is_none() => refuse(format!(
            "Container '{name}' cannot depend on container '{on}' with condition HEALTHY: it has no health check."
        )),
        Condition::Healthy => Ok(()),
    }
}

fn check_volumes_from(container: &ContainerDefinition, containers: &[ContainerDefinition]) -> Verdict {
    for source in container.volumes_from.iter().map(|volume| &volume.source_container) {
        if *source == container.name {
            return refuse(format!("Container '{source}' cannot mount volumes from itself."));
        }
        if !containers.iter().any(|other| other.name == *source) {
            return refuse(format!(
                "Container '{}' mounts volumes from container '{source}', which is not in the task definition.",
                container.name
            ));
        }
    }
    Ok(())
}

/// Peels off containers that wait for nobody left, until none is left or those that are left wait in a circle.
fn check_cycles(containers: &[ContainerDefinition]) -> Verdict {
    let mut left: Vec<&ContainerDefinition> = containers.iter().collect();
    loop {
        let (waiting, free): (Vec<&ContainerDefinition>, Vec<&ContainerDefinition>) =
            left.iter().partition(|container| waits_for(container).any(|name| left.iter().any(|c| c.name == name)));
        if waiting.is_empty() {
            return Ok(());
        }
        if free.is_empty() {
            let names: Vec<&str> = waiting.iter().map(|container| container.name.as_str()).collect();
            return refuse(format!("The dependencies of the containers form a cycle: {}.", names.join(", ")));
        }
        left = waiting;
    }
}

fn waits_for(container: &ContainerDefinition) -> impl Iterator<Item = &str> {
    let ordered = container.depends_on.iter().map(|dependency| dependency.container.as_str());
    ordered.chain(container.volumes_from.iter().map(|volume| volume.source_container.as_str()))
}
