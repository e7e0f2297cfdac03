//! How a deployment goes: its failures, the delays between its attempts, the circuit breaker (ecs-semantics §3.2).

use std::time::Duration;

use model::Timestamp;
use model::deployment_configuration::BreakerThreshold;
use model::service::{Deployment, Rollout, Service};

use super::record::{self, By, Failure};
use super::{Life, ServicePlan, ServiceTask, Signals, event};

/// The delay after a first failed attempt. It doubles with each further one. AWS does not tell its curve, only its end.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Between these the circuit breaker's bounded threshold is (ecs-semantics §3.2).
const FAILURES_MIN: u32 = 3;
const FAILURES_MAX: u32 = 200;
/// ecs-semantics §3.2.
const RETRY_MAX: Duration = Duration::from_secs(27 * 60);
/// The failed attempt at which the service says so.
const ATTEMPTS_TOLD: u32 = 5;

/// How many failures trip the circuit breaker (ecs-semantics §3.2).
pub fn threshold(rule: BreakerThreshold, desired: u32) -> u32 {
    let share = |percent: u32| {
        let tasks = (u64::from(desired) * u64::from(percent)).div_ceil(100);
        u32::try_from(tasks).unwrap_or(u32::MAX)
    };
    match rule {
        BreakerThreshold::Count(count) => count.max(1),
        BreakerThreshold::BoundedPercent(percent) => share(percent).clamp(FAILURES_MIN, FAILURES_MAX),
        BreakerThreshold::UnboundedPercent(percent) => share(percent).max(1),
    }
}

pub(super) fn threshold_of(service: &Service) -> u32 {
    let breaker = service.configuration.circuit_breaker;
    threshold(breaker.map(|breaker| breaker.threshold).unwrap_or_default(), service.desired_count)
}

/// How long to wait after this many failed attempts in a row.
pub fn delay(failed_attempts: u32) -> Duration {
    let doubled = 1u32.checked_shl(failed_attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(doubled).min(RETRY_MAX)
}

/// Takes into account how tasks ended and which have shown that they work.
pub(super) fn take_stock(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    let resets = plan.service.configuration.circuit_breaker.is_none_or(|breaker| breaker.reset_on_healthy_task);
    for index in 0..plan.service.deployments.len() {
        let deployment = &mut plan.service.deployments[index];
        let id = deployment.id.clone();
        let mine = || tasks.iter().filter(|task| task.deployment == id);
        let failures = mine().filter(|task| task.life == Life::Stopped { failed_to_start: true }).count();
        let tells = note_failures(deployment, failures, now);
        deployment.has_run |= mine().any(|task| task.started_at.is_some());
        note_proof(deployment, mine().filter(|task| proves(task)).filter_map(|task| task.started_at).max(), resets);
        if tells && deployment.failed_attempts > 0 {
            plan.events.push(event::throttled(&plan.service.name));
        }
    }
}

/// A task that nothing checks has shown that it works when it was RUNNING.
fn proves(task: &ServiceTask<'_>) -> bool {
    !task.is_checked() || task.passes_checks()
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

fn note_proof(deployment: &mut Deployment, newest: Option<Timestamp>, resets: bool) {
    if newest <= deployment.proven_at {
        return;
    }
    deployment.proven_at = newest;
    if resets {
        deployment.failed_tasks = 0;
    }
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

/// Ends a ROLLING deployment that goes wrong; the last COMPLETED one is PRIMARY again when that is wanted.
///
/// Answers whether it did.
pub(super) fn judge(plan: &mut ServicePlan, signals: &Signals<'_>, now: Timestamp) -> bool {
    let Some(failure) = record::failure(plan, signals) else { return false };
    let candidate = plan.service.last_completed.clone();
    fail(plan, &failure, candidate, now);
    true
}

/// The PRIMARY deployment is FAILED, and `candidate` is PRIMARY when there is one and it is wanted.
pub(super) fn fail(plan: &mut ServicePlan, failure: &Failure, candidate: Option<Deployment>, now: Timestamp) {
    record::note_breaker(plan);
    let service = &mut plan.service;
    let Some(failed) = service.deployments.first_mut() else { return };
    failed.rollout = Rollout::Failed;
    failed.rollout_reason = record::rollout_reason(failure, &failed.id);
    failed.updated_at = now;
    let failed = failed.id.clone();
    plan.events.extend(match failure.by {
        By::Breaker => Some(event::failed(&service.name, &failed)),
        By::Alarms(_) => Some(event::alarmed(&service.name, &failed)),
        By::Stages | By::Request => None,
    });
    let goes_back = plan.deployment.as_ref().is_some_and(|row| row.is_rolling_back());
    let is_wanted = |good: &Deployment| failure.rolls_back && !goes_back && good.id != failed;
    let candidate = candidate.filter(is_wanted);
    if let Some(row) = &mut plan.deployment {
        record::note_failure(row, failure, candidate.as_ref().map(|good| good.service_revision.clone()), now);
    }
    let Some(good) = candidate else { return };
    let there = service.deployments.iter().find(|deployment| deployment.id == good.id);
    let good = there.cloned().unwrap_or(good);
    plan.events.push(event::rolling_back(&service.name, &good.id));
    service.deployments.retain(|deployment| deployment.id != good.id);
    let again = Deployment {
        rollout: Rollout::InProgress,
        rollout_reason: record::rollback_reason(failure, &good.id),
        failed_tasks: 0,
        failed_attempts: 0,
        retry_at: None,
        updated_at: now,
        ..good
    };
    service.deployments.insert(0, again);
}

pub(super) fn trips(service: &Service) -> bool {
    let breaks = service.configuration.circuit_breaker.is_some_and(|breaker| breaker.enable);
    let primary = service.primary().filter(|primary| primary.rollout == Rollout::InProgress);
    breaks && primary.is_some_and(|primary| primary.failed_tasks >= threshold_of(service))
}

/// The PRIMARY deployment has all that it is to have.
pub(super) fn complete(plan: &mut ServicePlan, now: Timestamp) {
    record::note_complete(plan, now);
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
