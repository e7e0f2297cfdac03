//! Draining a container instance (ecs-semantics §3.5): its tasks are replaced as those of an older deployment are.
//!
//! ```text
//! ACTIVE ─UpdateContainerInstancesState─▶ DRAINING:  PENDING task ─▶ stopped at once
//!                                                    RUNNING task ─▶ replaced, within the percentages
//!                                                    protected task ─▶ stays until its protection is over
//! ```
//! So with a minimum of 100 % the replacement comes first, with a maximum of 100 % the old task goes first, and with
//! both nothing can move and the service says so. Tasks of no service are nobody's to replace.

use model::Timestamp;

use super::ServiceTask;

/// It is to be replaced because its place is.
pub(super) fn must_leave(task: &ServiceTask<'_>, now: Timestamp) -> bool {
    task.site.is_draining && !task.is_protected(now)
}
