//! When a container may be made and started (`dependsOn` and `volumesFrom`, ecs-semantics §2.4), and when stopped.

use std::time::Duration;

use model::link::TaskSpec;
use model::task_definition::Condition;
use model::{HealthStatus, Timestamp};

use super::state::{ContainerState, Phase};

/// What a container needs of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Made: implied by `volumesFrom`.
    Created,
    Condition(Condition),
}

/// `container` needs something of `on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub container: usize,
    pub on: usize,
    pub need: Need,
}

/// Whether a need is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// Not yet; never once the time has passed.
    Waits {
        until: Option<Timestamp>,
    },
    Never,
}

/// All edges of a task; `None` when a name is unknown or the edges form a ring, so that they can never be met.
pub fn edges_of(spec: &TaskSpec) -> Option<Vec<Edge>> {
    let place = |name: &str| spec.containers.iter().position(|other| other.definition.name == name);
    let mut edges = Vec::new();
    for (container, other) in spec.containers.iter().enumerate() {
        for dependency in &other.definition.depends_on {
            let need = Need::Condition(dependency.condition);
            edges.push(Edge { container, on: place(&dependency.container)?, need });
        }
        for volumes in &other.definition.volumes_from {
            edges.push(Edge { container, on: place(&volumes.source_container)?, need: Need::Created });
        }
    }
    is_acyclic(spec.containers.len(), &edges).then_some(edges)
}

fn is_acyclic(count: usize, edges: &[Edge]) -> bool {
    let mut settled = vec![false; count];
    for _ in 0..count {
        for container in 0..count {
            settled[container] |= edges.iter().filter(|e| e.container == container).all(|e| settled[e.on]);
        }
    }
    settled.into_iter().all(|settled| settled)
}

/// `start_timeout` is that of the container that is depended on, in seconds from its start.
pub fn judge(need: Need, on: &ContainerState, start_timeout: Option<u32>, now: Timestamp) -> Verdict {
    let waits = || match (start_timeout, on.started_at) {
        (Some(seconds), Some(started_at)) => {
            let until = started_at.plus(Duration::from_secs(seconds.into()));
            if now >= until { Verdict::Never } else { Verdict::Waits { until: Some(until) } }
        }
        _ => Verdict::Waits { until: None },
    };
    let stopped = on.phase == Phase::Stopped;
    match need {
        Need::Created if on.has_started() || (on.phase >= Phase::Created && !stopped) => Verdict::Holds,
        Need::Condition(Condition::Start) if on.has_started() => Verdict::Holds,
        Need::Condition(Condition::Complete) if stopped && on.exit_code.is_some() => Verdict::Holds,
        Need::Condition(Condition::Success) if stopped && on.exit_code == Some(0) => Verdict::Holds,
        Need::Condition(Condition::Healthy) if !stopped && on.health.status == HealthStatus::Healthy => Verdict::Holds,
        _ if stopped => Verdict::Never,
        Need::Created | Need::Condition(Condition::Start) => Verdict::Waits { until: None },
        Need::Condition(_) => waits(),
    }
}
