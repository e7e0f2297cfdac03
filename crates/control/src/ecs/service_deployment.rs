//! Service deployments: DescribeServiceDeployments, ListServiceDeployments, StopServiceDeployment,
//! ContinueServiceDeployment; and the beginning of a new one (ecs-semantics §3.13).
//!
//! How a deployment goes is decided in [`plan::service`], and carried out by the rounds of its service.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::service::ServiceKey;
use model::service_deployment::ServiceDeploymentStatus;
use model::{Arn, Scope, Service, ServiceDeployment, ServiceRevision, TaskDefinition};
use plan::service::record::{self, StopKind, Unstoppable};
use plan::service::stage::{self, Unanswerable};
use rand::Rng;
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::convert::service_deployment::{brief_to_wire, to_wire};
use super::identifier::named_by_arn;
use super::{cluster, listing, service, service_revision};
use crate::{Cx, page};

/// Deployments in one DescribeServiceDeployments call; a page of ListServiceDeployments by default (ecs-semantics §4.3).
const DESCRIBE_MAX: usize = 20;
const PAGE_DEFAULT: usize = 20;
/// Deployments of one service that are kept; with each new one the oldest beyond go, and the revisions that only they
/// name.
const KEPT_MAX: usize = 100;
const ID_LENGTH: usize = 21;
const ID_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

/// Records the service's newest deployment, and the revision that it brings in. One that is under way gives way.
pub(super) fn begin(cx: &mut Cx<'_>, service: &mut Service, definition: &TaskDefinition) {
    let revision = service_revision::put(cx, service, definition);
    if let Some(newest) = service.deployments.first_mut() {
        newest.service_revision = Some(revision);
    }
    let key = service.key();
    if let Some(present) = newest_of(cx.txn, service).cloned() {
        let mut present = ServiceDeployment::clone(&present);
        record::supersede(&mut present, cx.now);
        cx.txn.put(present);
    }
    let letter = |_| char::from(ID_LETTERS[cx.random.random_range(0..ID_LETTERS.len())]);
    let id: String = (0..ID_LENGTH).map(letter).collect();
    let row = record::begin(service, id, cx.now);
    service.service_deployment = Some(row.id.clone());
    cx.txn.put(row);
    prune(cx.txn, service, &key);
}

/// The service's newest deployment.
pub fn newest_of<'a>(tables: &'a Tables, service: &Service) -> Option<&'a Arc<ServiceDeployment>> {
    let (scope, cluster, name) = service.key();
    tables.service_deployments.get(&(scope, cluster, name, service.service_deployment.clone()?))
}

fn prune(txn: &mut Txn, service: &Service, key: &ServiceKey) {
    let mut rows: Vec<Arc<ServiceDeployment>> = txn.deployments_of_service(key).cloned().collect();
    if rows.len() <= KEPT_MAX {
        return;
    }
    rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let over = rows.split_off(KEPT_MAX);
    for row in &over {
        txn.remove::<ServiceDeployment>(&row.key());
    }
    let of_service = service.deployments.iter().chain(&service.last_completed);
    let mut named: BTreeSet<&String> = of_service.filter_map(|row| row.service_revision.as_ref()).collect();
    named.extend(rows.iter().flat_map(|row| row.sources.iter().chain([&row.target])));
    let revisions = txn.revisions_of_service(key).filter(|row| !named.contains(&row.id));
    let revisions: Vec<_> = revisions.map(|row| row.key()).collect();
    for revision in &revisions {
        txn.remove::<ServiceRevision>(revision);
    }
}

/// Removes all that is recorded of a service's deployments.
pub(super) fn forget(txn: &mut Txn, service: &ServiceKey) {
    let deployments: Vec<_> = txn.deployments_of_service(service).map(|row| row.key()).collect();
    for key in &deployments {
        txn.remove::<ServiceDeployment>(key);
    }
    let revisions: Vec<_> = txn.revisions_of_service(service).map(|row| row.key()).collect();
    for key in &revisions {
        txn.remove::<ServiceRevision>(key);
    }
}

/// What `<cluster>/<service>/<id>` in an ARN names, of a kind of thing that belongs to a service.
///
/// # Errors
/// `InvalidParameterException` for the ARN of somebody or something else.
pub(super) fn parts_of<'a>(scope: &Scope, kind: &str, arn: &'a str) -> Result<Option<[&'a str; 3]>, Error> {
    let mut parts = named_by_arn(scope, kind, arn)?.splitn(3, '/');
    let mut next = || parts.next();
    let (Some(cluster), Some(service), Some(id)) = (next(), next(), next()) else { return Ok(None) };
    Ok(Some([cluster, service, id]))
}

fn find(tables: &Tables, scope: &Scope, arn: &str) -> Result<Option<Arc<ServiceDeployment>>, Error> {
    let Some(parts) = parts_of(scope, "service-deployment", arn)? else { return Ok(None) };
    let [cluster, service, id] = parts.map(str::to_owned);
    Ok(tables.service_deployments.get(&(scope.clone(), cluster, service, id)).cloned())
}

fn find_named(cx: &Cx<'_>, arn: &str) -> Result<ServiceDeployment, Error> {
    if arn.is_empty() {
        return Err(Error::invalid_parameter("serviceDeploymentArn can not be blank."));
    }
    let row = find(cx.txn, cx.scope(), arn)?;
    let row = row.ok_or_else(|| Error::service_deployment_not_found("The service deployment does not exist."))?;
    Ok(ServiceDeployment::clone(&row))
}

/// The names of one Describe call.
///
/// # Errors
/// `InvalidParameterException` when there are none or too many.
pub(super) fn check_names(field: &str, names: &[String], most: usize) -> Result<(), Error> {
    if names.is_empty() {
        return Err(Error::invalid_parameter(format!("{field} cannot be empty.")));
    }
    if names.len() > most {
        return Err(Error::invalid_parameter(format!("{field} can have at most {most} items.")));
    }
    Ok(())
}

pub(super) fn missing(arn: &str) -> ecs::Failure {
    ecs::Failure { arn: Some(arn.to_owned()), reason: Some("MISSING".to_owned()), detail: None }
}

/// DescribeServiceDeployments: what is not there is a failure of its own.
pub fn describe_service_deployments(
    cx: &mut Cx<'_>,
    request: ecs::DescribeServiceDeploymentsRequest,
) -> Result<ecs::DescribeServiceDeploymentsResponse, Error> {
    let arns = request.service_deployment_arns;
    check_names("serviceDeploymentArns", &arns, DESCRIBE_MAX)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for arn in &arns {
        match find(cx.txn, cx.scope(), arn)? {
            Some(row) => rows.push(to_wire(cx.txn, &row)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(ecs::DescribeServiceDeploymentsResponse { service_deployments: Some(rows), failures: Some(failures) })
}

/// ListServiceDeployments: a service's, the newest first.
pub fn list_service_deployments(
    cx: &mut Cx<'_>,
    request: ecs::ListServiceDeploymentsRequest,
) -> Result<ecs::ListServiceDeploymentsResponse, Error> {
    let cluster = cluster::find(cx.txn, cx.scope(), request.cluster.as_deref())?;
    let service = service::find(cx.txn, cx.scope(), &cluster.name, &request.service)?;
    let limit = listing::limit(request.max_results, PAGE_DEFAULT, listing::PAGE_MAX)?;
    let before = listing::start(request.next_token.as_deref())?;
    let statuses = request.status.unwrap_or_default().into_iter().map(status).collect::<Result<Vec<_>, _>>()?;
    let created_at = request.created_at.unwrap_or_default();
    let is_asked = |row: &&Arc<ServiceDeployment>| {
        let at = row.created_at.as_millis();
        (statuses.is_empty() || statuses.contains(&row.status))
            && created_at.after.is_none_or(|after| at > after.0)
            && created_at.before.is_none_or(|before| at < before.0)
    };
    let key = service.key();
    let mut rows: Vec<_> = cx.txn.deployments_of_service(&key).filter(is_asked).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
    let rows = rows.into_iter().filter(|row| before.as_ref().is_none_or(|before| place(row) < *before));
    let (rows, next_token) = page::cut(rows, limit, |row| place(row));
    let rows = rows.into_iter().map(|row| brief_to_wire(row)).collect();
    Ok(ecs::ListServiceDeploymentsResponse { service_deployments: Some(rows), next_token })
}

/// Where it is in the order of time.
fn place(row: &ServiceDeployment) -> String {
    format!("{:020}/{}", row.created_at.as_millis(), row.id)
}

fn status(given: ecs::ServiceDeploymentStatus) -> Result<ServiceDeploymentStatus, Error> {
    let found = ServiceDeploymentStatus::ALL.into_iter().find(|status| status.as_str() == given.as_str());
    found.ok_or_else(|| {
        let names = ServiceDeploymentStatus::ALL.map(ServiceDeploymentStatus::as_str).join(",");
        Error::invalid_parameter(format!("status should be one of [{names}]"))
    })
}

/// StopServiceDeployment: asks for it; the service's next round does it.
pub fn stop_service_deployment(
    cx: &mut Cx<'_>,
    request: ecs::StopServiceDeploymentRequest,
) -> Result<ecs::StopServiceDeploymentResponse, Error> {
    let kind = match request.stop_type {
        None | Some(ecs::StopServiceDeploymentStopType::Rollback) => StopKind::Rollback,
        Some(ecs::StopServiceDeploymentStopType::Abort) => StopKind::Abort,
        Some(ecs::StopServiceDeploymentStopType::Unknown(_)) => {
            return Err(Error::invalid_parameter("stopType should be one of [ABORT,ROLLBACK]"));
        }
    };
    let mut row = find_named(cx, &request.service_deployment_arn)?;
    record::ask(&mut row, kind, cx.now).map_err(|refusal| {
        Error::conflict(match refusal {
            Unstoppable::Over => {
                "Stopping a service deployment is not allowed for service deployment in terminal states."
            }
            Unstoppable::RollingBack => "The service deployment is being rolled back and cannot be aborted.",
        })
    })?;
    let service_deployment_arn = Some(arn(&row));
    cx.txn.put(row);
    Ok(ecs::StopServiceDeploymentResponse { service_deployment_arn })
}

/// ContinueServiceDeployment: the answer that a PAUSE hook waits for.
pub fn continue_service_deployment(
    cx: &mut Cx<'_>,
    request: ecs::ContinueServiceDeploymentRequest,
) -> Result<ecs::ContinueServiceDeploymentResponse, Error> {
    let goes_on = match request.action {
        None | Some(ecs::DeploymentLifecycleHookAction::Continue) => true,
        Some(ecs::DeploymentLifecycleHookAction::Rollback) => false,
        Some(ecs::DeploymentLifecycleHookAction::Unknown(_)) => {
            return Err(Error::invalid_parameter("action should be one of [ROLLBACK,CONTINUE]"));
        }
    };
    let mut row = find_named(cx, &request.service_deployment_arn)?;
    stage::answer(&mut row, &request.hook_id, goes_on, cx.now).map_err(|refusal| {
        Error::invalid_parameter(match refusal {
            Unanswerable::NoId => "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
            Unanswerable::Over => {
                "Continuing a service deployment is not allowed for service deployment in terminal states."
            }
            Unanswerable::NotWaiting => {
                "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN"
            }
        })
    })?;
    let service_deployment_arn = Some(arn(&row));
    cx.txn.put(row);
    Ok(ecs::ContinueServiceDeploymentResponse { service_deployment_arn })
}

fn arn(row: &ServiceDeployment) -> String {
    Arn::service_deployment(&row.scope, &row.cluster, &row.service, &row.id).to_string()
}
