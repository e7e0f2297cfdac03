//! The row of a service deployment: how it begins, what ends it, and what then is written into it.

use model::Timestamp;
use model::deployment_configuration::DeploymentStrategy;
use model::service::{Rollout, Service};
use model::service_deployment::{
    AlarmState, BreakerState, MonitorStatus, Rollback, ServiceDeployment, ServiceDeploymentStatus as Status,
};

use super::{ServicePlan, Signals, event, rollout, stage, staged};

const NO_CANDIDATE: &str = "No rollback candidate was found to run the rollback.";
const ROLLBACK_FAILED: &str = "Service deployment rollback failed because";

/// The service's PRIMARY deployment on its way in.
pub fn begin(service: &Service, id: String, now: Timestamp) -> ServiceDeployment {
    let configuration = service.configuration.clone();
    let revisions = service.deployments.iter().filter_map(|deployment| deployment.service_revision.clone());
    let mut revisions: Vec<String> = revisions.collect();
    let target = if revisions.is_empty() { String::new() } else { revisions.remove(0) };
    let breaks = configuration.circuit_breaker.is_some_and(|breaker| breaker.enable);
    let watches = configuration.alarms.as_ref().is_some_and(|alarms| alarms.enable);
    let monitored = |is_on| if is_on { MonitorStatus::Monitoring } else { MonitorStatus::Disabled };
    let has_stages = configuration.strategy != DeploymentStrategy::Rolling;
    let sources = service.deployments.len().saturating_sub(1);
    let source = staged::serving(service).map(|index| service.deployments[index].id.clone());
    ServiceDeployment {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id,
        status: Status::Pending,
        status_reason: None,
        configuration,
        sources: revisions,
        target,
        progress: has_stages.then(|| stage::first(sources, source, now)),
        rollback: None,
        breaker: BreakerState { status: monitored(breaks), failures: 0, threshold: rollout::threshold_of(service) },
        alarms: AlarmState { status: monitored(watches), triggered: Vec::new(), baking_since: None },
        created_at: now,
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: now,
    }
}

/// A newer deployment takes the place of one that is under way.
pub fn supersede(row: &mut ServiceDeployment, now: Timestamp) {
    if !row.is_over() {
        stop(row, "a new service deployment was started.", now);
    }
}

/// StopServiceDeployment's two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopKind {
    Abort,
    Rollback,
}

/// Why a deployment cannot be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstoppable {
    Over,
    /// What is half gone is not left there.
    RollingBack,
}

/// Asks the deployment to stop. A rollback that is asked for again goes on as it does.
///
/// # Errors
/// When it cannot.
pub fn ask(row: &mut ServiceDeployment, kind: StopKind, now: Timestamp) -> Result<(), Unstoppable> {
    row.status = match (row.status, kind) {
        (status, _) if status.is_over() => return Err(Unstoppable::Over),
        (Status::RollbackInProgress, StopKind::Abort) => return Err(Unstoppable::RollingBack),
        (Status::RollbackInProgress, StopKind::Rollback) => return Ok(()),
        (_, StopKind::Rollback) => Status::RollbackRequested,
        (_, StopKind::Abort) => Status::StopRequested,
    };
    row.updated_at = now;
    Ok(())
}

/// The first look at it: it is under way. Alarms that are in ALARM already are ignored as long as it goes on.
pub(super) fn start(plan: &mut ServicePlan, signals: &Signals<'_>, now: Timestamp) {
    let Some(row) = plan.deployment.as_mut().filter(|row| row.started_at.is_none() && !row.is_over()) else { return };
    if row.status == Status::Pending {
        row.status = Status::InProgress;
    }
    row.started_at = Some(now);
    row.updated_at = now;
    if !in_alarm(row, signals).is_empty() {
        row.alarms.status = MonitorStatus::Disabled;
    }
    stage::begin(row, now);
}

/// What ends a deployment before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Ends the sentence that begins with "Service deployment rolled back because".
    pub why: String,
    pub rolls_back: bool,
    pub by: By,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    Breaker,
    Alarms(Vec<String>),
    Stages,
    Request,
}

/// Whether something ends the deployment: a request, the circuit breaker or an alarm. The first one decides.
pub(super) fn failure(plan: &ServicePlan, signals: &Signals<'_>) -> Option<Failure> {
    let row = plan.deployment.as_ref().filter(|row| !row.is_over());
    if let Some(failure) = row.and_then(requested) {
        return Some(failure);
    }
    let goes_back = row.is_some_and(ServiceDeployment::is_rolling_back);
    // The way back of a deployment with stages is not given up.
    if goes_back && row.is_some_and(|row| row.progress.is_some()) {
        return None;
    }
    if rollout::trips(&plan.service) {
        let rolls_back = plan.service.configuration.circuit_breaker.is_some_and(|breaker| breaker.rollback);
        let why = "the circuit breaker threshold was exceeded.".to_owned();
        return Some(Failure { why, rolls_back, by: By::Breaker });
    }
    let row = row.filter(|row| !goes_back && row.alarms.status == MonitorStatus::Monitoring)?;
    let names = in_alarm(row, signals);
    if names.is_empty() {
        return None;
    }
    let rolls_back = row.configuration.alarms.as_ref().is_some_and(|alarms| alarms.rollback);
    let why = format!("alarm(s) {} were in ALARM state.", names.join(", "));
    Some(Failure { why, rolls_back, by: By::Alarms(names) })
}

fn requested(row: &ServiceDeployment) -> Option<Failure> {
    let rolls_back = match row.status {
        Status::RollbackRequested => true,
        Status::StopRequested => false,
        _ => return None,
    };
    Some(Failure { why: "it was requested.".to_owned(), rolls_back, by: By::Request })
}

/// The deployment's own alarms that are in ALARM.
fn in_alarm(row: &ServiceDeployment, signals: &Signals<'_>) -> Vec<String> {
    let alarms = row.configuration.alarms.iter().filter(|alarms| alarms.enable);
    let names = alarms.flat_map(|alarms| &alarms.names);
    names.filter(|name| signals.in_alarm.contains(name)).cloned().collect()
}

/// Writes down that it failed, and what follows: the way back to `candidate`, a revision's id, or its end.
pub(super) fn note_failure(
    row: &mut ServiceDeployment,
    failure: &Failure,
    candidate: Option<Option<String>>,
    now: Timestamp,
) {
    match &failure.by {
        By::Breaker => row.breaker.status = MonitorStatus::Triggered,
        By::Alarms(names) => {
            row.alarms.status = MonitorStatus::Triggered;
            row.alarms.triggered.clone_from(names);
        }
        By::Stages | By::Request => {}
    }
    row.updated_at = now;
    if !failure.rolls_back {
        return stop(row, &failure.why, now);
    }
    if row.is_rolling_back() {
        return finish(row, Status::RollbackFailed, Some(format!("{ROLLBACK_FAILED} {}", failure.why)), now);
    }
    let reason = format!("Service deployment rolled back because {}", failure.why);
    let Some(revision) = candidate else {
        row.rollback = Some(Rollback { reason, started_at: now, revision: None });
        return finish(row, Status::RollbackFailed, Some(NO_CANDIDATE.to_owned()), now);
    };
    row.rollback = Some(Rollback { reason: reason.clone(), started_at: now, revision });
    row.status = Status::RollbackInProgress;
    row.status_reason = Some(reason);
}

fn stop(row: &mut ServiceDeployment, why: &str, now: Timestamp) {
    row.stopped_at = Some(now);
    finish(row, Status::Stopped, Some(format!("Service deployment stopped because {why}")), now);
}

/// The service is deleted.
pub(super) fn note_deleted(plan: &mut ServicePlan, now: Timestamp) {
    if let Some(row) = plan.deployment.as_mut().filter(|row| !row.is_over()) {
        stop(row, "the service was deleted.", now);
    }
}

/// All is as it was to be: the target is in, or what was there before it is back.
pub(super) fn note_complete(plan: &mut ServicePlan, now: Timestamp) {
    let Some(row) = plan.deployment.as_mut().filter(|row| !row.is_over()) else { return };
    match row.rollback.as_ref().map(|rollback| rollback.reason.clone()) {
        None => finish(row, Status::Successful, None, now),
        Some(reason) => finish(row, Status::RollbackSuccessful, Some(reason), now),
    }
}

fn finish(row: &mut ServiceDeployment, status: Status, reason: Option<String>, now: Timestamp) {
    row.status = status;
    row.status_reason = reason;
    row.finished_at = Some(now);
    row.updated_at = now;
    for monitor in [&mut row.breaker.status, &mut row.alarms.status] {
        if *monitor == MonitorStatus::Monitoring {
            *monitor = MonitorStatus::MonitoringComplete;
        }
    }
}

/// What the circuit breaker has counted so far.
pub(super) fn note_breaker(plan: &mut ServicePlan) {
    let Some(row) = plan.deployment.as_mut().filter(|row| !row.is_over()) else { return };
    row.breaker.threshold = rollout::threshold_of(&plan.service);
    let target = plan.service.deployments.iter().find(|deployment| is_target(row, deployment));
    if let Some(target) = target.filter(|target| target.rollout == Rollout::InProgress) {
        row.breaker.failures = target.failed_tasks;
    }
}

pub(super) fn is_target(row: &ServiceDeployment, deployment: &model::Deployment) -> bool {
    deployment.service_revision.as_deref() == Some(&*row.target)
}

/// The alarms of a ROLLING deployment are watched a little longer: `Some` is the time to look again.
pub(super) fn bakes_until(plan: &mut ServicePlan, signals: &Signals<'_>, now: Timestamp) -> Option<Timestamp> {
    let row = plan.deployment.as_mut().filter(|row| !row.is_over() && row.progress.is_none())?;
    if row.alarms.status != MonitorStatus::Monitoring || row.is_rolling_back() {
        return None;
    }
    let until = row.alarms.baking_since.get_or_insert(now).plus(signals.alarm_bake);
    (now < until).then_some(until)
}

/// It has not all that it is to have any more.
pub(super) fn stop_baking(plan: &mut ServicePlan) {
    if let Some(row) = plan.deployment.as_mut().filter(|row| !row.is_over()) {
        row.alarms.baking_since = None;
    }
}

/// The words of `rolloutStateReason`, for a deployment that failed.
pub(super) fn rollout_reason(failure: &Failure, deployment: &str) -> String {
    match failure.by {
        By::Breaker => event::BREAKER_TRIPPED.to_owned(),
        By::Alarms(_) => event::ALARM_DETECTED.to_owned(),
        By::Stages | By::Request => format!("ECS deployment {deployment} failed."),
    }
}

/// The same for the one that it goes back to.
pub(super) fn rollback_reason(failure: &Failure, deployment: &str) -> String {
    let by = match failure.by {
        By::Breaker => "ECS deployment circuit breaker",
        By::Alarms(_) => "ECS deployment alarms",
        By::Stages | By::Request => "ECS deployment",
    };
    format!("{by}: rolling back to deploymentId {deployment}.")
}
