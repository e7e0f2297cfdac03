//! Target groups: Create, Describe, Modify, Delete, and their attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Scope;
use model::edge::{CheckProtocol, HealthCheckSpec, Matcher, ProtocolVersion, TargetProtocol};
use model::load_balancer::{LoadBalancer, Target, TargetGroup, TargetType};
use model::network::Vpc;
use store::Tables;
use wire::elbv2::{
    self, CreateTargetGroupInput, CreateTargetGroupOutput, DeleteTargetGroupInput, DeleteTargetGroupOutput,
    DescribeTargetGroupAttributesInput, DescribeTargetGroupAttributesOutput, DescribeTargetGroupsInput,
    DescribeTargetGroupsOutput, Error, ModifyTargetGroupAttributesInput, ModifyTargetGroupAttributesOutput,
    ModifyTargetGroupInput, ModifyTargetGroupOutput, ProtocolEnum, TargetGroupAttribute, TargetGroupIpAddressTypeEnum,
    TargetTypeEnum,
};

use super::{attribute, convert, identifier, invalid, new_id, tag, unbuilt};
use crate::ec2::vpc as ec2_vpc;
use crate::{Cx, page};

const NAME_LENGTH_MAX: usize = 32;
/// Per region, as AWS has it.
pub(super) const TARGET_GROUPS_MAX: usize = 3000;
const PATH_LENGTH_MAX: usize = 1024;
const TRAFFIC_PORT: &str = "traffic-port";

/// CreateTargetGroup. One that is there already and equal is answered as it is.
pub fn create_target_group(cx: &mut Cx<'_>, request: CreateTargetGroupInput) -> Result<CreateTargetGroupOutput, Error> {
    refuse_unbuilt(&request)?;
    let target_type = target_type(request.target_type.as_ref())?;
    let protocol = request.protocol.as_ref().ok_or_else(|| invalid("A protocol must be specified"))?;
    let protocol = target_protocol(protocol)?;
    check_name(&request.name)?;
    let vpc = Vpc::default_of(cx.scope());
    match request.vpc_id.as_deref() {
        Some(id) if id == vpc.id => {}
        Some(id) if ec2_vpc::find(cx.txn, cx.scope(), id).is_some() => {
            return Err(unbuilt("Target groups in VPCs other than the built-in one are"));
        }
        Some(id) => return Err(invalid(format!("The VPC ID '{id}' is not found"))),
        None => return Err(invalid("A VPC ID must be specified")),
    }
    let port = request.port.ok_or_else(|| invalid("A port must be specified"))?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| invalid("A port must be between 1 and 65535"))?;
    if request.protocol_version.is_some() && !protocol.is_http() {
        let text = format!("Protocol version is not supported for target groups with protocol '{}'", protocol.as_str());
        return Err(invalid(text));
    }
    let protocol_version = match request.protocol_version.as_deref() {
        None | Some("HTTP1") => ProtocolVersion::Http1,
        Some("HTTP2") => ProtocolVersion::Http2,
        Some("GRPC") => ProtocolVersion::Grpc,
        Some(_) => return Err(invalid("Protocol version must be one of '[GRPC, HTTP1, HTTP2]'")),
    };
    let given = HealthCheckGiven {
        enabled: request.health_check_enabled,
        interval: request.health_check_interval_seconds,
        path: request.health_check_path,
        port: request.health_check_port,
        protocol: request.health_check_protocol,
        timeout: request.health_check_timeout_seconds,
        healthy_threshold: request.healthy_threshold_count,
        unhealthy_threshold: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    let row = TargetGroup {
        scope: cx.scope().clone(),
        name: request.name,
        id: new_id(cx),
        vpc_id: vpc.id,
        target_type,
        port,
        protocol,
        protocol_version,
        health_check: given.over(default_health_check(protocol, protocol_version), protocol, protocol_version)?,
        attributes: BTreeMap::new(),
        tags: tag::from_wire(request.tags)?,
        created_at: cx.now,
    };
    if let Some(present) = cx.txn.target_groups.get(&row.key()) {
        let TargetGroup { id, attributes, tags, created_at, .. } = present.as_ref().clone();
        if (TargetGroup { id, attributes, tags, created_at, ..row.clone() }) != **present {
            return Err(Error::duplicate_target_group_name(format!(
                "A target group with the same name '{}' exists, but with different settings",
                row.name
            )));
        }
        return Ok(CreateTargetGroupOutput { target_groups: Some(vec![show(cx.txn, present)]) });
    }
    if of_scope(cx.txn, cx.scope()).count() >= TARGET_GROUPS_MAX {
        return Err(Error::too_many_target_groups(format!("There can be at most {TARGET_GROUPS_MAX} target groups")));
    }
    cx.txn.put(row.clone());
    Ok(CreateTargetGroupOutput { target_groups: Some(vec![show(cx.txn, &row)]) })
}

/// Instances, when nothing is asked for, as on AWS.
fn target_type(given: Option<&TargetTypeEnum>) -> Result<TargetType, Error> {
    match given {
        None | Some(TargetTypeEnum::Instance) => Ok(TargetType::Instance),
        Some(TargetTypeEnum::Ip) => Ok(TargetType::Ip),
        Some(other) => Err(unbuilt(&format!("Targets of type '{}' are", other.as_str()))),
    }
}

fn refuse_unbuilt(request: &CreateTargetGroupInput) -> Result<(), Error> {
    if request.ip_address_type.as_ref().is_some_and(|kind| *kind != TargetGroupIpAddressTypeEnum::Ipv4) {
        return Err(unbuilt("IPv6 targets are"));
    }
    if request.target_control_port.is_some() { Err(unbuilt("Target control ports are")) } else { Ok(()) }
}

fn target_protocol(given: &ProtocolEnum) -> Result<TargetProtocol, Error> {
    match given {
        ProtocolEnum::Http => Ok(TargetProtocol::Http),
        ProtocolEnum::Https => Ok(TargetProtocol::Https),
        ProtocolEnum::Tcp => Ok(TargetProtocol::Tcp),
        ProtocolEnum::Tls => Ok(TargetProtocol::Tls),
        ProtocolEnum::Udp => Ok(TargetProtocol::Udp),
        ProtocolEnum::TcpUdp => Ok(TargetProtocol::TcpUdp),
        other => Err(unbuilt(&format!("Target groups of protocol '{}' are", other.as_str()))),
    }
}

fn check_protocol(given: &ProtocolEnum, group: TargetProtocol) -> Result<CheckProtocol, Error> {
    match given {
        ProtocolEnum::Http => Ok(CheckProtocol::Http),
        ProtocolEnum::Https => Ok(CheckProtocol::Https),
        ProtocolEnum::Tcp if !group.is_http() => Ok(CheckProtocol::Tcp),
        other => Err(invalid(format!(
            "Health check protocol '{}' is not supported for target groups with protocol '{}'",
            other.as_str(),
            group.as_str()
        ))),
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.len() > NAME_LENGTH_MAX {
        let text = format!("Target group name '{name}' cannot be longer than '{NAME_LENGTH_MAX}' characters");
        return Err(invalid(text));
    }
    if name.is_empty() || !name.bytes().all(is_allowed) || name.starts_with('-') || name.ends_with('-') {
        return Err(invalid(format!(
            "Target group name '{name}' can only contain characters that are alphanumeric characters and hyphens(-), \
             and cannot begin or end with a hyphen"
        )));
    }
    Ok(())
}

/// As AWS has it for the protocol version.
fn default_health_check(protocol: TargetProtocol, version: ProtocolVersion) -> HealthCheckSpec {
    let (path, matcher) = match version {
        ProtocolVersion::Http1 | ProtocolVersion::Http2 => ("/", Matcher::HttpCode(vec![(200, 200)])),
        ProtocolVersion::Grpc => ("/AWS.ALB/healthcheck", Matcher::GrpcCode(vec![(12, 12)])),
    };
    if !protocol.is_http() {
        return HealthCheckSpec {
            protocol: CheckProtocol::Tcp,
            port: None,
            path: path.to_owned(),
            interval_seconds: 30,
            timeout_seconds: 10,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(vec![(200, 399)]),
        };
    }
    HealthCheckSpec {
        protocol: if protocol == TargetProtocol::Https { CheckProtocol::Https } else { CheckProtocol::Http },
        port: None,
        path: path.to_owned(),
        interval_seconds: 30,
        timeout_seconds: 5,
        healthy_threshold: 5,
        unhealthy_threshold: 2,
        matcher,
    }
}

/// What a request says of the health check.
#[derive(Default)]
struct HealthCheckGiven {
    enabled: Option<bool>,
    interval: Option<i32>,
    path: Option<String>,
    port: Option<String>,
    protocol: Option<ProtocolEnum>,
    timeout: Option<i32>,
    healthy_threshold: Option<i32>,
    unhealthy_threshold: Option<i32>,
    matcher: Option<elbv2::Matcher>,
}

impl HealthCheckGiven {
    /// What is not given stays.
    fn over(
        self,
        present: HealthCheckSpec,
        group: TargetProtocol,
        version: ProtocolVersion,
    ) -> Result<HealthCheckSpec, Error> {
        if self.enabled == Some(false) {
            return Err(invalid("Health check enabled must be true for target groups with target type 'ip'"));
        }
        let interval_seconds =
            within("Health check interval", self.interval, 5, 300)?.unwrap_or(present.interval_seconds);
        let timeout_seconds = within("Health check timeout", self.timeout, 2, 120)?.unwrap_or(present.timeout_seconds);
        if timeout_seconds >= interval_seconds {
            return Err(invalid(format!(
                "Health check timeout '{timeout_seconds}' must be smaller than the interval '{interval_seconds}'"
            )));
        }
        let matcher = self.matcher.map(convert::matcher).transpose()?.flatten().unwrap_or(present.matcher);
        let is_grpc = matches!(matcher, Matcher::GrpcCode(_));
        if is_grpc != (version == ProtocolVersion::Grpc) {
            return Err(invalid("Only target groups of protocol version GRPC match gRPC codes"));
        }
        let protocol = self.protocol.as_ref().map(|given| check_protocol(given, group)).transpose()?;
        Ok(HealthCheckSpec {
            protocol: protocol.unwrap_or(present.protocol),
            port: match self.port.as_deref() {
                None => present.port,
                Some(TRAFFIC_PORT) => None,
                Some(text) => Some(health_port(text)?),
            },
            path: self.path.map_or(Ok(present.path), path)?,
            interval_seconds,
            timeout_seconds,
            healthy_threshold: within("Healthy threshold count", self.healthy_threshold, 2, 10)?
                .unwrap_or(present.healthy_threshold),
            unhealthy_threshold: within("Unhealthy threshold count", self.unhealthy_threshold, 2, 10)?
                .unwrap_or(present.unhealthy_threshold),
            matcher,
        })
    }
}

fn within(what: &str, given: Option<i32>, least: i32, most: i32) -> Result<Option<u32>, Error> {
    match given {
        Some(value) if !(least..=most).contains(&value) => {
            Err(invalid(format!("{what} '{value}' must be between {least} and {most}")))
        }
        value => Ok(value.map(i32::unsigned_abs)),
    }
}

fn health_port(text: &str) -> Result<u16, Error> {
    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| invalid(format!("Health check port '{text}' must be '{TRAFFIC_PORT}' or between 1 and 65535")))
}

fn path(path: String) -> Result<String, Error> {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.starts_with('/') || !is_plain || path.len() > PATH_LENGTH_MAX {
        return Err(invalid(format!("Health check path '{path}' must begin with a '/' character and be a valid path")));
    }
    Ok(path)
}

fn of_scope<'a>(tables: &'a Tables, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<TargetGroup>> {
    tables.target_groups.range((scope.clone(), String::new())..).take_while(move |row| row.scope == *scope)
}

/// DescribeTargetGroups: those that are named, a load balancer's, or all of them by name.
pub fn describe_target_groups(
    cx: &mut Cx<'_>,
    request: DescribeTargetGroupsInput,
) -> Result<DescribeTargetGroupsOutput, Error> {
    let (arns, names) = (request.target_group_arns.unwrap_or_default(), request.names.unwrap_or_default());
    let kinds = [!arns.is_empty(), !names.is_empty(), request.load_balancer_arn.is_some()];
    if kinds.into_iter().filter(|is_given| *is_given).count() > 1 {
        return Err(invalid("Target group names, target group ARNs and a load balancer ARN exclude each other"));
    }
    let mut found: Vec<Arc<TargetGroup>> = Vec::new();
    for arn in &arns {
        found.push(identifier::target_group(cx.txn, cx.scope(), arn)?);
    }
    for name in &names {
        let row = cx.txn.target_groups.get(&(cx.scope().clone(), name.clone())).cloned();
        found.push(row.ok_or_else(|| Error::target_group_not_found("One or more target groups not found"))?);
    }
    if !found.is_empty() {
        let shown = found.iter().map(|row| show(cx.txn, row)).collect();
        return Ok(DescribeTargetGroupsOutput { target_groups: Some(shown), next_marker: None });
    }
    let load_balancer = request.load_balancer_arn.as_deref();
    let load_balancer = load_balancer.map(|arn| identifier::load_balancer(cx.txn, cx.scope(), arn)).transpose()?;
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let belongs = |row: &&Arc<TargetGroup>| {
        let arn = row.arn().to_string();
        let of = |owner: &Arc<LoadBalancer>| cx.txn.load_balancers_of_group(cx.scope(), &arn).contains(&owner.name);
        load_balancer.as_ref().is_none_or(of)
    };
    let rows = of_scope(cx.txn, cx.scope()).filter(|row| after.as_ref().is_none_or(|after| row.name > *after));
    let (rows, next_marker) = page::cut(rows.filter(belongs), limit, |row| row.name.clone());
    let shown = rows.into_iter().map(|row| show(cx.txn, row)).collect();
    Ok(DescribeTargetGroupsOutput { target_groups: Some(shown), next_marker })
}

fn show(tables: &Tables, row: &TargetGroup) -> elbv2::TargetGroup {
    let check = &row.health_check;
    let number = |value: u32| i32::try_from(value).ok();
    let arn = row.arn().to_string();
    let load_balancer = |name: String| {
        let load_balancer = tables.load_balancers.get(&(row.scope.clone(), name))?;
        Some(load_balancer.arn().to_string())
    };
    let load_balancers = tables.load_balancers_of_group(&row.scope, &arn);
    elbv2::TargetGroup {
        health_check_enabled: Some(true),
        health_check_interval_seconds: number(check.interval_seconds),
        health_check_path: (check.protocol != CheckProtocol::Tcp).then(|| check.path.clone()),
        health_check_port: Some(check.port.map_or(TRAFFIC_PORT.to_owned(), |port| port.to_string())),
        health_check_protocol: Some(ProtocolEnum::from(check.protocol.as_str())),
        health_check_timeout_seconds: number(check.timeout_seconds),
        healthy_threshold_count: number(check.healthy_threshold),
        ip_address_type: Some(TargetGroupIpAddressTypeEnum::Ipv4),
        load_balancer_arns: Some(load_balancers.into_iter().filter_map(load_balancer).collect()),
        matcher: (check.protocol != CheckProtocol::Tcp).then(|| convert::matcher_to_wire(&check.matcher)),
        port: Some(i32::from(row.port)),
        protocol: Some(ProtocolEnum::from(row.protocol.as_str())),
        protocol_version: row.protocol.is_http().then(|| {
            match row.protocol_version {
                ProtocolVersion::Http1 => "HTTP1",
                ProtocolVersion::Http2 => "HTTP2",
                ProtocolVersion::Grpc => "GRPC",
            }
            .to_owned()
        }),
        target_control_port: None,
        target_group_arn: Some(arn),
        target_group_name: Some(row.name.clone()),
        target_type: Some(TargetTypeEnum::from(row.target_type.as_str())),
        unhealthy_threshold_count: number(check.unhealthy_threshold),
        vpc_id: Some(row.vpc_id.clone()),
    }
}

/// ModifyTargetGroup: its health check.
pub fn modify_target_group(cx: &mut Cx<'_>, request: ModifyTargetGroupInput) -> Result<ModifyTargetGroupOutput, Error> {
    let mut row = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?.as_ref().clone();
    let given = HealthCheckGiven {
        enabled: request.health_check_enabled,
        interval: request.health_check_interval_seconds,
        path: request.health_check_path,
        port: request.health_check_port,
        protocol: request.health_check_protocol,
        timeout: request.health_check_timeout_seconds,
        healthy_threshold: request.healthy_threshold_count,
        unhealthy_threshold: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    row.health_check = given.over(row.health_check, row.protocol, row.protocol_version)?;
    cx.txn.put(row.clone());
    Ok(ModifyTargetGroupOutput { target_groups: Some(vec![show(cx.txn, &row)]) })
}

/// DeleteTargetGroup, with its targets; one that is not there is no error, one that a rule names stays.
pub fn delete_target_group(cx: &mut Cx<'_>, request: DeleteTargetGroupInput) -> Result<DeleteTargetGroupOutput, Error> {
    let arn = request.target_group_arn;
    let row = match identifier::target_group(cx.txn, cx.scope(), &arn) {
        Ok(row) => row,
        Err(Error::TargetGroupNotFoundException(_)) => return Ok(DeleteTargetGroupOutput::default()),
        Err(error) => return Err(error),
    };
    if !cx.txn.load_balancers_of_group(cx.scope(), &arn).is_empty() {
        let text = format!("Target group '{arn}' is currently in use by a listener or a rule");
        return Err(Error::resource_in_use(text));
    }
    let targets: Vec<_> = cx.txn.targets_of(&row.key()).map(|target| target.key()).collect();
    for key in &targets {
        cx.txn.remove::<Target>(key);
    }
    cx.txn.remove::<TargetGroup>(&row.key());
    Ok(DeleteTargetGroupOutput::default())
}

pub fn describe_target_group_attributes(
    cx: &mut Cx<'_>,
    request: DescribeTargetGroupAttributesInput,
) -> Result<DescribeTargetGroupAttributesOutput, Error> {
    let row = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?;
    Ok(DescribeTargetGroupAttributesOutput { attributes: Some(attributes(&row)) })
}

pub fn modify_target_group_attributes(
    cx: &mut Cx<'_>,
    request: ModifyTargetGroupAttributesInput,
) -> Result<ModifyTargetGroupAttributesOutput, Error> {
    let mut row = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?.as_ref().clone();
    if request.attributes.len() > attribute::ATTRIBUTES_MAX {
        return Err(invalid(format!("At most {} attributes can be changed at once", attribute::ATTRIBUTES_MAX)));
    }
    for given in request.attributes {
        attribute::set(attribute::table_of_group(row.protocol), &mut row.attributes, given.key, given.value)?;
    }
    let value = |key: &str| attribute::value(attribute::table_of_group(row.protocol), &row.attributes, key);
    let has_datagrams = matches!(row.protocol, TargetProtocol::Udp | TargetProtocol::TcpUdp);
    if has_datagrams && value("proxy_protocol_v2.enabled") == "true" {
        return Err(unbuilt("The PROXY protocol for target groups that take datagrams is"));
    }
    let is_app_cookie = value("stickiness.enabled") == "true" && value("stickiness.type") == "app_cookie";
    if is_app_cookie && value("stickiness.app_cookie.cookie_name").is_empty() {
        return Err(invalid("Stickiness of type 'app_cookie' needs 'stickiness.app_cookie.cookie_name'"));
    }
    cx.txn.put(row.clone());
    Ok(ModifyTargetGroupAttributesOutput { attributes: Some(attributes(&row)) })
}

fn attributes(row: &TargetGroup) -> Vec<TargetGroupAttribute> {
    let all = attribute::all(attribute::table_of_group(row.protocol), &row.attributes);
    all.map(|(key, value)| TargetGroupAttribute { key: Some(key.to_owned()), value: Some(value.to_owned()) }).collect()
}
