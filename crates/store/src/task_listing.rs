//! The listings of tasks that ListTasks asks for, each in the order of the task ids.

use model::service::GROUP_PREFIX;
use model::{ContainerInstanceId, DesiredStatus, LaunchType, Scope, Task, TaskId};

use crate::table::Groups;

/// Which tasks of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskListing {
    All,
    Family(String),
    LaunchType(LaunchType),
    StartedBy(String),
    ContainerInstance(ContainerInstanceId),
    /// By the service's name.
    Service(String),
}

pub(crate) type ListingKey = (Scope, String, DesiredStatus, TaskListing);

pub(crate) fn replace(listings: &mut Groups<ListingKey, TaskId>, before: Option<&Task>, after: Option<&Task>) {
    if let (Some(before), Some(after)) = (before, after)
        && is_listed_alike(before, after)
    {
        return;
    }
    if let Some(task) = before {
        listings_of(task).for_each(|listing| listings.replace(Some((key(task, listing), task.id)), None));
    }
    if let Some(task) = after {
        listings_of(task).for_each(|listing| listings.replace(None, Some((key(task, listing), task.id))));
    }
}

/// Most changes of a task move it in no listing.
fn is_listed_alike(a: &Task, b: &Task) -> bool {
    let facts = |task: &Task| (task.desired_status, task.container_instance, task.launch_type);
    facts(a) == facts(b)
        && a.scope == b.scope
        && a.cluster == b.cluster
        && a.family == b.family
        && a.started_by == b.started_by
}

fn listings_of(task: &Task) -> impl Iterator<Item = TaskListing> {
    let started_by = task.started_by.clone().map(TaskListing::StartedBy);
    let instance = task.container_instance.map(TaskListing::ContainerInstance);
    let launch_type = TaskListing::LaunchType(task.launch_type);
    let always = [TaskListing::All, TaskListing::Family(task.family.clone()), launch_type];
    let service = task.group.strip_prefix(GROUP_PREFIX).map(|name| TaskListing::Service(name.to_owned()));
    always.into_iter().chain(started_by).chain(instance).chain(service)
}

fn key(task: &Task, listing: TaskListing) -> ListingKey {
    (task.scope.clone(), task.cluster.clone(), task.desired_status, listing)
}
