//! Services of a namespace: Create, Get, List, Update, Delete, and their attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::discovery::{DiscoveryOperationKind, DiscoveryService, DnsConfig, Namespace};
use wire::servicediscovery::{
    self, CreateServiceRequest, CreateServiceResponse, DeleteServiceAttributesRequest, DeleteServiceAttributesResponse,
    DeleteServiceRequest, DeleteServiceResponse, Error, FilterCondition, GetServiceAttributesRequest,
    GetServiceAttributesResponse, GetServiceRequest, GetServiceResponse, ListServicesRequest, ListServicesResponse,
    ServiceAlreadyExists, ServiceAttributes, ServiceSummary, UpdateServiceAttributesRequest,
    UpdateServiceAttributesResponse, UpdateServiceRequest, UpdateServiceResponse,
};

use super::filter::Filter;
use super::operation::{self, Targets};
use super::{convert, identifier, invalid, new_id, page, request_id, tag};
use crate::Cx;

/// Per namespace.
const SERVICES_MAX: usize = 1000;
const ATTRIBUTES_MAX: usize = 30;
const NAME_LENGTH_MAX: usize = 127;
/// The only one that AWS takes.
const FAILURE_THRESHOLD: u32 = 1;

/// CreateService. The same request once more is answered as the first one.
pub fn create_service(cx: &mut Cx<'_>, request: CreateServiceRequest) -> Result<CreateServiceResponse, Error> {
    let nested = request.dns_config.as_ref().and_then(|config| config.namespace_id.as_deref());
    let namespace = request.namespace_id.as_deref().or(nested).ok_or_else(|| invalid("NamespaceId is required."))?;
    let namespace = identifier::namespace(cx.txn, cx.scope(), namespace)?;
    if request.name.len() > NAME_LENGTH_MAX {
        return Err(invalid(format!("A service name has at most {NAME_LENGTH_MAX} characters.")));
    }
    if request.health_check_config.is_some() {
        return Err(invalid("HealthCheckConfig is for services of public DNS namespaces only."));
    }
    let threshold = |config: servicediscovery::HealthCheckCustomConfig| {
        config.failure_threshold.and_then(|threshold| u32::try_from(threshold).ok()).unwrap_or(FAILURE_THRESHOLD)
    };
    let row = DiscoveryService {
        scope: cx.scope().clone(),
        id: new_id(cx.random, "srv"),
        namespace: namespace.id.clone(),
        dns: dns(&namespace, request.dns_config, request.r#type.as_ref())?,
        name: request.name,
        description: request.description,
        creator_request_id: request_id(cx, request.creator_request_id),
        custom_health: request.health_check_custom_config.map(threshold),
        attributes: BTreeMap::new(),
        instances_revision: 1,
        tags: tag::from_wire(request.tags)?,
        created_at: cx.now,
    };
    let named = |other: &&Arc<DiscoveryService>| other.name.eq_ignore_ascii_case(&row.name);
    if let Some(present) = cx.txn.discovery_services_of(&namespace.key()).find(named).cloned() {
        return repeated(cx, &row, &present);
    }
    if cx.txn.discovery_services_of(&namespace.key()).count() >= SERVICES_MAX {
        let text = format!("There can be at most {SERVICES_MAX} services in a namespace.");
        return Err(Error::resource_limit_exceeded(text));
    }
    cx.txn.put(row.clone());
    Ok(CreateServiceResponse { service: Some(convert::service(&row, 0)) })
}

/// A service that is found by calls only, which ECS makes for one of its own.
pub fn make(cx: &mut Cx<'_>, namespace: &Namespace, name: &str, creator_request_id: String) -> DiscoveryService {
    let row = DiscoveryService {
        scope: cx.scope().clone(),
        id: new_id(cx.random, "srv"),
        namespace: namespace.id.clone(),
        dns: None,
        name: name.to_owned(),
        description: None,
        creator_request_id,
        custom_health: None,
        attributes: BTreeMap::new(),
        instances_revision: 1,
        tags: Vec::new(),
        created_at: cx.now,
    };
    cx.txn.put(row.clone());
    row
}

fn repeated(cx: &Cx<'_>, asked: &DiscoveryService, present: &DiscoveryService) -> Result<CreateServiceResponse, Error> {
    let is_same = asked.creator_request_id == present.creator_request_id
        && asked.dns == present.dns
        && asked.custom_health == present.custom_health;
    if is_same {
        return Ok(CreateServiceResponse { service: Some(show(cx, present)) });
    }
    Err(Error::ServiceAlreadyExists(ServiceAlreadyExists {
        creator_request_id: Some(present.creator_request_id.clone()),
        message: Some(format!("Service {} already exists.", present.name)),
        service_arn: Some(present.arn().to_string()),
        service_id: Some(present.id.clone()),
    }))
}

fn dns(
    namespace: &Namespace,
    given: Option<servicediscovery::DnsConfig>,
    option: Option<&servicediscovery::ServiceTypeOption>,
) -> Result<Option<DnsConfig>, Error> {
    let by_calls_only = match option {
        None => false,
        Some(servicediscovery::ServiceTypeOption::Http) => true,
        Some(other) => return Err(invalid(format!("Type {} is not valid.", other.as_str()))),
    };
    let Some(given) = given else { return Ok(None) };
    if by_calls_only || !namespace.has_names() {
        return Err(invalid("DnsConfig is not valid for a service that is discovered by calls only."));
    }
    let records = convert::dns_records(&given.dns_records)?;
    Ok(Some(DnsConfig { routing: convert::routing(given.routing_policy.as_ref())?, records }))
}

fn show(cx: &Cx<'_>, row: &DiscoveryService) -> servicediscovery::Service {
    convert::service(row, cx.txn.discovery_instances_of(&row.key()).count())
}

pub fn get_service(cx: &mut Cx<'_>, request: GetServiceRequest) -> Result<GetServiceResponse, Error> {
    let row = identifier::service(cx.txn, cx.scope(), &request.id)?;
    Ok(GetServiceResponse { service: Some(show(cx, &row)) })
}

pub fn list_services(cx: &mut Cx<'_>, request: ListServicesRequest) -> Result<ListServicesResponse, Error> {
    const KNOWN: [(&str, &[FilterCondition]); 2] =
        [("NAMESPACE_ID", &[FilterCondition::Eq]), ("RESOURCE_OWNER", &[FilterCondition::Eq])];
    let filters = request.filters.unwrap_or_default().into_iter();
    let filters = filters.map(|filter| Filter::new(filter.name.as_str(), filter.condition, filter.values, &KNOWN));
    let filters: Vec<Filter> = filters.collect::<Result<_, _>>()?;
    let holds = |row: &Arc<DiscoveryService>| {
        filters.iter().all(|filter| match filter.name.as_str() {
            "NAMESPACE_ID" => filter.holds(&row.namespace),
            _ => filter.holds("SELF"),
        })
    };
    let (limit, after) = page(request.max_results, request.next_token.as_deref())?;
    let scope = cx.scope().clone();
    let rows = cx.txn.discovery_services_in_scope(&scope);
    let rows = rows.filter(|row| holds(row) && after.as_ref().is_none_or(|after| row.id > *after));
    let (page, next_token) = crate::page::cut(rows, limit, |row| row.id.clone());
    let summary = |row: &Arc<DiscoveryService>| ServiceSummary {
        arn: Some(row.arn().to_string()),
        create_date: Some(convert::timestamp(row.created_at)),
        created_by_account: Some(row.scope.account.to_string()),
        description: row.description.clone(),
        dns_config: convert::dns_config(row),
        health_check_config: None,
        health_check_custom_config: convert::custom_health(row),
        id: Some(row.id.clone()),
        instance_count: Some(convert::count(cx.txn.discovery_instances_of(&row.key()).count())),
        name: Some(row.name.clone()),
        resource_owner: Some(row.scope.account.to_string()),
        r#type: Some(convert::service_type(row)),
    };
    Ok(ListServicesResponse { next_token, services: Some(page.into_iter().map(summary).collect()) })
}

/// UpdateService. Records that are not given again are gone, as AWS has it.
pub fn update_service(cx: &mut Cx<'_>, request: UpdateServiceRequest) -> Result<UpdateServiceResponse, Error> {
    let mut row = identifier::service(cx.txn, cx.scope(), &request.id)?.as_ref().clone();
    let change = request.service;
    if change.health_check_config.is_some() {
        return Err(invalid("HealthCheckConfig is for services of public DNS namespaces only."));
    }
    row.dns = match (change.dns_config, row.dns) {
        (None, _) => None,
        (Some(_), None) => return Err(invalid("A service that is discovered by calls only has no DNS records.")),
        (Some(given), Some(present)) => {
            Some(convert::with_records(&present, convert::dns_records(&given.dns_records)?))
        }
    };
    row.description = change.description.or(row.description);
    let targets = Targets { service: Some(row.id.clone()), ..Targets::default() };
    cx.txn.put(row);
    Ok(UpdateServiceResponse { operation_id: operation::note(cx, DiscoveryOperationKind::UpdateService, targets) })
}

pub fn delete_service(cx: &mut Cx<'_>, request: DeleteServiceRequest) -> Result<DeleteServiceResponse, Error> {
    let row = identifier::service(cx.txn, cx.scope(), &request.id)?;
    if cx.txn.discovery_instances_of(&row.key()).next().is_some() {
        let text = format!("Service {} has registered instances. Deregister all of them first.", row.id);
        return Err(Error::resource_in_use(text));
    }
    cx.txn.remove::<DiscoveryService>(&row.key());
    Ok(DeleteServiceResponse::default())
}

pub fn get_service_attributes(
    cx: &mut Cx<'_>,
    request: GetServiceAttributesRequest,
) -> Result<GetServiceAttributesResponse, Error> {
    let row = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    Ok(GetServiceAttributesResponse {
        service_attributes: Some(ServiceAttributes {
            attributes: Some(row.attributes.clone()),
            resource_owner: Some(row.scope.account.to_string()),
            service_arn: Some(row.arn().to_string()),
        }),
    })
}

pub fn update_service_attributes(
    cx: &mut Cx<'_>,
    request: UpdateServiceAttributesRequest,
) -> Result<UpdateServiceAttributesResponse, Error> {
    let mut row = identifier::service(cx.txn, cx.scope(), &request.service_id)?.as_ref().clone();
    row.attributes.extend(request.attributes);
    if row.attributes.len() > ATTRIBUTES_MAX {
        let text = format!("A service can have at most {ATTRIBUTES_MAX} attributes.");
        return Err(Error::service_attributes_limit_exceeded(text));
    }
    cx.txn.put(row);
    Ok(UpdateServiceAttributesResponse::default())
}

pub fn delete_service_attributes(
    cx: &mut Cx<'_>,
    request: DeleteServiceAttributesRequest,
) -> Result<DeleteServiceAttributesResponse, Error> {
    let mut row = identifier::service(cx.txn, cx.scope(), &request.service_id)?.as_ref().clone();
    row.attributes.retain(|name, _| !request.attributes.contains(name));
    cx.txn.put(row);
    Ok(DeleteServiceAttributesResponse::default())
}
