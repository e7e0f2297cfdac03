//! Service revisions: DescribeServiceRevisions (ecs-semantics §3.13).

use std::sync::Arc;

use model::capacity_provider::Capacity;
use model::service::ServiceKey;
use model::{Deployment, Scope, Service, ServiceRevision, TaskDefinition, service_revision};
use rand::Rng;
use store::Tables;
use wire::ecs;
use wire::ecs::Error;

use super::convert::service_revision::to_wire;
use super::service_deployment::{check_names, missing, parts_of};
use crate::Cx;

/// Revisions in one DescribeServiceRevisions call (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 20;

/// 19 digits, as revisions and deployments of services have them.
pub(super) fn new_number(cx: &mut Cx<'_>) -> String {
    format!("{:019}", cx.random.random_range(0..10_000_000_000_000_000_000_u64))
}

/// Writes down what the service's newest deployment brings in. Answers its id.
pub(super) fn put(cx: &mut Cx<'_>, service: &Service, definition: &TaskDefinition) -> String {
    let id = new_number(cx);
    let newest = service.deployments.first();
    cx.txn.put(ServiceRevision {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id: id.clone(),
        family: definition.family.clone(),
        revision: definition.revision,
        capacity: newest.map_or_else(|| Capacity::of(service.launch_type), |row| service.capacity_of(row)),
        platform_version: newest.and_then(|row| row.platform_version.clone()),
        network: newest.and_then(|row| row.network.clone()),
        load_balancers: newest.map(|row| row.load_balancers.clone()).unwrap_or_default(),
        registries: newest.map(|row| row.registries.clone()).unwrap_or_default(),
        connect: newest.and_then(|row| row.connect.clone()),
        images: service_revision::images_of(definition),
        created_at: cx.now,
    });
    id
}

/// The revision that a deployment is of.
pub(super) fn of_deployment<'a>(
    tables: &'a Tables,
    service: &ServiceKey,
    deployment: &Deployment,
) -> Option<&'a Arc<ServiceRevision>> {
    let (scope, cluster, name) = service.clone();
    tables.service_revisions.get(&(scope, cluster, name, deployment.service_revision.clone()?))
}

/// Takes over the digests of images that a task of each of the service's revisions has come to know. A revision looks
/// at tasks only until it has them.
pub(super) fn learn(cx: &mut Cx<'_>, service: &Service) {
    let key = service.key();
    for deployment in &service.deployments {
        let row = of_deployment(cx.txn, &key, deployment).filter(|row| row.wants_digests());
        let Some(mut row) = row.map(|row| ServiceRevision::clone(row)) else { continue };
        let mut has_learnt = false;
        let tasks = cx.txn.tasks_of_service(&key);
        for task in tasks.filter(|task| task.started_by.as_ref() == Some(&deployment.id)) {
            has_learnt |= row.learn(task);
            if !row.wants_digests() {
                break;
            }
        }
        if has_learnt {
            cx.txn.put(row);
        }
    }
}

fn find(tables: &Tables, scope: &Scope, arn: &str) -> Result<Option<Arc<ServiceRevision>>, Error> {
    let Some(parts) = parts_of(scope, "service-revision", arn)? else { return Ok(None) };
    let [cluster, service, id] = parts.map(str::to_owned);
    Ok(tables.service_revisions.get(&(scope.clone(), cluster, service, id)).cloned())
}

/// DescribeServiceRevisions: what is not there is a failure of its own.
pub fn describe_service_revisions(
    cx: &mut Cx<'_>,
    request: ecs::DescribeServiceRevisionsRequest,
) -> Result<ecs::DescribeServiceRevisionsResponse, Error> {
    let arns = request.service_revision_arns;
    check_names("serviceRevisionArns", &arns, DESCRIBE_MAX)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for arn in &arns {
        match find(cx.txn, cx.scope(), arn)? {
            Some(row) => rows.push(to_wire(&row)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(ecs::DescribeServiceRevisionsResponse { service_revisions: Some(rows), failures: Some(failures) })
}
