//! All tables together, and the reads that have an index. Every reader walks in key order and scans nothing else.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;
use std::sync::Arc;

use model::discovery::{
    DiscoveryInstance, DiscoveryOperation, DiscoveryService, DiscoveryServiceKey, Namespace, NamespaceKey,
};
use model::edge::Action;
use model::load_balancer::{
    Listener, ListenerKey, LoadBalancer, LoadBalancerKey, Rule, Target, TargetGroup, TargetGroupKey,
};
use model::logs::{LogGroup, LogStream};
use model::service::{Service, ServiceKey};
use model::setting::AccountSetting;
use model::tag::ResourceTags;
use model::{
    CapacityProvider, Certificate, Cluster, ContainerInstance, ContainerInstanceId, DesiredStatus, ElasticAddress,
    InternetGateway, NatGateway, NetworkInterface, Node, NodeId, PrefixList, Scope, SecurityGroup, ServiceDeployment,
    ServiceEvent, ServiceRevision, Task, TaskDefinition, TaskId, Timestamp, Vpc,
};

use crate::changes::{RowChange, TableChanges};
use crate::client_token::ClientToken;
use crate::log::{LogError, Writes};
use crate::node_tasks::NodeTasks;
use crate::row::{self, Row};
use crate::rows::{Family, Meta};
use crate::table::Table;
use crate::task_listing::TaskListing;

/// A row that has a table in [`Tables`].
pub trait Stored: Row {
    fn table(tables: &Tables) -> &Table<Self>;
    #[doc(hidden)]
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
    fn changes(changes: &Changes) -> &TableChanges<Self>;
    #[doc(hidden)]
    fn changes_mut(changes: &mut Changes) -> &mut TableChanges<Self>;
}

macro_rules! tables {
    ($($field:ident: $row:ty,)*) => {
        /// One state of everything. Cloning it costs a few pointers, whatever its size.
        #[derive(Clone, Default)]
        pub struct Tables {
            pub(crate) revision: u64,
            $(pub $field: Table<$row>,)*
        }

        /// What one commit changed, by table and key.
        #[derive(Default)]
        pub struct Changes {
            $(pub $field: TableChanges<$row>,)*
        }

        $(impl Stored for $row {
            fn table(tables: &Tables) -> &Table<Self> {
                &tables.$field
            }

            fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$field
            }

            fn changes(changes: &Changes) -> &TableChanges<Self> {
                &changes.$field
            }

            fn changes_mut(changes: &mut Changes) -> &mut TableChanges<Self> {
                &mut changes.$field
            }
        })*

        impl Tables {
            /// The tables' names in the log.
            pub const NAMES: &[&str] = &[$(<$row as Row>::TABLE),*];

            /// Takes in one row as the log has it.
            pub(crate) fn load(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<(), LogError> {
                match table {
                    $(<$row as Row>::TABLE => {
                        self.$field.put(Arc::new(row::decode(key, value)?));
                    })*
                    unknown => {
                        return Err(LogError::UnknownTable(unknown.to_owned()));
                    }
                }
                Ok(())
            }
        }

        impl Changes {
            pub fn is_empty(&self) -> bool {
                true $(&& self.$field.is_empty())*
            }

            /// Puts every row back as it was before.
            pub(crate) fn undo(self, tables: &mut Tables) {
                $(undo(self.$field, &mut tables.$field);)*
            }

            /// Adds the rows as they are after the commit; a row of an earlier commit gives way.
            pub(crate) fn write_after(&self, writes: &mut Writes) {
                $(write_after(&self.$field, writes);)*
            }

            /// Adds the rows as they were before the commit; what an earlier commit says stays.
            pub(crate) fn write_before(&self, writes: &mut Writes) {
                $(write_before(&self.$field, writes);)*
            }
        }
    };
}

tables! {
    clusters: Cluster,
    capacity_providers: CapacityProvider,
    task_definitions: TaskDefinition,
    families: Family,
    tasks: Task,
    services: Service,
    service_events: ServiceEvent,
    service_deployments: ServiceDeployment,
    service_revisions: ServiceRevision,
    nodes: Node,
    container_instances: ContainerInstance,
    interfaces: NetworkInterface,
    vpcs: Vpc,
    internet_gateways: InternetGateway,
    nat_gateways: NatGateway,
    elastic_addresses: ElasticAddress,
    prefix_lists: PrefixList,
    security_groups: SecurityGroup,
    resource_tags: ResourceTags,
    load_balancers: LoadBalancer,
    listeners: Listener,
    rules: Rule,
    target_groups: TargetGroup,
    targets: Target,
    certificates: Certificate,
    namespaces: Namespace,
    discovery_services: DiscoveryService,
    discovery_instances: DiscoveryInstance,
    discovery_operations: DiscoveryOperation,
    log_groups: LogGroup,
    log_streams: LogStream,
    account_settings: AccountSetting,
    client_tokens: ClientToken,
    meta: Meta,
}

fn write_after<R: Stored>(changes: &TableChanges<R>, writes: &mut Writes) {
    for (key, change) in changes {
        writes.insert((R::TABLE, row::Key::bytes(key)), change.after.as_deref().map(row::encode));
    }
}

fn write_before<R: Stored>(changes: &TableChanges<R>, writes: &mut Writes) {
    for (key, change) in changes {
        let entry = writes.entry((R::TABLE, row::Key::bytes(key)));
        entry.or_insert_with(|| change.before.as_deref().map(row::encode));
    }
}

fn undo<R: Stored>(changes: TableChanges<R>, table: &mut Table<R>) {
    for (key, change) in changes {
        match change.before {
            Some(row) => table.put(row),
            None => table.remove(&key),
        };
    }
}

impl Tables {
    /// Rises by one with every commit that changes something.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn clusters_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Cluster>> {
        self.clusters.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    pub fn capacity_providers_in_scope<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<CapacityProvider>> {
        self.capacity_providers.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// All tasks of a cluster, stopped ones too, by id.
    pub fn tasks_in_cluster<'a>(
        &'a self,
        scope: &Scope,
        cluster: &str,
    ) -> impl Iterator<Item = &'a Arc<Task>> + use<'a> {
        let ids = self.tasks.index().by_cluster.of(&(scope.clone(), cluster.to_owned()));
        ids.map(|id| present(self.tasks.get(id)))
    }

    /// A cluster's tasks of one desired status and listing, by id, from the first one after `after`.
    pub fn tasks_listed<'a>(
        &'a self,
        scope: &Scope,
        cluster: &str,
        desired_status: DesiredStatus,
        listing: TaskListing,
        after: Option<TaskId>,
    ) -> impl Iterator<Item = &'a Arc<Task>> + use<'a> {
        let key = (scope.clone(), cluster.to_owned(), desired_status, listing);
        self.tasks.index().listings.after(&key, after).map(|id| present(self.tasks.get(id)))
    }

    /// How many tasks that are not STOPPED a node has; `None` when it has none.
    pub fn node_tasks(&self, node: NodeId) -> Option<&NodeTasks> {
        self.tasks.index().on_nodes.get(node)
    }

    /// The tasks that hold something on a node: placed there and not yet STOPPED.
    pub fn tasks_on_node(&self, node: NodeId) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.index().by_node.of(&node).map(|(id, _)| present(self.tasks.get(id)))
    }

    /// The same tasks by id, with what the node is to do with them.
    pub fn desired_on_node(&self, node: NodeId) -> impl Iterator<Item = (TaskId, DesiredStatus)> + '_ {
        self.tasks.index().by_node.of(&node).copied()
    }

    pub fn count_tasks_on_node(&self, node: NodeId) -> usize {
        self.tasks.index().by_node.count(&node)
    }

    /// STOPPED tasks whose `stopped_at` is before `time`, oldest first.
    pub fn tasks_stopped_before(&self, time: Timestamp) -> impl Iterator<Item = &Arc<Task>> {
        let stopped = self.tasks.index().by_stopped_at.range(..(time, TaskId(0)));
        stopped.map(|(_, id)| present(self.tasks.get(id)))
    }

    /// A cluster's services by name, INACTIVE ones too.
    pub fn services_in_cluster<'a>(
        &'a self,
        scope: &'a Scope,
        cluster: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        let from = (scope.clone(), cluster.to_owned(), String::new());
        self.services.range(from..).take_while(move |row| row.scope == *scope && row.cluster == cluster)
    }

    /// A service's tasks by id, but for those whose end it has taken into account.
    pub fn tasks_of_service(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.index().by_service.of(service).map(|id| present(self.tasks.get(id)))
    }

    pub fn count_tasks_of_service(&self, service: &ServiceKey) -> usize {
        self.tasks.index().by_service.count(service)
    }

    /// A service's events, oldest first.
    pub fn events_of_service(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<ServiceEvent>> {
        let key = |number| (service.0.clone(), service.1.clone(), service.2.clone(), number);
        self.service_events.range(key(0)..=key(u64::MAX))
    }

    /// A service's deployments by id.
    pub fn deployments_of_service<'a>(
        &'a self,
        service: &'a ServiceKey,
    ) -> impl Iterator<Item = &'a Arc<ServiceDeployment>> {
        let (scope, cluster, name) = service.clone();
        let is_of = move |row: &&Arc<ServiceDeployment>| {
            row.scope == service.0 && row.cluster == service.1 && row.service == service.2
        };
        self.service_deployments.range((scope, cluster, name, String::new())..).take_while(is_of)
    }

    /// A service's revisions by id.
    pub fn revisions_of_service<'a>(
        &'a self,
        service: &'a ServiceKey,
    ) -> impl Iterator<Item = &'a Arc<ServiceRevision>> {
        let (scope, cluster, name) = service.clone();
        let is_of = move |row: &&Arc<ServiceRevision>| {
            row.scope == service.0 && row.cluster == service.1 && row.service == service.2
        };
        self.service_revisions.range((scope, cluster, name, String::new())..).take_while(is_of)
    }

    pub fn nodes_in_scope<'a>(&'a self, scope: &Scope) -> impl Iterator<Item = &'a Arc<Node>> + use<'a> {
        self.nodes.index().by_scope.of(scope).map(|id| present(self.nodes.get(id)))
    }

    /// All container instances of a cluster, INACTIVE ones too, by id.
    pub fn container_instances_in_cluster<'a>(
        &'a self,
        scope: &Scope,
        cluster: &str,
    ) -> impl Iterator<Item = &'a Arc<ContainerInstance>> + use<'a> {
        let ids = self.container_instances.index().by_cluster.of(&(scope.clone(), cluster.to_owned()));
        ids.map(|id| present(self.container_instances.get(id)))
    }

    /// The container instance that a node is now; INACTIVE ones are of the past.
    pub fn container_instance_of_node(&self, node: NodeId) -> Option<&Arc<ContainerInstance>> {
        let id: &ContainerInstanceId = self.container_instances.index().by_node.of(&node).next()?;
        self.container_instances.get(id)
    }

    pub fn interfaces_in_scope<'a>(
        &'a self,
        scope: &Scope,
    ) -> impl Iterator<Item = &'a Arc<NetworkInterface>> + use<'a> {
        self.interfaces.index().by_scope.of(scope).map(|id| present(self.interfaces.get(id)))
    }

    /// The interfaces of a subnet by address.
    pub fn interfaces_in_subnet<'a>(&'a self, subnet: &'a str) -> impl Iterator<Item = &'a Arc<NetworkInterface>> {
        let from = (subnet.to_owned(), Ipv4Addr::UNSPECIFIED, String::new());
        let rows = self.interfaces.index().by_subnet.range(from..).take_while(move |(id, _, _)| id == subnet);
        rows.map(|(_, _, id)| present(self.interfaces.get(id)))
    }

    pub fn address_taken(&self, subnet: &str, address: Ipv4Addr) -> bool {
        let from = (subnet.to_owned(), address, String::new());
        let next = self.interfaces.index().by_subnet.range(from..).next();
        next.is_some_and(|(id, taken, _)| id == subnet && *taken == address)
    }

    pub fn interface_of_task(&self, task: TaskId) -> Option<&Arc<NetworkInterface>> {
        self.interfaces.get(self.interfaces.index().by_task.of(&task).next()?)
    }

    /// The VPCs of the caller's own, by id: the built-in one has no row.
    pub fn vpcs_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Vpc>> {
        self.vpcs.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// By id, but for the built-in VPC's.
    pub fn internet_gateways_in_scope<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<InternetGateway>> {
        self.internet_gateways.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// By id, deleted ones too.
    pub fn nat_gateways_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<NatGateway>> {
        self.nat_gateways.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    pub fn elastic_addresses_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<ElasticAddress>> {
        self.elastic_addresses.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    pub fn prefix_lists_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<PrefixList>> {
        self.prefix_lists.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// The security groups that have a row, by id: all but built-in ones that nobody has changed.
    pub fn security_groups_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<SecurityGroup>> {
        self.security_groups.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    pub fn resource_tags_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<ResourceTags>> {
        self.resource_tags.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// A scope's load balancers, by name.
    pub fn load_balancers_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<LoadBalancer>> {
        self.load_balancers.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// A load balancer's listeners, by id.
    pub fn listeners_of<'a>(
        &'a self,
        load_balancer: &LoadBalancerKey,
    ) -> impl Iterator<Item = &'a Arc<Listener>> + use<'a> {
        let (scope, name) = load_balancer.clone();
        let from = (scope.clone(), name.clone(), String::new());
        self.listeners.range(from..).take_while(move |row| row.scope == scope && row.load_balancer == name)
    }

    /// A listener's rules, by id.
    pub fn rules_of<'a>(&'a self, listener: &ListenerKey) -> impl Iterator<Item = &'a Arc<Rule>> + use<'a> {
        let (scope, load_balancer, id) = listener.clone();
        let from = (scope.clone(), load_balancer.clone(), id.clone(), String::new());
        let belongs =
            move |row: &&Arc<Rule>| row.scope == scope && row.load_balancer == load_balancer && row.listener == id;
        self.rules.range(from..).take_while(belongs)
    }

    /// A target group's targets, by address.
    pub fn targets_of<'a>(&'a self, group: &TargetGroupKey) -> impl Iterator<Item = &'a Arc<Target>> + use<'a> {
        let (scope, name) = group.clone();
        let from = (scope.clone(), name.clone(), Ipv4Addr::UNSPECIFIED, 0);
        self.targets.range(from..).take_while(move |row| row.scope == scope && row.group == name)
    }

    /// Names of the load balancers that forward to the target group of this ARN. Goes through the scope's listeners and
    /// rules, of which there are few.
    pub fn load_balancers_of_group(&self, scope: &Scope, arn: &str) -> BTreeSet<String> {
        let forwards = |action: &Action| match action {
            Action::Forward(forward) => forward.groups.iter().any(|(group, _)| group == arn),
            Action::Redirect(_) | Action::FixedResponse { .. } => false,
        };
        let first = (scope.clone(), String::new(), String::new());
        let listeners = self.listeners.range(first..).take_while(|row| row.scope == *scope);
        let by_default = listeners.filter(|row| forwards(&row.action)).map(|row| row.load_balancer.clone());
        let first = (scope.clone(), String::new(), String::new(), String::new());
        let rules = self.rules.range(first..).take_while(|row| row.scope == *scope);
        by_default.chain(rules.filter(|row| forwards(&row.action)).map(|row| row.load_balancer.clone())).collect()
    }

    /// Names of the load balancers with a listener that uses the certificate of this ARN.
    pub fn load_balancers_of_certificate(&self, scope: &Scope, arn: &str) -> BTreeSet<String> {
        let uses = |row: &&Arc<Listener>| {
            row.security.as_ref().is_some_and(|security| security.certificates().any(|certificate| certificate == arn))
        };
        let first = (scope.clone(), String::new(), String::new());
        let listeners = self.listeners.range(first..).take_while(|row| row.scope == *scope);
        listeners.filter(uses).map(|row| row.load_balancer.clone()).collect()
    }

    /// Cloud Map's namespaces, by id.
    pub fn namespaces_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Namespace>> {
        self.namespaces.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// Cloud Map's services, by id.
    pub fn discovery_services_in_scope<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<DiscoveryService>> {
        self.discovery_services.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// A namespace's services, by id. Goes through the scope's, of which there are few.
    pub fn discovery_services_of<'a>(
        &'a self,
        namespace: &NamespaceKey,
    ) -> impl Iterator<Item = &'a Arc<DiscoveryService>> + use<'a> {
        let (scope, id) = namespace.clone();
        let rows = self.discovery_services.range((scope.clone(), String::new())..);
        rows.take_while(move |row| row.scope == scope).filter(move |row| row.namespace == id)
    }

    /// A service's instances, by id.
    pub fn discovery_instances_of<'a>(
        &'a self,
        service: &DiscoveryServiceKey,
    ) -> impl Iterator<Item = &'a Arc<DiscoveryInstance>> + use<'a> {
        let (scope, id) = service.clone();
        let rows = self.discovery_instances.range((scope.clone(), id.clone(), String::new())..);
        rows.take_while(move |row| row.scope == scope && row.service == id)
    }

    /// Cloud Map's operations, oldest first.
    pub fn discovery_operations_in_scope<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<DiscoveryOperation>> {
        self.discovery_operations.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// A family's revisions, lowest first.
    pub fn task_definitions_of<'a>(
        &'a self,
        scope: &Scope,
        family: &str,
    ) -> impl Iterator<Item = &'a Arc<TaskDefinition>> + use<'a> {
        let key = |revision| (scope.clone(), family.to_owned(), revision);
        self.task_definitions.range(key(0)..=key(u32::MAX))
    }

    pub fn task_definitions_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<TaskDefinition>> {
        self.task_definitions.range((scope.clone(), String::new(), 0)..).take_while(move |row| row.scope == *scope)
    }

    pub fn families_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Family>> {
        self.families.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    pub fn log_groups_in_scope<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<LogGroup>> {
        self.log_groups.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
    }

    /// A log group's streams by name.
    pub fn log_streams_of<'a>(&'a self, scope: &'a Scope, group: &'a str) -> impl Iterator<Item = &'a Arc<LogStream>> {
        let from = (scope.clone(), group.to_owned(), String::new());
        self.log_streams.range(from..).take_while(move |row| row.scope == *scope && row.group == group)
    }

    /// Every value of a setting: the account's default first, then by principal.
    pub fn account_settings_of<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<AccountSetting>> {
        let from = (scope.clone(), name.to_owned(), None);
        self.account_settings.range(from..).take_while(move |row| row.scope == *scope && row.name == name)
    }

    pub fn meta_value(&self, name: &str) -> Option<&str> {
        self.meta.get(&name.to_owned()).map(|row| row.value.as_str())
    }

    /// Client tokens first used before `time`, oldest first.
    pub(crate) fn client_tokens_before(&self, time: Timestamp) -> impl Iterator<Item = &Arc<ClientToken>> {
        let keys = self.client_tokens.index().by_time.range(..(time, None));
        keys.map(|(_, key)| present(key.as_ref().and_then(|key| self.client_tokens.get(key))))
    }
}

/// An index holds exactly the keys of its table.
fn present<R>(row: Option<&Arc<R>>) -> &Arc<R> {
    row.expect("an index entry without its row")
}

/// Notes one row's change; what came before it in the same transaction is folded in.
pub(crate) fn record<R: Stored>(
    changes: &mut TableChanges<R>,
    key: R::Key,
    before: Option<Arc<R>>,
    after: Option<Arc<R>>,
) {
    match changes.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(RowChange { before, after });
        }
        Entry::Occupied(mut occupied) => {
            occupied.get_mut().after = after;
            let change = occupied.get();
            if change.before == change.after {
                occupied.remove();
            }
        }
    }
}
