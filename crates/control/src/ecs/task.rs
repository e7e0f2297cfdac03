//! Tasks: RunTask and StartTask (in [`run`]), StopTask, DescribeTasks, ListTasks.
//!
//! ```text
//! RunTask ─▶ placed and written, or a failure per node ─▶ its node's desired set ─▶ reports ─▶ STOPPED ─▶ swept
//! StopTask ─▶ desired status STOPPED ─────────────────────────▲
//! ```
//! A task is written with its place, its reservation on the node and its interface in one transaction, or not at all.
//! ECS Exec, capacity providers but FARGATE, EBS volumes and task roles are not built: what asks for them is
//! refused.

pub(crate) mod network;
mod overrides;
pub(super) mod placement;
pub mod run;
pub(super) mod token;

use model::{Arn, Cluster, ContainerInstanceId, DesiredStatus, LaunchType, Scope, StopCode, Task, TaskId};
use store::{Tables, TaskListing};
use wire::ecs;
use wire::ecs::Error;

pub use run::{run_task, start_task};

use super::convert::task::to_wire;
use super::identifier::{self, Kind};
use super::{cluster, listing};
use crate::{Cx, page};

/// Tasks in one DescribeTasks call (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 100;
/// Characters of a task's stopped reason (ecs-semantics §1.3).
const REASON_LENGTH_MAX: usize = 1024;
const STOPPED_BY_USER: &str = "Task stopped by user";

/// StopTask: asks for it once; a task that is stopping or stopped already is answered as it is. Its tags go.
pub fn stop_task(cx: &mut Cx<'_>, request: ecs::StopTaskRequest) -> Result<ecs::StopTaskResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    if request.task.is_empty() {
        return Err(Error::invalid_parameter("Task can not be blank."));
    }
    let reason = request.reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_LENGTH_MAX) {
        return Err(Error::invalid_parameter(format!("reason can have at most {REASON_LENGTH_MAX} characters.")));
    }
    let task = find(cx.txn, cx.scope(), &cluster.name, &request.task)?;
    let mut task = task.ok_or_else(|| Error::invalid_parameter("The referenced task was not found."))?.clone();
    if task.stop(StopCode::UserInitiated, reason.as_deref().unwrap_or(STOPPED_BY_USER), cx.now) {
        task.tags.clear();
        cx.txn.put(task.clone());
    }
    Ok(ecs::StopTaskResponse { task: Some(to_wire(cx.txn, &task, true)) })
}

/// DescribeTasks: what is not there is a failure of its own.
pub fn describe_tasks(
    cx: &mut Cx<'_>,
    request: ecs::DescribeTasksRequest,
) -> Result<ecs::DescribeTasksResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let shows_tags = includes_tags(request.include.as_deref().unwrap_or_default())?;
    if request.tasks.is_empty() {
        return Err(Error::invalid_parameter("Tasks cannot be empty."));
    }
    if request.tasks.len() > DESCRIBE_MAX {
        return Err(Error::invalid_parameter(format!("tasks can have at most {DESCRIBE_MAX} items.")));
    }
    let (mut tasks, mut failures) = (Vec::with_capacity(request.tasks.len()), Vec::new());
    for text in &request.tasks {
        match find(cx.txn, cx.scope(), &cluster.name, text)? {
            Some(task) => tasks.push(to_wire(cx.txn, task, shows_tags)),
            None => failures.push(missing(cx.scope(), &cluster.name, Kind::Task, text)),
        }
    }
    Ok(ecs::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

fn includes_tags(include: &[ecs::TaskField]) -> Result<bool, Error> {
    match include.iter().find(|field| **field != ecs::TaskField::Tags) {
        Some(field) => {
            Err(Error::invalid_parameter(format!("include should be one of [TAGS], not '{}'", field.as_str())))
        }
        None => Ok(!include.is_empty()),
    }
}

/// The failure for a task or a container instance that is not there, with its id expanded to an ARN.
pub(super) fn missing(scope: &Scope, cluster: &str, kind: Kind, text: &str) -> ecs::Failure {
    let arn = if text.starts_with("arn:") {
        text.to_owned()
    } else {
        let Arn { service, region, account, resource } = Arn::cluster(scope, cluster);
        let resource = resource.replacen("cluster", kind.resource(), 1);
        Arn { service, region, account, resource: format!("{resource}/{text}") }.to_string()
    };
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// The task of a cluster that `text` names.
///
/// # Errors
/// `InvalidParameterException` for what cannot be the name of one.
pub fn find<'a>(tables: &'a Tables, scope: &Scope, cluster: &str, text: &str) -> Result<Option<&'a Task>, Error> {
    let id = identifier::parse::<TaskId>(scope, cluster, Kind::Task, text)?;
    let task = id.and_then(|id| tables.tasks.get(&id)).map(AsRef::as_ref);
    Ok(task.filter(|task| task.cluster == cluster && task.scope == *scope))
}

/// ListTasks, by id. `startedBy` excludes the other filters, as AWS has it.
pub fn list_tasks(cx: &mut Cx<'_>, request: ecs::ListTasksRequest) -> Result<ecs::ListTasksResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let limit = listing::limit(request.max_results, listing::PAGE_MAX, listing::PAGE_MAX)?;
    let after = listing::start(request.next_token.as_deref())?.map(|text| text.parse::<TaskId>());
    let after = after.transpose().map_err(|_| Error::invalid_parameter("Invalid token."))?;
    let Filter { desired_status, listing, family, launch_type, instance } = Filter::of(cx, &cluster, request)?;
    let Some(desired_status) = desired_status else {
        return Ok(ecs::ListTasksResponse { task_arns: Some(Vec::new()), next_token: None });
    };
    let listed = cx.txn.tasks_listed(cx.scope(), &cluster.name, desired_status, listing, after);
    let wanted = listed
        .filter(|task| family.as_ref().is_none_or(|family| task.family == *family))
        .filter(|task| launch_type.is_none_or(|launch_type| task.launch_type == launch_type))
        .filter(|task| instance.is_none_or(|instance| task.container_instance == Some(instance)));
    let (tasks, next_token) = page::cut(wanted, limit, |task| task.id.to_string());
    let arns = tasks.iter().map(|task| Arn::task_text(&task.scope, &task.cluster, task.id));
    Ok(ecs::ListTasksResponse { task_arns: Some(arns.collect()), next_token })
}

/// What ListTasks was asked for: one listing, and what is to hold beside.
struct Filter {
    /// `None`: PENDING, which no task ever is to be.
    desired_status: Option<DesiredStatus>,
    listing: TaskListing,
    family: Option<String>,
    launch_type: Option<LaunchType>,
    instance: Option<ContainerInstanceId>,
}

impl Filter {
    fn of(cx: &Cx<'_>, cluster: &Cluster, request: ecs::ListTasksRequest) -> Result<Self, Error> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if given(request.daemon_name).is_some() {
            return Err(Error::invalid_parameter("The filter 'daemonName' is not supported by Gantry yet."));
        }
        let desired_status = desired_status(request.desired_status)?;
        let launch_type = request.launch_type.map(launch_type).transpose()?;
        let (family, service) = (given(request.family), given(request.service_name));
        let (instance, started_by) = (given(request.container_instance), given(request.started_by));
        if let Some(started_by) = started_by {
            if family.is_some() || service.is_some() || instance.is_some() || launch_type.is_some() {
                return Err(Error::invalid_parameter("startedBy must be the only filter."));
            }
            let listing = TaskListing::StartedBy(started_by);
            return Ok(Self { desired_status, listing, family: None, launch_type: None, instance: None });
        }
        let service = service.map(|text| super::service::find(cx.txn, cx.scope(), &cluster.name, &text)).transpose()?;
        let instance = instance.map(|text| instance_id(cx, cluster, &text)).transpose()?;
        let listing = match (&service, instance, &family) {
            (Some(service), _, _) => TaskListing::Service(service.name.clone()),
            (None, Some(instance), _) => TaskListing::ContainerInstance(instance),
            (None, None, Some(family)) => TaskListing::Family(family.clone()),
            (None, None, None) => launch_type.map_or(TaskListing::All, TaskListing::LaunchType),
        };
        Ok(Self { desired_status, listing, family, launch_type, instance })
    }
}

fn instance_id(cx: &Cx<'_>, cluster: &Cluster, text: &str) -> Result<ContainerInstanceId, Error> {
    let found = super::container_instance::find(cx.txn, cx.scope(), &cluster.name, text)?;
    let found = found.ok_or_else(|| Error::invalid_parameter("The referenced container instance was not found."))?;
    Ok(found.id)
}

fn desired_status(status: Option<ecs::DesiredStatus>) -> Result<Option<DesiredStatus>, Error> {
    match status {
        None | Some(ecs::DesiredStatus::Running) => Ok(Some(DesiredStatus::Running)),
        Some(ecs::DesiredStatus::Stopped) => Ok(Some(DesiredStatus::Stopped)),
        Some(ecs::DesiredStatus::Pending) => Ok(None),
        Some(ecs::DesiredStatus::Unknown(_)) => {
            Err(Error::invalid_parameter("desiredStatus should be one of [RUNNING,PENDING,STOPPED]"))
        }
    }
}

/// # Errors
/// `InvalidParameterException` for a launch type that nothing here has.
pub(super) fn launch_type(launch_type: ecs::LaunchType) -> Result<LaunchType, Error> {
    match launch_type {
        ecs::LaunchType::Ec2 => Ok(LaunchType::Ec2),
        ecs::LaunchType::Fargate => Ok(LaunchType::Fargate),
        ecs::LaunchType::External => Ok(LaunchType::External),
        ecs::LaunchType::ManagedInstances | ecs::LaunchType::Unknown(_) => {
            Err(Error::invalid_parameter("launch type should be one of [EC2,FARGATE,EXTERNAL]"))
        }
    }
}
