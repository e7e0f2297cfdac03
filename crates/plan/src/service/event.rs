//! What services say, in AWS's words (ecs-semantics §3.9, §3.2, §1.3), and its name for machines where there is one
//! (ecs-semantics §6.1).

use std::fmt::Write;

use model::resources::Shortage;
use model::service_event::ActionName;
use model::{ContainerInstance, ContainerInstanceId, NodeId, Service, ServiceAction, TaskId, TaskTarget};

use crate::place::Reason;

pub const HEALTH_CHECKS_FAILED: &str = "Task failed container health checks";
pub const BREAKER_TRIPPED: &str = "ECS deployment circuit breaker: tasks failed to start.";
pub const ALARM_DETECTED: &str = "ECS deployment alarms: alarm detected.";
const UNMET: &str = "was unable to place a task because no container instance met all of its requirements.";
const SEE_GUIDE: &str = "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";

/// Something that a service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Empty: only machines are told.
    pub message: String,
    /// `None`: only people are told.
    pub action: Option<ServiceAction>,
}

impl Event {
    const fn told(message: String) -> Self {
        Self { message, action: None }
    }

    const fn named(name: ActionName, message: String) -> Self {
        Self { message, action: Some(ServiceAction::named(name)) }
    }

    fn because(self, reason: &str) -> Self {
        let reason = Some(reason.to_owned());
        Self { action: self.action.map(|action| ServiceAction { reason, ..action }), ..self }
    }
}

/// The `stoppedReason` of a task that is scaled in or replaced.
pub fn scaling(deployment: &str) -> String {
    format!("Scaling activity initiated by (deployment {deployment})")
}

/// The `stoppedReason` of a task whose node is gone: what ECS says of a host that was stopped.
pub fn host_stopped(node: NodeId) -> String {
    format!("Host EC2 (instance {}) stopped.", ContainerInstance::ec2_instance_id_of(node))
}

pub fn in_progress(deployment: &str) -> String {
    format!("ECS deployment {deployment} in progress.")
}

pub fn completed_reason(deployment: &str) -> String {
    format!("ECS deployment {deployment} completed.")
}

/// What a message about a deployment's tasks is about: the service, or the task set beside it.
pub fn subject(service: &Service, deployment: &str) -> String {
    match service.task_sets.iter().any(|set| set.id == deployment) {
        true => format!("{}, taskSet {deployment}", service.name),
        false => service.name.clone(),
    }
}

pub fn task_set_steady(subject: &str) -> Event {
    Event::named(ActionName::TaskSetSteadyState, format!("(service {subject}) has reached a steady state."))
}

pub fn started(service: &str, tasks: impl Iterator<Item = TaskId>) -> Event {
    let (count, list) = listed(tasks);
    Event::named(ActionName::TasksStarted, format!("(service {service}) has started {count} tasks:{list}."))
}

pub fn stopped_running(service: &str, tasks: impl Iterator<Item = TaskId>) -> Event {
    let (count, list) = listed(tasks);
    Event::named(ActionName::TasksStopped, format!("(service {service}) has stopped {count} running tasks:{list}."))
}

fn listed(tasks: impl Iterator<Item = TaskId>) -> (usize, String) {
    let (mut count, mut list) = (0, String::new());
    for id in tasks {
        count += 1;
        write!(list, " (task {id})").expect("a string takes everything");
    }
    (count, list)
}

pub fn stopped_pending(service: &str, count: usize) -> Event {
    Event::named(ActionName::TasksStopped, format!("(service {service}) stopped {count} pending tasks."))
}

pub fn steady(service: &str) -> Event {
    Event::named(ActionName::SteadyState, format!("(service {service}) has reached a steady state."))
}

pub fn completed(service: &str, deployment: &str) -> Event {
    Event::told(format!("(service {service}) (deployment {deployment}) deployment completed."))
}

pub fn failed(service: &str, deployment: &str) -> Event {
    Event::told(format!("(service {service}) (deployment {deployment}) deployment failed: tasks failed to start."))
}

pub fn alarmed(service: &str, deployment: &str) -> Event {
    Event::told(format!("(service {service}) (deployment {deployment}) deployment failed: alarm detected."))
}

pub fn rolling_back(service: &str, deployment: &str) -> Event {
    Event::told(format!("(service {service}) rolling back to deployment {deployment}."))
}

/// The `stoppedReason` of a task that failed a load balancer's health checks.
pub fn target_failed(target_group: &str) -> String {
    format!("Task failed ELB health checks in (target-group {target_group})")
}

pub fn registered(service: &str, count: usize, target_group: &str) -> Event {
    Event::told(format!("(service {service}) registered {count} targets in (target-group {target_group})"))
}

pub fn deregistered(service: &str, count: usize, target_group: &str) -> Event {
    Event::told(format!("(service {service}) deregistered {count} targets in (target-group {target_group})"))
}

/// Of a service, or of a task set beside it ([`subject`]).
pub fn draining(subject: &str, count: usize) -> Event {
    Event::told(format!("(service {subject}) has begun draining connections on {count} tasks."))
}

pub fn unhealthy_target(service: &str, task: TaskId, target: &TaskTarget) -> Event {
    let TaskTarget { target_group, container_port, reason, .. } = target;
    let (who, port) = match (&target.instance, target.place) {
        (Some(instance), Some(place)) => (format!("(instance {instance})"), place.port),
        _ => (format!("(task {task})"), *container_port),
    };
    Event::told(format!(
        "(service {service}) {who} (port {port}) is unhealthy in (target-group {target_group}) due to (reason {reason})."
    ))
}

/// A listener rule that a deployment is to change is not there. AWS has no words for it that are known.
pub fn unshifted(service: &str, rule: &str) -> Event {
    Event::told(format!("(service {service}) was unable to shift traffic: (listener-rule {rule}) was not found."))
}

/// Somebody else took the target, or its group, away.
pub fn missing_target(service: &str, deployment: &str, task: TaskId, target: &TaskTarget) -> Event {
    let TaskTarget { target_group, reason, .. } = target;
    Event::told(format!(
        "(service {service}) task set ({deployment}) (task {task}) is not healthy in target-group ({target_group}) due \
         to {reason}"
    ))
}

pub fn failed_health_checks(service: &str, task: TaskId) -> Event {
    Event::told(format!("(service {service}) (task {task}) failed container health checks."))
}

pub fn throttled(service: &str) -> Event {
    Event::named(
        ActionName::TaskStartImpaired,
        format!(
            "(service {service}) is unable to consistently start tasks successfully. For more information, see the \
         Troubleshooting section."
        ),
    )
}

pub fn stuck(service: &str) -> Event {
    Event::told(format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the service deployment \
         configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    ))
}

/// The `stoppedReason` of a task that has a successor in another zone.
pub fn rebalanced(deployment: &str) -> String {
    format!("Availability-zone rebalancing initiated by (deployment {deployment})")
}

/// Zones with their tasks, the fullest first.
fn listed_zones(zones: &[(&str, usize)]) -> String {
    let zones: Vec<String> = zones.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect();
    zones.join(", ")
}

pub fn not_balanced(service: &str, zones: &[(&str, usize)]) -> Event {
    let zones = listed_zones(zones);
    let message = format!("(service {service}) is not AZ balanced with {zones}. AZ Rebalancing in progress.");
    Event::named(ActionName::RebalancingStarted, message)
}

pub fn balanced(service: &str, zones: &[(&str, usize)]) -> Event {
    let message = format!("(service {service}) is AZ balanced with {}.", listed_zones(zones));
    Event::named(ActionName::RebalancingCompleted, message)
}

pub fn rebalancing_stopped(service: &str) -> Event {
    Event::named(ActionName::RebalancingStopped, format!("(service {service}) stopped AZ Rebalancing."))
}

pub fn started_to_rebalance(service: &str, zone: &str, tasks: impl Iterator<Item = TaskId>) -> Event {
    let (count, list) = listed(tasks);
    let message = format!("(service {service}) has started {count} tasks in {zone} to AZ Rebalance:{list}.");
    Event::named(ActionName::TasksStarted, message)
}

pub fn stopped_to_rebalance(service: &str, zone: &str, tasks: impl Iterator<Item = TaskId>) -> Event {
    let (count, list) = listed(tasks);
    let message =
        format!("(service {service}) has stopped {count} running tasks in {zone} due to AZ rebalancing:{list}.");
    Event::named(ActionName::TasksStopped, message)
}

pub fn unable_to_rebalance(service: &str, deployment: &str, protected: usize) -> Event {
    let message = format!(
        "(service {service}) was unable to AZ Rebalance because (taskSet {deployment}) was unable to scale in due to \
         (reason {protected} tasks under protection)."
    );
    Event::named(ActionName::ScaleInFailureByTaskProtection, message)
}

pub fn unplaced_in(service: &str, zone: &str, is_fargate: bool) -> Event {
    let why = if is_fargate { "" } else { " because no container instance met all of its requirements" };
    Event::named(
        ActionName::TaskPlacementFailure,
        format!("(service {service}) is unable to place a task in {zone}{why}."),
    )
}

/// A daemon's tasks were on container instances that do not satisfy its constraints any more. AWS has the name, and no
/// words that are known.
pub fn constraint_violated(service: &str, count: usize) -> Event {
    let message = format!(
        "(service {service}) stops its tasks on {count} container instances that no longer meet its placement constraints."
    );
    Event::named(ActionName::DaemonPlacementConstraintViolated, message)
}

/// Tasks that would go are protected.
pub fn protected(service: &str, deployment: &str, count: usize) -> Event {
    let message = format!(
        "(service {service}) was unable to reach steady state because (taskSet {deployment}) was unable to scale in due \
         to (reason {count} tasks under protection)"
    );
    Event::named(ActionName::ScaleInFailureByTaskProtection, message)
}

/// No place for a task of launch type EC2 or EXTERNAL: the container instance that was closest, and what it lacks.
pub fn unplaced(service: &str, closest: Option<(ContainerInstanceId, &Reason)>) -> Event {
    let Some((id, reason)) = closest else {
        let why = "No Container Instances were found in your cluster.";
        let message = format!("(service {service}) {UNMET} Reason: {why} {SEE_GUIDE}");
        return Event::named(ActionName::TaskPlacementFailure, message).because(why);
    };
    let tail = tail(reason);
    let message =
        format!("(service {service}) {UNMET} The closest matching (container-instance {id}) {tail}. {SEE_GUIDE}");
    let reason = Some(reason.as_str().to_owned());
    let action = ServiceAction {
        name: ActionName::TaskPlacementFailure,
        reason,
        container_instances: vec![id],
        capacity_providers: Vec::new(),
    };
    Event { message, action: Some(action) }
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

/// No container instance stands for a capacity provider that a task is to get its room from.
pub fn empty_provider(service: &str, provider: &str) -> Event {
    let why = "No Container Instances were found in your capacity provider.";
    let action = ServiceAction {
        name: ActionName::TaskPlacementFailure,
        reason: Some(why.to_owned()),
        container_instances: Vec::new(),
        capacity_providers: vec![provider.to_owned()],
    };
    let message = format!("(service {service}) was unable to reach steady state. Reason: {why}");
    Event { message, action: Some(action) }
}

/// Capacity providers have the room that was asked of them. AWS tells machines only.
pub fn providers_steady(providers: Vec<String>) -> Event {
    let action = ServiceAction {
        capacity_providers: providers,
        ..ServiceAction::named(ActionName::CapacityProviderSteadyState)
    };
    Event { message: String::new(), action: Some(action) }
}

/// No place for a task, for a reason in words and by name.
pub fn unplaced_because(service: &str, words: &str, reason: &str) -> Event {
    Event::named(ActionName::TaskPlacementFailure, without_place(service, words)).because(reason)
}

/// No task can be made of what the service asks for.
pub fn misconfigured(service: &str, words: &str) -> Event {
    Event::named(ActionName::TaskConfigurationFailure, without_place(service, words)).because(words)
}

fn without_place(service: &str, words: &str) -> String {
    format!("(service {service}) was unable to place a task. Reason: {words}.")
}
