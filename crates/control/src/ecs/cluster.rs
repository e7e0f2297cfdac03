//! Clusters.
//!
//! ```text
//! Create ─▶ ACTIVE ─Delete (nothing runs in it)─▶ INACTIVE ─[`INACTIVE_RETENTION`] (sweep)─▶ gone
//!             ▲                                      │
//!             └────────────── Create ◀───────────────┘
//! ```
//! ECS Exec and Container Insights are not built: what asks for them is refused.

use std::sync::Arc;
use std::time::Duration;

use model::cluster::{Cluster, ClusterStatus as Status, DEFAULT_CLUSTER};
use model::service::ServiceStatus;
use model::{Arn, DesiredStatus, InstanceStatus, LaunchType, Scope, TaskStatus, Timestamp};
use plan::task_definition::is_name;
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::convert::cluster::{self as convert, Detail};
use super::convert::tag;
use super::identifier::{is_arn, named_by_arn};
use super::service::service_connect::default_namespace;
use super::{capacity_provider, listing};
use crate::{Cx, page};

/// Clusters in one DescribeClusters call (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 100;
/// Clusters of an account in a region (ecs-semantics §4.4).
const CLUSTERS_MAX: usize = 10_000;
/// How long a deleted cluster can still be described.
pub const INACTIVE_RETENTION: Duration = Duration::from_secs(3600);

/// The name in a `cluster` parameter: a name or an ARN, `default` without one. Whether there is such a cluster is
/// another question.
///
/// # Errors
/// `InvalidParameterException` for an ARN of somebody or something else.
pub fn name_of(scope: &Scope, text: Option<&str>) -> Result<String, Error> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_CLUSTER);
    let name = if is_arn(text) { named_by_arn(scope, "cluster", text)? } else { text };
    Ok(name.to_owned())
}

/// The cluster of a `cluster` parameter, in whatever status.
///
/// # Errors
/// `ClusterNotFoundException`; as [`name_of`].
pub fn find(tables: &Tables, scope: &Scope, text: Option<&str>) -> Result<Arc<Cluster>, Error> {
    let name = name_of(scope, text)?;
    let cluster = tables.clusters.get(&(scope.clone(), name)).cloned();
    cluster.ok_or_else(|| Error::cluster_not_found("Cluster not found."))
}

/// As [`find`], for what needs an ACTIVE one.
///
/// # Errors
/// `ClusterNotFoundException`, with a text of its own for an INACTIVE one.
pub fn find_active(tables: &Tables, scope: &Scope, text: Option<&str>) -> Result<Arc<Cluster>, Error> {
    let cluster = find(tables, scope, text)?;
    match cluster.status {
        Status::Active => Ok(cluster),
        Status::Inactive => Err(Error::cluster_not_found("The referenced cluster was inactive.")),
    }
}

/// A new ACTIVE cluster that nobody has given anything but its name.
pub fn new(scope: &Scope, name: &str, now: Timestamp) -> Cluster {
    Cluster {
        scope: scope.clone(),
        name: name.to_owned(),
        status: Status::Active,
        settings: convert::default_settings(),
        tags: vec![],
        capacity_providers: Vec::new(),
        default_strategy: Vec::new(),
        connect_namespace: None,
        created_at: now,
        inactive_at: None,
    }
}

/// CreateCluster. One that is ACTIVE already is answered as it is.
pub fn create_cluster(
    cx: &mut Cx<'_>,
    request: ecs::CreateClusterRequest,
) -> Result<ecs::CreateClusterResponse, Error> {
    let ecs::CreateClusterRequest {
        capacity_providers,
        cluster_name,
        configuration,
        default_capacity_provider_strategy,
        service_connect_defaults,
        settings,
        tags,
    } = request;
    let name = cluster_name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    if !is_name(&name) {
        return Err(Error::invalid_parameter(
            "Invalid cluster name. It must have 1 to 255 letters, digits, underscores or hyphens.",
        ));
    }
    convert::refuse_unbuilt(configuration.as_ref())?;
    let mut cluster = new(cx.scope(), &name, cx.now);
    convert::set(&mut cluster.settings, settings.unwrap_or_default())?;
    cluster.tags = tag::from_wire(tags.unwrap_or_default())?;
    let (providers, strategy) = (capacity_providers.unwrap_or_default(), default_capacity_provider_strategy);
    if let Some(defaults) = service_connect_defaults {
        cluster.connect_namespace = default_namespace(cx, &defaults.namespace)?;
    }
    capacity_provider::associate(cx, &mut cluster, providers, strategy.unwrap_or_default())?;

    let present = cx.txn.clusters.get(&(cx.scope().clone(), name)).filter(|row| row.status == Status::Active).cloned();
    let cluster = match present {
        Some(present) if is_other(&present, &cluster) => {
            return Err(Error::invalid_parameter(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            ));
        }
        Some(present) => Cluster::clone(&present),
        None => {
            check_count(cx.txn, cx.scope())?;
            cx.txn.put(cluster.clone());
            cluster
        }
    };
    Ok(ecs::CreateClusterResponse { cluster: Some(show_whole(cx.txn, &cluster)) })
}

/// Whether capacity providers or a namespace are asked for that the present cluster does not have.
fn is_other(present: &Cluster, asked: &Cluster) -> bool {
    if asked.connect_namespace.is_some() && asked.connect_namespace != present.connect_namespace {
        return true;
    }
    let providers = |row: &Cluster| (row.capacity_providers.clone(), row.default_strategy.clone());
    !asked.capacity_providers.is_empty() && providers(present) != providers(asked)
}

fn check_count(tables: &Tables, scope: &Scope) -> Result<(), Error> {
    let active = tables.clusters_in_scope(scope).filter(|row| row.status == Status::Active);
    if active.count() >= CLUSTERS_MAX {
        return Err(Error::client(format!("You have reached the limit of {CLUSTERS_MAX} clusters.")));
    }
    Ok(())
}

/// DescribeClusters: `default` when none is named; into `failures` those that are not there.
pub fn describe_clusters(
    cx: &mut Cx<'_>,
    request: ecs::DescribeClustersRequest,
) -> Result<ecs::DescribeClustersResponse, Error> {
    let detail = Detail::from_wire(&request.include.unwrap_or_default())?;
    let mut texts = request.clusters.unwrap_or_default();
    if texts.len() > DESCRIBE_MAX {
        return Err(Error::invalid_parameter(format!("Clusters cannot have more than {DESCRIBE_MAX} entries.")));
    }
    if texts.is_empty() {
        texts.push(DEFAULT_CLUSTER.to_owned());
    }
    let (mut clusters, mut failures) = (vec![], vec![]);
    for text in texts {
        let name = name_of(cx.scope(), Some(&text))?;
        match cx.txn.clusters.get(&(cx.scope().clone(), name.clone())) {
            Some(cluster) => clusters.push(show(cx.txn, cluster, detail)),
            None => failures.push(ecs::Failure {
                arn: Some(Arn::cluster(cx.scope(), &name).to_string()),
                reason: Some("MISSING".to_owned()),
                detail: None,
            }),
        }
    }
    Ok(ecs::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// ListClusters: the ACTIVE ones by name.
pub fn list_clusters(cx: &mut Cx<'_>, request: ecs::ListClustersRequest) -> Result<ecs::ListClustersResponse, Error> {
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?;
    let rows = cx.txn.clusters_in_scope(&cx.caller.scope).filter(|row| row.status == Status::Active);
    let rest = rows.filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
    let (rows, next_token) = page::cut(rest, limit, |row| row.name.clone());
    let arns = rows.iter().map(|row| Arn::cluster(&row.scope, &row.name).to_string());
    Ok(ecs::ListClustersResponse { cluster_arns: Some(arns.collect()), next_token })
}

/// UpdateCluster.
pub fn update_cluster(
    cx: &mut Cx<'_>,
    request: ecs::UpdateClusterRequest,
) -> Result<ecs::UpdateClusterResponse, Error> {
    let ecs::UpdateClusterRequest { cluster, configuration, service_connect_defaults, settings } = request;
    let mut row = Cluster::clone(&*find_named(cx, &cluster)?);
    convert::refuse_unbuilt(configuration.as_ref())?;
    if let Some(defaults) = service_connect_defaults {
        row.connect_namespace = default_namespace(cx, &defaults.namespace)?;
    }
    convert::set(&mut row.settings, settings.unwrap_or_default())?;
    cx.txn.put(row.clone());
    Ok(ecs::UpdateClusterResponse { cluster: Some(show_whole(cx.txn, &row)) })
}

/// UpdateClusterSettings.
pub fn update_cluster_settings(
    cx: &mut Cx<'_>,
    request: ecs::UpdateClusterSettingsRequest,
) -> Result<ecs::UpdateClusterSettingsResponse, Error> {
    let ecs::UpdateClusterSettingsRequest { cluster, settings } = request;
    let mut row = Cluster::clone(&*find_named(cx, &cluster)?);
    if settings.is_empty() {
        return Err(Error::invalid_parameter("settings cannot be empty."));
    }
    convert::set(&mut row.settings, settings)?;
    cx.txn.put(row.clone());
    Ok(ecs::UpdateClusterSettingsResponse { cluster: Some(show_whole(cx.txn, &row)) })
}

/// DeleteCluster: refused while anything is in it.
pub fn delete_cluster(
    cx: &mut Cx<'_>,
    request: ecs::DeleteClusterRequest,
) -> Result<ecs::DeleteClusterResponse, Error> {
    let mut row = Cluster::clone(&*find_named(cx, &request.cluster)?);
    if registered_instances(cx.txn, &row) > 0 {
        return Err(Error::cluster_contains_container_instances(
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        ));
    }
    let is_there = |service: &Arc<model::Service>| service.status != ServiceStatus::Inactive;
    if cx.txn.services_in_cluster(&row.scope, &row.name).any(is_there) {
        return Err(Error::cluster_contains_services("The Cluster cannot be deleted while Services are active."));
    }
    if cx.txn.tasks_in_cluster(&row.scope, &row.name).any(|task| task.last_status < TaskStatus::Stopped) {
        return Err(Error::cluster_contains_tasks("The Cluster cannot be deleted while Tasks are active."));
    }
    row.status = Status::Inactive;
    row.inactive_at = Some(cx.now);
    cx.txn.put(row.clone());
    Ok(ecs::DeleteClusterResponse { cluster: Some(show_whole(cx.txn, &row)) })
}

/// For the operations whose `cluster` is required: without one there is no default.
pub(super) fn find_named(cx: &Cx<'_>, text: &str) -> Result<Arc<Cluster>, Error> {
    if text.is_empty() {
        return Err(Error::invalid_parameter("Cluster can not be blank."));
    }
    find_active(cx.txn, cx.scope(), Some(text))
}

/// As the operations that change one answer it.
pub(super) fn show_whole(tables: &Tables, cluster: &Cluster) -> ecs::Cluster {
    show(tables, cluster, Detail::ALL)
}

fn show(tables: &Tables, cluster: &Cluster, detail: Detail) -> ecs::Cluster {
    let census = take_census(tables, cluster);
    convert::to_wire(cluster, &census, detail)
}

fn registered_instances(tables: &Tables, cluster: &Cluster) -> usize {
    let instances = tables.container_instances_in_cluster(&cluster.scope, &cluster.name);
    instances.filter(|instance| instance.status != InstanceStatus::Inactive).count()
}

/// Tasks that have not begun to stop, by launch type.
fn take_census(tables: &Tables, cluster: &Cluster) -> convert::Census {
    let mut census = convert::Census { instances: registered_instances(tables, cluster), ..Default::default() };
    for task in tables.tasks_in_cluster(&cluster.scope, &cluster.name) {
        let count = match task.launch_type {
            LaunchType::Ec2 => &mut census.ec2,
            LaunchType::Fargate => &mut census.fargate,
            LaunchType::External => &mut census.external,
        };
        match task.last_status {
            TaskStatus::Running => count.running += 1,
            status if status < TaskStatus::Running && task.desired_status == DesiredStatus::Running => {
                count.pending += 1;
            }
            _ => {}
        }
    }
    for service in tables.services_in_cluster(&cluster.scope, &cluster.name) {
        let count = match service.launch_type {
            LaunchType::Ec2 => &mut census.ec2,
            LaunchType::Fargate => &mut census.fargate,
            LaunchType::External => &mut census.external,
        };
        match service.status {
            ServiceStatus::Active => count.active_services += 1,
            ServiceStatus::Draining => count.draining_services += 1,
            ServiceStatus::Inactive => {}
        }
    }
    census
}

/// Removes the deleted clusters whose retention is over. Answers how many.
pub fn sweep(txn: &mut Txn, now: Timestamp) -> usize {
    let over = txn.clusters.iter().filter(|row| is_over(row, now));
    let keys: Vec<_> = over.map(|row| (row.scope.clone(), row.name.clone())).collect();
    for key in &keys {
        txn.remove::<Cluster>(key);
    }
    keys.len()
}

fn is_over(cluster: &Cluster, now: Timestamp) -> bool {
    cluster.inactive_at.is_some_and(|at| now.since(at) >= INACTIVE_RETENTION)
}
