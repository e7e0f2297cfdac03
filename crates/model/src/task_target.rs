//! A task's places in target groups: where the load balancers of its service find it, and how it is there.
//!
//! ```text
//! WAITING ─(its containers run)─▶ INITIAL ─▶ HEALTHY ⇄ UNHEALTHY     MISSING: somebody else took it out
//!                                    └──(the task stops, or is over)──▶ DRAINING ─▶ GONE
//! ```
//! A task that stops while it is in a group is DEACTIVATING until it is GONE from all of them, and its containers run on
//! as long. What changes them is `plan::task_target`.
//!
//! The health is what the data path said last. It is kept, so that a control plane that was away goes on with what was
//! known.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTarget {
    /// ARN.
    pub target_group: String,
    pub container: String,
    pub container_port: u16,
    /// Where it is registered, once it is.
    pub place: Option<Place>,
    /// The EC2 id of the instance whose port it is, when it is not an address of the task's own.
    #[serde(default)]
    pub instance: Option<String>,
    pub status: TaskTargetStatus,
    /// Why it is UNHEALTHY or MISSING.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub address: Ipv4Addr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskTargetStatus {
    Waiting,
    Initial,
    Healthy,
    Unhealthy,
    Missing,
    Draining,
    Gone,
}

impl TaskTarget {
    pub fn waiting(target_group: &str, container: &str, container_port: u16) -> Self {
        Self {
            target_group: target_group.to_owned(),
            container: container.to_owned(),
            container_port,
            place: None,
            instance: None,
            status: TaskTargetStatus::Waiting,
            reason: String::new(),
        }
    }

    /// It was registered, and nobody has taken it out for the task.
    pub const fn is_in(&self) -> bool {
        use TaskTargetStatus::{Healthy, Initial, Missing, Unhealthy};
        matches!(self.status, Initial | Healthy | Unhealthy | Missing)
    }

    /// Requests may still be under way to it.
    pub const fn holds(&self) -> bool {
        self.is_in() || matches!(self.status, TaskTargetStatus::Draining)
    }

    pub const fn is_healthy(&self) -> bool {
        matches!(self.status, TaskTargetStatus::Healthy)
    }

    pub const fn fails(&self) -> bool {
        matches!(self.status, TaskTargetStatus::Unhealthy | TaskTargetStatus::Missing)
    }
}
