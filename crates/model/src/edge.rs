//! What the data path (`edge`) is told and what it tells back. The control plane writes it, `edge` serves it.
//!
//! ```text
//! control → edge   Snapshot       (everything that is to be served, always whole)
//! edge → control   TargetHealth   (facts, one target each)
//! ```
//! Rules that must hold:
//! - A snapshot is always whole. What is absent from it is no longer served; what is unchanged keeps its connections.
//! - Values are as the API has checked them: `edge` does not judge them again, and takes no harm from nonsense.
//!
//! AWS's words throughout; what an attribute does is said where it is not plain from its name.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::certificate::PrivateKey;
use crate::mesh::MeshSpec;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with every change.
    pub revision: u64,
    pub load_balancers: Vec<LoadBalancerSpec>,
    pub target_groups: Vec<TargetGroupSpec>,
    /// What tasks can call by Service Connect.
    #[serde(default)]
    pub mesh: MeshSpec,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancerSpec {
    pub arn: String,
    /// What the client of a connection that is handed over asked for.
    pub dns_name: String,
    /// That its listeners bind. They are on an interface of this machine already.
    pub addresses: Vec<Ipv4Addr>,
    /// The zones of the addresses, when what comes to an address stays in its zone.
    pub zones: BTreeMap<Ipv4Addr, String>,
    /// Of an application load balancer.
    pub attributes: LoadBalancerAttributes,
    pub listeners: Vec<ListenerSpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancerAttributes {
    /// `idle_timeout.timeout_seconds`
    pub idle_timeout_seconds: u32,
    /// `client_keep_alive.seconds`: how long a client's connection may be used at all.
    pub client_keep_alive_seconds: u32,
    /// `routing.http.preserve_host_header.enabled`: `Host` goes to the target untouched; otherwise with the listener's
    /// port unless that is 80 or 443.
    pub preserve_host_header: bool,
    /// `routing.http.xff_header_processing.mode`
    pub forwarded_for: ForwardedFor,
    /// `routing.http.xff_client_port.enabled`: X-Forwarded-For carries the client's port too.
    pub forwarded_for_client_port: bool,
    /// `routing.http.drop_invalid_header_fields.enabled`: names other than letters, digits and hyphens are dropped.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`: targets are told how the client's connection is
    /// secured.
    pub tls_headers: bool,
    /// `routing.http2.enabled`
    pub http2: bool,
}

impl Default for LoadBalancerAttributes {
    /// AWS's defaults.
    fn default() -> Self {
        Self {
            idle_timeout_seconds: 60,
            client_keep_alive_seconds: 3600,
            preserve_host_header: false,
            forwarded_for: ForwardedFor::Append,
            forwarded_for_client_port: false,
            drop_invalid_header_fields: false,
            tls_headers: false,
            http2: true,
        }
    }
}

/// What becomes of X-Forwarded-For.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedFor {
    #[default]
    Append,
    Preserve,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSpec {
    pub arn: String,
    pub port: u16,
    pub protocol: ListenerProtocol,
    /// Of those protocols that are secured.
    pub tls: Option<TlsSpec>,
    /// `tcp.idle_timeout.seconds`, of a network load balancer.
    pub tcp_idle_timeout_seconds: u32,
    /// Of an application load balancer.
    pub answers: AnswerAttributes,
    /// In the order of their priority. The last one is the default rule, without conditions. The listeners of a network
    /// load balancer have that one only, and it forwards.
    pub rules: Vec<RuleSpec>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenerProtocol {
    #[default]
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

impl ListenerProtocol {
    /// In AWS's words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }

    pub const fn is_secured(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// It has requests, so that each can go another way: what application load balancers speak.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether it passes on to targets that speak `target`, as AWS pairs them.
    pub const fn takes(self, target: TargetProtocol) -> bool {
        match self {
            Self::Http | Self::Https => target.is_http(),
            Self::Tcp => matches!(target, TargetProtocol::Tcp),
            Self::Tls => matches!(target, TargetProtocol::Tcp | TargetProtocol::Tls),
            Self::Udp => matches!(target, TargetProtocol::Udp),
            Self::TcpUdp => matches!(target, TargetProtocol::TcpUdp),
        }
    }

    pub const fn has_connections(self) -> bool {
        !matches!(self, Self::Udp)
    }

    pub const fn has_datagrams(self) -> bool {
        matches!(self, Self::Udp | Self::TcpUdp)
    }
}

/// What becomes of the headers of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerAttributes {
    /// `routing.http.response.server.enabled`: they tell what has answered.
    pub server: bool,
    /// `routing.http.response.….header_value`: set whatever the target says, by name in lower case.
    pub headers: Vec<(String, String)>,
}

impl Default for AnswerAttributes {
    fn default() -> Self {
        Self { server: true, headers: Vec::new() }
    }
}

/// How clients' connections are secured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsSpec {
    /// The name of a policy of [`ssl_policy`](crate::ssl_policy).
    pub policy: String,
    /// What may be spoken over it (ALPN), in order of preference. With none, that is nobody's matter.
    pub protocols: Vec<String>,
    /// The first one is the default, for clients that name no host or none that another one is for.
    pub certificates: Vec<CertificateSpec>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// Hosts that it is for, with wildcards.
    pub names: Vec<String>,
    /// PEM: the certificate and its issuers.
    pub chain: String,
    pub private_key: PrivateKey,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSpec {
    pub arn: String,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// Holds when one of its values does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// Without regard to case, and without the port.
    HostHeader(Vec<Pattern>),
    /// With regard to case; the path only, without the query.
    PathPattern(Vec<Pattern>),
    /// Without regard to case, neither of the name nor of the value.
    HttpHeader { name: String, values: Vec<Pattern> },
    /// Exactly.
    HttpRequestMethod(Vec<String>),
    /// Key (any when absent) and value, both with wildcards and without regard to case.
    QueryString(Vec<(Option<String>, String)>),
    /// The address of the connection, never that of a header.
    SourceIp(Vec<IpNet>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// `*` stands for any text, `?` for one character, `\` before either for itself.
    Wildcard(String),
    Regex(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    FixedResponse { status: u16, content_type: Option<String>, body: String },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// ARN and weight.
    pub groups: Vec<(String, u32)>,
    /// How long a client stays with the group that it came to.
    pub stickiness_seconds: Option<u32>,
}

/// Each part may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without its first slash) and `#{query}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub protocol: String,
    pub host: String,
    pub port: String,
    /// With its first slash.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

impl Default for Redirect {
    /// Every part as it came, which is what AWS takes for a part that is not given.
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status: 302,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetGroupSpec {
    pub arn: String,
    pub protocol: TargetProtocol,
    pub protocol_version: ProtocolVersion,
    /// `load_balancing.algorithm.type`
    pub algorithm: Algorithm,
    pub stickiness: Option<Stickiness>,
    /// Zero: off.
    pub slow_start_seconds: u32,
    pub deregistration_delay_seconds: u32,
    /// Of groups of network load balancers.
    pub connections: ConnectionAttributes,
    pub health_check: HealthCheckSpec,
    pub targets: Vec<TargetSpec>,
}

/// What targets are spoken to over. Nobody asks targets who they are: their certificates are not verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetProtocol {
    #[default]
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

impl TargetProtocol {
    /// In AWS's words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }

    /// What application load balancers speak.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    pub const fn is_secured(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }
}

/// How a target is asked for its health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckProtocol {
    #[default]
    Http,
    Https,
    /// It takes a connection.
    Tcp,
}

impl CheckProtocol {
    /// In AWS's words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
        }
    }
}

/// What is spoken to the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProtocolVersion {
    #[default]
    Http1,
    Http2,
    Grpc,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    #[default]
    RoundRobin,
    LeastOutstandingRequests,
    WeightedRandom,
}

/// What becomes of connections that are passed on as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionAttributes {
    /// `proxy_protocol_v2.enabled`: a target is told first who the client is.
    pub proxy_protocol_v2: bool,
    /// `deregistration_delay.connection_termination.enabled`: a target's connections are cut when the delay is over;
    /// otherwise they go on until one end closes them.
    pub cut_when_deregistered: bool,
    /// `target_health_state.unhealthy.connection_termination.enabled`: a target's connections are cut when it turns
    /// unhealthy.
    pub cut_when_unhealthy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stickiness {
    LbCookie {
        seconds: u32,
    },
    AppCookie {
        name: String,
        seconds: u32,
    },
    /// Of connections: those of one client go to one target.
    SourceIp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheckSpec {
    #[serde(default)]
    pub protocol: CheckProtocol,
    /// `None`: `traffic-port`.
    pub port: Option<u16>,
    pub path: String,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: Matcher,
}

/// Inclusive ranges of what a healthy target answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matcher {
    HttpCode(Vec<(u16, u16)>),
    GrpcCode(Vec<(u16, u16)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSpec {
    pub address: SocketAddr,
    pub zone: Option<String>,
    /// Deregistered at that time. It gets no new requests; those that it has may go on for the group's deregistration
    /// delay, then they are cut off. It leaves the snapshot after that, or sooner when it is [`TargetHealth::drained`].
    pub draining_since: Option<Timestamp>,
}

/// What is known of one target of one group. Told whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// ARN.
    pub target_group: String,
    pub address: SocketAddr,
    pub state: TargetState,
    /// `None` when it is healthy.
    pub reason: Option<TargetReason>,
    /// Empty when it is healthy.
    pub description: String,
    /// It is draining, and no request is left on it.
    pub drained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TargetState {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    /// No rule leads to its group.
    Unused,
}

impl TargetState {
    /// As DescribeTargetHealth spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Unused => "unused",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TargetReason {
    RegistrationInProgress,
    InitialHealthChecking,
    ResponseCodeMismatch,
    Timeout,
    FailedHealthChecks,
    NotInUse,
    DeregistrationInProgress,
}

impl TargetReason {
    /// As DescribeTargetHealth spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegistrationInProgress => "Elb.RegistrationInProgress",
            Self::InitialHealthChecking => "Elb.InitialHealthChecking",
            Self::ResponseCodeMismatch => "Target.ResponseCodeMismatch",
            Self::Timeout => "Target.Timeout",
            Self::FailedHealthChecks => "Target.FailedHealthChecks",
            Self::NotInUse => "Target.NotInUse",
            Self::DeregistrationInProgress => "Target.DeregistrationInProgress",
        }
    }
}
