//! What this machine allows a container: read once when the runtime is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use super::cgroup::Version;
use super::spec::capability;

/// Names of ecs-semantics §2.3 (`nofile`, …) with the kernel's.
pub const LIMITS: [(&str, &str, Resource); 15] = [
    ("core", "RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("cpu", "RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("data", "RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("fsize", "RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("locks", "RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("memlock", "RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", "RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("nice", "RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("nofile", "RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("nproc", "RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("rss", "RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("rtprio", "RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("rttime", "RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
    ("sigpending", "RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("stack", "RLIMIT_STACK", Resource::RLIMIT_STACK),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub cgroups: Version,
    /// Whether the kernel accounts swap per cgroup.
    pub swap_accounting: bool,
    /// Without `CAP_`.
    pub capabilities: BTreeSet<&'static str>,
    /// Hard limits by the kernel's name; a container's may be above them only with SYS_RESOURCE.
    pub hard_limits: BTreeMap<&'static str, u64>,
    pub seccomp: bool,
}

impl Host {
    /// Blocking; a few files of /proc and /sys.
    pub fn read() -> io::Result<Self> {
        let cgroups = Version::here()?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let bits = field(&status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let swap_file = match cgroups {
            Version::V1 => "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
            // Only groups below the root have the file, and every kernel with version 2 accounts swap.
            Version::V2 => "/sys/fs/cgroup/cgroup.controllers",
        };
        let mut hard_limits = BTreeMap::new();
        for (_, name, resource) in LIMITS {
            hard_limits.insert(name, getrlimit(resource)?.1);
        }
        Ok(Self {
            name: std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned(),
            cgroups,
            swap_accounting: Path::new(swap_file).exists(),
            capabilities: capability::from_bits(bits),
            hard_limits,
            seccomp: field(&status, "Seccomp").is_some(),
        })
    }

    pub fn may_raise_limits(&self) -> bool {
        self.capabilities.contains("SYS_RESOURCE")
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
