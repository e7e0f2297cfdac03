//! Placement constraints and strategies from the wire, and the failures that placement ends in.

use model::{Arn, LaunchType, TaskDefinition};
use plan::place::{CONSTRAINTS_MAX, Constraint, Placement, Reason, Refusal, STRATEGIES_MAX, Strategy};
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::run::EMPTY_PROVIDER;
use crate::Cx;

/// When FARGATE has no room (ecs-semantics §4.2).
pub const NO_CAPACITY: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";
/// Nodes that the detail of a FARGATE failure names.
const DETAILED_NODES_MAX: usize = 5;

/// The constraints of the request, and those of the definition.
///
/// # Errors
/// `InvalidParameterException`.
pub fn constraints(
    definition: &TaskDefinition,
    launch_type: LaunchType,
    given: Option<Vec<ecs::PlacementConstraint>>,
) -> Result<Vec<Constraint>, Error> {
    let given = given.unwrap_or_default();
    if launch_type == LaunchType::Fargate && !given.is_empty() {
        return Err(Error::invalid_parameter("Placement constraints are not supported with FARGATE launch type."));
    }
    if given.len() + definition.placement_constraints.len() > CONSTRAINTS_MAX {
        return Err(Error::invalid_parameter(format!(
            "A task can have at most {CONSTRAINTS_MAX} placement constraints."
        )));
    }
    let registered = definition.placement_constraints.iter().map(|expression| member_of(expression));
    given.into_iter().map(constraint).chain(registered).collect()
}

fn constraint(given: ecs::PlacementConstraint) -> Result<Constraint, Error> {
    let expression = given.expression.filter(|expression| !expression.is_empty());
    match (given.r#type, expression) {
        (Some(ecs::PlacementConstraintType::DistinctInstance), None) => Ok(Constraint::DistinctInstance),
        (Some(ecs::PlacementConstraintType::DistinctInstance), Some(_)) => {
            Err(Error::invalid_parameter("A placement constraint of type distinctInstance takes no expression."))
        }
        (Some(ecs::PlacementConstraintType::MemberOf), Some(expression)) => member_of(&expression),
        (Some(ecs::PlacementConstraintType::MemberOf), None) => {
            Err(Error::invalid_parameter("A placement constraint of type memberOf needs an expression."))
        }
        (Some(ecs::PlacementConstraintType::Unknown(_)) | None, _) => Err(Error::invalid_parameter(
            "The type of a placement constraint should be one of [distinctInstance,memberOf]",
        )),
    }
}

fn member_of(expression: &str) -> Result<Constraint, Error> {
    let query = expression.parse();
    query.map(Constraint::MemberOf).map_err(|error| Error::invalid_parameter(format!("Invalid expression: {error}.")))
}

/// How to choose among the nodes that fit. FARGATE spreads over them.
///
/// # Errors
/// `InvalidParameterException`.
pub fn strategies(launch_type: LaunchType, given: Option<Vec<ecs::PlacementStrategy>>) -> Result<Vec<Strategy>, Error> {
    let given = given.unwrap_or_default();
    if launch_type == LaunchType::Fargate {
        return match given.is_empty() {
            true => Ok(vec![Strategy::SpreadInstances]),
            false => Err(Error::invalid_parameter("Placement strategies are not supported with FARGATE launch type.")),
        };
    }
    if given.len() > STRATEGIES_MAX {
        return Err(Error::invalid_parameter(format!(
            "A task can have at most {STRATEGIES_MAX} placement strategies."
        )));
    }
    given.into_iter().map(strategy).collect()
}

fn strategy(given: ecs::PlacementStrategy) -> Result<Strategy, Error> {
    let field = given.field.unwrap_or_default();
    let invalid = |kind: &str, fields: &str| {
        Err(Error::invalid_parameter(format!(
            "The field '{field}' is not one that a placement strategy of type {kind} can have: {fields}."
        )))
    };
    match given.r#type {
        Some(ecs::PlacementStrategyType::Random) if field.is_empty() => Ok(Strategy::Random),
        Some(ecs::PlacementStrategyType::Random) => invalid("random", "it takes none"),
        Some(ecs::PlacementStrategyType::Binpack) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Strategy::BinpackCpu),
            "memory" => Ok(Strategy::BinpackMemory),
            _ => invalid("binpack", "cpu or memory"),
        },
        Some(ecs::PlacementStrategyType::Spread) => match field.strip_prefix("attribute:") {
            Some(name) if !name.is_empty() => Ok(Strategy::SpreadAttribute(name.to_owned())),
            None if field.eq_ignore_ascii_case("instanceId") || field.eq_ignore_ascii_case("host") => {
                Ok(Strategy::SpreadInstances)
            }
            _ => invalid("spread", "instanceId, host or attribute:<name>"),
        },
        Some(ecs::PlacementStrategyType::Unknown(_)) | None => {
            Err(Error::invalid_parameter("The type of a placement strategy should be one of [random,spread,binpack]"))
        }
    }
}

/// What the caller is told of tasks without a place: for container instances one failure per instance, for FARGATE and
/// for a capacity provider without any one per task.
pub fn failures(
    cx: &Cx<'_>,
    launch_type: LaunchType,
    provider: Option<&str>,
    placement: &Placement,
) -> Vec<ecs::Failure> {
    if let Some(provider) = provider.filter(|_| launch_type != LaunchType::Fargate && placement.refused.is_empty()) {
        let arn = Some(Arn::capacity_provider(cx.scope(), provider).to_string());
        let failure = ecs::Failure { arn, reason: Some(EMPTY_PROVIDER.to_owned()), detail: None };
        return vec![failure; placement.unplaced as usize];
    }
    if launch_type != LaunchType::Fargate {
        return placement.refused.iter().map(|refusal| instance_failure(cx.txn, refusal)).collect();
    }
    let without_address = |refusal: &Refusal| refusal.reason == Reason::Interface;
    let reason = match placement.refused.iter().any(without_address) {
        true => Reason::Interface.as_str(),
        false => NO_CAPACITY,
    };
    let detail = fargate_detail(cx.txn, &placement.refused);
    let failure = ecs::Failure { arn: None, reason: Some(reason.to_owned()), detail: Some(detail) };
    vec![failure; placement.unplaced as usize]
}

/// A refusal of a node as a failure of its container instance.
pub fn instance_failure(tables: &Tables, refusal: &Refusal) -> ecs::Failure {
    let instance = tables.container_instance_of_node(refusal.node);
    let arn = instance.map(|row| Arn::container_instance(&row.scope, &row.cluster, row.id).to_string());
    ecs::Failure { arn, reason: Some(refusal.reason.as_str().to_owned()), detail: Some(refusal.detail.clone()) }
}

fn fargate_detail(tables: &Tables, refused: &[Refusal]) -> String {
    if refused.is_empty() {
        return "No node offers capacity to FARGATE.".to_owned();
    }
    let name = |refusal: &Refusal| tables.nodes.get(&refusal.node).map_or("?", |node| &node.name).to_owned();
    let told = refused.iter().take(DETAILED_NODES_MAX).map(|refusal| format!("{}: {}", name(refusal), refusal.detail));
    let mut told: Vec<_> = told.collect();
    if refused.len() > DETAILED_NODES_MAX {
        told.push(format!("and {} more nodes", refused.len() - DETAILED_NODES_MAX));
    }
    told.join("; ")
}
