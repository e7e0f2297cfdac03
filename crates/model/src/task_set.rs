//! Task sets: the parts of a service whose deployments somebody else controls (ecs-semantics §3.12).
//!
//! ```text
//! CreateTaskSet ─▶ ACTIVE ◀─UpdateServicePrimaryTaskSet─▶ PRIMARY
//!                     └──────────── DeleteTaskSet ───────────┴─▶ DRAINING ─(no task left)─▶ gone
//! ```
//! What a set runs is the deployment of the same id in its service; its tasks are started by that id.

use serde::{Deserialize, Serialize};

use crate::{Tag, Timestamp};

/// Of one service; AWS does not tell its own number (ecs-semantics §3.12).
pub const TASK_SETS_MAX: usize = 5;

/// Who decides what a service runs next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Controller {
    /// ECS itself, by deployments.
    #[default]
    Ecs,
    /// The caller, by task sets.
    External,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskSetStatus {
    Primary,
    Active,
    Draining,
}

impl TaskSetStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSet {
    /// That of its deployment.
    pub id: String,
    pub status: TaskSetStatus,
    pub external_id: Option<String>,
    /// Percent of the service's desired count.
    pub scale: f64,
    pub tags: Vec<Tag>,
    pub stability: Stability,
    pub stability_at: Timestamp,
    /// Since when it is steady, or when that was last said.
    pub steady_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stability {
    Stabilizing,
    SteadyState,
}

impl TaskSet {
    /// How many of the service's desired tasks are the set's: rounded up.
    pub fn computed_desired(&self, desired: u32) -> u32 {
        match self.status {
            TaskSetStatus::Draining => 0,
            // Exact for whole percents: the product is a whole number, and one division rounds once.
            _ => (f64::from(desired) * self.scale / 100.0).ceil() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up() {
        let check = |desired: u32, scale: f64, expected: u32| {
            let set = TaskSet {
                id: String::new(),
                status: TaskSetStatus::Active,
                external_id: None,
                scale,
                tags: Vec::new(),
                stability: Stability::Stabilizing,
                stability_at: Timestamp(0),
                steady_at: None,
                updated_at: Timestamp(0),
            };
            assert_eq!(set.computed_desired(desired), expected, "{scale} % of {desired}");
            let draining = TaskSet { status: TaskSetStatus::Draining, ..set };
            assert_eq!(draining.computed_desired(desired), 0);
        };
        check(6, 20.0, 2);
        check(6, 100.0, 6);
        check(6, 0.0, 0);
        check(0, 50.0, 0);
        check(100, 7.0, 7);
        check(50, 14.0, 7);
        check(3, 0.1, 1);
        check(5000, 33.3, 1665);
    }
}
