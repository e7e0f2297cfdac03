//! No node holds more than it has, and its row says truly what is left. Counted from the tasks' rows, not by the
//! control plane's own index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{NodeId, Task, TaskId, TaskStatus};
use store::Tables;

use super::Check;

#[derive(Default)]
pub struct Capacity {
    held: BTreeMap<NodeId, BTreeMap<TaskId, Arc<Task>>>,
}

impl Check for Capacity {
    fn invariant(&self) -> &'static str {
        "no node holds more than it has"
    }

    fn look(&mut self, tables: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        // What a commit behind this one has changed is in the tables already: rows are taken from there.
        let newest = changed.iter().filter_map(|task| tables.tasks.get(&task.id));
        let mut touched = BTreeSet::new();
        for task in newest {
            let Some(node) = task.node else { continue };
            touched.insert(node);
            let tasks = self.held.entry(node).or_default();
            match task.last_status < TaskStatus::Stopped {
                true => tasks.insert(task.id, task.clone()),
                false => tasks.remove(&task.id),
            };
        }
        touched.iter().try_for_each(|node| self.check(tables, *node))
    }
}

impl Capacity {
    fn check(&self, tables: &Tables, id: NodeId) -> Result<(), String> {
        let Some(node) = tables.nodes.get(&id) else { return Ok(()) };
        let held = || self.held.get(&id).into_iter().flat_map(BTreeMap::values).map(|task| &task.reservation);
        let cpu: u32 = held().map(|reservation| reservation.cpu.0).sum();
        let memory: u32 = held().map(|reservation| reservation.memory.0).sum();
        if cpu > node.total.cpu.0 || memory > node.total.memory.0 {
            return Err(format!(
                "{} holds {cpu} CPU units and {memory} MiB of {} and {}",
                node.name, node.total.cpu.0, node.total.memory.0
            ));
        }
        Ok(())
    }
}
