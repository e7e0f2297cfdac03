//! What a scheduling strategy lets a service ask for (ecs-semantics §3.1, §3.4).

use model::capacity_provider::Capacity;
use model::deployment_configuration::DeploymentStrategy;
use model::service::{DeploymentConfiguration, Scheduling};
use model::task_set::Controller;
use model::{LaunchType, Service};
use plan::service::rebalance;
use wire::ecs::Error;

use crate::Config;
use crate::ecs::convert::deployment_configuration as configuration;

/// How many tasks a new service is to have. A daemon's count follows from its cluster.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn desired_of_new(config: &Config, scheduling: Scheduling, given: Option<i32>) -> Result<u32, Error> {
    match (scheduling, given) {
        (Scheduling::Daemon, None) => Ok(0),
        (_, Some(count)) => desired(config, scheduling, count),
        (Scheduling::Replica, None) => Err(Error::invalid_parameter("desiredCount is required.")),
    }
}

/// # Errors
/// As [`desired_of_new`].
pub(super) fn desired(config: &Config, scheduling: Scheduling, count: i32) -> Result<u32, Error> {
    if scheduling == Scheduling::Daemon {
        return Err(Error::invalid_parameter(
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count \
             value and try again",
        ));
    }
    let most = config.quotas.tasks_per_service;
    let count = u32::try_from(count).ok().filter(|count| *count <= most);
    count.ok_or_else(|| Error::invalid_parameter(format!("desiredCount must be between 0 and {most}.")))
}

/// The deployment configuration of a service that asks for none.
pub(super) fn default_configuration(scheduling: Scheduling) -> DeploymentConfiguration {
    match scheduling {
        Scheduling::Replica => configuration::default(),
        Scheduling::Daemon => {
            DeploymentConfiguration { minimum_healthy_percent: 0, maximum_percent: 100, ..configuration::default() }
        }
    }
}

/// Whether the service may be as it is with this capacity.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check(service: &Service, capacity: &Capacity) -> Result<(), Error> {
    if service.scheduling == Scheduling::Replica {
        return Ok(());
    }
    let refused = |words: &str| Err(Error::invalid_parameter(words));
    if !capacity.strategy.is_empty() {
        return refused(
            "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON \
             scheduling strategy.",
        );
    }
    if capacity.launch_type == LaunchType::Fargate {
        return refused("The daemon scheduling strategy does not support the FARGATE launch type.");
    }
    if !service.placement_strategies.is_empty() {
        return refused(
            "The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and \
             try again",
        );
    }
    if service.configuration.maximum_percent != 100 {
        return refused(
            "The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment \
             configuration. Change the maximumPercent value to 100, and try again",
        );
    }
    if service.configuration.strategy != DeploymentStrategy::Rolling {
        return refused("The daemon scheduling strategy supports the deployment strategy ROLLING only.");
    }
    Ok(())
}

/// Whether the service could be balanced over availability zones (ecs-semantics §3.10).
pub(super) fn can_rebalance(service: &Service) -> bool {
    let Service { launch_type, configuration, placement_strategies, placement_constraints, .. } = service;
    service.scheduling == Scheduling::Replica
        && service.controller == Controller::Ecs
        && rebalance::applies(*launch_type, configuration.maximum_percent, placement_strategies, placement_constraints)
}

/// # Errors
/// `InvalidParameterException` for a service that is to be balanced and cannot be.
pub(super) fn check_rebalancing(service: &Service) -> Result<(), Error> {
    if service.availability_zone_rebalancing && !can_rebalance(service) {
        return Err(Error::invalid_parameter(
            "Availability Zone rebalancing is for REPLICA services that are not EXTERNAL, have a maximumPercent above \
             100, spread over attribute:ecs.availability-zone first and have no placement constraint on it.",
        ));
    }
    Ok(())
}
