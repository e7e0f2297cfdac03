//! Services: CreateService, UpdateService, DescribeServices, ListServices, DeleteService.
//!
//! The operations only write what is wanted; [`round`] brings the tasks to it, one transaction at a time, whenever
//! something changes (see [`reconcile`](crate::reconcile)).
//!
//! A change that needs other tasks begins a service deployment ([`service_deployment`]); with the controller EXTERNAL a
//! service runs what its task sets say ([`task_set`](super::task_set)). Volumes and CodeDeploy
//! are not built: what asks for them is refused.

pub(crate) mod event;
mod load_balancer;
pub mod round;
mod scheduling;
pub(in crate::ecs) mod service_connect;
mod service_registry;
mod shift;
mod site;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use model::capacity_provider::Capacity;
use model::service::{Scheduling, ServiceKey, ServiceNetwork, ServiceStatus};
use model::task_set::Controller;
use model::{
    Arn, Cluster, Deployment, LaunchType, Scope, Service, ServiceConnect, ServiceEvent, ServiceLoadBalancer,
    ServiceRegistry, TaskDefinition, Timestamp,
};
use plan::service::shift::choose_groups;
use plan::task_definition::is_name;
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::convert::deployment_configuration as configuration;
use super::convert::load_balancer::from_wire as load_balancers_from_wire;
use super::convert::service::{self as convert, Unbuilt, is_given, to_wire};
use super::convert::service_connect::{self as convert_connect, Asked as ConnectAsked, from_wire as connect_from_wire};
use super::convert::service_registry::from_wire as registries_from_wire;
use super::convert::tag;
use super::identifier::{is_arn, named_by_arn};
use super::task::{network, placement, run};
use super::{capacity_provider, cluster, listing, service_deployment, service_revision, task, task_definition};
use crate::{Cx, page};

/// Services in one DescribeServices call; a page of ListServices by default (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 10;
const PAGE_DEFAULT: usize = 10;
const CLIENT_TOKEN_LENGTH_MAX: usize = 64;
/// How long a deleted service can still be described.
pub const INACTIVE_RETENTION: Duration = Duration::from_secs(3600);

const NOT_FOUND: &str = "Service not found.";

/// The service's name in `text`: a name or an ARN. `None` for one of another cluster.
///
/// # Errors
/// `InvalidParameterException` for an ARN of somebody or something else.
fn name_of<'a>(scope: &Scope, cluster: &str, text: &'a str) -> Result<Option<&'a str>, Error> {
    if !is_arn(text) {
        return Ok(Some(text));
    }
    let named = named_by_arn(scope, "service", text)?;
    let (its_cluster, name) = named.split_once('/').unwrap_or((cluster, named));
    Ok((its_cluster == cluster).then_some(name))
}

/// The service that `text` names, in whatever status.
///
/// # Errors
/// `ServiceNotFoundException`; as [`name_of`].
pub fn find(tables: &Tables, scope: &Scope, cluster: &str, text: &str) -> Result<Arc<Service>, Error> {
    let name = name_of(scope, cluster, text)?;
    let row = name.and_then(|name| tables.services.get(&(scope.clone(), cluster.to_owned(), name.to_owned())));
    row.cloned().ok_or_else(|| Error::service_not_found(NOT_FOUND))
}

pub(super) fn find_active(cx: &Cx<'_>, cluster: &Cluster, text: &str) -> Result<Service, Error> {
    if text.is_empty() {
        return Err(Error::invalid_parameter("Service can not be blank."));
    }
    let service = find(cx.txn, cx.scope(), &cluster.name, text)?;
    match service.status {
        ServiceStatus::Active => Ok(Service::clone(&service)),
        ServiceStatus::Draining | ServiceStatus::Inactive => Err(Error::service_not_active("Service was not ACTIVE.")),
    }
}

/// CreateService. One that is there already and equal is answered as it is.
pub fn create_service(
    cx: &mut Cx<'_>,
    request: ecs::CreateServiceRequest,
) -> Result<ecs::CreateServiceResponse, Error> {
    let ecs::CreateServiceRequest {
        availability_zone_rebalancing,
        capacity_provider_strategy,
        client_token,
        cluster,
        deployment_configuration,
        deployment_controller,
        desired_count,
        enable_ecs_managed_tags,
        enable_execute_command,
        gateway_connectors,
        health_check_grace_period_seconds,
        launch_type,
        load_balancers,
        monitoring,
        network_configuration,
        placement_constraints,
        placement_strategy,
        platform_version,
        propagate_tags,
        role,
        scheduling_strategy,
        service_connect_configuration,
        service_name,
        service_registries,
        tags,
        task_definition,
        volume_configurations,
        vpc_lattice_configurations,
    } = request;
    Unbuilt {
        enable_execute_command,
        gateway_connectors: is_given(&gateway_connectors),
        monitoring: monitoring.is_some(),
        volume_configurations: is_given(&volume_configurations),
        vpc_lattice_configurations: is_given(&vpc_lattice_configurations),
    }
    .refuse()?;
    let scheduling = convert::scheduling(scheduling_strategy.as_ref())?;
    // The name makes a repeated request the same one, with a token or without.
    if client_token.is_some_and(|token| token.len() > CLIENT_TOKEN_LENGTH_MAX) {
        return Err(Error::invalid_parameter(format!(
            "clientToken can have at most {CLIENT_TOKEN_LENGTH_MAX} characters."
        )));
    }
    let cluster = cluster::find_active(cx.txn, cx.scope(), cluster.as_deref())?;
    if !is_name(&service_name) {
        return Err(Error::invalid_parameter(
            "Invalid service name. It must have 1 to 255 letters, digits, underscores or hyphens.",
        ));
    }
    let controller = convert::controller(deployment_controller.as_ref())?;
    let first = match controller {
        Controller::Ecs => {
            let strategy = capacity_provider_strategy.unwrap_or_default();
            let capacity = capacity_provider::choose(cx.txn, &cluster, launch_type, strategy)?;
            let text = task_definition.as_deref().unwrap_or_default();
            let definition = task_definition::find_active(cx.txn, cx.scope(), text)?;
            let load_balancers = load_balancers_from_wire(load_balancers.unwrap_or_default())?;
            load_balancer::check_role(role.as_deref(), &load_balancers, definition.network_mode)?;
            let network = convert::network_from_wire(network_configuration)?;
            let registries = registries_from_wire(service_registries.unwrap_or_default())?;
            let connect = service_connect_configuration.map(connect_from_wire).transpose()?.flatten();
            let asked = Asked { definition: &definition, network, load_balancers, registries, connect };
            let deployment = asked.begin(cx, (&cluster, &service_name), capacity, platform_version)?;
            Some((definition, deployment))
        }
        Controller::External if scheduling == Scheduling::Daemon => {
            return Err(Error::invalid_parameter(
                "The scheduling strategy DAEMON is not supported with an EXTERNAL deployment controller.",
            ));
        }
        Controller::External => {
            refuse_of_task_sets(&[
                ("capacityProviderStrategy", is_given(&capacity_provider_strategy)),
                ("deploymentConfiguration", deployment_configuration.is_some()),
                ("launchType", launch_type.is_some()),
                ("loadBalancers", is_given(&load_balancers)),
                ("networkConfiguration", network_configuration.is_some()),
                ("platformVersion", platform_version.is_some()),
                ("role", role.is_some()),
                ("serviceConnectConfiguration", service_connect_configuration.is_some_and(|given| given.enabled)),
                ("serviceRegistries", is_given(&service_registries)),
                ("taskDefinition", task_definition.is_some()),
            ])?;
            None
        }
    };
    let launch_type = first.as_ref().and_then(|(_, deployment)| Some(deployment.capacity.as_ref()?.launch_type));
    let launch_type = launch_type.unwrap_or(LaunchType::Ec2);
    let mut service = Service {
        scope: cx.scope().clone(),
        cluster: cluster.name.clone(),
        name: service_name,
        status: ServiceStatus::Active,
        launch_type,
        scheduling,
        availability_zone_rebalancing: false,
        rebalancing: None,
        desired_count: scheduling::desired_of_new(cx.config, scheduling, desired_count)?,
        configuration: configuration::from_wire(
            scheduling::default_configuration(scheduling),
            deployment_configuration.unwrap_or_default(),
        )?,
        deployments: first.iter().map(|(_, deployment)| deployment.clone()).collect(),
        last_completed: None,
        service_deployment: None,
        placement_constraints: convert::constraints_from_wire(placement_constraints),
        placement_strategies: convert::strategies_from_wire(placement_strategy),
        propagate_tags: convert::propagate_tags(propagate_tags)?,
        enable_ecs_managed_tags: enable_ecs_managed_tags == Some(true),
        health_check_grace_seconds: grace(health_check_grace_period_seconds)?.unwrap_or(0),
        role,
        tags: tag::from_wire(tags.unwrap_or_default())?,
        created_by: cx.caller.principal_arn.to_string(),
        created_at: cx.now,
        inactive_at: None,
        steady_at: None,
        obstacle: None,
        next_event: 1,
        controller,
        task_sets: Vec::new(),
    };
    if let Some((definition, deployment)) = &first {
        scheduling::check(&service, &service.capacity_of(deployment))?;
        load_balancer::check_strategy(service.configuration.strategy, &deployment.load_balancers)?;
        check_placement(&service, definition)?;
    }
    service.availability_zone_rebalancing = match availability_zone_rebalancing {
        Some(given) => convert::rebalancing(&given)?,
        None => scheduling::can_rebalance(&service),
    };
    scheduling::check_rebalancing(&service)?;
    let service = match cx.txn.services.get(&service.key()).cloned() {
        Some(present) if present.status != ServiceStatus::Inactive => {
            if !is_same(&present, &service) {
                return Err(Error::invalid_parameter("Creation of service was not idempotent."));
            }
            Service::clone(&present)
        }
        _ => {
            check_count(cx, &cluster)?;
            forget(cx.txn, &service.key());
            let mut service = service;
            if let Some((definition, _)) = &first {
                service_deployment::begin(cx, &mut service, definition);
            }
            cx.txn.put(service.clone());
            service
        }
    };
    Ok(ecs::CreateServiceResponse { service: Some(to_wire(cx.txn, &service, true)) })
}

/// Whether a request for `new` asks for what is there already.
fn is_same(present: &Service, new: &Service) -> bool {
    let revision = |service: &Service| {
        let row = service.primary().filter(|_| service.controller == Controller::Ecs)?;
        let capacity = service.capacity_of(row);
        let load_balancers: Vec<_> = row.load_balancers.iter().map(ServiceLoadBalancer::asked).collect();
        let runs = (row.family.clone(), row.revision, row.network.clone(), row.platform_version.clone());
        Some((runs, capacity, load_balancers, row.registries.clone(), row.connect.as_ref().map(ServiceConnect::asked)))
    };
    let asked = |service: &Service| Service {
        deployments: Vec::new(),
        last_completed: None,
        service_deployment: None,
        rebalancing: None,
        // A daemon's count follows from its cluster.
        desired_count: if service.scheduling == Scheduling::Daemon { 0 } else { service.desired_count },
        created_at: Timestamp(0),
        steady_at: None,
        obstacle: None,
        next_event: 0,
        launch_type: LaunchType::Ec2,
        task_sets: Vec::new(),
        ..service.clone()
    };
    revision(present) == revision(new) && asked(present) == asked(new)
}

fn check_count(cx: &Cx<'_>, cluster: &Cluster) -> Result<(), Error> {
    let most = cx.config.quotas.services_per_cluster;
    let services = cx.txn.services_in_cluster(&cluster.scope, &cluster.name);
    if services.filter(|row| row.status != ServiceStatus::Inactive).count() >= most as usize {
        return Err(Error::client(format!("You have reached the limit of {most} services in the cluster.")));
    }
    Ok(())
}

/// Refuses the first field that is given and is no matter of a service with the controller EXTERNAL.
fn refuse_of_task_sets(fields: &[(&str, bool)]) -> Result<(), Error> {
    let Some((field, _)) = fields.iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    Err(Error::invalid_parameter(format!(
        "The field '{field}' cannot be given for a service with an EXTERNAL deployment controller: it is its task sets'."
    )))
}

/// What a deployment, or a task set, is made of.
pub(super) struct Asked<'a> {
    pub definition: &'a TaskDefinition,
    pub network: Option<ServiceNetwork>,
    pub load_balancers: Vec<ServiceLoadBalancer>,
    pub registries: Vec<ServiceRegistry>,
    pub connect: Option<ConnectAsked>,
}

impl Asked<'_> {
    /// A new deployment of a service in a cluster, once it is sure that tasks can be made from it.
    pub fn begin(
        self,
        cx: &mut Cx<'_>,
        (cluster, service): (&Cluster, &str),
        capacity: Capacity,
        version: Option<String>,
    ) -> Result<Deployment, Error> {
        let Self { definition, network, load_balancers, registries, connect } = self;
        let launch_type = capacity.launch_type;
        if !definition.compatibilities.contains(&launch_type) {
            return Err(Error::invalid_parameter(format!(
                "Task definition does not support launch_type {}.",
                launch_type.as_str()
            )));
        }
        let platform_version = run::platform_version(launch_type, version)?;
        let asked = network.as_ref().map(convert::network_to_wire);
        let resolved = network::resolve(cx, definition.network_mode, launch_type, asked)?;
        load_balancer::check(cx, definition, &load_balancers)?;
        load_balancer::check_vpc(cx, resolved.as_ref(), &load_balancers)?;
        service_registry::check(cx, definition, &registries)?;
        let vpc = resolved.as_ref().and_then(|network| Some(network.subnets.first()?.vpc_id.clone()));
        let owner = service_connect::Owner { cluster, service, definition, launch_type, vpc };
        let connect = connect.map(|asked| service_connect::resolve(cx, &owner, &asked)).transpose()?;
        let id = format!("ecs-svc/{}", service_revision::new_number(cx));
        let revision = (definition.family.clone(), definition.revision);
        let deployment = plan::service::begin(id, revision, network, platform_version, cx.now);
        Ok(Deployment { capacity: Some(capacity), load_balancers, registries, connect, ..deployment })
    }
}

fn check_placement(service: &Service, definition: &TaskDefinition) -> Result<(), Error> {
    check_placement_of(service, definition, service.launch_type)
}

/// Whether the service's constraints and strategies go with a definition and a launch type.
pub(super) fn check_placement_of(
    service: &Service,
    definition: &TaskDefinition,
    launch_type: LaunchType,
) -> Result<(), Error> {
    placement::constraints(definition, launch_type, Some(convert::constraints_to_wire(service)))?;
    placement::strategies(launch_type, Some(convert::strategies_to_wire(service)))?;
    Ok(())
}

fn grace(seconds: Option<i32>) -> Result<Option<u32>, Error> {
    let Some(seconds) = seconds else { return Ok(None) };
    let seconds = u32::try_from(seconds);
    seconds.map(Some).map_err(|_| Error::invalid_parameter("healthCheckGracePeriodSeconds cannot be negative."))
}

/// UpdateService: what is not given stays. A new revision, network or platform version, or force, begins a new
/// deployment; the one before is drained.
pub fn update_service(
    cx: &mut Cx<'_>,
    request: ecs::UpdateServiceRequest,
) -> Result<ecs::UpdateServiceResponse, Error> {
    let ecs::UpdateServiceRequest {
        availability_zone_rebalancing,
        capacity_provider_strategy,
        cluster,
        deployment_configuration,
        deployment_controller,
        desired_count,
        enable_ecs_managed_tags,
        enable_execute_command,
        force_new_deployment,
        gateway_connectors,
        health_check_grace_period_seconds,
        load_balancers,
        monitoring,
        network_configuration,
        placement_constraints,
        placement_strategy,
        platform_version,
        propagate_tags,
        service,
        service_connect_configuration,
        service_registries,
        task_definition,
        volume_configurations,
        vpc_lattice_configurations,
    } = request;
    Unbuilt {
        enable_execute_command,
        gateway_connectors: is_given(&gateway_connectors),
        monitoring: monitoring.is_some(),
        volume_configurations: is_given(&volume_configurations),
        vpc_lattice_configurations: is_given(&vpc_lattice_configurations),
    }
    .refuse()?;
    let cluster = cluster::find_active(cx.txn, cx.scope(), cluster.as_deref())?;
    let mut row = find_active(cx, &cluster, &service)?;
    if deployment_controller.is_some() && convert::controller(deployment_controller.as_ref())? != row.controller {
        return Err(Error::client("Changing the deployment controller of a service is not supported by Gantry yet."));
    }
    if row.controller == Controller::External {
        refuse_of_task_sets(&[
            ("capacityProviderStrategy", capacity_provider_strategy.is_some()),
            ("deploymentConfiguration", deployment_configuration.is_some()),
            ("forceNewDeployment", force_new_deployment == Some(true)),
            ("loadBalancers", load_balancers.is_some()),
            ("networkConfiguration", network_configuration.is_some()),
            ("platformVersion", platform_version.is_some()),
            ("serviceConnectConfiguration", service_connect_configuration.is_some()),
            ("serviceRegistries", service_registries.is_some()),
            ("taskDefinition", task_definition.is_some()),
        ])?;
    }
    if let Some(count) = desired_count {
        row.desired_count = scheduling::desired(cx.config, row.scheduling, count)?;
    }
    if let Some(given) = deployment_configuration {
        row.configuration = configuration::from_wire(row.configuration, given)?;
    }
    if let Some(given) = enable_ecs_managed_tags {
        row.enable_ecs_managed_tags = given;
    }
    if let Some(seconds) = grace(health_check_grace_period_seconds)? {
        row.health_check_grace_seconds = seconds;
    }
    if placement_constraints.is_some() {
        row.placement_constraints = convert::constraints_from_wire(placement_constraints);
    }
    if placement_strategy.is_some() {
        row.placement_strategies = convert::strategies_from_wire(placement_strategy);
    }
    if propagate_tags.is_some() {
        row.propagate_tags = convert::propagate_tags(propagate_tags)?;
    }
    if let Some(given) = availability_zone_rebalancing {
        row.availability_zone_rebalancing = convert::rebalancing(&given)?;
    }
    scheduling::check_rebalancing(&row)?;
    let change = Change {
        task_definition: task_definition.filter(|text| !text.is_empty()),
        network: convert::network_from_wire(network_configuration)?,
        load_balancers: load_balancers.map(load_balancers_from_wire).transpose()?,
        registries: service_registries.map(registries_from_wire).transpose()?,
        connect: service_connect_configuration.map(connect_from_wire).transpose()?,
        platform_version,
        capacity: capacity_provider_strategy,
        force: force_new_deployment == Some(true),
    };
    if row.controller == Controller::Ecs {
        change.deploy(cx, &mut row)?;
    }
    cx.txn.put(row.clone());
    Ok(ecs::UpdateServiceResponse { service: Some(to_wire(cx.txn, &row, true)) })
}

/// What of an update may begin a new deployment.
struct Change {
    task_definition: Option<String>,
    network: Option<ServiceNetwork>,
    load_balancers: Option<Vec<ServiceLoadBalancer>>,
    registries: Option<Vec<ServiceRegistry>>,
    /// The inner one is `None` when Service Connect is to end.
    connect: Option<Option<ConnectAsked>>,
    platform_version: Option<String>,
    capacity: Option<Vec<ecs::CapacityProviderStrategyItem>>,
    force: bool,
}

impl Change {
    fn deploy(mut self, cx: &mut Cx<'_>, service: &mut Service) -> Result<(), Error> {
        let present = service.primary().expect("an ACTIVE service has a deployment").clone();
        let capacity = self.capacity(cx, service.capacity_of(&present), &service.cluster)?;
        service.launch_type = capacity.launch_type;
        scheduling::check(service, &capacity)?;
        let definition = match &self.task_definition {
            Some(text) => task_definition::find_active(cx.txn, cx.scope(), text)?,
            None => registered(cx, &present)?,
        };
        check_placement(service, &definition)?;
        let network = self.network.or(present.network.clone());
        // A platform version is Fargate's alone.
        let kept = present.platform_version.clone().filter(|_| capacity.launch_type == LaunchType::Fargate);
        let version = self.platform_version.or(kept);
        let kept = || present.load_balancers.iter().map(ServiceLoadBalancer::asked).collect();
        let load_balancers = self.load_balancers.unwrap_or_else(kept);
        load_balancer::check_strategy(service.configuration.strategy, &load_balancers)?;
        let registries = self.registries.unwrap_or_else(|| present.registries.clone());
        let connect = self.connect.unwrap_or_else(|| present.connect.as_ref().map(convert_connect::asked));
        let asked = Asked { definition: &definition, network, load_balancers, registries, connect };
        let cluster = cluster::find_active(cx.txn, cx.scope(), Some(&service.cluster))?;
        let new = asked.begin(cx, (&cluster, &service.name), capacity, version)?;
        let runs = |row: &Deployment| {
            let load_balancers: Vec<_> = row.load_balancers.iter().map(ServiceLoadBalancer::asked).collect();
            let registries = row.registries.clone();
            let runs = (row.family.clone(), row.revision, row.network.clone(), row.platform_version.clone());
            (runs, load_balancers, registries, row.connect.as_ref().map(ServiceConnect::asked))
        };
        if self.force || runs(&new) != runs(&present) {
            service.deployments.insert(0, new);
            choose_groups(service);
            service.steady_at = None;
            service.obstacle = None;
            service_deployment::begin(cx, service, &definition);
        }
        Ok(())
    }
}

impl Change {
    /// Where the tasks get their room from now on. An empty strategy goes back to the launch type.
    fn capacity(&mut self, cx: &Cx<'_>, present: Capacity, cluster: &str) -> Result<Capacity, Error> {
        let Some(strategy) = self.capacity.take() else { return Ok(present) };
        let new = if strategy.is_empty() {
            Capacity::of(present.launch_type)
        } else {
            let cluster = cluster::find_active(cx.txn, cx.scope(), Some(cluster))?;
            capacity_provider::choose(cx.txn, &cluster, None, strategy)?
        };
        if new != present && !self.force {
            return Err(Error::invalid_parameter(
                "When switching from launch type to capacity provider strategy on an existing service, or making a \
                 change to a capacity provider strategy on a service that is already using one, you must force a new \
                 deployment.",
            ));
        }
        Ok(new)
    }
}

fn registered(cx: &Cx<'_>, deployment: &Deployment) -> Result<Arc<TaskDefinition>, Error> {
    let key = (cx.scope().clone(), deployment.family.clone(), deployment.revision);
    cx.txn.task_definitions.get(&key).cloned().ok_or_else(|| Error::client("TaskDefinition not found."))
}

/// DescribeServices: what is not there is a failure of its own.
pub fn describe_services(
    cx: &mut Cx<'_>,
    request: ecs::DescribeServicesRequest,
) -> Result<ecs::DescribeServicesResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let include = request.include.unwrap_or_default();
    if let Some(field) = include.iter().find(|field| **field != ecs::ServiceField::Tags) {
        return Err(Error::invalid_parameter(format!("include should be one of [TAGS], not '{}'", field.as_str())));
    }
    if request.services.is_empty() {
        return Err(Error::invalid_parameter("Services cannot be empty."));
    }
    if request.services.len() > DESCRIBE_MAX {
        return Err(Error::invalid_parameter(format!("services can have at most {DESCRIBE_MAX} items.")));
    }
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for text in &request.services {
        let name = name_of(cx.scope(), &cluster.name, text)?;
        let key = |name: &str| (cx.scope().clone(), cluster.name.clone(), name.to_owned());
        match name.and_then(|name| cx.txn.services.get(&key(name))) {
            Some(service) => services.push(to_wire(cx.txn, service, !include.is_empty())),
            None => failures.push(missing(cx.scope(), &cluster.name, text)),
        }
    }
    Ok(ecs::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

fn missing(scope: &Scope, cluster: &str, text: &str) -> ecs::Failure {
    let arn = if is_arn(text) { text.to_owned() } else { Arn::service(scope, cluster, text).to_string() };
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// ListServices: the ACTIVE ones by name.
pub fn list_services(cx: &mut Cx<'_>, request: ecs::ListServicesRequest) -> Result<ecs::ListServicesResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let limit = listing::limit(request.max_results, PAGE_DEFAULT, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?;
    let launch_type = request.launch_type.map(task::launch_type).transpose()?;
    let scheduling = request.scheduling_strategy.map(|given| convert::scheduling(Some(&given))).transpose()?;
    // There are none that ECS manages for its own ends.
    let is_empty = request.resource_management_type.is_some_and(|given| given != ecs::ResourceManagementType::Customer);
    let rows = cx.txn.services_in_cluster(cx.scope(), &cluster.name).filter(|_| !is_empty);
    let rows = rows
        .filter(|row| row.status == ServiceStatus::Active)
        .filter(|row| launch_type.is_none_or(|launch_type| row.launch_type == launch_type))
        .filter(|row| scheduling.is_none_or(|scheduling| row.scheduling == scheduling))
        .filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
    let (rows, next_token) = page::cut(rows, limit, |row| row.name.clone());
    let arns = rows.iter().map(|row| Arn::service(&row.scope, &row.cluster, &row.name).to_string());
    Ok(ecs::ListServicesResponse { service_arns: Some(arns.collect()), next_token })
}

/// DeleteService: DRAINING from now on, INACTIVE when its tasks are to stop.
pub fn delete_service(
    cx: &mut Cx<'_>,
    request: ecs::DeleteServiceRequest,
) -> Result<ecs::DeleteServiceResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let mut row = Service::clone(&*find(cx.txn, cx.scope(), &cluster.name, &request.service)?);
    if row.status == ServiceStatus::Inactive {
        return Err(Error::service_not_found(NOT_FOUND));
    }
    let is_scaled = row.scheduling == Scheduling::Replica && row.desired_count > 0;
    if is_scaled && row.status == ServiceStatus::Active && request.force != Some(true) {
        return Err(Error::invalid_parameter("The service cannot be stopped while it is scaled above 0."));
    }
    row.status = ServiceStatus::Draining;
    row.desired_count = 0;
    cx.txn.put(row.clone());
    Ok(ecs::DeleteServiceResponse { service: Some(to_wire(cx.txn, &row, true)) })
}

/// Removes the deleted services whose retention is over. Answers how many.
pub fn sweep(txn: &mut Txn, now: Timestamp) -> usize {
    let is_over = |row: &&Arc<Service>| row.inactive_at.is_some_and(|at| now.since(at) >= INACTIVE_RETENTION);
    let over: Vec<ServiceKey> = txn.services.iter().filter(is_over).map(|row| row.key()).collect();
    for key in &over {
        forget(txn, key);
        txn.remove::<Service>(key);
    }
    over.len()
}

/// Removes all that is told of a service that is over.
fn forget(txn: &mut Txn, service: &ServiceKey) {
    service_deployment::forget(txn, service);
    let numbers: Vec<u64> = txn.events_of_service(service).map(|event| event.number).collect();
    for number in numbers {
        txn.remove::<ServiceEvent>(&(service.0.clone(), service.1.clone(), service.2.clone(), number));
    }
}
