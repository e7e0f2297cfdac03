//! Task protection: UpdateTaskProtection, GetTaskProtection (ecs-semantics §3.11). A protected task of a service is not
//! chosen to be stopped, by scaling, deploying, balancing or draining, until its protection expires; what fails, is lost
//! or is stopped by a caller stops all the same (`plan::service`).
//!
//! A task that is of no service, or is to stop already, cannot be protected.

use std::time::Duration;

use model::task_set::Controller;
use model::{Arn, DesiredStatus, Task, Timestamp};
use store::{Tables, service_of};
use wire::ecs;
use wire::ecs::Error;

use super::convert::task_protection::to_wire;
use super::identifier::Kind;
use super::{cluster, task};
use crate::Cx;

/// Of one call (ecs-semantics §3.11).
const UPDATE_MAX: usize = 10;
const GET_MAX: usize = 100;
const MINUTES_DEFAULT: i32 = 120;
const MINUTES_MAX: i32 = 2880;

/// UpdateTaskProtection: each task by itself. Every call begins the time anew.
pub fn update_task_protection(
    cx: &mut Cx<'_>,
    request: ecs::UpdateTaskProtectionRequest,
) -> Result<ecs::UpdateTaskProtectionResponse, Error> {
    let ecs::UpdateTaskProtectionRequest { cluster, expires_in_minutes, protection_enabled, tasks } = request;
    check_count(&tasks, UPDATE_MAX)?;
    let minutes = expires_in_minutes.unwrap_or(MINUTES_DEFAULT);
    if !(1..=MINUTES_MAX).contains(&minutes) {
        return Err(Error::invalid_parameter(format!("expiresInMinutes must be between 1 and {MINUTES_MAX}.")));
    }
    let until = cx.now.plus(Duration::from_secs(u64::from(minutes.unsigned_abs()) * 60));
    let until = protection_enabled.then_some(until);
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for found in find_all(cx, &cluster, &tasks)? {
        let row = found.and_then(|row| match until.is_some() && is_deployment_blocked(cx.txn, &row, cx.now) {
            true => Err(failure(&row, "DEPLOYMENT_BLOCKED")),
            false => Ok(row),
        });
        match row {
            Ok(row) => {
                cx.txn.update::<Task, _>(&row.id, |task| task.protected_until = until);
                shown.push(to_wire(&Task { protected_until: until, ..row }, cx.now));
            }
            Err(failure) => failures.push(failure),
        }
    }
    Ok(ecs::UpdateTaskProtectionResponse { protected_tasks: Some(shown), failures: Some(failures) })
}

/// GetTaskProtection: of the tasks that are named.
pub fn get_task_protection(
    cx: &mut Cx<'_>,
    request: ecs::GetTaskProtectionRequest,
) -> Result<ecs::GetTaskProtectionResponse, Error> {
    let tasks = request.tasks.unwrap_or_default();
    check_count(&tasks, GET_MAX)?;
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for found in find_all(cx, &request.cluster, &tasks)? {
        match found {
            Ok(row) => shown.push(to_wire(&row, cx.now)),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(ecs::GetTaskProtectionResponse { protected_tasks: Some(shown), failures: Some(failures) })
}

fn check_count(tasks: &[String], most: usize) -> Result<(), Error> {
    if tasks.is_empty() {
        return Err(Error::invalid_parameter("Tasks cannot be empty."));
    }
    if tasks.len() > most {
        return Err(Error::invalid_parameter(format!("tasks can have at most {most} items.")));
    }
    Ok(())
}

/// Each of the tasks, or why it has no protection to speak of.
fn find_all(cx: &Cx<'_>, cluster: &str, texts: &[String]) -> Result<Vec<Result<Task, ecs::Failure>>, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), Some(cluster))?;
    let find = |text: &String| {
        Ok(match task::find(cx.txn, cx.scope(), &cluster.name, text)? {
            None => Err(task::missing(cx.scope(), &cluster.name, Kind::Task, text)),
            Some(row) if service_of(row).is_none() || row.desired_status == DesiredStatus::Stopped => {
                Err(failure(row, "TASK_NOT_VALID"))
            }
            Some(row) => Ok(row.clone()),
        })
    };
    texts.iter().map(find).collect()
}

/// The task is of an older deployment, and protected ones of those keep the newer one from being steady already: what
/// is on its way out may not hold it up time and again.
fn is_deployment_blocked(tables: &Tables, task: &Task, now: Timestamp) -> bool {
    let service = service_of(task).and_then(|key| tables.services.get(&key));
    // Of task sets none is older: whoever controls them says which is to go.
    let service = service.filter(|row| row.controller == Controller::Ecs);
    let Some((service, primary)) = service.and_then(|row| Some((row, row.primary()?))) else { return false };
    let is_old = |task: &Task| task.started_by.as_ref() != Some(&primary.id);
    let holds = |task: &Task| is_old(task) && task.protected_until.is_some_and(|until| now < until);
    is_old(task) && tables.tasks_of_service(&service.key()).any(|task| holds(task))
}

fn failure(task: &Task, reason: &str) -> ecs::Failure {
    let arn = Arn::task_text(&task.scope, &task.cluster, task.id);
    ecs::Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: None }
}
