//! Which services need a round, and when.
//!
//! A round gathers all tasks of its service, and each of them asks for one when it changes. So large services stand in
//! a line of their own: after the round of one, the next of them waits in proportion to what was gathered, as far as that
//! brought nothing about. Small ones go on at once, and every change is still looked at after it was made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::service::ServiceKey;
use model::{Node, Task, Timestamp};
use plan::service::{ServiceTask, Site};
use store::{Commit, RowChange, Tables, service_of};

use super::instance::{self, Daemons};
use crate::ecs::service::round::Rest;

/// A service with more tasks than this is large.
pub(super) const SMALL_MAX: usize = 500;
/// The pause after the round of a large service, per task that was gathered. The round takes a quarter of that, so that
/// all of them together take no more than a fifth of a processor and of the writers' time.
const PAUSE_PER_TASK: Duration = Duration::from_micros(2);
/// Tasks that are gathered without a pause for each that is started or stopped then: less work than that is.
const GATHERED_PER_MOVE: usize = 50;

#[derive(Default)]
pub(super) struct Agenda {
    daemons: Daemons,
    /// Daemons of clusters whose instances changed: a new instance gets their tasks before others.
    due_first: BTreeSet<ServiceKey>,
    due: Line,
    due_large: Line,
    large: BTreeSet<ServiceKey>,
    /// When the next round of a large service may begin.
    large_from: Timestamp,
    times: BTreeSet<(Timestamp, ServiceKey)>,
    time_of: BTreeMap<ServiceKey, Timestamp>,
    waiting_for_room: BTreeSet<ServiceKey>,
}

/// Services in the order in which they became due, each once.
#[derive(Default)]
struct Line {
    order: VecDeque<ServiceKey>,
    members: BTreeSet<ServiceKey>,
}

impl Line {
    fn push(&mut self, key: ServiceKey) {
        if self.members.insert(key.clone()) {
            self.order.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<ServiceKey> {
        let key = self.order.pop_front()?;
        self.members.remove(&key);
        Some(key)
    }
}

impl Agenda {
    pub fn add_all(&mut self, tables: &Tables) {
        self.daemons.add_all(tables);
        tables.services.iter().for_each(|service| self.add(service.key()));
    }

    fn add(&mut self, key: ServiceKey) {
        if self.large.contains(&key) {
            self.due_large.push(key);
        } else {
            self.due.push(key);
        }
    }

    /// Up to `count` small services and a large one whose rounds are to be made now.
    pub fn take_due(&mut self, now: Timestamp, count: usize) -> Vec<ServiceKey> {
        while self.times.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, key)) = self.times.pop_first() else { break };
            self.time_of.remove(&key);
            self.add(key);
        }
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(key) = self.due_first.pop_first().or_else(|| self.due.pop())
        {
            taken.push(key);
        }
        if now >= self.large_from {
            taken.extend(self.due_large.pop());
        }
        taken
    }

    /// When a service becomes due though nothing changes.
    pub fn next_time(&self) -> Option<Timestamp> {
        let large = (!self.due_large.order.is_empty()).then_some(self.large_from);
        let scheduled = self.times.first().map(|(time, _)| *time);
        large.into_iter().chain(scheduled).min()
    }

    /// What a round has left to do.
    pub fn schedule(&mut self, key: ServiceKey, rest: Rest, now: Timestamp) {
        self.unset_time(&key);
        set(&mut self.waiting_for_room, &key, rest.waits_for_room);
        set(&mut self.large, &key, rest.tasks > SMALL_MAX);
        if rest.tasks > SMALL_MAX {
            let in_vain = rest.tasks.saturating_sub(GATHERED_PER_MOVE * rest.moved);
            self.large_from = now.plus(PAUSE_PER_TASK * u32::try_from(in_vain).unwrap_or(u32::MAX));
        }
        if let Some(time) = rest.wake_at {
            self.set_time(key, time);
        }
    }

    /// A round came to nothing: the service is due again then, and else as it was.
    pub fn postpone(&mut self, key: ServiceKey, time: Timestamp) {
        self.unset_time(&key);
        self.set_time(key, time);
    }

    fn set_time(&mut self, key: ServiceKey, time: Timestamp) {
        self.times.insert((time, key.clone()));
        self.time_of.insert(key, time);
    }

    fn unset_time(&mut self, key: &ServiceKey) {
        if let Some(time) = self.time_of.remove(key) {
            self.times.remove(&(time, key.clone()));
        }
    }

    /// `tables` are as the commit left them, or later.
    pub fn note(&mut self, commit: &Commit, tables: &Tables) {
        let changes = &commit.changes;
        changes.services.keys().for_each(|key| self.add(key.clone()));
        changes.service_deployments.values().for_each(|change| self.add(change.newest().service_key()));
        for change in changes.tasks.values().filter(|change| concerns_service(change)) {
            service_of(change.newest()).into_iter().for_each(|key| self.add(key));
        }
        let unsettled = instance::unsettled(commit);
        instance::tenants(tables, &unsettled).for_each(|key| self.add(key));
        instance::unbalanced(tables, &unsettled).into_iter().for_each(|key| self.add(key));
        self.due_first.extend(self.daemons.note(commit, tables, &unsettled));
        let has_room = changes.nodes.values().any(|change| gains(change.before.as_deref(), change.after.as_deref()));
        if has_room || !unsettled.is_empty() {
            let waiting: Vec<ServiceKey> = self.waiting_for_room.iter().cloned().collect();
            waiting.into_iter().for_each(|key| self.add(key));
        }
    }
}

fn set(members: &mut BTreeSet<ServiceKey>, key: &ServiceKey, is_member: bool) {
    if is_member {
        members.insert(key.clone());
    } else {
        members.remove(key);
    }
}

/// Most reports on a task, such as that its image is there, tell its service nothing.
fn concerns_service(change: &RowChange<Task>) -> bool {
    of_service(change.before.as_deref()) != of_service(change.after.as_deref())
}

fn of_service(task: Option<&Task>) -> Option<ServiceTask<'_>> {
    task.map(|task| ServiceTask::of(task, Site::default()))
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

#[cfg(test)]
mod tests {
    use model::Scope;

    use super::*;

    fn key(name: &str) -> ServiceKey {
        (Scope::new("000000000000", "us-east-1"), "default".to_owned(), name.to_owned())
    }

    fn rest(tasks: usize) -> Rest {
        Rest { tasks, ..Rest::default() }
    }

    fn names(keys: Vec<ServiceKey>) -> Vec<String> {
        keys.into_iter().map(|(_, _, name)| name).collect()
    }

    #[test]
    fn large_services_take_turns_with_pauses_and_small_ones_go_on() {
        let mut agenda = Agenda::default();
        for large in ["a", "b"] {
            agenda.schedule(key(large), rest(50_000), Timestamp(0));
        }
        for name in ["a", "small", "b", "a"] {
            agenda.add(key(name));
        }
        let pause_end = Timestamp(100);
        assert_eq!(names(agenda.take_due(Timestamp(99), 16)), ["small"]);
        assert_eq!(agenda.next_time(), Some(pause_end));
        assert_eq!(names(agenda.take_due(pause_end, 16)), ["a"]);
        agenda.schedule(key("a"), rest(50_000), pause_end);
        for name in ["a", "small"] {
            agenda.add(key(name));
        }
        assert_eq!(names(agenda.take_due(pause_end, 16)), ["small"]);
        assert_eq!(names(agenda.take_due(Timestamp(200), 16)), ["b"], "nobody is passed over");
        agenda.schedule(key("b"), rest(3), Timestamp(200));
        assert_eq!(names(agenda.take_due(Timestamp(200), 16)), ["a"]);
        assert_eq!(agenda.next_time(), None);
    }

    #[test]
    fn a_round_that_starts_many_tasks_is_followed_by_the_next_at_once() {
        let mut agenda = Agenda::default();
        agenda.schedule(key("a"), Rest { moved: 1000, ..rest(50_000) }, Timestamp(0));
        agenda.add(key("a"));
        assert_eq!(names(agenda.take_due(Timestamp(0), 16)), ["a"]);
        agenda.schedule(key("a"), Rest { moved: 100, ..rest(50_000) }, Timestamp(0));
        agenda.add(key("a"));
        assert_eq!((agenda.take_due(Timestamp(89), 16).len(), agenda.next_time()), (0, Some(Timestamp(90))));
    }

    #[test]
    fn a_round_at_its_time_or_at_the_next_change_whichever_is_first() {
        let mut agenda = Agenda::default();
        agenda.schedule(key("a"), Rest { wake_at: Some(Timestamp(7)), ..Rest::default() }, Timestamp(0));
        assert_eq!((names(agenda.take_due(Timestamp(6), 16)), agenda.next_time()), (Vec::new(), Some(Timestamp(7))));
        agenda.add(key("a"));
        assert_eq!(names(agenda.take_due(Timestamp(6), 16)), ["a"]);
        assert_eq!(names(agenda.take_due(Timestamp(7), 16)), ["a"]);
        assert_eq!((names(agenda.take_due(Timestamp(8), 16)), agenda.next_time()), (Vec::new(), None));
    }

    #[test]
    fn a_round_that_failed_is_due_again_and_its_service_is_as_it_was() {
        let mut agenda = Agenda::default();
        agenda.schedule(key("a"), Rest { wake_at: Some(Timestamp(7)), ..rest(50_000) }, Timestamp(-1000));
        assert_eq!(names(agenda.take_due(Timestamp(7), 16)), ["a"]);
        agenda.postpone(key("a"), Timestamp(9));
        assert_eq!((agenda.take_due(Timestamp(8), 16).len(), agenda.next_time()), (0, Some(Timestamp(9))));
        assert_eq!(names(agenda.take_due(Timestamp(9), 16)), ["a"]);
        assert!(agenda.large.contains(&key("a")));
    }
}
