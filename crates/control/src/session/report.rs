//! Takes a node's reports into its tasks, and gives back what the stopped ones held.

use model::link::{ReportedStatus, TaskReport};
use model::task::advance;
use model::{Node, NodeId, Task, TaskId, TaskStatus, Timestamp};
use store::Txn;

use crate::ecs::task::network;

/// Folds the reports in, in their order. Answers which are taken in: all of them, for a report that is old, or on a
/// task that is not the node's, can never become more than it is.
pub(super) fn take(txn: &mut Txn, node: NodeId, reports: &[TaskReport], now: Timestamp) -> Vec<(TaskId, u64)> {
    let mut has_stopped = false;
    for report in reports {
        has_stopped |= take_one(txn, node, report, now);
    }
    if has_stopped {
        settle_ledger(txn, node);
    }
    debug_assert!(ledger_holds(txn, node), "the node's free resources are not what its tasks leave");
    reports.iter().map(|report| (report.task, report.sequence)).collect()
}

/// Whether the task has become STOPPED by it.
fn take_one(txn: &mut Txn, node: NodeId, report: &TaskReport, now: Timestamp) -> bool {
    let Some(row) = txn.tasks.get(&report.task).filter(|task| task.node == Some(node)) else { return false };
    let was_stopped = row.last_status >= TaskStatus::Stopped;
    txn.update(&report.task, |task: &mut Task| advance(task, report, now));
    // Also of a task that was over here before its node had let go of it.
    if report.status == ReportedStatus::Stopped {
        network::detach(txn, report.task);
    }
    let is_stopped = txn.tasks.get(&report.task).is_some_and(|task| task.last_status >= TaskStatus::Stopped);
    is_stopped && !was_stopped
}

/// Recomputed, not added up: right also on a node that has become smaller than what its tasks hold.
fn settle_ledger(txn: &mut Txn, node: NodeId) {
    let Some(free) = free(txn, node) else { return };
    txn.update(&node, |row: &mut Node| {
        row.free = free;
        row.changes += 1;
    });
}

fn free(tables: &store::Tables, node: NodeId) -> Option<model::Resources> {
    let row = tables.nodes.get(&node)?;
    Some(plan::node::free(&row.total, tables.tasks_on_node(node).map(|task| &task.reservation)))
}

/// Whether the node's free resources are its total less what its tasks hold.
pub(crate) fn ledger_holds(tables: &store::Tables, node: NodeId) -> bool {
    tables.nodes.get(&node).map(|row| row.free.clone()) == free(tables, node)
}
