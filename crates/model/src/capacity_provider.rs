//! Capacity providers: where tasks get their room from, by name (ecs-semantics §3.14).
//!
//! FARGATE and FARGATE_SPOT are always there and have no row. Every other one stands for the container instances that
//! carry the attribute [`ATTRIBUTE`] with its name: nothing here makes machines, so nothing scales.

use serde::{Deserialize, Serialize};

use crate::{LaunchType, Scope, Tag, Timestamp};

pub const FARGATE: &str = "FARGATE";
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";
/// The attribute of a container instance that says which provider's it is.
pub const ATTRIBUTE: &str = "gantry.capacity-provider";

/// Providers of one strategy, and of one cluster (ecs-semantics §3.14, §4.4).
pub const PROVIDERS_MAX: usize = 20;
pub const WEIGHT_MAX: u32 = 1000;
pub const BASE_MAX: u32 = 100_000;

/// One that stands for an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityProvider {
    pub scope: Scope,
    pub name: String,
    /// As it was given.
    pub auto_scaling_group_arn: String,
    pub managed_scaling: ManagedScaling,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    /// UpdateCapacityProvider was called.
    pub is_updated: bool,
}

/// The figures of managed scaling, which is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedScaling {
    pub target_capacity: u32,
    pub minimum_step: u32,
    pub maximum_step: u32,
    pub warmup_seconds: u32,
}

impl Default for ManagedScaling {
    fn default() -> Self {
        Self { target_capacity: 100, minimum_step: 1, maximum_step: 10_000, warmup_seconds: 300 }
    }
}

/// One provider's part in a strategy: `base` tasks first, then by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    pub provider: String,
    pub base: u32,
    pub weight: u32,
}

/// How tasks get their room: by a launch type alone, or shared out among providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// That of the providers, when there are any.
    pub launch_type: LaunchType,
    pub strategy: Vec<StrategyItem>,
}

impl Capacity {
    pub const fn of(launch_type: LaunchType) -> Self {
        Self { launch_type, strategy: Vec::new() }
    }

    pub fn uses(&self, provider: &str) -> bool {
        self.strategy.iter().any(|item| item.provider == provider)
    }
}

/// Whether the provider is one of those that are always there.
pub fn is_fargate(provider: &str) -> bool {
    provider == FARGATE || provider == FARGATE_SPOT
}

/// The launch type of a provider's tasks.
pub fn launch_type(provider: &str) -> LaunchType {
    if is_fargate(provider) { LaunchType::Fargate } else { LaunchType::Ec2 }
}
