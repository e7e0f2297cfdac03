//! Task sets of services with the controller EXTERNAL: CreateTaskSet, UpdateTaskSet, DescribeTaskSets, DeleteTaskSet,
//! UpdateServicePrimaryTaskSet (ecs-semantics §3.12). A round of the service keeps them (`plan::service::task_set`).
//!
//! Load balancers and registries are not built: what asks for them is refused.

use model::service::{Service, ServiceStatus};
use model::task_set::{Controller, Stability, TASK_SETS_MAX, TaskSetStatus};
use model::{Arn, Cluster, Scope, TaskSet};
use plan::task_definition::is_name;
use store::Tables;
use store::client_token::TokenUse;
use wire::ecs;
use wire::ecs::Error;

use super::convert::service::{Counts, is_given, network_from_wire};
use super::convert::{refuse_unbuilt, tag, task_set as convert};
use super::identifier::{is_arn, named_by_arn};
use super::service::{Asked, check_placement_of, find, find_active};
use super::task::token::{Token, USED_OTHERWISE};
use super::{capacity_provider, cluster, task_definition};
use crate::Cx;

const NOT_FOUND: &str = "The specified task set does not exist.";

/// What the operations on a service's task sets begin with.
fn find_service(cx: &Cx<'_>, cluster: &str, service: &str) -> Result<(std::sync::Arc<Cluster>, Service), Error> {
    let cluster = cluster::find_active(cx.txn, cx.scope(), Some(cluster))?;
    let service = find_active(cx, &cluster, service)?;
    check_controller(&service)?;
    Ok((cluster, service))
}

fn check_controller(service: &Service) -> Result<(), Error> {
    match service.controller {
        Controller::External => Ok(()),
        Controller::Ecs => Err(Error::invalid_parameter(
            "Task sets are those of services with an EXTERNAL deployment controller; this service's is ECS.",
        )),
    }
}

/// The set's id in an id or an ARN; `None` for one of another service.
///
/// # Errors
/// `InvalidParameterException` for an ARN of somebody or something else.
fn id_of<'a>(scope: &Scope, service: &Service, text: &'a str) -> Result<Option<&'a str>, Error> {
    if !is_arn(text) {
        return Ok(Some(text));
    }
    let named = named_by_arn(scope, "task-set", text)?;
    Ok(named.strip_prefix(&format!("{}/{}/", service.cluster, service.name)))
}

fn find_set<'a>(scope: &Scope, service: &'a mut Service, text: &str) -> Result<&'a mut TaskSet, Error> {
    let id = id_of(scope, service, text)?;
    let set = id.and_then(|id| service.task_sets.iter_mut().find(|set| set.id == id));
    set.ok_or_else(|| Error::task_set_not_found(NOT_FOUND))
}

fn show(tables: &Tables, service: &Service, set: &TaskSet, tags: bool) -> Option<ecs::TaskSet> {
    let row = service.deployment(&set.id)?;
    let count = Counts::of(tables, service).of_deployment(&set.id);
    Some(convert::to_wire(service, set, row, count, tags))
}

/// CreateTaskSet. A request that is repeated with its client token is answered with the same set.
pub fn create_task_set(
    cx: &mut Cx<'_>,
    mut request: ecs::CreateTaskSetRequest,
) -> Result<ecs::CreateTaskSetResponse, Error> {
    let token = request.client_token.take().filter(|token| !token.is_empty());
    let token = token.map(|token| Token::of("CreateTaskSet", token, &request)).transpose()?;
    let (cluster, mut service) = find_service(cx, &request.cluster, &request.service)?;
    let known = token.as_ref().map(|token| token.used(cx));
    match known {
        Some(TokenUse::Conflict) => return Err(Error::invalid_parameter(USED_OTHERWISE)),
        Some(TokenUse::Same(ids)) => {
            let set = service.task_sets.iter().find(|set| ids.contains(&set.id));
            let set = set.ok_or_else(|| Error::task_set_not_found(NOT_FOUND))?;
            return Ok(ecs::CreateTaskSetResponse { task_set: show(cx.txn, &service, set, true) });
        }
        Some(TokenUse::New) | None => {}
    }
    let set = begin(cx, &cluster, &mut service, request)?;
    if let Some(token) = token {
        token.keep(cx, vec![set.id.clone()]);
    }
    cx.txn.put(service.clone());
    Ok(ecs::CreateTaskSetResponse { task_set: show(cx.txn, &service, &set, true) })
}

/// Puts a new set into the service.
fn begin(
    cx: &mut Cx<'_>,
    cluster: &Cluster,
    service: &mut Service,
    request: ecs::CreateTaskSetRequest,
) -> Result<TaskSet, Error> {
    let ecs::CreateTaskSetRequest {
        capacity_provider_strategy,
        client_token: _,
        cluster: _,
        external_id,
        launch_type,
        load_balancers,
        network_configuration,
        platform_version,
        scale,
        service: _,
        service_registries,
        tags,
        task_definition,
    } = request;
    refuse_unbuilt(
        "the task set",
        &[("loadBalancers", is_given(&load_balancers)), ("serviceRegistries", is_given(&service_registries))],
    )?;
    let external_id = external_id.filter(|id| !id.is_empty());
    if external_id.as_ref().is_some_and(|id| !is_name(id)) {
        return Err(Error::invalid_parameter(
            "Invalid externalId. It must have 1 to 255 letters, digits, underscores or hyphens.",
        ));
    }
    if service.task_sets.len() >= TASK_SETS_MAX {
        return Err(Error::invalid_parameter(format!("A service can have at most {TASK_SETS_MAX} task sets.")));
    }
    let strategy = capacity_provider_strategy.unwrap_or_default();
    let capacity = capacity_provider::choose(cx.txn, cluster, launch_type, strategy)?;
    let definition = task_definition::find_active(cx.txn, cx.scope(), &task_definition)?;
    check_placement_of(service, &definition, capacity.launch_type)?;
    let scale = convert::scale_from_wire(scale)?;
    let tags = tag::from_wire(tags.unwrap_or_default())?;
    let network = network_from_wire(network_configuration)?;
    let (load_balancers, registries) = (Vec::new(), Vec::new());
    let asked = Asked { definition: &definition, network, load_balancers, registries, connect: None };
    let deployment = asked.begin(cx, (cluster, &service.name), capacity, platform_version)?;
    let set = TaskSet {
        id: deployment.id.clone(),
        status: TaskSetStatus::Active,
        external_id,
        scale,
        tags,
        stability: Stability::Stabilizing,
        stability_at: cx.now,
        steady_at: None,
        updated_at: cx.now,
    };
    service.deployments.push(deployment);
    service.task_sets.push(set.clone());
    Ok(set)
}

/// UpdateTaskSet: its scale.
pub fn update_task_set(
    cx: &mut Cx<'_>,
    request: ecs::UpdateTaskSetRequest,
) -> Result<ecs::UpdateTaskSetResponse, Error> {
    let (_, mut service) = find_service(cx, &request.cluster, &request.service)?;
    let scale = convert::scale_from_wire(Some(request.scale))?;
    let set = find_set(cx.scope(), &mut service, &request.task_set)?;
    if set.status == TaskSetStatus::Draining {
        return Err(Error::invalid_parameter("The specified task set is being deleted."));
    }
    set.scale = scale;
    set.updated_at = cx.now;
    let set = set.clone();
    cx.txn.put(service.clone());
    Ok(ecs::UpdateTaskSetResponse { task_set: show(cx.txn, &service, &set, true) })
}

/// DescribeTaskSets: those that are named, or all of the service.
pub fn describe_task_sets(
    cx: &mut Cx<'_>,
    request: ecs::DescribeTaskSetsRequest,
) -> Result<ecs::DescribeTaskSetsResponse, Error> {
    let ecs::DescribeTaskSetsRequest { cluster, include, service, task_sets } = request;
    let include = include.unwrap_or_default();
    if let Some(field) = include.iter().find(|field| **field != ecs::TaskSetField::Tags) {
        return Err(Error::invalid_parameter(format!("include should be one of [TAGS], not '{}'", field.as_str())));
    }
    let cluster = cluster::find(cx.txn, cx.scope(), Some(&cluster))?;
    let service = find(cx.txn, cx.scope(), &cluster.name, &service)?;
    if service.status == ServiceStatus::Inactive {
        return Err(Error::service_not_active("Service was not ACTIVE."));
    }
    check_controller(&service)?;
    let texts = match task_sets.filter(|texts| !texts.is_empty()) {
        Some(texts) => texts,
        None => service.task_sets.iter().map(|set| set.id.clone()).collect(),
    };
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for text in &texts {
        let id = id_of(cx.scope(), &service, text)?;
        let set = id.and_then(|id| service.task_sets.iter().find(|set| set.id == id));
        match set.and_then(|set| show(cx.txn, &service, set, !include.is_empty())) {
            Some(set) => shown.push(set),
            None => failures.push(missing(&service, text)),
        }
    }
    Ok(ecs::DescribeTaskSetsResponse { task_sets: Some(shown), failures: Some(failures) })
}

fn missing(service: &Service, text: &str) -> ecs::Failure {
    let arn = match is_arn(text) {
        true => text.to_owned(),
        false => Arn::task_set(&service.scope, &service.cluster, &service.name, text).to_string(),
    };
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// DeleteTaskSet: DRAINING from now on, gone with its last task.
pub fn delete_task_set(
    cx: &mut Cx<'_>,
    request: ecs::DeleteTaskSetRequest,
) -> Result<ecs::DeleteTaskSetResponse, Error> {
    let (_, mut service) = find_service(cx, &request.cluster, &request.service)?;
    let desired = service.desired_count;
    let set = find_set(cx.scope(), &mut service, &request.task_set)?;
    if set.computed_desired(desired) > 0 && request.force != Some(true) {
        return Err(Error::invalid_parameter(
            "The task set cannot be deleted while it is scaled above 0. Scale it to 0, or use force.",
        ));
    }
    set.status = TaskSetStatus::Draining;
    set.updated_at = cx.now;
    let set = set.clone();
    cx.txn.put(service.clone());
    Ok(ecs::DeleteTaskSetResponse { task_set: show(cx.txn, &service, &set, true) })
}

/// UpdateServicePrimaryTaskSet: the set's parameters are the service's from now on; the one before is ACTIVE.
pub fn update_service_primary_task_set(
    cx: &mut Cx<'_>,
    request: ecs::UpdateServicePrimaryTaskSetRequest,
) -> Result<ecs::UpdateServicePrimaryTaskSetResponse, Error> {
    let (_, mut service) = find_service(cx, &request.cluster, &request.service)?;
    let id = find_set(cx.scope(), &mut service, &request.primary_task_set)?.id.clone();
    for set in &mut service.task_sets {
        let is_meant = set.id == id;
        let status = match (is_meant, set.status) {
            (true, TaskSetStatus::Draining) => {
                return Err(Error::invalid_parameter("The specified task set is being deleted."));
            }
            (true, _) => TaskSetStatus::Primary,
            (false, TaskSetStatus::Primary) => TaskSetStatus::Active,
            (false, status) => status,
        };
        if set.status != status {
            set.status = status;
            set.updated_at = cx.now;
        }
    }
    if let Some(capacity) = service.primary().map(|row| service.capacity_of(row)) {
        service.launch_type = capacity.launch_type;
    }
    let set = find_set(cx.scope(), &mut service, &id)?.clone();
    cx.txn.put(service.clone());
    Ok(ecs::UpdateServicePrimaryTaskSetResponse { task_set: show(cx.txn, &service, &set, true) })
}
