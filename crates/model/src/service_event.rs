//! What happens to a service: told to people in AWS's words (ecs-semantics §3.9), and to machines by a name, as an
//! EventBridge "ECS Service Action" (ecs-semantics §6.1).

use serde::{Deserialize, Serialize};

use crate::{ContainerInstanceId, Scope, Timestamp};

/// Events that a service shows, newest first (ecs-semantics §3.1).
pub const EVENTS_MAX: u64 = 100;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub scope: Scope,
    pub cluster: String,
    pub service: String,
    pub number: u64,
    /// Dashed UUID.
    pub id: String,
    /// Empty: only machines are told.
    pub message: String,
    /// `None`: only people are told.
    #[serde(default)]
    pub action: Option<ServiceAction>,
    pub created_at: Timestamp,
}

/// The same for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAction {
    pub name: ActionName,
    pub reason: Option<String>,
    /// Those that it is about.
    pub container_instances: Vec<ContainerInstanceId>,
    /// By name.
    pub capacity_providers: Vec<String>,
}

impl ServiceAction {
    pub const fn named(name: ActionName) -> Self {
        Self { name, reason: None, container_instances: Vec::new(), capacity_providers: Vec::new() }
    }
}

/// `eventName`, of those that happen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionName {
    SteadyState,
    TaskSetSteadyState,
    CapacityProviderSteadyState,
    TasksStarted,
    TasksStopped,
    ScaleInFailureByTaskProtection,
    DaemonPlacementConstraintViolated,
    RebalancingStarted,
    RebalancingCompleted,
    RebalancingStopped,
    TaskStartImpaired,
    TaskPlacementFailure,
    TaskConfigurationFailure,
}

impl ActionName {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SteadyState => "SERVICE_STEADY_STATE",
            Self::TaskSetSteadyState => "TASKSET_STEADY_STATE",
            Self::CapacityProviderSteadyState => "CAPACITY_PROVIDER_STEADY_STATE",
            Self::TasksStarted => "TASKS_STARTED",
            Self::TasksStopped => "TASKS_STOPPED",
            Self::RebalancingStarted => "SERVICE_REBALANCING_STARTED",
            Self::RebalancingCompleted => "SERVICE_REBALANCING_COMPLETED",
            Self::RebalancingStopped => "SERVICE_REBALANCING_STOPPED",
            Self::DaemonPlacementConstraintViolated => "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED",
            Self::ScaleInFailureByTaskProtection => "TASKSET_SCALE_IN_FAILURE_BY_TASK_PROTECTION",
            Self::TaskStartImpaired => "SERVICE_TASK_START_IMPAIRED",
            Self::TaskPlacementFailure => "SERVICE_TASK_PLACEMENT_FAILURE",
            Self::TaskConfigurationFailure => "SERVICE_TASK_CONFIGURATION_FAILURE",
        }
    }

    /// `eventType`.
    pub const fn level(self) -> &'static str {
        match self {
            Self::SteadyState
            | Self::TaskSetSteadyState
            | Self::CapacityProviderSteadyState
            | Self::TasksStarted
            | Self::TasksStopped
            | Self::ScaleInFailureByTaskProtection
            | Self::RebalancingStarted
            | Self::RebalancingCompleted
            | Self::RebalancingStopped => "INFO",
            Self::TaskStartImpaired => "WARN",
            Self::TaskPlacementFailure | Self::TaskConfigurationFailure | Self::DaemonPlacementConstraintViolated => {
                "ERROR"
            }
        }
    }
}
