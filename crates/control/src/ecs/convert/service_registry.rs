//! The service registries of services between wire and model.

use model::ServiceRegistry;
use model::service_registry::REGISTRIES_MAX;
use wire::ecs;
use wire::ecs::Error;

use super::non_empty;

/// # Errors
/// `InvalidParameterException`.
pub fn from_wire(rows: Vec<ecs::ServiceRegistry>) -> Result<Vec<ServiceRegistry>, Error> {
    if rows.len() > REGISTRIES_MAX {
        return Err(Error::invalid_parameter("Only one service registry can be specified for each service."));
    }
    rows.into_iter().map(registry).collect()
}

fn registry(row: ecs::ServiceRegistry) -> Result<ServiceRegistry, Error> {
    let ecs::ServiceRegistry { container_name, container_port, port, registry_arn } = row;
    let registry = non_empty(registry_arn);
    let container = non_empty(container_name);
    let container_port = container_port.filter(|port| *port != 0);
    let port = port.filter(|port| *port != 0);
    if container.is_some() != container_port.is_some() {
        return Err(Error::invalid_parameter("containerName and containerPort must be specified together."));
    }
    if container.is_some() && port.is_some() {
        return Err(Error::invalid_parameter(
            "You must specify either a containerName and containerPort combination, or a port value, but not both.",
        ));
    }
    Ok(ServiceRegistry {
        registry: registry
            .ok_or_else(|| Error::invalid_parameter("registryArn is required for each of the serviceRegistries."))?,
        container,
        container_port: container_port.map(|number| number_of("containerPort", number)).transpose()?,
        port: port.map(|number| number_of("port", number)).transpose()?,
    })
}

fn number_of(field: &str, number: i32) -> Result<u16, Error> {
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| Error::invalid_parameter(format!("{field} must be between 1 and 65535.")))
}

pub fn to_wire(rows: &[ServiceRegistry]) -> Vec<ecs::ServiceRegistry> {
    let registry = |row: &ServiceRegistry| ecs::ServiceRegistry {
        container_name: row.container.clone(),
        container_port: row.container_port.map(i32::from),
        port: row.port.map(i32::from),
        registry_arn: Some(row.registry.clone()),
    };
    rows.iter().map(registry).collect()
}
