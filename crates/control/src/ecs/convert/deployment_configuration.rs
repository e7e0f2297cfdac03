//! Deployment configurations between wire and model.

use model::deployment_configuration::{
    BreakerThreshold, CircuitBreaker, DeploymentConfiguration, DeploymentStrategy, HookAction, HookTarget,
    LifecycleHook, PerMille,
};
use model::service_deployment::Stage;
use wire::ecs;
use wire::ecs::Error;

use super::{given, items, refuse_unbuilt, signed};

const MINIMUM_HEALTHY_PERCENT: u32 = 100;
const MAXIMUM_PERCENT: u32 = 200;
/// The longest bake time, of a deployment and of its steps (ecs-semantics §3.13).
const BAKE_MINUTES_MAX: i32 = 1440;
const LINEAR_STEP: f64 = 10.0;
const LINEAR_STEP_BAKE_MINUTES: i32 = 6;
const CANARY_PERCENT: f64 = 5.0;
const CANARY_BAKE_MINUTES: i32 = 10;
/// How long a PAUSE hook waits at most, and when nothing is said (AWS does not tell its default).
const PAUSE_MINUTES_MAX: u32 = 20_160;
/// Hooks of one service.
const HOOKS_MAX: usize = 20;

/// What holds when nothing is given.
pub fn default() -> DeploymentConfiguration {
    DeploymentConfiguration {
        minimum_healthy_percent: MINIMUM_HEALTHY_PERCENT,
        maximum_percent: MAXIMUM_PERCENT,
        circuit_breaker: None,
        strategy: DeploymentStrategy::Rolling,
        bake_minutes: 0,
        hooks: Vec::new(),
        alarms: None,
    }
}

/// Over `present`: what is not given stays, but for what a change of the strategy takes away.
///
/// # Errors
/// `InvalidParameterException` for what cannot be, `ClientException` for what is not built.
pub fn from_wire(
    present: DeploymentConfiguration,
    given: ecs::DeploymentConfiguration,
) -> Result<DeploymentConfiguration, Error> {
    let ecs::DeploymentConfiguration {
        alarms,
        bake_time_in_minutes,
        canary_configuration,
        deployment_circuit_breaker,
        early_success_criteria,
        lifecycle_hooks,
        linear_configuration,
        maximum_percent,
        minimum_healthy_percent,
        strategy,
    } = given;
    let alarmed = alarms.is_some_and(|alarms| alarms.enable || !alarms.alarm_names.is_empty());
    refuse_unbuilt(
        "the deployment configuration",
        &[("alarms", alarmed), ("earlySuccessCriteria", early_success_criteria.is_some())],
    )?;
    let strategy = strategy_from_wire(present.strategy, strategy, linear_configuration, canary_configuration)?;
    let hooks = match lifecycle_hooks {
        Some(hooks) => Some(hooks_from_wire(hooks)?),
        None => None,
    };
    let bake_minutes = minutes("bakeTimeInMinutes", bake_time_in_minutes)?;
    let stages = Stages { bake_minutes, hooks };
    Ok(DeploymentConfiguration {
        minimum_healthy_percent: percent("minimumHealthyPercent", minimum_healthy_percent, 0, 100)?
            .unwrap_or(present.minimum_healthy_percent),
        maximum_percent: percent("maximumPercent", maximum_percent, 100, i32::MAX)?.unwrap_or(present.maximum_percent),
        circuit_breaker: match deployment_circuit_breaker {
            Some(breaker) => Some(circuit_breaker(breaker)?),
            None => present.circuit_breaker,
        },
        strategy,
        bake_minutes: stages.bake_minutes(&present, strategy)?,
        hooks: stages.hooks(&present, strategy)?,
        alarms: present.alarms,
    })
}

/// What only strategies with stages have.
struct Stages {
    bake_minutes: Option<u32>,
    hooks: Option<Vec<LifecycleHook>>,
}

impl Stages {
    fn bake_minutes(&self, present: &DeploymentConfiguration, strategy: DeploymentStrategy) -> Result<u32, Error> {
        let had_stages = present.strategy != DeploymentStrategy::Rolling;
        match (strategy, self.bake_minutes) {
            (DeploymentStrategy::Rolling, None | Some(0)) => Ok(0),
            (DeploymentStrategy::Rolling, Some(_)) => Err(only_with_stages("bakeTimeInMinutes")),
            (DeploymentStrategy::BlueGreen, None) if !had_stages => Err(Error::invalid_parameter(
                "bakeTimeInMinutes is required when the deployment strategy is BLUE_GREEN.",
            )),
            (_, given) => Ok(given.unwrap_or(present.bake_minutes)),
        }
    }

    fn hooks(
        self,
        present: &DeploymentConfiguration,
        strategy: DeploymentStrategy,
    ) -> Result<Vec<LifecycleHook>, Error> {
        match (strategy, self.hooks) {
            (DeploymentStrategy::Rolling, Some(hooks)) if !hooks.is_empty() => Err(only_with_stages("lifecycleHooks")),
            (DeploymentStrategy::Rolling, _) => Ok(Vec::new()),
            (_, hooks) => Ok(hooks.unwrap_or_else(|| present.hooks.clone())),
        }
    }
}

fn only_with_stages(field: &str) -> Error {
    Error::invalid_parameter(format!(
        "{field} can only be specified with the deployment strategies [BLUE_GREEN,LINEAR,CANARY]."
    ))
}

fn percent(field: &str, value: Option<i32>, least: i32, most: i32) -> Result<Option<u32>, Error> {
    let Some(value) = value else { return Ok(None) };
    if !(least..=most).contains(&value) {
        let bound = if most == i32::MAX { format!("at least {least}") } else { format!("between {least} and {most}") };
        return Err(Error::invalid_parameter(format!("{field} must be {bound}.")));
    }
    Ok(u32::try_from(value).ok())
}

fn minutes(field: &str, value: Option<i32>) -> Result<Option<u32>, Error> {
    percent(field, value, 0, BAKE_MINUTES_MAX)
}

fn strategy_from_wire(
    present: DeploymentStrategy,
    given: Option<ecs::DeploymentStrategy>,
    linear: Option<ecs::LinearConfiguration>,
    canary: Option<ecs::CanaryConfiguration>,
) -> Result<DeploymentStrategy, Error> {
    let name = given.unwrap_or_else(|| name_of(present));
    if linear.is_some() && name != ecs::DeploymentStrategy::Linear {
        return Err(only_with("linearConfiguration", "LINEAR"));
    }
    if canary.is_some() && name != ecs::DeploymentStrategy::Canary {
        return Err(only_with("canaryConfiguration", "CANARY"));
    }
    match (name, present) {
        (ecs::DeploymentStrategy::Rolling, _) => Ok(DeploymentStrategy::Rolling),
        (ecs::DeploymentStrategy::BlueGreen, _) => Ok(DeploymentStrategy::BlueGreen),
        (ecs::DeploymentStrategy::Linear, DeploymentStrategy::Linear { .. }) if linear.is_none() => Ok(present),
        (ecs::DeploymentStrategy::Linear, _) => linear_from_wire(linear.unwrap_or_default()),
        (ecs::DeploymentStrategy::Canary, DeploymentStrategy::Canary { .. }) if canary.is_none() => Ok(present),
        (ecs::DeploymentStrategy::Canary, _) => canary_from_wire(canary.unwrap_or_default()),
        (ecs::DeploymentStrategy::Unknown(_), _) => {
            Err(Error::invalid_parameter("strategy should be one of [ROLLING,BLUE_GREEN,LINEAR,CANARY]"))
        }
    }
}

fn only_with(field: &str, strategy: &str) -> Error {
    Error::invalid_parameter(format!("{field} can only be specified with the deployment strategy {strategy}."))
}

fn name_of(strategy: DeploymentStrategy) -> ecs::DeploymentStrategy {
    match strategy {
        DeploymentStrategy::Rolling => ecs::DeploymentStrategy::Rolling,
        DeploymentStrategy::BlueGreen => ecs::DeploymentStrategy::BlueGreen,
        DeploymentStrategy::Linear { .. } => ecs::DeploymentStrategy::Linear,
        DeploymentStrategy::Canary { .. } => ecs::DeploymentStrategy::Canary,
    }
}

fn linear_from_wire(given: ecs::LinearConfiguration) -> Result<DeploymentStrategy, Error> {
    let bake = given.step_bake_time_in_minutes.unwrap_or(LINEAR_STEP_BAKE_MINUTES);
    Ok(DeploymentStrategy::Linear {
        step: share("stepPercent", given.step_percent.unwrap_or(LINEAR_STEP), 3.0)?,
        step_bake_minutes: minutes("stepBakeTimeInMinutes", Some(bake))?.unwrap_or_default(),
    })
}

fn canary_from_wire(given: ecs::CanaryConfiguration) -> Result<DeploymentStrategy, Error> {
    let bake = given.canary_bake_time_in_minutes.unwrap_or(CANARY_BAKE_MINUTES);
    Ok(DeploymentStrategy::Canary {
        percent: share("canaryPercent", given.canary_percent.unwrap_or(CANARY_PERCENT), 0.1)?,
        bake_minutes: minutes("canaryBakeTimeInMinutes", Some(bake))?.unwrap_or_default(),
    })
}

/// Multiples of 0.1 up to 100 (ecs-semantics §3.13).
fn share(field: &str, percent: f64, least: f64) -> Result<PerMille, Error> {
    let tenths = percent * 10.0;
    let is_multiple = (tenths - tenths.round()).abs() < 1e-6;
    if !is_multiple || !(least..=100.0).contains(&percent) {
        return Err(Error::invalid_parameter(format!(
            "{field} must be a multiple of 0.1 between {least:.1} and 100.0."
        )));
    }
    Ok(PerMille(tenths.round() as u32))
}

fn circuit_breaker(given: ecs::DeploymentCircuitBreaker) -> Result<CircuitBreaker, Error> {
    let ecs::DeploymentCircuitBreaker { enable, reset_on_healthy_task, rollback, threshold_configuration } = given;
    let threshold = threshold_configuration.map(threshold_from_wire).transpose()?.unwrap_or_default();
    Ok(CircuitBreaker { enable, rollback, reset_on_healthy_task: reset_on_healthy_task != Some(false), threshold })
}

fn threshold_from_wire(given: ecs::ThresholdConfiguration) -> Result<BreakerThreshold, Error> {
    let ecs::ThresholdConfiguration { r#type, value } = given;
    let share = || percent("thresholdConfiguration.value", Some(value), 1, 100).map(Option::unwrap_or_default);
    match r#type {
        ecs::ThresholdType::BoundedPercent => Ok(BreakerThreshold::BoundedPercent(share()?)),
        ecs::ThresholdType::UnboundedPercent => Ok(BreakerThreshold::UnboundedPercent(share()?)),
        ecs::ThresholdType::Count => {
            let count = percent("thresholdConfiguration.value", Some(value), 1, i32::MAX)?;
            Ok(BreakerThreshold::Count(count.unwrap_or_default()))
        }
        ecs::ThresholdType::Unknown(_) => Err(Error::invalid_parameter(
            "thresholdConfiguration.type should be one of [COUNT,BOUNDED_PERCENT,UNBOUNDED_PERCENT]",
        )),
    }
}

fn hooks_from_wire(hooks: Vec<ecs::DeploymentLifecycleHook>) -> Result<Vec<LifecycleHook>, Error> {
    if hooks.len() > HOOKS_MAX {
        return Err(Error::invalid_parameter(format!("lifecycleHooks can have at most {HOOKS_MAX} items.")));
    }
    hooks.into_iter().map(hook_from_wire).collect()
}

fn hook_from_wire(hook: ecs::DeploymentLifecycleHook) -> Result<LifecycleHook, Error> {
    let ecs::DeploymentLifecycleHook {
        hook_details,
        hook_target_arn,
        lifecycle_stages,
        role_arn,
        target_type,
        timeout_configuration,
    } = hook;
    match target_type {
        Some(ecs::DeploymentLifecycleHookTargetType::Pause) => {}
        None | Some(ecs::DeploymentLifecycleHookTargetType::AwsLambda) => {
            return Err(Error::unsupported_feature(
                "Lifecycle hooks with the target type AWS_LAMBDA are not supported by Gantry yet: it has no functions \
                 to call. Those with PAUSE are.",
            ));
        }
        Some(ecs::DeploymentLifecycleHookTargetType::Unknown(_)) => {
            return Err(Error::invalid_parameter("Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE"));
        }
    }
    let extra = [
        ("hookTargetArn", given(&hook_target_arn)),
        ("roleArn", given(&role_arn)),
        ("hookDetails", hook_details.is_some()),
    ];
    if let Some((field, _)) = extra.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::invalid_parameter(format!("{field} cannot be specified for a hook of target type PAUSE.")));
    }
    let timeout = timeout_configuration.unwrap_or_default();
    let most = signed(PAUSE_MINUTES_MAX);
    Ok(LifecycleHook {
        target: HookTarget::Pause,
        stages: stages_from_wire(items(lifecycle_stages))?,
        timeout_minutes: percent("timeoutInMinutes", timeout.timeout_in_minutes, 1, most)?.unwrap_or(PAUSE_MINUTES_MAX),
        timeout_action: match timeout.action {
            None | Some(ecs::DeploymentLifecycleHookAction::Rollback) => HookAction::Rollback,
            Some(ecs::DeploymentLifecycleHookAction::Continue) => HookAction::Continue,
            Some(ecs::DeploymentLifecycleHookAction::Unknown(_)) => {
                return Err(Error::invalid_parameter("action should be one of [ROLLBACK,CONTINUE]"));
            }
        },
    })
}

/// Those at which a person can be asked: not where traffic is on its way (ecs-semantics §3.13).
fn stages_from_wire(stages: Vec<ecs::DeploymentLifecycleHookStage>) -> Result<Vec<Stage>, Error> {
    let refused = || Error::invalid_parameter("Invalid lifecycle stage provided for Pause Hook");
    if stages.is_empty() {
        return Err(Error::invalid_parameter("lifecycleStages cannot be empty."));
    }
    let stage = |stage: &ecs::DeploymentLifecycleHookStage| match Stage::parse(stage.as_str()) {
        None | Some(Stage::ScaleUp | Stage::BakeTime | Stage::CleanUp) => Err(refused()),
        Some(Stage::TestTrafficShift | Stage::ProductionTrafficShift) => Err(refused()),
        Some(stage) => Ok(stage),
    };
    stages.iter().map(stage).collect()
}

pub fn action_to_wire(action: HookAction) -> ecs::DeploymentLifecycleHookAction {
    match action {
        HookAction::Continue => ecs::DeploymentLifecycleHookAction::Continue,
        HookAction::Rollback => ecs::DeploymentLifecycleHookAction::Rollback,
    }
}

pub fn to_wire(row: &DeploymentConfiguration) -> ecs::DeploymentConfiguration {
    let (linear_configuration, canary_configuration) = match row.strategy {
        DeploymentStrategy::Rolling | DeploymentStrategy::BlueGreen => (None, None),
        DeploymentStrategy::Linear { step, step_bake_minutes } => {
            let step_bake_time_in_minutes = Some(signed(step_bake_minutes));
            (Some(ecs::LinearConfiguration { step_percent: Some(step.percent()), step_bake_time_in_minutes }), None)
        }
        DeploymentStrategy::Canary { percent, bake_minutes } => {
            let canary_bake_time_in_minutes = Some(signed(bake_minutes));
            let canary_percent = Some(percent.percent());
            (None, Some(ecs::CanaryConfiguration { canary_percent, canary_bake_time_in_minutes }))
        }
    };
    ecs::DeploymentConfiguration {
        alarms: row.alarms.as_ref().map(|alarms| ecs::DeploymentAlarms {
            alarm_names: alarms.names.clone(),
            enable: alarms.enable,
            rollback: alarms.rollback,
        }),
        bake_time_in_minutes: Some(signed(row.bake_minutes)),
        canary_configuration,
        deployment_circuit_breaker: row.circuit_breaker.map(breaker_to_wire),
        early_success_criteria: None,
        lifecycle_hooks: Some(row.hooks.iter().map(hook_to_wire).collect::<Vec<_>>()).filter(|hooks| !hooks.is_empty()),
        linear_configuration,
        maximum_percent: Some(signed(row.maximum_percent)),
        minimum_healthy_percent: Some(signed(row.minimum_healthy_percent)),
        strategy: Some(name_of(row.strategy)),
    }
}

fn breaker_to_wire(breaker: CircuitBreaker) -> ecs::DeploymentCircuitBreaker {
    let (r#type, value) = match breaker.threshold {
        BreakerThreshold::Count(count) => (ecs::ThresholdType::Count, count),
        BreakerThreshold::BoundedPercent(percent) => (ecs::ThresholdType::BoundedPercent, percent),
        BreakerThreshold::UnboundedPercent(percent) => (ecs::ThresholdType::UnboundedPercent, percent),
    };
    ecs::DeploymentCircuitBreaker {
        enable: breaker.enable,
        reset_on_healthy_task: Some(breaker.reset_on_healthy_task),
        rollback: breaker.rollback,
        threshold_configuration: Some(ecs::ThresholdConfiguration { r#type, value: signed(value) }),
    }
}

fn hook_to_wire(hook: &LifecycleHook) -> ecs::DeploymentLifecycleHook {
    let (target_type, hook_target_arn) = match &hook.target {
        HookTarget::Pause => (ecs::DeploymentLifecycleHookTargetType::Pause, None),
        HookTarget::Lambda(arn) => (ecs::DeploymentLifecycleHookTargetType::AwsLambda, Some(arn.clone())),
    };
    ecs::DeploymentLifecycleHook {
        hook_details: None,
        hook_target_arn,
        lifecycle_stages: Some(hook.stages.iter().map(|stage| stage.as_str().into()).collect()),
        role_arn: None,
        target_type: Some(target_type),
        timeout_configuration: Some(ecs::DeploymentLifecycleHookTimeoutConfiguration {
            action: Some(action_to_wire(hook.timeout_action)),
            timeout_in_minutes: Some(signed(hook.timeout_minutes)),
        }),
    }
}
