//! Service Connect between wire and model. What is not built is refused by name.

use model::service_connect::{ClientAlias, ConnectService};
use model::{Cluster, ServiceConnect, Task};
use wire::ecs;
use wire::ecs::Error;

use super::{items, non_empty, refuse_unbuilt, signed};

/// `serviceConnectConfiguration` that is enabled, checked for itself.
#[derive(Clone, Debug)]
pub struct Asked {
    pub namespace: Option<String>,
    pub services: Vec<AskedService>,
}

#[derive(Clone, Debug)]
pub struct AskedService {
    pub port_name: String,
    pub discovery_name: Option<String>,
    pub alias: Option<ClientAlias>,
    pub idle_timeout_seconds: Option<u32>,
    pub request_timeout_seconds: Option<u32>,
}

/// `None` for one that is not enabled.
///
/// # Errors
/// `InvalidParameterException`; `ClientException` for what is not built.
pub fn from_wire(given: ecs::ServiceConnectConfiguration) -> Result<Option<Asked>, Error> {
    let ecs::ServiceConnectConfiguration {
        access_log_configuration,
        container_configurations,
        enabled,
        log_configuration,
        namespace,
        services,
    } = given;
    if !enabled {
        return Ok(None);
    }
    refuse_unbuilt(
        "the Service Connect configuration",
        &[
            ("accessLogConfiguration", access_log_configuration.is_some()),
            ("containerConfigurations", container_configurations.is_some_and(|given| !given.is_empty())),
            ("logConfiguration", log_configuration.is_some()),
        ],
    )?;
    let services = items(services).into_iter().map(service).collect::<Result<_, _>>()?;
    Ok(Some(Asked { namespace: non_empty(namespace), services }))
}

fn service(given: ecs::ServiceConnectService) -> Result<AskedService, Error> {
    let ecs::ServiceConnectService { client_aliases, discovery_name, ingress_port_override, port_name, timeout, tls } =
        given;
    refuse_unbuilt(
        "the Service Connect service",
        &[("ingressPortOverride", ingress_port_override.is_some()), ("tls", tls.is_some())],
    )?;
    let mut aliases = items(client_aliases);
    if aliases.len() > 1 {
        return Err(Error::invalid_parameter("Each Service Connect service can have at most one client alias."));
    }
    let (idle, request) = match timeout {
        Some(ecs::TimeoutConfiguration { idle_timeout_seconds, per_request_timeout_seconds }) => {
            (idle_timeout_seconds, per_request_timeout_seconds)
        }
        None => (None, None),
    };
    Ok(AskedService {
        port_name,
        discovery_name: non_empty(discovery_name),
        alias: aliases.pop().map(alias).transpose()?,
        idle_timeout_seconds: seconds("idleTimeoutSeconds", idle)?,
        request_timeout_seconds: seconds("perRequestTimeoutSeconds", request)?,
    })
}

fn alias(given: ecs::ServiceConnectClientAlias) -> Result<ClientAlias, Error> {
    let ecs::ServiceConnectClientAlias { dns_name, port, test_traffic_rules } = given;
    refuse_unbuilt("the client alias", &[("testTrafficRules", test_traffic_rules.is_some())])?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port =
        port.ok_or_else(|| Error::invalid_parameter("The port of a client alias must be between 1 and 65535."))?;
    Ok(ClientAlias { port, dns_name: non_empty(dns_name) })
}

fn seconds(field: &str, given: Option<i32>) -> Result<Option<u32>, Error> {
    let convert =
        |given| u32::try_from(given).map_err(|_| Error::invalid_parameter(format!("{field} cannot be negative.")));
    given.map(convert).transpose()
}

/// What was asked for, to be asked for again.
pub fn asked(row: &ServiceConnect) -> Asked {
    let service = |row: &ConnectService| AskedService {
        port_name: row.port_name.clone(),
        discovery_name: row.discovery_name.clone(),
        alias: row.alias.clone(),
        idle_timeout_seconds: row.idle_timeout_seconds,
        request_timeout_seconds: row.request_timeout_seconds,
    };
    Asked { namespace: Some(row.namespace.clone()), services: row.services.iter().map(service).collect() }
}

pub fn to_wire(row: &ServiceConnect) -> ecs::ServiceConnectConfiguration {
    ecs::ServiceConnectConfiguration {
        enabled: true,
        namespace: Some(row.namespace.clone()),
        services: Some(row.services.iter().map(service_to_wire).collect()),
        ..Default::default()
    }
}

fn service_to_wire(row: &ConnectService) -> ecs::ServiceConnectService {
    let has_timeout = row.idle_timeout_seconds.is_some() || row.request_timeout_seconds.is_some();
    ecs::ServiceConnectService {
        client_aliases: Some(row.alias.iter().map(alias_to_wire).collect()),
        discovery_name: row.discovery_name.clone(),
        port_name: row.port_name.clone(),
        timeout: has_timeout.then(|| ecs::TimeoutConfiguration {
            idle_timeout_seconds: row.idle_timeout_seconds.map(signed),
            per_request_timeout_seconds: row.request_timeout_seconds.map(signed),
        }),
        ..Default::default()
    }
}

fn alias_to_wire(row: &ClientAlias) -> ecs::ServiceConnectClientAlias {
    ecs::ServiceConnectClientAlias { dns_name: row.dns_name.clone(), port: row.port.into(), test_traffic_rules: None }
}

pub fn resources_to_wire(row: &ServiceConnect) -> Vec<ecs::ServiceConnectServiceResource> {
    let resource = |row: &ConnectService| ecs::ServiceConnectServiceResource {
        discovery_name: Some(row.discovery_name().to_owned()),
        discovery_arn: Some(row.registry.clone()),
    };
    row.services.iter().map(resource).collect()
}

/// The attachment of a task: what it offers.
pub fn attachment_to_wire(task: &Task) -> Option<ecs::Attachment> {
    let connect = task.connect.as_ref()?;
    let detail = |name: &str, value: String| ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
    let of_service = |row: &ConnectService| {
        let alias = row.alias.as_ref().map(|alias| match &alias.dns_name {
            Some(name) => serde_json::json!([{"port": alias.port, "dnsName": name}]),
            None => serde_json::json!([{"port": alias.port}]),
        });
        let aliases = alias.unwrap_or_else(|| serde_json::json!([])).to_string();
        [
            detail("portName", row.port_name.clone()),
            detail("clientAliases", aliases),
            detail("discoveryName", row.discovery_name().to_owned()),
        ]
    };
    let status = if task.last_status < model::TaskStatus::Stopped { "ATTACHED" } else { "DELETED" };
    Some(ecs::Attachment {
        id: Some(connect.attachment_id.clone()),
        r#type: Some("Service Connect".to_owned()),
        status: Some(status.to_owned()),
        details: Some(connect.service.services.iter().flat_map(of_service).collect()),
    })
}

pub fn defaults_to_wire(cluster: &Cluster) -> Option<ecs::ClusterServiceConnectDefaults> {
    cluster.connect_namespace.clone().map(|namespace| ecs::ClusterServiceConnectDefaults { namespace: Some(namespace) })
}
