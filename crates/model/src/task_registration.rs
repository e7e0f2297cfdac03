//! A task's place in the Cloud Map service of its service: an instance with the task's id.
//!
//! ```text
//! WAITING ─(its containers run)─▶ REGISTERED ─(the task stops, or is over)─▶ GONE
//! ```
//! What changes them is `plan::task_registration`.

use serde::{Deserialize, Serialize};

use crate::ServiceRegistry;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRegistration {
    pub registry: ServiceRegistry,
    pub status: TaskRegistrationStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskRegistrationStatus {
    Waiting,
    Registered,
    Gone,
}

impl TaskRegistration {
    pub fn waiting(registry: ServiceRegistry) -> Self {
        Self { registry, status: TaskRegistrationStatus::Waiting }
    }

    pub const fn is_in(&self) -> bool {
        matches!(self.status, TaskRegistrationStatus::Registered)
    }

    pub const fn is_waiting(&self) -> bool {
        matches!(self.status, TaskRegistrationStatus::Waiting)
    }
}
