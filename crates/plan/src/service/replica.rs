//! What keeps a REPLICA service at its desired count: a census of its tasks, then what is stopped and what is missing,
//! in an order that never leaves `lower` by our own doing and never exceeds `upper`.

use std::collections::BTreeSet;

use model::service::{Rollout, Service};
use model::{HealthStatus, StopCode, TaskId, Timestamp};

use super::{Life, REPEAT, STARTS_MAX, ServicePlan, ServiceTask, Stop, bounds, drain, event, loss, rollout, share};

pub(super) fn keep(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    rollout::take_stock(plan, tasks, now);
    rollout::judge(plan, now);
    loss::stop(plan, tasks, now);
    if plan.service.deployments.is_empty() {
        return;
    }
    // What is stopped for failing its health checks may trip the circuit breaker, and a rollback begins anew. That
    // ends: no deployment is rolled back to twice.
    let mut census = loop {
        let mut census = Census::take(plan, tasks, now);
        census.stop_excess(plan);
        census.stop_unhealthy(plan, now);
        if !rollout::judge(plan, now) {
            break census;
        }
    };
    census.stop_old(plan);
    census.start_missing(plan, now);
    census.tell_protected(plan, now);
    census.end_old_deployments(plan);
    census.note_steady(plan, now);
    census.note_wake(plan, tasks, now);
}

/// The tasks that are there, and the bounds.
struct Census<'a> {
    /// Of the PRIMARY deployment, unhealthy ones apart.
    good: Vec<&'a ServiceTask<'a>>,
    unhealthy: Vec<&'a ServiceTask<'a>>,
    /// To be replaced: those of older deployments, and those that have to leave their instance.
    old: Vec<&'a ServiceTask<'a>>,
    /// Tasks that would go if they were not protected, and the deployment of one of them.
    protected: Option<(usize, String)>,
    desired: usize,
    lower: usize,
    upper: usize,
    now: Timestamp,
}

impl<'a> Census<'a> {
    /// Of the tasks that the plan does not stop.
    fn take(plan: &ServicePlan, tasks: &'a [ServiceTask<'a>], now: Timestamp) -> Self {
        let service = &plan.service;
        let primary = service.deployments[0].id.as_str();
        let configuration = &service.configuration;
        let (lower, upper) =
            bounds(service.desired_count, configuration.minimum_healthy_percent, configuration.maximum_percent);
        let stopped: BTreeSet<TaskId> = plan.stop.iter().map(|stop| stop.task).collect();
        let alive = tasks.iter().filter(|task| task.is_alive() && !stopped.contains(&task.id));
        let stays = |task: &&ServiceTask<'_>| task.deployment == primary && !drain::must_leave(task, now);
        let (mine, old): (Vec<_>, Vec<_>) = alive.partition(stays);
        let (unhealthy, good) = mine.into_iter().partition(|task| task.is_unhealthy(service, now));
        let desired = service.desired_count as usize;
        Self { good, unhealthy, old, protected: None, desired, lower, upper, now }
    }

    fn alive(&self) -> usize {
        self.good.len() + self.unhealthy.len() + self.old.len()
    }

    fn healthy(&self) -> usize {
        self.good.iter().filter(|task| task.is_healthy(self.now)).count()
    }

    fn has_unproven(&self) -> bool {
        self.healthy() < self.good.len() || self.old.iter().any(|task| self.is_proving(task))
    }

    /// It has to leave its instance, and runs not yet for long enough to tell whether it works.
    fn is_proving(&self, task: &ServiceTask<'_>) -> bool {
        drain::must_leave(task, self.now) && task.life == Life::Running && !task.is_healthy(self.now)
    }

    /// How many more tasks there may be.
    fn room(&self) -> usize {
        self.upper.saturating_sub(self.alive())
    }

    fn missing(&self) -> usize {
        self.desired.saturating_sub(self.good.len())
    }

    /// More of the PRIMARY deployment than desired: the service was scaled in.
    fn stop_excess(&mut self, plan: &mut ServicePlan) {
        let excess = self.good.len().saturating_sub(self.desired);
        let service = &plan.service;
        let capacity = service.capacity_of(&service.deployments[0]).strategy;
        let good = std::mem::take(&mut self.good);
        let (victims, left) = share::choose_victims(good, &capacity, &service.placement_strategies, excess, self.now);
        self.good = left;
        if victims.len() < excess {
            let protected = self.good.iter().filter(|task| task.is_protected(self.now)).count();
            self.protected = Some((protected, plan.service.deployments[0].id.clone()));
        }
        plan.stop_tasks(&victims);
    }

    /// Once they are replaced; or, when there is no room for a replacement, one after the other.
    fn stop_unhealthy(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        let replaces = plan.service.deployments[0].rollout != Rollout::Failed;
        let is_stuck = replaces && self.missing() > 0 && self.room() == 0 && !self.has_unproven();
        let count = match () {
            () if self.healthy() >= self.desired => self.unhealthy.len(),
            // One replacement's room.
            () if is_stuck => (self.alive() + 1).saturating_sub(self.upper),
            () => 0,
        };
        let left = self.unhealthy.split_off(count.min(self.unhealthy.len()));
        let victims = std::mem::replace(&mut self.unhealthy, left);
        for task in &victims {
            plan.say(event::failed_health_checks(&plan.service.name, task.id));
            let code = StopCode::ServiceSchedulerInitiated;
            plan.stop.push(Stop { task: task.id, code, reason: event::HEALTH_CHECKS_FAILED.to_owned() });
        }
        plan.say_stopped(&victims);
        rollout::note_unhealthy(&mut plan.service.deployments[0], victims.len(), now);
    }

    /// Those that serve nobody at once, the others as far as enough healthy ones stay. A FAILED deployment replaces
    /// nothing.
    fn stop_old(&mut self, plan: &mut ServicePlan) {
        if plan.service.deployments[0].rollout == Rollout::Failed {
            return;
        }
        let service = &plan.service;
        let serves = |task: &&ServiceTask<'_>| task.life == Life::Running && !task.is_unhealthy(service, self.now);
        let old = std::mem::take(&mut self.old);
        let (protected, old): (Vec<_>, Vec<_>) = old.into_iter().partition(|task| task.is_protected(self.now));
        let (serving, mut victims): (Vec<_>, Vec<_>) = old.into_iter().partition(serves);
        // Those do not count as healthy, so that they go when none of them is needed.
        let (mut proving, mut serving): (Vec<_>, Vec<_>) = serving.into_iter().partition(|task| self.is_proving(task));
        if self.healthy() >= self.lower {
            victims.append(&mut proving);
        }
        let held = protected.iter().copied().filter(serves).count();
        let spare = (self.healthy() + serving.len() + held).saturating_sub(self.lower);
        serving.sort_by_key(|task| (!task.site.is_draining, task.created_at, task.id));
        let left = serving.split_off(spare.min(serving.len()));
        if spare > serving.len() || held < protected.len() {
            self.note_protected(&protected);
        }
        victims.append(&mut serving);
        self.old = [protected, proving, left].concat();
        plan.stop_tasks(&victims);
    }

    fn note_protected(&mut self, tasks: &[&ServiceTask<'_>]) {
        let Some(first) = tasks.first() else { return };
        self.protected = Some((tasks.len(), first.deployment.clone().into_owned()));
    }

    /// Unless there is something else to wait for.
    fn tell_protected(&self, plan: &mut ServicePlan, now: Timestamp) {
        let Some((count, deployment)) = &self.protected else { return };
        if plan.start == 0 && !self.has_unproven() {
            let message = event::protected(&plan.service.name, deployment, *count);
            plan.meet(message, now);
        }
    }

    fn start_missing(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        let primary = &plan.service.deployments[0];
        let waits = primary.retry_at.is_some_and(|at| now < at);
        if primary.rollout == Rollout::Failed || waits || self.missing() == 0 {
            return;
        }
        plan.start = self.missing().min(self.room()).min(STARTS_MAX);
        let is_stuck = plan.start == 0 && !self.old.is_empty() && !self.has_unproven();
        if is_stuck && self.protected.is_none() {
            plan.meet(event::stuck(&plan.service.name), now);
        }
    }

    fn end_old_deployments(&self, plan: &mut ServicePlan) {
        let deployments = std::mem::take(&mut plan.service.deployments);
        for (index, deployment) in deployments.into_iter().enumerate() {
            if index == 0 || self.old.iter().any(|task| task.deployment == deployment.id) {
                plan.service.deployments.push(deployment);
            } else if plan.service.last_completed.as_ref().is_some_and(|good| good.id == deployment.id) {
                plan.service.last_completed = Some(deployment);
            }
        }
    }

    fn is_steady(&self, service: &Service) -> bool {
        service.deployments.len() == 1
            && service.deployments[0].rollout != Rollout::Failed
            && self.good.len() == self.desired
            && self.unhealthy.is_empty()
            && self.old.is_empty()
            && !self.has_unproven()
    }

    fn note_steady(&self, plan: &mut ServicePlan, now: Timestamp) {
        if !self.is_steady(&plan.service) {
            plan.service.steady_at = None;
            return;
        }
        plan.service.obstacle = None;
        rollout::complete(plan, now);
        if plan.service.steady_at.is_none_or(|at| now.since(at) >= REPEAT) {
            plan.service.steady_at = Some(now);
            plan.say(event::steady(&plan.service.name));
        }
    }

    fn note_wake(&self, plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
        let service = &plan.service;
        let leaving = self.old.iter().filter(|task| self.is_proving(task));
        let running = self.good.iter().chain(leaving).filter(|task| task.life == Life::Running);
        let proving = running.filter_map(|task| task.proven_at());
        let is_held = |task: &&&ServiceTask<'_>| self.protected.is_some() || task.site.is_draining;
        let protection = self.good.iter().chain(&self.old).filter(is_held).filter_map(|task| task.protected_until);
        let in_grace = self.good.iter().filter(|task| task.health == HealthStatus::Unhealthy);
        let grace = in_grace.filter_map(|task| task.grace_end(service));
        let retries = self.missing() > 0 && service.deployments[0].rollout != Rollout::Failed;
        let retry = service.deployments[0].retry_at.filter(|_| retries);
        let obstacle = service.obstacle.as_ref().map(|(_, at)| at.plus(REPEAT));
        let repeat = service.steady_at.map(|at| at.plus(REPEAT));
        let times = proving.chain(grace).chain(protection).chain(loss::next(tasks));
        plan.wake_at = times.chain(retry).chain(repeat).chain(obstacle).filter(|at| *at > now).min();
    }
}
