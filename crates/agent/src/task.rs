//! One task on this node: facts in, effects out. Pure: it waits for nothing and knows no clock.
//!
//! ```text
//! task       PENDING ──────────────→ RUNNING ──────────────→ STOPPED
//!               │  every container    │  desired STOPPED, or    ↑
//!               │  has started        │  an essential one ended │ everything released
//!               └──────── failure ────┴──→ (stopping) ──────────┘
//!
//! container  Waiting ──create──→ Created ──start──→ Running ──exit──→ Stopped ──delete──→ (deleted)
//!               │ image, group, network,                │ stop signal, then SIGKILL      ↑
//!               │ dependencies hold                     │ after the stop timeout         │
//!               └──── failure, or stopping: it ends without an exit code ────────────────┘
//! ```
//! The machine is level-triggered: each event first changes what is known, then everything that is now due and not
//! yet under way is asked for. So the same facts lead to the same effects in whatever order they arrive, and after a
//! restart what was under way is simply asked for again; the drivers take over what is there already.
//!
//! It does not decide the task's stop code and reason (the control plane does, from the report), and knows nothing of
//! paths, namespaces' insides or log lines.
//!
//! Invariants
//! - No container is made or started before its dependencies hold, nor once the task is stopping.
//! - A container is started at most once in the life of a task, over all restarts of the agent and the machine.
//! - STOPPED is reported only when containers, network, group and files are gone.
//! - Statuses never go back, exit codes and reasons never change.
//! - Whatever may have been made is deleted, also when making it failed or was never answered.

mod dependency;
mod event;
mod report;
mod start;
pub mod state;
mod stop;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::link::{TaskReport, TaskSpec};
use model::{DesiredStatus, NetworkMode, TaskId, Timestamp};

use crate::driver::{Attached, DriverError, FoundStatus, NetworkKind};
use dependency::Edge;
pub use event::{Effect, Event, Job};
use state::{ContainerState, Phase};
pub use state::{RuntimeId, State};

/// ecs-semantics §1.4.
const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long after a SIGKILL the runtime is asked what became of the container.
const EXIT_WAIT: Duration = Duration::from_secs(10);
/// Failed SIGKILLs, after which the container is deleted with force.
const KILL_ATTEMPTS_MAX: u32 = 5;
/// STOPPED waits this long for the last lines to be handed on; they are kept in any case.
const LOGS_GRACE: Duration = Duration::from_secs(5);
/// Letting go is tried again without end, since the node really holds the thing; the pause doubles up to the maximum.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

pub struct Task {
    spec: Arc<TaskSpec>,
    edges: Vec<Edge>,
    state: State,
    /// At most one of each.
    doing: Vec<Job>,
    retries: BTreeMap<Job, Retry>,
    group: Group,
    /// By the container that they are for, of the task's own with `None`.
    networks: Vec<(Option<usize>, Attached)>,
    networks_failed: BTreeSet<Option<usize>>,
    transients: Vec<Transient>,
    detached: bool,
    files_removed: bool,
    /// How things stand now was told.
    is_reported: bool,
    deadline: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    attempts: u32,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Unknown,
    Ready,
    Removed,
}

/// Of one container: what need not survive the agent.
#[derive(Clone, Copy, Debug, Default)]
struct Transient {
    image_asked_at: Option<Timestamp>,
    stop_sent: bool,
    killed_at: Option<Timestamp>,
}

impl Task {
    /// A task that nothing is known of yet. The first [`step`](Self::step) begins the work.
    pub fn new(spec: Arc<TaskSpec>, boot_id: &Arc<str>) -> Self {
        let containers = vec![ContainerState::default(); spec.containers.len()];
        Self::with_state(spec, State { boot_id: boot_id.clone(), containers, ..State::default() })
    }

    /// A task that is to be stopped and was never here: there is nothing to let go.
    pub fn never_here(spec: Arc<TaskSpec>, boot_id: &Arc<str>, now: Timestamp) -> (Self, Vec<Effect>) {
        let mut task = Self::new(spec, boot_id);
        task.state.stopping = true;
        task.state.released = true;
        for container in &mut task.state.containers {
            *container = ContainerState {
                phase: Phase::Stopped,
                stopped_at: Some(now),
                deleted: true,
                logs_finished: true,
                ..ContainerState::default()
            };
        }
        let mut effects = Vec::new();
        task.report_news(now, &mut effects);
        (task, effects)
    }

    /// Takes over what an earlier agent left: its checkpoint, and for each container what the runtime has of it.
    pub fn adopt(
        spec: Arc<TaskSpec>,
        state: State,
        found: &[Option<FoundStatus>],
        boot_id: &Arc<str>,
        now: Timestamp,
    ) -> (Self, Vec<Effect>) {
        let same_boot = state.boot_id == *boot_id;
        let mut task = Self::with_state(spec, state);
        let reported = task.compose_report();
        task.is_reported = true;
        task.state.boot_id = boot_id.clone();
        if !task.state.released {
            for container in 0..task.state.containers.len() {
                task.adopt_container(container, found.get(container).cloned().flatten(), same_boot, now);
            }
        }
        let effects = task.step_from(&reported, Event::Tick, now);
        (task, effects)
    }

    fn with_state(spec: Arc<TaskSpec>, mut state: State) -> Self {
        state.containers.resize(spec.containers.len(), ContainerState::default());
        let edges = dependency::edges_of(&spec);
        if edges.is_none() && !state.stopping {
            let error = format!("TaskDependencyError: Task dependencies cannot be resolved, taskArn: {}", spec.arn);
            state.stopping = true;
            state.failure.get_or_insert(error);
        }
        let transients = vec![Transient::default(); spec.containers.len()];
        Self {
            spec,
            edges: edges.unwrap_or_default(),
            state,
            doing: Vec::new(),
            retries: BTreeMap::new(),
            group: Group::Unknown,
            networks: Vec::new(),
            networks_failed: BTreeSet::new(),
            transients,
            detached: false,
            files_removed: false,
            is_reported: false,
            deadline: None,
        }
    }

    pub fn id(&self) -> TaskId {
        self.spec.id
    }

    pub fn spec(&self) -> &Arc<TaskSpec> {
        &self.spec
    }

    /// What must be on disk before the effects of the last step begin.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When to send [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Nothing of it is on the node, and nothing is under way that could change that.
    pub fn is_done(&self) -> bool {
        let idle = self.doing.iter().all(|job| matches!(job, Job::Check(_) | Job::Look(_)));
        self.state.released && idle && self.state.containers.iter().all(|container| container.logs_finished)
    }

    /// How things stand, with the sequence of the last news.
    pub fn report(&self) -> TaskReport {
        TaskReport { sequence: self.state.sequence, ..self.compose_report() }
    }

    /// Of all its containers.
    pub fn runtime_ids(&self) -> Vec<RuntimeId> {
        (0..self.spec.containers.len()).map(|container| self.state.runtime_id(self.spec.id, container)).collect()
    }

    /// The address and namespaces that the task's containers have, once attached.
    pub fn network_of(&self, container: usize) -> Option<&Attached> {
        self.attached(self.network_key(container)?)
    }

    fn attached(&self, key: Option<usize>) -> Option<&Attached> {
        self.networks.iter().find(|(known, _)| *known == key).map(|(_, attached)| attached)
    }

    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let before = self.compose_report();
        self.step_from(&before, event, now)
    }

    /// A step that reports what differs from `before`. Nothing is kept of what was reported: between two steps nothing
    /// changes.
    fn step_from(&mut self, before: &TaskReport, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.learn(event, now);
        self.judge(now);
        if !self.state.stopping {
            self.start(now, &mut effects);
        }
        // Starting may find that the task can never run, and then stopping begins at once.
        if self.state.stopping && !self.state.released {
            self.stop(now, &mut effects);
        }
        self.clean(now, &mut effects);
        if !self.is_reported || *before != self.compose_report() {
            self.report_news(now, &mut effects);
        }
        self.deadline = self.next_deadline(now);
        effects
    }

    /// Changes what is known; asks for nothing.
    fn learn(&mut self, event: Event, now: Timestamp) {
        if let Some(job) = event.job() {
            if !self.end_job(job) {
                return;
            }
            if job.is_retried() && event.failure().is_some() {
                let attempts = self.retries.get(&job).map_or(0, |retry| retry.attempts) + 1;
                self.retries.insert(job, Retry { attempts, at: now.plus(retry_pause(attempts)) });
            } else {
                self.retries.remove(&job);
            }
        }
        match event {
            Event::Tick => {}
            Event::Desired(DesiredStatus::Running) => {}
            Event::Desired(DesiredStatus::Stopped) => self.state.stopping = true,
            Event::Refused(error) => self.fail_task(&error),
            Event::Seen { container, found, asked_at } => {
                let state = &self.state.containers[container];
                let was_running = state.started_at.is_some_and(|at| at < asked_at);
                if state.phase == Phase::Running && was_running {
                    self.learn_look(container, found, now);
                }
            }
            Event::GroupCreated(Ok(())) => self.group = Group::Ready,
            Event::GroupCreated(Err(error)) => self.fail_task(&error),
            Event::NetworkAttached(key, Ok(attached)) => self.learn_network(key, attached),
            Event::NetworkAttached(key, Err(error)) => self.learn_network_failure(key, &error, now),
            Event::ImageEnsured(container, Ok(image)) => self.learn_image(container, image, now),
            Event::ImageEnsured(container, Err(error)) => self.fail_container(container, &error, now),
            Event::Created(container, Ok(())) => self.rise(container, Phase::Created),
            Event::Created(container, Err(error)) => self.fail_container(container, &error, now),
            Event::Started(container, Ok(_)) => self.learn_start(container, now),
            Event::Started(container, Err(error)) => self.fail_container(container, &error, now),
            Event::Exited { container, exit_code, at, out_of_memory } => {
                self.learn_exit(container, exit_code, at, out_of_memory);
            }
            Event::Checked(container, result) => {
                let success = result.is_ok_and(|result| result.exit_code == Some(0));
                self.learn_check(container, success, now);
            }
            Event::Looked(container, Ok(found)) => self.learn_look(container, found, now),
            Event::StopSent(container, Ok(())) => self.transients[container].stop_sent = true,
            Event::KillSent(container, Ok(())) => self.transients[container].killed_at = Some(now),
            Event::KillSent(container, Err(error)) => self.give_up_killing(container, &error, now),
            Event::Deleted(container, Ok(())) => self.state.containers[container].deleted = true,
            Event::LogsFinished(container) => self.state.containers[container].logs_finished = true,
            Event::Detached(Ok(())) => self.detached = true,
            Event::GroupRemoved(Ok(())) => self.group = Group::Removed,
            Event::FilesRemoved(Ok(())) => self.files_removed = true,
            Event::Looked(_, Err(_)) | Event::StopSent(_, Err(_)) | Event::Deleted(_, Err(_)) => {}
            Event::Detached(Err(_)) | Event::GroupRemoved(Err(_)) | Event::FilesRemoved(Err(_)) => {}
        }
    }

    fn adopt_container(&mut self, container: usize, found: Option<FoundStatus>, same_boot: bool, now: Timestamp) {
        let state = &mut self.state.containers[container];
        if state.phase == Phase::Stopped {
            return;
        }
        let was_made = state.start_asked || state.phase != Phase::Waiting;
        let was_begun = state.create_asked || found.is_some();
        state.create_asked = true;
        if !same_boot && (was_made || found.is_some()) {
            return self.vanish(container, now);
        }
        match found {
            Some(FoundStatus::Running { .. }) => self.learn_start(container, now),
            Some(FoundStatus::Stopped { exit_code, at, out_of_memory }) if state.start_asked => {
                self.learn_exit(container, exit_code, at, out_of_memory);
            }
            None | Some(FoundStatus::Lost) if state.start_asked => self.vanish(container, now),
            // The agent went away while it was made, and the runtime gave it up: its exit is no exit of the task's.
            None | Some(FoundStatus::Lost | FoundStatus::Created | FoundStatus::Stopped { .. }) => {
                state.phase = Phase::Waiting;
                state.attempt += u32::from(was_begun);
            }
        }
    }

    fn rise(&mut self, container: usize, phase: Phase) {
        let state = &mut self.state.containers[container];
        state.phase = state.phase.max(phase);
    }

    fn learn_start(&mut self, container: usize, now: Timestamp) {
        self.rise(container, Phase::Running);
        let bindings = self.bindings_of(container);
        let state = &mut self.state.containers[container];
        state.start_asked = true;
        state.started_at.get_or_insert(now);
        if state.bindings.is_empty() {
            state.bindings = bindings;
        }
        if let Some(check) = &self.spec.containers[container].definition.health_check
            && state.phase == Phase::Running
        {
            state.health.schedule(check, now);
        }
    }

    fn learn_exit(&mut self, container: usize, exit_code: i32, at: Timestamp, out_of_memory: bool) {
        let state = &mut self.state.containers[container];
        if state.phase == Phase::Stopped || !state.start_asked {
            return;
        }
        state.phase = Phase::Stopped;
        state.started_at.get_or_insert(at);
        state.stopped_at = Some(at);
        state.exit_code = Some(exit_code);
        state.health.unschedule();
        if out_of_memory {
            state.reason = Some("OutOfMemoryError: Container killed due to memory usage".to_owned());
        }
    }

    fn learn_check(&mut self, container: usize, success: bool, now: Timestamp) {
        let Some(check) = &self.spec.containers[container].definition.health_check else { return };
        let state = &mut self.state.containers[container];
        if state.phase != Phase::Running {
            return;
        }
        state.health.record(check, success, state.started_at.unwrap_or(now), now);
        state.health.schedule(check, now);
    }

    fn learn_look(&mut self, container: usize, found: Option<FoundStatus>, now: Timestamp) {
        match found {
            Some(FoundStatus::Running { .. } | FoundStatus::Created) => self.transients[container].killed_at = None,
            Some(FoundStatus::Stopped { exit_code, at, out_of_memory }) => {
                self.learn_exit(container, exit_code, at, out_of_memory);
            }
            None | Some(FoundStatus::Lost) => self.vanish(container, now),
        }
    }

    fn vanish(&mut self, container: usize, now: Timestamp) {
        let error = DriverError::new("ContainerVanishedError", "No container matching saved ID found");
        self.end(container, Some(&error), now);
        if self.state.started_at.is_none() && !self.state.stopping && self.is_essential(container) {
            self.state.failure.get_or_insert(report::reason(&error));
        }
    }

    /// The container could not be made to run. An essential one takes the task with it.
    fn fail_container(&mut self, container: usize, error: &DriverError, now: Timestamp) {
        if self.state.containers[container].phase >= Phase::Running {
            return;
        }
        if self.state.stopping {
            return self.end(container, None, now);
        }
        self.end(container, Some(error), now);
        if self.is_essential(container) {
            self.state.failure.get_or_insert(report::reason(error));
        }
    }

    /// Something that the whole task needs could not be had.
    fn fail_task(&mut self, error: &DriverError) {
        if self.state.stopping {
            return;
        }
        self.state.stopping = true;
        self.state.failure.get_or_insert(report::reason(error));
        for container in &mut self.state.containers {
            if container.phase < Phase::Running {
                container.reason.get_or_insert(report::reason(error));
            }
        }
    }

    /// It does not run (any more), and there is no exit code to be had.
    fn end(&mut self, container: usize, error: Option<&DriverError>, now: Timestamp) {
        let state = &mut self.state.containers[container];
        if state.phase == Phase::Stopped {
            return;
        }
        state.phase = Phase::Stopped;
        state.stopped_at = Some(now);
        state.health.unschedule();
        if let Some(error) = error {
            state.reason.get_or_insert(report::reason(error));
        }
    }

    /// Whether the task must stop by itself.
    fn judge(&mut self, now: Timestamp) {
        let ended = |state: &ContainerState| state.phase == Phase::Stopped;
        let essential_end = (0..self.state.containers.len())
            .filter(|container| self.is_essential(*container))
            .map(|container| &self.state.containers[container])
            .filter(|state| ended(state));
        let executed = essential_end.clone().filter(|state| state.has_started());
        let first_end = executed.filter_map(|state| state.stopped_at).min();
        let must_stop = essential_end.count() > 0 || self.state.containers.iter().all(ended);
        if self.state.execution_stopped_at.is_none() {
            self.state.execution_stopped_at = first_end.map(|at| at.min(now));
        }
        self.state.stopping |= must_stop;
        if self.state.started_at.is_none() {
            let starts: Option<Vec<_>> = self.state.containers.iter().map(|state| state.started_at).collect();
            self.state.started_at = starts.and_then(|starts| starts.into_iter().max());
        }
    }

    fn is_essential(&self, container: usize) -> bool {
        self.spec.containers[container].definition.essential
    }

    /// Which namespace the container is in; `None`: the host's.
    fn network_key(&self, container: usize) -> Option<Option<usize>> {
        match self.spec.network_mode {
            NetworkMode::Host => None,
            NetworkMode::Awsvpc => Some(None),
            NetworkMode::Bridge | NetworkMode::None => Some(Some(container)),
        }
    }

    fn network_kind(&self, key: Option<usize>) -> Option<NetworkKind> {
        match (self.spec.network_mode, key) {
            (NetworkMode::Awsvpc, None) => self.spec.interface.clone().map(NetworkKind::Awsvpc),
            (NetworkMode::Bridge, Some(container)) => {
                let ports = self.spec.containers[container].definition.port_mappings.clone();
                Some(NetworkKind::Bridge { ports })
            }
            (NetworkMode::None, Some(_)) => Some(NetworkKind::None),
            _ => None,
        }
    }

    /// Asks for the work unless it is under way or waits for its next attempt.
    fn begin(&mut self, effect: Effect, now: Timestamp, effects: &mut Vec<Effect>) {
        let job = effect.job().expect("only jobs are begun");
        let waits = self.retries.get(&job).is_some_and(|retry| retry.at > now);
        if waits || self.is_doing(job) {
            return;
        }
        self.doing.push(job);
        effects.push(effect);
    }

    /// Whether it was under way.
    fn end_job(&mut self, job: Job) -> bool {
        let Some(index) = self.doing.iter().position(|doing| *doing == job) else { return false };
        self.doing.swap_remove(index);
        if self.doing.is_empty() {
            // For most of its life a task does nothing.
            self.doing = Vec::new();
        }
        true
    }

    fn is_doing(&self, job: Job) -> bool {
        self.doing.contains(&job)
    }

    /// The earliest time at which something is due that nothing else would bring about.
    fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let retries = self.retries.values().map(|retry| retry.at);
        let due = retries.chain(self.start_deadlines(now)).chain(self.stop_deadlines());
        // What is due already was asked for just now, or waits for work that is under way.
        due.filter(|at| *at > now).min()
    }
}

fn retry_pause(attempts: u32) -> Duration {
    RETRY_PAUSE_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(RETRY_PAUSE_MAX)
}
