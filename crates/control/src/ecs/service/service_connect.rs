//! What a service may ask of Service Connect, and the Cloud Map services that it gets for it (ecs-semantics §3.8).
//!
//! A Cloud Map service that was made for an ECS service bears that one's ARN as its creator's request, and goes with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::discovery::{DiscoveryInstance, DiscoveryService, Namespace};
use model::network::Vpc;
use model::service::{ServiceKey, ServiceStatus};
use model::service_connect::{ConnectProtocol, ConnectService};
use model::task_definition::PortMapping;
use model::{Arn, Cluster, LaunchType, NetworkMode, Protocol, Scope, Service, ServiceConnect, TaskDefinition};
use plan::service_connect::{dns_name, endpoints, proxy_port};
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use crate::ecs::convert::service_connect::{Asked, AskedService};
use crate::ecs::{identifier, listing};
use crate::servicediscovery;
use crate::{Cx, page};

const DISCOVERY_NAME_LENGTH_MAX: usize = 64;
const DNS_NAME_LENGTH_MAX: usize = 127;
/// A page of ListServicesByNamespace when its caller does not say (ecs-semantics §4.3).
const PAGE_DEFAULT: usize = 10;

/// Whose configuration it is.
pub(super) struct Owner<'a> {
    pub cluster: &'a Cluster,
    pub service: &'a str,
    pub definition: &'a TaskDefinition,
    pub launch_type: LaunchType,
    /// Id of the tasks' VPC.
    pub vpc: Option<String>,
}

/// What becomes of the configuration in a deployment that begins now. Makes the Cloud Map services that it lacks.
///
/// # Errors
/// `InvalidParameterException`, `NamespaceNotFoundException`.
pub(super) fn resolve(cx: &mut Cx<'_>, owner: &Owner<'_>, asked: &Asked) -> Result<ServiceConnect, Error> {
    check_owner(cx.scope(), owner)?;
    let namespace = namespace_of(cx, owner.cluster, asked.namespace.as_deref())?;
    let mut connect = ServiceConnect {
        namespace: asked.namespace.clone().unwrap_or_else(|| namespace.name.clone()),
        namespace_id: namespace.id.clone(),
        services: asked.services.iter().map(|asked| service(owner, &namespace, asked)).collect::<Result<_, _>>()?,
        proxy_port: proxy_port(owner.definition),
        endpoints: Vec::new(),
    };
    check_distinct(&connect.services)?;
    let key = (cx.scope().clone(), owner.cluster.name.clone(), owner.service.to_owned());
    check_protocols(cx.txn, &key, &connect.services)?;
    check_aliases(cx.txn, &key, &namespace, &connect.services)?;
    for row in &mut connect.services {
        row.registry = registry(cx, &namespace, &key, row.discovery_name())?;
    }
    let others: Vec<ConnectService> = offers(cx.txn, &namespace, &key).map(|(_, row)| row.clone()).collect();
    connect.endpoints = endpoints(&namespace.name, connect.services.iter().chain(&others));
    Ok(connect)
}

fn check_owner(scope: &Scope, owner: &Owner<'_>) -> Result<(), Error> {
    if owner.vpc.as_ref().is_some_and(|vpc| *vpc != Vpc::default_of(scope).id) {
        return Err(Error::client("Service Connect is supported by Gantry in the default VPC only."));
    }
    if owner.launch_type == LaunchType::External {
        return Err(Error::invalid_parameter("Service Connect is not supported with the EXTERNAL launch type."));
    }
    match owner.definition.network_mode {
        NetworkMode::Awsvpc | NetworkMode::Bridge => Ok(()),
        mode @ (NetworkMode::Host | NetworkMode::None) => Err(Error::invalid_parameter(format!(
            "Service Connect is not supported when using '{}' for networkMode.",
            mode.as_str()
        ))),
    }
}

/// The namespace that is named by its name or its ARN, or else the cluster's.
fn namespace_of(cx: &Cx<'_>, cluster: &Cluster, given: Option<&str>) -> Result<Arc<Namespace>, Error> {
    let text = given.or(cluster.connect_namespace.as_deref()).ok_or_else(|| {
        Error::invalid_parameter(
            "A namespace is required for Service Connect: the configuration has none, and the cluster has no default.",
        )
    })?;
    find_namespace(cx.txn, cx.scope(), text)
        .ok_or_else(|| Error::namespace_not_found(format!("The specified namespace was not found: {text}")))
}

/// By name or ARN.
fn find_namespace(tables: &Tables, scope: &Scope, text: &str) -> Option<Arc<Namespace>> {
    if identifier::is_arn(text) {
        return tables.namespaces_in_scope(scope).find(|row| row.arn().to_string() == text).cloned();
    }
    tables.namespaces_in_scope(scope).find(|row| row.name == text).cloned()
}

/// The cluster's `serviceConnectDefaults`: the ARN of the namespace, which is made when no namespace has the name; `None`
/// for the empty text, which takes the default away.
///
/// # Errors
/// `NamespaceNotFoundException` for the ARN of none, `ClientException` when it cannot be made.
pub(in crate::ecs) fn default_namespace(cx: &mut Cx<'_>, text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Some(row) = find_namespace(cx.txn, cx.scope(), text) {
        return Ok(Some(row.arn().to_string()));
    }
    if identifier::is_arn(text) {
        return Err(Error::namespace_not_found(format!("The specified namespace was not found: {text}")));
    }
    let made = servicediscovery::namespace::make_http(cx, text);
    made.map(|row| Some(row.arn().to_string()))
        .map_err(|error| Error::client(wire::error::Failure::from(error).message))
}

fn service(owner: &Owner<'_>, namespace: &Namespace, asked: &AskedService) -> Result<ConnectService, Error> {
    let (container, mapping) = named_port(owner.definition, &asked.port_name)?;
    let protocol =
        ConnectProtocol::parse(mapping.app_protocol.as_deref()).filter(|_| mapping.protocol == Protocol::Tcp);
    let protocol = protocol.ok_or_else(|| {
        Error::invalid_parameter(format!("The port mapping {} cannot be used with Service Connect.", asked.port_name))
    })?;
    if asked.request_timeout_seconds.is_some() && !protocol.has_requests() {
        return Err(Error::invalid_parameter(
            "perRequestTimeoutSeconds can only be set when the appProtocol of the port mapping is http, http2 or grpc.",
        ));
    }
    let row = ConnectService {
        port_name: asked.port_name.clone(),
        discovery_name: asked.discovery_name.clone(),
        alias: asked.alias.clone(),
        idle_timeout_seconds: asked.idle_timeout_seconds,
        request_timeout_seconds: asked.request_timeout_seconds,
        container: container.to_owned(),
        container_port: mapping.container_port,
        protocol,
        registry: String::new(),
    };
    check_name("discoveryName", row.discovery_name(), DISCOVERY_NAME_LENGTH_MAX)?;
    if row.alias.is_some() {
        check_name("dnsName", &dns_name(&namespace.name, &row), DNS_NAME_LENGTH_MAX)?;
    }
    Ok(row)
}

fn named_port<'a>(definition: &'a TaskDefinition, name: &str) -> Result<(&'a str, &'a PortMapping), Error> {
    let mut mappings = definition
        .containers
        .iter()
        .flat_map(|container| container.port_mappings.iter().map(move |mapping| (container.name.as_str(), mapping)));
    let found = mappings.find(|(_, mapping)| mapping.name.as_deref() == Some(name));
    found.ok_or_else(|| {
        Error::invalid_parameter(format!(
            "The portName {name} does not exist in the port mappings of the task definition."
        ))
    })
}

/// It goes into /etc/hosts: visible, in lower case, one word.
fn check_name(field: &str, name: &str, length_max: usize) -> Result<(), Error> {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_' || byte == b'.';
    if name.is_empty() || name.len() > length_max || !name.bytes().all(is_allowed) {
        return Err(Error::invalid_parameter(format!(
            "Invalid {field} '{name}'. It can have up to {length_max} characters: lowercase letters, numbers, underscores, \
             hyphens and periods."
        )));
    }
    Ok(())
}

fn check_distinct(services: &[ConnectService]) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    match services.iter().find(|row| names.insert(row.discovery_name().to_owned(), ()).is_some()) {
        Some(row) => Err(Error::invalid_parameter(format!(
            "The discoveryName {} is used more than once in the Service Connect configuration.",
            row.discovery_name()
        ))),
        None => Ok(()),
    }
}

/// What clients have been told of a discovery name stays.
fn check_protocols(tables: &Tables, key: &ServiceKey, services: &[ConnectService]) -> Result<(), Error> {
    let present = tables.services.get(key).filter(|row| row.status != ServiceStatus::Inactive);
    let present = present.and_then(|row| row.primary()?.connect.as_ref());
    for row in services {
        let same = present
            .and_then(|present| present.services.iter().find(|other| other.discovery_name() == row.discovery_name()));
        if same.is_some_and(|same| same.protocol != row.protocol) {
            return Err(Error::invalid_parameter(format!(
                "The appProtocol of the port mapping {} cannot be changed while Service Connect uses it.",
                row.port_name
            )));
        }
    }
    Ok(())
}

/// A name and port lead to one service.
fn check_aliases(
    tables: &Tables,
    key: &ServiceKey,
    namespace: &Namespace,
    services: &[ConnectService],
) -> Result<(), Error> {
    let place = |row: &ConnectService| row.alias.as_ref().map(|alias| (dns_name(&namespace.name, row), alias.port));
    let mut taken: BTreeMap<_, &str> = BTreeMap::new();
    for (service, row) in offers(tables, namespace, key) {
        taken.extend(place(row).map(|place| (place, service.name.as_str())));
    }
    for row in services {
        let Some((name, port)) = place(row) else { continue };
        if let Some(other) = taken.insert((name.clone(), port), &key.2) {
            return Err(Error::invalid_parameter(format!(
                "The client alias {name}:{port} is used by the service {other} in the namespace {}.",
                namespace.name
            )));
        }
    }
    Ok(())
}

/// What the other services of the namespace offer, in the order of their keys.
fn offers<'a>(
    tables: &'a Tables,
    namespace: &'a Namespace,
    except: &'a ServiceKey,
) -> impl Iterator<Item = (&'a Arc<Service>, &'a ConnectService)> {
    in_namespace(tables, namespace).filter(move |row| row.key() != *except).flat_map(|row| {
        connect_of(row).into_iter().flat_map(move |connect| connect.services.iter().map(move |s| (row, s)))
    })
}

fn connect_of(row: &Service) -> Option<&ServiceConnect> {
    row.primary()?.connect.as_ref()
}

/// The services whose newest deployment is in the namespace.
fn in_namespace<'a>(tables: &'a Tables, namespace: &'a Namespace) -> impl Iterator<Item = &'a Arc<Service>> {
    tables.services.iter().filter(|row| {
        row.scope == namespace.scope
            && row.status != ServiceStatus::Inactive
            && connect_of(row).is_some_and(|connect| connect.namespace_id == namespace.id)
    })
}

/// The ARN of the Cloud Map service of this name that is the ECS service's.
fn registry(cx: &mut Cx<'_>, namespace: &Namespace, key: &ServiceKey, name: &str) -> Result<String, Error> {
    let creator = creator(key);
    let named = |row: &&Arc<DiscoveryService>| row.name.eq_ignore_ascii_case(name);
    if let Some(row) = cx.txn.discovery_services_of(&namespace.key()).find(named) {
        if row.creator_request_id != creator {
            return Err(Error::invalid_parameter(format!(
                "The discoveryName {name} is already used in the namespace {}.",
                namespace.name
            )));
        }
        return Ok(row.arn().to_string());
    }
    Ok(servicediscovery::service::make(cx, namespace, name, creator).arn().to_string())
}

fn creator((scope, cluster, service): &ServiceKey) -> String {
    Arn::service(scope, cluster, service).to_string()
}

/// Removes the Cloud Map services that were made for a service which is gone.
pub(super) fn forget(txn: &mut Txn, key: &ServiceKey) {
    let creator = creator(key);
    let rows = txn.discovery_services_in_scope(&key.0).filter(|row| row.creator_request_id == creator);
    let keys: Vec<_> = rows.map(|row| row.key()).collect();
    for key in keys {
        let instances: Vec<_> = txn.discovery_instances_of(&key).map(|row| row.key()).collect();
        for instance in instances {
            txn.remove::<DiscoveryInstance>(&instance);
        }
        txn.remove::<DiscoveryService>(&key);
    }
}

/// ListServicesByNamespace: those of all clusters, by ARN.
pub fn list_services_by_namespace(
    cx: &mut Cx<'_>,
    request: ecs::ListServicesByNamespaceRequest,
) -> Result<ecs::ListServicesByNamespaceResponse, Error> {
    let ecs::ListServicesByNamespaceRequest { max_results, namespace, next_token } = request;
    let limit = listing::limit(max_results, PAGE_DEFAULT, listing::PAGE_MAX)?;
    let after = listing::start(next_token.as_deref())?;
    let namespace = find_namespace(cx.txn, cx.scope(), &namespace)
        .ok_or_else(|| Error::namespace_not_found(format!("The specified namespace was not found: {namespace}")))?;
    let rows = in_namespace(cx.txn, &namespace).filter(|row| row.status == ServiceStatus::Active);
    let mut arns: Vec<String> = rows.map(|row| creator(&row.key())).collect();
    arns.sort();
    let rest = arns.into_iter().filter(|arn| after.as_ref().is_none_or(|after| arn > after));
    let (arns, next_token) = page::cut(rest, limit, String::clone);
    Ok(ecs::ListServicesByNamespaceResponse { next_token, service_arns: Some(arns) })
}
