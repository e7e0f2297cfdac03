//! Tasks and their life (ecs-semantics §1).
//!
//! ```text
//! PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING → DEPROVISIONING → STOPPED → DELETED
//! ```
//! A task may skip states, and never goes back: [`advance`] folds a node's report into a task and ignores what is
//! older than what is known. `desired_status` goes from RUNNING to STOPPED once, and stays.

use serde::{Deserialize, Serialize};

use crate::task_target::TaskTargetStatus;
use crate::{
    ContainerInstanceId, CpuUnits, MemoryMib, NodeId, Protocol, Resources, Scope, ServiceConnect, Tag, TaskId,
    TaskRegistration, TaskTarget, Timestamp, link, service_revision,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
    Deleted,
}

impl TaskStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
            Self::Deleted => "DELETED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DesiredStatus {
    Running,
    Stopped,
}

impl DesiredStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LaunchType {
    Ec2,
    Fargate,
    External,
}

impl LaunchType {
    pub const ALL: [Self; 3] = [Self::Ec2, Self::Fargate, Self::External];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::Fargate => "FARGATE",
            Self::External => "EXTERNAL",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    SpotInterruption,
    TerminationNotice,
}

impl StopCode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
            Self::TerminationNotice => "TerminationNotice",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    Healthy,
    Unhealthy,
    #[default]
    Unknown,
}

impl HealthStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub scope: Scope,
    pub cluster: String,
    pub family: String,
    pub revision: u32,
    pub launch_type: LaunchType,
    /// When it was asked for by a capacity provider strategy instead of a launch type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_provider: Option<String>,
    /// Where it runs. Chosen once; a task is never moved, only replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// For EC2 and EXTERNAL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<ContainerInstanceId>,
    /// `family:<family>` unless the caller names one.
    pub group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(default)]
    pub overrides: TaskOverride,
    /// Task-level limits after overrides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    pub last_status: TaskStatus,
    pub desired_status: DesiredStatus,
    pub health: HealthStatus,
    pub containers: Vec<Container>,
    /// The interface of an awsvpc task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// What it holds on its node, from placement until STOPPED.
    pub reservation: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// FARGATE: 1.4.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// GiB, FARGATE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<StopCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    pub connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connectivity_at: Option<Timestamp>,
    pub created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// Starts at 1, rises with each change that emits an event.
    pub version: u64,
    /// The newest report of the node that was folded in.
    #[serde(default)]
    pub report_sequence: u64,
    /// Its service has taken its end into account.
    #[serde(default)]
    pub counted: bool,
    /// Its places in the target groups of its service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TaskTarget>,
    /// Its places in Cloud Map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registrations: Vec<TaskRegistration>,
    /// Of a task of a service with Service Connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<TaskConnect>,
    /// Until then its service may not choose to stop it (UpdateTaskProtection).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<Timestamp>,
}

/// One container of a task, as Describe shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Dashed UUID.
    pub id: String,
    pub name: String,
    pub image: String,
    pub essential: bool,
    pub has_health_check: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// The digest was chosen when the task was made, and the node runs exactly that (see
    /// [`service_revision`](crate::service_revision)).
    #[serde(default)]
    pub is_pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    pub last_status: ContainerStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub health: HealthStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_bindings: Vec<NetworkBinding>,
    pub cpu: CpuUnits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryMib>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<MemoryMib>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpu_ids: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ContainerStatus {
    #[default]
    Pending,
    Running,
    Stopped,
}

impl ContainerStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// `0.0.0.0`.
    pub bind_ip: String,
    pub container_port: u16,
    pub host_port: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AttachmentStatus {
    Precreated,
    Attaching,
    Attached,
    Deleted,
}

impl AttachmentStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Precreated => "PRECREATED",
            Self::Attaching => "ATTACHING",
            Self::Attached => "ATTACHED",
            Self::Deleted => "DELETED",
        }
    }
}

/// `attachments[]` of type ElasticNetworkInterface. The interface's row goes when the task stops; this stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Dashed UUID.
    pub id: String,
    pub status: AttachmentStatus,
    pub interface_id: String,
    pub subnet_id: String,
    pub address: std::net::Ipv4Addr,
    pub mac: String,
    pub private_dns_name: String,
}

/// `attachments[]` of type Service Connect, and what the task knows of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskConnect {
    /// Dashed UUID.
    pub attachment_id: String,
    pub service: ServiceConnect,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskOverride {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<u32>,
    /// The account setting `defaultLogDriverMode` when the task was run: `blocking` or `non-blocking`. For containers
    /// whose log options name no `mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_driver_mode: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerOverride {
    pub name: String,
    pub command: Option<Vec<String>>,
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    pub cpu: Option<CpuUnits>,
    pub memory: Option<MemoryMib>,
    pub memory_reservation: Option<MemoryMib>,
}

/// Task health from its essential containers (ecs-semantics §1.5): any UNHEALTHY, else any that has a check and is
/// UNKNOWN, else HEALTHY; UNKNOWN when no essential container has a check. A container without a check is passed over
/// when another essential one has it (unconfirmed in the reference; settled so).
pub fn health_of(containers: &[Container]) -> HealthStatus {
    let checked = || containers.iter().filter(|c| c.essential && c.has_health_check);
    if checked().any(|c| c.health == HealthStatus::Unhealthy) {
        return HealthStatus::Unhealthy;
    }
    if checked().next().is_none() || checked().any(|c| c.health == HealthStatus::Unknown) {
        return HealthStatus::Unknown;
    }
    HealthStatus::Healthy
}

impl Container {
    /// The image as the node is to know it.
    pub fn pinned_image(&self) -> Option<String> {
        let digest = self.image_digest.as_deref().filter(|_| self.is_pinned)?;
        Some(service_revision::pinned(&self.image, digest))
    }
}

impl Task {
    /// Asks the task to stop: sets the desired status, code and reason, once. The first reason stays. One that load
    /// balancers or Cloud Map know is DEACTIVATING first.
    /// Answers whether anything changed.
    pub fn stop(&mut self, code: StopCode, reason: &str, now: Timestamp) -> bool {
        if self.desired_status == DesiredStatus::Stopped {
            return false;
        }
        self.desired_status = DesiredStatus::Stopped;
        self.stop_code = Some(code);
        self.stopped_reason = Some(reason.to_owned());
        self.stopping_at = Some(now);
        let is_in = self.targets.iter().any(TaskTarget::is_in);
        let next = match is_in || self.registrations.iter().any(TaskRegistration::is_in) {
            true => TaskStatus::Deactivating,
            false => TaskStatus::Stopping,
        };
        self.last_status = self.last_status.max(next);
        self.version += 1;
        true
    }

    /// Its containers run, and it is RUNNING only once it is in Cloud Map and in all of its target groups. With one group
    /// alone it is RUNNING at once (ecs-semantics §3.2).
    fn is_to_activate(&self) -> bool {
        let is_waiting = self.targets.iter().any(|target| target.status == TaskTargetStatus::Waiting);
        (self.targets.len() > 1 && is_waiting) || self.registrations.iter().any(TaskRegistration::is_waiting)
    }

    /// Whatever had to be done for it beside its containers is done.
    pub fn activate(&mut self, now: Timestamp) {
        self.last_status = self.last_status.max(TaskStatus::Running);
        self.started_at.get_or_insert(now);
        self.version += 1;
    }

    /// What its node is to do with it. One that is DEACTIVATING runs on: requests are still under way to it.
    pub fn desired_on_node(&self) -> DesiredStatus {
        match self.last_status {
            TaskStatus::Deactivating => DesiredStatus::Running,
            _ => self.desired_status,
        }
    }

    /// Nobody sends it anything any more: its containers can stop.
    pub fn finish_deactivating(&mut self) {
        self.last_status = self.last_status.max(TaskStatus::Stopping);
        self.version += 1;
    }
}

/// Folds a node's report into the task. Answers whether anything changed; a report that is not newer than the last
/// one changes nothing. The caller gives back the reservation and the interface when the task has become STOPPED.
pub fn advance(task: &mut Task, report: &link::TaskReport, now: Timestamp) -> bool {
    if task.last_status >= TaskStatus::Stopped || report.sequence <= task.report_sequence {
        return false;
    }
    let before = task.clone();
    for reported in &report.containers {
        if let Some(container) = task.containers.iter_mut().find(|c| c.name == reported.name) {
            advance_container(container, reported);
        }
    }
    task.health = health_of(&task.containers);
    take_times(task, report, now);
    if let Some(attachment) = &mut task.attachment
        && report.interface_attached
    {
        attachment.status = attachment.status.max(AttachmentStatus::Attached);
    }
    match report.status {
        link::ReportedStatus::Pending => task.last_status = task.last_status.max(TaskStatus::Pending),
        link::ReportedStatus::Running => advance_to_running(task, now),
        link::ReportedStatus::Stopped => advance_to_stopped(task, report, now),
    }
    let changed = *task != before;
    if changed {
        task.version += 1;
    }
    task.report_sequence = report.sequence;
    changed
}

/// What is known once is known for good. Nodes' clocks differ: no time is told to be before what it follows, after what
/// follows it, or in the future, where it would hold up whatever waits for so much time to pass since.
fn take_times(task: &mut Task, report: &link::TaskReport, now: Timestamp) {
    let is_over = report.status == link::ReportedStatus::Stopped || report.execution_stopped_at.is_some();
    let has_started = is_over || !task.is_to_activate();
    let mut times = [
        (&mut task.pull_started_at, report.pull_started_at),
        (&mut task.pull_stopped_at, report.pull_stopped_at),
        (&mut task.started_at, report.started_at.filter(|_| has_started)),
        (&mut task.execution_stopped_at, report.execution_stopped_at),
    ];
    let mut earliest = task.created_at.min(now);
    for index in 0..times.len() {
        let latest = times[index + 1..].iter().find_map(|(known, _)| **known).unwrap_or(now).clamp(earliest, now);
        let (known, reported) = &mut times[index];
        **known = known.or(reported.map(|at| at.clamp(earliest, latest)));
        earliest = known.unwrap_or(earliest).clamp(earliest, now);
    }
}

fn advance_container(container: &mut Container, reported: &link::ContainerReport) {
    container.last_status = container.last_status.max(reported.status);
    container.runtime_id = reported.runtime_id.clone().or(container.runtime_id.take());
    if !container.is_pinned {
        container.image_digest = reported.image_digest.clone().or(container.image_digest.take());
    }
    container.exit_code = container.exit_code.or(reported.exit_code);
    container.reason = container.reason.take().or_else(|| reported.reason.clone());
    container.health = reported.health;
    if !reported.network_bindings.is_empty() {
        container.network_bindings.clone_from(&reported.network_bindings);
    }
}

fn advance_to_running(task: &mut Task, now: Timestamp) {
    if task.is_to_activate() {
        task.last_status = task.last_status.max(TaskStatus::Activating);
    } else {
        task.last_status = task.last_status.max(TaskStatus::Running);
        task.started_at.get_or_insert(now);
    }
    if task.connectivity_at.is_none() {
        task.connected = true;
        task.connectivity_at = Some(now);
    }
}

fn advance_to_stopped(task: &mut Task, report: &link::TaskReport, now: Timestamp) {
    if task.desired_status == DesiredStatus::Running {
        let (code, reason) = match &report.failure {
            Some(failure) => (StopCode::TaskFailedToStart, failure.clone()),
            None => (StopCode::EssentialContainerExited, "Essential container in task exited".to_owned()),
        };
        task.stop(code, &reason, now);
    }
    task.last_status = TaskStatus::Stopped;
    task.stopped_at = Some(now);
    task.execution_stopped_at.get_or_insert(now);
    for container in &mut task.containers {
        container.last_status = ContainerStatus::Stopped;
    }
    if let Some(attachment) = &mut task.attachment {
        attachment.status = AttachmentStatus::Deleted;
    }
}
