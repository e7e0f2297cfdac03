//! The round that removes what has been kept for long enough: stopped tasks, deleted clusters, services and task
//! definitions, deregistered container instances, used-up client tokens, Cloud Map's record of operations, deleted
//! NAT gateways, expired log events.
//!
//! It decides nothing about what is still in use: each noun's own rule does. A round that fails is tried again as the
//! next one; nothing hangs on when it comes.

use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::task_definition::TaskDefinitionStatus;
use model::{Task, TaskId, Timestamp};
use store::{Commit, CommitStream, Next, Txn, WriteError, client_token};
use tokio::time::{MissedTickBehavior, interval};

use crate::ec2::nat_gateway;
use crate::ecs::task::network;
use crate::ecs::{cluster, container_instance, service, task_definition};
use crate::servicediscovery::operation;
use crate::{Control, logs};

const ROUND: Duration = Duration::from_secs(60);
/// How long DescribeTasks shows a stopped task: at least an hour (ecs-semantics §1.4).
pub const STOPPED_TASK_RETENTION: Duration = Duration::from_secs(3600);
/// Rows of a kind that one commit removes, so that no caller waits long behind it.
const ROWS_PER_COMMIT_MAX: usize = 1000;

/// Begins the rounds. They end with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    tokio::spawn(run(Arc::downgrade(control), control.store.subscribe()));
}

async fn run(control: Weak<Control>, mut commits: CommitStream) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = rounds.tick() => {}
            next = commits.next() => match next {
                Next::Commit(commit) if !asks_for_deletion(&commit) => continue,
                Next::Commit(_) | Next::Lagged => {}
                Next::Closed => return,
            },
        }
        let Some(control) = control.upgrade() else { return };
        if let Err(error) = sweep(&control).await {
            tracing::warn!(%error, "what is over could not be removed; the next round tries again");
        }
    }
}

/// A task definition is to go. Most often no task uses it, so there is nothing to wait for.
fn asks_for_deletion(commit: &Commit) -> bool {
    let mut after = commit.changes.task_definitions.values().filter_map(|change| change.after.as_ref());
    after.any(|row| row.status == TaskDefinitionStatus::DeleteInProgress)
}

/// One round.
///
/// # Errors
/// When the state cannot be written. What was removed before stays removed.
pub async fn sweep(control: &Control) -> Result<(), WriteError<Infallible>> {
    loop {
        let (removed, _) = control.store.write(|txn| Ok(sweep_rows(txn, control.now()))).await?;
        if removed == 0 {
            break;
        }
    }
    logs::sweep(control).await;
    Ok(())
}

/// Answers how many rows were removed; there may be more.
fn sweep_rows(txn: &mut Txn, now: Timestamp) -> usize {
    sweep_tasks(txn, now)
        + cluster::sweep(txn, now)
        + container_instance::sweep(txn, now)
        + task_definition::sweep(txn)
        + service::sweep(txn, now)
        + client_token::prune(txn, now, ROWS_PER_COMMIT_MAX)
        + operation::sweep(txn, now)
        + nat_gateway::sweep(txn, now)
}

fn sweep_tasks(txn: &mut Txn, now: Timestamp) -> usize {
    let retention = i64::try_from(STOPPED_TASK_RETENTION.as_millis()).expect("an hour fits");
    let before = Timestamp(now.as_millis().saturating_sub(retention));
    let over: Vec<TaskId> = txn.tasks_stopped_before(before).take(ROWS_PER_COMMIT_MAX).map(|task| task.id).collect();
    for id in &over {
        // That of a task whose node never told of its end.
        network::detach(txn, *id);
        txn.remove::<Task>(id);
    }
    over.len()
}
