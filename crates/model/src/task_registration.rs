//! A task's place in the Cloud Map service of its service: an instance with the task's id.
//!
//! ```text
//! WAITING ─(its containers run)─▶ REGISTERED ─(the task stops, or is over)─▶ GONE
//!    └ Service Connect: and it is healthy         └─ Service Connect: DRAINING ─(nothing is under way to it)─┘
//! ```
//! What changes them is `plan::task_registration`.

use serde::{Deserialize, Serialize};

use crate::{ServiceRegistry, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRegistration {
    pub registry: ServiceRegistry,
    pub status: TaskRegistrationStatus,
    /// Of Service Connect: whoever calls the service is led to this task.
    #[serde(default)]
    pub connect: Option<ConnectPlace>,
}

/// How long a place of Service Connect waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectPlace {
    /// For a health that is not known.
    pub hold_seconds: u32,
    /// For what is under way to it.
    pub drain_seconds: u32,
    /// Since when it waits for its health, or, when it drains, for that.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskRegistrationStatus {
    Waiting,
    Registered,
    Draining,
    Gone,
}

impl TaskRegistration {
    pub fn waiting(registry: ServiceRegistry) -> Self {
        Self { registry, status: TaskRegistrationStatus::Waiting, connect: None }
    }

    /// Something may come to the task by it.
    pub const fn is_in(&self) -> bool {
        matches!(self.status, TaskRegistrationStatus::Registered | TaskRegistrationStatus::Draining)
    }

    /// The task must run on, for what is under way to it.
    pub const fn is_draining(&self) -> bool {
        matches!(self.status, TaskRegistrationStatus::Draining)
    }

    pub const fn is_waiting(&self) -> bool {
        matches!(self.status, TaskRegistrationStatus::Waiting)
    }
}
