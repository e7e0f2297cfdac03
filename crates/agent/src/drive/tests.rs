//! The node's loop on a simulated machine, with the clock run by the tests: whole lives of tasks, and agents that are
//! killed at any call to a driver, before or after it was carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::link::{DesiredTask, ReportedStatus, TaskReport, TaskSpec};
use model::task::ContainerStatus;
use model::task_definition::Condition;
use model::{DesiredStatus, HealthStatus, NetworkMode, TaskId};
use proptest::prelude::*;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::{Drive, Drivers, Message};
use crate::checkpoint::Checkpoints;
use crate::clock::Clock;
use crate::driver::DriverError;
use crate::files::Files;
use crate::outbox::Outbox;
use crate::simulated::{Behaviour, Fuse, World};
use crate::task::RuntimeId;
use crate::task::tests::{Built as _, container, spec};

/// Longer than any life in these tests takes, on the tests' clock.
const LIMIT: Duration = Duration::from_secs(600);

fn world() -> World {
    let latency = Duration::from_millis(20);
    let seconds = Duration::from_secs;
    let default = Behaviour { latency, ..Behaviour::default() };
    let behaviours = [
        ("short", Behaviour { exit: Some((seconds(3), 0)), ..default.clone() }),
        ("fails", Behaviour { exit: Some((seconds(5), 3)), ..default.clone() }),
        ("greedy", Behaviour { exit: Some((seconds(4), 137)), out_of_memory: true, ..default.clone() }),
        ("deaf", Behaviour { stop: None, ..default.clone() }),
        ("slow", Behaviour { stop: Some((seconds(2), 0)), ..default.clone() }),
        (
            "absent",
            Behaviour { pull_error: Some(DriverError::new("CannotPullContainerError", "no")), ..default.clone() },
        ),
        (
            "broken",
            Behaviour { start_error: Some(DriverError::new("CannotStartContainerError", "no")), ..default.clone() },
        ),
        ("sick", Behaviour { checks: vec![1], ..default.clone() }),
    ];
    let behaviours = behaviours.into_iter().map(|(image, behaviour)| (image.to_owned(), behaviour));
    World::new(Clock::tokio(), default, behaviours.collect())
}

/// An agent without a session, and the control plane's memory of what it was told.
struct Agent {
    messages: mpsc::Sender<Message>,
    outbox: Arc<Outbox>,
    running: JoinHandle<()>,
    _stop: watch::Sender<bool>,
    reports: BTreeMap<TaskId, Vec<TaskReport>>,
    generation: u64,
}

impl Agent {
    async fn start(world: &World, directory: &Path, boot_id: &str) -> Self {
        let checkpoints = Checkpoints::open(directory).unwrap();
        let drivers = Drivers::new(world.clone(), world.clone(), checkpoints, Files::None, None, world.clock());
        let outbox = Arc::new(Outbox::default());
        let drive = Drive::adopt(drivers, boot_id, outbox.clone()).await.unwrap();
        let (messages, inbox) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(drive.run(inbox, stopped));
        let mut agent = Self { messages, outbox, running, _stop: stop, reports: BTreeMap::new(), generation: 0 };
        agent.connect().await;
        agent
    }

    async fn connect(&mut self) {
        let (done, is_done) = oneshot::channel();
        self.messages.send(Message::Connected { control_id: "control".into(), done }).await.unwrap();
        is_done.await.unwrap();
    }

    async fn desire(&mut self, tasks: Vec<DesiredTask>) -> bool {
        self.generation += 1;
        let (done, is_done) = oneshot::channel();
        let message = Message::Desired { generation: self.generation, tasks, firewall: None, done };
        self.messages.send(message).await.unwrap();
        is_done.await.unwrap()
    }

    async fn wait(&mut self, what: &str, done: impl Fn(&BTreeMap<TaskId, Vec<TaskReport>>) -> bool) {
        let wait = async {
            while !done(&self.reports) {
                for report in self.outbox.take(100).await {
                    self.reports.entry(report.task).or_default().push(report);
                }
            }
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!("not {what}: {:#?}", self.reports);
        }
    }

    async fn wait_for(&mut self, status: ReportedStatus, tasks: &[TaskSpec]) {
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let has_status = move |reports: &Vec<TaskReport>| reports.last().is_some_and(|report| report.status >= status);
        self.wait(&format!("{status:?}"), |reports| ids.iter().all(|id| reports.get(id).is_some_and(has_status))).await;
    }

    fn last(&self, task: TaskId) -> &TaskReport {
        self.reports[&task].last().unwrap()
    }

    async fn kill(self) -> BTreeMap<TaskId, Vec<TaskReport>> {
        self.running.abort();
        let _ = self.running.await;
        self.reports
    }
}

fn desired(status: DesiredStatus, tasks: &[TaskSpec]) -> Vec<DesiredTask> {
    let desired =
        |spec: &TaskSpec| DesiredTask { id: spec.id, desired_status: status, spec: Some(spec.clone().into()) };
    tasks.iter().map(desired).collect()
}

fn task(id: u128, containers: Vec<model::ContainerDefinition>) -> TaskSpec {
    TaskSpec { id: TaskId(id), ..spec(containers) }
}

fn image(name: &str, image: &str) -> model::ContainerDefinition {
    container(name).with(|c| c.image = image.into())
}

fn kept(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn assert_nothing_left(world: &World, directory: &Path) {
    // The set is taken over before the last checkpoint is gone.
    let gone = async {
        while !kept(directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, gone).await.is_ok(), "kept {:?}", kept(directory));
    let inventory = world.inventory();
    assert_eq!(inventory.containers, BTreeSet::new());
    assert_eq!(inventory.groups, BTreeSet::new());
    assert_eq!(inventory.networks, BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn a_task_lives_and_leaves_nothing() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any").checked(), image("b", "any").after("a", Condition::Healthy)])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    assert!(agent.desire(desired(DesiredStatus::Running, &tasks)).await);
    agent.wait_for(ReportedStatus::Running, &tasks).await;
    assert_eq!(agent.last(TaskId(1)).containers[0].health, HealthStatus::Healthy);
    agent.desire(desired(DesiredStatus::Stopped, &tasks)).await;
    agent.wait_for(ReportedStatus::Stopped, &tasks).await;
    assert_eq!(agent.last(TaskId(1)).containers.iter().map(|c| c.exit_code).collect::<Vec<_>>(), [Some(143); 2]);
    assert!(!kept(directory.path()).is_empty(), "it is kept until the control plane has it no more");
    agent.desire(Vec::new()).await;
    assert_nothing_left(&world, directory.path()).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_absent_is_stopped_and_forgotten() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")]), task(2, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    agent.desire(desired(DesiredStatus::Running, &tasks)).await;
    agent.wait_for(ReportedStatus::Running, &tasks).await;
    agent.desire(desired(DesiredStatus::Running, &tasks[..1])).await;
    agent.wait_for(ReportedStatus::Stopped, &tasks[1..]).await;
    assert_eq!(agent.last(TaskId(1)).status, ReportedStatus::Running);
    agent.desire(Vec::new()).await;
    assert_nothing_left(&world, directory.path()).await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_that_was_never_here_is_reported_at_once() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    agent.desire(desired(DesiredStatus::Stopped, &tasks)).await;
    agent.wait_for(ReportedStatus::Stopped, &tasks).await;
    assert_eq!(agent.reports[&TaskId(1)].len(), 1);
    assert_eq!(agent.last(TaskId(1)).containers[0].status, ContainerStatus::Stopped);
    assert_nothing_left(&world, directory.path()).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_generation_is_refused() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    agent.generation = 6;
    assert!(agent.desire(desired(DesiredStatus::Running, &tasks)).await);
    agent.generation = 5;
    assert!(!agent.desire(Vec::new()).await);
    agent.connect().await;
    agent.wait_for(ReportedStatus::Running, &tasks).await;
}

#[tokio::test(start_paused = true)]
async fn exits_that_were_not_told_are_found_after_a_gap() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    agent.desire(desired(DesiredStatus::Running, &tasks)).await;
    agent.wait_for(ReportedStatus::Running, &tasks).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.lose_events();
    world.exit("00000000000000000000000000000001-0", 9, false);
    agent.wait_for(ReportedStatus::Stopped, &tasks).await;
    assert_eq!(agent.last(TaskId(1)).containers[0].exit_code, Some(9));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_owns_is_removed_at_the_start() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    agent.desire(desired(DesiredStatus::Running, &tasks)).await;
    agent.wait_for(ReportedStatus::Running, &tasks).await;
    agent.kill().await;
    let other = tempfile::tempdir().unwrap();
    let _agent = Agent::start(&world, other.path(), "boot").await;
    assert_nothing_left(&world, other.path()).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_kept_does_not_run() {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let tasks = [task(1, vec![image("a", "any")])];
    let mut agent = Agent::start(&world, directory.path(), "boot").await;
    // A file where the task's directory is to be: as good as a full disk.
    std::fs::write(directory.path().join(TaskId(1).to_string()), "").unwrap();
    agent.desire(desired(DesiredStatus::Running, &tasks)).await;
    agent.wait_for(ReportedStatus::Stopped, &tasks).await;
    let failure = agent.last(TaskId(1)).failure.clone().unwrap();
    assert!(failure.starts_with("ResourceInitializationError: cannot keep the task"), "{failure}");
    assert_eq!(world.inventory().starts, BTreeMap::new());
}

fn tasks() -> impl Strategy<Value = Vec<TaskSpec>> {
    let images = ["any", "short", "fails", "greedy", "deaf", "slow", "absent", "broken", "sick"];
    let one = (0..images.len(), any::<bool>(), proptest::option::of(0usize..4));
    let containers = proptest::collection::vec(one, 1..=3).prop_map(move |ones| {
        let mut containers = Vec::new();
        for (n, (which, essential, condition)) in ones.into_iter().enumerate() {
            let mut definition = image(["a", "b", "c"][n], images[which]).checked().start_timeout(30).stop_timeout(5);
            definition.essential = essential || n == 0;
            if let Some(condition) = condition.filter(|_| n > 0) {
                let conditions = [Condition::Start, Condition::Complete, Condition::Success, Condition::Healthy];
                definition = definition.after(["a", "b"][n - 1], conditions[condition]);
            }
            containers.push(definition);
        }
        containers
    });
    let mode = prop_oneof![Just(NetworkMode::Awsvpc), Just(NetworkMode::Bridge), Just(NetworkMode::Host)];
    proptest::collection::vec((containers, mode), 1..=3).prop_map(|tasks| {
        let spec = |(n, (containers, network_mode))| TaskSpec { network_mode, ..task(1 + n as u128, containers) };
        tasks.into_iter().enumerate().map(spec).collect()
    })
}

#[derive(Clone, Copy, Debug)]
struct Kill {
    fuse: Fuse,
    reboots: bool,
}

fn kills() -> impl Strategy<Value = Vec<Kill>> {
    let kill = (0usize..25, any::<bool>(), prop::bool::weighted(0.15));
    let kill = kill.prop_map(|(calls, carries_out, reboots)| Kill { fuse: Fuse { calls, carries_out }, reboots });
    proptest::collection::vec(kill, 1..=3)
}

/// Runs the tasks for a while, then stops them; kills the agent at the given calls.
async fn live_and_die(tasks: Vec<TaskSpec>, kills: Vec<Kill>) {
    let (world, directory) = (world(), tempfile::tempdir().unwrap());
    let (mut boot, mut rebooted) = (1, false);
    let mut sequences: BTreeMap<TaskId, u64> = BTreeMap::new();
    let start = tokio::time::Instant::now();
    let wish = |start: tokio::time::Instant| {
        if start.elapsed() < Duration::from_secs(40) { DesiredStatus::Running } else { DesiredStatus::Stopped }
    };
    for kill in kills {
        let mut agent = Agent::start(&world, directory.path(), &boot.to_string()).await;
        world.set_fuse(Some(kill.fuse));
        agent.desire(desired(wish(start), &tasks)).await;
        // Without a call that hangs the agent is killed at rest.
        let _ = tokio::time::timeout(Duration::from_secs(25), world.stalled()).await;
        note_sequences(&agent.kill().await, &mut sequences);
        if kill.reboots {
            world.reboot();
            boot += 1;
            rebooted = true;
        }
        world.set_fuse(None);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let mut agent = Agent::start(&world, directory.path(), &boot.to_string()).await;
    agent.desire(desired(DesiredStatus::Stopped, &tasks)).await;
    agent.wait_for(ReportedStatus::Stopped, &tasks).await;
    let inventory = world.inventory();
    for task in &tasks {
        assert_true_to(&inventory.exits, agent.last(task.id), rebooted);
    }
    note_sequences(&agent.reports, &mut sequences);
    agent.desire(Vec::new()).await;
    assert_nothing_left(&world, directory.path()).await;
    assert_started_once(&inventory.starts);
}

fn note_sequences(reports: &BTreeMap<TaskId, Vec<TaskReport>>, sequences: &mut BTreeMap<TaskId, u64>) {
    for report in reports.values().flatten() {
        let last = sequences.entry(report.task).or_default();
        assert!(report.sequence >= *last, "a sequence went back");
        *last = report.sequence;
    }
}

/// Whatever ids the attempts at a container had.
fn assert_started_once(starts: &BTreeMap<String, u32>) {
    let mut containers = BTreeSet::new();
    for (id, count) in starts {
        let RuntimeId { task, container, .. } = id.parse().unwrap();
        assert!(*count == 1 && containers.insert((task, container)), "started twice: {starts:?}");
    }
}

/// Exit codes are those that the containers had; each of them is known, unless the machine forgot it.
fn assert_true_to(exits: &BTreeMap<String, i32>, report: &TaskReport, rebooted: bool) {
    for (n, container) in report.containers.iter().enumerate() {
        let is_of = |id: &RuntimeId| (id.task, id.container) == (report.task, n);
        let true_code = exits.iter().find(|(id, _)| id.parse().is_ok_and(|id| is_of(&id))).map(|(_, code)| *code);
        match container.exit_code {
            Some(code) => assert_eq!(Some(code), true_code, "{container:?}"),
            None => assert!(true_code.is_none() || rebooted, "lost the exit code of {container:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kill_between_any_two_calls_leaks_nothing_and_starts_nothing_twice(tasks in tasks(), kills in kills()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(live_and_die(tasks, kills));
    }
}
