//! What a `Hello` makes of a machine: its [`Node`] row, and its membership of the configured cluster.

use model::cluster::{ClusterStatus, DEFAULT_CLUSTER};
use model::link::{Hello, LINK_PROTOCOL, Welcome};
use model::network::Vpc;
use model::{Arn, ContainerInstance, ContainerInstanceId, InstanceStatus, Node, NodeId, Scope, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use store::Txn;

use super::{Ending, presence};
use crate::Config;
use crate::ecs::cluster::new as new_cluster;

/// Name of the [`Meta`](store::Meta) row that tells one store from another.
pub(crate) const CONTROL_ID: &str = "control_id";

/// A node may say in which zone it stands; otherwise it stands in the first.
const ZONE_ATTRIBUTE: &str = "ecs.availability-zone";

/// Takes the node in, or refuses it.
pub(super) fn register(
    txn: &mut Txn,
    hello: &Hello,
    config: &Config,
    now: Timestamp,
    random: &mut StdRng,
) -> Result<Welcome, Ending> {
    if hello.protocol != LINK_PROTOCOL {
        let reason = format!("this control plane speaks link protocol {LINK_PROTOCOL}, the agent {}", hello.protocol);
        return Err(Ending::Refused { reason, fatal: true });
    }
    let scope = Scope::new(&config.account_id, &config.region);
    let instance = match txn.container_instance_of_node(hello.node) {
        Some(instance) => ContainerInstance::clone(instance),
        None => join(txn, hello.node, &scope, &config.cluster, now, random)?,
    };
    let zone = zone_of(hello, &scope);
    put_node(txn, hello, &scope, &zone, instance.id, now);
    presence::set(txn, hello.node, true, now);
    let control_id = txn.meta_value(CONTROL_ID).expect("made when the control plane opened").to_owned();
    let arn = Arn::container_instance(&scope, &instance.cluster, instance.id);
    Ok(Welcome { control_id, scope, cluster: instance.cluster, zone, container_instance_arn: Some(arn.to_string()) })
}

/// A new container instance in the cluster; AWS's agent makes the cluster `default`, and no other, when it is missing.
fn join(
    txn: &mut Txn,
    node: NodeId,
    scope: &Scope,
    cluster: &str,
    now: Timestamp,
    random: &mut StdRng,
) -> Result<ContainerInstance, Ending> {
    let known = txn.clusters.get(&(scope.clone(), cluster.to_owned()));
    if known.is_none_or(|known| known.status != ClusterStatus::Active) {
        if cluster != DEFAULT_CLUSTER {
            let reason = format!("the cluster {cluster} does not exist or is not active; create it first");
            return Err(Ending::Refused { reason, fatal: false });
        }
        txn.put(new_cluster(scope, cluster, now));
    }
    let instance = ContainerInstance {
        id: ContainerInstanceId(random.random()),
        scope: scope.clone(),
        cluster: cluster.to_owned(),
        node,
        ec2_instance_id: ContainerInstance::ec2_instance_id_of(node),
        status: InstanceStatus::Active,
        status_reason: None,
        custom_attributes: Vec::new(),
        tags: Vec::new(),
        registered_at: now,
        inactive_at: None,
        version: 1,
    };
    txn.put(instance.clone());
    Ok(instance)
}

fn put_node(txn: &mut Txn, hello: &Hello, scope: &Scope, zone: &str, instance: ContainerInstanceId, now: Timestamp) {
    let known = txn.nodes.get(&hello.node);
    let reservations = txn.tasks_on_node(hello.node).map(|task| &task.reservation);
    let mut node = Node {
        id: hello.node,
        scope: scope.clone(),
        name: hello.name.clone(),
        zone: zone.to_owned(),
        offers_fargate: true,
        total: hello.total.clone(),
        free: plan::node::free(&hello.total, reservations),
        attributes: hello.attributes.as_slice().into(),
        agent_version: hello.agent_version.clone(),
        address: hello.address,
        runtime_version: hello.runtime_version.clone(),
        connected: known.is_none_or(|node| node.connected),
        disconnected_at: known.and_then(|node| node.disconnected_at),
        boot_id: hello.boot_id.clone(),
        container_instance: Some(instance),
        registered_at: known.map_or(now, |node| node.registered_at),
        changes: known.map_or(0, |node| node.changes),
    };
    match known {
        // The changes of a new instance begin with it.
        Some(known) if known.container_instance != node.container_instance => node.changes = 0,
        Some(known) => node.changes += u64::from(**known != node),
        None => {}
    }
    txn.put(node);
}

fn zone_of(hello: &Hello, scope: &Scope) -> String {
    let zones: Vec<String> = Vpc::default_of(scope).subnets.into_iter().map(|subnet| subnet.zone).collect();
    let named = hello.attributes.iter().find(|attribute| attribute.name == ZONE_ATTRIBUTE);
    let named = named.and_then(|attribute| attribute.value.as_ref()).filter(|zone| zones.contains(zone));
    named.unwrap_or(&zones[0]).clone()
}
