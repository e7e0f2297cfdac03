//! The doing: performs the node's actions through the drivers, and brings the results back as facts. Decides nothing.
//!
//! One loop owns the [`Node`]; jobs run beside it, bounded in number by kind, so that a flood of starts never keeps a
//! stop or a health check waiting. Dropping the loop drops its jobs: containers stay as they are, and the next agent
//! adopts them.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use model::firewall::Firewall;
use model::link::{DesiredTask, TaskSpec};
use model::{TaskId, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::checkpoint::{CheckpointError, Checkpoints};
use crate::clock::Clock;
use crate::driver::{Attached, DriverError, Found, Image, Network, Result, Runtime, RuntimeEvent};
use crate::files::Files;
use crate::metadata::View;
use crate::node::{Action, Garbage, Leftovers, Node};
use crate::outbox::Outbox;
use crate::task::{Effect, Event, Job, RuntimeId, Task};
use crate::views::Views;
use crate::{container, describe};

const IMAGE_JOBS_MAX: usize = 256;
const START_JOBS_MAX: usize = 64;
const STOP_JOBS_MAX: usize = 64;
const CHECK_JOBS_MAX: usize = 32;
/// Garbage that resists is tried again this often before the agent goes on without.
const COLLECT_ATTEMPTS_MAX: u32 = 5;
const COLLECT_PAUSE: Duration = Duration::from_secs(1);
/// After a gap, listing the containers is repeated until it succeeds.
const LIST_PAUSE: Duration = Duration::from_secs(1);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// What the session tells the node.
#[derive(Debug)]
pub enum Message {
    /// A session has begun: the outbox is to hold how every task stands.
    Connected { control_id: String, done: oneshot::Sender<()> },
    /// Answered once the set is taken over, with whether it was.
    Desired { generation: u64, tasks: Vec<DesiredTask>, firewall: Option<Box<Firewall>>, done: oneshot::Sender<bool> },
}

/// Everything that jobs need.
pub struct Drivers<R, N> {
    pub runtime: R,
    pub network: N,
    pub checkpoints: Checkpoints,
    pub files: Files,
    /// For the metadata endpoint, where there is one.
    pub views: Option<Arc<Views>>,
    pub clock: Clock,
    limits: Limits,
}

struct Limits {
    images: Semaphore,
    starts: Semaphore,
    stops: Semaphore,
    checks: Semaphore,
}

/// What a job brings back to the loop.
enum Outcome {
    Ended(TaskId, Event),
    Listed { asked_at: Timestamp, found: Vec<Found> },
}

pub struct Drive<R, N> {
    drivers: Arc<Drivers<R, N>>,
    node: Node,
    outbox: Arc<Outbox>,
    jobs: JoinSet<Outcome>,
    images: HashMap<(TaskId, usize), AbortHandle>,
    /// Tasks whose last state could not be written.
    unsaved: HashSet<TaskId>,
    /// Tasks that could not be taken on, until the actions at hand are done.
    refused: Vec<(TaskId, DriverError)>,
    events: mpsc::Receiver<RuntimeEvent>,
}

/// The node could not take over what an earlier agent left.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error("cannot read what the agent knew")]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot list the tasks' files")]
    Files(#[from] std::io::Error),
    #[error("cannot list what is on the node: {0}")]
    Driver(#[from] DriverError),
}

impl<R: Runtime, N: Network> Drivers<R, N> {
    pub fn new(
        runtime: R,
        network: N,
        checkpoints: Checkpoints,
        files: Files,
        views: Option<Arc<Views>>,
        clock: Clock,
    ) -> Self {
        let limits = Limits {
            images: Semaphore::new(IMAGE_JOBS_MAX),
            starts: Semaphore::new(START_JOBS_MAX),
            stops: Semaphore::new(STOP_JOBS_MAX),
            checks: Semaphore::new(CHECK_JOBS_MAX),
        };
        Self { runtime, network, checkpoints, files, views, clock, limits }
    }

    /// `ids` are those of the task's containers.
    async fn perform(&self, spec: &TaskSpec, ids: &[RuntimeId], effect: Effect) -> Event {
        let id = |container: usize| ids[container].to_string();
        match effect {
            Effect::CreateGroup(limits) => Event::GroupCreated(self.runtime.create_task_group(spec.id, limits).await),
            Effect::Attach(request) => Event::NetworkAttached(request.container, self.network.attach(&request).await),
            Effect::EnsureImage { container } => {
                let image = &spec.containers[container].definition.image;
                Event::ImageEnsured(container, self.runtime.ensure_image(image).await)
            }
            Effect::Create { container, image, network } => {
                Event::Created(container, self.create(spec, ids[container], image, network).await)
            }
            Effect::Start { container } => Event::Started(container, self.runtime.start(&id(container)).await),
            Effect::Check { container, command, limit } => {
                Event::Checked(container, self.runtime.exec(&id(container), &command, limit).await)
            }
            Effect::Look { container } => Event::Looked(container, self.look(&id(container)).await),
            Effect::Stop { container, image } => {
                let signal = match image {
                    Some(image) => self.runtime.stop_signal(&image).await.unwrap_or(SIGTERM),
                    None => SIGTERM,
                };
                Event::StopSent(container, self.runtime.kill(&id(container), signal, false).await)
            }
            Effect::Kill { container } => {
                Event::KillSent(container, self.runtime.kill(&id(container), SIGKILL, true).await)
            }
            Effect::Delete { container } => Event::Deleted(container, self.delete(ids[container]).await),
            Effect::FinishLogs { container } => {
                for earlier in ids[container].earlier() {
                    self.files.abandon_logs(&earlier.to_string());
                }
                self.files.finish_logs(&id(container)).await;
                Event::LogsFinished(container)
            }
            Effect::Detach => Event::Detached(self.network.detach(spec.id).await),
            Effect::RemoveGroup => Event::GroupRemoved(self.runtime.remove_task_group(spec.id).await),
            Effect::RemoveFiles => Event::FilesRemoved(self.files.remove(spec.id).await),
            Effect::AbandonImage { .. } | Effect::Report(_) => {
                unreachable!("not a job")
            }
        }
    }

    async fn create(&self, spec: &TaskSpec, id: RuntimeId, image: Image, network: Option<Attached>) -> Result<()> {
        for earlier in id.earlier() {
            // What resists now goes with the container.
            if let Err(error) = self.runtime.delete(&earlier.to_string()).await {
                tracing::warn!(id = %earlier, %error, "what was half made is left for later");
            }
        }
        let files =
            self.files.prepare(spec, id, network.as_ref(), self.network.dns_servers(spec.interface.as_ref())).await?;
        let request = container::request(spec, id, image, network.as_ref(), files);
        // Asking for the log stream and writing to the disk take about as long as making the container. What is made
        // is deleted should either fail.
        let (created, checked, synced) = tokio::join!(
            self.runtime.create(&request),
            self.files.check_logs(spec, id),
            self.sync(spec.id, Checkpoints::sync_spec),
        );
        created.and(checked).and(synced)
    }

    /// All attempts at it; the first one that stays is the answer.
    async fn delete(&self, id: RuntimeId) -> Result<()> {
        // With a disk that fails, letting go matters more: the exit code is in the report, too.
        if let Err(error) = self.sync(id.task, Checkpoints::sync_state).await {
            tracing::warn!(task = %id.task, %error, "deleting a container all the same");
        }
        let mut deleted = Ok(());
        for id in id.earlier().chain([id]) {
            deleted = deleted.and(self.runtime.delete(&id.to_string()).await);
        }
        deleted
    }

    async fn sync(
        &self,
        task: TaskId,
        sync: fn(&Checkpoints, TaskId) -> std::result::Result<(), CheckpointError>,
    ) -> Result<()> {
        let checkpoints = self.checkpoints.clone();
        if !checkpoints.blocks() {
            return sync(&checkpoints, task).map_err(|error| unkept(&error));
        }
        let synced = tokio::task::spawn_blocking(move || sync(&checkpoints, task)).await;
        let synced = synced.map_err(|error| DriverError::new("ServerError", error))?;
        synced.map_err(|error| unkept(&error))
    }

    async fn look(&self, id: &str) -> Result<Option<crate::driver::FoundStatus>> {
        let found = self.runtime.list().await?;
        Ok(found.into_iter().find(|found| found.id == id).map(|found| found.status))
    }

    async fn collect(&self, garbage: &Garbage) -> Result<()> {
        match garbage {
            Garbage::Container(id) => self.runtime.delete(id).await,
            Garbage::Network(task) => self.network.detach(*task).await,
            Garbage::Group(task) => self.runtime.remove_task_group(*task).await,
            Garbage::Files(task) => self.files.remove(*task).await,
            Garbage::Logs(container) => {
                self.files.abandon_logs(container);
                Ok(())
            }
        }
    }

    async fn collect_patiently(&self, garbage: Garbage) {
        for _ in 0..COLLECT_ATTEMPTS_MAX {
            match self.collect(&garbage).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(?garbage, %error, "cannot remove what no task owns"),
            }
            tokio::time::sleep(COLLECT_PAUSE).await;
        }
        tracing::error!(?garbage, "left behind, until the agent starts again");
    }

    async fn list_patiently(&self) -> Outcome {
        loop {
            let asked_at = self.clock.now();
            match self.runtime.list().await {
                Ok(found) => return Outcome::Listed { asked_at, found },
                Err(error) => tracing::warn!(%error, "cannot list the containers"),
            }
            tokio::time::sleep(LIST_PAUSE).await;
        }
    }

    /// `None`: the job only waits for others, perhaps for long, and must not keep any work waiting.
    fn limit_of(&self, effect: &Effect) -> Option<&Semaphore> {
        match effect {
            Effect::FinishLogs { .. } => None,
            Effect::EnsureImage { .. } => Some(&self.limits.images),
            Effect::CreateGroup(_) | Effect::Attach(_) | Effect::Create { .. } | Effect::Start { .. } => {
                Some(&self.limits.starts)
            }
            Effect::Check { .. } => Some(&self.limits.checks),
            _ => Some(&self.limits.stops),
        }
    }
}

impl<R: Runtime, N: Network> Drive<R, N> {
    /// Takes over what an earlier agent left, and removes what nobody owns. Returns once the node is clean, ready for
    /// its first desired set.
    pub async fn adopt(
        drivers: Drivers<R, N>,
        boot_id: &str,
        outbox: Arc<Outbox>,
    ) -> std::result::Result<Self, AdoptError> {
        // Before the listing, so that no exit falls between the two.
        let events = drivers.runtime.events();
        let checkpoints = drivers.checkpoints.read()?;
        let (containers, networks, groups) =
            tokio::try_join!(drivers.runtime.list(), drivers.network.list(), drivers.runtime.task_groups())?;
        let (files, logs) = (drivers.files.tasks()?, drivers.files.followed());
        let leftovers = Leftovers { containers, networks, groups, files, logs };
        let (node, garbage, actions) = Node::adopt(boot_id, checkpoints, &leftovers, drivers.clock.now());
        tracing::info!(tasks = node.tasks().count(), containers = leftovers.containers.len(), "took over the node");
        let mut drive = Self {
            drivers: Arc::new(drivers),
            node,
            outbox,
            jobs: JoinSet::new(),
            images: HashMap::new(),
            unsaved: HashSet::new(),
            refused: Vec::new(),
            events,
        };
        for garbage in garbage {
            drive.drivers.collect_patiently(garbage).await;
        }
        drive.perform(actions);
        drive.node.tasks().for_each(|task| drive.show(task));
        Ok(drive)
    }

    /// Runs until `stop` turns true or its sender is gone.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Message>, mut stop: watch::Receiver<bool>) {
        loop {
            let deadline = self.node.deadline();
            let clock = self.drivers.clock;
            let message = tokio::select! {
                // Facts of the node before wishes: what has ended makes room. Jobs are bounded, so messages have a turn.
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                Some(outcome) = self.jobs.join_next() => {
                    self.take_outcome(outcome);
                    None
                }
                event = self.events.recv() => {
                    self.take_event(event);
                    None
                }
                Some(message) = messages.recv() => Some(message),
                () = clock.sleep_until(deadline) => {
                    let actions = self.node.tick(clock.now());
                    self.perform(actions);
                    None
                }
            };
            if let Some(message) = message {
                self.take_message(message).await;
            }
        }
    }

    fn take_outcome(&mut self, outcome: std::result::Result<Outcome, tokio::task::JoinError>) {
        let now = self.drivers.clock.now();
        let actions = match outcome {
            Ok(Outcome::Ended(task, event)) => {
                if let Some(Job::EnsureImage(container)) = event.job() {
                    self.images.remove(&(task, container));
                }
                log_failure(task, &event);
                self.node.tell(task, event, now)
            }
            Ok(Outcome::Listed { asked_at, found }) => self.node.listed(&found, asked_at, now),
            // Only pulls that nobody waits for are aborted; panics are caught within the job.
            Err(_) => return,
        };
        self.perform(actions);
    }

    fn take_event(&mut self, event: Option<RuntimeEvent>) {
        match event {
            Some(RuntimeEvent::Exited(exit)) => {
                let actions = self.node.exited(exit, self.drivers.clock.now());
                self.perform(actions);
            }
            Some(RuntimeEvent::Gap) => self.list(),
            None => {
                tracing::warn!("the runtime's events have ended; subscribing again");
                self.events = self.drivers.runtime.events();
                self.list();
            }
        }
    }

    fn list(&mut self) {
        let drivers = self.drivers.clone();
        self.jobs.spawn(async move { drivers.list_patiently().await });
    }

    async fn take_message(&mut self, message: Message) {
        match message {
            Message::Connected { control_id, done } => {
                self.node.welcome(&control_id);
                self.outbox.replace_reports(self.node.reports());
                let _ = done.send(());
            }
            Message::Desired { generation, tasks, firewall, done } => {
                if let Some(firewall) = firewall
                    && let Err(error) = self.drivers.network.protect(&firewall).await
                {
                    tracing::error!(%error, "the firewall could not be changed; a desired set is refused");
                    let _ = done.send(false);
                    return;
                }
                let desired = self.node.desire(generation, tasks, self.drivers.clock.now());
                let _ = match desired {
                    Ok(actions) => {
                        self.perform(actions);
                        done.send(true)
                    }
                    Err(error) => {
                        tracing::warn!(%error, "refused a desired set");
                        done.send(false)
                    }
                };
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Take(id) => self.take_task(id),
                Action::Save(id) => self.save(id),
                Action::Begin(spec, effect) => self.begin(spec, effect),
                Action::Report(report) => self.outbox.put_report(report),
                Action::Forget(id) => self.forget(id),
            }
        }
        for (id, error) in std::mem::take(&mut self.refused) {
            let actions = self.node.refuse(id, error, self.drivers.clock.now());
            self.perform(actions);
        }
    }

    fn take_task(&mut self, id: TaskId) {
        let Some(task) = self.node.task(id) else { return };
        if let Err(error) = self.drivers.checkpoints.put_spec(task.spec()) {
            tracing::error!(task = %id, error = describe(&error), "cannot take the task on");
            self.refused.push((id, unkept(&error)));
        }
    }

    /// Renews what the task's containers can learn of it.
    fn show(&self, task: &Task) {
        let Some(views) = &self.drivers.views else { return };
        let spec = task.spec().clone();
        let address = |container: usize| task.network_of(container).and_then(|attached| attached.address);
        let addresses = (0..spec.containers.len()).map(address).collect();
        let directory = self.drivers.files.directory(spec.id);
        views.put(View { spec, state: task.state().clone(), addresses, directory });
    }

    fn save(&mut self, id: TaskId) {
        let Some(task) = self.node.task(id) else { return };
        self.show(task);
        match self.drivers.checkpoints.put_state(id, task.state()) {
            Ok(()) => {
                self.unsaved.remove(&id);
            }
            Err(error) => {
                tracing::error!(task = %id, error = describe(&error), "cannot keep the task's state");
                self.unsaved.insert(id);
            }
        }
    }

    fn forget(&mut self, id: TaskId) {
        self.unsaved.remove(&id);
        if let Some(views) = &self.drivers.views {
            views.remove(id);
        }
        if let Err(error) = self.drivers.checkpoints.remove(id) {
            tracing::error!(task = %id, error = describe(&error), "cannot forget the task");
        }
    }

    fn begin(&mut self, spec: Arc<TaskSpec>, effect: Effect) {
        let task = spec.id;
        match effect {
            Effect::AbandonImage { container } => {
                if let Some(pull) = self.images.remove(&(task, container)) {
                    pull.abort();
                }
            }
            // A start that could be forgotten could be repeated.
            Effect::Start { container } if self.unsaved.contains(&task) => {
                let error = DriverError::new("ResourceInitializationError", "the task's state cannot be kept");
                let failed = Event::Started(container, Err(error));
                self.jobs.spawn(async move { Outcome::Ended(task, failed) });
            }
            effect => self.spawn(spec, effect),
        }
    }

    fn spawn(&mut self, spec: Arc<TaskSpec>, effect: Effect) {
        let Some(job) = effect.job() else { return };
        let task = spec.id;
        let drivers = self.drivers.clone();
        let ids = self.node.task(task).map(Task::runtime_ids).unwrap_or_default();
        let job_task = self.jobs.spawn(async move {
            let work = async {
                let _permit = match drivers.limit_of(&effect) {
                    Some(limit) => Some(limit.acquire().await),
                    None => None,
                };
                drivers.perform(&spec, &ids, effect).await
            };
            let event = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
                job.failed(&DriverError::new("ServerError", "the agent failed at this; its log says how"))
            });
            Outcome::Ended(task, event)
        });
        if let Job::EnsureImage(container) = job {
            self.images.insert((task, container), job_task);
        }
    }
}

fn log_failure(task: TaskId, event: &Event) {
    if let Some(error) = event.failure() {
        tracing::warn!(%task, job = ?event.job(), %error, "failed");
    }
}

fn unkept(error: &CheckpointError) -> DriverError {
    DriverError::new("ResourceInitializationError", format!("cannot keep the task: {}", describe(error)))
}
