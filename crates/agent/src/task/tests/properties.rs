//! What must hold whatever happens in whatever order, more than once or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::link::{ReportedStatus, TaskSpec};
use model::task_definition::Condition;
use model::{DesiredStatus, NetworkMode, Timestamp};
use proptest::prelude::*;

use super::{BOOT, Built as _, attached, container, image, spec, success};
use crate::driver::{DriverError, ExecResult, FoundStatus};
use crate::task::dependency::{self, Verdict};
use crate::task::state::Phase;
use crate::task::{Effect, Event, Job, Task};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Edges go from later to earlier containers only, as registration guarantees that there is no ring.
fn specs() -> impl Strategy<Value = TaskSpec> {
    let condition = prop_oneof![
        Just(None),
        Just(Some(Condition::Start)),
        Just(Some(Condition::Complete)),
        Just(Some(Condition::Success)),
        Just(Some(Condition::Healthy)),
    ];
    let edge = (condition, any::<bool>());
    let one =
        (any::<bool>(), any::<bool>(), any::<bool>(), proptest::option::of(2u32..20), proptest::option::of(2u32..9));
    let network_mode = prop_oneof![Just(NetworkMode::Awsvpc), Just(NetworkMode::Bridge), Just(NetworkMode::Host)];
    (proptest::collection::vec(one, 1..=3), proptest::collection::vec(edge, 3), network_mode).prop_map(
        |(ones, edges, network_mode)| {
            let mut containers = Vec::new();
            for (n, (essential, checked, logged, start_timeout, stop_timeout)) in ones.into_iter().enumerate() {
                let mut definition = container(NAMES[n]);
                definition.essential = essential || n == 0;
                definition.start_timeout = start_timeout;
                definition.stop_timeout = stop_timeout;
                definition = if checked { definition.checked() } else { definition };
                definition = if logged { definition.logged() } else { definition };
                for (on, (condition, volumes)) in edges.iter().enumerate().take(n) {
                    if let Some(condition) = condition {
                        definition = definition.after(NAMES[on], *condition);
                    }
                    if *volumes {
                        definition = definition.volumes_from(NAMES[on]);
                    }
                }
                containers.push(definition);
            }
            TaskSpec { network_mode, ..spec(containers) }
        },
    )
}

/// What happens next: an answer to work under way, or anything at all.
#[derive(Clone, Debug)]
enum Move {
    /// Answers the n-th job under way, well or not.
    Answer {
        which: usize,
        well: bool,
    },
    Say(Event),
    Wait(u64),
    /// The agent is killed; for each container, what the runtime then has of it, as far as it is possible.
    Restart {
        rebooted: bool,
        ended: bool,
    },
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => (0usize..8, prop::bool::weighted(0.9)).prop_map(|(which, well)| Move::Answer { which, well }),
        2 => events().prop_map(Move::Say),
        2 => (1u64..40).prop_map(Move::Wait),
        1 => (prop::bool::weighted(0.2), any::<bool>()).prop_map(|(rebooted, ended)| Move::Restart { rebooted, ended }),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let error = || DriverError::new("SomeError", "no luck");
    let result = move |well: bool| if well { Ok(()) } else { Err(error()) };
    (0usize..3, any::<bool>(), 0u8..18).prop_map(move |(container, well, kind)| match kind {
        0 => Event::Desired(DesiredStatus::Stopped),
        1 => Event::Desired(DesiredStatus::Running),
        2 => Event::GroupCreated(result(well)),
        3 => Event::NetworkAttached(None, Ok(attached())),
        4 => Event::NetworkAttached(Some(container), Ok(attached())),
        5 => Event::ImageEnsured(container, Ok(image(well))),
        6 => Event::Created(container, result(well)),
        7 => Event::Started(container, Ok(1)),
        8 | 9 => Event::Exited { container, exit_code: i32::from(!well), at: Timestamp(5), out_of_memory: !well },
        10 => Event::Checked(container, Ok(ExecResult { exit_code: Some(i32::from(!well)), output: String::new() })),
        11 => Event::Looked(container, Ok(None)),
        12 => Event::StopSent(container, result(well)),
        13 => Event::KillSent(container, result(well)),
        14 => Event::Deleted(container, result(well)),
        15 => Event::LogsFinished(container),
        16 => Event::Detached(result(well)),
        _ => Event::GroupRemoved(result(well)),
    })
}

/// The task, and what the node must hold because of what was asked.
struct Watch {
    task: Task,
    now: Timestamp,
    under_way: Vec<Job>,
    /// Asked for and not yet removed.
    held: BTreeSet<&'static str>,
    made: BTreeSet<usize>,
    started: BTreeSet<usize>,
    last: Option<(u64, ReportedStatus)>,
}

impl Watch {
    fn new(spec: TaskSpec) -> Self {
        let mut watch = Self {
            task: Task::new(Arc::new(spec), &BOOT.into()),
            now: Timestamp(1_000_000),
            under_way: Vec::new(),
            held: BTreeSet::new(),
            made: BTreeSet::new(),
            started: BTreeSet::new(),
            last: None,
        };
        watch.tell(Event::Tick);
        watch
    }

    fn tell(&mut self, event: Event) {
        let job = event.job().filter(|job| self.under_way.contains(job));
        self.under_way.retain(|other| Some(*other) != job);
        if job.is_some() {
            self.note_success(&event);
        }
        let before = self.task.state().clone();
        let effects = self.task.step(event, self.now);
        self.watch(&before, effects);
        let after = self.task.state();
        for (before, after) in before.containers.iter().zip(&after.containers) {
            assert!(before.phase <= after.phase, "a container went back from {:?} to {:?}", before.phase, after.phase);
            assert!(before.exit_code.is_none() || before.exit_code == after.exit_code);
            assert!(before.reason.is_none() || before.reason == after.reason);
        }
        assert!(self.task.deadline().is_none_or(|at| at > self.now), "a deadline that is past");
    }

    fn note_success(&mut self, event: &Event) {
        match event {
            Event::Deleted(container, Ok(())) => {
                self.made.remove(container);
            }
            Event::Detached(Ok(())) => {
                self.held.remove("network");
            }
            Event::GroupRemoved(Ok(())) => {
                self.held.remove("group");
            }
            _ => {}
        }
    }

    fn watch(&mut self, before: &crate::task::State, effects: Vec<Effect>) {
        for effect in effects {
            match &effect {
                Effect::CreateGroup(_) => drop(self.held.insert("group")),
                Effect::Attach(_) => drop(self.held.insert("network")),
                Effect::Create { container, .. } => {
                    self.assert_may_begin(*container);
                    self.made.insert(*container);
                }
                Effect::Start { container } => {
                    assert!(!self.task.state().stopping, "started while stopping");
                    assert!(self.started.insert(*container), "started twice");
                }
                Effect::Report(report) => {
                    let (sequence, status) = self.last.unwrap_or((0, ReportedStatus::Pending));
                    assert!(report.sequence > sequence && report.status >= status, "reports went back");
                    self.last = Some((report.sequence, report.status));
                    if report.status == ReportedStatus::Stopped {
                        assert!(!self.under_way.iter().any(makes), "STOPPED while making: {:?}", self.under_way);
                        assert!(
                            self.made.is_empty() && self.held.is_empty(),
                            "STOPPED holding {:?} {:?}",
                            self.made,
                            self.held
                        );
                    }
                }
                _ => {}
            }
            if let Some(job) = effect.job() {
                assert!(!self.under_way.contains(&job), "{job:?} twice at once");
                self.under_way.push(job);
            }
            if let Effect::AbandonImage { container } = effect {
                self.under_way.retain(|job| *job != Job::EnsureImage(container));
            }
        }
        assert!(!before.released || self.task.state().released);
    }

    fn assert_may_begin(&self, container: usize) {
        let state = self.task.state();
        assert!(!state.stopping, "made while stopping");
        let edges = dependency::edges_of(self.task.spec()).unwrap();
        for edge in edges.iter().filter(|edge| edge.container == container) {
            let verdict = dependency::judge(edge.need, &state.containers[edge.on], None, self.now);
            // The step that asked for this may have ended the other in its later part.
            assert!(verdict == Verdict::Holds, "{edge:?} does not hold");
        }
    }

    fn restart(&mut self, rebooted: bool, ended: bool) {
        let at = self.now;
        let found: Vec<Option<FoundStatus>> = (0..self.task.state().containers.len())
            .map(|container| match self.task.state().containers[container].phase {
                _ if rebooted => None,
                Phase::Stopped => None,
                Phase::Running if ended => Some(FoundStatus::Stopped { exit_code: 1, at, out_of_memory: false }),
                Phase::Running => Some(FoundStatus::Running { pid: 1 }),
                _ if self.started.contains(&container) => Some(FoundStatus::Running { pid: 1 }),
                _ => None,
            })
            .collect();
        let boot = if rebooted { "boot-2" } else { BOOT };
        let state = self.task.state().clone();
        let encoded = serde_json::to_vec(&state).unwrap();
        let state = serde_json::from_slice(&encoded).unwrap();
        self.under_way.clear();
        let before = self.task.state().clone();
        let (task, effects) = Task::adopt(self.task.spec().clone(), state, &found, &boot.into(), self.now);
        self.task = task;
        self.watch(&before, effects);
    }

    fn play(&mut self, step: Move) {
        self.now = self.now.plus(Duration::from_millis(1));
        match step {
            Move::Answer { which, well } => {
                let Some(job) = self.under_way.get(which % self.under_way.len().max(1)).copied() else { return };
                self.tell(if well { success(job) } else { job.failed(&DriverError::new("SomeError", "no luck")) });
            }
            Move::Say(event) => {
                let count = self.task.state().containers.len();
                let is_known = |container: usize| container < count;
                // Answers come only to what was asked; the rest may come at any time.
                let fits = match (&event, event.job()) {
                    (_, Some(job)) => !self.under_way.contains(&job),
                    (Event::Exited { container, .. }, _) => is_known(*container) && self.started.contains(container),
                    _ => true,
                };
                if fits {
                    self.tell(event);
                }
            }
            Move::Wait(seconds) => {
                self.now = self.now.plus(Duration::from_secs(seconds));
                self.tell(Event::Tick);
            }
            Move::Restart { rebooted, ended } => self.restart(rebooted, ended),
        }
    }

    /// From wherever it is, a task that is to stop gets to STOPPED and keeps nothing.
    fn finish(&mut self) {
        self.tell(Event::Desired(DesiredStatus::Stopped));
        for _ in 0..500 {
            if self.task.is_done() {
                assert_eq!(self.last.map(|(_, status)| status), Some(ReportedStatus::Stopped));
                return;
            }
            match self.under_way.first().copied() {
                Some(job) => {
                    let event = success(job);
                    self.tell(event);
                }
                None => {
                    let deadline = self.task.deadline().expect("a task that is not done waits for something");
                    self.now = deadline;
                    self.tell(Event::Tick);
                }
            }
        }
        panic!("not done: {:?}", self.task.state());
    }
}

/// Whether the job may leave something on the node.
fn makes(job: &Job) -> bool {
    matches!(job, Job::CreateGroup | Job::Attach(_) | Job::Create(_) | Job::Start(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(spec in specs(), moves in proptest::collection::vec(moves(), 0..80)) {
        let mut watch = Watch::new(spec);
        for step in moves {
            watch.play(step);
        }
        watch.finish();
    }
}
