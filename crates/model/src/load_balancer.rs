//! Load balancers: listeners, rules, target groups and their targets (Elastic Load Balancing v2).
//!
//! ```text
//! LoadBalancer ─┬─ Listener (a port) ─┬─ Rule (by priority) ─▶ Action ─▶ TargetGroup ─┬─ Target (address and port)
//!               └─ …                  └─ default action ───────▲                      └─ …
//! ```
//! What the data path needs of it is in [`edge`](crate::edge). A row's id is the last part of its ARN: 16 hex digits.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::edge::{Action, Condition, HealthCheckSpec, ListenerProtocol, ProtocolVersion, TargetProtocol};
use crate::{Arn, Scope, Tag, TaskId, Timestamp};

const SERVICE: &str = "elasticloadbalancing";

/// Scope and name.
pub type LoadBalancerKey = (Scope, String);
/// Scope, name.
pub type TargetGroupKey = (Scope, String);
/// Scope, name of the load balancer, id.
pub type ListenerKey = (Scope, String, String);
/// Scope, name of the load balancer, id of the listener, id.
pub type RuleKey = (Scope, String, String, String);
/// Scope, name of the target group, address, port.
pub type TargetKey = (Scope, String, Ipv4Addr, u16);

/// What a load balancer balances: an application one requests, a network one connections and datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadBalancerKind {
    #[default]
    Application,
    Network,
}

impl LoadBalancerKind {
    /// As ARNs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Network => "net",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub scope: Scope,
    pub name: String,
    pub id: String,
    #[serde(default)]
    pub kind: LoadBalancerKind,
    /// Of scheme `internal`; else `internet-facing`. Both have an address in the VPC only.
    pub is_internal: bool,
    pub dns_name: String,
    pub vpc_id: String,
    /// Where it is, and its address there.
    pub subnets: Vec<LoadBalancerSubnet>,
    pub security_groups: Vec<String>,
    /// Those that differ from their defaults.
    pub attributes: BTreeMap<String, String>,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerSubnet {
    pub id: String,
    pub zone: String,
    pub address: Ipv4Addr,
}

impl LoadBalancer {
    pub fn key(&self) -> LoadBalancerKey {
        (self.scope.clone(), self.name.clone())
    }

    pub fn arn(&self) -> Arn {
        arn(&self.scope, format!("loadbalancer/{}/{}/{}", self.kind.as_str(), self.name, self.id))
    }
}

/// A port on which a load balancer takes requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub scope: Scope,
    pub load_balancer: String,
    /// Of the load balancer, for the ARN.
    pub load_balancer_id: String,
    pub id: String,
    pub port: u16,
    #[serde(default)]
    pub protocol: ListenerProtocol,
    /// Of a secured one.
    #[serde(default)]
    pub security: Option<ListenerSecurity>,
    /// Those that differ from their defaults.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What is done with a request that no rule is for.
    pub action: Action,
    pub tags: Vec<Tag>,
}

/// With what a listener secures its connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSecurity {
    /// Name of a policy of [`ssl_policy`](crate::ssl_policy).
    pub policy: String,
    /// ARN.
    pub certificate: String,
    /// ARNs of those besides the default one.
    pub more_certificates: Vec<String>,
    /// Name of the policy on what is spoken over it (ALPN), of a network load balancer.
    #[serde(default)]
    pub alpn_policy: Option<String>,
}

impl ListenerSecurity {
    /// The default one first.
    pub fn certificates(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.certificate).chain(&self.more_certificates)
    }
}

impl Listener {
    pub fn key(&self) -> ListenerKey {
        (self.scope.clone(), self.load_balancer.clone(), self.id.clone())
    }

    pub fn arn(&self) -> Arn {
        let Self { load_balancer, load_balancer_id, id, .. } = self;
        arn(&self.scope, format!("listener/{}/{load_balancer}/{load_balancer_id}/{id}", self.kind().as_str()))
    }

    /// Of the rule that stands for the default action.
    pub fn default_rule_arn(&self) -> Arn {
        let Self { load_balancer, load_balancer_id, id, .. } = self;
        let kind = self.kind().as_str();
        arn(&self.scope, format!("listener-rule/{kind}/{load_balancer}/{load_balancer_id}/{id}/{id}"))
    }

    /// Of its load balancer.
    pub fn kind(&self) -> LoadBalancerKind {
        if self.protocol.is_http() { LoadBalancerKind::Application } else { LoadBalancerKind::Network }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub scope: Scope,
    pub load_balancer: String,
    pub load_balancer_id: String,
    pub listener: String,
    pub id: String,
    /// 1 to 50,000; the lowest one that fits is taken.
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: Action,
    pub tags: Vec<Tag>,
}

impl Rule {
    pub fn key(&self) -> RuleKey {
        (self.scope.clone(), self.load_balancer.clone(), self.listener.clone(), self.id.clone())
    }

    pub fn arn(&self) -> Arn {
        let Self { load_balancer, load_balancer_id, listener, id, .. } = self;
        arn(&self.scope, format!("listener-rule/app/{load_balancer}/{load_balancer_id}/{listener}/{id}"))
    }
}

/// Of target type `ip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub scope: Scope,
    pub name: String,
    pub id: String,
    pub vpc_id: String,
    /// What its targets are named by.
    #[serde(default)]
    pub target_type: TargetType,
    /// Of targets that name none.
    pub port: u16,
    #[serde(default)]
    pub protocol: TargetProtocol,
    pub protocol_version: ProtocolVersion,
    pub health_check: HealthCheckSpec,
    /// Those that differ from their defaults.
    pub attributes: BTreeMap<String, String>,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

impl TargetGroup {
    pub fn key(&self) -> TargetGroupKey {
        (self.scope.clone(), self.name.clone())
    }

    pub fn arn(&self) -> Arn {
        arn(&self.scope, format!("targetgroup/{}/{}", self.name, self.id))
    }

    /// The key in a target group's ARN. A group that is there has the ARN's id too, if it is the one that is meant.
    pub fn key_of(arn: &str) -> Option<TargetGroupKey> {
        let arn = Arn::parse(arn).filter(|arn| arn.service == SERVICE)?;
        let (name, _) = arn.resource.strip_prefix("targetgroup/")?.split_once('/')?;
        Some((Scope::new(&arn.account, &arn.region), name.to_owned()))
    }
}

/// What a target is named by. What the data path is told is an address either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetType {
    #[default]
    Ip,
    /// A container instance, by its EC2 id: the ports are those that it publishes.
    Instance,
}

impl TargetType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Instance => "instance",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub scope: Scope,
    pub group: String,
    pub address: Ipv4Addr,
    pub port: u16,
    /// Of a group of instances: the id that it was registered by, and that it is shown by.
    #[serde(default)]
    pub instance: Option<String>,
    /// Of a service: it was registered for this task.
    #[serde(default)]
    pub task: Option<TaskId>,
    pub registered_at: Timestamp,
    /// It takes no new requests since then, and is gone after the group's deregistration delay.
    pub deregistered_at: Option<Timestamp>,
}

impl Target {
    pub fn key(&self) -> TargetKey {
        (self.scope.clone(), self.group.clone(), self.address, self.port)
    }
}

fn arn(scope: &Scope, resource: String) -> Arn {
    Arn { service: SERVICE.to_owned(), region: scope.region.to_string(), account: scope.account.to_string(), resource }
}
