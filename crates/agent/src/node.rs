//! All tasks of this node: takes the desired set, routes facts to the tasks, keeps their deadlines. Pure, as
//! [`task`](crate::task) is; [`drive`](crate::drive) performs the actions in the order given.
//!
//! ```text
//!   (unknown) ──in the set, RUNNING──→ known ──absent from the set──→ stopping ──done──→ (forgotten)
//!       └───────in the set, STOPPED──→ known, reported STOPPED at once
//! ```
//! Invariants
//! - A task's checkpoint is written before the effects that follow from it begin, and removed only when the task has
//!   nothing left on the node and the control plane has it no more in the set.
//! - A generation below the one that was taken over is refused, within one store of the control plane.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::link::{DesiredTask, TaskReport, TaskSpec};
use model::{DesiredStatus, TaskId, Timestamp};

use crate::checkpoint::Checkpoint;
use crate::definitions::Definitions;
use crate::driver::{DriverError, Exit, Found, FoundStatus};
use crate::task::{Effect, Event, RuntimeId, State, Task};

/// What [`drive`](crate::drive) is to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Keep the spec: the task is ours from here on.
    Take(TaskId),
    /// Keep the state.
    Save(TaskId),
    Begin(Arc<TaskSpec>, Effect),
    Report(TaskReport),
    /// Remove the checkpoint.
    Forget(TaskId),
}

/// What no checkpoint speaks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Garbage {
    Container(String),
    Network(TaskId),
    Group(TaskId),
    Files(TaskId),
    /// Output of the container of that id.
    Logs(String),
}

/// What the drivers found on the node at the start.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    pub containers: Vec<Found>,
    pub networks: Vec<TaskId>,
    pub groups: Vec<TaskId>,
    pub files: Vec<TaskId>,
    /// Containers whose output is followed.
    pub logs: Vec<String>,
}

/// Why a desired set is not taken over. Nothing of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DesireError {
    #[error("generation {given} is older than {known}")]
    Stale { given: u64, known: u64 },
    #[error("the task {0} is not known, and came without its spec")]
    Unknown(TaskId),
}

pub struct Node {
    boot_id: Arc<str>,
    definitions: Definitions,
    tasks: BTreeMap<TaskId, Entry>,
    deadlines: BTreeSet<(Timestamp, TaskId)>,
    control_id: Option<String>,
    generation: u64,
}

struct Entry {
    task: Task,
    deadline: Option<Timestamp>,
    is_wanted: bool,
}

impl Node {
    /// A node that takes over what an earlier agent left. The garbage must be gone before the first desired set.
    pub fn adopt(
        boot_id: &str,
        checkpoints: Vec<Checkpoint>,
        leftovers: &Leftovers,
        now: Timestamp,
    ) -> (Self, Vec<Garbage>, Vec<Action>) {
        let mut node = Self {
            boot_id: boot_id.into(),
            definitions: Definitions::default(),
            tasks: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            control_id: None,
            generation: 0,
        };
        let known: BTreeSet<TaskId> = checkpoints.iter().map(|checkpoint| checkpoint.spec.id).collect();
        let mut actions = Vec::new();
        for Checkpoint { mut spec, state: saved } in checkpoints {
            node.definitions.share(&mut spec);
            let state = with_last_attempts(&spec, saved.clone(), &leftovers.containers);
            let found = found_of(&spec, &state, &leftovers.containers);
            let (task, effects) = Task::adopt(Arc::new(spec), state, &found, &node.boot_id, now);
            let id = task.id();
            node.tasks.insert(id, Entry { task, deadline: None, is_wanted: true });
            node.settle(id, &saved, effects, &mut actions);
        }
        (node, garbage(&known, leftovers), actions)
    }

    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id).map(|entry| &entry.task)
    }

    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().map(|entry| &entry.task)
    }

    /// How every task stands, for a session that begins.
    pub fn reports(&self) -> Vec<TaskReport> {
        self.tasks().map(Task::report).collect()
    }

    /// A session began; with another store behind it, generations start anew.
    pub fn welcome(&mut self, control_id: &str) {
        if self.control_id.as_deref() != Some(control_id) {
            self.control_id = Some(control_id.to_owned());
            self.generation = 0;
        }
    }

    /// Takes over the full desired set. What is to stop comes before what is to start, to make room.
    pub fn desire(
        &mut self,
        generation: u64,
        desired: Vec<DesiredTask>,
        now: Timestamp,
    ) -> Result<Vec<Action>, DesireError> {
        if generation < self.generation {
            return Err(DesireError::Stale { given: generation, known: self.generation });
        }
        let is_unknown = |task: &&DesiredTask| task.spec.is_none() && !self.tasks.contains_key(&task.id);
        if let Some(task) = desired.iter().find(is_unknown) {
            return Err(DesireError::Unknown(task.id));
        }
        self.generation = generation;
        let mut actions = Vec::new();
        let mut named: Vec<TaskId> = desired.iter().map(|task| task.id).collect();
        named.sort_unstable();
        let absent: Vec<TaskId> = self.tasks.keys().copied().filter(|id| named.binary_search(id).is_err()).collect();
        for id in absent {
            self.drop_task(id, now, &mut actions);
        }
        let (stopped, running): (Vec<_>, Vec<_>) =
            desired.into_iter().partition(|task| task.desired_status == DesiredStatus::Stopped);
        for task in stopped.into_iter().chain(running) {
            self.desire_task(task, now, &mut actions);
        }
        Ok(actions)
    }

    fn drop_task(&mut self, id: TaskId, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        entry.is_wanted = false;
        self.step(id, Event::Desired(DesiredStatus::Stopped), now, actions);
    }

    fn desire_task(&mut self, desired: DesiredTask, now: Timestamp, actions: &mut Vec<Action>) {
        let id = desired.id;
        if let Some(entry) = self.tasks.get_mut(&id) {
            entry.is_wanted = true;
            if desired.desired_status == DesiredStatus::Running || entry.task.state().stopping {
                return;
            }
            return self.step(id, Event::Desired(DesiredStatus::Stopped), now, actions);
        }
        let Some(mut spec) = desired.spec else { return };
        // It was read as a list that might become longer, and is kept for as long as the task lives.
        spec.containers.shrink_to_fit();
        self.definitions.share(&mut spec);
        let spec = Arc::from(spec);
        let (task, effects) = match desired.desired_status {
            // Not kept: should the agent restart, the next desired set brings it here again.
            DesiredStatus::Stopped => Task::never_here(spec, &self.boot_id, now),
            DesiredStatus::Running => {
                actions.push(Action::Take(id));
                let mut task = Task::new(spec, &self.boot_id);
                let effects = task.step(Event::Tick, now);
                (task, effects)
            }
        };
        let saved = match desired.desired_status {
            DesiredStatus::Stopped => task.state().clone(),
            DesiredStatus::Running => State::default(),
        };
        self.tasks.insert(id, Entry { task, deadline: None, is_wanted: true });
        self.settle(id, &saved, effects, actions);
    }

    /// Passes a fact to its task. One that is not known any more has nothing to learn.
    pub fn tell(&mut self, id: TaskId, event: Event, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.step(id, event, now, &mut actions);
        actions
    }

    fn step(&mut self, id: TaskId, event: Event, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        // What is saved is the state as the last step left it.
        let saved = entry.task.state().clone();
        let effects = entry.task.step(event, now);
        self.settle(id, &saved, effects, actions);
    }

    /// The task's checkpoint could not be written: it must not run, since it could not be adopted.
    pub fn refuse(&mut self, id: TaskId, error: DriverError, now: Timestamp) -> Vec<Action> {
        self.tell(id, Event::Refused(error), now)
    }

    pub fn exited(&mut self, exit: Exit, now: Timestamp) -> Vec<Action> {
        let Some((task, container)) = self.known_container(&exit.id) else { return Vec::new() };
        let Exit { exit_code, at, out_of_memory, .. } = exit;
        self.tell(task, Event::Exited { container, exit_code, at, out_of_memory }, now)
    }

    /// Makes up for a gap in the runtime's events. `asked_at` is when the listing began.
    pub fn listed(&mut self, found: &[Found], asked_at: Timestamp, now: Timestamp) -> Vec<Action> {
        let of_task = |task: &Task| (task.id(), found_of(task.spec(), task.state(), found));
        let of_tasks: Vec<_> = self.tasks().map(of_task).collect();
        let mut actions = Vec::new();
        for (id, of_task) in of_tasks {
            for (container, found) in of_task.into_iter().enumerate() {
                actions.extend(self.tell(id, Event::Seen { container, found, asked_at }, now));
            }
        }
        actions
    }

    /// When to call [`tick`](Self::tick) at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        let due: Vec<TaskId> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        due.into_iter().flat_map(|id| self.tell(id, Event::Tick, now)).collect()
    }

    /// The container that has this id now: what becomes of an earlier attempt at it is nothing to its task.
    fn known_container(&self, runtime_id: &str) -> Option<(TaskId, usize)> {
        let id: RuntimeId = runtime_id.parse().ok()?;
        let task = self.task(id.task)?;
        task.runtime_ids().contains(&id).then_some((id.task, id.container))
    }

    /// Turns a task's effects into actions, with its checkpoint before them.
    fn settle(&mut self, id: TaskId, saved: &State, effects: Vec<Effect>, actions: &mut Vec<Action>) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        if let Some(at) = entry.deadline.take() {
            self.deadlines.remove(&(at, id));
        }
        if !entry.is_wanted && entry.task.is_done() {
            self.tasks.remove(&id);
            actions.push(Action::Forget(id));
            actions.extend(effects.into_iter().filter_map(report_of));
            return;
        }
        entry.deadline = entry.task.deadline();
        self.deadlines.extend(entry.deadline.map(|at| (at, id)));
        if saved != entry.task.state() {
            actions.push(Action::Save(id));
        }
        for effect in effects {
            actions.push(match effect {
                Effect::Report(report) => Action::Report(report),
                effect => Action::Begin(entry.task.spec().clone(), effect),
            });
        }
    }
}

fn report_of(effect: Effect) -> Option<Action> {
    match effect {
        Effect::Report(report) => Some(Action::Report(report)),
        _ => None,
    }
}

/// By the spec's containers: a machine that crashed may have kept a task's spec and nothing of its state.
/// A crash of the machine takes the count of the attempts with the state, and the last of them may have run.
fn with_last_attempts(spec: &TaskSpec, mut state: State, found: &[Found]) -> State {
    state.containers.resize_with(spec.containers.len(), Default::default);
    for found in found {
        let Ok(id) = found.id.parse::<RuntimeId>() else { continue };
        let container = state.containers.get_mut(id.container).filter(|_| id.task == spec.id);
        if let Some(container) = container {
            container.attempt = container.attempt.max(id.attempt);
        }
    }
    state
}

fn found_of(spec: &TaskSpec, state: &State, found: &[Found]) -> Vec<Option<FoundStatus>> {
    let mut of_task = vec![None; spec.containers.len()];
    for found in found {
        let Ok(id) = found.id.parse::<RuntimeId>() else { continue };
        if id == state.runtime_id(spec.id, id.container) && id.container < of_task.len() {
            of_task[id.container] = Some(found.status.clone());
        }
    }
    of_task
}

/// In this order: a group is not empty, nor a namespace or a volume unused, while its containers live, and their
/// last line is written when they are gone.
fn garbage(known: &BTreeSet<TaskId>, leftovers: &Leftovers) -> Vec<Garbage> {
    let unknown_tasks = |tasks: &[TaskId]| tasks.iter().filter(|id| !known.contains(id)).copied().collect::<Vec<_>>();
    let is_unknown = |id: &str| id.parse::<RuntimeId>().map_or(true, |id| !known.contains(&id.task));
    let containers = leftovers.containers.iter().map(|found| &found.id).filter(|id| is_unknown(id)).cloned();
    let logs = leftovers.logs.iter().filter(|id| is_unknown(id)).cloned();
    let networks = unknown_tasks(&leftovers.networks).into_iter();
    let groups = unknown_tasks(&leftovers.groups).into_iter();
    let files = unknown_tasks(&leftovers.files).into_iter();
    let containers = containers.map(Garbage::Container).chain(logs.map(Garbage::Logs));
    let rest = networks.map(Garbage::Network).chain(groups.map(Garbage::Group)).chain(files.map(Garbage::Files));
    containers.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use model::task::ContainerStatus;

    use super::*;
    use crate::task::tests::{container, spec};

    #[test]
    fn a_task_whose_state_a_crash_of_the_machine_took_is_not_run_again() {
        let spec = spec(vec![container("a")]);
        let id = format!("{}-0", spec.id);
        let found = Found { id, labels: Vec::new(), status: FoundStatus::Created };
        let leftovers = Leftovers { containers: vec![found], ..Leftovers::default() };
        let checkpoint = Checkpoint { spec, state: State::default() };
        let (node, _, _) = Node::adopt("boot-2", vec![checkpoint], &leftovers, Timestamp(0));
        assert_eq!(node.reports()[0].containers[0].status, ContainerStatus::Stopped);
    }

    #[test]
    fn nor_is_one_that_ran_only_at_the_second_attempt() {
        let spec = spec(vec![container("a")]);
        let id = format!("{}-0-1", spec.id);
        let found = Found { id, labels: Vec::new(), status: FoundStatus::Lost };
        let leftovers = Leftovers { containers: vec![found], ..Leftovers::default() };
        let checkpoint = Checkpoint { spec, state: State::default() };
        let (node, _, _) = Node::adopt("boot-2", vec![checkpoint], &leftovers, Timestamp(0));
        assert_eq!(node.reports()[0].containers[0].status, ContainerStatus::Stopped);
    }
}
