//! What a node has and what a task takes: CPU, memory, host ports, GPUs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// 1/1024 of a virtual CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuUnits(pub u32);

/// 2^20 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryMib(pub u32);

impl MemoryMib {
    pub const fn bytes(self) -> u64 {
        self.0 as u64 * 1024 * 1024
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

impl Protocol {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A host port that is held by a task or kept back by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    pub number: u16,
    pub protocol: Protocol,
}

/// An amount of each resource. For a node's total, `ports` are the ports that are *taken* from the start
/// (reserved); for a task they are the fixed host ports that it holds. Dynamic host ports are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    pub cpu: CpuUnits,
    pub memory: MemoryMib,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<Port>,
    /// Ids on a node; on a task, the ids that were assigned to it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gpus: BTreeSet<String>,
    /// How many GPUs a task asks for. Zero on a node.
    #[serde(default)]
    pub gpu_count: u32,
}

/// The resource that does not suffice, in the words of `failures[].reason` (ecs-semantics §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    Cpu,
    Memory,
    Ports,
    Gpu,
}

impl Shortage {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Ports => "RESOURCE:PORTS",
            Self::Gpu => "RESOURCE:GPU",
        }
    }
}

impl Resources {
    /// Whether `request` fits into what is free here; the first shortage in AWS's order otherwise.
    pub fn fits(&self, request: &Self) -> Result<(), Shortage> {
        if request.cpu > self.cpu {
            return Err(Shortage::Cpu);
        }
        if request.memory > self.memory {
            return Err(Shortage::Memory);
        }
        if request.ports.iter().any(|port| self.ports.contains(port)) {
            return Err(Shortage::Ports);
        }
        if request.gpu_count as usize > self.gpus.len() {
            return Err(Shortage::Gpu);
        }
        Ok(())
    }

    /// Takes `request` out of what is free. GPUs by id when the request names them, else the lowest ids.
    /// Saturates: over-commitment is refused by [`fits`](Self::fits), never repaired here.
    pub fn take(&mut self, request: &Self) {
        self.cpu.0 = self.cpu.0.saturating_sub(request.cpu.0);
        self.memory.0 = self.memory.0.saturating_sub(request.memory.0);
        self.ports.extend(request.ports.iter().copied());
        for gpu in &request.gpus {
            self.gpus.remove(gpu);
        }
        for _ in request.gpus.len()..request.gpu_count as usize {
            self.gpus.pop_first();
        }
    }

    /// Gives back what [`take`](Self::take) took.
    pub fn give_back(&mut self, request: &Self) {
        self.cpu.0 += request.cpu.0;
        self.memory.0 += request.memory.0;
        for port in &request.ports {
            self.ports.remove(port);
        }
        self.gpus.extend(request.gpus.iter().cloned());
    }
}
