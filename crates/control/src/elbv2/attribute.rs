//! The attributes of load balancers and target groups: their defaults, what they may be, and those that Gantry does not
//! act on, which keep their default.

use std::collections::BTreeMap;

use model::edge::TargetProtocol;
use model::load_balancer::LoadBalancerKind;
use wire::elbv2::Error;

use super::{invalid, unbuilt};

/// Attributes that one call changes.
pub const ATTRIBUTES_MAX: usize = 20;
const HEADER_VALUE_LENGTH_MAX: usize = 1024;

/// One attribute that AWS has.
pub struct Attribute {
    pub key: &'static str,
    pub default: &'static str,
    pub kind: Kind,
}

/// What an attribute may be set to.
pub enum Kind {
    Flag,
    /// Bounds, both included.
    Number(u32, u32),
    /// Zero for off, or within the bounds.
    NumberOrOff(u32, u32),
    OneOf(&'static [&'static str]),
    Name,
    /// What a header of an answer can hold.
    HeaderValue,
    /// Nothing here acts on it, so nothing but its default is accepted.
    Fixed,
}

const fn attribute(key: &'static str, default: &'static str, kind: Kind) -> Attribute {
    Attribute { key, default, kind }
}

/// Of an application load balancer.
pub const LOAD_BALANCER: &[Attribute] = &[
    attribute("access_logs.s3.bucket", "", Kind::Fixed),
    attribute("access_logs.s3.enabled", "false", Kind::Fixed),
    attribute("access_logs.s3.prefix", "", Kind::Fixed),
    attribute("client_keep_alive.seconds", "3600", Kind::Number(60, 604_800)),
    attribute("connection_logs.s3.bucket", "", Kind::Fixed),
    attribute("connection_logs.s3.enabled", "false", Kind::Fixed),
    attribute("connection_logs.s3.prefix", "", Kind::Fixed),
    attribute("deletion_protection.enabled", "false", Kind::Flag),
    attribute("idle_timeout.timeout_seconds", "60", Kind::Number(1, 4000)),
    attribute("load_balancing.cross_zone.enabled", "true", Kind::Fixed),
    attribute("routing.http.desync_mitigation_mode", "defensive", Kind::Fixed),
    attribute("routing.http.drop_invalid_header_fields.enabled", "false", Kind::Flag),
    attribute("routing.http.preserve_host_header.enabled", "false", Kind::Flag),
    attribute("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Kind::Flag),
    attribute("routing.http.xff_client_port.enabled", "false", Kind::Flag),
    attribute("routing.http.xff_header_processing.mode", "append", Kind::OneOf(&["append", "preserve", "remove"])),
    attribute("routing.http2.enabled", "true", Kind::Flag),
    attribute("waf.fail_open.enabled", "false", Kind::Fixed),
    attribute("zonal_shift.config.enabled", "false", Kind::Fixed),
];

/// Of a network load balancer.
pub const NETWORK_LOAD_BALANCER: &[Attribute] = &[
    attribute("access_logs.s3.bucket", "", Kind::Fixed),
    attribute("access_logs.s3.enabled", "false", Kind::Fixed),
    attribute("access_logs.s3.prefix", "", Kind::Fixed),
    attribute("deletion_protection.enabled", "false", Kind::Flag),
    attribute("dns_record.client_routing_policy", "any_availability_zone", Kind::Fixed),
    attribute("ipv6.deny_all_igw_traffic", "false", Kind::Fixed),
    attribute("load_balancing.cross_zone.enabled", "false", Kind::Flag),
    attribute("zonal_shift.config.enabled", "false", Kind::Fixed),
];

/// Of a listener of an application load balancer.
pub const LISTENER: &[Attribute] = &[
    attribute("routing.http.response.access_control_allow_credentials.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.access_control_allow_headers.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.access_control_allow_methods.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.access_control_allow_origin.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.access_control_expose_headers.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.access_control_max_age.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.content_security_policy.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.server.enabled", "true", Kind::Flag),
    attribute("routing.http.response.strict_transport_security.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.x_content_type_options.header_value", "", Kind::HeaderValue),
    attribute("routing.http.response.x_frame_options.header_value", "", Kind::HeaderValue),
];

/// Of a listener of a network load balancer.
pub const NETWORK_LISTENER: &[Attribute] = &[attribute("tcp.idle_timeout.seconds", "350", Kind::Number(60, 6000))];

/// Of a target group of an application load balancer.
pub const TARGET_GROUP: &[Attribute] = &[
    attribute("deregistration_delay.timeout_seconds", "300", Kind::Number(0, 3600)),
    attribute("load_balancing.algorithm.anomaly_mitigation", "off", Kind::Fixed),
    attribute(
        "load_balancing.algorithm.type",
        "round_robin",
        Kind::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"]),
    ),
    attribute("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", Kind::Fixed),
    attribute("slow_start.duration_seconds", "0", Kind::NumberOrOff(30, 900)),
    attribute("stickiness.app_cookie.cookie_name", "", Kind::Name),
    attribute("stickiness.app_cookie.duration_seconds", "86400", Kind::Number(1, 604_800)),
    attribute("stickiness.enabled", "false", Kind::Flag),
    attribute("stickiness.lb_cookie.duration_seconds", "86400", Kind::Number(1, 604_800)),
    attribute("stickiness.type", "lb_cookie", Kind::OneOf(&["lb_cookie", "app_cookie"])),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Kind::Fixed),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Kind::Fixed),
    attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Kind::Fixed),
    attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", Kind::Fixed),
];

/// Of a target group of a network load balancer.
pub const NETWORK_TARGET_GROUP: &[Attribute] = &[
    attribute("deregistration_delay.connection_termination.enabled", "false", Kind::Flag),
    attribute("deregistration_delay.timeout_seconds", "300", Kind::Number(0, 3600)),
    attribute("load_balancing.cross_zone.enabled", "use_load_balancer_configuration", Kind::Fixed),
    attribute("preserve_client_ip.enabled", "false", Kind::Fixed),
    attribute("proxy_protocol_v2.enabled", "false", Kind::Flag),
    attribute("stickiness.enabled", "false", Kind::Flag),
    attribute("stickiness.type", "source_ip", Kind::Fixed),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Kind::Fixed),
    attribute("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Kind::Fixed),
    attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Kind::Fixed),
    attribute("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", Kind::Fixed),
    attribute("target_health_state.unhealthy.connection_termination.enabled", "true", Kind::Flag),
    attribute("target_health_state.unhealthy.draining_interval_seconds", "0", Kind::Fixed),
];

pub fn table_of_load_balancer(kind: LoadBalancerKind) -> &'static [Attribute] {
    match kind {
        LoadBalancerKind::Application => LOAD_BALANCER,
        LoadBalancerKind::Network => NETWORK_LOAD_BALANCER,
    }
}

pub fn table_of_listener(kind: LoadBalancerKind) -> &'static [Attribute] {
    match kind {
        LoadBalancerKind::Application => LISTENER,
        LoadBalancerKind::Network => NETWORK_LISTENER,
    }
}

pub fn table_of_group(protocol: TargetProtocol) -> &'static [Attribute] {
    if protocol.is_http() { TARGET_GROUP } else { NETWORK_TARGET_GROUP }
}

/// The value of one that is in the table.
pub fn value<'a>(table: &'a [Attribute], set: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    let default = table.iter().find(|attribute| attribute.key == key).expect("an attribute of the table").default;
    set.get(key).map_or(default, String::as_str)
}

/// Every attribute with its value, by key.
pub fn all<'a>(
    table: &'a [Attribute],
    set: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    table.iter().map(|attribute| (attribute.key, value(table, set, attribute.key)))
}

/// Sets one attribute.
///
/// # Errors
/// `ValidationError` for one that there is not, or for a value that it cannot have.
pub fn set(
    table: &[Attribute],
    set: &mut BTreeMap<String, String>,
    key: Option<String>,
    value: Option<String>,
) -> Result<(), Error> {
    let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
    let attribute = table.iter().find(|attribute| attribute.key == key);
    let attribute =
        attribute.ok_or_else(|| invalid(format!("Load balancer attribute key '{key}' is not recognized")))?;
    if value == attribute.default {
        set.remove(&key);
        return Ok(());
    }
    if let Kind::Fixed = attribute.kind {
        return Err(unbuilt(&format!("The attribute '{key}' with the value '{value}' is")));
    }
    if !attribute.kind.takes(&value) {
        return Err(invalid(format!("'{value}' is not a valid value for the attribute '{key}'")));
    }
    set.insert(key, value);
    Ok(())
}

impl Kind {
    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Flag => matches!(value, "true" | "false"),
            Self::Number(least, most) => value.parse().is_ok_and(|number: u32| (*least..=*most).contains(&number)),
            Self::NumberOrOff(least, most) => {
                value.parse().is_ok_and(|number: u32| number == 0 || (*least..=*most).contains(&number))
            }
            Self::OneOf(values) => values.contains(&value),
            Self::Name => is_cookie_name(value),
            Self::HeaderValue => {
                value.len() <= HEADER_VALUE_LENGTH_MAX && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            }
            Self::Fixed => false,
        }
    }
}

/// A token of RFC 6265, and none of those that the load balancer sets itself.
fn is_cookie_name(value: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=256).contains(&value.len()) && value.bytes().all(is_token) && !value.starts_with("AWSALB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attributes_may_be() {
        let check = |table: &[Attribute], key: &str, value: &str, is_taken: bool| {
            let taken = set(table, &mut BTreeMap::new(), Some(key.to_owned()), Some(value.to_owned()));
            assert_eq!(taken.is_ok(), is_taken, "{key} {value}");
        };
        check(LOAD_BALANCER, "idle_timeout.timeout_seconds", "4000", true);
        check(LOAD_BALANCER, "idle_timeout.timeout_seconds", "4001", false);
        check(LOAD_BALANCER, "idle_timeout.timeout_seconds", "-1", false);
        check(LOAD_BALANCER, "deletion_protection.enabled", "true", true);
        check(LOAD_BALANCER, "deletion_protection.enabled", "yes", false);
        check(LOAD_BALANCER, "access_logs.s3.enabled", "false", true);
        check(LOAD_BALANCER, "access_logs.s3.enabled", "true", false);
        check(LOAD_BALANCER, "none", "", false);
        check(TARGET_GROUP, "slow_start.duration_seconds", "0", true);
        check(TARGET_GROUP, "slow_start.duration_seconds", "29", false);
        check(TARGET_GROUP, "slow_start.duration_seconds", "900", true);
        check(TARGET_GROUP, "stickiness.type", "source_ip", false);
        check(TARGET_GROUP, "stickiness.app_cookie.cookie_name", "session", true);
        check(TARGET_GROUP, "stickiness.app_cookie.cookie_name", "AWSALB", false);
        check(TARGET_GROUP, "stickiness.app_cookie.cookie_name", "a b", false);
    }

    #[test]
    fn a_default_is_not_kept() {
        let mut attributes = BTreeMap::new();
        for value in ["10", "300"] {
            let key = "deregistration_delay.timeout_seconds".to_owned();
            set(TARGET_GROUP, &mut attributes, Some(key), Some(value.to_owned())).unwrap();
        }
        assert!(attributes.is_empty());
    }

    #[test]
    fn tables_are_in_order_so_that_answers_are() {
        for table in
            [LOAD_BALANCER, NETWORK_LOAD_BALANCER, LISTENER, NETWORK_LISTENER, TARGET_GROUP, NETWORK_TARGET_GROUP]
        {
            assert!(table.is_sorted_by_key(|attribute| attribute.key));
        }
    }
}
