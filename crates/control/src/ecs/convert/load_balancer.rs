//! The load balancers of services between wire and model.

use std::collections::BTreeSet;

use model::ServiceLoadBalancer;
use model::service_load_balancer::{AdvancedConfiguration, LOAD_BALANCERS_MAX};
use wire::ecs;
use wire::ecs::Error;

use super::{given, non_empty};

/// # Errors
/// `InvalidParameterException` for what cannot be, `ClientException` for Classic Load Balancers.
pub fn from_wire(rows: Vec<ecs::LoadBalancer>) -> Result<Vec<ServiceLoadBalancer>, Error> {
    if rows.len() > LOAD_BALANCERS_MAX {
        return Err(Error::invalid_parameter(format!("loadBalancers can have at most {LOAD_BALANCERS_MAX} items.")));
    }
    let classic = rows.iter().filter(|row| given(&row.load_balancer_name));
    let is_mixed = rows.iter().any(|row| given(&row.load_balancer_name) == given(&row.target_group_arn));
    match classic.count() {
        0 if !is_mixed => {}
        count if count == rows.len() && !is_mixed => return Err(refuse_classic(&rows)),
        _ => {
            return Err(Error::invalid_parameter(
                "All loadBalancers must be strictly either ELBv1 (defining loadBalancerName) or ELBv2 (defining \
                 targetGroupArn)",
            ));
        }
    }
    let advanced = rows.iter().filter(|row| row.advanced_configuration.is_some()).count();
    if advanced != 0 && advanced != rows.len() {
        return Err(Error::invalid_parameter(
            "Either all or none of the provided loadBalancers must have advancedConfiguration defined",
        ));
    }
    let rows = rows.into_iter().map(load_balancer).collect::<Result<Vec<_>, _>>()?;
    check_duplicates(&rows)?;
    Ok(rows)
}

fn refuse_classic(rows: &[ecs::LoadBalancer]) -> Error {
    if rows.iter().any(|row| row.advanced_configuration.is_some()) {
        return Error::invalid_parameter("advancedConfiguration field is not allowed with ELBv1 loadBalancers");
    }
    Error::client("Classic Load Balancers ('loadBalancerName') are not supported by Gantry. Target groups are.")
}

fn load_balancer(row: ecs::LoadBalancer) -> Result<ServiceLoadBalancer, Error> {
    let ecs::LoadBalancer {
        advanced_configuration,
        container_name,
        container_port,
        load_balancer_name: _,
        target_group_arn,
    } = row;
    let required =
        |field: &str| Error::invalid_parameter(format!("{field} is required for each of the loadBalancers."));
    let port = container_port.ok_or_else(|| required("containerPort"))?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    Ok(ServiceLoadBalancer {
        target_group: non_empty(target_group_arn).ok_or_else(|| required("targetGroupArn"))?,
        container: non_empty(container_name).ok_or_else(|| required("containerName"))?,
        container_port: port.ok_or_else(|| Error::invalid_parameter("containerPort must be between 1 and 65535."))?,
        advanced: advanced_configuration.map(advanced_from_wire).transpose()?,
        is_alternate: false,
    })
}

fn advanced_from_wire(row: ecs::AdvancedConfiguration) -> Result<AdvancedConfiguration, Error> {
    let ecs::AdvancedConfiguration {
        alternate_target_group_arn,
        production_listener_rule,
        role_arn,
        test_listener_rule,
    } = row;
    let required = |field: &str| Error::invalid_parameter(format!("{field} is required in advancedConfiguration."));
    let alternate = non_empty(alternate_target_group_arn).ok_or_else(|| required("alternateTargetGroupArn"))?;
    let production = non_empty(production_listener_rule).ok_or_else(|| required("productionListenerRule"))?;
    let test = non_empty(test_listener_rule);
    check_rule("productionListenerRule", &production)?;
    if let Some(test) = &test {
        check_rule("testListenerRule", test)?;
    }
    if test.as_ref() == Some(&production) {
        return Err(Error::invalid_parameter(format!(
            "The following rules cannot be used as both production and test listener rules: {production}"
        )));
    }
    Ok(AdvancedConfiguration {
        alternate_target_group: alternate,
        production_listener_rule: production,
        test_listener_rule: test,
        role_arn: non_empty(role_arn),
    })
}

fn check_rule(field: &str, arn: &str) -> Result<(), Error> {
    let is_rule = model::Arn::parse(arn).is_some_and(|arn| arn.resource.starts_with("listener-rule/app/"));
    match is_rule {
        true => Ok(()),
        false => Err(Error::invalid_parameter(format!(
            "{field} has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB. Got: {arn}"
        ))),
    }
}

fn check_duplicates(rows: &[ServiceLoadBalancer]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let alternate = |row: &ServiceLoadBalancer| Some(row.advanced.as_ref()?.alternate_target_group.clone());
    for arn in rows.iter().flat_map(|row| [Some(row.target_group.clone()), alternate(row)]).flatten() {
        if !seen.insert(arn.clone()) {
            return Err(Error::invalid_parameter(format!("Duplicate targetGroupArn found: {arn}")));
        }
    }
    Ok(())
}

pub fn to_wire(rows: &[ServiceLoadBalancer]) -> Vec<ecs::LoadBalancer> {
    let load_balancer = |row: &ServiceLoadBalancer| ecs::LoadBalancer {
        advanced_configuration: row.advanced.as_ref().map(advanced_to_wire),
        container_name: Some(row.container.clone()),
        container_port: Some(i32::from(row.container_port)),
        load_balancer_name: None,
        target_group_arn: Some(row.target_group.clone()),
    };
    rows.iter().map(load_balancer).collect()
}

fn advanced_to_wire(row: &AdvancedConfiguration) -> ecs::AdvancedConfiguration {
    ecs::AdvancedConfiguration {
        alternate_target_group_arn: Some(row.alternate_target_group.clone()),
        production_listener_rule: Some(row.production_listener_rule.clone()),
        role_arn: row.role_arn.clone(),
        test_listener_rule: row.test_listener_rule.clone(),
    }
}
