//! What a session has told its node to run, and when the next telling is due.
//!
//! ```text
//!   quiet ──change──▶ due ──frame──▶ unanswered ──applied──▶ quiet | due
//!                      ▲                 │ change: due as soon as it is answered
//!                      └─────────────────┘
//! ```
//! The full set is sent each time. A task's spec never changes, so its JSON is made once and kept while the task is in
//! the set; and the larger the set, the longer the pause between two tellings, so that bursts are told together.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{DesiredStatus, NodeId, Task, TaskId};
use plan::node::TaskRows;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use store::Tables;
use tokio::time::Instant;

/// Pause after a telling, per task that it named.
const PAUSE_PER_TASK: Duration = Duration::from_micros(100);
/// A set that is not taken over within this time means that the node does not work.
pub(super) const APPLY_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Line {
    specs: BTreeMap<TaskId, Box<RawValue>>,
    /// What the node was last told; `None` at first, so that an empty set is told too.
    told: Option<Vec<(TaskId, DesiredStatus)>>,
    unanswered: Option<Unanswered>,
    is_due: bool,
    not_before: Instant,
}

struct Unanswered {
    generation: u64,
    since: Instant,
}

/// As [`FromControl::Desired`](model::link::FromControl::Desired) is written, with specs that are JSON already.
#[derive(Serialize)]
enum Frame<'a> {
    Desired { generation: u64, tasks: Vec<Entry<'a>> },
}

#[derive(Serialize)]
struct Entry<'a> {
    desired_status: DesiredStatus,
    spec: &'a RawValue,
}

impl Line {
    pub fn new(now: Instant) -> Self {
        Self { specs: BTreeMap::new(), told: None, unanswered: None, is_due: true, not_before: now }
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

    /// The frame that tells the node's tasks of `tables`; `None` when the node knows all that already.
    pub fn frame(&mut self, tables: &Tables, node: NodeId, now: Instant) -> Option<String> {
        self.is_due = false;
        let set: Vec<_> = tables.tasks_on_node(node).map(|task| (task.id, task.desired_status)).collect();
        if self.told.as_ref() == Some(&set) {
            return None;
        }
        self.specs.retain(|id, _| set.binary_search_by_key(id, |(id, _)| *id).is_ok());
        for task in tables.tasks_on_node(node) {
            self.specs.entry(task.id).or_insert_with(|| spec_json(tables, task));
        }
        let generation = tables.revision();
        let entry = |(id, status): &(TaskId, DesiredStatus)| Entry { desired_status: *status, spec: &self.specs[id] };
        let frame = Frame::Desired { generation, tasks: set.iter().map(entry).collect() };
        let text = serde_json::to_string(&frame).expect("messages are plain data");
        self.not_before = now + PAUSE_PER_TASK * u32::try_from(set.len()).unwrap_or(u32::MAX);
        self.unanswered = Some(Unanswered { generation, since: now });
        self.told = Some(set);
        Some(text)
    }
}

fn spec_json(tables: &Tables, task: &Task) -> Box<RawValue> {
    let key = (task.scope.clone(), task.family.clone(), task.revision);
    let definition = tables.task_definitions.get(&key).expect("a definition outlives its tasks");
    let interface = tables.interface_of_task(task.id).map(|interface| &**interface);
    let spec = plan::node::spec(TaskRows { task, definition, interface });
    to_raw_value(&spec).expect("specs are plain data")
}
