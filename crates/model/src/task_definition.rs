//! Task definitions: the fields that Gantry acts on (ecs-semantics §2). A field that is not here is refused at
//! registration by `control::convert`, so that nothing is accepted and ignored.
//!
//! `Option` keeps "not given" apart from the default, so that Describe echoes what was registered.

use serde::{Deserialize, Serialize};

use crate::{Attribute, CpuUnits, LaunchType, MemoryMib, Port, Protocol, Resources, Scope, Tag, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskDefinitionStatus {
    Active,
    Inactive,
    DeleteInProgress,
}

impl TaskDefinitionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    #[default]
    Bridge,
    Host,
    Awsvpc,
    None,
}

impl NetworkMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::Awsvpc => "awsvpc",
            Self::None => "none",
        }
    }
}

/// One revision of a family. Immutable but for its status and tags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDefinition {
    pub scope: Scope,
    pub family: String,
    /// From 1; never reused.
    pub revision: u32,
    pub status: TaskDefinitionStatus,
    pub containers: Vec<ContainerDefinition>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Task-level limits; for FARGATE always there.
    pub cpu: Option<CpuUnits>,
    pub memory: Option<MemoryMib>,
    pub network_mode: NetworkMode,
    /// Whether the caller named the network mode: Describe shows it only then, or for Fargate.
    pub network_mode_given: bool,
    #[serde(default)]
    pub requires_compatibilities: Vec<LaunchType>,
    /// All launch types that the definition satisfies.
    pub compatibilities: Vec<LaunchType>,
    pub execution_role_arn: Option<String>,
    /// `memberOf` expressions of the cluster query language.
    #[serde(default)]
    pub placement_constraints: Vec<String>,
    pub runtime_platform: Option<RuntimePlatform>,
    /// Size in GiB, 21 to 200.
    pub ephemeral_storage: Option<u32>,
    #[serde(default)]
    pub requires_attributes: Vec<Attribute>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    pub registered_at: Timestamp,
    pub registered_by: String,
    pub deregistered_at: Option<Timestamp>,
    pub delete_requested_at: Option<Timestamp>,
}

impl TaskDefinition {
    /// `family:revision`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.family, self.revision)
    }

    /// What a task of this definition takes from its node (ecs-semantics §1.8): the task-level figures, else the
    /// sums over the containers, with the memory reservation before the limit.
    pub fn reservation(&self) -> Resources {
        let containers = &self.containers;
        let cpu = self.cpu.unwrap_or_else(|| CpuUnits(containers.iter().map(|c| c.cpu.0).sum()));
        let memory = self.memory.unwrap_or_else(|| {
            let reserved = containers.iter().filter_map(|c| c.memory_reservation.or(c.memory));
            MemoryMib(reserved.map(|memory| memory.0).sum())
        });
        let ports = match self.network_mode {
            NetworkMode::Awsvpc | NetworkMode::None => Default::default(),
            NetworkMode::Bridge | NetworkMode::Host => containers.iter().flat_map(|c| c.host_ports()).collect(),
        };
        let gpu_count = containers.iter().map(|c| c.gpu_count).sum();
        Resources { cpu, memory, ports, gpus: Default::default(), gpu_count }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimePlatform {
    /// X86_64 or ARM64.
    pub cpu_architecture: Option<String>,
    /// LINUX; the Windows families are refused.
    pub operating_system_family: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerDefinition {
    pub name: String,
    pub image: String,
    /// Shares; 0 when not given.
    #[serde(default)]
    pub cpu: CpuUnits,
    /// Hard limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    /// Soft limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<MemoryMib>,
    pub essential: bool,
    /// Empty: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entry_point: Vec<String>,
    /// Empty: the image's (and nothing when the entry point is overridden).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
    /// `user`, `uid`, `user:group`, `uid:gid` …, as docker takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readonly_root_filesystem: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search_domains: Vec<String>,
    /// Host name and address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub docker_labels: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// Namespace (`net.core.somaxconn`) and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system_controls: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_parameters: Option<LinuxParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<u32>,
    /// Seconds; the agent's default is 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_configuration: Option<LogConfiguration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<VolumeFrom>,
    #[serde(default)]
    pub gpu_count: u32,
    /// `enabled` or `disabled`: whether a service keeps to the digest that it found first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_consistency: Option<String>,
    /// Never true, as it is not built; kept so that Describe shows what was given. So are the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudo_terminal: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_networking: Option<bool>,
}

impl ContainerDefinition {
    /// The fixed host ports that the container holds.
    pub fn host_ports(&self) -> impl Iterator<Item = Port> + '_ {
        let fixed = self.port_mappings.iter().filter(|mapping| mapping.host_port != 0);
        fixed.map(|mapping| Port { number: mapping.host_port, protocol: mapping.protocol })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    pub container_port: u16,
    /// 0: chosen by the node when the container starts.
    pub host_port: u16,
    pub protocol: Protocol,
    pub name: Option<String>,
    /// http, http2 or grpc.
    pub app_protocol: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `core`, …: the kernel's RLIMIT name in lower case.
    pub name: String,
    pub soft_limit: i64,
    pub hard_limit: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxParameters {
    /// Whether `capabilities` was given at all, for Describe.
    #[serde(default)]
    pub capabilities_given: bool,
    /// Names without `CAP_`, or ALL.
    #[serde(default)]
    pub capabilities_add: Vec<String>,
    #[serde(default)]
    pub capabilities_drop: Vec<String>,
    #[serde(default)]
    pub devices: Vec<Device>,
    pub init_process_enabled: Option<bool>,
    /// MiB of /dev/shm.
    pub shared_memory_size: Option<u32>,
    #[serde(default)]
    pub tmpfs: Vec<Tmpfs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host_path: String,
    pub container_path: Option<String>,
    /// `read`, `write`, `mknod`.
    pub permissions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    pub container_path: String,
    /// MiB.
    pub size: u32,
    #[serde(default)]
    pub mount_options: Vec<String>,
}

/// Times in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// As given: not empty, and its first word never `NONE`.
    pub command: Vec<String>,
    pub interval: u32,
    pub timeout: u32,
    pub retries: u32,
    pub start_period: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Start,
    Complete,
    Success,
    Healthy,
}

impl Condition {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Complete => "COMPLETE",
            Self::Success => "SUCCESS",
            Self::Healthy => "HEALTHY",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub container: String,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfiguration {
    /// `awslogs`; every other driver is refused at registration.
    pub driver: String,
    #[serde(default)]
    pub options: Vec<(String, String)>,
}

impl LogConfiguration {
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    pub source_volume: String,
    pub container_path: String,
    pub read_only: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFrom {
    pub source_container: String,
    pub read_only: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    /// A directory of the host; `None`: an empty one that lives and dies with the task.
    pub host_path: Option<String>,
    /// `host: {}` was given, for Describe.
    pub host_given: bool,
}
