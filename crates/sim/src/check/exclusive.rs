//! No two live tasks hold one address, and none on one node hold one host port.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{NodeId, Port, Task, TaskId, TaskStatus};
use store::Tables;

use super::Check;

/// What only one task can hold at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holding {
    Address(String),
    Port(NodeId, Port),
}

#[derive(Default)]
pub struct Exclusive {
    holders: BTreeMap<Holding, TaskId>,
    holdings: BTreeMap<TaskId, Vec<Holding>>,
}

impl Check for Exclusive {
    fn invariant(&self) -> &'static str {
        "no two live tasks hold one address or host port"
    }

    fn look(&mut self, tables: &Tables, changed: &[Arc<Task>]) -> Result<(), String> {
        // All are let go before any is taken: what one commit gives back, it may give out.
        let newest: Vec<&Arc<Task>> = changed.iter().filter_map(|task| tables.tasks.get(&task.id)).collect();
        for task in &newest {
            for holding in self.holdings.remove(&task.id).unwrap_or_default() {
                self.holders.remove(&holding);
            }
        }
        let live = newest.into_iter().filter(|task| task.last_status < TaskStatus::Stopped);
        for task in live {
            let holdings = holdings(task);
            for holding in &holdings {
                if let Some(other) = self.holders.insert(holding.clone(), task.id) {
                    return Err(format!("tasks {other} and {} both hold {holding:?}", task.id));
                }
            }
            self.holdings.insert(task.id, holdings);
        }
        Ok(())
    }
}

fn holdings(task: &Task) -> Vec<Holding> {
    let address = task.attachment.iter().map(|attachment| Holding::Address(attachment.address.to_string()));
    let Some(node) = task.node else { return address.collect() };
    let bindings = task.containers.iter().flat_map(|container| &container.network_bindings);
    let published = bindings.map(|binding| Port { number: binding.host_port, protocol: binding.protocol });
    let mut ports: Vec<Port> = task.reservation.ports.iter().copied().chain(published).collect();
    ports.sort_unstable();
    ports.dedup();
    address.chain(ports.into_iter().map(|port| Holding::Port(node, port))).collect()
}
