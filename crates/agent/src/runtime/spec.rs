//! The OCI runtime specification of a container: from what the definition asks, what the image says and what the node
//! allows, to what runc is told. Pure.
//!
//! The defaults are docker's, since that is what images are made for. What the node cannot give is refused here, with
//! the reason, rather than by runc later.

pub mod capability;
pub mod document;
pub mod limit;
pub mod mount;
pub mod seccomp;

use std::collections::{BTreeMap, BTreeSet};

use crate::driver::{BindMount, ContainerRequest};

use super::account::Identity;
use super::cgroup::Version;
use super::host::Host;
use super::manifest::Process as ImageProcess;
use document::{Capabilities, Cpu, Device, DeviceRule, Linux, Memory, Namespace, Process, Resources, Root, Spec, User};

const OCI_VERSION: &str = "1.0.2";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the init process is mounted: `/dev` is the container's own, also when its root is read-only.
pub const INIT_PATH: &str = "/dev/init";
/// ecs-semantics §2.3: shares below and above are brought to these.
const LEAST_SHARES: u64 = 2;
const MOST_SHARES: u64 = 262_144;
/// Docker refuses a limit below; the ECS agent raises to it.
const LEAST_MEMORY: u64 = 6 << 20;

const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a container cannot be made as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("No command specified")]
    NoCommand,
    #[error("the working directory '{0}' is invalid, it needs to be an absolute path")]
    WorkingDirectory(String),
    #[error(transparent)]
    Capability(#[from] capability::Refused),
    #[error(transparent)]
    Limit(#[from] limit::Refused),
    #[error(transparent)]
    Mount(#[from] mount::Refused),
    #[error("sysctl {0} is of the network namespace, and the container uses the host's")]
    HostSysctl(String),
}

/// All that a specification is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub request: &'a ContainerRequest,
    pub image: &'a ImageProcess,
    pub identity: &'a Identity,
    pub host: &'a Host,
    /// Of the container, below its task's group.
    pub cgroups_path: &'a str,
    /// The init program on the host; used when the definition asks for it.
    pub init: &'a str,
    /// Devices of the host that the definition names, or all of them for a privileged container.
    pub devices: &'a [GrantedDevice],
}

/// A device node of the host, as the container will see it.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantedDevice {
    pub device: Device,
    /// Of `r`, `w`, `m`.
    pub access: String,
}

pub fn spec(inputs: &Inputs) -> Result<Spec, Refused> {
    let definition = &inputs.request.definition;
    let hostname = hostname(inputs);
    let capabilities = capabilities(inputs)?;
    let root = Root { path: "rootfs".to_owned(), readonly: definition.readonly_root_filesystem == Some(true) };
    Ok(Spec {
        oci_version: OCI_VERSION.to_owned(),
        root,
        process: process(inputs, &hostname, &capabilities)?,
        mounts: mount::mounts(inputs)?,
        linux: linux(inputs, &capabilities)?,
        hostname,
    })
}

fn is_privileged(inputs: &Inputs) -> bool {
    inputs.request.definition.privileged == Some(true)
}

pub(super) fn uses_init(inputs: &Inputs) -> bool {
    let parameters = inputs.request.definition.linux_parameters.as_ref();
    parameters.and_then(|parameters| parameters.init_process_enabled) == Some(true)
}

/// What a container that names none is called: on the host's network as the host, else by the start of its id.
fn hostname(inputs: &Inputs) -> String {
    let request = inputs.request;
    let given = request.hostname.clone().or_else(|| request.definition.hostname.clone());
    given.unwrap_or_else(|| match request.network_namespace {
        None => inputs.host.name.clone(),
        Some(_) => request.id.chars().take(12).collect(),
    })
}

fn process(inputs: &Inputs, hostname: &str, granted: &BTreeSet<&'static str>) -> Result<Process, Refused> {
    let definition = &inputs.request.definition;
    let identity = inputs.identity;
    let mut args = args(&definition.entry_point, &definition.command, inputs.image)?;
    if uses_init(inputs) {
        args.splice(0..0, [INIT_PATH.to_owned(), "--".to_owned()]);
    }
    let names: BTreeSet<String> = granted.iter().map(|name| format!("CAP_{name}")).collect();
    // As docker: a user other than root starts without any, and may gain them only by a file that grants them.
    let held = if identity.uid == 0 { names.clone() } else { Default::default() };
    Ok(Process {
        user: User { uid: identity.uid, gid: identity.gid, additional_gids: identity.groups.clone() },
        args,
        env: environment(inputs, hostname),
        cwd: working_directory(inputs)?,
        capabilities: Capabilities { bounding: names, effective: held.clone(), permitted: held },
        rlimits: limit::rlimits(&definition.ulimits, inputs.host)?,
        no_new_privileges: false,
        // Lowering it back from the shim's needs a privilege that not every node has.
        oom_score_adj: inputs.host.may_raise_limits().then_some(0),
    })
}

/// As docker merges them: an entry point of one's own clears the image's command.
fn args(entry_point: &[String], command: &[String], image: &ImageProcess) -> Result<Vec<String>, Refused> {
    let image_entry_point = image.entrypoint.as_deref().unwrap_or_default();
    let image_command = image.cmd.as_deref().unwrap_or_default();
    let (first, rest) = match (entry_point, command) {
        ([], []) => (image_entry_point, image_command),
        ([], command) => (image_entry_point, command),
        (entry_point, command) => (entry_point, command),
    };
    let args: Vec<String> = first.iter().chain(rest).cloned().collect();
    if args.first().is_none_or(String::is_empty) { Err(Refused::NoCommand) } else { Ok(args) }
}

/// Later entries win; each name comes once, where it came first.
fn environment(inputs: &Inputs, hostname: &str) -> Vec<String> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match entries.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => entries.push((name.to_owned(), value.to_owned())),
    };
    let (path, default) = PATH.split_once('=').expect("a constant");
    set(path, default);
    set("HOSTNAME", hostname);
    for entry in inputs.image.env.iter().flatten() {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        set(name, value);
    }
    for (name, value) in &inputs.request.environment {
        set(name, value);
    }
    let has_home = entries.iter().any(|(name, _)| name == "HOME");
    if !has_home {
        entries.push(("HOME".to_owned(), inputs.identity.home.clone()));
    }
    entries.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn working_directory(inputs: &Inputs) -> Result<String, Refused> {
    let own = inputs.request.definition.working_directory.as_deref().filter(|path| !path.is_empty());
    let image = inputs.image.working_dir.as_deref().filter(|path| !path.is_empty());
    let path = own.or(image).unwrap_or("/");
    if path.starts_with('/') { Ok(path.to_owned()) } else { Err(Refused::WorkingDirectory(path.to_owned())) }
}

fn capabilities(inputs: &Inputs) -> Result<BTreeSet<&'static str>, capability::Refused> {
    let (add, drop) = match &inputs.request.definition.linux_parameters {
        Some(parameters) => (parameters.capabilities_add.as_slice(), parameters.capabilities_drop.as_slice()),
        None => Default::default(),
    };
    capability::choose(is_privileged(inputs), add, drop, &inputs.host.capabilities)
}

fn linux(inputs: &Inputs, capabilities: &BTreeSet<&'static str>) -> Result<Linux, Refused> {
    let privileged = is_privileged(inputs);
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let confined = !privileged && inputs.host.seccomp;
    Ok(Linux {
        namespaces: namespaces(inputs),
        cgroups_path: inputs.cgroups_path.to_owned(),
        resources: resources(inputs),
        sysctl: sysctls(inputs)?,
        devices: inputs.devices.iter().map(|granted| granted.device.clone()).collect(),
        seccomp: confined.then(|| seccomp::profile(capabilities)),
        masked_paths: if privileged { Vec::new() } else { owned(&MASKED) },
        readonly_paths: if privileged { Vec::new() } else { owned(&READ_ONLY) },
    })
}

fn namespaces(inputs: &Inputs) -> Vec<Namespace> {
    let mut namespaces: Vec<Namespace> =
        ["pid", "ipc", "uts", "mount"].map(|kind| Namespace { kind, path: None }).to_vec();
    if let Some(path) = &inputs.request.network_namespace {
        namespaces.push(Namespace { kind: "network", path: Some(path.display().to_string()) });
    }
    // Docker's default: private with version 2, the host's with version 1.
    if inputs.host.cgroups == Version::V2 && !is_privileged(inputs) {
        namespaces.push(Namespace { kind: "cgroup", path: None });
    }
    namespaces
}

fn sysctls(inputs: &Inputs) -> Result<BTreeMap<String, String>, Refused> {
    let mut sysctls = BTreeMap::new();
    let own_network = inputs.request.network_namespace.is_some();
    if own_network && !is_privileged(inputs) {
        // As docker: a user other than root may bind port 80 and ping.
        sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    for (name, value) in &inputs.request.definition.system_controls {
        if name.starts_with("net.") && !own_network {
            return Err(Refused::HostSysctl(name.clone()));
        }
        sysctls.insert(name.clone(), value.clone());
    }
    Ok(sysctls)
}

fn resources(inputs: &Inputs) -> Resources {
    let definition = &inputs.request.definition;
    let shares = u64::from(definition.cpu.0).clamp(LEAST_SHARES, MOST_SHARES);
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let limit = definition.memory.map(|memory| memory.bytes().max(LEAST_MEMORY));
    // As docker: as much swap as memory, where swap can be counted at all.
    let swap = limit.filter(|_| inputs.host.swap_accounting).map(|limit| bytes(limit.saturating_mul(2)));
    let reservation = definition.memory_reservation.map(|memory| bytes(memory.bytes()));
    Resources {
        devices: device_rules(inputs),
        cpu: Cpu { shares },
        memory: Memory { limit: limit.map(bytes), reservation, swap },
    }
}

fn device_rules(inputs: &Inputs) -> Vec<DeviceRule> {
    if is_privileged(inputs) {
        return vec![DeviceRule { allow: true, access: "rwm".to_owned(), ..DeviceRule::default() }];
    }
    // runc adds the rules of the devices that every container has (null, zero, tty, …) itself.
    let mut rules = vec![DeviceRule { allow: false, access: "rwm".to_owned(), ..DeviceRule::default() }];
    rules.extend(inputs.devices.iter().map(|granted| DeviceRule {
        allow: true,
        kind: Some(granted.device.kind),
        major: Some(granted.device.major),
        minor: Some(granted.device.minor),
        access: granted.access.clone(),
    }));
    rules
}

/// Read-only or not, for the mounts.
pub(super) fn bind_option(mount: &BindMount) -> &'static str {
    if mount.read_only { "ro" } else { "rw" }
}

#[cfg(test)]
mod tests;
