//! The loop that keeps services at what they are to be: gather, decide, apply, schedule. Nothing is decided here; a
//! round of a service is [`round::run`], one transaction.
//!
//! ```text
//! commits ─▶ services whose row or tasks changed ─────────────────┐
//! nodes that come, go or drain ─▶ services there, their daemons ──┤
//! nodes with new room ─▶ services without it ─────────────────────┼─▶ due ─▶ round ─▶ commit (wakes the service
//! the time that a round asked for ────────────────────────────────┘                         again if it changed)
//! ```
//! Invariant: what a commit may have changed for a service is looked at after that commit. A loop that lost commits
//! looks at every service.

mod agenda;
mod instance;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::join_all;
use model::Timestamp;
use model::service::ServiceKey;
use store::{CommitStream, Next, WriteError};

use crate::ecs::service::round::{self, Rest};
use crate::{Caller, Clock, Control};
use agenda::Agenda;

/// Rounds of different services that share an fsync.
const ROUNDS_AT_ONCE: usize = 16;
/// Commits that are looked at before the rounds that they ask for.
const COMMITS_AT_ONCE: usize = 1024;

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    let commits = control.store.subscribe();
    let mut agenda = Agenda::default();
    agenda.add_all(&control.store.view());
    tokio::spawn(run(Arc::downgrade(control), control.clock.clone(), commits, agenda));
}

async fn run(control: Weak<Control>, clock: Clock, mut commits: CommitStream, mut agenda: Agenda) {
    loop {
        let due = agenda.take_due(clock.now(), ROUNDS_AT_ONCE);
        let mut next = if due.is_empty() {
            wait(&clock, &mut commits, agenda.next_time()).await
        } else {
            let Some(control) = control.upgrade() else { return };
            for (key, rest) in join_all(due.into_iter().map(|key| serve(&control, key))).await {
                rest.into_iter().for_each(|rest| agenda.schedule(key.clone(), rest, clock.now()));
            }
            commits.next().now_or_never()
        };
        for _ in 0..COMMITS_AT_ONCE {
            match next {
                None => break,
                Some(Next::Commit(commit)) => {
                    let Some(control) = control.upgrade() else { return };
                    agenda.note(&commit, &control.store.view());
                }
                Some(Next::Lagged) => {
                    let Some(control) = control.upgrade() else { return };
                    agenda.add_all(&control.store.view());
                }
                Some(Next::Closed) => return,
            }
            next = commits.next().now_or_never();
        }
    }
}

/// The next commit, or `None` when it is time for a round.
async fn wait(clock: &Clock, commits: &mut CommitStream, time: Option<Timestamp>) -> Option<Next> {
    let Some(time) = time else { return Some(commits.next().await) };
    tokio::select! {
        biased;
        next = commits.next() => Some(next),
        () = clock.until(time) => None,
    }
}

async fn serve(control: &Control, key: ServiceKey) -> (ServiceKey, Option<Rest>) {
    if control.services_rest.load(Ordering::Acquire) {
        return (key, None);
    }
    let caller = Caller::root(key.0.clone(), "");
    let rest = control.write(&caller, |cx| Ok::<_, Infallible>(round::run(cx, &key))).await;
    match rest {
        Ok(rest) => (key, Some(rest)),
        Err(WriteError::Refused(never)) => match never {},
        Err(WriteError::Log(error)) => {
            tracing::warn!(%error, service = key.2, "a service's round could not be written; its next change tries again");
            (key, None)
        }
    }
}
