//! Device nodes of the host, as a definition names them or, for a privileged container, all of them.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::spec::GrantedDevice;
use super::spec::document::Device;

/// Below /dev, but not the host's to give: the container has its own.
const OWN: [&str; 8] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];
/// Nodes that one container may be given; a definition that names a directory gives all below it.
const LIMIT: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("error gathering device information while adding custom device \"{path}\": {reason}")]
    Unreadable { path: String, reason: String },
    #[error("error gathering device information while adding custom device \"{0}\": not a device node")]
    NotADevice(String),
    #[error("more than {LIMIT} device nodes below \"{0}\"")]
    TooMany(String),
    #[error("invalid device permission \"{0}\"")]
    Permission(String),
}

/// What the definition names. Blocking.
pub fn named(devices: &[model::task_definition::Device]) -> Result<Vec<GrantedDevice>, DeviceError> {
    let mut granted = Vec::new();
    for device in devices {
        let access = access(&device.permissions)?;
        let inside = device.container_path.as_deref().unwrap_or(&device.host_path);
        let found = below(Path::new(&device.host_path), &[])?;
        if found.is_empty() {
            return Err(DeviceError::NotADevice(device.host_path.clone()));
        }
        for (path, metadata) in found {
            let rest = path.strip_prefix(&device.host_path).unwrap_or(Path::new(""));
            let inside = if rest.as_os_str().is_empty() { PathBuf::from(inside) } else { Path::new(inside).join(rest) };
            granted.extend(describe(&inside, &metadata, &access));
        }
    }
    Ok(granted)
}

/// All of /dev, for a privileged container. Blocking.
pub fn all() -> Result<Vec<GrantedDevice>, DeviceError> {
    let found = below(Path::new("/dev"), &OWN)?;
    Ok(found.iter().filter_map(|(path, metadata)| describe(path, metadata, "rwm")).collect())
}

/// Links are followed where they are named, not where they are met.
fn below(path: &Path, except: &[&str]) -> Result<Vec<(PathBuf, Metadata)>, DeviceError> {
    let unreadable =
        |error: io::Error| DeviceError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_dir() {
        return Ok(if is_device(&metadata) { vec![(path.to_owned(), metadata)] } else { Vec::new() });
    }
    let mut found = Vec::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let excepted = directory == path && entry.file_name().to_str().is_some_and(|name| except.contains(&name));
            // A node may go away while it is looked at.
            let Some(metadata) = entry.metadata().ok().filter(|_| !excepted) else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if is_device(&metadata) {
                found.push((entry.path(), metadata));
            }
            if found.len() + directories.len() > LIMIT {
                return Err(DeviceError::TooMany(path.display().to_string()));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

fn is_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

fn describe(inside: &Path, metadata: &Metadata, access: &str) -> Option<GrantedDevice> {
    let kind = if metadata.file_type().is_block_device() { 'b' } else { 'c' };
    let device = Device {
        path: inside.to_str()?.to_owned(),
        kind,
        major: nix::sys::stat::major(metadata.rdev()),
        minor: nix::sys::stat::minor(metadata.rdev()),
        file_mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    };
    Some(GrantedDevice { device, access: access.to_owned() })
}

/// None given: all.
fn access(permissions: &[String]) -> Result<String, DeviceError> {
    if permissions.is_empty() {
        return Ok("rwm".to_owned());
    }
    let letter = |permission: &String| match permission.as_str() {
        "read" => Ok('r'),
        "write" => Ok('w'),
        "mknod" => Ok('m'),
        other => Err(DeviceError::Permission(other.to_owned())),
    };
    permissions.iter().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, container_path: Option<&str>, permissions: &[&str], expected: Result<(&str, &str), &str>) {
        let device = model::task_definition::Device {
            host_path: path.to_owned(),
            container_path: container_path.map(str::to_owned),
            permissions: permissions.iter().map(|permission| (*permission).to_owned()).collect(),
        };
        match (named(&[device]), expected) {
            (Ok(granted), Ok((inside, access))) => {
                assert_eq!(granted.len(), 1, "{path}");
                assert_eq!((granted[0].device.path.as_str(), granted[0].access.as_str()), (inside, access));
                assert_eq!((granted[0].device.kind, granted[0].device.major, granted[0].device.minor), ('c', 1, 5));
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (got, _) => panic!("{path}: {got:?}"),
        }
    }

    #[test]
    fn devices_are_read_from_the_host() {
        check("/dev/zero", None, &[], Ok(("/dev/zero", "rwm")));
        check("/dev/zero", Some("/dev/nought"), &["read", "write"], Ok(("/dev/nought", "rw")));
        check("/dev/zero", None, &["execute"], Err("invalid device permission"));
        check("/dev/none", None, &[], Err("No such file"));
        check("/etc/hostname", None, &[], Err("not a device node"));
    }

    #[test]
    fn a_privileged_container_sees_the_hosts_but_not_its_terminals() {
        let paths: Vec<String> = all().expect("readable").into_iter().map(|granted| granted.device.path).collect();
        assert!(paths.contains(&"/dev/null".to_owned()));
        assert!(paths.iter().all(|path| !path.starts_with("/dev/pts/")));
    }
}
