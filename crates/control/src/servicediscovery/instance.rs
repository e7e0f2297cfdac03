//! Instances of a service: Register, Deregister, Get, List, and their health.
//!
//! Whoever changes an instance does it through [`put`] and [`remove`], which keep the service's revision.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use model::discovery::{
    DiscoveryInstance, DiscoveryInstanceKey, DiscoveryOperationKind, DiscoveryService, DnsRecordKind,
    INIT_HEALTH_STATUS, IPV4, IPV6, PORT,
};
use store::Txn;
use wire::servicediscovery::{
    CustomHealthStatus, DeregisterInstanceRequest, DeregisterInstanceResponse, Error, GetInstanceRequest,
    GetInstanceResponse, GetInstancesHealthStatusRequest, GetInstancesHealthStatusResponse, InstanceSummary,
    ListInstancesRequest, ListInstancesResponse, RegisterInstanceRequest, RegisterInstanceResponse,
    UpdateInstanceCustomHealthStatusRequest, UpdateInstanceCustomHealthStatusResponse,
};

use super::operation::{self, Targets};
use super::{convert, identifier, invalid, page, request_id, unbuilt};
use crate::Cx;

/// Per service, as AWS has it.
const INSTANCES_MAX: usize = 1000;
const ATTRIBUTES_MAX: usize = 30;
/// Keys and values together.
const ATTRIBUTE_CHARS_MAX: usize = 5000;
const UNBUILT_ATTRIBUTES: [&str; 3] = ["AWS_ALIAS_DNS_NAME", "AWS_INSTANCE_CNAME", "AWS_EC2_INSTANCE_ID"];

/// RegisterInstance. One that is there already is changed.
pub fn register_instance(cx: &mut Cx<'_>, request: RegisterInstanceRequest) -> Result<RegisterInstanceResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    check_attributes(&service, &request.attributes)?;
    let key = (service.scope.clone(), service.id.clone(), request.instance_id.clone());
    let is_new = cx.txn.discovery_instances.get(&key).is_none();
    if is_new && cx.txn.discovery_instances_of(&service.key()).count() >= INSTANCES_MAX {
        let text = format!("There can be at most {INSTANCES_MAX} instances of a service.");
        return Err(Error::resource_limit_exceeded(text));
    }
    let row = DiscoveryInstance {
        scope: service.scope.clone(),
        service: service.id.clone(),
        id: request.instance_id,
        creator_request_id: request_id(cx, request.creator_request_id),
        is_healthy: request.attributes.get(INIT_HEALTH_STATUS).is_none_or(|status| status != "UNHEALTHY"),
        attributes: request.attributes,
    };
    let targets = targets(&row);
    put(cx.txn, row);
    let operation_id = operation::note(cx, DiscoveryOperationKind::RegisterInstance, targets);
    Ok(RegisterInstanceResponse { operation_id })
}

fn targets(row: &DiscoveryInstance) -> Targets {
    Targets { namespace: None, service: Some(row.service.clone()), instance: Some(row.id.clone()) }
}

fn check_attributes(service: &DiscoveryService, attributes: &BTreeMap<String, String>) -> Result<(), Error> {
    if let Some(name) = UNBUILT_ATTRIBUTES.iter().find(|name| attributes.contains_key(**name)) {
        return Err(unbuilt(&format!("The attribute {name} is")));
    }
    let chars: usize = attributes.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if attributes.len() > ATTRIBUTES_MAX || chars > ATTRIBUTE_CHARS_MAX {
        return Err(invalid(format!(
            "An instance has at most {ATTRIBUTES_MAX} attributes of {ATTRIBUTE_CHARS_MAX} characters in total."
        )));
    }
    let is_valid = |(name, value): &(&String, &String)| match name.as_str() {
        IPV4 => value.parse::<Ipv4Addr>().is_ok(),
        IPV6 => value.parse::<Ipv6Addr>().is_ok(),
        PORT => value.parse::<u16>().is_ok(),
        INIT_HEALTH_STATUS => ["HEALTHY", "UNHEALTHY"].contains(&value.as_str()),
        _ => true,
    };
    if let Some((name, _)) = attributes.iter().find(|attribute| !is_valid(attribute)) {
        return Err(invalid(format!("The value of {name} is not valid.")));
    }
    if attributes.contains_key(INIT_HEALTH_STATUS) && service.custom_health.is_none() {
        return Err(invalid(format!("{INIT_HEALTH_STATUS} is for services with HealthCheckCustomConfig.")));
    }
    check_records(service, attributes)
}

/// What its records are made of must be there.
fn check_records(service: &DiscoveryService, attributes: &BTreeMap<String, String>) -> Result<(), Error> {
    let require = |name: &str, kind: &str| match attributes.contains_key(name) {
        true => Ok(()),
        false => Err(invalid(format!("{name} is required: the service has a record of type {kind}."))),
    };
    if service.has_record(DnsRecordKind::A) {
        require(IPV4, "A")?;
    }
    if service.has_record(DnsRecordKind::Aaaa) {
        require(IPV6, "AAAA")?;
    }
    if service.has_record(DnsRecordKind::Srv) {
        require(PORT, "SRV")?;
        if !attributes.contains_key(IPV6) {
            require(IPV4, "SRV")?;
        }
    }
    Ok(())
}

/// Writes an instance, and says so to those who watch its service's revision.
pub fn put(txn: &mut Txn, row: DiscoveryInstance) {
    if txn.discovery_instances.get(&row.key()).is_some_and(|present| **present == row) {
        return;
    }
    raise_revision(txn, &row);
    txn.put(row);
}

/// Removes an instance, if it is there.
pub fn remove(txn: &mut Txn, key: &DiscoveryInstanceKey) {
    let Some(row) = txn.discovery_instances.get(key).cloned() else { return };
    raise_revision(txn, &row);
    txn.remove::<DiscoveryInstance>(key);
}

fn raise_revision(txn: &mut Txn, row: &DiscoveryInstance) {
    let key = (row.scope.clone(), row.service.clone());
    if let Some(service) = txn.discovery_services.get(&key).cloned() {
        let mut service = service.as_ref().clone();
        service.instances_revision += 1;
        txn.put(service);
    }
}

pub fn deregister_instance(
    cx: &mut Cx<'_>,
    request: DeregisterInstanceRequest,
) -> Result<DeregisterInstanceResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    let row = identifier::instance(cx.txn, &service, &request.instance_id)?;
    remove(cx.txn, &row.key());
    let operation_id = operation::note(cx, DiscoveryOperationKind::DeregisterInstance, targets(&row));
    Ok(DeregisterInstanceResponse { operation_id })
}

pub fn get_instance(cx: &mut Cx<'_>, request: GetInstanceRequest) -> Result<GetInstanceResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    let row = identifier::instance(cx.txn, &service, &request.instance_id)?;
    Ok(GetInstanceResponse {
        instance: Some(convert::instance(&row)),
        resource_owner: Some(row.scope.account.to_string()),
    })
}

pub fn list_instances(cx: &mut Cx<'_>, request: ListInstancesRequest) -> Result<ListInstancesResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    let (limit, after) = page(request.max_results, request.next_token.as_deref())?;
    let rows = cx.txn.discovery_instances_of(&service.key());
    let rows = rows.filter(|row| after.as_ref().is_none_or(|after| row.id > *after));
    let (page, next_token) = crate::page::cut(rows, limit, |row| row.id.clone());
    let summary = |row: &Arc<DiscoveryInstance>| InstanceSummary {
        attributes: Some(row.attributes.clone()),
        created_by_account: Some(row.scope.account.to_string()),
        id: Some(row.id.clone()),
    };
    Ok(ListInstancesResponse {
        instances: Some(page.into_iter().map(summary).collect()),
        next_token,
        resource_owner: Some(service.scope.account.to_string()),
    })
}

pub fn get_instances_health_status(
    cx: &mut Cx<'_>,
    request: GetInstancesHealthStatusRequest,
) -> Result<GetInstancesHealthStatusResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    let named = request.instances.unwrap_or_default();
    for id in &named {
        identifier::instance(cx.txn, &service, id)?;
    }
    let (limit, after) = page(request.max_results, request.next_token.as_deref())?;
    let rows = cx.txn.discovery_instances_of(&service.key());
    let rows = rows.filter(|row| named.is_empty() || named.contains(&row.id));
    let rows = rows.filter(|row| after.as_ref().is_none_or(|after| row.id > *after));
    let (page, next_token) = crate::page::cut(rows, limit, |row| row.id.clone());
    let status = page.into_iter().map(|row| (row.id.clone(), convert::health(&service, row)));
    Ok(GetInstancesHealthStatusResponse { next_token, status: Some(status.collect()) })
}

pub fn update_instance_custom_health_status(
    cx: &mut Cx<'_>,
    request: UpdateInstanceCustomHealthStatusRequest,
) -> Result<UpdateInstanceCustomHealthStatusResponse, Error> {
    let service = identifier::service(cx.txn, cx.scope(), &request.service_id)?;
    let mut row = identifier::instance(cx.txn, &service, &request.instance_id)?.as_ref().clone();
    if service.custom_health.is_none() {
        let text = format!("Service {} has no custom health check.", service.id);
        return Err(Error::custom_health_not_found(text));
    }
    row.is_healthy = match request.status {
        CustomHealthStatus::Healthy => true,
        CustomHealthStatus::Unhealthy => false,
        CustomHealthStatus::Unknown(status) => return Err(invalid(format!("Status {status} is not valid."))),
    };
    put(cx.txn, row);
    Ok(UpdateInstanceCustomHealthStatusResponse::default())
}
