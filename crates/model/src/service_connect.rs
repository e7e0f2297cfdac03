//! Service Connect: what a service offers under which names, and what its tasks know of (ecs-semantics §3.8).
//!
//! ```text
//! ServiceConnect of a deployment ─┬─ ConnectService: a named port, found in Cloud Map by its discovery name
//!                                 └─ ConnectEndpoint: a name and port that its tasks can call, as it was when the
//!                                    deployment began
//! ```
//! A task calls an endpoint at an address of [`VIRTUAL_NETWORK`], which means something in its own namespace only: what
//! it sends there the data path takes at [`PROXY_ADDRESS`] and passes on to one of the endpoint's tasks.
//!
//! Invariant: a deployment's endpoints never change, so its tasks all know the same ones; the tasks behind an endpoint do.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Of the loopback: nothing of it leaves a namespace.
pub const VIRTUAL_NETWORK: Ipv4Addr = Ipv4Addr::new(127, 255, 0, 0);
pub const VIRTUAL_PREFIX_LENGTH: u8 = 16;
/// Where the data path listens in a task's namespace. The last address of the virtual network.
pub const PROXY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);
/// The port that it listens on unless the task's own containers have it.
pub const PROXY_PORT: u16 = 15_001;
/// Endpoints that a task can know of.
pub const ENDPOINTS_MAX: usize = 4096;

/// `idleTimeoutSeconds` of HTTP and of TCP, `perRequestTimeoutSeconds`, when they are not given.
pub const HTTP_IDLE_SECONDS: u32 = 300;
pub const TCP_IDLE_SECONDS: u32 = 3600;
pub const REQUEST_SECONDS: u32 = 15;

/// `serviceConnectConfiguration` that is enabled, and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceConnect {
    /// As it was given, or the name of the cluster's default.
    pub namespace: String,
    /// Id of the Cloud Map namespace.
    pub namespace_id: String,
    pub services: Vec<ConnectService>,
    /// Where the data path listens in the tasks' namespaces, at [`PROXY_ADDRESS`].
    pub proxy_port: u16,
    pub endpoints: Vec<ConnectEndpoint>,
}

impl ServiceConnect {
    /// What was asked for, without what was found of others when the deployment began.
    pub fn asked(&self) -> Self {
        Self { endpoints: Vec::new(), ..self.clone() }
    }
}

/// A named port of the tasks that others can call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectService {
    pub port_name: String,
    /// As it was given. Without one it is the port's name.
    pub discovery_name: Option<String>,
    pub alias: Option<ClientAlias>,
    pub idle_timeout_seconds: Option<u32>,
    pub request_timeout_seconds: Option<u32>,
    /// What the port's mapping says.
    pub container: String,
    pub container_port: u16,
    pub protocol: ConnectProtocol,
    /// ARN of the Cloud Map service.
    pub registry: String,
}

impl ConnectService {
    pub fn discovery_name(&self) -> &str {
        self.discovery_name.as_deref().unwrap_or(&self.port_name)
    }

    /// Zero: never.
    pub fn idle_seconds(&self) -> u32 {
        let default = if self.protocol.has_requests() { HTTP_IDLE_SECONDS } else { TCP_IDLE_SECONDS };
        self.idle_timeout_seconds.unwrap_or(default)
    }

    /// Zero: never.
    pub fn request_seconds(&self) -> u32 {
        if self.protocol.has_requests() { self.request_timeout_seconds.unwrap_or(REQUEST_SECONDS) } else { 0 }
    }
}

/// `clientAliases`, of which there is one at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAlias {
    pub port: u16,
    /// Without one it is `<discoveryName>.<namespace>`.
    pub dns_name: Option<String>,
}

/// `appProtocol` of a port mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectProtocol {
    /// None was given.
    #[default]
    Tcp,
    Http,
    Http2,
    Grpc,
}

impl ConnectProtocol {
    /// `None` for text that is none.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None => Some(Self::Tcp),
            Some("http") => Some(Self::Http),
            Some("http2") => Some(Self::Http2),
            Some("grpc") => Some(Self::Grpc),
            Some(_) => None,
        }
    }

    pub const fn has_requests(self) -> bool {
        !matches!(self, Self::Tcp)
    }
}

/// A name and port that tasks can call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectEndpoint {
    pub name: String,
    /// Of the virtual network. Endpoints of one name share it.
    pub address: Ipv4Addr,
    pub port: u16,
    /// ARN of the Cloud Map service whose instances are called.
    pub registry: String,
}
