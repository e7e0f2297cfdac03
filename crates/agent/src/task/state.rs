//! What is known of a task and must be known again after the agent was killed. Written before each effect that it
//! leads to; never holds what is merely under way.

use model::link::ReportedStatus;
use model::task::NetworkBinding;
use model::{HealthStatus, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::driver::Image;
use crate::health::Health;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The boot of the machine in which the task was last worked on.
    pub boot_id: String,
    /// No way back: asked for by the control plane, or decided here.
    pub stopping: bool,
    /// Why it could not be started, `<ErrorName>: <message>`.
    pub failure: Option<String>,
    /// When the last of its containers had started.
    pub started_at: Option<Timestamp>,
    /// The node holds nothing of the task any more, but perhaps log lines that are not handed on yet.
    pub released: bool,
    pub sequence: u64,
    pub interface_attached: bool,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub containers: Vec<ContainerState>,
}

impl State {
    pub fn status(&self) -> ReportedStatus {
        match (self.released, self.started_at.is_some()) {
            (true, _) => ReportedStatus::Stopped,
            (false, true) => ReportedStatus::Running,
            (false, false) => ReportedStatus::Pending,
        }
    }
}

/// How far a container is. Only ever rises while the agent lives; after a restart a container that was made but never
/// started is `Waiting` again, and making it is repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Waiting,
    Created,
    Running,
    Stopped,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub phase: Phase,
    pub image: Option<Image>,
    /// `Create` was asked for, so that something of it may be on the node.
    pub create_asked: bool,
    /// `Start` was asked for, so that it may have run.
    pub start_asked: bool,
    pub started_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// `<ErrorName>: <message>`, at most 1024 characters.
    pub reason: Option<String>,
    pub health: Health,
    pub bindings: Vec<NetworkBinding>,
    /// When the stop signal was first asked for: the stop timeout counts from here.
    pub stop_asked_at: Option<Timestamp>,
    pub deleted: bool,
    pub logs_finished: bool,
}

impl ContainerState {
    pub fn health_status(&self) -> HealthStatus {
        self.health.status
    }

    /// It has run, or runs.
    pub fn has_started(&self) -> bool {
        self.started_at.is_some()
    }
}

/// The runtime's id of a task's n-th container, in the form of Fargate's `runtimeId`.
pub fn runtime_id(task: TaskId, container: usize) -> String {
    format!("{task}-{container}")
}

/// The task and the container that a runtime's id means; `None` when it is none of ours.
pub fn container_of(runtime_id: &str) -> Option<(TaskId, usize)> {
    let (task, container) = runtime_id.split_once('-')?;
    Some((task.parse().ok()?, container.parse().ok()?))
}
