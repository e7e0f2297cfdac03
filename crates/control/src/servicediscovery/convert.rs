//! Rows as Cloud Map shows them, and its values as rows have them.

use std::collections::BTreeMap;

use model::Timestamp;
use model::discovery::{
    DiscoveryInstance, DiscoveryOperation, DiscoveryOperationKind, DiscoveryService, DnsConfig, DnsRecord,
    DnsRecordKind, Namespace, NamespaceKind,
};
use model::dns::Routing;
use wire::servicediscovery::{self, Error, HealthStatus};

use super::{invalid, unbuilt};

pub fn timestamp(time: Timestamp) -> wire::value::Timestamp {
    wire::value::Timestamp(time.as_millis())
}

pub fn namespace_type(row: &Namespace) -> servicediscovery::NamespaceType {
    match row.kind {
        NamespaceKind::Http => servicediscovery::NamespaceType::Http,
        NamespaceKind::DnsPrivate { .. } => servicediscovery::NamespaceType::DnsPrivate,
    }
}

pub fn namespace_properties(row: &Namespace) -> servicediscovery::NamespaceProperties {
    let dns_properties = match &row.kind {
        NamespaceKind::Http => servicediscovery::DnsProperties::default(),
        NamespaceKind::DnsPrivate { hosted_zone_id, soa_ttl_seconds, .. } => servicediscovery::DnsProperties {
            hosted_zone_id: Some(hosted_zone_id.clone()),
            soa: Some(servicediscovery::SOA { ttl: i64::from(*soa_ttl_seconds) }),
        },
    };
    servicediscovery::NamespaceProperties {
        dns_properties: Some(dns_properties),
        http_properties: Some(servicediscovery::HttpProperties { http_name: Some(row.name.clone()) }),
    }
}

pub fn namespace(row: &Namespace, services: usize) -> servicediscovery::Namespace {
    servicediscovery::Namespace {
        arn: Some(row.arn().to_string()),
        create_date: Some(timestamp(row.created_at)),
        creator_request_id: Some(row.creator_request_id.clone()),
        description: row.description.clone(),
        id: Some(row.id.clone()),
        name: Some(row.name.clone()),
        properties: Some(namespace_properties(row)),
        resource_owner: Some(row.scope.account.to_string()),
        service_count: Some(count(services)),
        r#type: Some(namespace_type(row)),
    }
}

pub fn service_type(row: &DiscoveryService) -> servicediscovery::ServiceType {
    if row.dns.is_some() { servicediscovery::ServiceType::DnsHttp } else { servicediscovery::ServiceType::Http }
}

pub fn custom_health(row: &DiscoveryService) -> Option<servicediscovery::HealthCheckCustomConfig> {
    let threshold = row.custom_health?;
    Some(servicediscovery::HealthCheckCustomConfig { failure_threshold: i32::try_from(threshold).ok() })
}

pub fn dns_config(row: &DiscoveryService) -> Option<servicediscovery::DnsConfig> {
    let dns = row.dns.as_ref()?;
    let record = |record: &DnsRecord| servicediscovery::DnsRecord {
        ttl: i64::from(record.ttl_seconds),
        r#type: match record.kind {
            DnsRecordKind::A => servicediscovery::RecordType::A,
            DnsRecordKind::Aaaa => servicediscovery::RecordType::Aaaa,
            DnsRecordKind::Srv => servicediscovery::RecordType::Srv,
        },
    };
    Some(servicediscovery::DnsConfig {
        dns_records: dns.records.iter().map(record).collect(),
        namespace_id: Some(row.namespace.clone()),
        routing_policy: Some(match dns.routing {
            Routing::Weighted => servicediscovery::RoutingPolicy::Weighted,
            Routing::Multivalue | Routing::Simple => servicediscovery::RoutingPolicy::Multivalue,
        }),
    })
}

pub fn service(row: &DiscoveryService, instances: usize) -> servicediscovery::Service {
    servicediscovery::Service {
        arn: Some(row.arn().to_string()),
        create_date: Some(timestamp(row.created_at)),
        created_by_account: Some(row.scope.account.to_string()),
        creator_request_id: Some(row.creator_request_id.clone()),
        description: row.description.clone(),
        dns_config: dns_config(row),
        health_check_config: None,
        health_check_custom_config: custom_health(row),
        id: Some(row.id.clone()),
        instance_count: Some(count(instances)),
        name: Some(row.name.clone()),
        namespace_id: Some(row.namespace.clone()),
        resource_owner: Some(row.scope.account.to_string()),
        r#type: Some(service_type(row)),
    }
}

pub fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// As a name's answers are chosen.
///
/// # Errors
/// `InvalidInput`.
pub fn routing(given: Option<&servicediscovery::RoutingPolicy>) -> Result<Routing, Error> {
    match given {
        None | Some(servicediscovery::RoutingPolicy::Multivalue) => Ok(Routing::Multivalue),
        Some(servicediscovery::RoutingPolicy::Weighted) => Ok(Routing::Weighted),
        Some(other) => Err(invalid(format!("RoutingPolicy {} is not valid.", other.as_str()))),
    }
}

/// A service has A, AAAA, both of them, or SRV records.
///
/// # Errors
/// `InvalidInput`.
pub fn dns_records(given: &[servicediscovery::DnsRecord]) -> Result<Vec<DnsRecord>, Error> {
    let record = |record: &servicediscovery::DnsRecord| {
        let kind = match &record.r#type {
            servicediscovery::RecordType::A => DnsRecordKind::A,
            servicediscovery::RecordType::Aaaa => DnsRecordKind::Aaaa,
            servicediscovery::RecordType::Srv => DnsRecordKind::Srv,
            servicediscovery::RecordType::Cname => return Err(unbuilt("CNAME records are")),
            servicediscovery::RecordType::Unknown(name) => {
                return Err(invalid(format!("Record type {name} is not valid.")));
            }
        };
        Ok(DnsRecord { kind, ttl_seconds: u32::try_from(record.ttl).unwrap_or_default() })
    };
    let records: Vec<DnsRecord> = given.iter().map(record).collect::<Result<_, _>>()?;
    if records.is_empty() {
        return Err(invalid("DnsRecords must have at least one record."));
    }
    let is_twice =
        |(index, record): (usize, &DnsRecord)| records[..index].iter().any(|other| other.kind == record.kind);
    if records.iter().enumerate().any(is_twice) {
        return Err(invalid("DnsRecords must not have two records of one type."));
    }
    if records.len() > 1 && records.iter().any(|record| record.kind == DnsRecordKind::Srv) {
        return Err(invalid("An SRV record cannot be combined with others."));
    }
    Ok(records)
}

/// With the records in place of those that are there.
pub fn with_records(present: &DnsConfig, records: Vec<DnsRecord>) -> DnsConfig {
    DnsConfig { routing: present.routing, records }
}

/// Only a service with a custom health check knows it.
pub fn health(service: &DiscoveryService, row: &DiscoveryInstance) -> HealthStatus {
    match (service.custom_health, row.is_healthy) {
        (None, _) => HealthStatus::UnknownValue,
        (Some(_), true) => HealthStatus::Healthy,
        (Some(_), false) => HealthStatus::Unhealthy,
    }
}

pub fn instance(row: &DiscoveryInstance) -> servicediscovery::Instance {
    servicediscovery::Instance {
        attributes: Some(row.attributes.clone()),
        created_by_account: Some(row.scope.account.to_string()),
        creator_request_id: Some(row.creator_request_id.clone()),
        id: row.id.clone(),
    }
}

pub fn operation_type(kind: DiscoveryOperationKind) -> servicediscovery::OperationType {
    match kind {
        DiscoveryOperationKind::CreateNamespace => servicediscovery::OperationType::CreateNamespace,
        DiscoveryOperationKind::DeleteNamespace => servicediscovery::OperationType::DeleteNamespace,
        DiscoveryOperationKind::UpdateNamespace => servicediscovery::OperationType::UpdateNamespace,
        DiscoveryOperationKind::UpdateService => servicediscovery::OperationType::UpdateService,
        DiscoveryOperationKind::RegisterInstance => servicediscovery::OperationType::RegisterInstance,
        DiscoveryOperationKind::DeregisterInstance => servicediscovery::OperationType::DeregisterInstance,
    }
}

pub fn operation(row: &DiscoveryOperation) -> servicediscovery::Operation {
    let targets = [("NAMESPACE", &row.namespace), ("SERVICE", &row.service), ("INSTANCE", &row.instance)];
    let targets = targets.into_iter().filter_map(|(kind, id)| Some((kind.to_owned(), id.clone()?)));
    servicediscovery::Operation {
        create_date: Some(timestamp(row.created_at)),
        id: Some(row.id.clone()),
        owner_account: Some(row.scope.account.to_string()),
        status: Some(servicediscovery::OperationStatus::Success),
        targets: Some(targets.collect::<BTreeMap<_, _>>()),
        r#type: Some(operation_type(row.kind)),
        update_date: Some(timestamp(row.created_at)),
        ..Default::default()
    }
}
