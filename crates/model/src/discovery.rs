//! Cloud Map: namespaces, their services, the services' instances, and the record of what was asked for.
//!
//! ```text
//! Namespace ─┬─ DiscoveryService (a name) ─┬─ DiscoveryInstance (attributes: address, port, …)
//!            └─ …                          └─ …
//! ```
//! A service and an instance bear `Discovery` in their names, because ECS has services and the fleet has instances too.
//! What the name server makes of them is in [`dns`](crate::dns).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::dns::Routing;
use crate::{Arn, Scope, Tag, Timestamp};

/// Attributes with a meaning of their own.
pub const IPV4: &str = "AWS_INSTANCE_IPV4";
pub const IPV6: &str = "AWS_INSTANCE_IPV6";
pub const PORT: &str = "AWS_INSTANCE_PORT";
pub const INIT_HEALTH_STATUS: &str = "AWS_INIT_HEALTH_STATUS";

/// Scope, id.
pub type NamespaceKey = (Scope, String);
/// Scope, id.
pub type DiscoveryServiceKey = (Scope, String);
/// Scope, id of the service, id.
pub type DiscoveryInstanceKey = (Scope, String, String);
/// Scope, id.
pub type DiscoveryOperationKey = (Scope, String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    pub scope: Scope,
    /// `ns-` and 16 letters and digits.
    pub id: String,
    pub name: String,
    pub kind: NamespaceKind,
    pub description: Option<String>,
    pub creator_request_id: String,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceKind {
    /// Found by calls only.
    Http,
    /// By names too, in one VPC.
    DnsPrivate {
        vpc_id: String,
        /// What Route 53 would have made of it.
        hosted_zone_id: String,
        /// How long it may be remembered that a name does not exist.
        soa_ttl_seconds: u32,
    },
}

impl Namespace {
    pub fn key(&self) -> NamespaceKey {
        (self.scope.clone(), self.id.clone())
    }

    pub fn arn(&self) -> Arn {
        arn(&self.scope, format!("namespace/{}", self.id))
    }

    /// Whether its services have names.
    pub fn has_names(&self) -> bool {
        matches!(self.kind, NamespaceKind::DnsPrivate { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryService {
    pub scope: Scope,
    /// `srv-` and 16 letters and digits.
    pub id: String,
    /// Id.
    pub namespace: String,
    pub name: String,
    pub description: Option<String>,
    pub creator_request_id: String,
    /// `None`: found by calls only.
    pub dns: Option<DnsConfig>,
    /// The failure threshold of a custom health check, which is kept and means nothing: every status counts at once.
    pub custom_health: Option<u32>,
    pub attributes: BTreeMap<String, String>,
    /// Rises whenever an instance of it is registered, changed or deregistered, or its health changes.
    pub instances_revision: u64,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Multivalue or weighted.
    pub routing: Routing,
    pub records: Vec<DnsRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsRecord {
    pub kind: DnsRecordKind,
    pub ttl_seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DnsRecordKind {
    A,
    Aaaa,
    Srv,
}

impl DiscoveryService {
    pub fn key(&self) -> DiscoveryServiceKey {
        (self.scope.clone(), self.id.clone())
    }

    pub fn arn(&self) -> Arn {
        arn(&self.scope, format!("service/{}", self.id))
    }

    pub fn has_record(&self, kind: DnsRecordKind) -> bool {
        self.dns.as_ref().is_some_and(|dns| dns.records.iter().any(|record| record.kind == kind))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryInstance {
    pub scope: Scope,
    /// Id.
    pub service: String,
    /// Chosen by whoever registers it; unique in its service.
    pub id: String,
    pub creator_request_id: String,
    pub attributes: BTreeMap<String, String>,
    /// Of a service with a custom health check; others' instances have none.
    pub is_healthy: bool,
}

impl DiscoveryInstance {
    pub fn key(&self) -> DiscoveryInstanceKey {
        (self.scope.clone(), self.service.clone(), self.id.clone())
    }

    pub fn address(&self) -> Option<Ipv4Addr> {
        self.attributes.get(IPV4)?.parse().ok()
    }

    pub fn address_v6(&self) -> Option<Ipv6Addr> {
        self.attributes.get(IPV6)?.parse().ok()
    }

    pub fn port(&self) -> Option<u16> {
        self.attributes.get(PORT)?.parse().ok()
    }
}

/// What was asked for and is done: every operation is done when it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryOperation {
    pub scope: Scope,
    /// 32 letters and digits.
    pub id: String,
    pub kind: DiscoveryOperationKind,
    /// Ids of what it was about.
    pub namespace: Option<String>,
    pub service: Option<String>,
    pub instance: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiscoveryOperationKind {
    CreateNamespace,
    DeleteNamespace,
    UpdateNamespace,
    UpdateService,
    RegisterInstance,
    DeregisterInstance,
}

impl DiscoveryOperation {
    pub fn key(&self) -> DiscoveryOperationKey {
        (self.scope.clone(), self.id.clone())
    }
}

fn arn(scope: &Scope, resource: String) -> Arn {
    Arn {
        service: "servicediscovery".to_owned(),
        region: scope.region.to_string(),
        account: scope.account.to_string(),
        resource,
    }
}
