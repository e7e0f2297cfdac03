//! Load balancers, as far as a service cares: which of its tasks they complain of, and which still have requests of theirs
//! (ecs-semantics §3.6). How tasks come into target groups and out of them is in [`task_target`](crate::task_target).

use model::TaskTarget;
use model::task_target::TaskTargetStatus;

use super::event::{self, Event};
use super::{Life, ServiceTask};

impl ServiceTask<'_> {
    pub(super) fn failing_target(&self) -> Option<&TaskTarget> {
        self.targets.iter().find(|target| target.fails())
    }

    /// It is not over, and requests may be under way to it.
    pub(super) fn holds_requests(&self) -> bool {
        !matches!(self.life, Life::Stopped { .. }) && self.targets.iter().any(TaskTarget::holds)
    }

    /// The `stoppedReason`, when it is stopped for failing its health checks.
    pub(super) fn failure(&self) -> String {
        match self.failing_target() {
            Some(target) => event::target_failed(&target.target_group),
            None => event::HEALTH_CHECKS_FAILED.to_owned(),
        }
    }

    /// What the service says of it then.
    pub(super) fn complaint(&self, service: &str) -> Event {
        match self.failing_target() {
            None => event::failed_health_checks(service, self.id),
            Some(target) if target.status == TaskTargetStatus::Missing => {
                event::missing_target(service, &self.deployment, self.id, target)
            }
            Some(target) => event::unhealthy_target(service, self.id, target),
        }
    }
}
