//! How a deployment goes: its failures, the delays between its attempts, the circuit breaker (ecs-semantics §3.2).

use std::time::Duration;

use model::service::{Deployment, Rollout, Service};
use model::{HealthStatus, Timestamp};

use super::{Life, ServicePlan, ServiceTask, event};

/// The delay after a first failed attempt. It doubles with each further one. AWS does not tell its curve, only its end.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// ecs-semantics §3.2.
const RETRY_MAX: Duration = Duration::from_secs(27 * 60);
/// The failed attempt at which the service says so.
const ATTEMPTS_TOLD: u32 = 5;

/// How many failures trip the circuit breaker: half of the desired tasks, 3 to 200 (ecs-semantics §3.2).
pub const fn threshold(desired: u32) -> u32 {
    let half = desired.div_ceil(2);
    if half < 3 {
        3
    } else if half > 200 {
        200
    } else {
        half
    }
}

/// How long to wait after this many failed attempts in a row.
pub fn delay(failed_attempts: u32) -> Duration {
    let doubled = 1u32.checked_shl(failed_attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(doubled).min(RETRY_MAX)
}

/// Takes into account how tasks ended and which have shown that they work.
pub(super) fn take_stock(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    for index in 0..plan.service.deployments.len() {
        let deployment = &mut plan.service.deployments[index];
        let id = deployment.id.clone();
        let mine = || tasks.iter().filter(|task| task.deployment == id);
        let failures = mine().filter(|task| task.life == Life::Stopped { failed_to_start: true }).count();
        let tells = note_failures(deployment, failures, now);
        deployment.has_run |= mine().any(|task| task.started_at.is_some());
        note_proof(deployment, mine().filter(|task| proves(task)).filter_map(|task| task.started_at).max());
        if tells && deployment.failed_attempts > 0 {
            plan.events.push(event::throttled(&plan.service.name));
        }
    }
}

/// A task without a health check has shown that it works when it was RUNNING.
fn proves(task: &ServiceTask<'_>) -> bool {
    !task.has_health_check || task.health == HealthStatus::Healthy
}

/// Whether it is time to say that tasks keep failing.
fn note_failures(deployment: &mut Deployment, failures: usize, now: Timestamp) -> bool {
    if failures == 0 {
        return false;
    }
    if !deployment.has_run {
        deployment.failed_tasks = deployment.failed_tasks.saturating_add(u32::try_from(failures).unwrap_or(u32::MAX));
        deployment.updated_at = now;
    }
    // Tasks of one attempt fail one by one, so that only the first of them begins the delay.
    if deployment.retry_at.is_some_and(|at| now < at) {
        return false;
    }
    deployment.failed_attempts = deployment.failed_attempts.saturating_add(1);
    deployment.retry_at = Some(now.plus(delay(deployment.failed_attempts)));
    deployment.failed_attempts == ATTEMPTS_TOLD
}

fn note_proof(deployment: &mut Deployment, newest: Option<Timestamp>) {
    if newest <= deployment.proven_at {
        return;
    }
    deployment.proven_at = newest;
    deployment.failed_tasks = 0;
    deployment.failed_attempts = 0;
    deployment.retry_at = None;
}

/// Tasks that are replaced for failing their health checks.
pub(super) fn note_unhealthy(deployment: &mut Deployment, count: usize, now: Timestamp) {
    if count > 0 {
        deployment.failed_tasks = deployment.failed_tasks.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        deployment.updated_at = now;
    }
}

/// The circuit breaker: a PRIMARY deployment that fails too often is FAILED, and the last COMPLETED one is PRIMARY
/// again when that is wanted.
///
/// Answers whether it did.
pub(super) fn judge(plan: &mut ServicePlan, now: Timestamp) -> bool {
    if !trips(&plan.service) {
        return false;
    }
    let service = &mut plan.service;
    let failed = &mut service.deployments[0];
    failed.rollout = Rollout::Failed;
    failed.rollout_reason = event::BREAKER_TRIPPED.to_owned();
    failed.updated_at = now;
    plan.events.push(event::failed(&service.name, &failed.id));
    let failed = failed.id.clone();
    let rolls_back = service.configuration.circuit_breaker.is_some_and(|breaker| breaker.rollback);
    let good = service.last_completed.clone().filter(|good| rolls_back && good.id != failed);
    let Some(good) = good else { return true };
    let there = service.deployments.iter().find(|deployment| deployment.id == good.id);
    let good = there.cloned().unwrap_or(good);
    plan.events.push(event::rolling_back(&service.name, &good.id));
    service.deployments.retain(|deployment| deployment.id != good.id);
    let again = Deployment {
        rollout: Rollout::InProgress,
        rollout_reason: event::rollback_reason(&good.id),
        failed_tasks: 0,
        failed_attempts: 0,
        retry_at: None,
        updated_at: now,
        ..good
    };
    service.deployments.insert(0, again);
    true
}

fn trips(service: &Service) -> bool {
    let breaks = service.configuration.circuit_breaker.is_some_and(|breaker| breaker.enable);
    let primary = service.primary().filter(|primary| primary.rollout == Rollout::InProgress);
    breaks && primary.is_some_and(|primary| primary.failed_tasks >= threshold(service.desired_count))
}

/// The PRIMARY deployment has all that it is to have.
pub(super) fn complete(plan: &mut ServicePlan, now: Timestamp) {
    let service = &mut plan.service;
    let primary = &mut service.deployments[0];
    if primary.rollout == Rollout::Completed {
        return;
    }
    primary.rollout = Rollout::Completed;
    primary.rollout_reason = event::completed_reason(&primary.id);
    primary.updated_at = now;
    plan.events.push(event::completed(&service.name, &primary.id));
    service.last_completed = Some(primary.clone());
}
