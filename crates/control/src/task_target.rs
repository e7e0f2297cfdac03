//! The loop that brings tasks of services into their target groups and into Cloud Map, and out of them: gather, decide,
//! apply. What is to be done is [`plan::task_target`]'s to say.
//!
//! ```text
//! commits that change such tasks, or targets ─┬─▶ due, by service ─▶ decide ─▶ one commit: the tasks, their targets,
//! what the data path says of targets ─────────┘                                what the service says of it
//! ```
//! It is no part of a service's rounds, for it goes on when a service is gone, or rests.
//!
//! Invariant: a task's row and the rows of its targets change in one commit, so that no crash comes between them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use model::discovery::DiscoveryInstance;
use model::load_balancer::{Target, TargetGroup, TargetGroupKey};
use model::network::Vpc;
use model::service::ServiceKey;
use model::service_registry::registry_key;
use model::task_target::{Place, TaskTarget};
use model::{LaunchType, Service, Subnet, Task, TaskId, TaskRegistration, Timestamp};
use plan::service::event::{self, Event};
use plan::task_registration::{self, NodeFacts, RegistrySight, RegistryStep};
use plan::task_target::{Move, Sight, Step, TargetSight, advance, is_open, wake_at};
use store::{Commit, CommitStream, Next, RowChange, Tables, WriteError, service_of};

use crate::ecs::service::event::tell;
use crate::servicediscovery::instance;
use crate::traffic::{News, TargetName, Traffic};
use crate::{Caller, Clock, Control, Cx};

/// Services whose tasks are looked at with one fsync.
const SERVICES_AT_ONCE: usize = 16;
/// Tasks of one service that are looked at with one commit.
const TASKS_AT_ONCE: usize = 500;
/// Commits that are looked at before what they ask for.
const COMMITS_AT_ONCE: usize = 1024;
/// Before what could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    let commits = control.store.subscribe();
    let mut due = Due::default();
    due.add_all(&control.store.view());
    tokio::spawn(run(Arc::downgrade(control), control.clock.clone(), control.traffic.news(), commits, due));
}

/// The tasks to look at.
#[derive(Default)]
struct Due {
    now: BTreeMap<ServiceKey, BTreeSet<TaskId>>,
    /// Those that wait for a time.
    later: BTreeSet<(Timestamp, ServiceKey, TaskId)>,
}

impl Due {
    fn add_all(&mut self, tables: &Tables) {
        tables.tasks.iter().filter(|task| is_open(task)).for_each(|task| self.add(task));
    }

    fn add(&mut self, task: &Task) {
        if let Some(service) = service_of(task) {
            self.now.entry(service).or_default().insert(task.id);
        }
    }

    fn add_id(&mut self, tables: &Tables, task: Option<TaskId>) {
        if let Some(task) = task.and_then(|id| tables.tasks.get(&id)) {
            self.add(task);
        }
    }

    /// `tables` are as the commit left them, or later.
    fn note(&mut self, commit: &Commit, tables: &Tables) {
        for change in commit.changes.tasks.values().filter(|change| concerns(change)) {
            self.add(change.newest());
        }
        for change in commit.changes.targets.values() {
            self.add_id(tables, change.before.as_ref().and_then(|target| target.task));
            self.add_id(tables, change.after.as_ref().and_then(|target| target.task));
        }
    }

    fn note_news(&mut self, names: &BTreeSet<TargetName>, tables: &Tables, traffic: &Traffic) {
        for name in names {
            let task = target_of(tables, name).and_then(|target| target.task);
            self.add_id(tables, task.or_else(|| traffic.task_called_at(name)));
        }
    }

    fn take(&mut self) -> Vec<(ServiceKey, Vec<TaskId>)> {
        let mut taken = Vec::new();
        while taken.len() < SERVICES_AT_ONCE
            && let Some((service, mut tasks)) = self.now.pop_first()
        {
            let some: Vec<TaskId> = std::iter::from_fn(|| tasks.pop_first()).take(TASKS_AT_ONCE).collect();
            taken.push((service.clone(), some));
            if !tasks.is_empty() {
                self.now.insert(service, tasks);
                break;
            }
        }
        taken
    }

    fn put_back(&mut self, service: ServiceKey, tasks: Vec<TaskId>) {
        self.now.entry(service).or_default().extend(tasks);
    }

    /// Has the tasks looked at again when that is due though nothing tells of it.
    fn note_times(&mut self, service: &ServiceKey, tasks: &[TaskId], tables: &Tables) {
        let rows = tasks.iter().filter_map(|id| tables.tasks.get(id));
        self.later.extend(rows.filter_map(|task| Some((wake_at(task)?, service.clone(), task.id))));
    }

    fn ripen(&mut self, now: Timestamp) {
        while self.later.first().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, service, task)) = self.later.pop_first()
        {
            self.now.entry(service).or_default().insert(task);
        }
    }
}

/// Most reports on a task tell its target groups and Cloud Map nothing.
fn concerns(change: &RowChange<Task>) -> bool {
    let part = |task: Option<&Arc<Task>>| {
        let task = task.filter(|task| is_open(task))?;
        // Cloud Map is told of the health of its instances.
        let health = (!task.registrations.is_empty()).then_some(task.health);
        Some((task.last_status, task.desired_status, task.targets.clone(), health))
    };
    let after = part(change.after.as_ref());
    after.is_some() && part(change.before.as_ref()) != after
}

fn target_of<'a>(tables: &'a Tables, (group, address): &TargetName) -> Option<&'a Arc<Target>> {
    let (scope, name) = TargetGroup::key_of(group)?;
    let SocketAddr::V4(address) = address else { return None };
    tables.targets.get(&(scope, name, *address.ip(), address.port()))
}

enum Woken {
    Commit(Next),
    News(BTreeSet<TargetName>),
    Time,
}

async fn run(control: Weak<Control>, clock: Clock, news: Arc<News>, mut commits: CommitStream, mut due: Due) {
    loop {
        due.ripen(clock.now());
        let woken = match due.now.is_empty() {
            true => Some(wait(&news, &mut commits, &clock, &due).await),
            false => None,
        };
        let Some(control) = control.upgrade() else { return };
        let (mut next, names) = match woken {
            Some(Woken::Commit(next)) => (Some(next), news.next().now_or_never()),
            Some(Woken::News(names)) => (None, Some(names)),
            Some(Woken::Time) | None => (None, news.next().now_or_never()),
        };
        for _ in 0..COMMITS_AT_ONCE {
            match next.take().or_else(|| commits.next().now_or_never()) {
                None => break,
                Some(Next::Commit(commit)) => due.note(&commit, &control.store.view()),
                Some(Next::Lagged) => due.add_all(&control.store.view()),
                Some(Next::Closed) => return,
            }
        }
        due.note_news(&names.unwrap_or_default(), &control.store.view(), &control.traffic);
        due.ripen(clock.now());
        let taken = due.take();
        let served = join_all(taken.iter().cloned().map(|due| serve(&control, due))).await;
        let view = control.store.view();
        taken.iter().for_each(|(service, tasks)| due.note_times(service, tasks, &view));
        // Waiting must not keep the control plane alive.
        drop(control);
        let unwritten: Vec<_> = served.into_iter().flatten().collect();
        if !unwritten.is_empty() {
            unwritten.into_iter().for_each(|(service, tasks)| due.put_back(service, tasks));
            clock.until(clock.now().plus(RETRY_PAUSE)).await;
        }
    }
}

async fn wait(news: &News, commits: &mut CommitStream, clock: &Clock, due: &Due) -> Woken {
    let ripe = async {
        match due.later.first() {
            Some((at, ..)) => clock.until(*at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        next = commits.next() => Woken::Commit(next),
        names = news.next() => Woken::News(names),
        () = ripe => Woken::Time,
    }
}

/// Answers what could not be written.
async fn serve(control: &Control, (service, tasks): (ServiceKey, Vec<TaskId>)) -> Option<(ServiceKey, Vec<TaskId>)> {
    let caller = Caller::root(service.0.clone(), "");
    let written = control.write(&caller, |cx| {
        look(cx, &service, &tasks);
        Ok::<_, Infallible>(())
    });
    match written.await {
        Ok(()) => None,
        Err(WriteError::Refused(never)) => match never {},
        Err(WriteError::Log(error)) => {
            tracing::warn!(%error, service = service.2, "targets of tasks could not be written; it is tried again");
            Some((service, tasks))
        }
    }
}

/// What was done, for the service to say.
#[derive(Default)]
struct Done {
    /// By target group.
    registered: BTreeMap<String, usize>,
    deregistered: BTreeMap<String, usize>,
    /// Tasks that began to drain, by deployment.
    draining: BTreeMap<String, usize>,
}

fn look(cx: &mut Cx<'_>, service: &ServiceKey, tasks: &[TaskId]) {
    let mut done = Done::default();
    for id in tasks {
        let Some(task) = cx.txn.tasks.get(id).cloned() else { continue };
        let sights: Vec<Sight> = task.targets.iter().map(|target| sight(cx, &task, target)).collect();
        let registries: Vec<_> = task.registrations.iter().map(|place| registry_sight(cx, &task, place)).collect();
        if let Some(Move { task, steps }) = advance(&task, &sights, &registries, host(cx, &task), cx.now) {
            done.note(&task, &steps);
            steps.into_iter().for_each(|step| apply(cx, &task, step));
            cx.txn.put(task);
        }
    }
    let Some(row) = cx.txn.services.get(service).cloned() else { return };
    let mut row = Service::clone(&row);
    for event in done.events(&row) {
        tell(cx, &mut row, event);
    }
    cx.txn.put(row);
}

/// The address at which the ports are that the task publishes on its node.
fn host(cx: &Cx<'_>, task: &Task) -> Option<Ipv4Addr> {
    cx.txn.nodes.get(&task.node?)?.address
}

fn sight(cx: &Cx<'_>, task: &Task, target: &TaskTarget) -> Sight {
    let Some(group) = group_of(cx, &target.target_group) else { return Sight::default() };
    let place = target.place.map(|place| (group.0.clone(), group.1.clone(), place.address, place.port));
    let row = place.and_then(|key| cx.txn.targets.get(&key)).filter(|row| row.task == Some(task.id));
    let address = target.place.map(|place| SocketAddr::new(IpAddr::V4(place.address), place.port));
    Sight {
        has_group: true,
        target: row.map(|row| match row.deregistered_at {
            None => TargetSight::Registered,
            Some(_) => TargetSight::Draining,
        }),
        health: address.and_then(|address| cx.traffic.health(&target.target_group, address)),
    }
}

/// The target group of exactly this ARN: one that was made anew by the same name is another.
fn group_of(cx: &Cx<'_>, arn: &str) -> Option<TargetGroupKey> {
    let key = TargetGroup::key_of(arn)?;
    let row = cx.txn.target_groups.get(&key)?;
    (row.arn().to_string() == arn).then_some(key)
}

fn registry_sight(cx: &Cx<'_>, task: &Task, place: &TaskRegistration) -> RegistrySight {
    // Of Service Connect; its Cloud Map service may be gone already.
    let is_drained = place.is_draining() && is_drained(cx, task, place);
    let key = registry_key(&place.registry.registry);
    let Some(service) = key.and_then(|key| cx.txn.discovery_services.get(&key)) else {
        return RegistrySight { is_drained, ..RegistrySight::default() };
    };
    let key = (service.scope.clone(), service.id.clone(), task.id.to_string());
    RegistrySight {
        has_service: true,
        has_health: service.custom_health.is_some(),
        instance: cx.txn.discovery_instances.get(&key).map(|row| row.is_healthy),
        is_drained,
    }
}

fn is_drained(cx: &Cx<'_>, task: &Task, place: &TaskRegistration) -> bool {
    let address = task_registration::place(task, place, Some(gateway_of(task))).map(SocketAddr::V4);
    let health = address.and_then(|address| cx.traffic.health(&place.registry.registry, address));
    health.is_some_and(|health| health.drained)
}

fn apply(cx: &mut Cx<'_>, task: &Task, step: Step) {
    match step {
        Step::Register(index, place) | Step::Deregister(index, place) => apply_target(cx, task, step, index, place),
        Step::Registry(index, step) => apply_registry(cx, task, &task.registrations[index], step),
    }
}

fn apply_registry(cx: &mut Cx<'_>, task: &Task, place: &TaskRegistration, step: RegistryStep) {
    let Some((scope, service)) = registry_key(&place.registry.registry) else { return };
    let id = task.id.to_string();
    let key = (scope.clone(), service.clone(), id.clone());
    match step {
        RegistryStep::Register { is_healthy } => {
            let attributes = task_registration::attributes(task, place, &node_facts(cx, task));
            let creator_request_id = id.clone();
            instance::put(cx.txn, DiscoveryInstance { scope, service, id, creator_request_id, attributes, is_healthy });
        }
        RegistryStep::Mark { is_healthy } => {
            if let Some(row) = cx.txn.discovery_instances.get(&key).cloned() {
                instance::put(cx.txn, DiscoveryInstance { is_healthy, ..DiscoveryInstance::clone(&row) });
            }
        }
        RegistryStep::Deregister => instance::remove(cx.txn, &key),
    }
}

/// Where the ports are reached that a task publishes on its node: at the node's end of the network, which is the gateway
/// of its zone's subnet.
pub(crate) fn gateway_of(task: &Task) -> Ipv4Addr {
    let vpc = Vpc::default_of(&task.scope);
    let in_zone = |subnet: &&Subnet| Some(&subnet.zone) == task.availability_zone.as_ref();
    vpc.subnets.iter().find(in_zone).unwrap_or(&vpc.subnets[0]).gateway()
}

fn node_facts(cx: &Cx<'_>, task: &Task) -> NodeFacts {
    let instance = task.container_instance.and_then(|id| cx.txn.container_instances.get(&id));
    let is_ec2 = task.launch_type == LaunchType::Ec2;
    NodeFacts {
        address: Some(gateway_of(task)),
        ec2_instance_id: instance.filter(|_| is_ec2).map(|instance| instance.ec2_instance_id.clone()),
    }
}

fn apply_target(cx: &mut Cx<'_>, task: &Task, step: Step, index: usize, place: Place) {
    let Some((scope, group)) = group_of(cx, &task.targets[index].target_group) else { return };
    let Place { address, port } = place;
    let now = cx.now;
    match step {
        Step::Register(..) => cx.txn.put(Target {
            scope,
            group,
            address,
            port,
            instance: task.targets[index].instance.clone(),
            task: Some(task.id),
            registered_at: now,
            deregistered_at: None,
        }),
        Step::Deregister(..) | Step::Registry(..) => {
            cx.txn.update::<Target, _>(&(scope, group, address, port), |row| *row.deregistered_at.get_or_insert(now));
        }
    }
}

impl Done {
    fn note(&mut self, task: &Task, steps: &[Step]) {
        for step in steps {
            let (counts, index) = match step {
                Step::Register(index, _) => (&mut self.registered, *index),
                Step::Deregister(index, _) => (&mut self.deregistered, *index),
                Step::Registry(..) => continue,
            };
            *counts.entry(task.targets[index].target_group.clone()).or_default() += 1;
        }
        if steps.iter().any(|step| matches!(step, Step::Deregister(..))) {
            *self.draining.entry(task.started_by.clone().unwrap_or_default()).or_default() += 1;
        }
    }

    fn events(self, service: &Service) -> Vec<Event> {
        let name = &service.name;
        let registered = self.registered.into_iter().map(|(group, count)| event::registered(name, count, &group));
        let deregistered = self.deregistered.into_iter().map(|(group, count)| event::deregistered(name, count, &group));
        let mut draining: BTreeMap<String, usize> = BTreeMap::new();
        for (deployment, count) in self.draining {
            *draining.entry(event::subject(service, &deployment)).or_default() += count;
        }
        let draining = draining.into_iter().map(|(subject, count)| event::draining(&subject, count));
        registered.chain(deregistered).chain(draining).collect()
    }
}
