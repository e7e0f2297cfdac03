//! Services and their deployments (ecs-semantics §3.1, §3.2).
//!
//! ```text
//! service:     ACTIVE ─DeleteService─▶ DRAINING ─(every task is to stop)─▶ INACTIVE ─(retention)─▶ gone
//! deployment:  PRIMARY IN_PROGRESS ─(steady)─▶ COMPLETED
//!                │        └─(circuit breaker)─▶ FAILED ─(rollback)─▶ the last COMPLETED one is PRIMARY again
//!                └─(a newer one)─▶ ACTIVE ─(no task left)─▶ gone
//! ```
//! Counts of running and pending tasks are not kept here: they are what the task rows say.

use serde::{Deserialize, Serialize};

use crate::capacity_provider::Capacity;
pub use crate::deployment_configuration::{CircuitBreaker, DeploymentConfiguration};
use crate::service_deployment::Traffic;
use crate::task_set::{Controller, TaskSet, TaskSetStatus};
use crate::{LaunchType, Scope, ServiceConnect, ServiceLoadBalancer, ServiceRegistry, Tag, Timestamp};

/// What the group of a service's tasks begins with.
pub const GROUP_PREFIX: &str = "service:";

/// Scope, cluster, name.
pub type ServiceKey = (Scope, String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

impl ServiceStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A rebalancing over availability zones that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalancing {
    /// Tasks above the desired count that were started for it.
    pub surplus: u32,
}

/// `schedulingStrategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduling {
    /// So many tasks.
    #[default]
    Replica,
    /// One task on each container instance.
    Daemon,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub scope: Scope,
    pub cluster: String,
    pub name: String,
    pub status: ServiceStatus,
    /// That of the PRIMARY deployment.
    pub launch_type: LaunchType,
    #[serde(default)]
    pub scheduling: Scheduling,
    /// Of a DAEMON service: on how many container instances it has a task or is to have one.
    pub desired_count: u32,
    pub configuration: DeploymentConfiguration,
    /// Newest first: the first one is PRIMARY, the others are ACTIVE and drained. Empty once INACTIVE.
    pub deployments: Vec<Deployment>,
    /// What a rollback goes back to.
    pub last_completed: Option<Deployment>,
    /// The id of the newest service deployment. Services of older stores have none until their next one.
    #[serde(default)]
    pub service_deployment: Option<String>,
    pub placement_constraints: Vec<PlacementConstraint>,
    pub placement_strategies: Vec<PlacementStrategy>,
    /// `availabilityZoneRebalancing` is ENABLED.
    #[serde(default)]
    pub availability_zone_rebalancing: bool,
    /// While its tasks are being evened out over the zones.
    #[serde(default)]
    pub rebalancing: Option<Rebalancing>,
    pub propagate_tags: PropagateTags,
    pub enable_ecs_managed_tags: bool,
    /// How long after a task's start a failed health check, of a container or of a load balancer, counts for nothing.
    pub health_check_grace_seconds: u32,
    /// `role`, ARN: of a service whose load balancers are managed for it.
    #[serde(default)]
    pub role: Option<String>,
    pub tags: Vec<Tag>,
    /// Principal ARN.
    pub created_by: String,
    pub created_at: Timestamp,
    pub inactive_at: Option<Timestamp>,
    /// Since when it is steady, or when that was last said.
    pub steady_at: Option<Timestamp>,
    /// What keeps it from starting tasks, as last said, and when.
    pub obstacle: Option<(String, Timestamp)>,
    /// The number of the next event.
    pub next_event: u64,
    #[serde(default)]
    pub controller: Controller,
    /// Those of a service whose controller is EXTERNAL. Each has its deployment among the service's.
    #[serde(default)]
    pub task_sets: Vec<TaskSet>,
}

impl Service {
    pub fn key(&self) -> ServiceKey {
        (self.scope.clone(), self.cluster.clone(), self.name.clone())
    }

    /// The group of its tasks.
    pub fn group(&self) -> String {
        format!("{GROUP_PREFIX}{}", self.name)
    }

    /// The newest deployment, or that of the PRIMARY task set.
    pub fn primary(&self) -> Option<&Deployment> {
        match self.controller {
            Controller::Ecs => self.deployments.first(),
            Controller::External => {
                let set = self.task_sets.iter().find(|set| set.status == TaskSetStatus::Primary)?;
                self.deployment(&set.id)
            }
        }
    }

    pub fn deployment(&self, id: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|row| row.id == id)
    }

    /// Where the tasks of one of its deployments get their room.
    pub fn capacity_of(&self, deployment: &Deployment) -> Capacity {
        deployment.capacity.clone().unwrap_or_else(|| Capacity::of(self.launch_type))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rollout {
    InProgress,
    Completed,
    Failed,
}

/// One revision of the service on its way in, in, or on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// `ecs-svc/<19 digits>`: the `startedBy` of its tasks.
    pub id: String,
    pub family: String,
    pub revision: u32,
    pub network: Option<ServiceNetwork>,
    pub platform_version: Option<String>,
    /// `None` in a row that was written before there were capacity providers: the service's launch type.
    #[serde(default)]
    pub capacity: Option<Capacity>,
    /// The id of the service revision that it is of.
    #[serde(default)]
    pub service_revision: Option<String>,
    /// What it is to get of the traffic, once a deployment with stages has said so.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    #[serde(default)]
    pub load_balancers: Vec<ServiceLoadBalancer>,
    #[serde(default)]
    pub registries: Vec<ServiceRegistry>,
    #[serde(default)]
    pub connect: Option<ServiceConnect>,
    pub rollout: Rollout,
    pub rollout_reason: String,
    /// Failures in a row that the circuit breaker counts: tasks that never ran, once one has run those that failed
    /// their health checks.
    pub failed_tasks: u32,
    /// One of its tasks was RUNNING.
    pub has_run: bool,
    /// When the newest task started that has shown that it works.
    pub proven_at: Option<Timestamp>,
    /// Attempts in a row whose tasks never ran, and before when the next one is not made.
    pub failed_attempts: u32,
    pub retry_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `awsvpcConfiguration` as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNetwork {
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: Option<bool>,
}

/// As it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementConstraint {
    pub kind: String,
    pub expression: Option<String>,
}

/// As it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStrategy {
    pub kind: String,
    pub field: Option<String>,
}

/// Where the tags of a service's tasks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropagateTags {
    None,
    Service,
    TaskDefinition,
}
