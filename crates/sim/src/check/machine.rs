//! In the end a node runs what the control plane says that it runs, and holds nothing else.

use std::collections::BTreeSet;

use agent::simulated::Inventory;
use model::{NodeId, TaskId, TaskStatus};
use store::Tables;

use super::{Check, End};

pub struct Machine;

impl Check for Machine {
    fn invariant(&self) -> &'static str {
        "nodes hold what is known of them, and nothing else"
    }

    fn unsettled(&self, end: &End<'_>) -> Option<String> {
        end.machines.iter().find_map(|(node, inventory)| compare(end.tables, *node, inventory).err())
    }
}

fn compare(tables: &Tables, node: NodeId, inventory: &Inventory) -> Result<(), String> {
    let tasks = tables.tasks.iter().filter(|task| task.node == Some(node));
    let live: BTreeSet<TaskId> =
        tasks.filter(|task| task.last_status < TaskStatus::Stopped).map(|task| task.id).collect();
    let running: BTreeSet<TaskId> =
        live.iter().filter(|id| tables.tasks.get(id).is_some_and(|task| runs(task.last_status))).copied().collect();
    let truly: BTreeSet<TaskId> = inventory.running.iter().filter_map(|id| task_of(id)).collect();
    if let Some(id) = running.symmetric_difference(&truly).next() {
        let (said, is) = (running.contains(id), truly.contains(id));
        return Err(format!("task {id} is known to run: {said}; runs on node {node}: {is}"));
    }
    let containers = inventory.containers.iter().filter_map(|id| task_of(id));
    let held = containers.chain(inventory.groups.iter().copied()).chain(inventory.networks.iter().copied());
    match held.into_iter().find(|id| !live.contains(id)) {
        Some(id) => Err(format!("node {node} still holds something of task {id}")),
        None => Ok(()),
    }
}

/// Containers run also before and after the task serves.
fn runs(status: TaskStatus) -> bool {
    (TaskStatus::Activating..=TaskStatus::Deactivating).contains(&status)
}

fn task_of(container: &str) -> Option<TaskId> {
    container.split_once('-')?.0.parse().ok()
}
