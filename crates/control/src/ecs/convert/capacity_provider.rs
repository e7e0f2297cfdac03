//! Capacity providers and their strategies between wire and model.

use model::capacity_provider::{
    BASE_MAX, CapacityProvider, FARGATE, FARGATE_SPOT, ManagedScaling, StrategyItem, WEIGHT_MAX,
};
use model::{Arn, Scope};
use wire::ecs;
use wire::ecs::Error;

use super::{signed, tag};
use crate::ecs::identifier::{is_arn, named_by_arn};

/// The provider's name in a name or an ARN.
///
/// # Errors
/// `InvalidParameterException` for an ARN of somebody or something else.
pub fn name_of<'a>(scope: &Scope, text: &'a str) -> Result<&'a str, Error> {
    if is_arn(text) { named_by_arn(scope, "capacity-provider", text) } else { Ok(text) }
}

/// # Errors
/// `InvalidParameterException` for figures out of range.
pub fn strategy_from_wire(
    scope: &Scope,
    given: Vec<ecs::CapacityProviderStrategyItem>,
) -> Result<Vec<StrategyItem>, Error> {
    let item = |ecs::CapacityProviderStrategyItem { base, capacity_provider, weight }| {
        let provider = name_of(scope, &capacity_provider)?.to_owned();
        Ok(StrategyItem {
            provider,
            base: figure("base", base, BASE_MAX)?,
            weight: figure("weight", weight, WEIGHT_MAX)?,
        })
    };
    given.into_iter().map(item).collect()
}

fn figure(name: &str, value: Option<i32>, most: u32) -> Result<u32, Error> {
    let value = u32::try_from(value.unwrap_or(0)).ok().filter(|value| *value <= most);
    value.ok_or_else(|| Error::invalid_parameter(format!("{name} must be between 0 and {most}.")))
}

pub fn strategy_to_wire(strategy: &[StrategyItem]) -> Vec<ecs::CapacityProviderStrategyItem> {
    let item = |item: &StrategyItem| ecs::CapacityProviderStrategyItem {
        base: Some(signed(item.base)),
        capacity_provider: item.provider.clone(),
        weight: Some(signed(item.weight)),
    };
    strategy.iter().map(item).collect()
}

/// Over `present`: what is not given stays.
///
/// # Errors
/// `ClientException` for what nothing here could do, `InvalidParameterException` for figures out of range.
pub fn managed_scaling(present: ManagedScaling, given: Option<ecs::ManagedScaling>) -> Result<ManagedScaling, Error> {
    let Some(given) = given else { return Ok(present) };
    let ecs::ManagedScaling {
        instance_warmup_period,
        maximum_scaling_step_size,
        minimum_scaling_step_size,
        status,
        target_capacity,
    } = given;
    match status {
        None | Some(ecs::ManagedScalingStatus::Disabled) => {}
        Some(ecs::ManagedScalingStatus::Enabled) => return Err(nothing_scales("managedScaling")),
        Some(ecs::ManagedScalingStatus::Unknown(_)) => {
            return Err(Error::invalid_parameter("managedScaling status should be one of [ENABLED,DISABLED]"));
        }
    }
    Ok(ManagedScaling {
        target_capacity: within("targetCapacity", target_capacity, 1, 100)?.unwrap_or(present.target_capacity),
        minimum_step: within("minimumScalingStepSize", minimum_scaling_step_size, 1, 10_000)?
            .unwrap_or(present.minimum_step),
        maximum_step: within("maximumScalingStepSize", maximum_scaling_step_size, 1, 10_000)?
            .unwrap_or(present.maximum_step),
        warmup_seconds: within("instanceWarmupPeriod", instance_warmup_period, 0, 10_000)?
            .unwrap_or(present.warmup_seconds),
    })
}

fn within(name: &str, value: Option<i32>, least: u32, most: u32) -> Result<Option<u32>, Error> {
    let Some(value) = value else { return Ok(None) };
    let value = u32::try_from(value).ok().filter(|value| (least..=most).contains(value));
    value.map(Some).ok_or_else(|| Error::invalid_parameter(format!("{name} must be between {least} and {most}.")))
}

/// Nothing here makes or ends machines, so what would is refused.
///
/// # Errors
/// `ClientException`.
pub fn refuse_management(
    draining: Option<&ecs::ManagedDraining>,
    protection: Option<&ecs::ManagedTerminationProtection>,
) -> Result<(), Error> {
    match draining {
        None | Some(ecs::ManagedDraining::Disabled) => {}
        Some(ecs::ManagedDraining::Enabled) => return Err(nothing_scales("managedDraining")),
        Some(ecs::ManagedDraining::Unknown(_)) => {
            return Err(Error::invalid_parameter("managedDraining should be one of [ENABLED,DISABLED]"));
        }
    }
    match protection {
        None | Some(ecs::ManagedTerminationProtection::Disabled) => Ok(()),
        Some(ecs::ManagedTerminationProtection::Enabled) => Err(nothing_scales("managedTerminationProtection")),
        Some(ecs::ManagedTerminationProtection::Unknown(_)) => {
            Err(Error::invalid_parameter("managedTerminationProtection should be one of [ENABLED,DISABLED]"))
        }
    }
}

fn nothing_scales(field: &str) -> Error {
    Error::client(format!(
        "The value ENABLED of '{field}' is not supported by Gantry: it has no Auto Scaling that could add or end \
         container instances. Leave it out, or use DISABLED."
    ))
}

/// One of those that are always there.
pub fn fargate_to_wire(scope: &Scope, name: &str) -> ecs::CapacityProvider {
    let kind = match name {
        FARGATE => ecs::CapacityProviderType::Fargate,
        FARGATE_SPOT => ecs::CapacityProviderType::FargateSpot,
        other => unreachable!("{other} is no provider that is always there"),
    };
    ecs::CapacityProvider { r#type: Some(kind), tags: Some(Vec::new()), ..shown(scope, name) }
}

/// Tags are shown when they are asked for.
pub fn to_wire(row: &CapacityProvider, tags: bool) -> ecs::CapacityProvider {
    let scaling = &row.managed_scaling;
    let provider = ecs::AutoScalingGroupProvider {
        auto_scaling_group_arn: row.auto_scaling_group_arn.clone(),
        managed_draining: Some(ecs::ManagedDraining::Disabled),
        managed_scaling: Some(ecs::ManagedScaling {
            instance_warmup_period: Some(signed(scaling.warmup_seconds)),
            maximum_scaling_step_size: Some(signed(scaling.maximum_step)),
            minimum_scaling_step_size: Some(signed(scaling.minimum_step)),
            status: Some(ecs::ManagedScalingStatus::Disabled),
            target_capacity: Some(signed(scaling.target_capacity)),
        }),
        managed_termination_protection: Some(ecs::ManagedTerminationProtection::Disabled),
    };
    let updated = match row.is_updated {
        true => ecs::CapacityProviderUpdateStatus::UpdateComplete,
        false => ecs::CapacityProviderUpdateStatus::CreateComplete,
    };
    ecs::CapacityProvider {
        auto_scaling_group_provider: Some(provider),
        r#type: Some(ecs::CapacityProviderType::Ec2Autoscaling),
        tags: Some(if tags { tag::to_wire(&row.tags) } else { Vec::new() }),
        update_status: Some(updated),
        ..shown(&row.scope, &row.name)
    }
}

fn shown(scope: &Scope, name: &str) -> ecs::CapacityProvider {
    ecs::CapacityProvider {
        capacity_provider_arn: Some(Arn::capacity_provider(scope, name).to_string()),
        name: Some(name.to_owned()),
        status: Some(ecs::CapacityProviderStatus::Active),
        ..Default::default()
    }
}
