//! Where a task is, as far as its service cares: what its node is worth, and whether the task can stay there.

use model::{CpuUnits, MemoryMib, NodeId, Timestamp};

use super::ServiceTask;

/// A task's node. The zone is the task's own: that of a FARGATE task follows from its subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// `None` for a task that has no place yet.
    pub node: Option<NodeId>,
    /// The container instance is DRAINING.
    pub is_draining: bool,
    /// The node's session is down: when the node counts as lost, or did already.
    pub lost_at: Option<Timestamp>,
    /// What no task holds there.
    pub free_cpu: CpuUnits,
    pub free_memory: MemoryMib,
    /// Its values of the attributes that the service spreads over ([`spread_attribute`](super::spread_attribute)), in
    /// the order of the strategies.
    pub values: Vec<Option<String>>,
}

impl ServiceTask<'_> {
    /// Its node has been gone for too long. Whatever the task did there, nobody can count on it.
    pub(super) fn is_lost(&self, now: Timestamp) -> bool {
        self.is_alive() && self.site.lost_at.is_some_and(|at| now >= at)
    }

    /// The service may not choose to stop it.
    pub(super) fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| now < until)
    }
}
