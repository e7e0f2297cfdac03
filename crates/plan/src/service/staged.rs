//! What keeps a service while a BLUE_GREEN, LINEAR or CANARY deployment goes on: both revisions at their counts, as the
//! [`stage`] wants it, each within the bounds for itself, and the share of the traffic that each is to get.
//!
//! ```text
//!                     target   source that serves   other sources
//! RECONCILE_SERVICE      0          desired          replaced by it
//! PRE_SCALE_UP           0          desired               -
//! SCALE_UP … BAKE_TIME desired      desired               -
//! CLEAN_UP             desired   replaced by it           -
//! back: CLEAN_UP replaces the target by the source that serves
//! ```
//! The revision that stays in the end is the service's first deployment, so that a rollback is a change of their order.
//!
//! A source that has never served holds nothing up: it gets no traffic, starts no tasks, is not gone back to, and goes
//! when the target is in. Until then it keeps what it has, as far as that is not more than desired.
//!
//! Invariant: the shares of all revisions of a kind of traffic are 100 % together, once one has served.

use model::Timestamp;
use model::deployment_configuration::PerMille;
use model::service::{Deployment, Rollout, Service};
use model::service_deployment::{MonitorStatus, ServiceDeployment, ServiceDeploymentStatus, Stage, Traffic};

use super::record::{self, By, Failure};
use super::replica::{Census, Want, tell_obstacle};
use super::stage::{self, Facts, Move};
use super::{ServicePlan, ServiceTask, Signals, loss, rollout};

pub(super) fn holds(plan: &ServicePlan) -> bool {
    plan.deployment.as_ref().is_some_and(|row| is_staged(&plan.service, row))
}

/// Whether a deployment with stages goes on, or has left several revisions.
pub(super) fn is_staged(service: &Service, row: &ServiceDeployment) -> bool {
    row.progress.is_some() && (!row.is_over() || service.deployments.len() > 1)
}

/// How many tasks each of the service's deployments is to have.
pub(super) fn requested(service: &Service, row: &ServiceDeployment) -> Vec<u32> {
    let mut counts = vec![0; service.deployments.len()];
    let wants = wants(service, row);
    for (deployment, count) in service.deployments.iter().zip(&mut counts) {
        let is_kept = wants.iter().any(|want| want.deployment == deployment.id);
        *count = if is_kept { service.desired_count } else { 0 };
    }
    counts
}

pub(super) fn keep(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], signals: &Signals<'_>, now: Timestamp) {
    rollout::take_stock(plan, tasks, now);
    loss::stop(plan, tasks, now);
    let (census, wake_at) = loop {
        let census = scale(plan, tasks, now);
        leave(plan, tasks, now);
        if let Some(failure) = record::failure(plan, signals) {
            fail(plan, &failure, now);
            continue;
        }
        let Some(row) = plan.deployment.as_mut().filter(|row| !row.is_over()) else { break (census, None) };
        let facts = Facts {
            others: plan.service.deployments.len().saturating_sub(1),
            source_serves: source(&plan.service, row).is_some(),
            is_up: census.first().is_some_and(Census::is_whole),
            hooks: signals.hooks,
        };
        let step = stage::advance(row, &facts, now);
        share_traffic(plan);
        match step {
            Move::Wait(at) => break (census, at),
            Move::Rescale => {}
            Move::Fail(why) => fail(plan, &Failure { why, rolls_back: true, by: By::Stages }, now),
            Move::Done => {
                rollout::complete(plan, now);
                break (census, None);
            }
        }
    };
    tell_obstacle(plan, &census, now);
    // A first deployment has no other revision beside it, and is not complete for that.
    let is_over = plan.deployment.as_ref().is_some_and(ServiceDeployment::is_over);
    match census.first() {
        Some(census) if is_over => census.note_steady(plan, signals, now),
        _ => plan.service.steady_at = None,
    }
    for census in &census {
        census.note_wake(plan, tasks, now);
    }
    plan.wake(wake_at, now);
}

/// Starts and stops what the stage wants. Answers the census of each revision that is kept, the one that stays first.
fn scale<'a>(plan: &mut ServicePlan, tasks: &'a [ServiceTask<'a>], now: Timestamp) -> Vec<Census<'a>> {
    plan.start.clear();
    let wants = plan.deployment.as_ref().map(|row| wants(&plan.service, row)).unwrap_or_default();
    let keep = |want: Want| {
        let mut census = Census::take(plan, tasks, want, now);
        census.keep(plan, now);
        census
    };
    wants.into_iter().map(keep).collect()
}

/// What has no part in the stage starts nothing, but is scaled in, and leaves an instance that is drained.
fn leave(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    let wants = plan.deployment.as_ref().map(|row| wants(&plan.service, row)).unwrap_or_default();
    if wants.iter().any(|want| want.replaces) {
        return;
    }
    let desired = plan.service.desired_count as usize;
    let rows = plan.service.deployments.iter().map(|row| row.id.clone());
    let left: Vec<String> = rows.filter(|id| wants.iter().all(|want| want.deployment != *id)).collect();
    for deployment in left {
        let mut census = Census::take(plan, tasks, Want { deployment, desired, replaces: false, launches: false }, now);
        census.keep(plan, now);
        census.note_wake(plan, tasks, now);
    }
}

fn wants(service: &Service, row: &ServiceDeployment) -> Vec<Want> {
    let Some(stage) = row.progress.as_ref().map(|progress| progress.stage) else { return Vec::new() };
    let whole = |index: usize| Want {
        deployment: service.deployments[index].id.clone(),
        desired: service.desired_count as usize,
        replaces: false,
        launches: launches(service, row, &service.deployments[index]),
    };
    let source = source(service, row);
    let goes_back = row.rollback.is_some();
    match stage {
        Stage::CleanUp => vec![Want { replaces: true, ..whole(0) }],
        _ if goes_back => vec![whole(0)],
        Stage::ReconcileService => source.map(|index| Want { replaces: true, ..whole(index) }).into_iter().collect(),
        Stage::PreScaleUp => source.map(whole).into_iter().collect(),
        _ => [Some(0), source].into_iter().flatten().map(whole).collect(),
    }
}

/// A target that failed starts nothing more, unless it was only left where it was. What serves beside it keeps what it
/// has, whatever became of the deployment that had brought it in. When there is nothing beside it, the deployment is over
/// as one without stages is.
fn launches(service: &Service, row: &ServiceDeployment, deployment: &Deployment) -> bool {
    let is_stopped = row.status == ServiceDeploymentStatus::Stopped && row.breaker.status != MonitorStatus::Triggered;
    let is_left = is_stopped && service.deployments.len() > 1;
    !record::is_target(row, deployment) || deployment.rollout != Rollout::Failed || is_left
}

/// The source that served when the deployment began.
fn source(service: &Service, row: &ServiceDeployment) -> Option<usize> {
    let chosen = row.progress.as_ref().and_then(|progress| progress.source.as_ref());
    let there = chosen.and_then(|id| service.deployments.iter().skip(1).position(|source| source.id == *id));
    there.map(|index| index + 1).or_else(|| serving(service))
}

/// Which of the sources serves: the one with the most production traffic (the oldest of equals), or that was complete, or
/// that came without stages and has run.
pub(super) fn serving(service: &Service) -> Option<usize> {
    let sources = || service.deployments.iter().enumerate().skip(1);
    let share = |deployment: &Deployment| deployment.traffic.unwrap_or_default().production;
    let most = sources().max_by_key(|(_, source)| share(source));
    let most = most.filter(|(_, source)| share(source) > PerMille::NONE);
    let good = service.last_completed.as_ref();
    let complete = || sources().find(|(_, source)| good.is_some_and(|good| good.id == source.id));
    let rolled = || sources().find(|(_, source)| source.traffic.is_none() && source.has_run);
    most.or_else(complete).or_else(rolled).map(|(index, _)| index)
}

fn share_traffic(plan: &mut ServicePlan) {
    let Some(row) = &plan.deployment else { return };
    let Some(traffic) = row.progress.as_ref().map(|progress| progress.traffic) else { return };
    let source = if row.rollback.is_some() { Some(0) } else { source(&plan.service, row) };
    for (index, deployment) in plan.service.deployments.iter_mut().enumerate() {
        deployment.traffic = Some(match () {
            () if record::is_target(row, deployment) => traffic,
            () if Some(index) == source => traffic.rest(),
            () => Traffic::default(),
        });
    }
}

fn fail(plan: &mut ServicePlan, failure: &Failure, now: Timestamp) {
    let source = plan.deployment.as_ref().and_then(|row| source(&plan.service, row));
    let candidate = source.map(|index| plan.service.deployments[index].clone());
    let goes_back = plan.deployment.as_ref().is_some_and(ServiceDeployment::is_rolling_back);
    rollout::fail(plan, failure, candidate.filter(|_| !goes_back), now);
    if let Some(row) = plan.deployment.as_mut().filter(|row| row.is_rolling_back()) {
        stage::turn_back(row, now);
    }
    share_traffic(plan);
}
