//! Whether a node is there, as its row and its tasks say it.

use model::{Node, NodeId, Task, TaskId, Timestamp};
use store::Txn;

/// Notes that the node's session is up, or is not. Tasks keep their last status and health (ecs-semantics §1.5); those
/// that never ran have no connectivity yet. When the node has been gone for too long, the tasks of services are replaced
/// (`plan::service::loss`).
pub(super) fn set(txn: &mut Txn, node: NodeId, connected: bool, now: Timestamp) {
    if txn.nodes.get(&node).is_none_or(|row| row.connected == connected) {
        return;
    }
    txn.update(&node, |row: &mut Node| {
        row.connected = connected;
        row.disconnected_at = (!connected).then_some(now);
        row.changes += 1;
    });
    let is_other = |task: &Task| task.connectivity_at.is_some() && task.connected != connected;
    let tasks: Vec<TaskId> = txn.tasks_on_node(node).filter(|task| is_other(task)).map(|task| task.id).collect();
    for task in tasks {
        txn.update(&task, |row: &mut Task| {
            row.connected = connected;
            row.version += 1;
            if connected {
                row.connectivity_at = Some(now);
            }
        });
    }
}
