//! Wakes the sessions whose nodes' tasks changed, precisely, and all of them when the firewall may have: one watcher reads
//! the commits for all of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use model::{DesiredStatus, Node, NodeId, Task, TaskId, TaskStatus};
use store::{Commit, CommitStream, Meta, Next, WriteError};

use super::{firewall, presence, registration};
use crate::Control;

/// Makes the store ready for sessions: it has an id, and no node is connected yet, whatever an earlier process wrote.
/// All of them have as long as after a broken session to come back, since it was not they who were away.
///
/// # Errors
/// When the log cannot be written.
pub(crate) async fn start(control: &Arc<Control>) -> Result<(), WriteError<std::convert::Infallible>> {
    let new_id = control.new_uuid();
    let now = control.now();
    let commits = control.store.subscribe();
    let prepared = control.store.write(|txn| {
        if txn.meta_value(registration::CONTROL_ID).is_none() {
            txn.put(Meta { name: registration::CONTROL_ID.to_owned(), value: new_id });
        }
        let nodes: Vec<NodeId> = txn.nodes.iter().map(|node| node.id).collect();
        for node in nodes {
            presence::set(txn, node, false, now);
            txn.update(&node, |row: &mut Node| row.disconnected_at = Some(now));
        }
        Ok(())
    });
    prepared.await?;
    tokio::spawn(watch(Arc::downgrade(control), commits));
    Ok(())
}

async fn watch(control: Weak<Control>, mut commits: CommitStream) {
    loop {
        let next = commits.next().await;
        let Some(control) = control.upgrade() else { return };
        match next {
            Next::Commit(commit) if firewall::is_touched(&commit) => control.sessions.wake_all(),
            Next::Commit(commit) => control.sessions.wake(affected(&commit)),
            Next::Lagged => control.sessions.wake_all(),
            Next::Closed => return,
        }
    }
}

/// The nodes whose desired set is another one after the commit.
fn affected(commit: &Commit) -> BTreeSet<NodeId> {
    let changes = commit.changes.tasks.values();
    let differing = changes.filter(|change| part(change.before.as_deref()) != part(change.after.as_deref()));
    differing.flat_map(|change| [&change.before, &change.after]).flatten().filter_map(|task| task.node).collect()
}

/// What a task adds to its node's desired set.
fn part(task: Option<&Task>) -> Option<(NodeId, TaskId, DesiredStatus)> {
    let task = task.filter(|task| task.last_status < TaskStatus::Stopped)?;
    Some((task.node?, task.id, task.desired_on_node()))
}
