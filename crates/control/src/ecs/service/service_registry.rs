//! What a service may ask of Cloud Map (ecs-semantics §3.7).

use model::discovery::DnsRecordKind;
use model::service_registry::registry_key;
use model::{NetworkMode, ServiceRegistry, TaskDefinition};
use wire::ecs::Error;

use crate::Cx;

/// Whether tasks of the definition can be registered as asked.
///
/// # Errors
/// `InvalidParameterException`.
pub(super) fn check(cx: &Cx<'_>, definition: &TaskDefinition, asked: &[ServiceRegistry]) -> Result<(), Error> {
    asked.iter().try_for_each(|row| {
        check_container(definition, row)?;
        check_port(cx, definition.network_mode, row)
    })
}

fn check_container(definition: &TaskDefinition, row: &ServiceRegistry) -> Result<(), Error> {
    let (Some(name), Some(port)) = (&row.container, row.container_port) else { return Ok(()) };
    let Some(container) = definition.containers.iter().find(|container| container.name == *name) else {
        return Err(Error::invalid_parameter(format!("The container {name} does not exist in the task definition.")));
    };
    if !container.port_mappings.iter().any(|mapping| mapping.container_port == port) {
        return Err(Error::invalid_parameter(format!(
            "The container {name} did not have a container port {port} defined."
        )));
    }
    Ok(())
}

fn check_port(cx: &Cx<'_>, mode: NetworkMode, row: &ServiceRegistry) -> Result<(), Error> {
    let key = registry_key(&row.registry).filter(|(scope, _)| scope == cx.scope());
    let service = key.and_then(|key| cx.txn.discovery_services.get(&key));
    let service = service.ok_or_else(|| {
        Error::invalid_parameter(format!("The service registry with registryArn {} does not exist.", row.registry))
    })?;
    let is_shared = matches!(mode, NetworkMode::Bridge | NetworkMode::Host);
    if is_shared && row.container.is_none() {
        return Err(Error::invalid_parameter(
            "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' must be \
             specified from the task definition.",
        ));
    }
    if is_shared && service.dns.is_some() && !service.has_record(DnsRecordKind::Srv) {
        return Err(Error::invalid_parameter(
            "Only SRV records are supported for service discovery when using 'host' or 'bridge' for networkMode.",
        ));
    }
    if mode == NetworkMode::None {
        return Err(Error::invalid_parameter("Service discovery is not supported when using 'none' for networkMode."));
    }
    if service.has_record(DnsRecordKind::Aaaa) {
        return Err(Error::invalid_parameter("Tasks have no IPv6 addresses that an AAAA record could be made of."));
    }
    if service.has_record(DnsRecordKind::Srv) && row.container.is_none() && row.port.is_none() {
        return Err(Error::invalid_parameter(
            "When specifying 'awsvpc' for networkMode and a type SRV DNS record, you must specify either a 'containerName' \
             and 'containerPort' combination, or a 'port' value.",
        ));
    }
    Ok(())
}
