//! What keeps a DAEMON service at one task on each container instance that may have one (ecs-semantics §3.4).
//!
//! ```text
//! ACTIVE, connected, constraints met ─▶ a task is started
//! ACTIVE, session down               ─▶ keeps the task that it has, until the node is lost
//! ACTIVE, constraints not met        ─▶ its task is stopped
//! DRAINING                           ─▶ its task is stopped once no task but daemons is left there
//! ```
//! The desired count is the number of instances that have a task or are to have one. A new revision takes an instance's
//! place only when the old one's task has STOPPED, and old tasks stop as far as the minimum allows; so do unhealthy ones,
//! which nothing can be started beside.
//!
//! Invariants
//! - Never two tasks on one instance by our own doing, not even one that is stopping and its successor.
//! - Room is not the service's to judge: an instance without it is asked again when it has some.

use std::collections::{BTreeMap, BTreeSet};

use model::service::Rollout;
use model::{InstanceStatus, NodeId, TaskId, Timestamp};

use super::replica::{Census, Want, tell_obstacle};
use super::{Life, Places, ServiceInput, ServicePlan, ServiceTask, Start, bounds, event, loss, rollout};

/// A container instance of the cluster, as far as a daemon cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    pub node: NodeId,
    pub status: InstanceStatus,
    pub connected: bool,
    /// It is connected, and satisfies what tasks of the PRIMARY deployment ask for, its room apart.
    pub suits: bool,
    /// It has tasks other than those of daemons.
    pub is_in_use: bool,
}

pub(super) fn keep(plan: &mut ServicePlan, input: &ServiceInput<'_>, now: Timestamp) {
    let (tasks, signals) = (input.tasks, &input.signals);
    rollout::take_stock(plan, tasks, now);
    loss::stop(plan, tasks, now);
    Posts::take(plan, tasks, input.hosts, now).count(plan);
    rollout::judge(plan, signals, now);
    if plan.service.deployments.is_empty() {
        return;
    }
    // As for REPLICA services.
    let mut census = loop {
        let posts = Posts::take(plan, tasks, input.hosts, now);
        posts.stop_misplaced(plan);
        let mut census = posts.census(plan, now);
        census.stop_as_unhealthy(plan, usize::MAX, now);
        if !rollout::judge(plan, signals, now) {
            break census;
        }
    };
    census.stop_old(plan);
    // Where the last task goes that could not be asked to, nothing is wanted any more.
    let posts = Posts::take(plan, tasks, input.hosts, now);
    posts.count(plan);
    let census = Census { protected: census.protected, ..posts.census(plan, now) };
    start_missing(plan, &posts, &census, tasks, now);
    tell_obstacle(plan, std::slice::from_ref(&census), now);
    census.end_old_deployments(plan);
    census.note_steady(plan, signals, now);
    census.note_wake(plan, tasks, now);
}

/// The instances with the service's tasks that are there and that the plan does not stop.
struct Posts<'a> {
    by_node: BTreeMap<NodeId, Post<'a>>,
    /// On no instance of the cluster.
    strays: Vec<&'a ServiceTask<'a>>,
    now: Timestamp,
}

struct Post<'a> {
    host: Host,
    tasks: Vec<&'a ServiceTask<'a>>,
    /// A task is stopping here, and the node is not lost.
    is_changing: bool,
}

impl Post<'_> {
    /// It has a task rightly, or is to have one.
    fn is_wanted(&self, now: Timestamp) -> bool {
        let has_task = !self.tasks.is_empty();
        let is_right = match self.host.status {
            InstanceStatus::Active if self.host.connected => self.host.suits,
            InstanceStatus::Active => has_task || self.is_changing,
            InstanceStatus::Draining => has_task && self.host.is_in_use,
            InstanceStatus::Inactive => false,
        };
        is_right || self.tasks.iter().any(|task| task.is_protected(now))
    }

    fn takes_tasks(&self) -> bool {
        self.host.status == InstanceStatus::Active && self.host.connected && self.host.suits
    }
}

impl<'a> Posts<'a> {
    fn take(plan: &ServicePlan, tasks: &'a [ServiceTask<'a>], hosts: &[Host], now: Timestamp) -> Self {
        let posts = hosts.iter().map(|host| (host.node, Post { host: *host, tasks: Vec::new(), is_changing: false }));
        let mut posts = Self { by_node: posts.collect(), strays: Vec::new(), now };
        let stopped: BTreeSet<TaskId> = plan.stop.iter().map(|stop| stop.task).collect();
        for task in tasks {
            let post = task.site.node.and_then(|node| posts.by_node.get_mut(&node));
            let is_stopping = task.life == Life::Stopping || stopped.contains(&task.id);
            match post {
                Some(post) if is_stopping => post.is_changing |= task.site.lost_at.is_none_or(|at| now < at),
                Some(post) if task.is_alive() => post.tasks.push(task),
                None if task.is_alive() && !is_stopping => posts.strays.push(task),
                _ => {}
            }
        }
        posts
    }

    fn count(&self, plan: &mut ServicePlan) {
        let wanted = self.by_node.values().filter(|post| post.is_wanted(self.now)).count();
        plan.service.desired_count = u32::try_from(wanted).unwrap_or(u32::MAX);
    }

    /// Those that may not be where they are.
    fn stop_misplaced(&self, plan: &mut ServicePlan) {
        let mut victims = self.strays.clone();
        let unwanted = || self.by_node.values().filter(|post| !post.is_wanted(self.now));
        victims.extend(unwanted().flat_map(|post| &post.tasks));
        let violates = |post: &&Post<'_>| post.host.status == InstanceStatus::Active && !post.tasks.is_empty();
        let violating = unwanted().filter(violates).count();
        if violating > 0 {
            plan.say(event::constraint_violated(&plan.service.name, violating));
        }
        victims.truncate(plan.stops_left());
        plan.stop_tasks(&victims);
    }

    /// Of the tasks on wanted posts. Of several of the PRIMARY deployment on one post the oldest counts; the others go
    /// with those of older deployments.
    fn census(&self, plan: &ServicePlan, now: Timestamp) -> Census<'a> {
        let service = &plan.service;
        let want = Want::of_primary(service);
        let (mut mine, mut old) = (Vec::new(), Vec::new());
        for post in self.by_node.values().filter(|post| post.is_wanted(now)) {
            let of_want = |task: &&&ServiceTask<'_>| task.deployment == want.deployment;
            let first = post.tasks.iter().filter(of_want).min_by_key(|task| (task.created_at, task.id));
            mine.extend(first.copied());
            old.extend(post.tasks.iter().copied().filter(|task| first.is_none_or(|first| first.id != task.id)));
        }
        let (unhealthy, good) = mine.into_iter().partition(|task| task.is_unhealthy(service, now));
        let (lower, upper) = bounds(service.desired_count, service.configuration.minimum_healthy_percent, 100);
        let proving = BTreeSet::new();
        Census { want, good, unhealthy, old, proving, protected: None, is_stuck: false, lower, upper, now }
    }
}

/// On posts that have nothing, not even a task that is stopping.
fn start_missing(
    plan: &mut ServicePlan,
    posts: &Posts<'_>,
    census: &Census<'_>,
    tasks: &[ServiceTask<'_>],
    now: Timestamp,
) {
    let primary = &plan.service.deployments[0];
    if primary.rollout == Rollout::Failed || primary.retry_at.is_some_and(|at| now < at) {
        return;
    }
    let is_there = |task: &&ServiceTask<'_>| task.is_alive() || task.life == Life::Stopping;
    let taken: BTreeSet<NodeId> = tasks.iter().filter(is_there).filter_map(|task| task.site.node).collect();
    let free = posts.by_node.values().filter(|post| post.takes_tasks() && !taken.contains(&post.host.node));
    let nodes: Vec<NodeId> = free.map(|post| post.host.node).collect();
    if !nodes.is_empty() {
        let (deployment, count) = (primary.id.clone(), nodes.len());
        plan.start.push(Start { deployment, count, places: Places::Nodes(nodes) });
        return;
    }
    let is_moving = !plan.stop.is_empty() || tasks.iter().any(|task| task.life == Life::Stopping);
    if !census.old.is_empty() && !is_moving && !census.has_unproven() && census.protected.is_none() {
        plan.meet(event::stuck(&plan.service.name), now);
    }
}
