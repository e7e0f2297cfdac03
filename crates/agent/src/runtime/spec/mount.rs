//! Mounts of a container: the kernel's own file systems, then tmpfs and volumes, outer paths before inner ones.

use model::task_definition::Tmpfs;

use super::document::Mount;
use super::{INIT_PATH, Inputs, bind_option, is_privileged, uses_init};

const DEFAULT_SHM_MIB: u32 = 64;

/// What docker takes as options of a tmpfs.
const TMPFS_OPTIONS: [&str; 30] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "iversion",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "private",
    "rbind",
    "relatime",
    "remount",
    "ro",
    "rprivate",
    "rw",
    "strictatime",
    "suid",
    "sync",
    "unbindable",
];
/// Options that take a value.
const TMPFS_VALUES: [&str; 6] = ["mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
/// Each of a pair undoes the other.
const OPPOSITES: [(&str, &str); 4] = [("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("rw", "ro")];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    Relative(String),
    #[error("invalid mount path: '{0}' may not be the root or contain '..'")]
    Unsafe(String),
    #[error("Duplicate mount point: {0}")]
    Duplicate(String),
    #[error("Invalid tmpfs option \"{0}\"")]
    TmpfsOption(String),
}

pub fn mounts(inputs: &Inputs) -> Result<Vec<Mount>, Refused> {
    let mut mounts = kernel_mounts(inputs);
    let mut own: Vec<Mount> = Vec::new();
    let parameters = inputs.request.definition.linux_parameters.as_ref();
    for tmpfs in parameters.map(|parameters| parameters.tmpfs.as_slice()).unwrap_or_default() {
        own.push(tmpfs_mount(tmpfs)?);
    }
    for bind in &inputs.request.mounts {
        own.push(Mount {
            destination: absolute(&bind.destination)?,
            kind: "bind".to_owned(),
            source: bind.source.display().to_string(),
            options: ["rbind", "rprivate", bind_option(bind)].map(str::to_owned).to_vec(),
        });
    }
    own.sort_by_key(|mount| mount.destination.matches('/').count());
    for (n, mount) in own.iter().enumerate() {
        if own[..n].iter().any(|other| other.destination == mount.destination) {
            return Err(Refused::Duplicate(mount.destination.clone()));
        }
    }
    mounts.retain(|mount| own.iter().all(|other| other.destination != mount.destination));
    mounts.extend(own);
    if uses_init(inputs) {
        mounts.push(Mount {
            destination: INIT_PATH.to_owned(),
            kind: "bind".to_owned(),
            source: inputs.init.to_owned(),
            options: ["bind", "rprivate", "ro"].map(str::to_owned).to_vec(),
        });
    }
    Ok(mounts)
}

fn kernel_mounts(inputs: &Inputs) -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    let writable = if is_privileged(inputs) { "rw" } else { "ro" };
    let parameters = inputs.request.definition.linux_parameters.as_ref();
    let shm = parameters.and_then(|parameters| parameters.shared_memory_size).filter(|size| *size > 0);
    let shm_size = format!("size={}m", shm.unwrap_or(DEFAULT_SHM_MIB));
    let quiet = ["nosuid", "noexec", "nodev"];
    vec![
        mount("/proc", "proc", "proc", &quiet),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", writable]),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]),
    ]
}

/// Docker's defaults, with the definition's options over them.
fn tmpfs_mount(tmpfs: &Tmpfs) -> Result<Mount, Refused> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev", "rprivate"].map(str::to_owned).to_vec();
    for option in &tmpfs.mount_options {
        let name = option.split_once('=').map_or(option.as_str(), |(name, _)| name);
        let known = if option.contains('=') { TMPFS_VALUES.contains(&name) } else { TMPFS_OPTIONS.contains(&name) };
        if !known {
            return Err(Refused::TmpfsOption(option.clone()));
        }
        let undone = OPPOSITES.iter().find_map(|(a, b)| match name {
            name if name == *a => Some(*b),
            name if name == *b => Some(*a),
            _ => None,
        });
        options.retain(|other| Some(other.as_str()) != undone && other != option);
        // runc has no such word for a tmpfs.
        if option != "defaults" {
            options.push(option.clone());
        }
    }
    options.push(format!("size={}m", tmpfs.size));
    Ok(Mount {
        destination: absolute(&tmpfs.container_path)?,
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        options,
    })
}

fn absolute(path: &str) -> Result<String, Refused> {
    if !path.starts_with('/') {
        return Err(Refused::Relative(path.to_owned()));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() || parts.contains(&"..") {
        return Err(Refused::Unsafe(path.to_owned()));
    }
    Ok(format!("/{}", parts.join("/")))
}
