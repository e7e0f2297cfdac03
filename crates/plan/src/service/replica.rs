//! What keeps a REPLICA service at its desired count: a census of its tasks, then what is stopped and what is missing,
//! in an order that never leaves `lower` by our own doing and never exceeds `upper`.

use std::collections::{BTreeMap, BTreeSet};

use model::service::{Deployment, Rollout, Service};
use model::{StopCode, TaskId, Timestamp};

use super::event::Event;
use super::share::Choice;
use super::{
    Grade, Life, Places, REPEAT, STARTS_MAX, ServiceInput, ServicePlan, ServiceTask, Signals, Start, Stop, bounds,
    drain, event, loss, rebalance, record, rollout, share,
};

pub(super) fn keep(plan: &mut ServicePlan, input: &ServiceInput<'_>, now: Timestamp) {
    let (tasks, signals) = (input.tasks, &input.signals);
    rollout::take_stock(plan, tasks, now);
    rollout::judge(plan, signals, now);
    loss::stop(plan, tasks, now);
    if plan.service.deployments.is_empty() {
        return;
    }
    // What is stopped for failing its health checks may trip the circuit breaker, and a rollback begins anew. That
    // ends: no deployment is rolled back to twice.
    let mut census = loop {
        let mut census = Census::take(plan, tasks, Want::of_primary(&plan.service), now);
        rebalance::interrupt(plan, &census);
        census.stop_failing(plan, now);
        if !rollout::judge(plan, signals, now) {
            break census;
        }
    };
    census.replace(plan, now);
    tell_obstacle(plan, std::slice::from_ref(&census), now);
    // Rebalancing begins when the service is steady, and when it ends the service is steady again.
    census.note_steady(plan, signals, now);
    rebalance::go_on(plan, &mut census, input.zones, now);
    census.note_steady(plan, signals, now);
    census.note_wake(plan, tasks, now);
}

/// Says the first obstacle of them, unless there is something else to wait for.
pub(super) fn tell_obstacle(plan: &mut ServicePlan, census: &[Census<'_>], now: Timestamp) {
    if !plan.start.is_empty() || census.iter().any(Census::has_unproven) {
        return;
    }
    if let Some(event) = census.iter().find_map(|census| census.obstacle(&plan.service.name)) {
        plan.meet(event, now);
    }
}

/// What is wanted of one deployment.
pub(super) struct Want {
    /// Its id.
    pub deployment: String,
    pub desired: usize,
    /// The tasks of all others give way to its tasks.
    pub replaces: bool,
    /// It may start tasks.
    pub launches: bool,
}

impl Want {
    pub fn of_primary(service: &Service) -> Self {
        let primary = &service.deployments[0];
        let (deployment, launches) = (primary.id.clone(), primary.rollout != Rollout::Failed);
        Self { deployment, desired: service.desired_count as usize, replaces: true, launches }
    }

    fn row<'s>(&self, service: &'s mut Service) -> Option<&'s mut Deployment> {
        service.deployments.iter_mut().find(|row| row.id == self.deployment)
    }
}

/// The tasks that are there, and the bounds.
pub(super) struct Census<'a> {
    pub want: Want,
    /// Of the deployment, unhealthy ones apart.
    pub good: Vec<&'a ServiceTask<'a>>,
    pub unhealthy: Vec<&'a ServiceTask<'a>>,
    /// To be replaced: those of older deployments, and those that have to leave their instance.
    pub old: Vec<&'a ServiceTask<'a>>,
    /// Of those the ones that are to leave and do not run for long enough to tell whether they work.
    pub proving: BTreeSet<TaskId>,
    /// Tasks that would go if they were not protected, and the deployment of one of them.
    pub protected: Option<(usize, String)>,
    /// The bounds let nothing be stopped or started.
    pub is_stuck: bool,
    pub lower: usize,
    pub upper: usize,
    pub now: Timestamp,
}

impl<'a> Census<'a> {
    /// Of the tasks that the plan does not stop.
    pub fn take(plan: &ServicePlan, tasks: &'a [ServiceTask<'a>], want: Want, now: Timestamp) -> Self {
        let service = &plan.service;
        let configuration = &service.configuration;
        let desired = u32::try_from(want.desired).unwrap_or(u32::MAX);
        let (lower, upper) = bounds(desired, configuration.minimum_healthy_percent, configuration.maximum_percent);
        let stopped: BTreeSet<TaskId> = plan.stop.iter().map(|stop| stop.task).collect();
        let alive = tasks.iter().filter(|task| task.is_alive() && !stopped.contains(&task.id));
        let stays = |task: &&ServiceTask<'_>| task.deployment == want.deployment && !drain::must_leave(task, now);
        let (mine, mut old): (Vec<_>, Vec<_>) = alive.partition(stays);
        old.retain(|task| want.replaces || task.deployment == want.deployment);
        let (unhealthy, good) = mine.into_iter().partition(|task| task.is_unhealthy(service, now));
        let is_proving = |task: &&&ServiceTask<'_>| {
            let is_undecided = !task.is_healthy(now) && !task.is_unhealthy(service, now);
            drain::must_leave(task, now) && task.life == Life::Running && is_undecided
        };
        let proving = old.iter().filter(is_proving).map(|task| task.id).collect();
        Self { want, good, unhealthy, old, proving, protected: None, is_stuck: false, lower, upper, now }
    }

    /// All at once, where nothing is to be judged in between.
    pub fn keep(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        self.stop_failing(plan, now);
        self.replace(plan, now);
    }

    fn stop_failing(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        self.stop_excess(plan);
        self.stop_unhealthy(plan, now);
    }

    fn replace(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        self.stop_old(plan);
        self.start_missing(plan, now);
        self.end_old_deployments(plan);
    }

    /// It has all its tasks, and they are healthy.
    pub fn is_whole(&self) -> bool {
        self.good.len() == self.want.desired && self.unhealthy.is_empty() && !self.has_unproven()
    }

    fn alive(&self) -> usize {
        self.good.len() + self.unhealthy.len() + self.old.len()
    }

    fn healthy(&self) -> usize {
        self.count_of(&self.good, Grade::Healthy)
    }

    pub fn has_unproven(&self) -> bool {
        self.healthy() < self.good.len() || self.old.iter().any(|task| self.is_proving(task))
    }

    fn is_proving(&self, task: &ServiceTask<'_>) -> bool {
        self.proving.contains(&task.id)
    }

    /// How many more tasks there may be.
    pub fn room(&self) -> usize {
        self.upper.saturating_sub(self.alive())
    }

    fn missing(&self) -> usize {
        self.want.desired.saturating_sub(self.good.len())
    }

    /// More of the deployment than desired: the service was scaled in.
    fn stop_excess(&mut self, plan: &mut ServicePlan) {
        let wanted = self.want.desired + rebalance::surplus(&plan.service);
        let excess = self.good.len().saturating_sub(wanted);
        let count = excess.min(plan.stops_left());
        let good = std::mem::take(&mut self.good);
        let (victims, left) = self.choose_excess(&plan.service, good, count);
        self.good = left;
        if victims.len() < count {
            let protected = self.good.iter().filter(|task| task.is_protected(self.now)).count();
            self.protected = Some((protected, self.want.deployment.clone()));
        }
        plan.stop_tasks(&victims);
    }

    /// As usual, unless that took too many that work while others can go.
    fn choose_excess(&self, service: &Service, good: Vec<&'a ServiceTask<'a>>, count: usize) -> Choice<'a> {
        let spare = [Grade::Served, Grade::Healthy].map(|grade| self.spare_of(&good, grade));
        let (victims, left) = self.choose_victims(service, good, count);
        let taken = [Grade::Served, Grade::Healthy].map(|grade| self.count_of(&victims, grade));
        if taken[0] <= spare[0] && taken[1] <= spare[1] {
            return (victims, left);
        }
        self.choose_by_grade(service, victims.into_iter().chain(left), count, spare[0])
    }

    /// Those first that are not known to work, and of the others no more than can be spared.
    fn choose_by_grade(
        &self,
        service: &Service,
        tasks: impl Iterator<Item = &'a ServiceTask<'a>>,
        count: usize,
        mut spare: usize,
    ) -> Choice<'a> {
        let mut grades: BTreeMap<Grade, Vec<&ServiceTask<'_>>> = BTreeMap::new();
        tasks.for_each(|task| grades.entry(task.grade(self.now)).or_default().push(task));
        let (mut victims, mut left) = (Vec::new(), Vec::new());
        for (grade, tasks) in grades {
            let missing = count - victims.len();
            let most = if grade == Grade::Doubtful { missing } else { missing.min(spare) };
            let (gone, stay) = self.choose_victims(service, tasks, most);
            if grade != Grade::Doubtful {
                spare -= gone.len();
            }
            victims.extend(gone);
            left.extend(stay);
        }
        (victims, left)
    }

    /// Tasks of this grade or a better one.
    fn count_of(&self, tasks: &[&ServiceTask<'_>], least: Grade) -> usize {
        tasks.iter().filter(|task| task.grade(self.now) >= least).count()
    }

    fn spare_of(&self, tasks: &[&ServiceTask<'_>], least: Grade) -> usize {
        self.count_of(tasks, least).saturating_sub(self.lower)
    }

    /// Once they are replaced; or, when there is no room for a replacement, one after the other.
    fn stop_unhealthy(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        let is_stuck = self.want.launches && self.missing() > 0 && self.room() == 0 && !self.has_unproven();
        let count = match () {
            () if self.healthy() >= self.want.desired => self.unhealthy.len(),
            // One replacement's room.
            () if is_stuck => (self.alive() + 1).saturating_sub(self.upper),
            () => 0,
        };
        self.stop_as_unhealthy(plan, count, now);
    }

    /// So many of them.
    pub fn stop_as_unhealthy(&mut self, plan: &mut ServicePlan, count: usize, now: Timestamp) {
        let left = self.unhealthy.split_off(count.min(self.unhealthy.len()).min(plan.stops_left()));
        let victims = std::mem::replace(&mut self.unhealthy, left);
        for task in &victims {
            plan.say(task.complaint(&plan.service.name));
            plan.stop.push(Stop { task: task.id, code: StopCode::ServiceSchedulerInitiated, reason: task.failure() });
        }
        plan.say_stopped(&victims);
        if let Some(row) = self.want.row(&mut plan.service) {
            rollout::note_unhealthy(row, victims.len(), now);
        }
    }

    fn choose_victims(&self, service: &Service, tasks: Vec<&'a ServiceTask<'a>>, count: usize) -> Choice<'a> {
        let mine = service.deployments.iter().find(|row| row.id == self.want.deployment);
        let capacity = mine.map(|row| service.capacity_of(row).strategy).unwrap_or_default();
        share::choose_victims(tasks, &capacity, &service.placement_strategies, count, self.now)
    }

    /// What starts nothing replaces nothing; but tasks leave instances that are drained, and when a service was scaled in,
    /// old tasks go that are more than desired.
    fn stop_surplus(&mut self, plan: &mut ServicePlan) {
        let service = &plan.service;
        let serves = |task: &&ServiceTask<'_>| task.life == Life::Running && !task.is_unhealthy(service, self.now);
        let old = std::mem::take(&mut self.old);
        let (leaving, staying): (Vec<_>, Vec<_>) = old.into_iter().partition(|task| drain::must_leave(task, self.now));
        let (old, mine): (Vec<_>, Vec<_>) =
            staying.into_iter().partition(|task| task.deployment != self.want.deployment);
        let surplus = old.len().saturating_sub(self.want.desired);
        let (serving, idle): (Vec<_>, Vec<_>) = old.into_iter().partition(serves);
        let (leaving, mut victims): (Vec<_>, Vec<_>) = leaving.into_iter().partition(serves);
        let is_healthy = |task: &&ServiceTask<'_>| task.is_healthy(self.now);
        let healthy = self.healthy()
            + [&serving, &leaving].map(|tasks| self.count_of(tasks, Grade::Healthy)).iter().sum::<usize>();
        let spare = healthy.saturating_sub(self.lower);
        let (more, idle) = self.choose_victims(service, idle, surplus);
        let surplus = surplus - more.len();
        victims.extend(more);
        // Those that are not known to work yet go when none of them is needed.
        let (mut leaving, proving): (Vec<_>, Vec<_>) = leaving.into_iter().partition(is_healthy);
        let mut stuck = leaving.split_off(spare.min(leaving.len()));
        let (more, serving) = self.choose_victims(service, serving, surplus.min(spare - leaving.len()));
        victims.append(&mut leaving);
        victims.extend(more);
        let undecided = if healthy >= self.lower { &mut victims } else { &mut stuck };
        undecided.extend(proving);
        self.old = [mine, idle, serving, stuck].concat();
        self.stop_some(plan, victims);
    }

    /// As many of them as one plan may stop. The others are as they were, for the next plan.
    fn stop_some(&mut self, plan: &mut ServicePlan, mut victims: Vec<&'a ServiceTask<'a>>) {
        self.old.extend(victims.split_off(plan.stops_left().min(victims.len())));
        plan.stop_tasks(&victims);
    }

    /// Those that serve nobody at once, the others as far as enough healthy ones stay. What starts nothing replaces
    /// nothing.
    pub fn stop_old(&mut self, plan: &mut ServicePlan) {
        if !self.want.launches {
            return self.stop_surplus(plan);
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
        self.stop_some(plan, victims);
    }

    pub fn note_protected(&mut self, tasks: &[&ServiceTask<'_>]) {
        let Some(first) = tasks.first() else { return };
        self.protected = Some((tasks.len(), first.deployment.clone().into_owned()));
    }

    /// What it cannot get past.
    fn obstacle(&self, service: &str) -> Option<Event> {
        match &self.protected {
            Some((count, deployment)) => Some(event::protected(service, deployment, *count)),
            None => self.is_stuck.then(|| event::stuck(service)),
        }
    }

    fn start_missing(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        let retry_at = self.want.row(&mut plan.service).and_then(|row| row.retry_at);
        if !self.want.launches || retry_at.is_some_and(|at| now < at) || self.missing() == 0 {
            return;
        }
        let count = self.missing().min(self.room()).min(STARTS_MAX);
        if count > 0 {
            plan.start.push(Start { deployment: self.want.deployment.clone(), count, places: Places::Any });
        }
        self.is_stuck = count == 0 && !self.old.is_empty();
    }

    pub fn end_old_deployments(&self, plan: &mut ServicePlan) {
        if !self.want.replaces {
            return;
        }
        let deployments = std::mem::take(&mut plan.service.deployments);
        for (index, deployment) in deployments.into_iter().enumerate() {
            let stays = index == 0 || deployment.id == self.want.deployment;
            if stays || self.old.iter().any(|task| task.deployment == deployment.id) {
                plan.service.deployments.push(deployment);
            } else if plan.service.last_completed.as_ref().is_some_and(|good| good.id == deployment.id) {
                plan.service.last_completed = Some(deployment);
            }
        }
    }

    fn is_steady(&self, service: &Service) -> bool {
        service.deployments.len() == 1
            && service.deployments[0].rollout != Rollout::Failed
            && self.old.is_empty()
            && self.is_whole()
    }

    pub fn note_steady(&self, plan: &mut ServicePlan, signals: &Signals<'_>, now: Timestamp) {
        // It is as steady as before while tasks are evened out over the zones.
        if plan.service.rebalancing.is_some() {
            return;
        }
        if !self.is_steady(&plan.service) {
            plan.service.steady_at = None;
            record::stop_baking(plan);
            return;
        }
        let bakes_until = record::bakes_until(plan, signals, now);
        if bakes_until.is_some() {
            return plan.wake(bakes_until, now);
        }
        plan.service.obstacle = None;
        rollout::complete(plan, now);
        if plan.service.steady_at.is_none_or(|at| now.since(at) >= REPEAT) {
            plan.service.steady_at = Some(now);
            plan.say(event::steady(&plan.service.name));
        }
    }

    pub fn note_wake(&self, plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
        let service = &plan.service;
        let leaving = self.old.iter().filter(|task| self.is_proving(task));
        let running = self.good.iter().chain(leaving).filter(|task| task.life == Life::Running);
        let proving = running.filter_map(|task| task.proven_at());
        let is_held = |task: &&&ServiceTask<'_>| self.protected.is_some() || task.site.is_draining;
        let protection = self.good.iter().chain(&self.old).filter(is_held).filter_map(|task| task.protected_until);
        let in_grace = self.good.iter().filter(|task| task.fails_checks());
        let grace = in_grace.filter_map(|task| task.grace_end(service));
        let mine = service.deployments.iter().find(|row| row.id == self.want.deployment);
        let retry = mine.and_then(|row| row.retry_at).filter(|_| self.missing() > 0 && self.want.launches);
        let obstacle = service.obstacle.as_ref().map(|(_, at)| at.plus(REPEAT));
        let repeat = service.steady_at.map(|at| at.plus(REPEAT));
        let times = proving.chain(grace).chain(protection).chain(loss::next(tasks));
        let times = times.chain(retry).chain(repeat).chain(obstacle);
        plan.wake(times.filter(|at| *at > now).min(), now);
    }
}
