//! `linuxParameters` and `systemControls` (ecs-semantics §2.3).

use model::task_definition::{Device, LinuxParameters, Tmpfs};
use model::{ContainerDefinition, NetworkMode};

use super::volume::is_absolute;
use super::{Verdict, refuse};

/// As `capabilities.add` and `.drop` may have them.
const CAPABILITIES: [&str; 38] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

const DEVICE_PERMISSIONS: [&str; 3] = ["read", "write", "mknod"];

/// As `tmpfs[].mountOptions` may have them, before any `=`.
const TMPFS_OPTIONS: [&str; 39] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

/// Kernel parameters that belong to an IPC namespace; the others that are allowed begin with [`QUEUE_PREFIX`] or
/// [`NET_PREFIX`]. Any other one would change the whole machine.
const IPC_PARAMETERS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];
const QUEUE_PREFIX: &str = "fs.mqueue.";
const NET_PREFIX: &str = "net.";

pub(super) fn check(container: &ContainerDefinition, linux: &LinuxParameters) -> Verdict {
    let capabilities = linux.capabilities_add.iter().chain(&linux.capabilities_drop);
    for name in capabilities {
        if !CAPABILITIES.contains(&name.as_str()) {
            return refuse(format!("Invalid capability '{name}' for container '{}'.", container.name));
        }
    }
    linux.devices.iter().try_for_each(|device| check_device(container, device))?;
    linux.tmpfs.iter().try_for_each(|tmpfs| check_tmpfs(container, tmpfs))?;
    if linux.shared_memory_size == Some(0) {
        return refuse(format!(
            "Invalid 'sharedMemorySize' setting for container '{}'. It must be greater than 0.",
            container.name
        ));
    }
    Ok(())
}

fn check_device(container: &ContainerDefinition, device: &Device) -> Verdict {
    for path in [Some(&device.host_path), device.container_path.as_ref()].into_iter().flatten() {
        if !is_absolute(path) {
            return refuse(format!("Invalid device path '{path}' for container '{}'.", container.name));
        }
    }
    match device.permissions.iter().find(|name| !DEVICE_PERMISSIONS.contains(&name.as_str())) {
        Some(name) => refuse(format!("Invalid device permission '{name}' for container '{}'.", container.name)),
        None => Ok(()),
    }
}

fn check_tmpfs(container: &ContainerDefinition, tmpfs: &Tmpfs) -> Verdict {
    let name = &container.name;
    if !is_absolute(&tmpfs.container_path) {
        return refuse(format!("Invalid tmpfs path '{}' for container '{name}'.", tmpfs.container_path));
    }
    if tmpfs.size == 0 {
        return refuse(format!("Invalid tmpfs size for container '{name}'. It must be greater than 0."));
    }
    for option in &tmpfs.mount_options {
        let (key, _) = option.split_once('=').unwrap_or((option, ""));
        if !TMPFS_OPTIONS.contains(&key) || option.contains(',') {
            return refuse(format!("Invalid tmpfs mount option '{option}' for container '{name}'."));
        }
    }
    Ok(())
}

pub(super) fn check_system_controls(container: &ContainerDefinition, mode: NetworkMode) -> Verdict {
    for (index, (namespace, _)) in container.system_controls.iter().enumerate() {
        let is_net = namespace.starts_with(NET_PREFIX);
        let is_ipc = IPC_PARAMETERS.contains(&namespace.as_str()) || namespace.starts_with(QUEUE_PREFIX);
        if !is_net && !is_ipc || !is_parameter_name(namespace) {
            return refuse(format!("Invalid system control '{namespace}' for container '{}'.", container.name));
        }
        if is_net && mode == NetworkMode::Host {
            return refuse(format!("When networkMode=host, the system control '{namespace}' is not supported."));
        }
        if container.system_controls[..index].iter().any(|(other, _)| other == namespace) {
            return refuse(format!(
                "The system control '{namespace}' is set more than once for container '{}'.",
                container.name
            ));
        }
    }
    Ok(())
}

/// No slashes or doubled dots: the name becomes a path under /proc/sys.
fn is_parameter_name(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    name.split('.').all(is_part)
}
