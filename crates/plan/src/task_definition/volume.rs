//! Volumes and the mount points that name them (ecs-semantics §2.8).

use model::ContainerDefinition;
use model::task_definition::{TaskDefinition, Volume};

use super::{Verdict, is_name, refuse};

pub(super) fn check(definition: &TaskDefinition) -> Verdict {
    let volumes = &definition.volumes;
    for (index, volume) in volumes.iter().enumerate() {
        check_volume(volume)?;
        if volumes[..index].iter().any(|other| other.name == volume.name) {
            return refuse(format!("Volume names must be unique: '{}' is used more than once.", volume.name));
        }
    }
    definition.containers.iter().try_for_each(|container| check_mount_points(container, volumes))
}

fn check_volume(volume: &Volume) -> Verdict {
    let name = &volume.name;
    if name.is_empty() {
        return refuse("Volume.name should not be null or empty.");
    }
    if !is_name(name) {
        return refuse("Volume.name contains invalid characters.");
    }
    match &volume.host_path {
        Some(path) if !is_absolute(path) => {
            refuse(format!("Invalid 'sourcePath' setting for volume '{name}'. It must be an absolute path."))
        }
        _ => Ok(()),
    }
}

fn check_mount_points(container: &ContainerDefinition, volumes: &[Volume]) -> Verdict {
    let mount_points = &container.mount_points;
    for (index, mount) in mount_points.iter().enumerate() {
        if !volumes.iter().any(|volume| volume.name == mount.source_volume) {
            return refuse(format!("Unknown volume '{}'.", mount.source_volume));
        }
        if !is_absolute(&mount.container_path) {
            return refuse(format!(
                "Invalid 'containerPath' setting for container '{}'. It must be an absolute path.",
                container.name
            ));
        }
        if mount_points[..index].iter().any(|other| other.container_path == mount.container_path) {
            return refuse(format!(
                "Invalid 'mountPoints' setting for container '{}'. '{}' is mounted more than once.",
                container.name, mount.container_path
            ));
        }
    }
    Ok(())
}

/// From the root, and without steps up: such a path could not be told apart from the one that it resolves to.
pub(super) fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..")
}
