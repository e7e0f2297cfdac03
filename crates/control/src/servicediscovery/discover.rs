//! DiscoverInstances, DiscoverInstancesRevision: what clients ask when they look for a service by its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::discovery::{DiscoveryInstance, DiscoveryService};
use wire::servicediscovery::{
    DiscoverInstancesRequest, DiscoverInstancesResponse, DiscoverInstancesRevisionRequest,
    DiscoverInstancesRevisionResponse, Error, HealthStatusFilter, HttpInstanceSummary,
};

use super::{PAGE_MAX, convert, identifier, invalid};
use crate::Cx;

pub fn discover_instances(
    cx: &mut Cx<'_>,
    request: DiscoverInstancesRequest,
) -> Result<DiscoverInstancesResponse, Error> {
    check_owner(cx, request.owner_account.as_deref())?;
    let (namespace, service) =
        identifier::named_service(cx.txn, cx.scope(), &request.namespace_name, &request.service_name)?;
    let query = request.query_parameters.unwrap_or_default();
    let rows: Vec<&Arc<DiscoveryInstance>> =
        cx.txn.discovery_instances_of(&service.key()).filter(|row| has(row, &query)).collect();
    let rows = by_health(&service, rows, request.health_status)?;
    let rows = preferred(rows, &request.optional_parameters.unwrap_or_default());
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_MAX);
    let summary = |row: &Arc<DiscoveryInstance>| HttpInstanceSummary {
        attributes: Some(row.attributes.clone()),
        health_status: Some(convert::health(&service, row)),
        instance_id: Some(row.id.clone()),
        namespace_name: Some(namespace.name.clone()),
        service_name: Some(service.name.clone()),
    };
    Ok(DiscoverInstancesResponse {
        instances: Some(rows.into_iter().take(limit).map(summary).collect()),
        instances_revision: Some(revision(&service)),
    })
}

pub fn discover_instances_revision(
    cx: &mut Cx<'_>,
    request: DiscoverInstancesRevisionRequest,
) -> Result<DiscoverInstancesRevisionResponse, Error> {
    check_owner(cx, request.owner_account.as_deref())?;
    let (_, service) = identifier::named_service(cx.txn, cx.scope(), &request.namespace_name, &request.service_name)?;
    Ok(DiscoverInstancesRevisionResponse { instances_revision: Some(revision(&service)) })
}

fn check_owner(cx: &Cx<'_>, owner: Option<&str>) -> Result<(), Error> {
    match owner {
        Some(owner) if *owner != *cx.scope().account => {
            Err(Error::namespace_not_found(format!("Account {owner} shares no namespace.")))
        }
        _ => Ok(()),
    }
}

fn revision(service: &DiscoveryService) -> i64 {
    i64::try_from(service.instances_revision).unwrap_or(i64::MAX)
}

fn has(row: &DiscoveryInstance, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| row.attributes.get(name) == Some(value))
}

/// A service without a health check has no healthy and no unhealthy ones: all are returned.
fn by_health<'a>(
    service: &DiscoveryService,
    rows: Vec<&'a Arc<DiscoveryInstance>>,
    filter: Option<HealthStatusFilter>,
) -> Result<Vec<&'a Arc<DiscoveryInstance>>, Error> {
    let that_are = |healthy: bool| rows.iter().copied().filter(|row| row.is_healthy == healthy).collect::<Vec<_>>();
    let filter = filter.unwrap_or(HealthStatusFilter::HealthyOrElseAll);
    if let HealthStatusFilter::Unknown(status) = &filter {
        return Err(invalid(format!("HealthStatus {status} is not valid.")));
    }
    if service.custom_health.is_none() {
        return Ok(rows);
    }
    Ok(match filter {
        HealthStatusFilter::Healthy => that_are(true),
        HealthStatusFilter::Unhealthy => that_are(false),
        HealthStatusFilter::HealthyOrElseAll => match that_are(true) {
            healthy if healthy.is_empty() => rows,
            healthy => healthy,
        },
        _ => rows,
    })
}

/// Those with the optional attributes; when none has them, all.
fn preferred<'a>(
    rows: Vec<&'a Arc<DiscoveryInstance>>,
    optional: &BTreeMap<String, String>,
) -> Vec<&'a Arc<DiscoveryInstance>> {
    let matching: Vec<_> = rows.iter().copied().filter(|row| has(row, optional)).collect();
    if matching.is_empty() { rows } else { matching }
}
