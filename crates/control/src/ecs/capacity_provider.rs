//! Capacity providers: CreateCapacityProvider, UpdateCapacityProvider, DescribeCapacityProviders,
//! DeleteCapacityProvider, PutClusterCapacityProviders; and what a strategy may say.
//!
//! ```text
//! Create ─▶ ACTIVE ─PutClusterCapacityProviders─▶ a cluster's ─▶ named by strategies ─▶ in use: stays
//!             └────────── Delete (no cluster has it) ─▶ gone
//! ```
//! FARGATE and FARGATE_SPOT are always there. The other ones stand for the container instances that carry the
//! attribute `gantry.capacity-provider` with their name (decision 0009). Managed scaling, draining and termination
//! protection need a service that makes machines, so they are refused; so are Managed Instances.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::capacity_provider::{
    ATTRIBUTE, Capacity, FARGATE, FARGATE_SPOT, ManagedScaling, PROVIDERS_MAX, StrategyItem, is_fargate,
};
use model::cluster::ClusterStatus;
use model::service::ServiceStatus;
use model::{Attribute, CapacityProvider, Cluster, LaunchType, Scope, TaskStatus};
use plan::task_definition::is_name;
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::convert::capacity_provider::{self as convert, fargate_to_wire, name_of, to_wire};
use super::convert::tag;
use super::{cluster, listing, task};
use crate::{Cx, page};

/// Names in one DescribeCapacityProviders, and entries of one page (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 100;
const PAGE_MAX: usize = 10;
const RESERVED_PREFIXES: [&str; 3] = ["aws", "ecs", "fargate"];
const NOT_FOUND: &str =
    "The specified capacity provider was not found. Specify a valid capacity provider and try again.";
const IN_USE: &str = "The specified capacity provider is in use and cannot be removed.";

fn find<'a>(tables: &'a Tables, scope: &Scope, name: &str) -> Option<&'a Arc<CapacityProvider>> {
    tables.capacity_providers.get(&(scope.clone(), name.to_owned()))
}

fn find_named(cx: &Cx<'_>, text: &str) -> Result<CapacityProvider, Error> {
    let name = name_of(cx.scope(), text)?;
    if is_fargate(name) {
        return Err(Error::invalid_parameter(format!("The capacity provider {name} cannot be changed or deleted.")));
    }
    let row = find(cx.txn, cx.scope(), name);
    row.map(|row| CapacityProvider::clone(row)).ok_or_else(|| Error::invalid_parameter(NOT_FOUND))
}

fn is_there(tables: &Tables, scope: &Scope, name: &str) -> bool {
    is_fargate(name) || find(tables, scope, name).is_some()
}

/// The provider that a container instance with these attributes stands for, if it is there.
pub fn of_attributes<'a>(tables: &Tables, scope: &Scope, attributes: &'a [Attribute]) -> Option<&'a str> {
    provider_named(attributes).filter(|name| find(tables, scope, name).is_some())
}

/// The provider that the attributes name, whether it is there or not.
pub fn provider_named(attributes: &[Attribute]) -> Option<&str> {
    attributes.iter().find(|attribute| attribute.name == ATTRIBUTE)?.value.as_deref()
}

/// CreateCapacityProvider.
pub fn create_capacity_provider(
    cx: &mut Cx<'_>,
    request: ecs::CreateCapacityProviderRequest,
) -> Result<ecs::CreateCapacityProviderResponse, Error> {
    let ecs::CreateCapacityProviderRequest {
        auto_scaling_group_provider,
        cluster,
        managed_instances_provider,
        name,
        tags,
    } = request;
    refuse_managed_instances(managed_instances_provider.is_some(), cluster.as_ref())?;
    check_name(&name)?;
    let Some(group) = auto_scaling_group_provider else {
        return Err(Error::invalid_parameter("autoScalingGroupProvider is required."));
    };
    convert::refuse_management(group.managed_draining.as_ref(), group.managed_termination_protection.as_ref())?;
    if group.auto_scaling_group_arn.is_empty() {
        return Err(Error::invalid_parameter("autoScalingGroupArn can not be blank."));
    }
    let row = CapacityProvider {
        scope: cx.scope().clone(),
        name,
        auto_scaling_group_arn: group.auto_scaling_group_arn,
        managed_scaling: convert::managed_scaling(ManagedScaling::default(), group.managed_scaling)?,
        tags: tag::from_wire(tags.unwrap_or_default())?,
        created_at: cx.now,
        is_updated: false,
    };
    if find(cx.txn, cx.scope(), &row.name).is_some() {
        return Err(Error::client(
            "The specified capacity provider already exists. To change the configuration of an existing capacity \
             provider, update the capacity provider.",
        ));
    }
    let mut others = cx.txn.capacity_providers_in_scope(&cx.caller.scope);
    if others.any(|other| other.auto_scaling_group_arn == row.auto_scaling_group_arn) {
        return Err(Error::client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique \
             Auto Scaling group ARN and try again.",
        ));
    }
    drop(others);
    cx.txn.put(row.clone());
    Ok(ecs::CreateCapacityProviderResponse { capacity_provider: Some(to_wire(&row, true)) })
}

fn refuse_managed_instances(is_asked_for: bool, cluster: Option<&String>) -> Result<(), Error> {
    if is_asked_for || cluster.is_some_and(|cluster| !cluster.is_empty()) {
        return Err(Error::unsupported_feature(
            "Capacity providers of one cluster, for Managed Instances, are not supported by Gantry yet.",
        ));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Error> {
    let lower = name.to_ascii_lowercase();
    let is_reserved = RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if !is_name(name) || is_reserved {
        return Err(Error::invalid_parameter(
            "Invalid capacity provider name. It must have 1 to 255 letters, digits, underscores or hyphens and cannot \
             begin with aws, ecs or fargate.",
        ));
    }
    Ok(())
}

/// UpdateCapacityProvider: what is not given stays.
pub fn update_capacity_provider(
    cx: &mut Cx<'_>,
    request: ecs::UpdateCapacityProviderRequest,
) -> Result<ecs::UpdateCapacityProviderResponse, Error> {
    let ecs::UpdateCapacityProviderRequest { auto_scaling_group_provider, cluster, managed_instances_provider, name } =
        request;
    refuse_managed_instances(managed_instances_provider.is_some(), cluster.as_ref())?;
    let mut row = find_named(cx, &name)?;
    let Some(group) = auto_scaling_group_provider else {
        return Err(Error::invalid_parameter("autoScalingGroupProvider is required."));
    };
    convert::refuse_management(group.managed_draining.as_ref(), group.managed_termination_protection.as_ref())?;
    row.managed_scaling = convert::managed_scaling(row.managed_scaling, group.managed_scaling)?;
    row.is_updated = true;
    cx.txn.put(row.clone());
    Ok(ecs::UpdateCapacityProviderResponse { capacity_provider: Some(to_wire(&row, true)) })
}

/// DescribeCapacityProviders, by name: those that are named, or all, or those of a cluster.
pub fn describe_capacity_providers(
    cx: &mut Cx<'_>,
    request: ecs::DescribeCapacityProvidersRequest,
) -> Result<ecs::DescribeCapacityProvidersResponse, Error> {
    let ecs::DescribeCapacityProvidersRequest { capacity_providers, cluster, include, max_results, next_token } =
        request;
    let include = include.unwrap_or_default();
    if let Some(field) = include.iter().find(|field| **field != ecs::CapacityProviderField::Tags) {
        return Err(Error::invalid_parameter(format!("include should be one of [TAGS], not '{}'", field.as_str())));
    }
    let limit = listing::limit(max_results, PAGE_MAX, PAGE_MAX)?;
    let after = listing::start(next_token.as_deref())?;
    let (names, failures) = match capacity_providers.filter(|names| !names.is_empty()) {
        Some(texts) => named(cx, &texts)?,
        None => (all(cx.txn, cx.scope()), Vec::new()),
    };
    let names = match cluster.filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => {
            let cluster = cluster::find(cx.txn, cx.scope(), Some(&cluster))?;
            names.into_iter().filter(|name| cluster.capacity_providers.contains(name)).collect()
        }
        None => names,
    };
    let rest = names.iter().filter(|name| after.as_ref().is_none_or(|after| *name > after));
    let (page, next_token) = page::cut(rest, limit, |name| (*name).clone());
    let shown = page.into_iter().map(|name| show(cx.txn, cx.scope(), name, !include.is_empty()));
    Ok(ecs::DescribeCapacityProvidersResponse {
        capacity_providers: Some(shown.collect()),
        failures: Some(failures),
        next_token,
    })
}

fn named(cx: &Cx<'_>, texts: &[String]) -> Result<(BTreeSet<String>, Vec<ecs::Failure>), Error> {
    if texts.len() > DESCRIBE_MAX {
        return Err(Error::invalid_parameter(format!("capacityProviders can have at most {DESCRIBE_MAX} items.")));
    }
    let (mut names, mut failures) = (BTreeSet::new(), Vec::new());
    for text in texts {
        let name = name_of(cx.scope(), text)?;
        if is_there(cx.txn, cx.scope(), name) {
            names.insert(name.to_owned());
            continue;
        }
        let arn = model::Arn::capacity_provider(cx.scope(), name).to_string();
        failures.push(ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None });
    }
    Ok((names, failures))
}

fn all(tables: &Tables, scope: &Scope) -> BTreeSet<String> {
    let rows = tables.capacity_providers_in_scope(scope).map(|row| row.name.clone());
    [FARGATE, FARGATE_SPOT].map(str::to_owned).into_iter().chain(rows).collect()
}

fn show(tables: &Tables, scope: &Scope, name: &str, tags: bool) -> ecs::CapacityProvider {
    match find(tables, scope, name) {
        Some(row) => to_wire(row, tags),
        None => fargate_to_wire(scope, name),
    }
}

/// DeleteCapacityProvider: one that no cluster has. It is gone at once, and shown as it is then.
pub fn delete_capacity_provider(
    cx: &mut Cx<'_>,
    request: ecs::DeleteCapacityProviderRequest,
) -> Result<ecs::DeleteCapacityProviderResponse, Error> {
    let ecs::DeleteCapacityProviderRequest { capacity_provider, cluster } = request;
    refuse_managed_instances(false, cluster.as_ref())?;
    let row = find_named(cx, &capacity_provider)?;
    let mut clusters = cx.txn.clusters_in_scope(&cx.caller.scope).filter(|row| row.status == ClusterStatus::Active);
    if let Some(cluster) = clusters.find(|cluster| cluster.capacity_providers.contains(&row.name)) {
        return Err(Error::client(format!(
            "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity \
             provider from the cluster and try again.",
            cluster.name
        )));
    }
    drop(clusters);
    cx.txn.remove::<CapacityProvider>(&(row.scope.clone(), row.name.clone()));
    let gone = ecs::CapacityProvider {
        status: Some(ecs::CapacityProviderStatus::Inactive),
        update_status: Some(ecs::CapacityProviderUpdateStatus::DeleteComplete),
        ..to_wire(&row, true)
    };
    Ok(ecs::DeleteCapacityProviderResponse { capacity_provider: Some(gone) })
}

/// PutClusterCapacityProviders: the whole list and the whole default strategy take the place of those that are there.
pub fn put_cluster_capacity_providers(
    cx: &mut Cx<'_>,
    request: ecs::PutClusterCapacityProvidersRequest,
) -> Result<ecs::PutClusterCapacityProvidersResponse, Error> {
    let ecs::PutClusterCapacityProvidersRequest { capacity_providers, cluster, default_capacity_provider_strategy } =
        request;
    let mut row = Cluster::clone(&*cluster::find_named(cx, &cluster)?);
    let before = std::mem::take(&mut row.capacity_providers);
    associate(cx, &mut row, capacity_providers, default_capacity_provider_strategy)?;
    let removed = before.iter().filter(|name| !row.capacity_providers.contains(name));
    if removed.into_iter().any(|name| is_in_use(cx.txn, &row, name)) {
        return Err(Error::resource_in_use(IN_USE));
    }
    cx.txn.put(row.clone());
    Ok(ecs::PutClusterCapacityProvidersResponse { cluster: Some(cluster::show_whole(cx.txn, &row)) })
}

/// Gives a cluster its providers and the strategy that holds by default.
///
/// # Errors
/// `InvalidParameterException` for providers that are not there or too many, or a strategy that cannot be.
pub fn associate(
    cx: &Cx<'_>,
    cluster: &mut Cluster,
    providers: Vec<String>,
    default: Vec<ecs::CapacityProviderStrategyItem>,
) -> Result<(), Error> {
    let mut names: Vec<String> = Vec::with_capacity(providers.len());
    for text in &providers {
        let name = name_of(cx.scope(), text)?;
        if !is_there(cx.txn, cx.scope(), name) {
            return Err(Error::invalid_parameter(NOT_FOUND));
        }
        if !names.iter().any(|present| present == name) {
            names.push(name.to_owned());
        }
    }
    if names.len() > PROVIDERS_MAX {
        return Err(Error::invalid_parameter(
            "The maximum number of capacity providers per cluster has been exceeded.",
        ));
    }
    cluster.capacity_providers = names;
    let default = convert::strategy_from_wire(cx.scope(), default)?;
    check_strategy(cx.txn, cluster, &default)?;
    cluster.default_strategy = default;
    Ok(())
}

/// Whether tasks or services of the cluster still take room from the provider.
fn is_in_use(tables: &Tables, cluster: &Cluster, provider: &str) -> bool {
    let mut services = tables.services_in_cluster(&cluster.scope, &cluster.name);
    let mut tasks = tables.tasks_in_cluster(&cluster.scope, &cluster.name);
    services.any(|service| {
        let is_meant = |deployment| service.capacity_of(deployment).uses(provider);
        service.status != ServiceStatus::Inactive && service.deployments.iter().any(is_meant)
    }) || tasks
        .any(|task| task.last_status < TaskStatus::Stopped && task.capacity_provider.as_deref() == Some(provider))
}

/// Where the tasks of a request get their room: what is asked for, else the cluster's default strategy, else EC2.
///
/// # Errors
/// `InvalidParameterException` when both a launch type and a strategy are asked for, or what cannot be.
pub fn choose(
    tables: &Tables,
    cluster: &Cluster,
    launch_type: Option<ecs::LaunchType>,
    strategy: Vec<ecs::CapacityProviderStrategyItem>,
) -> Result<Capacity, Error> {
    match launch_type {
        Some(_) if !strategy.is_empty() => Err(Error::invalid_parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        )),
        Some(ecs::LaunchType::ManagedInstances) => {
            Err(Error::unsupported_feature("The launch type MANAGED_INSTANCES is not supported by Gantry yet."))
        }
        Some(given) => task::launch_type(given).map(Capacity::of),
        None if strategy.is_empty() => Ok(of_strategy(cluster.default_strategy.clone())),
        None => {
            let strategy = convert::strategy_from_wire(&cluster.scope, strategy)?;
            check_strategy(tables, cluster, &strategy)?;
            Ok(of_strategy(strategy))
        }
    }
}

fn of_strategy(strategy: Vec<StrategyItem>) -> Capacity {
    let launch_type =
        strategy.first().map_or(LaunchType::Ec2, |item| model::capacity_provider::launch_type(&item.provider));
    Capacity { launch_type, strategy }
}

/// What a strategy may say (ecs-semantics §3.14).
fn check_strategy(tables: &Tables, cluster: &Cluster, strategy: &[StrategyItem]) -> Result<(), Error> {
    let refuse = |text: &str| Err(Error::invalid_parameter(text));
    if strategy.len() > PROVIDERS_MAX {
        return refuse("A capacity provider strategy can have at most 20 capacity providers.");
    }
    let names: BTreeSet<&str> = strategy.iter().map(|item| item.provider.as_str()).collect();
    if names.len() < strategy.len() {
        return refuse("A capacity provider strategy cannot contain a capacity provider more than once.");
    }
    if names.iter().any(|name| !is_there(tables, &cluster.scope, name)) {
        return refuse(NOT_FOUND);
    }
    if names.iter().any(|name| !cluster.capacity_providers.iter().any(|present| present == name)) {
        return refuse(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with \
             the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and try \
             again.",
        );
    }
    if names.iter().any(|name| is_fargate(name)) && !names.iter().all(|name| is_fargate(name)) {
        return refuse(
            "A capacity provider strategy cannot contain both Fargate and Auto Scaling group capacity providers.",
        );
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return refuse("Only one capacity provider of a strategy can have a base.");
    }
    if strategy.len() > 1 && strategy.iter().all(|item| item.weight == 0) {
        return refuse("At least one capacity provider of a strategy must have a weight greater than 0.");
    }
    Ok(())
}
