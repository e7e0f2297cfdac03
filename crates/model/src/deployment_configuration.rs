//! How a service's deployments go: `deploymentConfiguration` (ecs-semantics §3.2, §3.13).

use serde::{Deserialize, Serialize};

use crate::service_deployment::Stage;

/// `minimumHealthyPercent`, `maximumPercent`, the strategy, and what ends a deployment that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfiguration {
    pub minimum_healthy_percent: u32,
    pub maximum_percent: u32,
    pub circuit_breaker: Option<CircuitBreaker>,
    #[serde(default)]
    pub strategy: DeploymentStrategy,
    /// How long both revisions go on once all production traffic has shifted.
    #[serde(default)]
    pub bake_minutes: u32,
    #[serde(default)]
    pub hooks: Vec<LifecycleHook>,
    #[serde(default)]
    pub alarms: Option<DeploymentAlarms>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    pub enable: bool,
    pub rollback: bool,
    /// A task that shows that it works takes the count of failures back to 0.
    #[serde(default = "yes")]
    pub reset_on_healthy_task: bool,
    #[serde(default)]
    pub threshold: BreakerThreshold,
}

fn yes() -> bool {
    true
}

/// At how many failures the circuit breaker trips: a count, or percent of the desired tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakerThreshold {
    Count(u32),
    BoundedPercent(u32),
    UnboundedPercent(u32),
}

impl Default for BreakerThreshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

/// Tenths of a percent, as fine as AWS has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PerMille(pub u32);

impl PerMille {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(1000);

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Self {
        Self(Self::ALL.0.saturating_sub(self.0))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStrategy {
    /// Tasks are replaced by and by within the percent limits.
    #[default]
    Rolling,
    /// A second revision at full size beside the first, then all production traffic at once.
    BlueGreen,
    /// As BLUE_GREEN, in equal steps.
    Linear { step: PerMille, step_bake_minutes: u32 },
    /// As BLUE_GREEN, first a little and then the rest.
    Canary { percent: PerMille, bake_minutes: u32 },
}

/// What a deployment waits for at some of its stages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleHook {
    pub target: HookTarget,
    pub stages: Vec<Stage>,
    pub timeout_minutes: u32,
    pub timeout_action: HookAction,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookTarget {
    /// A person, who calls ContinueServiceDeployment.
    Pause,
    /// A function, by its ARN.
    Lambda(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookAction {
    Continue,
    Rollback,
}

/// Alarms that end a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentAlarms {
    pub names: Vec<String>,
    pub enable: bool,
    pub rollback: bool,
}
