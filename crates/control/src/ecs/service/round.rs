//! One round of one service, as one transaction: gather its tasks, decide, stop, place and start, and say so.
//!
//! Invariant: a round that changes nothing writes nothing, so that rounds end.

use model::capacity_provider::Capacity;
use model::service::{Scheduling, ServiceKey, ServiceStatus};
use model::{Deployment, DesiredStatus, InstanceStatus, LaunchType, NodeId, Service, Task, Timestamp};
use plan::place::{Placement, Reason, Surveyed};
use plan::service::event::{self, Event};
use plan::service::{
    Host, Places, STARTS_MAX, ServiceInput, ServicePlan, ServiceTask, Signals, Start, Stop, reconcile,
};
use store::service_of;
use wire::ecs::Error;
use wire::error::Failure;

use super::event::tell;
use super::site::Sites;
use super::{service_connect, shift, zone};
use crate::Cx;
use crate::ecs::task::placement::NO_CAPACITY;
use crate::ecs::task::run::{Manner, Part, Run};
use crate::ecs::{service_deployment, service_revision};

/// The reason of an event, when FARGATE has no room (ecs-semantics §4.2).
const FARGATE_IS_FULL: &str = "RESOURCE:FARGATE";

/// What is left to be done after a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// When the next round is due though nothing changes.
    pub wake_at: Option<Timestamp>,
    /// Tasks are waiting for a place.
    pub waits_for_room: bool,
    /// How many tasks the service has, all of which the round looked at.
    pub tasks: usize,
    /// How many it started and stopped.
    pub moved: usize,
}

/// A service that is gone needs nothing.
pub fn run(cx: &mut Cx<'_>, key: &ServiceKey) -> Rest {
    let Some(service) = cx.txn.services.get(key).cloned() else { return Rest::default() };
    service_revision::learn(cx, &service);
    let hosts = match hosts(cx, &service) {
        Ok(hosts) => hosts,
        Err(error) => return rest_until_repaired(cx, &service, error),
    };
    let mut plan = decide(cx, key, &service, &hosts);
    for id in &plan.counted {
        cx.txn.update::<Task, _>(id, |task| task.counted = true);
    }
    let tasks_before = cx.txn.count_tasks_of_service(key);
    for stop in &plan.stop {
        stop_task(cx, stop);
    }
    let stopped = plan.stop.len();
    let mut waits_for_room = false;
    for wanted in std::mem::take(&mut plan.start) {
        waits_for_room |= !start(cx, &mut plan, &wanted);
    }
    for wanted in std::mem::take(&mut plan.shifts) {
        if !shift::apply(cx, &wanted) {
            plan.meet(event::unshifted(&plan.service.name, &wanted.rule), cx.now);
        }
    }
    let events = std::mem::take(&mut plan.events);
    events.into_iter().for_each(|event| tell(cx, &mut plan.service, event));
    let tasks = cx.txn.count_tasks_of_service(key);
    let moved = stopped + tasks.saturating_sub(tasks_before);
    let rest = Rest { wake_at: plan.wake_at, waits_for_room, tasks, moved };
    if plan.service.status == ServiceStatus::Inactive && service.status != ServiceStatus::Inactive {
        service_connect::forget(cx.txn, key);
    }
    cx.txn.put(plan.service);
    if let Some(deployment) = plan.deployment {
        cx.txn.put(deployment);
    }
    rest
}

fn decide(cx: &Cx<'_>, key: &ServiceKey, service: &Service, hosts: &[Host]) -> ServicePlan {
    let mut sites = Sites::of(cx.txn, service, cx.config.node_lost_after);
    let rows = cx.txn.tasks_of_service(key);
    let tasks: Vec<ServiceTask<'_>> = rows.map(|task| ServiceTask::of(task, sites.site(task))).collect();
    let deployment = service_deployment::newest_of(cx.txn, service).map(|row| &**row);
    // There are no alarms and no functions yet that could tell something.
    let signals = Signals::default();
    let zones = zone::possible(cx, service);
    reconcile(&ServiceInput { service, tasks: &tasks, deployment, signals, hosts, zones: &zones }, cx.now)
}

fn stop_task(cx: &mut Cx<'_>, stop: &Stop) {
    let now = cx.now;
    cx.txn.update::<Task, _>(&stop.task, |task| {
        if task.stop(stop.code, &stop.reason, now) {
            task.tags.clear();
        }
    });
}

/// Whether all found a place.
fn start(cx: &mut Cx<'_>, plan: &mut ServicePlan, wanted: &Start) -> bool {
    let subject = event::subject(&plan.service, &wanted.deployment);
    let judged = judge(cx, &plan.service, wanted);
    let (run, manner) = match judged {
        Ok(judged) => judged,
        Err(error) => {
            let words = Failure::from(error).message;
            plan.meet(event::misconfigured(&subject, words.trim_end_matches('.')), cx.now);
            return false;
        }
    };
    let (mut started, mut failed) = (Vec::new(), None);
    if let Places::Nodes(nodes) = &wanted.places {
        return start_on(cx, plan, (&run, &manner), nodes);
    }
    let present = present(cx, &plan.service, wanted);
    let parts = run.parts(&capacity(&plan.service, wanted), &present, wanted.count);
    if let Places::Zones(zones) = &wanted.places {
        return zone::start_in(cx, plan, (&run, &manner), &parts, zones);
    }
    let providers = parts.iter().filter_map(|part| part.provider.clone()).collect();
    for part in parts {
        let (tasks, placement) = run.place(cx, &manner, &part);
        started.extend(tasks.into_iter().map(|task| task.id));
        if placement.unplaced > 0 {
            failed = Some((part, placement));
        }
    }
    plan.say_started(&subject, &started);
    let Some((part, placement)) = failed else {
        plan.say_providers_steady(providers, present.iter().sum::<usize>() == 0);
        plan.overcome();
        return true;
    };
    let event = match part.provider {
        Some(provider) if !run.has_candidates(cx, &Part { provider: Some(provider.clone()), count: 1 }) => {
            event::empty_provider(&subject, &provider)
        }
        _ => unplaced(cx, &subject, run.launch_type(), &placement),
    };
    plan.meet(event, cx.now);
    false
}

/// Whether all nodes got their task.
fn start_on(cx: &mut Cx<'_>, plan: &mut ServicePlan, (run, manner): (&Run, &Manner), nodes: &[NodeId]) -> bool {
    let (tasks, placement) = run.place_on(cx, manner, nodes, STARTS_MAX);
    let started: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let name = plan.service.name.clone();
    plan.say_started(&name, &started);
    if placement.unplaced == 0 {
        plan.overcome();
        return true;
    }
    plan.meet(unplaced(cx, &plan.service.name, run.launch_type(), &placement), cx.now);
    false
}

/// For a DAEMON service, the container instances of its cluster.
fn hosts(cx: &mut Cx<'_>, service: &Service) -> Result<Vec<Host>, Error> {
    let Some(primary) = service.primary().filter(|_| service.scheduling == Scheduling::Daemon) else {
        return Ok(Vec::new());
    };
    let run = Run::of_deployment(cx, service, primary)?;
    let manner = run.manner_of(service)?;
    let surveyed = run.survey(cx, &manner);
    let host = |row: Surveyed| Host {
        node: row.node,
        status: row.status,
        connected: row.connected,
        suits: row.takes,
        is_in_use: row.status == InstanceStatus::Draining && has_other_tasks(cx, row.node),
    };
    Ok(surveyed.into_iter().map(host).collect())
}

/// Whether the node has tasks that are not those of daemons.
fn has_other_tasks(cx: &Cx<'_>, node: NodeId) -> bool {
    let is_daemon = |task: &Task| {
        let service = service_of(task).and_then(|key| cx.txn.services.get(&key));
        service.is_some_and(|service| service.scheduling == Scheduling::Daemon)
    };
    cx.txn.tasks_on_node(node).any(|task| !is_daemon(task))
}

/// Where a daemon's tasks may be cannot be told: they stay as they are.
fn rest_until_repaired(cx: &mut Cx<'_>, service: &Service, error: Error) -> Rest {
    let words = Failure::from(error).message;
    let event = event::misconfigured(&service.name, words.trim_end_matches('.'));
    if service.obstacle.as_ref().is_none_or(|(said, _)| *said != event.message) {
        let obstacle = Some((event.message.clone(), cx.now));
        let mut service = Service { obstacle, ..service.clone() };
        tell(cx, &mut service, event);
        cx.txn.put(service);
    }
    Rest::default()
}

fn judge(cx: &Cx<'_>, service: &Service, wanted: &Start) -> Result<(Run, Manner), Error> {
    let deployment = deployment(service, wanted).expect("tasks are started for deployments of the service");
    let run = Run::of_deployment(cx, service, deployment)?;
    let manner = run.manner_of(service)?;
    Ok((run, manner))
}

fn deployment<'a>(service: &'a Service, wanted: &Start) -> Option<&'a Deployment> {
    service.deployment(&wanted.deployment)
}

fn capacity(service: &Service, wanted: &Start) -> Capacity {
    deployment(service, wanted).map_or_else(|| Capacity::of(service.launch_type), |row| service.capacity_of(row))
}

/// How many tasks of the deployment each provider of its strategy has.
fn present(cx: &Cx<'_>, service: &Service, wanted: &Start) -> Vec<usize> {
    let strategy = capacity(service, wanted).strategy;
    if strategy.is_empty() {
        return Vec::new();
    }
    let key = service.key();
    let mut counts = vec![0; strategy.len()];
    for task in cx.txn.tasks_of_service(&key).filter(|task| task.desired_status == DesiredStatus::Running) {
        let index = strategy.iter().position(|item| task.capacity_provider.as_ref() == Some(&item.provider));
        if let Some(index) = index.filter(|_| task.started_by.as_ref() == Some(&wanted.deployment)) {
            counts[index] += 1;
        }
    }
    counts
}

fn unplaced(cx: &Cx<'_>, subject: &str, launch_type: LaunchType, placement: &Placement) -> Event {
    if launch_type == LaunchType::Fargate {
        let lacks_address = placement.refused.iter().any(|refusal| refusal.reason == Reason::Interface);
        return match lacks_address {
            true => event::unplaced_because(subject, Reason::Interface.as_str(), Reason::Interface.as_str()),
            false => event::unplaced_because(subject, NO_CAPACITY, FARGATE_IS_FULL),
        };
    }
    let closest = placement.refused.iter().find_map(|refusal| {
        let instance = cx.txn.container_instance_of_node(refusal.node)?;
        Some((instance.id, &refusal.reason))
    });
    event::unplaced(subject, closest)
}
