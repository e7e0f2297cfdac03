//! Services between wire and model. What is not built is refused by name.

use std::collections::BTreeMap;

use model::capacity_provider::Capacity;
use model::service::{
    Deployment, PlacementConstraint, PlacementStrategy, PropagateTags, Rollout, Scheduling, Service, ServiceNetwork,
};
use model::task_set::Controller;
use model::{Arn, LaunchType, Task, TaskStatus};
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::capacity_provider::strategy_to_wire;
use super::task::launch_type_to_wire;
use super::{
    deployment_configuration, has_items, is_true, items, load_balancer, non_empty, refuse_unbuilt, service_connect,
    service_registry, signed, tag, task_set, time,
};
use crate::ecs::service_deployment;

/// What CreateService and UpdateService have in common and is not built.
#[derive(Default)]
pub struct Unbuilt {
    pub enable_execute_command: Option<bool>,
    pub gateway_connectors: bool,
    pub monitoring: bool,
    pub volume_configurations: bool,
    pub vpc_lattice_configurations: bool,
}

impl Unbuilt {
    /// # Errors
    /// `ClientException` that names the first field that asks for what is not built.
    pub fn refuse(&self) -> Result<(), Error> {
        refuse_unbuilt(
            "the service",
            &[
                ("enableExecuteCommand", is_true(self.enable_execute_command)),
                ("gatewayConnectors", self.gateway_connectors),
                ("monitoring", self.monitoring),
                ("volumeConfigurations", self.volume_configurations),
                ("vpcLatticeConfigurations", self.vpc_lattice_configurations),
            ],
        )
    }
}

/// Who decides what the service runs next.
///
/// # Errors
/// `ClientException` for CODE_DEPLOY, `InvalidParameterException` for what is no controller.
pub fn controller(given: Option<&ecs::DeploymentController>) -> Result<Controller, Error> {
    match given.map(|given| &given.r#type) {
        None | Some(ecs::DeploymentControllerType::Ecs) => Ok(Controller::Ecs),
        Some(ecs::DeploymentControllerType::External) => Ok(Controller::External),
        Some(ecs::DeploymentControllerType::CodeDeploy) => Err(Error::client(
            "The deployment controller CODE_DEPLOY is not supported by Gantry: it has no CodeDeploy that could deploy the \
             service.",
        )),
        Some(ecs::DeploymentControllerType::Unknown(_)) => {
            Err(Error::invalid_parameter("The deployment controller should be one of [ECS,CODE_DEPLOY,EXTERNAL]"))
        }
    }
}

pub fn is_given<T>(list: &Option<Vec<T>>) -> bool {
    has_items(list)
}

pub fn network_from_wire(given: Option<ecs::NetworkConfiguration>) -> Result<Option<ServiceNetwork>, Error> {
    let Some(given) = given.and_then(|given| given.awsvpc_configuration) else { return Ok(None) };
    let ecs::AwsVpcConfiguration { assign_public_ip, security_groups, subnets } = given;
    let assign_public_ip = match assign_public_ip {
        None => None,
        Some(ecs::AssignPublicIp::Enabled) => Some(true),
        Some(ecs::AssignPublicIp::Disabled) => Some(false),
        Some(ecs::AssignPublicIp::Unknown(_)) => {
            return Err(Error::invalid_parameter("assignPublicIp should be one of [ENABLED,DISABLED]"));
        }
    };
    Ok(Some(ServiceNetwork { subnets, security_groups: items(security_groups), assign_public_ip }))
}

pub fn network_to_wire(network: &ServiceNetwork) -> ecs::NetworkConfiguration {
    let assign = |yes| if yes { ecs::AssignPublicIp::Enabled } else { ecs::AssignPublicIp::Disabled };
    ecs::NetworkConfiguration {
        awsvpc_configuration: Some(ecs::AwsVpcConfiguration {
            assign_public_ip: Some(assign(network.assign_public_ip == Some(true))),
            security_groups: Some(network.security_groups.clone()),
            subnets: network.subnets.clone(),
        }),
    }
}

pub fn constraints_from_wire(given: Option<Vec<ecs::PlacementConstraint>>) -> Vec<PlacementConstraint> {
    let constraint = |ecs::PlacementConstraint { expression, r#type }| PlacementConstraint {
        kind: r#type.as_ref().map_or("", |kind| kind.as_str()).to_owned(),
        expression: non_empty(expression),
    };
    items(given).into_iter().map(constraint).collect()
}

pub fn constraints_to_wire(service: &Service) -> Vec<ecs::PlacementConstraint> {
    let constraint = |row: &PlacementConstraint| ecs::PlacementConstraint {
        r#type: Some(row.kind.as_str().into()),
        expression: row.expression.clone(),
    };
    service.placement_constraints.iter().map(constraint).collect()
}

pub fn strategies_from_wire(given: Option<Vec<ecs::PlacementStrategy>>) -> Vec<PlacementStrategy> {
    let strategy = |ecs::PlacementStrategy { field, r#type }| PlacementStrategy {
        kind: r#type.as_ref().map_or("", |kind| kind.as_str()).to_owned(),
        field: non_empty(field),
    };
    items(given).into_iter().map(strategy).collect()
}

pub fn strategies_to_wire(service: &Service) -> Vec<ecs::PlacementStrategy> {
    let strategy = |row: &PlacementStrategy| ecs::PlacementStrategy {
        r#type: Some(row.kind.as_str().into()),
        field: row.field.clone(),
    };
    service.placement_strategies.iter().map(strategy).collect()
}

pub fn propagate_tags(given: Option<ecs::PropagateTags>) -> Result<PropagateTags, Error> {
    match given {
        None | Some(ecs::PropagateTags::None) => Ok(PropagateTags::None),
        Some(ecs::PropagateTags::Service) => Ok(PropagateTags::Service),
        Some(ecs::PropagateTags::TaskDefinition) => Ok(PropagateTags::TaskDefinition),
        Some(ecs::PropagateTags::Unknown(_)) => {
            Err(Error::invalid_parameter("propagateTags should be one of [TASK_DEFINITION,SERVICE,NONE]"))
        }
    }
}

/// # Errors
/// `InvalidParameterException` for what is none.
pub fn rebalancing(given: &ecs::AvailabilityZoneRebalancing) -> Result<bool, Error> {
    match given {
        ecs::AvailabilityZoneRebalancing::Enabled => Ok(true),
        ecs::AvailabilityZoneRebalancing::Disabled => Ok(false),
        ecs::AvailabilityZoneRebalancing::Unknown(_) => {
            Err(Error::invalid_parameter("availabilityZoneRebalancing should be one of [ENABLED,DISABLED]"))
        }
    }
}

/// # Errors
/// `InvalidParameterException` for what is none.
pub fn scheduling(given: Option<&ecs::SchedulingStrategy>) -> Result<Scheduling, Error> {
    match given {
        None | Some(ecs::SchedulingStrategy::Replica) => Ok(Scheduling::Replica),
        Some(ecs::SchedulingStrategy::Daemon) => Ok(Scheduling::Daemon),
        Some(ecs::SchedulingStrategy::Unknown(_)) => {
            Err(Error::invalid_parameter("schedulingStrategy should be one of [REPLICA,DAEMON]"))
        }
    }
}

/// RUNNING and pending tasks.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub running: u32,
    pub pending: u32,
}

/// A service's tasks by deployment.
pub struct Counts<'a> {
    counts: BTreeMap<&'a str, Count>,
    /// How many tasks each of the service's deployments is to have.
    pub requested: Vec<u32>,
}

impl<'a> Counts<'a> {
    pub fn of(tables: &'a Tables, service: &Service) -> Self {
        let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
        for task in tables.tasks_of_service(&service.key()) {
            count(counts.entry(task.started_by.as_deref().unwrap_or_default()).or_default(), task);
        }
        let newest = service_deployment::newest_of(tables, service);
        Self { counts, requested: plan::service::requested(service, newest.map(|row| &**row)) }
    }

    pub fn of_deployment(&self, id: &str) -> Count {
        self.counts.get(id).copied().unwrap_or_default()
    }

    fn all(&self) -> Count {
        self.counts.values().fold(Count::default(), |sum, count| Count {
            running: sum.running + count.running,
            pending: sum.pending + count.pending,
        })
    }
}

/// A service as Describe shows it. Tags are shown when they are asked for.
pub fn to_wire(tables: &Tables, service: &Service, tags: bool) -> ecs::Service {
    let key = service.key();
    let counts = Counts::of(tables, service);
    let all = counts.all();
    let primary = service.primary();
    let capacity = primary.map(|row| service.capacity_of(row));
    let is_external = service.controller == Controller::External;
    let rows = service.deployments.iter().filter(|_| !is_external).zip(&counts.requested).enumerate();
    let deployments = rows.map(|(index, (row, requested))| {
        deployment_to_wire(service, row, index == 0, *requested, counts.of_deployment(&row.id))
    });
    let rows = service.deployments.iter().zip(&counts.requested);
    let revisions = rows.filter_map(|(row, requested)| {
        current_revision_to_wire(service, row, *requested, counts.of_deployment(&row.id))
    });
    let current = service.service_deployment.as_deref();
    let told = tables.events_of_service(&key).filter(|event| !event.message.is_empty());
    let mut events: Vec<_> = told.map(|event| event_to_wire(event)).collect();
    events.reverse();
    ecs::Service {
        availability_zone_rebalancing: Some(match service.availability_zone_rebalancing {
            true => ecs::AvailabilityZoneRebalancing::Enabled,
            false => ecs::AvailabilityZoneRebalancing::Disabled,
        }),
        capacity_provider_strategy: capacity.as_ref().and_then(shown_strategy),
        cluster_arn: Some(Arn::cluster(&service.scope, &service.cluster).to_string()),
        created_at: Some(time(service.created_at)),
        created_by: Some(service.created_by.clone()),
        current_service_deployment: current
            .map(|id| Arn::service_deployment(&service.scope, &service.cluster, &service.name, id).to_string()),
        current_service_revisions: Some(revisions.collect()),
        deployment_configuration: Some(deployment_configuration::to_wire(&service.configuration)),
        deployment_controller: is_external
            .then_some(ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External }),
        deployments: Some(deployments.collect()),
        desired_count: Some(signed(service.desired_count)),
        enable_ecs_managed_tags: Some(service.enable_ecs_managed_tags),
        enable_execute_command: Some(false),
        events: Some(events),
        health_check_grace_period_seconds: Some(signed(service.health_check_grace_seconds)),
        launch_type: match capacity {
            Some(capacity) => shown_launch_type(&capacity),
            None if is_external => None,
            None => Some(launch_type_to_wire(service.launch_type)),
        },
        load_balancers: Some(primary.map(|row| load_balancer::to_wire(&row.load_balancers)).unwrap_or_default()),
        network_configuration: primary.and_then(|row| row.network.as_ref()).map(network_to_wire),
        pending_count: Some(signed(all.pending)),
        placement_constraints: Some(constraints_to_wire(service)),
        placement_strategy: Some(strategies_to_wire(service)),
        platform_family: platform_family(service.launch_type),
        platform_version: primary.and_then(|row| row.platform_version.clone()),
        propagate_tags: Some(propagate_tags_to_wire(service.propagate_tags)),
        resource_management_type: None,
        role_arn: service.role.clone(),
        running_count: Some(signed(all.running)),
        scheduling_strategy: Some(match service.scheduling {
            Scheduling::Replica => ecs::SchedulingStrategy::Replica,
            Scheduling::Daemon => ecs::SchedulingStrategy::Daemon,
        }),
        service_arn: Some(Arn::service(&service.scope, &service.cluster, &service.name).to_string()),
        service_name: Some(service.name.clone()),
        service_registries: Some(primary.map(|row| service_registry::to_wire(&row.registries)).unwrap_or_default()),
        status: Some(service.status.as_str().to_owned()),
        tags: tags.then(|| tag::to_wire(&service.tags)),
        task_definition: primary.map(|row| definition_arn(service, row)),
        task_sets: is_external.then(|| task_sets_to_wire(service, &counts)),
    }
}

fn task_sets_to_wire(service: &Service, counts: &Counts<'_>) -> Vec<ecs::TaskSet> {
    let sets = service.task_sets.iter().filter_map(|set| Some((set, service.deployment(&set.id)?)));
    sets.map(|(set, row)| task_set::to_wire(service, set, row, counts.of_deployment(&set.id), false)).collect()
}

fn count(count: &mut Count, task: &Task) {
    match task.last_status {
        TaskStatus::Running => count.running += 1,
        status if status < TaskStatus::Running => count.pending += 1,
        _ => {}
    }
}

fn definition_arn(service: &Service, deployment: &Deployment) -> String {
    Arn::task_definition(&service.scope, &deployment.family, deployment.revision).to_string()
}

pub fn platform_family(launch_type: LaunchType) -> Option<String> {
    (launch_type == LaunchType::Fargate).then(|| "Linux".to_owned())
}

/// A launch type or a strategy is shown, never both.
pub fn shown_launch_type(capacity: &Capacity) -> Option<ecs::LaunchType> {
    capacity.strategy.is_empty().then(|| launch_type_to_wire(capacity.launch_type))
}

pub fn shown_strategy(capacity: &Capacity) -> Option<Vec<ecs::CapacityProviderStrategyItem>> {
    (!capacity.strategy.is_empty()).then(|| strategy_to_wire(&capacity.strategy))
}

fn deployment_to_wire(
    service: &Service,
    row: &Deployment,
    is_primary: bool,
    requested: u32,
    count: Count,
) -> ecs::Deployment {
    let rollout = match row.rollout {
        Rollout::InProgress => ecs::DeploymentRolloutState::InProgress,
        Rollout::Completed => ecs::DeploymentRolloutState::Completed,
        Rollout::Failed => ecs::DeploymentRolloutState::Failed,
    };
    let capacity = service.capacity_of(row);
    ecs::Deployment {
        capacity_provider_strategy: shown_strategy(&capacity),
        created_at: Some(time(row.created_at)),
        desired_count: Some(signed(requested)),
        failed_tasks: Some(signed(row.failed_tasks)),
        fargate_ephemeral_storage: None,
        id: Some(row.id.clone()),
        launch_type: shown_launch_type(&capacity),
        network_configuration: row.network.as_ref().map(network_to_wire),
        pending_count: Some(signed(count.pending)),
        platform_family: platform_family(capacity.launch_type),
        platform_version: row.platform_version.clone(),
        rollout_state: Some(rollout),
        rollout_state_reason: Some(row.rollout_reason.clone()),
        running_count: Some(signed(count.running)),
        service_connect_configuration: row.connect.as_ref().map(service_connect::to_wire),
        service_connect_resources: row.connect.as_ref().map(service_connect::resources_to_wire),
        status: Some(if is_primary { "PRIMARY" } else { "ACTIVE" }.to_owned()),
        task_definition: Some(definition_arn(service, row)),
        updated_at: Some(time(row.updated_at)),
        volume_configurations: None,
        vpc_lattice_configurations: None,
    }
}

fn current_revision_to_wire(
    service: &Service,
    row: &Deployment,
    requested: u32,
    count: Count,
) -> Option<ecs::ServiceCurrentRevisionSummary> {
    let id = row.service_revision.as_deref()?;
    Some(ecs::ServiceCurrentRevisionSummary {
        arn: Some(Arn::service_revision(&service.scope, &service.cluster, &service.name, id).to_string()),
        pending_task_count: Some(signed(count.pending)),
        requested_task_count: Some(signed(requested)),
        running_task_count: Some(signed(count.running)),
    })
}

fn propagate_tags_to_wire(value: PropagateTags) -> ecs::PropagateTags {
    match value {
        PropagateTags::None => ecs::PropagateTags::None,
        PropagateTags::Service => ecs::PropagateTags::Service,
        PropagateTags::TaskDefinition => ecs::PropagateTags::TaskDefinition,
    }
}

fn event_to_wire(event: &model::ServiceEvent) -> ecs::ServiceEvent {
    ecs::ServiceEvent {
        created_at: Some(time(event.created_at)),
        id: Some(event.id.clone()),
        message: Some(event.message.clone()),
    }
}
