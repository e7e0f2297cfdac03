//! What a service does next: which tasks it stops, how many it starts, what it says (ecs-semantics §3.2, §3.4).
//! Pure: the service's row and its tasks as they are now give the row as it becomes and what is to be done.
//!
//! ```text
//! take stock of ends ─▶ circuit breaker ─▶ stop what is too many, unhealthy or old ─▶ start what is missing ─▶ steady?
//! ```
//! Of `desired` tasks, `lower` must stay healthy, and no more than `upper` may be there; tasks that are stopping count
//! for neither. A plan says how many tasks to start, not where: whoever carries it out places them, and tells the
//! service with [`event`]'s words what came of it.
//!
//! That is ROLLING. A BLUE_GREEN, LINEAR or CANARY deployment keeps two revisions beside each other (`staged`) as its
//! [`stage`] wants it, and says what share of the traffic each is to get. How a deployment went is in its [`record`].
//!
//! Of nodes it knows what its tasks' [`Site`]s say, of load balancers how its tasks are in their target groups; it never
//! sees tasks that are not the service's.
//!
//! Invariants
//! - A plan never takes the number of healthy tasks below `lower` by stopping one, and never starts one above `upper`
//!   (above `upper` for its revision, where two are kept beside each other).
//! - Once a plan is carried out, the next one at the same time is empty, unless it was as large as a plan may be
//!   ([`STARTS_MAX`], [`STOPS_MAX`]).

pub mod daemon;
mod drain;
pub mod event;
mod loss;
pub mod rebalance;
pub mod record;
mod replica;
pub mod rollout;
mod share;
pub mod shift;
mod site;
pub mod stage;
mod staged;
pub mod strategy;
mod target;
mod task_set;
mod victim;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use model::service::{Deployment, Rollout, Scheduling, Service, ServiceStatus};
use model::task_set::Controller;
use model::{
    DesiredStatus, HealthStatus, NodeId, ServiceDeployment, StopCode, Task, TaskId, TaskStatus, TaskTarget, Timestamp,
};

pub use daemon::Host;
use event::Event;
use shift::Shift;
pub use site::Site;
use stage::HookResult;
pub use victim::spread_attribute;

/// How long a task that nothing checks must be RUNNING to count as healthy (ecs-semantics §3.2).
pub const PROVING: Duration = Duration::from_secs(40);
/// After how long what is still so is said again (ecs-semantics §3.2).
pub const REPEAT: Duration = Duration::from_secs(6 * 3600);
/// Tasks that one event names.
const EVENT_TASKS_MAX: usize = 100;
/// Tasks that one plan starts, so that no writer waits long behind it. The next plan goes on.
pub const STARTS_MAX: usize = 1000;
/// Tasks that one plan stops, for the same reason.
pub const STOPS_MAX: usize = 1000;

/// A task, as far as its service cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTask<'a> {
    pub id: TaskId,
    /// The id of its deployment.
    pub deployment: Cow<'a, str>,
    pub life: Life,
    pub health: HealthStatus,
    /// An essential container has a health check.
    pub has_health_check: bool,
    /// How it is in the target groups of its service.
    pub targets: Cow<'a, [TaskTarget]>,
    pub started_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub zone: Option<Cow<'a, str>>,
    /// The capacity provider that it got its room from.
    pub provider: Option<Cow<'a, str>>,
    pub site: Site,
    /// Until then the service does not choose it to be stopped (ecs-semantics §3.11).
    pub protected_until: Option<Timestamp>,
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

impl<'a> ServiceTask<'a> {
    pub fn of(task: &'a Task, site: Site) -> Self {
        use StopCode::{ServiceSchedulerInitiated, TerminationNotice, UserInitiated};
        let was_asked = matches!(task.stop_code, Some(ServiceSchedulerInitiated | UserInitiated | TerminationNotice));
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
            deployment: task.started_by.as_deref().unwrap_or_default().into(),
            life,
            health: task.health,
            has_health_check: task.containers.iter().any(|c| c.essential && c.has_health_check),
            targets: Cow::Borrowed(&task.targets),
            started_at: task.started_at,
            created_at: task.created_at,
            zone: task.availability_zone.as_deref().map(Cow::Borrowed),
            provider: task.capacity_provider.as_deref().map(Cow::Borrowed),
            site,
            protected_until: task.protected_until,
        }
    }

    fn is_alive(&self) -> bool {
        matches!(self.life, Life::Pending | Life::Running)
    }

    /// It failed a health check, and not only while it may.
    fn is_unhealthy(&self, service: &Service, now: Timestamp) -> bool {
        self.is_alive() && self.fails_checks() && self.grace_end(service).is_none_or(|end| now >= end)
    }

    fn fails_checks(&self) -> bool {
        self.health == HealthStatus::Unhealthy || self.failing_target().is_some()
    }

    fn grace_end(&self, service: &Service) -> Option<Timestamp> {
        self.started_at.map(|at| at.plus(Duration::from_secs(service.health_check_grace_seconds.into())))
    }

    /// RUNNING, and shown to work.
    fn is_healthy(&self, now: Timestamp) -> bool {
        self.life == Life::Running
            && match self.is_checked() {
                true => self.passes_checks(),
                false => self.proven_at().is_some_and(|at| now >= at),
            }
    }

    /// By itself, or by load balancers.
    fn is_checked(&self) -> bool {
        self.has_health_check || !self.targets.is_empty()
    }

    fn passes_checks(&self) -> bool {
        let is_well = !self.has_health_check || self.health == HealthStatus::Healthy;
        is_well && self.passes_at_targets()
    }

    fn grade(&self, now: Timestamp) -> Grade {
        let is_served = !self.targets.is_empty() && self.passes_at_targets() && self.health != HealthStatus::Unhealthy;
        match self.life {
            Life::Running if self.is_healthy(now) => Grade::Healthy,
            Life::Running if is_served => Grade::Served,
            _ => Grade::Doubtful,
        }
    }

    fn passes_at_targets(&self) -> bool {
        self.targets.iter().all(TaskTarget::is_healthy)
    }

    /// When a task that nothing checks counts as healthy.
    fn proven_at(&self) -> Option<Timestamp> {
        self.started_at.filter(|_| !self.is_checked()).map(|at| at.plus(PROVING))
    }
}

/// How much is known of a task to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Doubtful,
    /// Load balancers send it requests, but its own health check has not told yet.
    Served,
    Healthy,
}

/// A service and all its tasks whose end it has not yet taken into account.
#[derive(Clone, Copy, Debug)]
pub struct ServiceInput<'a> {
    pub service: &'a Service,
    pub tasks: &'a [ServiceTask<'a>],
    /// The service's newest deployment. Services of older stores have none until their next one.
    pub deployment: Option<&'a ServiceDeployment>,
    pub signals: Signals<'a>,
    /// For a DAEMON service: the container instances of its cluster.
    pub hosts: &'a [Host],
    /// For one that is to be balanced over them: the availability zones where its tasks could be.
    pub zones: &'a [String],
}

/// What is known from outside the service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals<'a> {
    /// Names of the alarms that are in ALARM.
    pub in_alarm: &'a [String],
    /// How long a ROLLING deployment's alarms are watched once it has all that it is to have.
    pub alarm_bake: Duration,
    /// What hooks that were called have answered since.
    pub hooks: &'a [HookResult],
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    /// The row as it becomes.
    pub service: Service,
    /// The newest deployment's row as it becomes.
    pub deployment: Option<ServiceDeployment>,
    /// Stopped tasks that are now taken into account.
    pub counted: Vec<TaskId>,
    pub stop: Vec<Stop>,
    pub start: Vec<Start>,
    /// How listener rules are to be, of a deployment that shifts traffic.
    pub shifts: Vec<Shift>,
    /// In their order.
    pub events: Vec<Event>,
    /// When to plan again though nothing has changed.
    pub wake_at: Option<Timestamp>,
    /// One obstacle has been met already: two at once would take turns for ever.
    has_met: bool,
}

/// Tasks to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The id of the deployment that they are of.
    pub deployment: String,
    pub count: usize,
    pub places: Places,
}

/// Where tasks are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Places {
    /// As the service's placement strategies choose.
    Any,
    /// One on each of these nodes, of those that have room.
    Nodes(Vec<NodeId>),
    /// In these availability zones only.
    Zones(BTreeSet<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub task: TaskId,
    pub code: StopCode,
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
        deployment: input.deployment.cloned(),
        counted: Vec::new(),
        stop: Vec::new(),
        start: Vec::new(),
        shifts: Vec::new(),
        events: Vec::new(),
        wake_at: None,
        has_met: false,
    };
    for task in input.tasks.iter().filter(|task| matches!(task.life, Life::Stopped { .. })) {
        plan.counted.push(task.id);
    }
    match input.service.status {
        ServiceStatus::Active => keep(&mut plan, input, now),
        ServiceStatus::Draining => drain(&mut plan, input.tasks, now),
        ServiceStatus::Inactive => {}
    }
    plan
}

fn keep(plan: &mut ServicePlan, input: &ServiceInput<'_>, now: Timestamp) {
    if plan.service.controller == Controller::External {
        return task_set::keep(plan, input.tasks, now);
    }
    record::start(plan, &input.signals, now);
    match plan.service.scheduling {
        Scheduling::Daemon => daemon::keep(plan, input, now),
        Scheduling::Replica if staged::holds(plan) => {
            rebalance::end(plan);
            staged::keep(plan, input.tasks, &input.signals, now);
            plan.shifts = shift::of(&plan.service);
        }
        Scheduling::Replica => replica::keep(plan, input, now),
    }
    record::note_breaker(plan);
}

/// How many tasks each of the service's deployments is to have, in their order.
pub fn requested(service: &Service, deployment: Option<&ServiceDeployment>) -> Vec<u32> {
    if service.status != ServiceStatus::Active {
        return vec![0; service.deployments.len()];
    }
    match deployment {
        Some(row) if staged::is_staged(service, row) => staged::requested(service, row),
        _ => (0..service.deployments.len()).map(|index| if index == 0 { service.desired_count } else { 0 }).collect(),
    }
}

/// A deleted service stops all, in as many plans as that takes, and is INACTIVE once no load balancer has anything of it.
fn drain(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    let mut alive: Vec<&ServiceTask<'_>> = tasks.iter().filter(|task| task.is_alive()).collect();
    let is_last = alive.len() <= STOPS_MAX;
    alive.truncate(STOPS_MAX);
    plan.stop_tasks(&alive);
    if !is_last || tasks.iter().any(ServiceTask::holds_requests) {
        return;
    }
    record::note_deleted(plan, now);
    let service = &mut plan.service;
    service.status = ServiceStatus::Inactive;
    service.inactive_at = Some(now);
    service.deployments.clear();
    service.task_sets.clear();
    service.last_completed = None;
    service.steady_at = None;
    service.obstacle = None;
}

impl ServicePlan {
    /// How many tasks to start.
    pub fn starts(&self) -> usize {
        self.start.iter().map(|start| start.count).sum()
    }

    /// How many more tasks it may stop.
    fn stops_left(&self) -> usize {
        STOPS_MAX.saturating_sub(self.stop.len())
    }

    /// Plans again at this time, unless that is sooner already.
    fn wake(&mut self, at: Option<Timestamp>, now: Timestamp) {
        self.wake_at = self.wake_at.into_iter().chain(at.filter(|at| *at > now)).min();
    }

    fn say(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Says what keeps the service from going on, once, and again when that is long ago.
    pub fn meet(&mut self, event: Event, now: Timestamp) {
        if std::mem::replace(&mut self.has_met, true) {
            return;
        }
        let obstacle = self.service.obstacle.as_ref();
        if obstacle.is_some_and(|(said, at)| *said == event.message && now.since(*at) < REPEAT) {
            return;
        }
        self.service.obstacle = Some((event.message.clone(), now));
        self.say(event);
    }

    /// All tasks to start found room with these capacity providers: the first of their deployment, or after there was
    /// none.
    pub fn say_providers_steady(&mut self, providers: Vec<String>, are_first: bool) {
        let news = are_first || (self.service.obstacle.is_some() && !self.has_met);
        if news && !providers.is_empty() {
            self.say(event::providers_steady(providers));
        }
    }

    /// Tasks were started: what kept the service from it before does so no longer.
    pub fn overcome(&mut self) {
        if !self.has_met {
            self.service.obstacle = None;
        }
    }

    /// The tasks that were started for the [`subject`](event::subject).
    pub fn say_started(&mut self, subject: &str, tasks: &[TaskId]) {
        for tasks in tasks.chunks(EVENT_TASKS_MAX) {
            self.say(event::started(subject, tasks.iter().copied()));
        }
    }

    /// Stops tasks as part of scaling and replacing.
    fn stop_tasks(&mut self, tasks: &[&ServiceTask<'_>]) {
        for task in tasks {
            let code = StopCode::ServiceSchedulerInitiated;
            self.stop.push(Stop { task: task.id, code, reason: event::scaling(&task.deployment) });
        }
        self.say_stopped(tasks);
    }

    fn say_stopped(&mut self, tasks: &[&ServiceTask<'_>]) {
        let (running, pending): (Vec<&ServiceTask<'_>>, Vec<&ServiceTask<'_>>) =
            tasks.iter().copied().partition(|task| task.life == Life::Running);
        for running in running.chunks(EVENT_TASKS_MAX) {
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
        capacity: None,
        service_revision: None,
        traffic: None,
        load_balancers: Vec::new(),
        registries: Vec::new(),
        connect: None,
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
