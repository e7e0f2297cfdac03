//! What load balancers a service may ask for (ecs-semantics §3.6, §3.13).

use model::deployment_configuration::DeploymentStrategy;
use model::edge::Action;
use model::load_balancer::TargetType;
use model::service_load_balancer::AdvancedConfiguration;
use model::{NetworkMode, ServiceLoadBalancer, TaskDefinition};
use wire::ecs::Error;

use crate::Cx;
use crate::ecs::task::network::Network;
use crate::elbv2::identifier::{self, FoundRule};

/// Whether tasks of the definition can be registered as asked.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check(cx: &Cx<'_>, definition: &TaskDefinition, asked: &[ServiceLoadBalancer]) -> Result<(), Error> {
    for row in asked {
        check_container(definition, row)?;
        check_group(cx, definition.network_mode, &row.target_group)?;
        if let Some(advanced) = &row.advanced {
            check_group(cx, definition.network_mode, &advanced.alternate_target_group)?;
            check_rules(cx, &row.target_group, advanced)?;
        }
    }
    Ok(())
}

/// Whether the tasks' addresses are where the target groups look for them.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check_vpc(cx: &Cx<'_>, network: Option<&Network>, asked: &[ServiceLoadBalancer]) -> Result<(), Error> {
    let Some(subnet) = network.and_then(|network| network.subnets.first()) else { return Ok(()) };
    for row in asked {
        let group = identifier::target_group(cx.txn, cx.scope(), &row.target_group);
        if group.is_ok_and(|group| group.vpc_id != subnet.vpc_id) {
            let text = format!("The target group {} is not in the VPC of subnet {}.", row.target_group, subnet.id);
            return Err(Error::invalid_parameter(text));
        }
    }
    Ok(())
}

fn check_container(definition: &TaskDefinition, row: &ServiceLoadBalancer) -> Result<(), Error> {
    let ServiceLoadBalancer { container: name, container_port: port, .. } = row;
    let Some(container) = definition.containers.iter().find(|container| container.name == *name) else {
        return Err(Error::invalid_parameter(format!("The container {name} does not exist in the task definition.")));
    };
    if !container.port_mappings.iter().any(|mapping| mapping.container_port == *port) {
        return Err(Error::invalid_parameter(format!(
            "The container {name} did not have a container port {port} defined."
        )));
    }
    Ok(())
}

fn check_group(cx: &Cx<'_>, mode: NetworkMode, arn: &str) -> Result<(), Error> {
    let Ok(group) = identifier::target_group(cx.txn, cx.scope(), arn) else {
        return Err(Error::invalid_parameter(format!("The target group with targetGroupArn {arn} does not exist.")));
    };
    let fits = match group.target_type {
        TargetType::Ip => mode == NetworkMode::Awsvpc,
        TargetType::Instance => matches!(mode, NetworkMode::Bridge | NetworkMode::Host),
    };
    if !fits {
        let (kind, mode) = (group.target_type.as_str(), mode.as_str());
        return Err(Error::invalid_parameter(format!(
            "The provided target group {arn} has target type {kind}, which is incompatible with the {mode} network mode \
             specified in the task definition."
        )));
    }
    if cx.txn.load_balancers_of_group(cx.scope(), arn).is_empty() {
        return Err(Error::invalid_parameter(format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )));
    }
    Ok(())
}

/// Both target groups must be where traffic can be shifted between them.
fn check_rules(cx: &Cx<'_>, group: &str, advanced: &AdvancedConfiguration) -> Result<(), Error> {
    let production = action(cx, &advanced.production_listener_rule)?;
    if let Some(test) = &advanced.test_listener_rule {
        action(cx, test)?;
    } else if ![group, &advanced.alternate_target_group].iter().all(|group| forwards_to(&production, group)) {
        return Err(Error::invalid_parameter(
            "For Application LoadBalancer, testListenerRule is required when productionListenerRule is not associated \
             with both targetGroup and alternateTargetGroup",
        ));
    }
    Ok(())
}

fn action(cx: &Cx<'_>, arn: &str) -> Result<Action, Error> {
    match identifier::rule(cx.txn, cx.scope(), arn) {
        Ok(FoundRule::Made(rule)) => Ok(rule.action.clone()),
        Ok(FoundRule::Default(listener)) => Ok(listener.action.clone()),
        Err(_) => Err(Error::invalid_parameter(format!("The listener rule {arn} does not exist."))),
    }
}

fn forwards_to(action: &Action, group: &str) -> bool {
    matches!(action, Action::Forward(forward) if forward.groups.iter().any(|(arn, _)| arn == group))
}

/// # Errors
/// `InvalidParameterException` for a role that is nobody's to take.
pub(super) fn check_role(role: Option<&str>, asked: &[ServiceLoadBalancer], mode: NetworkMode) -> Result<(), Error> {
    match role {
        Some(_) if asked.is_empty() => {
            Err(Error::invalid_parameter("role can only be specified for services that use load balancers."))
        }
        Some(_) if mode == NetworkMode::Awsvpc => Err(Error::invalid_parameter(
            "You cannot specify an IAM role for services that require a service linked role.",
        )),
        _ => Ok(()),
    }
}

/// A strategy that shifts traffic must know where. Without load balancers there is none to shift.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check_strategy(strategy: DeploymentStrategy, asked: &[ServiceLoadBalancer]) -> Result<(), Error> {
    if strategy != DeploymentStrategy::Rolling && asked.iter().any(|row| row.advanced.is_none()) {
        return Err(Error::invalid_parameter(
            "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy",
        ));
    }
    Ok(())
}
