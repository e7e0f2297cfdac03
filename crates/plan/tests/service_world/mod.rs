//! A service and its tasks, moved by hand: plans are carried out as the control plane does, and tasks do what a test
//! says.
#![allow(dead_code)]

use std::time::Duration;

use model::capacity_provider::{Capacity, StrategyItem};
use model::deployment_configuration::{BreakerThreshold, DeploymentStrategy};
use model::service::{
    CircuitBreaker, Deployment, DeploymentConfiguration, PropagateTags, Rollout, Scheduling, Service, ServiceStatus,
};
use model::service_deployment::{HookStatus, Progress};
use model::service_load_balancer::AdvancedConfiguration;
use model::task_set::{Controller, Stability, TaskSet, TaskSetStatus};
use model::task_target::TaskTargetStatus;
use model::{
    HealthStatus, InstanceStatus, LaunchType, NodeId, Scope, ServiceDeployment, ServiceLoadBalancer, TaskId,
    TaskTarget, Timestamp,
};
use plan::capacity::assign;
use plan::service::event::{self, Event};
use plan::service::shift::{Shift, choose_groups};
use plan::service::stage::HookResult;
use plan::service::{
    Host, Life, Places, ServiceInput, ServicePlan, ServiceTask, Signals, Site, begin, bounds, reconcile, record,
};

/// How long a node may be away.
pub const LOST_AFTER: Duration = Duration::from_secs(60);

/// A node of the three, each in a zone of its own, to which tasks go in turn.
#[derive(Clone, Copy, Default)]
pub struct Ground {
    pub is_draining: bool,
    pub away_since: Option<Timestamp>,
    /// It is no container instance of the cluster.
    pub is_absent: bool,
    /// It does not satisfy what a daemon asks for.
    pub is_unfit: bool,
    /// It has tasks of others.
    pub is_busy: bool,
}

/// Of the nodes.
pub const ZONES: [&str; 3] = ["a", "b", "c"];

pub struct World {
    pub nodes: [Ground; 3],
    pub service: Service,
    /// The record of the newest deployment.
    pub deployment: Option<ServiceDeployment>,
    pub in_alarm: Vec<String>,
    pub alarm_bake: Duration,
    pub hooks: Vec<HookResult>,
    pub tasks: Vec<ServiceTask<'static>>,
    pub now: Timestamp,
    /// Tasks get a health check.
    pub has_health_check: bool,
    /// Target groups that new deployments have.
    pub groups: usize,
    /// New deployments have a pair of target groups.
    pub is_paired: bool,
    providers: usize,
    /// What the rules of load balancers forward to, as was said last.
    pub rules: Vec<Shift>,
    next_task: u128,
}

pub fn configuration(minimum: u32, maximum: u32) -> DeploymentConfiguration {
    DeploymentConfiguration {
        minimum_healthy_percent: minimum,
        maximum_percent: maximum,
        circuit_breaker: None,
        strategy: DeploymentStrategy::Rolling,
        bake_minutes: 0,
        hooks: Vec::new(),
        alarms: None,
    }
}

pub fn breaker(rollback: bool) -> CircuitBreaker {
    CircuitBreaker { enable: true, rollback, reset_on_healthy_task: true, threshold: BreakerThreshold::default() }
}

/// Changes those of the task's targets.
fn turn(task: &mut ServiceTask<'_>, which: impl Fn(&TaskTarget) -> bool, status: TaskTargetStatus, reason: &str) {
    for target in task.targets.to_mut().iter_mut().filter(|target| which(target)) {
        target.status = status;
        reason.clone_into(&mut target.reason);
    }
}

impl World {
    pub fn new(desired: u32, configuration: DeploymentConfiguration) -> Self {
        let now = Timestamp(1_000_000);
        let service = Service {
            scope: Scope::new("000000000000", "us-east-1"),
            cluster: "default".to_owned(),
            name: "web".to_owned(),
            status: ServiceStatus::Active,
            launch_type: LaunchType::Fargate,
            scheduling: Scheduling::Replica,
            desired_count: desired,
            configuration,
            deployments: Vec::new(),
            last_completed: None,
            service_deployment: None,
            placement_constraints: Vec::new(),
            placement_strategies: Vec::new(),
            availability_zone_rebalancing: false,
            rebalancing: None,
            propagate_tags: PropagateTags::None,
            enable_ecs_managed_tags: false,
            health_check_grace_seconds: 0,
            role: None,
            tags: Vec::new(),
            created_by: String::new(),
            created_at: now,
            inactive_at: None,
            steady_at: None,
            obstacle: None,
            next_event: 1,
            controller: Default::default(),
            task_sets: Vec::new(),
        };
        let mut world = Self {
            nodes: Default::default(),
            service,
            deployment: None,
            in_alarm: Vec::new(),
            alarm_bake: Duration::ZERO,
            hooks: Vec::new(),
            tasks: Vec::new(),
            now,
            has_health_check: false,
            groups: 0,
            is_paired: false,
            providers: 0,
            rules: Vec::new(),
            next_task: 1,
        };
        world.deploy("a");
        world
    }

    /// A DAEMON service.
    pub fn daemon(minimum: u32) -> Self {
        let mut world = Self::new(0, configuration(minimum, 100));
        world.service.scheduling = Scheduling::Daemon;
        world.service.launch_type = LaunchType::Ec2;
        world
    }

    pub fn with_breaker(mut self, rollback: bool) -> Self {
        self.service.configuration.circuit_breaker = Some(breaker(rollback));
        self
    }

    pub fn deploy(&mut self, id: &str) {
        if let Some(row) = &mut self.deployment {
            record::supersede(row, self.now);
        }
        let new = begin(id.to_owned(), ("f".to_owned(), 1), None, None, self.now);
        let load_balancers = self.load_balancers();
        let capacity = Some(self.capacity());
        let new = Deployment { service_revision: Some(format!("revision-{id}")), load_balancers, capacity, ..new };
        self.service.deployments.insert(0, new);
        choose_groups(&mut self.service);
        self.service.steady_at = None;
        self.deployment = Some(record::begin(&self.service, format!("record-{id}"), self.now));
    }

    /// The tasks' room comes from so many capacity providers, to equal parts: p0, p1 and so on.
    pub fn share_out(&mut self, providers: usize) {
        self.providers = providers;
        let capacity = self.capacity();
        self.service.deployments.iter_mut().for_each(|row| row.capacity = Some(capacity.clone()));
    }

    fn capacity(&self) -> Capacity {
        let item = |number| StrategyItem { provider: format!("p{number}"), base: 0, weight: 1 };
        Capacity { launch_type: LaunchType::Fargate, strategy: (0..self.providers).map(item).collect() }
    }

    /// The provider of the deployment's next task.
    fn next_provider(&self, deployment: &str) -> Option<String> {
        let row = self.service.deployments.iter().find(|row| row.id == deployment)?;
        let strategy = &row.capacity.as_ref()?.strategy;
        let is_of = |task: &&ServiceTask<'_>, item: &StrategyItem| task.provider.as_deref() == Some(&*item.provider);
        let present: Vec<usize> =
            strategy.iter().map(|item| self.tasks.iter().filter(|task| is_of(task, item)).count()).collect();
        let next = assign(strategy, &present, 1).into_iter().position(|count| count == 1)?;
        Some(strategy[next].provider.clone())
    }

    /// A service whose controller is EXTERNAL, without a task set.
    pub fn external(desired: u32) -> Self {
        let mut world = Self::new(desired, configuration(100, 200));
        world.service.controller = Controller::External;
        world.service.deployments.clear();
        world.deployment = None;
        world
    }

    pub fn add_set(&mut self, id: &str, scale: f64) {
        self.service.deployments.push(begin(id.to_owned(), ("f".to_owned(), 1), None, None, self.now));
        self.service.task_sets.push(TaskSet {
            id: id.to_owned(),
            status: TaskSetStatus::Active,
            external_id: None,
            scale,
            tags: Vec::new(),
            stability: Stability::Stabilizing,
            stability_at: self.now,
            steady_at: None,
            updated_at: self.now,
        });
    }

    pub fn change_set(&mut self, id: &str, change: impl FnOnce(&mut TaskSet)) {
        change(self.service.task_sets.iter_mut().find(|set| set.id == id).expect("a set"));
    }

    /// The record of a deployment that is there.
    pub fn record(&mut self) -> &mut ServiceDeployment {
        self.deployment.as_mut().expect("a deployment")
    }

    pub fn progress(&self) -> Option<&Progress> {
        self.deployment.as_ref().and_then(|row| row.progress.as_ref())
    }

    /// The hook that waits, of the first that do.
    pub fn waiting_hook(&self) -> Option<String> {
        let is_waiting = |status| matches!(status, HookStatus::AwaitingAction | HookStatus::InProgress);
        self.progress()?.hooks.iter().find(|run| is_waiting(run.status)).map(|run| run.id.clone())
    }

    /// Where a task is, by the number of its node.
    fn site(&self, node: usize) -> Site {
        let Ground { is_draining, away_since, .. } = self.nodes[node];
        let lost_at = away_since.map(|at| at.plus(LOST_AFTER));
        Site { node: Some(NodeId(node as u128)), is_draining, lost_at, ..Site::default() }
    }

    /// The next node in turn that takes tasks; there must be one.
    fn next_node(&self) -> usize {
        let is_open = |node: &usize| self.is_open(*node);
        let turn = self.next_task as usize % 3;
        (0..3).map(|step| (turn + step) % 3).find(is_open).expect("a node takes tasks")
    }

    pub fn change_node(&mut self, node: usize, change: impl FnOnce(&mut Ground)) {
        change(&mut self.nodes[node]);
        for index in 0..self.tasks.len() {
            let NodeId(node) = self.tasks[index].site.node.expect("every task here has a node");
            self.tasks[index].site = self.site(node as usize);
        }
    }

    /// The node is no container instance any more, and all its tasks have stopped.
    pub fn quit(&mut self, node: usize) {
        self.change_node(node, |ground| ground.is_absent = true);
        for task in self.tasks.iter_mut().filter(|task| task.site.node == Some(NodeId(node as u128))) {
            task.life = Life::Stopped { failed_to_start: false };
        }
    }

    pub fn plan(&self) -> ServicePlan {
        let signals = Signals { in_alarm: &self.in_alarm, alarm_bake: self.alarm_bake, hooks: &self.hooks };
        let (service, deployment) = (&self.service, self.deployment.as_ref());
        let (hosts, zones) = (self.hosts(), self.zones());
        let input = ServiceInput { service, tasks: &self.tasks, deployment, signals, hosts: &hosts, zones: &zones };
        reconcile(&input, self.now)
    }

    fn is_open(&self, node: usize) -> bool {
        !self.nodes[node].is_draining && self.nodes[node].away_since.is_none()
    }

    /// Those of nodes that take tasks.
    fn zones(&self) -> Vec<String> {
        (0..3).filter(|node| self.is_open(*node)).map(|node| ZONES[node].to_owned()).collect()
    }

    fn hosts(&self) -> Vec<Host> {
        let present = self.nodes.iter().enumerate().filter(|(_, ground)| !ground.is_absent);
        let host = |(node, ground): (usize, &Ground)| Host {
            node: NodeId(node as u128),
            status: if ground.is_draining { InstanceStatus::Draining } else { InstanceStatus::Active },
            connected: ground.away_since.is_none(),
            suits: ground.away_since.is_none() && !ground.is_draining && !ground.is_unfit,
            is_in_use: ground.is_busy,
        };
        present.map(host).collect()
    }

    /// Whether the plan asks for nothing that is not so already.
    pub fn is_empty(&self, plan: &ServicePlan) -> bool {
        let has_rows = plan.service == self.service && plan.deployment == self.deployment;
        has_rows && plan.counted.is_empty() && plan.stop.is_empty() && plan.start.is_empty()
    }

    /// Carries the plan out; every task to start finds a place.
    pub fn apply(&mut self, plan: &ServicePlan) -> Vec<Event> {
        let mut plan = plan.clone();
        if !plan.start.is_empty() {
            plan.overcome();
        }
        let mut events = plan.events.clone();
        self.service = plan.service.clone();
        self.deployment = plan.deployment.clone();
        if !plan.shifts.is_empty() {
            self.rules = plan.shifts.clone();
        }
        self.tasks.retain(|task| !plan.counted.contains(&task.id));
        for task in &mut self.tasks {
            if plan.stop.iter().any(|stop| stop.task == task.id) {
                task.life = Life::Stopping;
                turn(task, TaskTarget::is_in, TaskTargetStatus::Draining, "");
            }
        }
        for start in &plan.start {
            let (mut started, mut rebalanced) = (Vec::new(), Vec::new());
            match &start.places {
                Places::Any => {
                    for _ in 0..start.count {
                        let node = self.next_node();
                        started.push(self.start(&start.deployment, node));
                    }
                }
                Places::Zones(zones) => {
                    let nodes: Vec<usize> = (0..3).filter(|node| zones.contains(ZONES[*node])).collect();
                    for _ in 0..start.count {
                        let fewest = nodes.iter().min_by_key(|node| self.living_on(**node)).expect("a zone");
                        rebalanced.push((*fewest, self.start(&start.deployment, *fewest)));
                    }
                }
                Places::Nodes(nodes) => {
                    started.extend(nodes.iter().map(|node| self.start(&start.deployment, node.0 as usize)));
                }
            }
            let has_started = !started.is_empty();
            for (node, task) in rebalanced {
                events.push(event::started_to_rebalance("web", ZONES[node], [task].into_iter()));
            }
            if has_started {
                events.push(event::started(&event::subject(&self.service, &start.deployment), started.into_iter()));
            }
        }
        events
    }

    pub fn living_on(&self, node: usize) -> usize {
        let is_alive = |task: &&ServiceTask<'_>| matches!(task.life, Life::Pending | Life::Running);
        let here = self.tasks.iter().filter(|task| task.site.node == Some(NodeId(node as u128)));
        here.filter(is_alive).count()
    }

    fn start(&mut self, deployment: &str, node: usize) -> TaskId {
        let id = TaskId(self.next_task);
        self.next_task += 1;
        let provider = self.next_provider(deployment).map(Into::into);
        self.tasks.push(ServiceTask {
            id,
            deployment: deployment.to_owned().into(),
            life: Life::Pending,
            health: HealthStatus::Unknown,
            has_health_check: self.has_health_check,
            targets: self.new_targets().into(),
            started_at: None,
            created_at: self.now,
            zone: Some(ZONES[node].into()),
            site: self.site(node),
            protected_until: None,
            provider,
        });
        id
    }

    fn load_balancers(&self) -> Vec<ServiceLoadBalancer> {
        let pair = ServiceLoadBalancer {
            target_group: "blue".to_owned(),
            container: "app".to_owned(),
            container_port: 80,
            advanced: Some(AdvancedConfiguration {
                alternate_target_group: "green".to_owned(),
                production_listener_rule: "production".to_owned(),
                test_listener_rule: Some("test".to_owned()),
                role_arn: None,
            }),
            is_alternate: false,
        };
        if self.is_paired { vec![pair] } else { Vec::new() }
    }

    /// The groups that the tasks of a deployment are in, and what the rules forward to.
    pub fn show_shifts(&self) -> Option<String> {
        let groups = |row: &Deployment| Some(format!("{} in {}", row.id, row.load_balancers.first()?.group()));
        let groups: Vec<String> = self.service.deployments.iter().filter_map(groups).collect();
        let rule = |Shift { rule, groups }: &Shift| {
            let groups: Vec<String> = groups.iter().map(|(group, weight)| format!("{group} {weight}")).collect();
            format!("{rule}: {}", groups.join(", "))
        };
        let rules: Vec<String> = self.rules.iter().map(rule).collect();
        (!groups.is_empty()).then(|| format!("{}; {}", groups.join(", "), rules.join("; ")))
    }

    fn new_targets(&self) -> Vec<TaskTarget> {
        (0..self.groups).map(|number| TaskTarget::waiting(&format!("group-{number}"), "app", 80)).collect()
    }

    /// What load balancers say of up to `count` running tasks, the oldest first.
    pub fn judge(&mut self, count: usize, status: TaskTargetStatus, reason: &str) {
        self.change(count, Life::Running, |task, _| turn(task, TaskTarget::is_in, status, reason));
    }

    /// The same of those that they had said nothing of.
    pub fn judge_new(&mut self, count: usize, status: TaskTargetStatus, reason: &str) {
        let is_new = |target: &TaskTarget| target.status == TaskTargetStatus::Initial;
        let tasks = self.tasks.iter_mut().filter(|task| task.life == Life::Running && task.targets.iter().any(is_new));
        tasks.take(count).for_each(|task| turn(task, is_new, status, reason));
    }

    /// Nothing of what was asked to stop has requests any more.
    pub fn drain_requests(&mut self) {
        self.change(usize::MAX, Life::Stopping, |task, _| turn(task, TaskTarget::holds, TaskTargetStatus::Gone, ""));
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    /// Changes up to `count` tasks of this life, the oldest first.
    pub fn change(&mut self, count: usize, life: Life, change: impl Fn(&mut ServiceTask<'_>, Timestamp)) {
        let now = self.now;
        self.tasks.iter_mut().filter(|task| task.life == life).take(count).for_each(|task| change(task, now));
    }

    pub fn run(&mut self, count: usize) {
        self.change(count, Life::Pending, |task, now| {
            task.life = Life::Running;
            task.started_at = Some(now);
            turn(task, |_| true, TaskTargetStatus::Initial, "");
        });
    }

    pub fn fail(&mut self, count: usize) {
        self.change(count, Life::Pending, |task, _| task.life = Life::Stopped { failed_to_start: true });
    }

    pub fn exit(&mut self, count: usize) {
        self.change(count, Life::Running, |task, _| task.life = Life::Stopped { failed_to_start: false });
    }

    /// No task of this deployment runs any more.
    pub fn break_one(&mut self, deployment: &str) {
        self.break_those(|task| task.deployment == deployment);
    }

    pub fn break_all_but(&mut self, deployment: &str) {
        self.break_those(|task| task.deployment != deployment);
    }

    fn break_those(&mut self, is_broken: impl Fn(&ServiceTask<'_>) -> bool) {
        for task in self.tasks.iter_mut().filter(|task| is_broken(task)) {
            match task.life {
                Life::Pending => task.life = Life::Stopped { failed_to_start: true },
                Life::Running => task.life = Life::Stopped { failed_to_start: false },
                Life::Stopping | Life::Stopped { .. } => {}
            }
        }
    }

    pub fn end(&mut self) {
        self.change(usize::MAX, Life::Stopping, |task, _| task.life = Life::Stopped { failed_to_start: false });
    }

    pub fn alive(&self) -> usize {
        self.tasks.iter().filter(|task| matches!(task.life, Life::Pending | Life::Running)).count()
    }

    pub fn is_lost(&self, task: &ServiceTask<'_>) -> bool {
        task.site.lost_at.is_some_and(|at| self.now >= at)
    }

    pub fn alive_of(&self, deployment: &str) -> usize {
        let mine = self.tasks.iter().filter(|task| task.deployment == deployment);
        mine.filter(|task| matches!(task.life, Life::Pending | Life::Running)).count()
    }

    pub fn count(&self, life: Life) -> usize {
        self.tasks.iter().filter(|task| task.life == life).count()
    }

    /// RUNNING on a node that is there, not failing, and, when of the PRIMARY deployment without a health check, for long enough.
    pub fn healthy(&self) -> usize {
        let primary = self.service.deployments.first().map_or("", |row| row.id.as_str());
        let works = |task: &&ServiceTask<'_>| match (task.deployment == primary, task.has_health_check) {
            (true, _) if !task.targets.is_empty() => task.targets.iter().all(TaskTarget::is_healthy),
            (true, true) => task.health == HealthStatus::Healthy,
            (true, false) => task.started_at.is_some_and(|at| self.now >= at.plus(plan::service::PROVING)),
            (false, _) => true,
        };
        let running = self.tasks.iter().filter(|task| task.life == Life::Running);
        let fails = |task: &ServiceTask<'_>| {
            task.health == HealthStatus::Unhealthy || task.targets.iter().any(TaskTarget::fails)
        };
        let running = running.filter(|task| !self.is_lost(task) && !fails(task));
        running.filter(works).count()
    }

    pub fn bounds(&self) -> (usize, usize) {
        let row = &self.service.configuration;
        bounds(self.service.desired_count, row.minimum_healthy_percent, row.maximum_percent)
    }

    /// Where a deployment with stages is, and who gets how much test and production traffic.
    pub fn show_stage(&self) -> Option<String> {
        let row = self.deployment.as_ref()?;
        let stage = row.progress.as_ref()?.stage.as_str();
        let shares = self.service.deployments.iter().map(|deployment| {
            let traffic = deployment.traffic.unwrap_or_default();
            format!("{} {}/{}", deployment.id, traffic.test.percent(), traffic.production.percent())
        });
        let shares: Vec<_> = shares.collect();
        Some(format!("{} {stage}: {}", row.status.as_str(), shares.join(", ")))
    }

    fn show_sets(&self) -> String {
        let shown = self.service.task_sets.iter().map(|set| {
            let mine = |life| self.tasks.iter().filter(|t| t.deployment == set.id && t.life == life).count();
            let (running, pending) = (mine(Life::Running), mine(Life::Pending));
            let (status, desired) = (set.status.as_str(), set.computed_desired(self.service.desired_count));
            format!("{} {status} {:?}: {running} running, {pending} pending of {desired}", set.id, set.stability)
        });
        let shown: Vec<_> = shown.collect();
        format!("{}; {}", self.service.status.as_str(), shown.join("; "))
    }

    pub fn show(&self) -> String {
        if self.service.controller == Controller::External {
            return self.show_sets();
        }
        let rollout = |row: &model::Deployment| match row.rollout {
            Rollout::InProgress => "in progress",
            Rollout::Completed => "completed",
            Rollout::Failed => "failed",
        };
        let shown = self.service.deployments.iter().map(|row| {
            let mine = |life| self.tasks.iter().filter(|t| t.deployment == row.id && t.life == life).count();
            let (running, pending) = (mine(Life::Running), mine(Life::Pending));
            format!("{} {}: {running} running, {pending} pending, {} failed", row.id, rollout(row), row.failed_tasks)
        });
        let shown: Vec<_> = shown.collect();
        format!("{}; {}", self.service.status.as_str(), shown.join("; "))
    }
}
