//! What the machine is: the facts of [`Hello`](model::link::Hello).

use std::fs;
use std::io;
use std::path::Path;

use model::{Attribute, CpuUnits, MemoryMib, NodeId, Port, Protocol, Resources};

/// Ports of the machine's own services, never given to tasks (ecs-semantics §1.8, without docker's).
const PORTS_RESERVED: [u16; 3] = [22, 51678, 51679];

#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    pub name: String,
    /// Changes when the machine boots.
    pub boot_id: String,
    pub total: Resources,
    pub attributes: Vec<Attribute>,
}

impl Host {
    /// Reads the machine's facts from /proc.
    pub fn read() -> io::Result<Self> {
        let cpus = std::thread::available_parallelism()?.get();
        let memory = memory_of(&fs::read_to_string("/proc/meminfo")?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let name = fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
        let cpu = CpuUnits(u32::try_from(cpus * 1024).unwrap_or(u32::MAX));
        Ok(Self { name, boot_id, total: resources(cpu, memory), attributes: attributes() })
    }

    /// A machine that is not there, for simulated nodes.
    pub fn simulated(name: &str, cpu: CpuUnits, memory: MemoryMib) -> Self {
        Self {
            name: name.to_owned(),
            boot_id: "simulated".to_owned(),
            total: resources(cpu, memory),
            attributes: attributes(),
        }
    }
}

fn resources(cpu: CpuUnits, memory: MemoryMib) -> Resources {
    let ports = PORTS_RESERVED.map(|number| Port { number, protocol: Protocol::Tcp });
    Resources { cpu, memory, ports: ports.into(), ..Resources::default() }
}

fn memory_of(meminfo: &str) -> Option<MemoryMib> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(MemoryMib(u32::try_from(kib / 1024).ok()?))
}

/// What this agent can do, and what the machine is (ecs-semantics §5.1). Placement takes it at its word.
fn attributes() -> Vec<Attribute> {
    let capabilities = model::capability::ALL.map(str::to_owned).into_iter();
    let valued = [
        ("ecs.os-type", "linux".to_owned()),
        ("ecs.os-family", "LINUX".to_owned()),
        ("ecs.cpu-architecture", cpu_architecture().to_owned()),
    ];
    let named = capabilities.map(|name| Attribute { name, value: None });
    named.chain(valued.map(|(name, value)| Attribute { name: name.to_owned(), value: Some(value) })).collect()
}

fn cpu_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the node's id in {path} cannot be kept or read")]
pub struct NodeIdError {
    path: String,
    source: io::Error,
}

/// The node's id, kept in `path`; made from `bits` when there is none yet.
pub fn node_id(path: &Path, bits: u128) -> Result<NodeId, NodeIdError> {
    let failed = |source| NodeIdError { path: path.display().to_string(), source };
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = NodeId(bits);
            keep(path, id).map_err(failed)?;
            Ok(id)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Durable before the control plane hears of it: a node that forgot its id would come back as another one.
fn keep(path: &Path, id: NodeId) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, format!("{id}\n"))?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(memory_of("MemTotal:       16393216 kB\nMemFree: 1 kB\n"), Some(MemoryMib(16009)));
        assert_eq!(memory_of("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_has_facts() {
        let host = Host::read().unwrap();
        assert!(host.total.cpu.0 >= 1024 && host.total.memory.0 > 0 && !host.boot_id.is_empty());
    }

    #[test]
    fn node_id_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node-id");
        assert_eq!(node_id(&path, 7).unwrap(), NodeId(7));
        assert_eq!(node_id(&path, 8).unwrap(), NodeId(7));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(node_id(&path, 8).is_err());
    }
}
