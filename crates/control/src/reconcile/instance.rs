//! What becomes of services when nodes and container instances change: whose tasks are there, and whose daemons.

use std::collections::{BTreeMap, BTreeSet};

use model::service::{Scheduling, ServiceKey, ServiceStatus};
use model::{Attribute, ContainerInstance, InstanceStatus, Node, NodeId, Scope, Service, Timestamp};
use store::{Commit, Tables, service_of};

/// The nodes that mean something else to the tasks that are on them, or could be, than before the commit.
pub(super) fn unsettled(commit: &Commit) -> BTreeSet<NodeId> {
    let changes = &commit.changes;
    let nodes = changes
        .nodes
        .iter()
        .filter(|(_, change)| presence(change.before.as_deref()) != presence(change.after.as_deref()));
    let instances = changes
        .container_instances
        .values()
        .filter(|change| standing(change.before.as_deref()) != standing(change.after.as_deref()));
    nodes.map(|(id, _)| *id).chain(instances.map(|change| change.newest().node)).collect()
}

fn presence(node: Option<&Node>) -> Option<(Option<Timestamp>, &str, &[Attribute])> {
    node.map(|node| (node.disconnected_at, node.zone.as_str(), &*node.attributes))
}

fn standing(instance: Option<&ContainerInstance>) -> Option<(InstanceStatus, &[Attribute])> {
    instance.map(|instance| (instance.status, instance.custom_attributes.as_slice()))
}

/// The services that have tasks on one of the nodes.
pub(super) fn tenants(tables: &Tables, nodes: &BTreeSet<NodeId>) -> impl Iterator<Item = ServiceKey> {
    nodes.iter().flat_map(|node| tables.tasks_on_node(*node)).filter_map(|task| service_of(task))
}

/// The services that are to be balanced over zones, of clusters where one of the nodes is the first of its zone to take
/// tasks.
pub(super) fn unbalanced(tables: &Tables, nodes: &BTreeSet<NodeId>) -> Vec<ServiceKey> {
    let mut services = Vec::new();
    for instance in nodes.iter().filter_map(|node| tables.container_instance_of_node(*node)) {
        let Some(zone) = open_zone(tables, instance) else { continue };
        let mut others = tables.container_instances_in_cluster(&instance.scope, &instance.cluster);
        if !others.any(|other| other.id != instance.id && open_zone(tables, other) == Some(zone)) {
            let there = tables.services_in_cluster(&instance.scope, &instance.cluster);
            services.extend(there.filter(|row| row.availability_zone_rebalancing).map(|row| row.key()));
        }
    }
    services
}

/// The zone of an instance that takes tasks.
fn open_zone<'a>(tables: &'a Tables, instance: &ContainerInstance) -> Option<&'a str> {
    let node = tables.nodes.get(&instance.node).filter(|node| node.connected)?;
    (instance.status == InstanceStatus::Active).then_some(node.zone.as_str())
}

/// The DAEMON services of each cluster.
#[derive(Default)]
pub(super) struct Daemons {
    by_cluster: BTreeMap<(Scope, String), BTreeSet<ServiceKey>>,
}

impl Daemons {
    pub fn add_all(&mut self, tables: &Tables) {
        tables.services.iter().for_each(|service| self.add(service));
    }

    fn add(&mut self, service: &Service) {
        if service.scheduling == Scheduling::Daemon && service.status == ServiceStatus::Active {
            let cluster = (service.scope.clone(), service.cluster.clone());
            self.by_cluster.entry(cluster).or_default().insert(service.key());
        }
    }

    /// Takes the commit in, and answers which of them the changes of nodes and container instances concern.
    pub fn note(&mut self, commit: &Commit, tables: &Tables, unsettled: &BTreeSet<NodeId>) -> BTreeSet<ServiceKey> {
        for (key, change) in &commit.changes.services {
            match &change.after {
                Some(service) => self.add(service),
                None => self.forget(key),
            }
        }
        if self.by_cluster.is_empty() {
            return BTreeSet::new();
        }
        let present = unsettled.iter().filter_map(|node| tables.container_instance_of_node(*node));
        // What a draining instance loses may have been the last that its daemons waited for.
        let draining = commit.changes.nodes.keys().filter_map(|node| tables.container_instance_of_node(*node));
        let draining = draining.filter(|instance| instance.status == InstanceStatus::Draining);
        let gone = commit.changes.container_instances.values().map(|change| change.newest());
        let gone = gone.filter(|instance| unsettled.contains(&instance.node));
        present.chain(draining).chain(gone).flat_map(|instance| self.of(instance)).cloned().collect()
    }

    fn of(&self, instance: &ContainerInstance) -> impl Iterator<Item = &ServiceKey> {
        self.by_cluster.get(&(instance.scope.clone(), instance.cluster.clone())).into_iter().flatten()
    }

    fn forget(&mut self, key: &ServiceKey) {
        let cluster = (key.0.clone(), key.1.clone());
        let Some(daemons) = self.by_cluster.get_mut(&cluster) else { return };
        daemons.remove(key);
        if daemons.is_empty() {
            self.by_cluster.remove(&cluster);
        }
    }
}
