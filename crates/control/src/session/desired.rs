//! What a session has told its node to run, and when the next telling is due.
//!
//! ```text
//!   quiet ──change──▶ due ──frame──▶ unanswered ──applied──▶ quiet | due
//!                      ▲                 │ change: due as soon as it is answered
//!                      └─────────────────┘
//! ```
//! The full set is sent each time, and with it the specs of the tasks that the last set did not name: a spec never
//! changes, so the node has the others. The firewall is sent when it changes. The larger the set, the longer the pause
//! between two tellings, so that bursts are told together.

use std::time::Duration;

use model::link::{DesiredTask, FromControl, TaskSpec};
use model::{DesiredStatus, NodeId, TaskId};
use plan::node::TaskRows;
use store::Tables;
use tokio::time::Instant;

use super::firewall;
use crate::ec2::vpc;

/// Pause after a telling, per task that it named.
const PAUSE_PER_TASK: Duration = Duration::from_micros(100);
/// A set that is not taken over within this time means that the node does not work.
pub(super) const APPLY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Line {
    /// What the node was last told; `None` at first, so that an empty set is told too.
    told: Option<Vec<(TaskId, DesiredStatus)>>,
    firewall: firewall::Told,
    unanswered: Option<Unanswered>,
    is_due: bool,
    not_before: Instant,
}

struct Unanswered {
    generation: u64,
    since: Instant,
}

impl Line {
    pub fn new(now: Instant) -> Self {
        Self { told: None, firewall: firewall::Told::default(), unanswered: None, is_due: true, not_before: now }
    }

    /// The node's tasks may have changed.
    pub fn change(&mut self) {
        self.is_due = true;
    }

    /// When to ask for the next frame, if nothing else happens.
    pub fn due_at(&self) -> Option<Instant> {
        (self.is_due && self.unanswered.is_none()).then_some(self.not_before)
    }

    pub fn applied(&mut self, generation: u64) {
        if self.unanswered.as_ref().is_some_and(|unanswered| unanswered.generation <= generation) {
            self.unanswered = None;
        }
    }

    pub fn is_overdue(&self, now: Instant) -> bool {
        self.unanswered.as_ref().is_some_and(|unanswered| now - unanswered.since >= APPLY_TIMEOUT)
    }

    /// What tells the node's tasks of `tables`; `None` when the node knows all that already.
    pub fn set(&mut self, tables: &Tables, node: NodeId, now: Instant) -> Option<FromControl> {
        self.is_due = false;
        let set: Vec<_> = tables.desired_on_node(node).collect();
        let firewall = self.firewall.news(tables, node).map(Box::new);
        if firewall.is_none() && self.told.as_ref() == Some(&set) {
            return None;
        }
        let entry = |&(id, desired_status): &(TaskId, DesiredStatus)| DesiredTask {
            id,
            desired_status,
            spec: (!self.has_told(id)).then(|| Box::new(spec(tables, id))),
        };
        let tasks = set.iter().map(entry).collect();
        let generation = tables.revision();
        self.not_before = now + PAUSE_PER_TASK * u32::try_from(set.len()).unwrap_or(u32::MAX);
        self.unanswered = Some(Unanswered { generation, since: now });
        self.told = Some(set);
        Some(FromControl::Desired { generation, tasks, firewall })
    }

    fn has_told(&self, task: TaskId) -> bool {
        // In the order of the ids, as the tables have them.
        self.told.as_ref().is_some_and(|told| told.binary_search_by_key(&task, |(id, _)| *id).is_ok())
    }
}

fn spec(tables: &Tables, id: TaskId) -> TaskSpec {
    let task = tables.tasks.get(&id).expect("what a node is to do is told of tasks that are there");
    let key = (task.scope.clone(), task.family.clone(), task.revision);
    let definition = tables.task_definitions.get(&key).expect("a definition outlives its tasks");
    let interface = tables.interface_of_task(task.id);
    let vpc = interface.map(|interface| {
        vpc::find(tables, &interface.scope, &interface.vpc_id).expect("a VPC outlives its interfaces")
    });
    let interface = interface.zip(vpc.as_ref()).map(|(interface, vpc)| (&**interface, &**vpc));
    plan::node::spec(TaskRows { task, definition, interface })
}
