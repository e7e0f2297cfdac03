//! Service deployments: the record of one revision's way into a service, and of the way back (ecs-semantics §3.13).
//!
//! ```text
//! PENDING ─▶ IN_PROGRESS ─▶ SUCCESSFUL
//!                 ├─(failure, or StopServiceDeployment: ROLLBACK_REQUESTED)─▶ ROLLBACK_IN_PROGRESS ─▶ ROLLBACK_SUCCESSFUL
//!                 │                    └─(nothing to go back to, or that fails too)─▶ ROLLBACK_FAILED
//!                 └─(failure without rollback, a newer one, StopServiceDeployment: STOP_REQUESTED)─▶ STOPPED
//! ```
//! BLUE_GREEN, LINEAR and CANARY ones go through stages, in the order of [`Stage`]; a ROLLING one has none.
//!
//! Invariant: at most one of a service is under way, the one that [`Service::service_deployment`] names.
//!
//! [`Service::service_deployment`]: crate::Service::service_deployment

use serde::{Deserialize, Serialize};

use crate::deployment_configuration::{DeploymentConfiguration, PerMille};
use crate::service::ServiceKey;
use crate::{Scope, Timestamp};

/// Scope, cluster, service, id.
pub type ServiceDeploymentKey = (Scope, String, String, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    pub scope: Scope,
    pub cluster: String,
    pub service: String,
    /// 21 letters, digits, hyphens and underscores.
    pub id: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    /// How it goes, as was said when it began.
    pub configuration: DeploymentConfiguration,
    /// The ids of the service revisions that were there when it began.
    pub sources: Vec<String>,
    /// The id of the service revision that it brings in.
    pub target: String,
    /// Where a deployment with stages is; `None` for a ROLLING one.
    pub progress: Option<Progress>,
    pub rollback: Option<Rollback>,
    pub breaker: BreakerState,
    pub alarms: AlarmState,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Stopped by its user, or failed and not rolled back.
    pub stopped_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

impl ServiceDeployment {
    pub fn key(&self) -> ServiceDeploymentKey {
        (self.scope.clone(), self.cluster.clone(), self.service.clone(), self.id.clone())
    }

    pub fn service_key(&self) -> ServiceKey {
        (self.scope.clone(), self.cluster.clone(), self.service.clone())
    }

    pub fn is_over(&self) -> bool {
        self.status.is_over()
    }

    pub fn is_rolling_back(&self) -> bool {
        self.status == ServiceDeploymentStatus::RollbackInProgress
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceDeploymentStatus {
    Pending,
    InProgress,
    StopRequested,
    Stopped,
    Successful,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::InProgress,
        Self::StopRequested,
        Self::Stopped,
        Self::Successful,
        Self::RollbackRequested,
        Self::RollbackInProgress,
        Self::RollbackSuccessful,
        Self::RollbackFailed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::Successful => "SUCCESSFUL",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Successful | Self::RollbackSuccessful | Self::RollbackFailed)
    }
}

/// In AWS's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Only when several revisions are there at first: one of them stays.
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    /// This one and the next once per step of the production traffic.
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl Stage {
    pub const ALL: [Self; 11] = [
        Self::ReconcileService,
        Self::PreScaleUp,
        Self::ScaleUp,
        Self::PostScaleUp,
        Self::TestTrafficShift,
        Self::PostTestTrafficShift,
        Self::PreProductionTrafficShift,
        Self::ProductionTrafficShift,
        Self::PostProductionTrafficShift,
        Self::BakeTime,
        Self::CleanUp,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// How much of the traffic a revision is to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub test: PerMille,
    pub production: PerMille,
}

impl Traffic {
    pub const ALL: Self = Self { test: PerMille::ALL, production: PerMille::ALL };

    /// What is left for the other revision.
    pub const fn rest(self) -> Self {
        Self { test: self.test.rest(), production: self.production.rest() }
    }
}

/// Where a deployment with stages is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: Stage,
    /// When this stage began, or this step of it.
    pub since: Timestamp,
    /// The id of the service's deployment that served when this one began, if any did.
    #[serde(default)]
    pub source: Option<String>,
    /// What the target revision gets.
    pub traffic: Traffic,
    /// How often the production traffic has shifted.
    pub steps: u32,
    /// The hooks of this stage.
    pub hooks: Vec<HookRun>,
    /// How many hooks have begun, for their ids.
    pub hooks_begun: u32,
}

/// One hook at one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// `ecs-pause-…`, `ecs-lambda-…`
    pub id: String,
    /// Which one of the configuration's.
    pub hook: usize,
    pub status: HookStatus,
    /// What its target did, in words, when it did not succeed.
    pub failure: Option<String>,
    pub expires_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookStatus {
    AwaitingAction,
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
}

impl HookStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingAction => "AWAITING_ACTION",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub reason: String,
    pub started_at: Timestamp,
    /// The id of the service revision that it goes back to; none when there is none.
    pub revision: Option<String>,
}

/// Whether something watches over the deployment, and what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonitorStatus {
    Disabled,
    Monitoring,
    Triggered,
    MonitoringComplete,
}

impl MonitorStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Monitoring => "MONITORING",
            Self::Triggered => "TRIGGERED",
            Self::MonitoringComplete => "MONITORING_COMPLETE",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerState {
    pub status: MonitorStatus,
    pub failures: u32,
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmState {
    pub status: MonitorStatus,
    pub triggered: Vec<String>,
    /// Since when a ROLLING deployment has all that it is to have, while its alarms are watched a little longer.
    pub baking_since: Option<Timestamp>,
}
