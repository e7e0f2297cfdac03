//! The loop that keeps services at what they are to be: gather, decide, apply, schedule. Nothing is decided here; a
//! round of a service is [`round::run`], one transaction.
//!
//! ```text
//! commits ─▶ services whose row or tasks changed ─────────────────┐
//! nodes that come, go or drain ─▶ services there, their daemons ──┤
//! nodes with new room ─▶ services without it ─────────────────────┼─▶ due ─▶ round ─▶ commit (wakes the service
//! the time that a round asked for ────────────────────────────────┤                         again if it changed)
//! a round that could not be written, after a pause ───────────────┘
//! ```
//! Invariant: what a commit may have changed for a service is looked at after that commit. A loop that lost commits
//! looks at every service.

mod agenda;
mod instance;

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
/// Before a round that could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What came of a round.
enum Served {
    Done(Rest),
    /// Services are to rest: there was none.
    Resting,
    /// It could not be written.
    Failed,
}

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
            for (key, served) in join_all(due.into_iter().map(|key| serve(&control, key))).await {
                match served {
                    Served::Done(rest) => agenda.schedule(key, rest, clock.now()),
                    Served::Resting => {}
                    // What it was due for may have been a time that nothing else tells of.
                    Served::Failed => agenda.postpone(key, clock.now().plus(RETRY_PAUSE)),
                }
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

async fn serve(control: &Control, key: ServiceKey) -> (ServiceKey, Served) {
    if control.services_rest.load(Ordering::Acquire) {
        return (key, Served::Resting);
    }
    let caller = Caller::root(key.0.clone(), "");
    let rest = control.write(&caller, |cx| Ok::<_, Infallible>(round::run(cx, &key))).await;
    match rest {
        Ok(rest) => (key, Served::Done(rest)),
        Err(WriteError::Refused(never)) => match never {},
        Err(WriteError::Log(error)) => {
            tracing::warn!(%error, service = key.2, "a service's round could not be written, and is tried again");
            (key, Served::Failed)
        }
    }
}
