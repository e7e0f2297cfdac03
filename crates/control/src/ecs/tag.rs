//! Tags of clusters, capacity providers, task definitions, tasks, services, task sets and container instances, by ARN
//! (ecs-semantics §0.2).

use std::str::FromStr;
use std::sync::Arc;

use model::cluster::{Cluster, ClusterStatus};
use model::service::ServiceStatus;
use model::tag::TAGS_MAX;
use model::{Arn, CapacityProvider, ContainerInstance, InstanceStatus, Service, Tag, Task, TaskDefinition, TaskStatus};
use store::Txn;
use wire::ecs;
use wire::ecs::Error;

use super::convert::tag::{check_key, from_wire, to_wire, too_many};
use crate::Cx;

/// A row that can have tags.
enum Resource {
    Cluster(Arc<Cluster>),
    CapacityProvider(Arc<CapacityProvider>),
    TaskDefinition(Arc<TaskDefinition>),
    Task(Arc<Task>),
    ContainerInstance(Arc<ContainerInstance>),
    Service(Arc<Service>),
    /// By its id.
    TaskSet(Arc<Service>, String),
}

const NOT_FOUND: &str = "The specified resource wasn't found.";

/// TagResource: a key that is there takes the new value.
pub fn tag_resource(cx: &mut Cx<'_>, request: ecs::TagResourceRequest) -> Result<ecs::TagResourceResponse, Error> {
    let ecs::TagResourceRequest { resource_arn, tags } = request;
    let new = from_wire(tags)?;
    let resource = find(cx, &resource_arn)?.ok_or_else(|| Error::resource_not_found(NOT_FOUND))?;
    resource.check_can_change()?;
    let mut tags = resource.tags().to_vec();
    model::tag::put(&mut tags, &new);
    if tags.len() > TAGS_MAX {
        return Err(Error::limit_exceeded(too_many()));
    }
    resource.put(cx.txn, tags);
    Ok(ecs::TagResourceResponse {})
}

/// UntagResource: a key that is not there is none to remove.
pub fn untag_resource(
    cx: &mut Cx<'_>,
    request: ecs::UntagResourceRequest,
) -> Result<ecs::UntagResourceResponse, Error> {
    let ecs::UntagResourceRequest { resource_arn, tag_keys } = request;
    tag_keys.iter().try_for_each(|key| check_key(key))?;
    let resource = find(cx, &resource_arn)?.ok_or_else(|| Error::resource_not_found(NOT_FOUND))?;
    resource.check_can_change()?;
    let mut tags = resource.tags().to_vec();
    model::tag::remove(&mut tags, &tag_keys);
    resource.put(cx.txn, tags);
    Ok(ecs::UntagResourceResponse {})
}

/// ListTagsForResource. Unlike the other two it declares no ResourceNotFoundException.
pub fn list_tags_for_resource(
    cx: &mut Cx<'_>,
    request: ecs::ListTagsForResourceRequest,
) -> Result<ecs::ListTagsForResourceResponse, Error> {
    let resource = find(cx, &request.resource_arn)?.ok_or_else(|| Error::invalid_parameter(NOT_FOUND))?;
    Ok(ecs::ListTagsForResourceResponse { tags: Some(to_wire(resource.tags())) })
}

/// What an ARN names; `None` when there is no such thing.
fn find(cx: &Cx<'_>, text: &str) -> Result<Option<Resource>, Error> {
    let arn = Arn::parse(text).filter(|arn| arn.service == "ecs").ok_or_else(invalid_arn)?;
    if !arn.belongs_to(cx.scope()) {
        return Err(Error::invalid_parameter("The ARN is of another account or region."));
    }
    let (kind, rest) = arn.resource.split_once('/').ok_or_else(invalid_arn)?;
    Ok(match kind {
        "cluster" => Some(Resource::Cluster(find_cluster(cx, rest)?)),
        "task-definition" => find_task_definition(cx, rest)?.map(Resource::TaskDefinition),
        "task" => {
            let (cluster, id) = cluster_and_id(cx, rest)?;
            let row = cx.txn.tasks.get(&id).filter(|row| row.scope == *cx.scope() && row.cluster == cluster.name);
            row.cloned().map(Resource::Task)
        }
        "container-instance" => {
            let (cluster, id) = cluster_and_id(cx, rest)?;
            let row = cx.txn.container_instances.get(&id);
            let row = row.filter(|row| row.scope == *cx.scope() && row.cluster == cluster.name);
            row.cloned().map(Resource::ContainerInstance)
        }
        "service" => {
            let (cluster, name) = rest.split_once('/').ok_or_else(invalid_arn)?;
            cx.txn
                .services
                .get(&(cx.scope().clone(), cluster.to_owned(), name.to_owned()))
                .cloned()
                .map(Resource::Service)
        }
        "capacity-provider" => {
            let row = cx.txn.capacity_providers.get(&(cx.scope().clone(), rest.to_owned()));
            row.cloned().map(Resource::CapacityProvider)
        }
        "task-set" => {
            let mut parts = rest.splitn(3, '/');
            let mut next = || parts.next().ok_or_else(invalid_arn);
            let (cluster, service, id) = (next()?, next()?, next()?);
            let row = cx.txn.services.get(&(cx.scope().clone(), cluster.to_owned(), service.to_owned()));
            let row = row.filter(|row| row.task_sets.iter().any(|set| set.id == id));
            row.map(|row| Resource::TaskSet(row.clone(), id.to_owned()))
        }
        _ => return Err(invalid_arn()),
    })
}

fn invalid_arn() -> Error {
    Error::invalid_parameter("Invalid ARN. Specify the long ARN of an ECS resource.")
}

fn find_cluster(cx: &Cx<'_>, name: &str) -> Result<Arc<Cluster>, Error> {
    let cluster = cx.txn.clusters.get(&(cx.scope().clone(), name.to_owned()));
    cluster.cloned().ok_or_else(|| Error::cluster_not_found("Cluster not found."))
}

fn find_task_definition(cx: &Cx<'_>, rest: &str) -> Result<Option<Arc<TaskDefinition>>, Error> {
    let (family, revision) = rest.rsplit_once(':').ok_or_else(|| Error::client("Revision is missing."))?;
    let Ok(revision) = revision.parse() else {
        return Err(Error::invalid_parameter(format!("Invalid revision number. Number: {revision}")));
    };
    Ok(cx.txn.task_definitions.get(&(cx.scope().clone(), family.to_owned(), revision)).cloned())
}

fn cluster_and_id<T: FromStr>(cx: &Cx<'_>, rest: &str) -> Result<(Arc<Cluster>, T), Error> {
    let (cluster, id) = rest.split_once('/').ok_or_else(invalid_arn)?;
    let id = id.parse().map_err(|_| invalid_arn())?;
    Ok((find_cluster(cx, cluster)?, id))
}

impl Resource {
    fn tags(&self) -> &[Tag] {
        match self {
            Self::Cluster(row) => &row.tags,
            Self::CapacityProvider(row) => &row.tags,
            Self::TaskDefinition(row) => &row.tags,
            Self::Task(row) => &row.tags,
            Self::ContainerInstance(row) => &row.tags,
            Self::Service(row) => &row.tags,
            Self::TaskSet(row, id) => {
                let set = row.task_sets.iter().find(|set| set.id == *id);
                set.map(|set| set.tags.as_slice()).unwrap_or_default()
            }
        }
    }

    /// What is over keeps the tags that it has.
    fn check_can_change(&self) -> Result<(), Error> {
        match self {
            Self::Cluster(row) if row.status == ClusterStatus::Inactive => {
                Err(Error::cluster_not_found("The referenced cluster was inactive."))
            }
            Self::Task(row) if row.last_status >= TaskStatus::Stopped => {
                Err(Error::invalid_parameter("The specified task is stopped. Specify a running task and try again."))
            }
            Self::ContainerInstance(row) if row.status == InstanceStatus::Inactive => Err(Error::invalid_parameter(
                "The specified container instance is inactive. Specify an active container instance and try again.",
            )),
            Self::Service(row) if row.status == ServiceStatus::Inactive => Err(Error::invalid_parameter(
                "The specified service is inactive. Specify an active service and try again.",
            )),
            _ => Ok(()),
        }
    }

    fn put(&self, txn: &mut Txn, tags: Vec<Tag>) {
        match self {
            Self::Cluster(row) => txn.put(Cluster { tags, ..Cluster::clone(row) }),
            Self::CapacityProvider(row) => txn.put(CapacityProvider { tags, ..CapacityProvider::clone(row) }),
            Self::TaskDefinition(row) => txn.put(TaskDefinition { tags, ..TaskDefinition::clone(row) }),
            Self::Task(row) => txn.put(Task { tags, ..Task::clone(row) }),
            Self::ContainerInstance(row) => txn.put(ContainerInstance { tags, ..ContainerInstance::clone(row) }),
            Self::Service(row) => txn.put(Service { tags, ..Service::clone(row) }),
            Self::TaskSet(row, id) => {
                let mut row = Service::clone(row);
                row.task_sets.iter_mut().filter(|set| set.id == *id).for_each(|set| set.tags.clone_from(&tags));
                txn.put(row);
            }
        }
    }
}
