//! What a service is asked to be: plain data, and how it is said to the control plane.

use std::fmt;

use model::service_deployment::Stage;
use wire::ecs;

use crate::shape::Shape;

/// The capacity provider that every machine stands for.
pub const POOL: &str = "pool";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub shape: Shape,
    pub kind: Kind,
    /// A daemon's follows from its cluster.
    pub desired: i32,
    /// Minimum healthy and maximum.
    pub percent: (i32, i32),
    pub breaker: Option<Breaker>,
    pub providers: Providers,
    pub balance: Balance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rolling,
    Staged(Stages),
    Daemon,
    /// It runs what its task sets say.
    External,
}

/// How a deployment with two revisions beside each other goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    pub strategy: Strategy,
    pub bake_minutes: i32,
    pub hook: Option<Hook>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    BlueGreen,
    Linear { percent: i32, minutes: i32 },
    Canary { percent: i32, minutes: i32 },
}

/// Of kind PAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    pub stage: Stage,
    pub minutes: i32,
    pub rolls_back: bool,
}

/// The target groups that tasks are in. With stages, one group means a pair that revisions take turns in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    None,
    One,
    /// Tasks are ACTIVATING until they are in both.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub rollback: bool,
}

/// Where tasks get their room from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Providers {
    LaunchType,
    /// FARGATE with a base and a weight, and FARGATE_SPOT with a weight.
    Fargate {
        base: i32,
        weight: i32,
        spot: i32,
    },
    /// The machines' own.
    Pool,
}

impl Order {
    /// Its newest deployment may end otherwise than with what was asked for.
    pub fn may_fail(&self) -> bool {
        let is_held = matches!(self.kind, Kind::Staged(Stages { hook: Some(Hook { rolls_back: true, .. }), .. }));
        self.breaker.is_some() || is_held
    }

    pub fn configuration(&self) -> ecs::DeploymentConfiguration {
        let circuit_breaker = self.breaker.map(|breaker| ecs::DeploymentCircuitBreaker {
            enable: true,
            rollback: breaker.rollback,
            ..Default::default()
        });
        let plain = ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(self.percent.0),
            maximum_percent: Some(self.percent.1),
            deployment_circuit_breaker: circuit_breaker,
            ..Default::default()
        };
        match self.kind {
            Kind::Staged(stages) => stages.configure(plain),
            Kind::Rolling | Kind::Daemon | Kind::External => plain,
        }
    }
}

impl Stages {
    fn configure(self, plain: ecs::DeploymentConfiguration) -> ecs::DeploymentConfiguration {
        let (mut linear_configuration, mut canary_configuration) = (None, None);
        let strategy = match self.strategy {
            Strategy::BlueGreen => ecs::DeploymentStrategy::BlueGreen,
            Strategy::Linear { percent, minutes } => {
                linear_configuration = Some(ecs::LinearConfiguration {
                    step_percent: Some(percent.into()),
                    step_bake_time_in_minutes: Some(minutes),
                });
                ecs::DeploymentStrategy::Linear
            }
            Strategy::Canary { percent, minutes } => {
                canary_configuration = Some(ecs::CanaryConfiguration {
                    canary_percent: Some(percent.into()),
                    canary_bake_time_in_minutes: Some(minutes),
                });
                ecs::DeploymentStrategy::Canary
            }
        };
        ecs::DeploymentConfiguration {
            strategy: Some(strategy),
            bake_time_in_minutes: Some(self.bake_minutes),
            linear_configuration,
            canary_configuration,
            lifecycle_hooks: self.hook.map(|hook| vec![hook.to_wire()]),
            ..plain
        }
    }
}

impl Hook {
    fn to_wire(self) -> ecs::DeploymentLifecycleHook {
        let action = match self.rolls_back {
            true => ecs::DeploymentLifecycleHookAction::Rollback,
            false => ecs::DeploymentLifecycleHookAction::Continue,
        };
        let timeout = ecs::DeploymentLifecycleHookTimeoutConfiguration {
            action: Some(action),
            timeout_in_minutes: Some(self.minutes),
        };
        ecs::DeploymentLifecycleHook {
            lifecycle_stages: Some(vec![self.stage.as_str().into()]),
            target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
            timeout_configuration: Some(timeout),
            ..Default::default()
        }
    }
}

impl Providers {
    /// The strategy, unless it is a launch type.
    pub fn strategy(self) -> Option<Vec<ecs::CapacityProviderStrategyItem>> {
        let item = |name: &str, base: i32, weight: i32| ecs::CapacityProviderStrategyItem {
            base: Some(base),
            capacity_provider: name.to_owned(),
            weight: Some(weight),
        };
        match self {
            Self::LaunchType => None,
            Self::Fargate { base, weight, spot } => {
                Some(vec![item("FARGATE", base, weight), item("FARGATE_SPOT", 0, spot)])
            }
            Self::Pool => Some(vec![item(POOL, 0, 1)]),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, kind, desired, percent: (lower, upper), breaker, providers, balance } = self;
        match kind {
            Kind::Rolling => write!(f, "{desired} of {shape}, {lower} to {upper} %")?,
            Kind::Staged(stages) => write!(f, "{desired} of {shape}, {lower} to {upper} %, {stages}")?,
            Kind::Daemon => write!(f, "{shape} on each node, at least {lower} %")?,
            Kind::External => write!(f, "{desired} of what its task sets say")?,
        }
        match breaker {
            Some(Breaker { rollback: true }) => f.write_str(", circuit breaker with rollback")?,
            Some(Breaker { rollback: false }) => f.write_str(", circuit breaker")?,
            None => {}
        }
        write!(f, "{providers}{balance}")
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::BlueGreen => f.write_str("blue/green")?,
            Strategy::Linear { percent, minutes } => write!(f, "linear by {percent} % each {minutes} min")?,
            Strategy::Canary { percent, minutes } => write!(f, "canary of {percent} % for {minutes} min")?,
        }
        write!(f, ", bakes {} min", self.bake_minutes)?;
        let Some(Hook { stage, minutes, rolls_back }) = self.hook else { return Ok(()) };
        let then = if rolls_back { "goes back" } else { "goes on" };
        write!(f, ", asks at {} and {then} after {minutes} min", stage.as_str())
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::One => ", behind a load balancer",
            Self::Both => ", in two target groups",
        })
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaunchType => Ok(()),
            Self::Fargate { base, weight, spot } => {
                write!(f, ", FARGATE base {base} weight {weight} and FARGATE_SPOT weight {spot}")
            }
            Self::Pool => write!(f, ", by capacity provider"),
        }
    }
}
