//! The messages between the control plane and a node's agent. JSON text frames over one WebSocket per node
//! (docs/decisions/0002), `{"<message>": {…}}`: the name comes first, so that the rest is read straight into its type.
//! Unknown fields are ignored, so either side may be the newer one.
//!
//! ```text
//! agent → control   Hello, then Report…, PutLogs…        (facts)
//! control → agent   Welcome, then Desired…, Ack…, LogsTaken…  (the full desired set with its generation)
//! task → agent → control → agent → task   TaskProtection      (what a task asks for itself, and the answer)
//! ```
//! Rules that must hold:
//! - `Desired` is always the full set. A task that is absent from it is none of ours: the agent stops it and removes
//!   all that it left. A stopped task stays in the set until the control plane has durably taken in its report.
//! - A task's spec comes with the first set of a session that names it, and not again while the task stays in the set:
//!   it never changes. The firewall's rules come in the same way, whole, when they change. An agent that is named a task
//!   without a spec and does not have it refuses the set.
//! - At most one `Desired` is unanswered; the agent answers with `Applied`. What changes meanwhile is in the next one.
//! - The agent refuses a generation below the one that it has (within one session's `control_id`). A generation is the
//!   revision of the control plane's state that the set was taken from, so it rises, with gaps, also across restarts.
//! - Reports carry a per-task sequence that rises across agent restarts; a lower one is ignored.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::firewall::Firewall;
use crate::task::{ContainerStatus, NetworkBinding};
use crate::task_definition::Volume;
use crate::{
    Attribute, ContainerDefinition, CpuUnits, DesiredStatus, HealthStatus, LaunchType, MemoryMib, NetworkMode, NodeId,
    Resources, Scope, Tag, TaskId, Timestamp,
};

/// Raised when a message changes in a way that an older peer would misread.
pub const LINK_PROTOCOL: u32 = 3;
/// One frame, either way. 10,000 task specs of 4 KiB fit.
pub const LINK_FRAME_BYTES_MAX: usize = 64 << 20;
/// HTTP path of the WebSocket upgrade on the control plane's listener.
pub const LINK_PATH: &str = "/gantry/link";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromAgent {
    Hello(Box<Hello>),
    /// Tasks that changed since the last report; after a (re)connection, every task that the agent has.
    Report {
        tasks: Vec<TaskReport>,
    },
    /// The desired set of this generation was taken over.
    Applied {
        generation: u64,
    },
    PutLogs(LogBatch),
    TaskProtection(ProtectionQuestion),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromControl {
    Welcome(Welcome),
    Desired {
        generation: u64,
        tasks: Vec<DesiredTask>,
        /// When it is another one than the session was told last. It holds before any of the tasks is begun.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        firewall: Option<Box<Firewall>>,
    },
    /// The reports are durable: task and the sequence that was taken in.
    ReportTaken {
        tasks: Vec<(TaskId, u64)>,
    },
    /// The batch is durable, or can never be (`refused` says why): the agent drops it from its spool.
    LogsTaken {
        batch: u64,
        refused: Option<String>,
    },
    /// What became of the session's question with this number.
    TaskProtection {
        question: u64,
        outcome: ProtectionOutcome,
    },
    /// The session is over and why; the agent reconnects unless `fatal`.
    Bye {
        reason: String,
        fatal: bool,
    },
}

/// The agent's first message: who it is and what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub node: NodeId,
    pub name: String,
    pub agent_version: String,
    pub runtime_version: String,
    pub boot_id: String,
    /// Whole machine; `ports` are those kept back.
    pub total: Resources,
    pub attributes: Vec<Attribute>,
    /// Where the ports are that tasks publish on the machine.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Changes when the control plane's store is a new one.
    pub control_id: String,
    pub scope: Scope,
    pub cluster: String,
    pub zone: String,
    pub container_instance_arn: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredTask {
    pub id: TaskId,
    pub desired_status: DesiredStatus,
    /// When the task is new to the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Box<TaskSpec>>,
}

/// All that a node needs to run a task. Never changes once sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub id: TaskId,
    pub arn: String,
    pub scope: Scope,
    pub cluster: String,
    pub cluster_arn: String,
    pub family: String,
    pub revision: u32,
    pub launch_type: LaunchType,
    pub group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Limits of the whole task; `None`: none but the containers' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    pub network_mode: NetworkMode,
    /// For awsvpc.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceSpec>,
    pub containers: Vec<ContainerSpec>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Of a task of a service with Service Connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<ConnectSpec>,
}

/// What a task knows of Service Connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectSpec {
    /// Where what the task sends to the virtual network is taken, at [`PROXY_ADDRESS`](crate::service_connect::PROXY_ADDRESS).
    pub proxy_port: u16,
    /// Names and their addresses of the virtual network.
    pub hosts: Vec<(String, Ipv4Addr)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Dashed UUID, the last part of its ARN.
    pub id: String,
    pub arn: String,
    /// With the run-time overrides applied. Most tasks of a node have theirs in common with others.
    pub definition: Arc<ContainerDefinition>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    pub attachment_id: String,
    pub interface_id: String,
    pub mac: String,
    pub address: Ipv4Addr,
    pub subnet_id: String,
    pub subnet_prefix_length: u8,
    pub gateway: Ipv4Addr,
    pub vpc_id: String,
    pub private_dns_name: String,
    /// Ids of its security groups, which never change.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Its VPC is the caller's own, and so in a network of its own on the node
    /// ([`VpcNetwork`](crate::firewall::VpcNetwork)).
    #[serde(default)]
    pub own_network: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReportedStatus {
    Pending,
    Running,
    /// All containers have stopped and the node holds nothing of the task any more.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    pub task: TaskId,
    /// Rises with every report on this task, also across restarts of the agent.
    pub sequence: u64,
    pub status: ReportedStatus,
    pub containers: Vec<ContainerReport>,
    /// When the last of its containers had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Timestamp>,
    pub interface_attached: bool,
    /// `<ErrorName>: <message>` when the task could not be started (ecs-semantics §1.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerReport {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    pub status: ContainerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub health: HealthStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_bindings: Vec<NetworkBinding>,
}

/// Log lines of one stream, in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogBatch {
    /// Per session; answered by `LogsTaken`.
    pub batch: u64,
    pub scope: Scope,
    pub group: String,
    pub stream: String,
    /// `awslogs-create-group` is true.
    pub create_group: bool,
    /// Time in milliseconds and message.
    pub events: Vec<(i64, String)>,
}

/// A task asks for its protection (ecs-semantics §3.11, §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectionQuestion {
    /// Per session; the answer has it, too.
    pub number: u64,
    pub task: TaskId,
    /// `None`: only to be told.
    pub change: Option<ProtectionChange>,
}

/// As the task gave it; the control plane judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectionChange {
    pub enabled: bool,
    pub expires_in_minutes: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtectionOutcome {
    /// Protected until then, or not at all.
    Protection { until: Option<Timestamp> },
    /// In the API's words.
    Failure { reason: String, detail: Option<String> },
    /// The call failed: HTTP status, exception and text.
    Error { status: u16, code: String, message: String, request_id: String },
}
