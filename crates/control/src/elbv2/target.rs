//! Targets: Register, Deregister, and their health as the data path tells it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::ContainerInstance;
use model::edge::{TargetReason, TargetState};
use model::load_balancer::{Target, TargetGroup, TargetType};
use model::network::{VPC_NETWORK, VPC_PREFIX_LENGTH};
use wire::elbv2::{
    self, DeregisterTargetsInput, DeregisterTargetsOutput, DescribeTargetHealthInput, DescribeTargetHealthOutput,
    Error, RegisterTargetsInput, RegisterTargetsOutput, TargetDescription, TargetHealthDescription,
    TargetHealthReasonEnum, TargetHealthStateEnum,
};

use super::{identifier, invalid, unbuilt};
use crate::Cx;

/// Of one target group, as AWS has it.
pub(super) const TARGETS_MAX: usize = 1000;

/// RegisterTargets: one that is there already stays, one that was to go is there anew.
pub fn register_targets(cx: &mut Cx<'_>, request: RegisterTargetsInput) -> Result<RegisterTargetsOutput, Error> {
    let group = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?;
    for given in request.targets {
        let (address, port) = place(cx, &group, &given)?;
        let new = Target {
            scope: group.scope.clone(),
            group: group.name.clone(),
            address,
            port,
            instance: (group.target_type == TargetType::Instance).then_some(given.id),
            task: None,
            registered_at: cx.now,
            deregistered_at: None,
        };
        let present = cx.txn.targets.get(&new.key());
        if present.is_none_or(|present| present.deregistered_at.is_some()) {
            cx.txn.put(new);
        }
    }
    if cx.txn.targets_of(&group.key()).count() > TARGETS_MAX {
        return Err(Error::too_many_targets(format!("A target group can have at most {TARGETS_MAX} targets")));
    }
    Ok(RegisterTargetsOutput::default())
}

/// The address and the port of a target.
fn place(cx: &Cx<'_>, group: &TargetGroup, given: &TargetDescription) -> Result<(Ipv4Addr, u16), Error> {
    if given.quic_server_id.is_some() {
        return Err(unbuilt("QUIC servers are"));
    }
    if given.availability_zone.as_deref().is_some_and(|zone| zone == "all") {
        return Err(unbuilt("Targets outside of the VPC are"));
    }
    let address = match group.target_type {
        TargetType::Ip => vpc_address(group, &given.id)?,
        TargetType::Instance => instance_address(cx, &given.id)?,
    };
    let port = given.port.map_or(Some(group.port), |port| u16::try_from(port).ok().filter(|port| *port > 0));
    Ok((address, port.ok_or_else(|| invalid("A port must be between 1 and 65535"))?))
}

/// Of the machine that is this EC2 instance to its tasks.
fn instance_address(cx: &Cx<'_>, id: &str) -> Result<Ipv4Addr, Error> {
    let mut nodes = cx.txn.nodes_in_scope(cx.scope());
    let node = nodes.find(|node| ContainerInstance::ec2_instance_id_of(node.id) == id);
    let node = node.ok_or_else(|| Error::invalid_target(format!("The instance ID '{id}' is not valid")))?;
    let unreachable = || Error::invalid_target(format!("The instance '{id}' has no address that could be reached"));
    node.address.ok_or_else(unreachable)
}

fn vpc_address(group: &TargetGroup, id: &str) -> Result<Ipv4Addr, Error> {
    let address = id.parse::<Ipv4Addr>();
    let address = address.map_err(|_| invalid(format!("The IP address '{id}' is not a valid IPv4 address")))?;
    let mask = u32::MAX << (32 - VPC_PREFIX_LENGTH);
    if u32::from(address) & mask != u32::from(VPC_NETWORK) {
        return Err(Error::invalid_target(format!(
            "The IP address '{address}' is not within the range of VPC '{}'",
            group.vpc_id
        )));
    }
    Ok(address)
}

/// DeregisterTargets: they take no new requests from now on. One that is not there is no error.
pub fn deregister_targets(cx: &mut Cx<'_>, request: DeregisterTargetsInput) -> Result<DeregisterTargetsOutput, Error> {
    let group = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?;
    for given in request.targets {
        let (address, port) = place(cx, &group, &given)?;
        let any_port = given.port.is_none();
        let rows = cx.txn.targets_of(&group.key());
        let keys: Vec<_> = rows
            .filter(|target| target.address == address && (any_port || target.port == port))
            .map(|target| target.key())
            .collect();
        for key in &keys {
            let now = cx.now;
            cx.txn.update::<Target, _>(key, |target| *target.deregistered_at.get_or_insert(now));
        }
    }
    Ok(DeregisterTargetsOutput::default())
}

/// DescribeTargetHealth: of those that are named, or of all.
pub fn describe_target_health(
    cx: &mut Cx<'_>,
    request: DescribeTargetHealthInput,
) -> Result<DescribeTargetHealthOutput, Error> {
    let group = identifier::target_group(cx.txn, cx.scope(), &request.target_group_arn)?;
    let named = request.targets.unwrap_or_default();
    let mut descriptions = Vec::new();
    if named.is_empty() {
        descriptions.extend(cx.txn.targets_of(&group.key()).map(|target| describe(cx, &group, target)));
    }
    for given in &named {
        let (address, port) = place(cx, &group, given)?;
        let key = (group.scope.clone(), group.name.clone(), address, port);
        descriptions.push(match cx.txn.targets.get(&key) {
            Some(target) => describe(cx, &group, target),
            None => unregistered(&group, &given.id, port),
        });
    }
    Ok(DescribeTargetHealthOutput { target_health_descriptions: Some(descriptions) })
}

fn describe(cx: &Cx<'_>, group: &TargetGroup, target: &Target) -> TargetHealthDescription {
    let arn = group.arn().to_string();
    let address = SocketAddr::new(IpAddr::V4(target.address), target.port);
    let (state, reason, text) = match cx.traffic.health(&arn, address) {
        Some(health) => (health.state, health.reason, health.description),
        // The data path has not looked at it yet.
        None if cx.txn.load_balancers_of_group(&group.scope, &arn).is_empty() => {
            let text = "Target group is not configured to receive traffic from the load balancer";
            (TargetState::Unused, Some(TargetReason::NotInUse), text.to_owned())
        }
        None => {
            let text = "Target registration is in progress";
            (TargetState::Initial, Some(TargetReason::RegistrationInProgress), text.to_owned())
        }
    };
    let id = target.instance.clone().unwrap_or_else(|| target.address.to_string());
    description(group, id, target.port, state.as_str(), reason.map(TargetReason::as_str), text)
}

fn unregistered(group: &TargetGroup, id: &str, port: u16) -> TargetHealthDescription {
    let text = "Target is not registered to the target group".to_owned();
    description(group, id.to_owned(), port, "unused", Some("Target.NotRegistered"), text)
}

fn description(
    group: &TargetGroup,
    id: String,
    port: u16,
    state: &str,
    reason: Option<&str>,
    text: String,
) -> TargetHealthDescription {
    TargetHealthDescription {
        health_check_port: Some(group.health_check.port.unwrap_or(port).to_string()),
        target: Some(TargetDescription { id, port: Some(i32::from(port)), ..TargetDescription::default() }),
        target_health: Some(elbv2::TargetHealth {
            state: Some(TargetHealthStateEnum::from(state)),
            reason: reason.map(TargetHealthReasonEnum::from),
            description: Some(text).filter(|text| !text.is_empty()),
        }),
        ..TargetHealthDescription::default()
    }
}
