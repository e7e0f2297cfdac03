//! What the task sets of a service with an EXTERNAL controller do next (ecs-semantics §3.12): each is kept at its share
//! of the service's desired count, and one that is deleted goes with its last task.
//!
//! A set is kept as a deployment of its own that replaces no other: whoever controls the service says which set gives
//! way to which, by scaling and deleting them.

use model::task_set::{Stability, TaskSetStatus};
use model::{Service, TaskSet, Timestamp};

use super::replica::{Census, Want};
use super::{Life, REPEAT, ServicePlan, ServiceTask, event, loss, rollout};

pub(super) fn keep(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    rollout::take_stock(plan, tasks, now);
    loss::stop(plan, tasks, now);
    for set in plan.service.task_sets.clone() {
        let set = match set.status {
            TaskSetStatus::Draining => drain(plan, set, tasks),
            TaskSetStatus::Active | TaskSetStatus::Primary => Some(keep_one(plan, set, tasks, now)),
        };
        settle(&mut plan.service, set);
    }
    plan.service.steady_at = None;
    if plan.service.task_sets.iter().all(|set| set.stability == Stability::SteadyState) {
        plan.service.obstacle = None;
    }
}

/// Takes a set's row as it becomes, or drops what has gone, to the end of the list: the others keep their order.
fn settle(service: &mut Service, set: Option<TaskSet>) {
    let old = service.task_sets.remove(0);
    match set {
        Some(set) => service.task_sets.push(set),
        None => service.deployments.retain(|row| row.id != old.id),
    }
}

/// `None` once no task of the set is left.
fn drain(plan: &mut ServicePlan, set: TaskSet, tasks: &[ServiceTask<'_>]) -> Option<TaskSet> {
    let mine: Vec<&ServiceTask<'_>> = tasks.iter().filter(|task| task.deployment == set.id).collect();
    let is_stopped = |task: &ServiceTask<'_>| plan.stop.iter().any(|stop| stop.task == task.id);
    let mut alive: Vec<_> = mine.iter().copied().filter(|task| task.is_alive() && !is_stopped(task)).collect();
    alive.truncate(plan.stops_left());
    said_of(plan, &set.id, |plan| plan.stop_tasks(&alive));
    mine.iter().any(|task| !matches!(task.life, Life::Stopped { .. })).then_some(set)
}

fn keep_one(plan: &mut ServicePlan, set: TaskSet, tasks: &[ServiceTask<'_>], now: Timestamp) -> TaskSet {
    let desired = set.computed_desired(plan.service.desired_count) as usize;
    let want = Want { deployment: set.id.clone(), desired, replaces: false, launches: true };
    let mut is_whole = false;
    said_of(plan, &set.id, |plan| {
        let mut census = Census::take(plan, tasks, want, now);
        census.keep(plan, now);
        census.note_wake(plan, tasks, now);
        is_whole = census.is_whole();
    });
    let stability = match is_stable(plan, &set, desired, tasks) {
        true => Stability::SteadyState,
        false => Stability::Stabilizing,
    };
    let stability_at = if stability == set.stability { set.stability_at } else { now };
    let steady_at = note_steady(plan, &set, is_whole, now);
    TaskSet { stability, stability_at, steady_at, ..set }
}

/// As many tasks RUNNING as there are to be, none pending, none on an instance that is drained, all checks healthy.
fn is_stable(plan: &ServicePlan, set: &TaskSet, desired: usize, tasks: &[ServiceTask<'_>]) -> bool {
    let is_stopped = |task: &ServiceTask<'_>| plan.stop.iter().any(|stop| stop.task == task.id);
    let alive = tasks.iter().filter(|task| task.deployment == set.id && task.is_alive() && !is_stopped(task));
    let serves = |task: &ServiceTask<'_>| task.life == Life::Running && task.passes_checks() && !task.site.is_draining;
    let starts = plan.start.iter().any(|start| start.deployment == set.id);
    let (serving, other): (Vec<_>, Vec<_>) = alive.partition(|task| serves(task));
    !starts && other.is_empty() && serving.len() == desired
}

/// Since when the set is steady, which is said once, and again when that is long ago.
fn note_steady(plan: &mut ServicePlan, set: &TaskSet, is_whole: bool, now: Timestamp) -> Option<Timestamp> {
    if !is_whole {
        return None;
    }
    let said_at = set.steady_at.filter(|at| now.since(*at) < REPEAT);
    if said_at.is_none() {
        plan.say(event::task_set_steady(&event::subject(&plan.service, &set.id)));
    }
    let at = said_at.unwrap_or(now);
    plan.wake(Some(at.plus(REPEAT)), now);
    Some(at)
}

/// What is said meanwhile is said of the set beside its service.
fn said_of(plan: &mut ServicePlan, set: &str, decide: impl FnOnce(&mut ServicePlan)) {
    let subject = event::subject(&plan.service, set);
    let name = std::mem::replace(&mut plan.service.name, subject);
    decide(plan);
    plan.service.name = name;
}
