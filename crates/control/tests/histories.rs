//! Random histories of placing, stopping, reporting and breaking links: what must hold at every moment.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use model::link::{FromAgent, FromControl, ReportedStatus};
use model::{DesiredStatus, NodeId, TaskId, TaskStatus};
use proptest::prelude::*;
use store::Next;
use support::World;
use support::node::{Link, report};

const NODE: NodeId = NodeId(7);

#[derive(Clone, Debug)]
enum Step {
    Place,
    /// Of the tasks placed so far, the one at this position.
    Stop(prop::sample::Index),
    /// The node takes over what it was told and moves each task on, reporting as it goes.
    Work,
    /// The node reports an old fact again.
    Repeat(prop::sample::Index),
    /// The link breaks; with answers on it lost.
    Break,
    /// The control plane is killed and comes back with what was durable.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Place),
        2 => any::<prop::sample::Index>().prop_map(Step::Stop),
        5 => Just(Step::Work),
        2 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        1 => Just(Step::Break),
        1 => Just(Step::Restart),
    ]
}

/// What a node knows, over all its links.
#[derive(Default)]
struct Agent {
    tasks: BTreeMap<TaskId, Known>,
    said: Vec<(TaskId, u64, ReportedStatus)>,
}

struct Known {
    sequence: u64,
    status: ReportedStatus,
    desired: DesiredStatus,
}

impl Agent {
    /// Moves every task one step towards what is wanted of it, and says so.
    fn work(&mut self) -> Vec<model::link::TaskReport> {
        let mut reports = Vec::new();
        for (id, known) in &mut self.tasks {
            let next = match (known.desired, known.status) {
                (DesiredStatus::Stopped, _) => ReportedStatus::Stopped,
                (_, ReportedStatus::Pending) => ReportedStatus::Running,
                (_, status) => status,
            };
            if known.sequence > 0 && next == known.status {
                continue;
            }
            known.status = next;
            known.sequence += 1;
            self.said.push((*id, known.sequence, next));
            reports.push(report(*id, known.sequence, next));
        }
        reports
    }

    fn everything(&self) -> Vec<model::link::TaskReport> {
        let started = self.tasks.iter().filter(|(_, known)| known.sequence > 0);
        started.map(|(id, known)| report(*id, known.sequence, known.status)).collect()
    }

    fn obey(&mut self, tasks: &BTreeMap<TaskId, DesiredStatus>) {
        self.tasks.retain(|id, _| tasks.contains_key(id));
        for (id, desired) in tasks {
            let new = Known { sequence: 0, status: ReportedStatus::Pending, desired: *desired };
            self.tasks.entry(*id).or_insert(new).desired = *desired;
        }
    }
}

struct History {
    world: World,
    link: Link,
    agent: Agent,
    placed: Vec<TaskId>,
    statuses: BTreeMap<TaskId, TaskStatus>,
}

impl History {
    async fn new() -> Self {
        let world = World::new().await;
        let (link, _) = Link::join(&world, NODE).await;
        Self { world, link, agent: Agent::default(), placed: Vec::new(), statuses: BTreeMap::new() }
    }

    async fn reconnect(&mut self) {
        let (link, desired) = Link::join(&self.world, NODE).await;
        self.link = link;
        self.agent.obey(&desired.statuses());
        self.link.report(self.agent.everything()).await;
    }

    async fn perform(&mut self, step: Step) {
        match step {
            Step::Place => {
                let id = self.world.place(self.placed.len() as u128 + 1, NODE).await;
                self.placed.push(id);
            }
            Step::Stop(index) if !self.placed.is_empty() => self.world.stop(*index.get(&self.placed)).await,
            Step::Work => {
                let reports = self.agent.work();
                self.link.report(reports).await;
            }
            Step::Repeat(index) if !self.agent.said.is_empty() => {
                let (id, sequence, status) = *index.get(&self.agent.said);
                self.link.report(vec![report(id, sequence, status)]).await;
            }
            Step::Break => self.reconnect().await,
            Step::Restart => {
                self.world.restart().await;
                self.reconnect().await;
            }
            Step::Stop(_) | Step::Repeat(_) => {}
        }
        self.catch_up().await;
        self.check();
    }

    /// Takes in what the control plane has said so far. A report about nothing marks how far that is.
    async fn catch_up(&mut self) {
        let mark = TaskId(u128::MAX);
        self.link.report(vec![report(mark, 1, ReportedStatus::Pending)]).await;
        loop {
            match self.link.hear().await {
                FromControl::Desired { generation, tasks, .. } => {
                    let statuses = tasks.iter().map(|task| (task.id, task.desired_status)).collect();
                    self.agent.obey(&statuses);
                    self.link.say(&FromAgent::Applied { generation }).await;
                }
                FromControl::ReportTaken { tasks } if tasks.iter().any(|(id, _)| *id == mark) => return,
                FromControl::ReportTaken { .. } => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    fn check(&mut self) {
        self.world.check_ledger();
        let view = self.world.view();
        for task in view.tasks.iter() {
            let before = self.statuses.insert(task.id, task.last_status);
            assert!(before.is_none_or(|before| before <= task.last_status), "{} went back", task.id);
        }
        let known: BTreeSet<TaskId> = view.tasks.iter().map(|task| task.id).collect();
        assert_eq!(known, self.placed.iter().copied().collect(), "no task is lost");
    }

    /// All tasks are asked to stop; the node does as it is told until all have.
    async fn finish(mut self) {
        for id in self.placed.clone() {
            self.world.stop(id).await;
        }
        let is_over = |history: &Self| history.world.view().tasks.iter().all(|t| t.last_status == TaskStatus::Stopped);
        while !is_over(&self) {
            self.catch_up().await;
            let reports = self.agent.work();
            if reports.is_empty() {
                // The next set has not come yet.
                let desired = self.link.desired().await;
                self.agent.obey(&desired.statuses());
                self.link.applied(&desired).await;
            } else {
                self.link.report(reports).await;
            }
        }
        self.check();
        assert!(self.world.view().interfaces.is_empty());
        assert_eq!(self.world.node(NODE).free, self.world.node(NODE).total);
        self.world.control.close().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statuses_never_go_back_and_the_ledger_is_always_true(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut history = History::new().await;
            for step in steps {
                history.perform(step).await;
            }
            history.finish().await;
        });
    }
}

#[tokio::test]
async fn versions_rise_with_every_change_that_is_seen() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let mut commits = world.control.store.subscribe();
    let id = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    link.taken().await;
    world.stop(id).await;
    let mut versions = Vec::new();
    while versions.len() < 3 {
        let Next::Commit(commit) = commits.next().await else { panic!("no commit") };
        versions.extend(commit.changes.tasks.get(&id).map(|change| change.newest().version));
    }
    assert_eq!(versions, [1, 2, 3]);
}
