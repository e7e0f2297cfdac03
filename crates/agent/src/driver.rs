//! What the agent asks of the world under it: the container runtime and the network. Two implementations of each:
//! the real one (`runtime::Containerd`, `network::Linux`) and the simulated one.
//!
//! Rules for every implementation:
//! - Each call is bounded in time by the implementation and answers an error rather than hanging.
//! - Each call may be repeated after a crash half-way: what is there already is taken over, what is gone is no error.
//! - Nothing here decides; the order of calls is `task::step`'s.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use model::firewall::Firewall;
use model::link::InterfaceSpec;
use model::task::NetworkBinding;
use model::{ContainerDefinition, CpuUnits, MemoryMib, TaskId, Timestamp};
use tokio::sync::mpsc;

/// A failure with the agent's error name of ecs-semantics §1.3, e.g. `CannotPullContainerError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct DriverError {
    pub name: &'static str,
    pub message: String,
}

impl DriverError {
    pub fn new(name: &'static str, message: impl std::fmt::Display) -> Self {
        Self { name, message: message.to_string() }
    }
}

pub type Result<T> = std::result::Result<T, DriverError>;

/// An image that is on the node, unpacked and ready.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    /// As containerd names it: `docker.io/library/nginx:latest`.
    pub reference: String,
    /// `sha256:…` of the manifest (or index) that the reference names.
    pub digest: String,
    /// Whether it was fetched just now.
    pub pulled: bool,
}

/// All that is needed to make a container. Paths are the agent's own, never a tenant's text.
#[derive(Clone, Debug)]
pub struct ContainerRequest {
    /// The runtime's id, `[a-z0-9-]`, unique on the node, at most 76 characters.
    pub id: String,
    pub image: Image,
    /// Overrides applied. The runtime takes command, entry point, user, limits, capabilities … from here.
    pub definition: ContainerDefinition,
    /// The whole environment but the image's own, which goes below it.
    pub environment: Vec<(String, String)>,
    /// Namespace to join; `None`: the host's.
    pub network_namespace: Option<PathBuf>,
    pub hostname: Option<String>,
    /// Volumes, /etc/hosts, /etc/resolv.conf, /etc/hostname.
    pub mounts: Vec<BindMount>,
    /// cgroup that holds the whole task; made by [`Runtime::create_task_group`].
    pub task: TaskId,
    pub labels: Vec<(String, String)>,
    /// Both output streams are appended to this file by the container's shim, which outlives the agent.
    pub log_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    pub source: PathBuf,
    pub destination: String,
    pub read_only: bool,
    /// Copy what the image has at `destination` into an empty source first, as docker does with new volumes.
    pub copy_up: bool,
}

/// Limits of a whole task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    pub cpu: Option<CpuUnits>,
    pub memory: Option<MemoryMib>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    pub id: String,
    pub exit_code: i32,
    pub at: Timestamp,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundStatus {
    /// Made, never started.
    Created,
    Running {
        pid: u32,
    },
    Stopped {
        exit_code: i32,
        at: Timestamp,
        out_of_memory: bool,
    },
    /// The record is there, the process and its exit status are not: it was never quite made, or the machine or its
    /// shim went down under it.
    Lost,
}

/// A container of ours that the runtime has, whoever started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: String,
    pub labels: Vec<(String, String)>,
    pub status: FoundStatus,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecResult {
    /// `None`: did not end within the time limit and was killed.
    pub exit_code: Option<i32>,
    /// The last 4 KiB of output.
    pub output: String,
}

pub trait Runtime: Send + Sync + 'static {
    fn version(&self) -> impl Future<Output = Result<String>> + Send;
    /// Pulls the image unless it is there (`latest` too), verifies and unpacks it.
    fn ensure_image(&self, image: &str) -> impl Future<Output = Result<Image>> + Send;
    /// Makes the cgroup of a task with its limits. Taken over when it is there.
    fn create_task_group(&self, task: TaskId, limits: TaskLimits) -> impl Future<Output = Result<()>> + Send;
    fn remove_task_group(&self, task: TaskId) -> impl Future<Output = Result<()>> + Send;
    /// Tasks that have a cgroup, for garbage collection.
    fn task_groups(&self) -> impl Future<Output = Result<Vec<TaskId>>> + Send;
    /// Makes container, snapshot and runtime task, not started yet.
    fn create(&self, request: &ContainerRequest) -> impl Future<Output = Result<()>> + Send;
    /// Answers the pid of its first process.
    fn start(&self, id: &str) -> impl Future<Output = Result<u32>> + Send;
    /// To all processes when `all`, else to the first. No error when it has stopped.
    fn kill(&self, id: &str, signal: i32, all: bool) -> impl Future<Output = Result<()>> + Send;
    /// The image's STOPSIGNAL, SIGTERM without one.
    fn stop_signal(&self, image: &Image) -> impl Future<Output = Result<i32>> + Send;
    /// Kills what runs and removes runtime task, container and snapshot.
    fn delete(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// Runs a command in a running container, as its user, with its environment.
    fn exec(&self, id: &str, command: &[String], limit: Duration) -> impl Future<Output = Result<ExecResult>> + Send;
    fn list(&self) -> impl Future<Output = Result<Vec<Found>>> + Send;
    /// Exits from now on. The stream reconnects by itself; after each gap the receiver sees [`RuntimeEvent::Gap`] and
    /// must [`list`](Self::list) again.
    fn events(&self) -> mpsc::Receiver<RuntimeEvent>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    Exited(Exit),
    Gap,
}

/// One network namespace: of a whole task (awsvpc) or of one container (bridge, none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRequest {
    pub task: TaskId,
    /// `None`: the task's. `Some(n)`: of its n-th container.
    pub container: Option<usize>,
    pub kind: NetworkKind,
    /// Where what the namespace sends to the virtual network of Service Connect is taken.
    pub proxy_port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    Awsvpc(InterfaceSpec),
    /// Own address on the node's bridge; each mapping is published on the host, 0 on a port that the node chooses.
    Bridge {
        ports: Vec<model::task_definition::PortMapping>,
    },
    /// Loopback only.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// For [`ContainerRequest::network_namespace`].
    pub namespace: PathBuf,
    /// The namespace's address, without one for `None`.
    pub address: Option<std::net::Ipv4Addr>,
    pub bindings: Vec<NetworkBinding>,
}

pub trait Network: Send + Sync + 'static {
    /// Makes the namespace, its link, addresses, routes, and the node's forwarding rules for it.
    fn attach(&self, request: &NetworkRequest) -> impl Future<Output = Result<Attached>> + Send;
    /// Removes all that any `attach` made for this task.
    fn detach(&self, task: TaskId) -> impl Future<Output = Result<()>> + Send;
    /// What the firewall has to know from now on, beside the groups that tasks bring along. Returns once it holds.
    fn protect(&self, firewall: &Firewall) -> impl Future<Output = Result<()>> + Send;
    /// Tasks that have a namespace, link or rule on the node, for garbage collection.
    fn list(&self) -> impl Future<Output = Result<Vec<TaskId>>> + Send;
    /// Name servers for /etc/resolv.conf of a task, which has its interface in awsvpc mode.
    fn dns_servers(&self, interface: Option<&InterfaceSpec>) -> Vec<std::net::IpAddr>;
}
