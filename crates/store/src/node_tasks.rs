//! How many tasks each node has: running, pending, and by group.

use imbl::OrdMap;
use model::{DesiredStatus, NodeId, Task, TaskStatus};

/// The tasks of one node that are not STOPPED.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTasks {
    /// RUNNING, and meant to be.
    pub running: u32,
    /// On their way to RUNNING.
    pub pending: u32,
    /// By group; a group without tasks is not there.
    pub groups: OrdMap<String, u32>,
}

#[derive(Clone, Default)]
pub(crate) struct OnNodes(OrdMap<NodeId, NodeTasks>);

/// What of a task counts.
#[derive(PartialEq)]
struct Counted<'a> {
    node: NodeId,
    group: &'a str,
    phase: Phase,
}

#[derive(PartialEq)]
enum Phase {
    Pending,
    Running,
    Stopping,
}

impl OnNodes {
    pub fn get(&self, node: NodeId) -> Option<&NodeTasks> {
        self.0.get(&node)
    }

    pub fn replace(&mut self, before: Option<&Task>, after: Option<&Task>) {
        let (before, after) = (before.and_then(counted), after.and_then(counted));
        if before == after {
            return;
        }
        if let Some(counted) = before {
            self.subtract(&counted);
        }
        if let Some(counted) = after {
            self.add(&counted);
        }
    }

    fn add(&mut self, counted: &Counted<'_>) {
        let tasks = self.0.entry(counted.node).or_default();
        *tasks.groups.entry(counted.group.to_owned()).or_default() += 1;
        match counted.phase {
            Phase::Pending => tasks.pending += 1,
            Phase::Running => tasks.running += 1,
            Phase::Stopping => {}
        }
    }

    fn subtract(&mut self, counted: &Counted<'_>) {
        let tasks = self.0.get_mut(&counted.node).expect("a counted task has a node");
        match counted.phase {
            Phase::Pending => tasks.pending -= 1,
            Phase::Running => tasks.running -= 1,
            Phase::Stopping => {}
        }
        let in_group = tasks.groups.get_mut(counted.group).expect("a counted task has a group");
        *in_group -= 1;
        if *in_group == 0 {
            tasks.groups.remove(counted.group);
        }
        if tasks.groups.is_empty() {
            self.0.remove(&counted.node);
        }
    }
}

fn counted(task: &Task) -> Option<Counted<'_>> {
    let node = task.node.filter(|_| task.last_status < TaskStatus::Stopped)?;
    let phase = match task.desired_status {
        DesiredStatus::Stopped => Phase::Stopping,
        DesiredStatus::Running if task.last_status < TaskStatus::Running => Phase::Pending,
        DesiredStatus::Running => Phase::Running,
    };
    Some(Counted { node, group: &task.group, phase })
}
