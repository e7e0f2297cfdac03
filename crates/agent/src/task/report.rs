//! What the control plane is told.

use model::Timestamp;
use model::link::{ContainerReport, TaskReport};
use model::task::ContainerStatus;

use super::state::Phase;
use super::{Effect, Job, Task};
use crate::driver::DriverError;

/// ecs-semantics §1.3.
const REASON_CHARACTERS_MAX: usize = 1024;

pub(super) fn reason(error: &DriverError) -> String {
    error.to_string().chars().take(REASON_CHARACTERS_MAX).collect()
}

impl Task {
    pub(super) fn report_news(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        // The clock as the floor: the sequence rises also when the agent has lost all that it knew.
        self.state.sequence = (self.state.sequence + 1).max(u64::try_from(now.as_millis()).unwrap_or(0));
        self.is_reported = true;
        effects.push(Effect::Report(self.report()));
    }

    /// How things stand, without a sequence.
    pub(super) fn compose_report(&self) -> TaskReport {
        let pulling = self.doing.iter().any(|job| matches!(job, Job::EnsureImage(_)));
        TaskReport {
            task: self.spec.id,
            sequence: 0,
            status: self.state.status(),
            containers: (0..self.spec.containers.len()).map(|container| self.report_container(container)).collect(),
            started_at: self.state.started_at,
            pull_started_at: self.state.pull_started_at,
            pull_stopped_at: self.state.pull_stopped_at.filter(|_| !pulling),
            execution_stopped_at: self.state.execution_stopped_at,
            interface_attached: self.state.interface_attached,
            failure: self.state.failure.clone(),
        }
    }

    fn report_container(&self, container: usize) -> ContainerReport {
        let state = &self.state.containers[container];
        let was_made = state.has_started() || state.phase == Phase::Created;
        ContainerReport {
            name: self.spec.containers[container].definition.name.clone(),
            runtime_id: was_made.then(|| self.state.runtime_id(self.spec.id, container).to_string()),
            image_digest: state.image.as_ref().map(|image| image.digest.clone()),
            status: match state.phase {
                Phase::Waiting | Phase::Created => ContainerStatus::Pending,
                Phase::Running => ContainerStatus::Running,
                Phase::Stopped => ContainerStatus::Stopped,
            },
            exit_code: state.exit_code,
            reason: state.reason.clone(),
            health: state.health_status(),
            network_bindings: state.bindings.clone(),
        }
    }
}
