//! What a REPLICA service does next: which tasks it stops, how many it starts, what it says (ecs-semantics §3.2).
//! Pure: the service's row and its tasks as they are now give the row as it becomes and what is to be done.
//!
//! ```text
//! take stock of ends ─▶ circuit breaker ─▶ stop what is too many, unhealthy or old ─▶ start what is missing ─▶ steady?
//! ```
//! Of `desired` tasks, `lower` must stay healthy, and no more than `upper` may be there; tasks that are stopping count
//! for neither. A plan says how many tasks to start, not where: whoever carries it out places them, and tells the
//! service with [`event`]'s words what came of it.
//!
//! It does not know nodes, load balancers or daemons, and never sees tasks that are not the service's.
//!
//! Invariants
//! - A plan never takes the number of healthy tasks below `lower` by stopping one, and never starts one above `upper`.
//! - Once a plan is carried out, the next one at the same time is empty.

pub mod event;
pub mod rollout;
mod victim;

use std::time::Duration;

use model::service::{Deployment, Rollout, Service, ServiceStatus};
use model::{DesiredStatus, HealthStatus, StopCode, Task, TaskId, TaskStatus, Timestamp};

/// How long a task without a health check must be RUNNING to count as healthy (ecs-semantics §3.2).
pub const PROVING: Duration = Duration::from_secs(40);
/// After how long what is still so is said again (ecs-semantics §3.2).
pub const REPEAT: Duration = Duration::from_secs(6 * 3600);
/// Tasks that one plan starts. The next plan goes on.
pub const STARTS_MAX: usize = 100;

/// A task, as far as its service cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTask {
    pub id: TaskId,
    /// The id of its deployment.
    pub deployment: String,
    pub life: Life,
    pub health: HealthStatus,
    /// An essential container has a health check.
    pub has_health_check: bool,
    pub started_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub zone: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Pending,
    Running,
    /// Asked to stop, and not yet STOPPED.
    Stopping,
    /// STOPPED, and not yet taken into account.
    Stopped {
        /// It never was RUNNING, and nobody had asked it to stop.
        failed_to_start: bool,
    },
}

impl ServiceTask {
    pub fn of(task: &Task) -> Self {
        let was_asked = matches!(task.stop_code, Some(StopCode::ServiceSchedulerInitiated | StopCode::UserInitiated));
        let life = match (task.last_status, task.desired_status) {
            (TaskStatus::Stopped | TaskStatus::Deleted, _) => {
                Life::Stopped { failed_to_start: task.started_at.is_none() && !was_asked }
            }
            (_, DesiredStatus::Stopped) => Life::Stopping,
            (TaskStatus::Running, DesiredStatus::Running) => Life::Running,
            (_, DesiredStatus::Running) => Life::Pending,
        };
        Self {
            id: task.id,
            deployment: task.started_by.clone().unwrap_or_default(),
            life,
            health: task.health,
            has_health_check: task.containers.iter().any(|c| c.essential && c.has_health_check),
            started_at: task.started_at,
            created_at: task.created_at,
            zone: task.availability_zone.clone(),
        }
    }

    fn is_alive(&self) -> bool {
        matches!(self.life, Life::Pending | Life::Running)
    }

    /// It failed its health check, and not only while it may.
    fn is_unhealthy(&self, service: &Service, now: Timestamp) -> bool {
        self.is_alive()
            && self.health == HealthStatus::Unhealthy
            && self.grace_end(service).is_none_or(|end| now >= end)
    }

    fn grace_end(&self, service: &Service) -> Option<Timestamp> {
        self.started_at.map(|at| at.plus(Duration::from_secs(service.health_check_grace_seconds.into())))
    }

    /// RUNNING, and shown to work.
    fn is_healthy(&self, now: Timestamp) -> bool {
        let proven = self.proven_at().is_some_and(|at| now >= at);
        self.life == Life::Running && if self.has_health_check { self.health == HealthStatus::Healthy } else { proven }
    }

    /// When a task without a health check counts as healthy.
    fn proven_at(&self) -> Option<Timestamp> {
        self.started_at.filter(|_| !self.has_health_check).map(|at| at.plus(PROVING))
    }
}

/// A service and all its tasks whose end it has not yet taken into account.
#[derive(Clone, Copy, Debug)]
pub struct ServiceInput<'a> {
    pub service: &'a Service,
    pub tasks: &'a [ServiceTask],
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    /// The row as it becomes.
    pub service: Service,
    /// Stopped tasks that are now taken into account.
    pub counted: Vec<TaskId>,
    pub stop: Vec<Stop>,
    /// How many tasks of the PRIMARY deployment to start.
    pub start: usize,
    /// In their order.
    pub events: Vec<String>,
    /// When to plan again though nothing has changed.
    pub wake_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub task: TaskId,
    /// The task's `stoppedReason`.
    pub reason: String,
}

/// `lower` and `upper` (ecs-semantics §3.2): how many tasks must stay healthy, and how many there may be.
pub fn bounds(desired: u32, minimum_healthy_percent: u32, maximum_percent: u32) -> (usize, usize) {
    let desired = u64::from(desired);
    let lower = (desired * u64::from(minimum_healthy_percent)).div_ceil(100);
    let upper = desired * u64::from(maximum_percent) / 100;
    (usize::try_from(lower).unwrap_or(usize::MAX), usize::try_from(upper).unwrap_or(usize::MAX))
}

/// See the module's documentation.
pub fn reconcile(input: &ServiceInput<'_>, now: Timestamp) -> ServicePlan {
    let mut plan = ServicePlan {
        service: input.service.clone(),
        counted: Vec::new(),
        stop: Vec::new(),
        start: 0,
        events: Vec::new(),
        wake_at: None,
    };
    for task in input.tasks.iter().filter(|task| matches!(task.life, Life::Stopped { .. })) {
        plan.counted.push(task.id);
    }
    match input.service.status {
        ServiceStatus::Active => keep(&mut plan, input.tasks, now),
        ServiceStatus::Draining => drain(&mut plan, input.tasks, now),
        ServiceStatus::Inactive => {}
    }
    plan
}

/// A deleted service stops all, and is INACTIVE then.
fn drain(plan: &mut ServicePlan, tasks: &[ServiceTask], now: Timestamp) {
    let alive: Vec<&ServiceTask> = tasks.iter().filter(|task| task.is_alive()).collect();
    plan.stop_tasks(&alive);
    let service = &mut plan.service;
    service.status = ServiceStatus::Inactive;
    service.inactive_at = Some(now);
    service.deployments.clear();
    service.last_completed = None;
    service.steady_at = None;
    service.obstacle = None;
}

fn keep(plan: &mut ServicePlan, tasks: &[ServiceTask], now: Timestamp) {
    rollout::take_stock(plan, tasks, now);
    rollout::judge(plan, now);
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
    census.end_old_deployments(plan);
    census.note_steady(plan, now);
    census.note_wake(plan, now);
}

/// The tasks that are there, and the bounds.
struct Census<'a> {
    /// Of the PRIMARY deployment, unhealthy ones apart.
    good: Vec<&'a ServiceTask>,
    unhealthy: Vec<&'a ServiceTask>,
    old: Vec<&'a ServiceTask>,
    desired: usize,
    lower: usize,
    upper: usize,
    now: Timestamp,
}

impl<'a> Census<'a> {
    /// Of the tasks that the plan does not stop.
    fn take(plan: &ServicePlan, tasks: &'a [ServiceTask], now: Timestamp) -> Self {
        let service = &plan.service;
        let primary = service.deployments[0].id.as_str();
        let configuration = &service.configuration;
        let (lower, upper) =
            bounds(service.desired_count, configuration.minimum_healthy_percent, configuration.maximum_percent);
        let stays = |task: &&ServiceTask| plan.stop.iter().all(|stop| stop.task != task.id);
        let alive = tasks.iter().filter(|task| task.is_alive()).filter(stays);
        let (mine, old): (Vec<_>, Vec<_>) = alive.partition(|task| task.deployment == primary);
        let (unhealthy, good) = mine.into_iter().partition(|task| task.is_unhealthy(service, now));
        Self { good, unhealthy, old, desired: service.desired_count as usize, lower, upper, now }
    }

    fn alive(&self) -> usize {
        self.good.len() + self.unhealthy.len() + self.old.len()
    }

    fn healthy(&self) -> usize {
        self.good.iter().filter(|task| task.is_healthy(self.now)).count()
    }

    fn has_unproven(&self) -> bool {
        self.healthy() < self.good.len()
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
        let (victims, left) = victim::choose(std::mem::take(&mut self.good), excess, self.now);
        self.good = left;
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
            plan.stop.push(Stop { task: task.id, reason: event::HEALTH_CHECKS_FAILED.to_owned() });
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
        let serves = |task: &&ServiceTask| task.life == Life::Running && !task.is_unhealthy(service, self.now);
        let (mut serving, mut victims): (Vec<_>, Vec<_>) = self.old.iter().copied().partition(serves);
        let spare = (self.healthy() + serving.len()).saturating_sub(self.lower);
        serving.sort_by_key(|task| (task.created_at, task.id));
        self.old = serving.split_off(spare.min(serving.len()));
        victims.append(&mut serving);
        plan.stop_tasks(&victims);
    }

    fn start_missing(&mut self, plan: &mut ServicePlan, now: Timestamp) {
        let primary = &plan.service.deployments[0];
        let waits = primary.retry_at.is_some_and(|at| now < at);
        if primary.rollout == Rollout::Failed || waits || self.missing() == 0 {
            return;
        }
        plan.start = self.missing().min(self.room()).min(STARTS_MAX);
        let is_stuck = plan.start == 0 && !self.old.is_empty() && !self.has_unproven();
        if is_stuck {
            let message = event::stuck(&plan.service.name);
            plan.meet(message, now);
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

    fn note_wake(&self, plan: &mut ServicePlan, now: Timestamp) {
        let service = &plan.service;
        let proving = self.good.iter().filter(|task| task.life == Life::Running).filter_map(|task| task.proven_at());
        let in_grace = self.good.iter().filter(|task| task.health == HealthStatus::Unhealthy);
        let grace = in_grace.filter_map(|task| task.grace_end(service));
        let retries = self.missing() > 0 && service.deployments[0].rollout != Rollout::Failed;
        let retry = service.deployments[0].retry_at.filter(|_| retries);
        let obstacle = service.obstacle.as_ref().map(|(_, at)| at.plus(REPEAT));
        let repeat = service.steady_at.map(|at| at.plus(REPEAT));
        plan.wake_at = proving.chain(grace).chain(retry).chain(repeat).chain(obstacle).filter(|at| *at > now).min();
    }
}

impl ServicePlan {
    fn say(&mut self, message: String) {
        self.events.push(message);
    }

    /// Says what keeps the service from going on, once, and again when that is long ago.
    pub fn meet(&mut self, message: String, now: Timestamp) {
        let obstacle = self.service.obstacle.as_ref();
        if obstacle.is_some_and(|(said, at)| *said == message && now.since(*at) < REPEAT) {
            return;
        }
        self.service.obstacle = Some((message.clone(), now));
        self.say(message);
    }

    /// Stops tasks as part of scaling and replacing.
    fn stop_tasks(&mut self, tasks: &[&ServiceTask]) {
        for task in tasks {
            self.stop.push(Stop { task: task.id, reason: event::scaling(&task.deployment) });
        }
        self.say_stopped(tasks);
    }

    fn say_stopped(&mut self, tasks: &[&ServiceTask]) {
        let (running, pending): (Vec<&ServiceTask>, Vec<&ServiceTask>) =
            tasks.iter().copied().partition(|task| task.life == Life::Running);
        if !running.is_empty() {
            let ids = running.iter().map(|task| task.id);
            self.say(event::stopped_running(&self.service.name, ids));
        }
        if !pending.is_empty() {
            self.say(event::stopped_pending(&self.service.name, pending.len()));
        }
    }
}

/// A new deployment of what is to run, at its beginning.
pub fn begin(
    id: String,
    (family, revision): (String, u32),
    network: Option<model::service::ServiceNetwork>,
    platform_version: Option<String>,
    now: Timestamp,
) -> Deployment {
    Deployment {
        rollout_reason: event::in_progress(&id),
        id,
        family,
        revision,
        network,
        platform_version,
        rollout: Rollout::InProgress,
        failed_tasks: 0,
        has_run: false,
        proven_at: None,
        failed_attempts: 0,
        retry_at: None,
        created_at: now,
        updated_at: now,
    }
}
