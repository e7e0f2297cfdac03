//! What the data path is to know of Service Connect, made anew of the rows.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};

use model::mesh::{MeshClientSpec, MeshEndpointSpec, MeshSpec, MeshTargetSpec};
use model::network::EndpointId;
use model::service::GROUP_PREFIX;
use model::service_connect::ConnectService;
use model::task_registration::TaskRegistrationStatus;
use model::{Service, Task, TaskStatus};
use plan::task_registration::place;
use store::{Commit, RowChange, Tables};

use crate::task_target::gateway_of;

/// Endpoints are those of services' deployments, the newest first, and those that a task still answers at; clients and
/// targets are tasks that are not over.
pub fn spec(tables: &Tables) -> MeshSpec {
    let mut endpoints: BTreeMap<String, MeshEndpointSpec> = BTreeMap::new();
    for row in tables.services.iter().flat_map(|service| offers(service)) {
        endpoints.entry(row.registry.clone()).or_insert_with(|| endpoint(row));
    }
    let mut clients = Vec::new();
    for task in tables.tasks.iter().filter(|task| is_in(task)) {
        clients.extend(clients_of(task));
        for (row, target) in targets_of(task) {
            endpoints.entry(row.registry.clone()).or_insert_with(|| endpoint(row)).targets.push(target);
        }
    }
    MeshSpec { endpoints: endpoints.into_values().collect(), clients }
}

fn offers(service: &Service) -> impl Iterator<Item = &ConnectService> {
    service.deployments.iter().filter_map(|row| row.connect.as_ref()).flat_map(|connect| &connect.services)
}

fn endpoint(row: &ConnectService) -> MeshEndpointSpec {
    MeshEndpointSpec {
        arn: row.registry.clone(),
        discovery_name: row.discovery_name().to_owned(),
        protocol: row.protocol,
        idle_timeout_seconds: row.idle_seconds(),
        request_timeout_seconds: row.request_seconds(),
        targets: Vec::new(),
    }
}

fn is_in(task: &Task) -> bool {
    task.connect.is_some() && task.last_status < TaskStatus::Stopped && task.node.is_some()
}

/// One per namespace: the task's own, or one of each container.
fn clients_of(task: &Task) -> Vec<MeshClientSpec> {
    let Some(connect) = &task.connect else { return Vec::new() };
    let containers: Vec<Option<usize>> = match task.attachment {
        Some(_) => vec![None],
        None => (0..task.containers.len()).map(Some).collect(),
    };
    let routes = connect.service.endpoints.iter();
    let routes: Vec<_> = routes.map(|row| (SocketAddrV4::new(row.address, row.port), row.registry.clone())).collect();
    let client = |container| MeshClientSpec {
        endpoint: EndpointId { task: task.id, container },
        port: connect.service.proxy_port,
        cluster: task.cluster.clone(),
        service: task.group.strip_prefix(GROUP_PREFIX).unwrap_or_default().to_owned(),
        routes: routes.clone(),
    };
    containers.into_iter().map(client).collect()
}

/// What it answers at, as it was when the task was made.
fn targets_of(task: &Task) -> impl Iterator<Item = (&ConnectService, MeshTargetSpec)> {
    task.registrations.iter().filter_map(|registration| {
        let connect = registration.connect.as_ref()?;
        let draining_since = match registration.status {
            TaskRegistrationStatus::Registered => None,
            TaskRegistrationStatus::Draining => connect.since,
            TaskRegistrationStatus::Waiting | TaskRegistrationStatus::Gone => return None,
        };
        let address = place(task, registration, Some(gateway_of(task)))?;
        let target = MeshTargetSpec { task: task.id, address: SocketAddr::V4(address), draining_since };
        let offers = &task.connect.as_ref()?.service.services;
        Some((offers.iter().find(|row| row.registry == registration.registry.registry)?, target))
    })
}

/// Whether a commit changes any of it.
pub fn is_changed_by(commit: &Commit) -> bool {
    let tasks = || commit.changes.tasks.values().any(|change| differs(change, task_part));
    let services = || commit.changes.services.values().any(|change| differs(change, service_part));
    tasks() || services()
}

fn differs<'a, R, T: PartialEq>(change: &'a RowChange<R>, part: impl Fn(&'a R) -> Option<T>) -> bool {
    change.before.as_deref().and_then(&part) != change.after.as_deref().and_then(&part)
}

/// Whether it is in, and where others are led to it.
type TaskPart = (bool, Vec<TaskRegistrationStatus>, Vec<SocketAddrV4>);

fn task_part(task: &Task) -> Option<TaskPart> {
    task.connect.as_ref()?;
    let statuses = task.registrations.iter().map(|registration| registration.status).collect();
    let places = task.registrations.iter().filter_map(|row| place(task, row, Some(gateway_of(task)))).collect();
    Some((is_in(task), statuses, places))
}

/// `None` when there is nothing of it.
fn service_part(service: &Service) -> Option<Vec<&ConnectService>> {
    Some(offers(service).collect()).filter(|offers: &Vec<_>| !offers.is_empty())
}
