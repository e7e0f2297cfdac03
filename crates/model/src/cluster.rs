//! Clusters (ecs-semantics §0.2, §4).

use serde::{Deserialize, Serialize};

use crate::capacity_provider::StrategyItem;
use crate::{Scope, Tag, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    Active,
    Inactive,
}

impl ClusterStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub scope: Scope,
    pub name: String,
    pub status: ClusterStatus,
    /// `containerInsights` and its value.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Names of the capacity providers that its tasks may use.
    #[serde(default)]
    pub capacity_providers: Vec<String>,
    /// For tasks and services that name neither a launch type nor a strategy.
    #[serde(default)]
    pub default_strategy: Vec<StrategyItem>,
    /// ARN of the Cloud Map namespace of services that name none (`serviceConnectDefaults`).
    #[serde(default)]
    pub connect_namespace: Option<String>,
    pub created_at: Timestamp,
    /// When it became INACTIVE.
    #[serde(default)]
    pub inactive_at: Option<Timestamp>,
}

/// The cluster that a request without one means.
pub const DEFAULT_CLUSTER: &str = "default";
