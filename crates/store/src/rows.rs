//! The nouns as rows: their keys, versions and indexes; and the rows that exist only for the store's own sake.

use std::net::Ipv4Addr;

use imbl::OrdSet;
use model::certificate::CertificateKey;
use model::discovery::{
    DiscoveryInstance, DiscoveryInstanceKey, DiscoveryOperation, DiscoveryOperationKey, DiscoveryService,
    DiscoveryServiceKey, Namespace, NamespaceKey,
};
use model::load_balancer::{
    Listener, ListenerKey, LoadBalancer, LoadBalancerKey, Rule, RuleKey, Target, TargetGroup, TargetGroupKey, TargetKey,
};
use model::logs::{LogGroup, LogStream};
use model::service::{GROUP_PREFIX, Service, ServiceKey};
use model::service_deployment::ServiceDeploymentKey;
use model::service_revision::ServiceRevisionKey;
use model::setting::AccountSetting;
use model::tag::ResourceTags;
use model::{
    CapacityProvider, Certificate, Cluster, ContainerInstance, ContainerInstanceId, DesiredStatus, ElasticAddress,
    InstanceStatus, InternetGateway, NatGateway, NetworkInterface, Node, NodeId, PrefixList, Scope, SecurityGroup,
    ServiceDeployment, ServiceEvent, ServiceRevision, Task, TaskDefinition, TaskId, TaskStatus, Timestamp, Vpc,
};
use serde::{Deserialize, Serialize};

use crate::node_tasks::OnNodes;
use crate::row::Row;
use crate::table::{Groups, Index, replace_in};
use crate::task_listing::{self, ListingKey};

/// The newest revision of a task definition family. Outlives the revisions, so that none is ever used twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    pub scope: Scope,
    pub name: String,
    /// The highest revision that was ever given out.
    pub last_revision: u32,
}

/// A fact of the installation by name, such as the control plane's own id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub name: String,
    pub value: String,
}

impl Row for Cluster {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "clusters";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.name.clone())
    }
}

impl Row for CapacityProvider {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "capacity_providers";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.name.clone())
    }
}

impl Row for TaskDefinition {
    type Key = (Scope, String, u32);
    type Index = ();
    const TABLE: &'static str = "task_definitions";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.family.clone(), self.revision)
    }
}

impl Row for Family {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "families";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.name.clone())
    }
}

impl Row for Task {
    type Key = TaskId;
    type Index = TaskIndex;
    const TABLE: &'static str = "tasks";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.id
    }
}

#[derive(Clone, Default)]
pub struct TaskIndex {
    pub(crate) by_cluster: Groups<(Scope, String), TaskId>,
    pub(crate) listings: Groups<ListingKey, TaskId>,
    pub(crate) on_nodes: OnNodes,
    /// Tasks that are not yet STOPPED: those that hold something on the node. With what the node is to do with them, so
    /// that a node's desired set is read from here alone.
    pub(crate) by_node: Groups<NodeId, (TaskId, DesiredStatus)>,
    pub(crate) by_stopped_at: OrdSet<(Timestamp, TaskId)>,
    /// A service's tasks, but for those whose end it has taken into account.
    pub(crate) by_service: Groups<ServiceKey, TaskId>,
}

/// The service that a task is of, by its group.
pub fn service_of(task: &Task) -> Option<ServiceKey> {
    let name = task.group.strip_prefix(GROUP_PREFIX)?;
    Some((task.scope.clone(), task.cluster.clone(), name.to_owned()))
}

impl Index<Task> for TaskIndex {
    fn replace(&mut self, before: Option<&Task>, after: Option<&Task>) {
        let cluster = |task: &Task| ((task.scope.clone(), task.cluster.clone()), task.id);
        let node = |task: &Task| {
            let node = task.node.filter(|_| task.last_status < TaskStatus::Stopped)?;
            Some((node, (task.id, task.desired_on_node())))
        };
        let stopped = |task: &Task| task.stopped_at.map(|at| (at, task.id));
        self.by_cluster.replace(before.map(cluster), after.map(cluster));
        task_listing::replace(&mut self.listings, before, after);
        self.on_nodes.replace(before, after);
        self.by_node.replace(before.and_then(node), after.and_then(node));
        replace_in(&mut self.by_stopped_at, before.and_then(stopped), after.and_then(stopped));
        let service = |task: &Task| Some((service_of(task).filter(|_| !task.counted)?, task.id));
        self.by_service.replace(before.and_then(service), after.and_then(service));
    }
}

impl Row for Service {
    type Key = ServiceKey;
    type Index = ();
    const TABLE: &'static str = "services";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        Service::key(self)
    }
}

impl Row for ServiceEvent {
    type Key = (Scope, String, String, u64);
    type Index = ();
    const TABLE: &'static str = "service_events";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.cluster.clone(), self.service.clone(), self.number)
    }
}

impl Row for ServiceDeployment {
    type Key = ServiceDeploymentKey;
    type Index = ();
    const TABLE: &'static str = "service_deployments";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        ServiceDeployment::key(self)
    }
}

impl Row for ServiceRevision {
    type Key = ServiceRevisionKey;
    type Index = ();
    const TABLE: &'static str = "service_revisions";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        ServiceRevision::key(self)
    }
}

impl Row for Node {
    type Key = NodeId;
    type Index = NodeIndex;
    const TABLE: &'static str = "nodes";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.id
    }
}

#[derive(Clone, Default)]
pub struct NodeIndex {
    pub(crate) by_scope: Groups<Scope, NodeId>,
}

impl Index<Node> for NodeIndex {
    fn replace(&mut self, before: Option<&Node>, after: Option<&Node>) {
        let scope = |node: &Node| (node.scope.clone(), node.id);
        self.by_scope.replace(before.map(scope), after.map(scope));
    }
}

impl Row for ContainerInstance {
    type Key = ContainerInstanceId;
    type Index = ContainerInstanceIndex;
    const TABLE: &'static str = "container_instances";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.id
    }
}

#[derive(Clone, Default)]
pub struct ContainerInstanceIndex {
    pub(crate) by_cluster: Groups<(Scope, String), ContainerInstanceId>,
    /// Those that are not INACTIVE.
    pub(crate) by_node: Groups<NodeId, ContainerInstanceId>,
}

impl Index<ContainerInstance> for ContainerInstanceIndex {
    fn replace(&mut self, before: Option<&ContainerInstance>, after: Option<&ContainerInstance>) {
        let cluster = |row: &ContainerInstance| ((row.scope.clone(), row.cluster.clone()), row.id);
        let node = |row: &ContainerInstance| (row.status != InstanceStatus::Inactive).then_some((row.node, row.id));
        self.by_cluster.replace(before.map(cluster), after.map(cluster));
        self.by_node.replace(before.and_then(node), after.and_then(node));
    }
}

impl Row for NetworkInterface {
    type Key = String;
    type Index = InterfaceIndex;
    const TABLE: &'static str = "interfaces";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.id.clone()
    }
}

#[derive(Clone, Default)]
pub struct InterfaceIndex {
    pub(crate) by_scope: Groups<Scope, String>,
    pub(crate) by_subnet: OrdSet<(String, Ipv4Addr, String)>,
    pub(crate) by_task: Groups<TaskId, String>,
}

impl Index<NetworkInterface> for InterfaceIndex {
    fn replace(&mut self, before: Option<&NetworkInterface>, after: Option<&NetworkInterface>) {
        let scope = |row: &NetworkInterface| (row.scope.clone(), row.id.clone());
        let subnet = |row: &NetworkInterface| (row.subnet_id.clone(), row.address, row.id.clone());
        let task = |row: &NetworkInterface| Some((row.task?, row.id.clone()));
        self.by_scope.replace(before.map(scope), after.map(scope));
        replace_in(&mut self.by_subnet, before.map(subnet), after.map(subnet));
        self.by_task.replace(before.and_then(task), after.and_then(task));
    }
}

impl Row for Vpc {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "vpcs";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for InternetGateway {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "internet_gateways";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for NatGateway {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "nat_gateways";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for ElasticAddress {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "elastic_addresses";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for PrefixList {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "prefix_lists";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for SecurityGroup {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "security_groups";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.id.clone())
    }
}

impl Row for ResourceTags {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "resource_tags";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.resource.clone())
    }
}

impl Row for LoadBalancer {
    type Key = LoadBalancerKey;
    type Index = ();
    const TABLE: &'static str = "load_balancers";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for Listener {
    type Key = ListenerKey;
    type Index = ();
    const TABLE: &'static str = "listeners";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for Rule {
    type Key = RuleKey;
    type Index = ();
    const TABLE: &'static str = "rules";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for TargetGroup {
    type Key = TargetGroupKey;
    type Index = ();
    const TABLE: &'static str = "target_groups";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for Target {
    type Key = TargetKey;
    type Index = ();
    const TABLE: &'static str = "targets";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for Certificate {
    type Key = CertificateKey;
    type Index = ();
    const TABLE: &'static str = "certificates";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for Namespace {
    type Key = NamespaceKey;
    type Index = ();
    const TABLE: &'static str = "namespaces";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for DiscoveryService {
    type Key = DiscoveryServiceKey;
    type Index = ();
    const TABLE: &'static str = "discovery_services";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for DiscoveryInstance {
    type Key = DiscoveryInstanceKey;
    type Index = ();
    const TABLE: &'static str = "discovery_instances";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for DiscoveryOperation {
    type Key = DiscoveryOperationKey;
    type Index = ();
    const TABLE: &'static str = "discovery_operations";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.key()
    }
}

impl Row for LogGroup {
    type Key = (Scope, String);
    type Index = ();
    const TABLE: &'static str = "log_groups";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.name.clone())
    }
}

impl Row for LogStream {
    type Key = (Scope, String, String);
    type Index = ();
    const TABLE: &'static str = "log_streams";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.group.clone(), self.name.clone())
    }
}

impl Row for AccountSetting {
    type Key = (Scope, String, Option<String>);
    type Index = ();
    const TABLE: &'static str = "account_settings";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.name.clone(), self.principal.clone())
    }
}

impl Row for Meta {
    type Key = String;
    type Index = ();
    const TABLE: &'static str = "meta";
    const VERSION: u16 = 1;

    fn key(&self) -> Self::Key {
        self.name.clone()
    }
}
