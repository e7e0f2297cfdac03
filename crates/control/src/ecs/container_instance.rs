//! Container instances: ListContainerInstances, DescribeContainerInstances, DeregisterContainerInstance,
//! UpdateContainerInstancesState. They are registered by their nodes' sessions ([`session`](crate::session)).
//!
//! ```text
//! (session) ─▶ ACTIVE ◀─UpdateState─▶ DRAINING ─┐
//!                └────────── Deregister ────────┴─▶ INACTIVE ─[`INACTIVE_RETENTION`] (sweep)─▶ gone
//! ```
//! A DRAINING instance takes no new tasks; those that it has are its services' to replace. An INACTIVE one is of the
//! past: it stays to be described for a while, and its node may be registered anew.

use std::collections::BTreeMap;
use std::time::Duration;

use model::query::InstanceView;
use model::task::ContainerStatus;
use model::{
    ContainerInstance, ContainerInstanceId, InstanceStatus, Node, Query, Scope, StopCode, Task, TaskId, TaskStatus,
    Timestamp,
};
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::attribute::attributes_of;
use super::convert::container_instance::{Detail, arn, to_wire, version};
use super::identifier::{self, Kind};
use super::{cluster, listing, task};
use crate::{Cx, page};

/// Instances in one DescribeContainerInstances, and in one UpdateContainerInstancesState (ecs-semantics §3.5, §4.3).
const DESCRIBE_MAX: usize = 100;
const UPDATE_MAX: usize = 10;
/// How long a deregistered instance can still be described.
pub const INACTIVE_RETENTION: Duration = Duration::from_secs(3600);
const DEREGISTERED: &str = "Container instance deregistration forced by user";

/// The instance of a cluster that `text` names, in whatever status.
///
/// # Errors
/// `InvalidParameterException` for what cannot be the name of one.
pub fn find<'a>(
    tables: &'a Tables,
    scope: &Scope,
    cluster: &str,
    text: &str,
) -> Result<Option<&'a ContainerInstance>, Error> {
    let id = identifier::parse::<ContainerInstanceId>(scope, cluster, Kind::ContainerInstance, text)?;
    let instance = id.and_then(|id| tables.container_instances.get(&id)).map(AsRef::as_ref);
    Ok(instance.filter(|instance| instance.cluster == cluster && instance.scope == *scope))
}

/// ListContainerInstances, by id: all but INACTIVE ones, or those of one status, that the filter means.
pub fn list_container_instances(
    cx: &mut Cx<'_>,
    request: ecs::ListContainerInstancesRequest,
) -> Result<ecs::ListContainerInstancesResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?.map(|text| text.parse::<ContainerInstanceId>());
    let after = after.transpose().map_err(|_| Error::invalid_parameter("Invalid token."))?;
    let query = request.filter.filter(|filter| !filter.is_empty()).map(|filter| filter.parse::<Query>());
    let query = query.transpose().map_err(|error| Error::invalid_parameter(format!("Invalid filter: {error}.")))?;
    let status = request.status.map(StatusFilter::of).transpose()?.unwrap_or(StatusFilter::Present);

    let tables: &Tables = cx.txn;
    let instances = tables.container_instances_in_cluster(cx.scope(), &cluster.name);
    let wanted = instances
        .filter(|instance| after.is_none_or(|after| instance.id > after))
        .filter(|instance| status.holds(instance.status))
        .filter(|instance| query.as_ref().is_none_or(|query| means(tables, query, instance)));
    let (instances, next_token) = page::cut(wanted, limit, |instance| instance.id.to_string());
    let arns = instances.iter().map(|instance| arn(instance)).collect();
    Ok(ecs::ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

enum StatusFilter {
    Present,
    Only(InstanceStatus),
    /// A status of AWS's that no instance here has.
    Nothing,
}

impl StatusFilter {
    fn of(status: ecs::ContainerInstanceStatus) -> Result<Self, Error> {
        use ecs::ContainerInstanceStatus as Status;
        match status {
            Status::Active => Ok(Self::Only(InstanceStatus::Active)),
            Status::Draining => Ok(Self::Only(InstanceStatus::Draining)),
            Status::Registering | Status::Deregistering | Status::RegistrationFailed => Ok(Self::Nothing),
            Status::Unknown(_) => Err(Error::invalid_parameter(
                "status should be one of [ACTIVE,DRAINING,REGISTERING,DEREGISTERING,REGISTRATION_FAILED]",
            )),
        }
    }

    fn holds(&self, status: InstanceStatus) -> bool {
        match self {
            Self::Present => status != InstanceStatus::Inactive,
            Self::Only(only) => status == *only,
            Self::Nothing => false,
        }
    }
}

fn means(tables: &Tables, query: &Query, instance: &ContainerInstance) -> bool {
    let Some(node) = tables.nodes.get(&instance.node) else { return false };
    let attributes = attributes_of(node, Some(instance));
    let tasks = tables.node_tasks(node.id).cloned().unwrap_or_default();
    let task_groups: BTreeMap<String, u32> = tasks.groups.into_iter().collect();
    query.matches(&InstanceView {
        agent_connected: node.connected,
        agent_version: &node.agent_version,
        attributes: &attributes,
        ec2_instance_id: &instance.ec2_instance_id,
        registered_at: instance.registered_at,
        running_tasks: tasks.running,
        task_groups: &task_groups,
    })
}

/// DescribeContainerInstances: what is not there is a failure of its own.
pub fn describe_container_instances(
    cx: &mut Cx<'_>,
    request: ecs::DescribeContainerInstancesRequest,
) -> Result<ecs::DescribeContainerInstancesResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let detail = detail(request.include.as_deref().unwrap_or_default())?;
    let texts = request.container_instances;
    check_count(&texts, DESCRIBE_MAX)?;
    let (mut instances, mut failures) = (Vec::with_capacity(texts.len()), Vec::new());
    for text in &texts {
        match find(cx.txn, cx.scope(), &cluster.name, text)? {
            Some(instance) => instances.push(to_wire(cx.txn, instance, detail)),
            None => failures.push(task::missing(cx.scope(), &cluster.name, Kind::ContainerInstance, text)),
        }
    }
    Ok(ecs::DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

fn detail(include: &[ecs::ContainerInstanceField]) -> Result<Detail, Error> {
    let mut detail = Detail::default();
    for field in include {
        match field {
            ecs::ContainerInstanceField::Tags => detail.tags = true,
            ecs::ContainerInstanceField::ContainerInstanceHealth => detail.health = true,
            ecs::ContainerInstanceField::Unknown(name) => {
                return Err(Error::invalid_parameter(format!(
                    "include should be one of [TAGS,CONTAINER_INSTANCE_HEALTH], not '{name}'"
                )));
            }
        }
    }
    Ok(detail)
}

fn check_count(texts: &[String], most: usize) -> Result<(), Error> {
    if texts.is_empty() {
        return Err(Error::client("Container Instances cannot be empty."));
    }
    if texts.len() > most {
        return Err(Error::invalid_parameter(format!("containerInstances can have at most {most} items.")));
    }
    Ok(())
}

/// DeregisterContainerInstance. With `force`, its tasks are over for the API at once; the node, when it is there, stops
/// what is left of them because they are no longer in its desired set.
pub fn deregister_container_instance(
    cx: &mut Cx<'_>,
    request: ecs::DeregisterContainerInstanceRequest,
) -> Result<ecs::DeregisterContainerInstanceResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let found = find(cx.txn, cx.scope(), &cluster.name, &request.container_instance)?;
    let found = found.filter(|instance| instance.status != InstanceStatus::Inactive);
    let mut instance = found.ok_or_else(not_found)?.clone();
    let tasks: Vec<TaskId> = tasks_of(cx.txn, &instance);
    if !tasks.is_empty() && request.force != Some(true) {
        return Err(Error::invalid_parameter("Found running tasks on the instance."));
    }
    for id in tasks {
        end(cx.txn, id, cx.now);
    }
    instance.version = version(cx.txn, &instance) + 1;
    instance.status = InstanceStatus::Inactive;
    instance.inactive_at = Some(cx.now);
    cx.txn.put(instance.clone());
    leave_node(cx.txn, &instance);
    let detail = Detail { tags: true, health: false };
    Ok(ecs::DeregisterContainerInstanceResponse { container_instance: Some(to_wire(cx.txn, &instance, detail)) })
}

fn not_found() -> Error {
    Error::invalid_parameter("The referenced container instance was not found.")
}

fn tasks_of(tables: &Tables, instance: &ContainerInstance) -> Vec<TaskId> {
    let tasks = tables.tasks_on_node(instance.node);
    tasks.filter(|task| task.container_instance == Some(instance.id)).map(|task| task.id).collect()
}

/// The task has STOPPED, whatever its node may still say of it. Its interface stays until the node says that it holds
/// nothing of the task any more: the address must not be another task's before.
fn end(txn: &mut Txn, id: TaskId, now: Timestamp) {
    txn.update::<Task, _>(&id, |task| {
        task.stop(StopCode::ServiceSchedulerInitiated, DEREGISTERED, now);
        task.last_status = TaskStatus::Stopped;
        task.stopped_at = Some(now);
        task.version += 1;
        for container in &mut task.containers {
            container.last_status = ContainerStatus::Stopped;
        }
        if let Some(attachment) = &mut task.attachment {
            attachment.status = model::task::AttachmentStatus::Deleted;
        }
    });
}

/// The node is a member no longer, and has back what the instance's tasks held.
fn leave_node(txn: &mut Txn, instance: &ContainerInstance) {
    let Some(node) = txn.nodes.get(&instance.node) else { return };
    let held = txn.tasks_on_node(instance.node).map(|task| &task.reservation);
    let free = plan::node::free(&node.total, held);
    txn.update::<Node, _>(&instance.node, |node| {
        node.free = free;
        node.container_instance = None;
    });
}

/// Removes the deregistered instances whose retention is over. Answers how many.
pub fn sweep(txn: &mut Txn, now: Timestamp) -> usize {
    let over: Vec<_> = txn.container_instances.iter().filter(|row| is_over(row, now)).map(|row| row.id).collect();
    for id in &over {
        txn.remove::<ContainerInstance>(id);
    }
    over.len()
}

fn is_over(instance: &ContainerInstance, now: Timestamp) -> bool {
    let since = instance.inactive_at.unwrap_or(instance.registered_at);
    instance.status == InstanceStatus::Inactive && now.since(since) >= INACTIVE_RETENTION
}

/// UpdateContainerInstancesState: ACTIVE or DRAINING, each instance by itself.
pub fn update_container_instances_state(
    cx: &mut Cx<'_>,
    request: ecs::UpdateContainerInstancesStateRequest,
) -> Result<ecs::UpdateContainerInstancesStateResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let status = match request.status {
        ecs::ContainerInstanceStatus::Active => InstanceStatus::Active,
        ecs::ContainerInstanceStatus::Draining => InstanceStatus::Draining,
        _ => {
            return Err(Error::invalid_parameter("Container instance status should be one of [ACTIVE, DRAINING]"));
        }
    };
    let texts = request.container_instances;
    check_count(&texts, UPDATE_MAX)?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for text in &texts {
        let Some(instance) = find(cx.txn, cx.scope(), &cluster.name, text)?.cloned() else {
            failures.push(task::missing(cx.scope(), &cluster.name, Kind::ContainerInstance, text));
            continue;
        };
        if instance.status == InstanceStatus::Inactive {
            let reason = Some("INACTIVE".to_owned());
            failures.push(ecs::Failure { arn: Some(arn(&instance)), reason, detail: None });
            continue;
        }
        let version = instance.version + u64::from(instance.status != status);
        let instance = ContainerInstance { status, version, ..instance };
        cx.txn.put(instance.clone());
        instances.push(to_wire(cx.txn, &instance, Detail { tags: true, health: false }));
    }
    Ok(ecs::UpdateContainerInstancesStateResponse { container_instances: Some(instances), failures: Some(failures) })
}
