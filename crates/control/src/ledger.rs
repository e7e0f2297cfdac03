//! The nodes of every account and region as placement sees them, kept from one call to the next: each call takes in
//! what has changed in the tables since the last one, so that it costs as much as there are changes, not nodes.
//!
//! Invariant: what was placed by a call that then failed is forgotten. The nodes that a placement touched are read
//! anew from the tables before the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use model::{InstanceStatus, Node, NodeId, Scope};
use plan::place::{self, Assignment, Placement, Pool, Refusal, Request, Surveyed, Target};
use store::Tables;

use crate::ecs::attribute::attributes_of;
use crate::ecs::capacity_provider::provider_named;

/// See the module's documentation.
#[derive(Default)]
pub struct Ledger {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The state that the pools show, but for the nodes in `touched`.
    seen: Tables,
    pools: BTreeMap<Scope, Pool>,
    touched: BTreeSet<NodeId>,
}

impl Ledger {
    /// Places the tasks of the request on the scope's nodes as the tables show them.
    pub fn place(&self, tables: &Tables, scope: &Scope, request: &Request) -> Placement {
        let mut kept = self.caught_up(tables);
        let placement = kept.pools.entry(scope.clone()).or_default().place(request);
        kept.touched.extend(placement.assigned.iter().map(|assignment| assignment.node));
        placement
    }

    /// Places one task of the request on this node.
    ///
    /// # Errors
    /// Why the node does not take it.
    pub fn place_on(
        &self,
        tables: &Tables,
        scope: &Scope,
        node: NodeId,
        request: &Request,
    ) -> Result<Assignment, Refusal> {
        let mut kept = self.caught_up(tables);
        kept.touched.insert(node);
        kept.pools.entry(scope.clone()).or_default().place_on(node, request)
    }

    /// The zones in which the target has nodes that take tasks.
    pub fn zones(&self, tables: &Tables, scope: &Scope, target: &Target, most: usize) -> BTreeSet<String> {
        self.caught_up(tables).pools.get(scope).map(|pool| pool.zones(target, most)).unwrap_or_default()
    }

    /// All nodes of the request's target, and which of them would take a task of it.
    pub fn survey(&self, tables: &Tables, scope: &Scope, request: &Request) -> Vec<Surveyed> {
        self.caught_up(tables).pools.entry(scope.clone()).or_default().survey(request)
    }

    /// Whether the target has any node that could ever take a task.
    pub fn has_candidates(&self, tables: &Tables, scope: &Scope, target: &Target) -> bool {
        self.caught_up(tables).pools.get(scope).is_some_and(|pool| pool.has_candidates(target))
    }

    fn caught_up(&self, tables: &Tables) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| {
            // A panic may have left it half-way: begin again from the tables.
            self.kept.clear_poison();
            let mut kept = poisoned.into_inner();
            *kept = Kept::default();
            kept
        });
        kept.catch_up(tables);
        kept
    }
}

impl Kept {
    fn catch_up(&mut self, tables: &Tables) {
        let mut busier = std::mem::take(&mut self.touched);
        let mut others = BTreeSet::new();
        for (old, new) in tables.nodes.changes_since(&self.seen.nodes) {
            match (old, new) {
                (Some(old), Some(new)) if old.differs_in_room_only(new) => busier.insert(new.id),
                (old, new) => old.or(new).is_some_and(|node| others.insert(node.id)),
            };
        }
        for (old, new) in tables.container_instances.changes_since(&self.seen.container_instances) {
            others.extend(old.into_iter().chain(new).map(|instance| instance.node));
        }
        for (old, new) in tables.tasks.changes_since(&self.seen.tasks) {
            busier.extend(old.into_iter().chain(new).filter_map(|task| task.node));
        }
        for id in &others {
            self.refresh(tables, *id);
        }
        for id in busier.difference(&others) {
            self.refresh_tasks(tables, *id);
        }
        self.seen = tables.clone();
    }

    fn refresh(&mut self, tables: &Tables, id: NodeId) {
        if let Some(node) = tables.nodes.get(&id) {
            self.pools.entry(node.scope.clone()).or_default().put(candidate(tables, node));
        } else if let Some(node) = self.seen.nodes.get(&id)
            && let Some(pool) = self.pools.get_mut(&node.scope)
        {
            pool.remove(id);
        }
    }

    /// For a node that is what it was, with other tasks.
    fn refresh_tasks(&mut self, tables: &Tables, id: NodeId) {
        let Some(node) = tables.nodes.get(&id) else { return };
        let Some(pool) = self.pools.get_mut(&node.scope) else { return };
        pool.put_tasks(id, node.free.clone(), running(tables, id), groups(tables, id));
    }
}

fn running(tables: &Tables, node: NodeId) -> u32 {
    tables.node_tasks(node).map_or(0, |tasks| tasks.running)
}

fn groups(tables: &Tables, node: NodeId) -> BTreeMap<String, u32> {
    let groups = tables.node_tasks(node).into_iter().flat_map(|tasks| &tasks.groups);
    groups.map(|(group, count)| (group.clone(), *count)).collect()
}

/// A node with what placement asks about it.
fn candidate(tables: &Tables, node: &Node) -> place::Node {
    let instance = tables.container_instance_of_node(node.id).map(AsRef::as_ref);
    let attributes = attributes_of(node, instance);
    place::Node {
        id: node.id,
        cluster: instance.map(|instance| instance.cluster.clone()),
        capacity_provider: provider_named(&attributes).map(str::to_owned),
        status: instance.map_or(InstanceStatus::Inactive, |instance| instance.status),
        connected: node.connected,
        offers_fargate: node.offers_fargate,
        zone: node.zone.clone(),
        free: node.free.clone(),
        attributes,
        agent_version: node.agent_version.clone(),
        ec2_instance_id: instance.map(|instance| instance.ec2_instance_id.clone()).unwrap_or_default(),
        registered_at: instance.map_or(node.registered_at, |instance| instance.registered_at),
        running_tasks: running(tables, node.id),
        task_groups: groups(tables, node.id),
    }
}
