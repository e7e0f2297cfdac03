//! Rows by what callers name them with: an id or an ARN; or, to discover instances, a name.

use std::sync::Arc;

use model::discovery::{DiscoveryInstance, DiscoveryService, Namespace};
use model::{Arn, Scope};
use store::Tables;
use wire::servicediscovery::Error;

/// The id in an ARN of this kind and scope; any other text is an id already.
fn id_of<'a>(scope: &Scope, kind: &str, text: &'a str) -> Option<&'a str> {
    match Arn::parse(text) {
        None => Some(text),
        Some(arn) if !arn.belongs_to(scope) || arn.service != "servicediscovery" => None,
        Some(_) => text.rsplit(':').next()?.strip_prefix(kind)?.strip_prefix('/'),
    }
}

/// # Errors
/// `NamespaceNotFound`.
pub fn namespace(tables: &Tables, scope: &Scope, text: &str) -> Result<Arc<Namespace>, Error> {
    let id = id_of(scope, "namespace", text);
    let found = id.and_then(|id| tables.namespaces.get(&(scope.clone(), id.to_owned())));
    found.cloned().ok_or_else(|| Error::namespace_not_found(format!("Namespace not found: {text}")))
}

/// # Errors
/// `ServiceNotFound`.
pub fn service(tables: &Tables, scope: &Scope, text: &str) -> Result<Arc<DiscoveryService>, Error> {
    let id = id_of(scope, "service", text);
    let found = id.and_then(|id| tables.discovery_services.get(&(scope.clone(), id.to_owned())));
    found.cloned().ok_or_else(|| Error::service_not_found(format!("Service not found: {text}")))
}

/// # Errors
/// `InstanceNotFound`.
pub fn instance(tables: &Tables, service: &DiscoveryService, id: &str) -> Result<Arc<DiscoveryInstance>, Error> {
    let found = tables.discovery_instances.get(&(service.scope.clone(), service.id.clone(), id.to_owned()));
    found.cloned().ok_or_else(|| Error::instance_not_found(format!("Instance not found: {id}")))
}

/// # Errors
/// `NamespaceNotFound`, `ServiceNotFound`.
pub fn named_service(
    tables: &Tables,
    scope: &Scope,
    namespace: &str,
    service: &str,
) -> Result<(Arc<Namespace>, Arc<DiscoveryService>), Error> {
    let named = |row: &&Arc<Namespace>| row.name == namespace;
    let found = match Arn::parse(namespace) {
        Some(_) => self::namespace(tables, scope, namespace).ok(),
        None => tables.namespaces_in_scope(scope).find(named).cloned(),
    };
    let Some(found) = found else {
        return Err(Error::namespace_not_found(format!("Namespace not found: {namespace}")));
    };
    let named = |row: &&Arc<DiscoveryService>| row.name.eq_ignore_ascii_case(service);
    let service = tables.discovery_services_of(&found.key()).find(named).cloned();
    let service = service.ok_or_else(|| Error::service_not_found("Service not found"))?;
    Ok((found, service))
}

/// What tags are put on.
pub enum Tagged {
    Namespace(Arc<Namespace>),
    Service(Arc<DiscoveryService>),
}

/// # Errors
/// `ResourceNotFoundException`.
pub fn tagged(tables: &Tables, scope: &Scope, arn: &str) -> Result<Tagged, Error> {
    let not_found = || Error::resource_not_found(format!("Resource not found: {arn}"));
    if Arn::parse(arn).is_none() {
        return Err(not_found());
    }
    if let Ok(row) = namespace(tables, scope, arn) {
        return Ok(Tagged::Namespace(row));
    }
    service(tables, scope, arn).map(Tagged::Service).map_err(|_| not_found())
}
