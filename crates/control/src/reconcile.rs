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

mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use model::service::ServiceKey;
use model::{Node, Timestamp};
use store::{Commit, CommitStream, Next, Tables, WriteError, service_of};

use self::instance::Daemons;
use crate::ecs::service::round::{self, Rest};
use crate::{Caller, Clock, Control};

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    let commits = control.store.subscribe();
    let mut agenda = Agenda::default();
    agenda.add_all(&control.store.view());
    tokio::spawn(run(Arc::downgrade(control), control.clock.clone(), commits, agenda));
}

async fn run(control: Weak<Control>, clock: Clock, mut commits: CommitStream, mut agenda: Agenda) {
    loop {
        let next = match agenda.take_due(clock.now()) {
            Some(key) => {
                let Some(control) = control.upgrade() else { return };
                serve(&control, &mut agenda, key).await;
                commits.next().now_or_never()
            }
            None => wait(&clock, &mut commits, agenda.next_time()).await,
        };
        match next {
            None => {}
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

async fn serve(control: &Control, agenda: &mut Agenda, key: ServiceKey) {
    if control.services_rest.load(Ordering::Acquire) {
        return;
    }
    let caller = Caller::root(key.0.clone(), "");
    let rest = control.write(&caller, |cx| Ok::<_, Infallible>(round::run(cx, &key))).await;
    match rest {
        Ok(rest) => agenda.schedule(key, rest),
        Err(WriteError::Refused(never)) => match never {},
        Err(WriteError::Log(error)) => {
            tracing::warn!(%error, service = key.2, "a service's round could not be written; its next change tries again");
        }
    }
}

/// Which services need a round, and when.
#[derive(Default)]
struct Agenda {
    daemons: Daemons,
    /// Daemons of clusters whose instances changed: a new instance gets their tasks before others.
    due_first: BTreeSet<ServiceKey>,
    due: BTreeSet<ServiceKey>,
    times: BTreeSet<(Timestamp, ServiceKey)>,
    time_of: BTreeMap<ServiceKey, Timestamp>,
    waiting_for_room: BTreeSet<ServiceKey>,
}

impl Agenda {
    fn add_all(&mut self, tables: &Tables) {
        self.daemons.add_all(tables);
        self.due.extend(tables.services.iter().map(|service| service.key()));
    }

    fn take_due(&mut self, now: Timestamp) -> Option<ServiceKey> {
        while self.next_time().is_some_and(|time| time <= now) {
            let (_, key) = self.times.pop_first()?;
            self.time_of.remove(&key);
            self.due.insert(key);
        }
        self.due_first.pop_first().or_else(|| self.due.pop_first())
    }

    fn next_time(&self) -> Option<Timestamp> {
        self.times.first().map(|(time, _)| *time)
    }

    fn schedule(&mut self, key: ServiceKey, rest: Rest) {
        if let Some(time) = self.time_of.remove(&key) {
            self.times.remove(&(time, key.clone()));
        }
        if rest.waits_for_room {
            self.waiting_for_room.insert(key.clone());
        } else {
            self.waiting_for_room.remove(&key);
        }
        if let Some(time) = rest.wake_at {
            self.times.insert((time, key.clone()));
            self.time_of.insert(key, time);
        }
    }

    /// `tables` are as the commit left them, or later.
    fn note(&mut self, commit: &Commit, tables: &Tables) {
        let changes = &commit.changes;
        self.due.extend(changes.services.keys().cloned());
        self.due.extend(changes.service_deployments.values().map(|change| change.newest().service_key()));
        self.due.extend(changes.tasks.values().filter_map(|change| service_of(change.newest())));
        let unsettled = instance::unsettled(commit);
        self.due.extend(instance::tenants(tables, &unsettled));
        self.due_first.extend(self.daemons.note(commit, tables, &unsettled));
        let has_room = changes.nodes.values().any(|change| gains(change.before.as_deref(), change.after.as_deref()));
        if has_room || !unsettled.is_empty() {
            self.due.extend(self.waiting_for_room.iter().cloned());
        }
    }
}

/// Whether a node may take a task now that it did not take before.
fn gains(before: Option<&Node>, after: Option<&Node>) -> bool {
    let Some(after) = after else { return false };
    let Some(before) = before else { return true };
    let (was, is) = (&before.free, &after.free);
    (after.connected && !before.connected)
        || is.cpu > was.cpu
        || is.memory > was.memory
        || is.gpus.len() > was.gpus.len()
        || is.ports.len() < was.ports.len()
        || after.attributes != before.attributes
        || (after.offers_fargate && !before.offers_fargate)
}
