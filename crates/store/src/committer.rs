//! The loop that makes commits durable: takes all that wait, writes them as one group, publishes, answers.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::log::{Group, Log, LogError, Pace, Writes};
use crate::store::{Shared, Waiting};
use crate::tables::Tables;

/// Runs until the store is closed. The log is dropped before `end` is set.
pub(crate) async fn run(shared: Arc<Shared>, mut log: Box<dyn Log>, end: watch::Sender<bool>) {
    // What a failed group may have left in the log; undone with the next group.
    let mut undo = Writes::new();
    while let Some((group, tables)) = shared.take_waiting() {
        if group.is_empty() {
            shared.wake.notified().await;
            continue;
        }
        let Some((returned_log, group, returned_undo, result)) = at_its_pace(log, group, undo).await else {
            tracing::error!("the store's log panicked; no further writes are possible");
            break;
        };
        (log, undo) = (returned_log, returned_undo);
        match result {
            Ok(()) => answer(&shared, group, tables),
            Err(error) => fail(&shared, group, error),
        }
        // Those just answered run first, so that their next commits join this group instead of missing it.
        tokio::task::yield_now().await;
    }
    shared.abandon();
    end.send_replace(true);
}

type Attempt = (Box<dyn Log>, Vec<Waiting>, Writes, Result<(), LogError>);

/// `None` when the log panicked.
async fn at_its_pace(mut log: Box<dyn Log>, group: Vec<Waiting>, undo: Writes) -> Option<Attempt> {
    match log.pace() {
        Pace::Blocking => tokio::task::spawn_blocking(move || commit(log, group, undo)).await.ok(),
        Pace::Simulated { until_durable, until_answered } => {
            sleep(until_durable).await;
            let attempt = commit(log, group, undo);
            sleep(until_answered).await;
            Some(attempt)
        }
    }
}

fn commit(mut log: Box<dyn Log>, group: Vec<Waiting>, undo: Writes) -> Attempt {
    let mut writes = undo.clone();
    for waiting in &group {
        waiting.commit.changes.write_after(&mut writes);
    }
    if writes.is_empty() {
        return (log, group, undo, Ok(()));
    }
    let revision = group.last().map_or(0, |waiting| waiting.commit.revision);
    match log.commit(&Group { revision, writes }) {
        Ok(()) => (log, group, Writes::new(), Ok(())),
        Err(error) => {
            let mut undo = undo;
            for waiting in &group {
                waiting.commit.changes.write_before(&mut undo);
            }
            (log, group, undo, Err(error))
        }
    }
}

fn answer(shared: &Shared, group: Vec<Waiting>, tables: Tables) {
    shared.publish(tables);
    let has_changed = |waiting: &&Waiting| !waiting.commit.changes.is_empty();
    let commits = group.iter().filter(has_changed).map(|waiting| waiting.commit.clone()).collect();
    // An error means that nobody listens.
    let _ = shared.commits.send(commits);
    for waiting in group {
        // A writer that has gone away does not want to know.
        let _ = waiting.done.send(Ok(()));
    }
}

fn fail(shared: &Shared, group: Vec<Waiting>, error: LogError) {
    let built_on_it = shared.roll_back();
    tracing::error!(%error, commits = group.len() + built_on_it.len(), "the store's log failed; the changes are undone");
    let error = Arc::new(error);
    for waiting in group.into_iter().chain(built_on_it) {
        let _ = waiting.done.send(Err(error.clone()));
    }
}
