//! Volumes of a task: which directory of the node each container sees where.
//!
//! ```text
//! <root>/<task id>/volumes/<n>     empty volumes, by their place in the task definition; gone with the task
//! <root>/<task id>/names/<n>/…     /etc/hosts … of the n-th container (`names`)
//! <host path>                      host volumes: the operator's own, never removed
//! ```
//! [`mounts`] decides and touches nothing; [`prepare`], [`remove`] and [`list`] do.
//!
//! A tenant's text becomes a host path in one place only: a host volume's `sourcePath`, which is what the field means
//! (ecs-semantics §2.8; refused for FARGATE). Everything else is named by numbers.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use model::TaskId;
use model::link::TaskSpec;

use crate::driver::{BindMount, DriverError};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("volume '{0}' is not one of the task definition's volumes")]
    UnknownVolume(String),
    #[error("container '{0}' is not one of the task definition's containers")]
    UnknownContainer(String),
    #[error("containers take volumes from one another in a circle: '{0}'")]
    Circle(String),
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    RelativeDestination(String),
    #[error("invalid mount path: the destination cannot be '/'")]
    RootDestination,
    #[error("the source path '{path}' of volume '{volume}' is not absolute")]
    RelativeSource { volume: String, path: String },
    #[error("cannot make the directory {path} of volume '{volume}': {source}")]
    Make { volume: String, path: PathBuf, source: io::Error },
}

impl From<Error> for DriverError {
    /// The agent's error names of ecs-semantics §1.3.
    fn from(error: Error) -> Self {
        let name = match error {
            Error::Make { .. } => "CannotCreateVolumeError",
            Error::RelativeSource { .. } => "InvalidVolumeError",
            _ => "CannotCreateContainerError",
        };
        DriverError::new(name, error)
    }
}

/// Where everything of a task stands.
pub fn directory(root: &Path, task: TaskId) -> PathBuf {
    root.join(task.to_string())
}

/// The mounts of the spec's n-th container: its own mount points, then those that it takes from other containers,
/// which never hide its own. Parents come before what is mounted inside them.
///
/// # Errors
/// When a name is not in the task definition, a path is unusable, or `volumesFrom` goes in a circle.
pub fn mounts(spec: &TaskSpec, container: usize, directory: &Path) -> Result<Vec<BindMount>, Error> {
    let mut mounts = collect(spec, container, directory, &mut Vec::new())?;
    mounts.sort_by_key(|mount| mount.destination.matches('/').count());
    Ok(mounts)
}

fn collect(
    spec: &TaskSpec,
    container: usize,
    directory: &Path,
    above: &mut Vec<usize>,
) -> Result<Vec<BindMount>, Error> {
    let definition = &spec.containers[container].definition;
    if above.contains(&container) {
        return Err(Error::Circle(definition.name.clone()));
    }
    above.push(container);
    let mut mounts: Vec<BindMount> = Vec::new();
    for point in &definition.mount_points {
        let (source, copy_up) = source(spec, &point.source_volume, directory)?;
        let destination = destination(&point.container_path)?;
        mounts.push(BindMount { source, destination, read_only: point.read_only.unwrap_or(false), copy_up });
    }
    for from in &definition.volumes_from {
        let mut names = spec.containers.iter().map(|other| &other.definition.name);
        let other = names.position(|name| *name == from.source_container);
        let other = other.ok_or_else(|| Error::UnknownContainer(from.source_container.clone()))?;
        for mut mount in collect(spec, other, directory, above)? {
            if mounts.iter().any(|own| own.destination == mount.destination) {
                continue;
            }
            mount.read_only |= from.read_only.unwrap_or(false);
            mounts.push(mount);
        }
    }
    above.pop();
    Ok(mounts)
}

/// The directory behind a volume, and whether the image's content goes into it first.
fn source(spec: &TaskSpec, name: &str, directory: &Path) -> Result<(PathBuf, bool), Error> {
    let index = spec.volumes.iter().position(|volume| volume.name == name);
    let index = index.ok_or_else(|| Error::UnknownVolume(name.to_owned()))?;
    match &spec.volumes[index].host_path {
        Some(path) => Ok((host_path(name, path)?, false)),
        None => Ok((empty_volume(directory, index), true)),
    }
}

fn empty_volume(directory: &Path, index: usize) -> PathBuf {
    directory.join("volumes").join(index.to_string())
}

fn host_path(volume: &str, path: &str) -> Result<PathBuf, Error> {
    clean(path).ok_or_else(|| Error::RelativeSource { volume: volume.to_owned(), path: path.to_owned() })
}

fn destination(path: &str) -> Result<String, Error> {
    let cleaned = clean(path).ok_or_else(|| Error::RelativeDestination(path.to_owned()))?;
    if cleaned == Path::new("/") {
        return Err(Error::RootDestination);
    }
    Ok(cleaned.to_str().expect("made of text").to_owned())
}

/// The path without `.`, `..` and doubled slashes; `None` when it is not absolute or cannot be a path.
fn clean(path: &str) -> Option<PathBuf> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut cleaned = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(cleaned)
}

/// Makes what the volumes need: empty directories, and host paths that are missing, as docker does.
pub fn prepare(spec: &TaskSpec, directory: &Path) -> Result<(), Error> {
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = match &volume.host_path {
            Some(path) => host_path(&volume.name, path)?,
            None => empty_volume(directory, index),
        };
        if path.exists() {
            continue;
        }
        let made = fs::create_dir_all(&path);
        made.map_err(|source| Error::Make { volume: volume.name.clone(), path, source })?;
    }
    Ok(())
}

/// Removes the task's directory with its empty volumes; no error when it is gone.
pub fn remove(root: &Path, task: TaskId) -> io::Result<()> {
    match fs::remove_dir_all(directory(root, task)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The tasks that have a directory, for garbage collection.
pub fn list(root: &Path) -> io::Result<Vec<TaskId>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut tasks = Vec::new();
    for entry in entries {
        tasks.extend(entry?.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok()));
    }
    tasks.sort();
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use model::link::ContainerSpec;
    use model::task_definition::{MountPoint, Volume, VolumeFrom};
    use model::{ContainerDefinition, LaunchType, NetworkMode, Scope, Timestamp};

    use super::*;

    type Points<'a> = &'a [(&'a str, &'a str, bool)];
    type Froms<'a> = &'a [(&'a str, bool)];

    /// Volumes `data` and `cache` are empty, `host` is a directory of the host.
    fn spec(containers: &[(&str, Points, Froms)]) -> TaskSpec {
        let volume = |name: &str, host_path: Option<&str>| Volume {
            name: name.into(),
            host_path: host_path.map(str::to_owned),
            host_given: false,
        };
        TaskSpec {
            id: TaskId(1),
            arn: String::new(),
            scope: Scope::new("000000000000", "us-east-1"),
            cluster: String::new(),
            cluster_arn: String::new(),
            family: String::new(),
            revision: 1,
            launch_type: LaunchType::Ec2,
            group: String::new(),
            started_by: None,
            availability_zone: None,
            created_at: Timestamp(0),
            tags: Vec::new(),
            cpu: None,
            memory: None,
            network_mode: NetworkMode::Bridge,
            interface: None,
            containers: containers.iter().map(|(name, points, from)| container(name, points, from)).collect(),
            volumes: vec![volume("data", None), volume("cache", None), volume("host", Some("/srv//x/../y"))],
            connect: None,
        }
    }

    fn container(name: &str, points: Points, from: Froms) -> ContainerSpec {
        let point = |&(volume, path, read_only): &(&str, &str, bool)| MountPoint {
            source_volume: volume.into(),
            container_path: path.into(),
            read_only: Some(read_only),
        };
        let from_one = |&(container, read_only): &(&str, bool)| VolumeFrom {
            source_container: container.into(),
            read_only: Some(read_only),
        };
        let definition = ContainerDefinition {
            name: name.into(),
            mount_points: points.iter().map(point).collect(),
            volumes_from: from.iter().map(from_one).collect(),
            ..ContainerDefinition::default()
        };
        ContainerSpec { id: String::new(), arn: String::new(), definition: definition.into(), gpu_ids: Vec::new() }
    }

    /// Expected: source, destination, `ro` or `rw`, and `+` when the image's content is copied up.
    fn check(containers: &[(&str, Points, Froms)], expected: &[&str]) {
        let shown: Vec<String> = match mounts(&spec(containers), 0, Path::new("/t")) {
            Err(error) => vec![error.to_string()],
            Ok(mounts) => mounts
                .iter()
                .map(|mount| {
                    let mode = if mount.read_only { "ro" } else { "rw" };
                    let copy_up = if mount.copy_up { "+" } else { "" };
                    format!("{} {} {mode}{copy_up}", mount.source.display(), mount.destination)
                })
                .collect(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn mount_points_name_volumes_by_their_place() {
        check(&[("a", &[], &[])], &[]);
        check(
            &[("a", &[("cache", "/c/", false), ("data", "/d", true)], &[])],
            &["/t/volumes/1 /c rw+", "/t/volumes/0 /d ro+"],
        );
        check(&[("a", &[("host", "/h/./x", false)], &[])], &["/srv/y /h/x rw"]);
    }

    #[test]
    fn parents_are_mounted_before_what_is_inside_them() {
        check(
            &[("a", &[("data", "/a/b", false), ("cache", "/a", false)], &[])],
            &["/t/volumes/1 /a rw+", "/t/volumes/0 /a/b rw+"],
        );
    }

    #[test]
    fn volumes_are_taken_from_others_at_any_distance() {
        check(
            &[
                ("a", &[("cache", "/x", false)], &[("b", true)]),
                ("b", &[("data", "/x", false), ("data", "/y", false)], &[("c", false)]),
                ("c", &[("host", "/z", true)], &[]),
            ],
            &["/t/volumes/1 /x rw+", "/t/volumes/0 /y ro+", "/srv/y /z ro"],
        );
        // The same container twice is no circle.
        check(
            &[
                ("a", &[], &[("b", true), ("c", false)]),
                ("b", &[], &[("c", false)]),
                ("c", &[("host", "/z", false)], &[]),
            ],
            &["/srv/y /z ro"],
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        check(&[("a", &[("nope", "/x", false)], &[])], &["volume 'nope' is not one of the task definition's volumes"]);
        check(&[("a", &[("data", "x", false)], &[])], &["invalid mount path: 'x' mount path must be absolute"]);
        check(&[("a", &[("data", "/x/..", false)], &[])], &["invalid mount path: the destination cannot be '/'"]);
        check(&[("a", &[], &[("z", false)])], &["container 'z' is not one of the task definition's containers"]);
        check(
            &[("a", &[], &[("b", false)]), ("b", &[], &[("a", false)])],
            &["containers take volumes from one another in a circle: 'a'"],
        );
    }

    #[test]
    fn empty_volumes_live_and_die_with_the_task_and_host_paths_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, host) = (scratch.path().join("tasks"), scratch.path().join("srv/host"));
        let mut spec = spec(&[("a", &[("data", "/d", false)], &[])]);
        spec.volumes[2].host_path = Some(host.to_str().unwrap().into());
        let task = directory(&root, spec.id);
        assert_eq!(list(&root).unwrap(), []);
        for _ in 0..2 {
            prepare(&spec, &task).unwrap();
            let mount = &mounts(&spec, 0, &task).unwrap()[0];
            assert!(mount.source.is_dir() && host.is_dir());
        }
        assert_eq!(list(&root).unwrap(), [spec.id]);
        for _ in 0..2 {
            remove(&root, spec.id).unwrap();
            assert!(!task.exists() && host.is_dir());
        }
        spec.volumes[2].host_path = Some("srv".into());
        assert!(matches!(prepare(&spec, &task), Err(Error::RelativeSource { .. })));
    }
}
