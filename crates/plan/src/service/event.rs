//! What services say, in AWS's words (ecs-semantics §3.9, §3.2, §1.3).

use std::fmt::Write;

use model::resources::Shortage;
use model::{ContainerInstanceId, TaskId};

use crate::place::Reason;

pub const HEALTH_CHECKS_FAILED: &str = "Task failed container health checks";
pub const BREAKER_TRIPPED: &str = "ECS deployment circuit breaker: tasks failed to start.";
const UNMET: &str = "was unable to place a task because no container instance met all of its requirements.";
const SEE_GUIDE: &str = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";

/// The `stoppedReason` of a task that is scaled in or replaced.
pub fn scaling(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

pub fn in_progress(deployment: &str) -> String {
    format!("ECS deployment {deployment} in progress.")
}

pub fn completed_reason(deployment: &str) -> String {
    format!("ECS deployment {deployment} completed.")
}

pub fn rollback_reason(deployment: &str) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {deployment}.")
}

pub fn started(service: &str, tasks: impl Iterator<Item = TaskId>) -> String {
    let (count, list) = listed(tasks);
    format!("(service {service}) has started {count} tasks:{list}.")
}

pub fn stopped_running(service: &str, tasks: impl Iterator<Item = TaskId>) -> String {
    let (count, list) = listed(tasks);
    format!("(service {service}) has stopped {count} running tasks:{list}.")
}

fn listed(tasks: impl Iterator<Item = TaskId>) -> (usize, String) {
    let (mut count, mut list) = (0, String::new());
    for id in tasks {
        count += 1;
        write!(list, " (task {id})").expect("a string takes everything");
    }
    (count, list)
}

pub fn stopped_pending(service: &str, count: usize) -> String {
    format!("(service {service}) stopped {count} pending tasks.")
}

pub fn steady(service: &str) -> String {
    format!("(service {service}) has reached a steady state.")
}

pub fn completed(service: &str, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment completed.")
}

pub fn failed(service: &str, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment failed: tasks failed to start.")
}

pub fn rolling_back(service: &str, deployment: &str) -> String {
    format!("(service {service}) rolling back to deployment {deployment}.")
}

pub fn failed_health_checks(service: &str, task: TaskId) -> String {
    format!("(service {service}) (task {task}) failed container health checks.")
}

pub fn throttled(service: &str) -> String {
    format!(
        "(service {service}) is unable to consistently start tasks successfully. For more information, see the \
         Troubleshooting section."
    )
}

pub fn stuck(service: &str) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )
}

/// No place for a task of launch type EC2 or EXTERNAL: the container instance that was closest, and what it lacks.
pub fn unplaced(service: &str, closest: Option<(ContainerInstanceId, &Reason)>) -> String {
    match closest {
        Some((id, reason)) => {
            let tail = tail(reason);
            format!("(service {service}) {UNMET} The closest matching (container-instance {id}) {tail}. {SEE_GUIDE}")
        }
        None => {
            format!(
                "(service {service}) {UNMET} Reason: No Container Instances were found in your cluster. {SEE_GUIDE}"
            )
        }
    }
}

fn tail(reason: &Reason) -> String {
    match reason {
        Reason::Resource(Shortage::Cpu) => "has insufficient CPU units available".to_owned(),
        Reason::Resource(Shortage::Memory) => "has insufficient memory available".to_owned(),
        Reason::Resource(Shortage::Ports) => "is already using a port required by your task".to_owned(),
        Reason::Agent => "doesn't have the agent connected".to_owned(),
        Reason::Attribute(_) => "is missing an attribute required by your task".to_owned(),
        other => format!("encountered error \"{}\"", other.as_str()),
    }
}

/// No place for a task, for this reason.
pub fn unplaced_because(service: &str, reason: &str) -> String {
    format!("(service {service}) was unable to place a task. Reason: {reason}.")
}
