//! What is known of a task and must be known again after the agent was killed. Written before each effect that it
//! leads to; never holds what is merely under way.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

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
    pub boot_id: Arc<str>,
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

    /// Under which id the runtime has, or will have, a container of the task.
    pub fn runtime_id(&self, task: TaskId, container: usize) -> RuntimeId {
        let attempt = self.containers.get(container).map_or(0, |state| state.attempt);
        RuntimeId { task, container, attempt }
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
    /// How often making it was begun anew, because an agent was killed at it.
    pub attempt: u32,
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

/// The runtime's id of a task's n-th container: `<task>-<n>`, in the form of Fargate's `runtimeId`, and from the second
/// attempt at making it on `<task>-<n>-<attempt>`.
///
/// An attempt that an agent was killed at is followed by another one under another id: the runtime may still be clearing
/// away what it had begun, for seconds, and would clear away the new container if it had the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuntimeId {
    pub task: TaskId,
    pub container: usize,
    pub attempt: u32,
}

impl RuntimeId {
    /// The ids of the attempts before this one, of which something may be left.
    pub fn earlier(self) -> impl Iterator<Item = Self> {
        (0..self.attempt).map(move |attempt| Self { attempt, ..self })
    }
}

impl fmt::Display for RuntimeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attempt {
            0 => write!(f, "{}-{}", self.task, self.container),
            attempt => write!(f, "{}-{}-{attempt}", self.task, self.container),
        }
    }
}

/// Text that is no id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a task's container")]
pub struct InvalidRuntimeId;

impl FromStr for RuntimeId {
    type Err = InvalidRuntimeId;

    fn from_str(text: &str) -> Result<Self, InvalidRuntimeId> {
        let (task, rest) = text.split_once('-').ok_or(InvalidRuntimeId)?;
        let (container, attempt) = match rest.split_once('-') {
            None => (rest, 0),
            Some((container, attempt)) => (container, attempt.parse().map_err(|_| InvalidRuntimeId)?),
        };
        let task = task.parse().map_err(|_| InvalidRuntimeId)?;
        let id = Self { task, container: container.parse().map_err(|_| InvalidRuntimeId)?, attempt };
        // One container has one name.
        if id.to_string() == text { Ok(id) } else { Err(InvalidRuntimeId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_ids_are_read_back_and_others_are_not() {
        let task = TaskId(0x0123);
        for (container, attempt) in [(0, 0), (9, 0), (0, 1), (3, 12)] {
            let id = RuntimeId { task, container, attempt };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let second = RuntimeId { task, container: 1, attempt: 2 };
        assert_eq!(second.to_string(), "00000000000000000000000000000123-1-2");
        let earlier: Vec<String> = second.earlier().map(|id| id.to_string()).collect();
        assert_eq!(earlier, ["00000000000000000000000000000123-1", "00000000000000000000000000000123-1-1"]);
        for text in ["", "x-0", "123-0", "00000000000000000000000000000123"] {
            assert_eq!(text.parse::<RuntimeId>(), Err(InvalidRuntimeId), "{text}");
        }
        for rest in ["", "-", "-x", "-0-0", "-0-x", "-+1", "-0-01", "-0-1-1"] {
            let text = format!("{task}{rest}");
            assert_eq!(text.parse::<RuntimeId>(), Err(InvalidRuntimeId), "{text}");
        }
    }
}
