//! What a load balancer is attached to: its subnets, with an address in each, and its security groups.

use std::sync::Arc;

use model::NetworkInterface;
use model::load_balancer::{LoadBalancer, LoadBalancerKind, LoadBalancerSubnet};
use model::network::{Subnet, Vpc};
use wire::elbv2::{
    Error, IpAddressType, SetIpAddressTypeInput, SetIpAddressTypeOutput, SetSecurityGroupsInput,
    SetSecurityGroupsOutput, SetSubnetsInput, SetSubnetsOutput,
};

use super::load_balancer::{security_groups, subnets, zones};
use super::{identifier, invalid, unbuilt};
use crate::Cx;
use crate::ecs::task::network::{free_addresses, new_interface};

/// Gives the load balancer an address in the subnet.
///
/// # Errors
/// `InvalidSubnet` when it has none left.
pub fn attach(cx: &mut Cx<'_>, row: &mut LoadBalancer, subnet: &Subnet) -> Result<(), Error> {
    let address = free_addresses(cx.txn, cx.random, subnet, 1).pop();
    let address = address.ok_or_else(|| Error::invalid_subnet("Not enough IP space available"))?;
    let interface = NetworkInterface {
        load_balancer: Some(row.arn().to_string()),
        security_groups: row.security_groups.clone(),
        ..new_interface(cx, subnet, address)
    };
    cx.txn.put(interface);
    row.subnets.push(LoadBalancerSubnet { id: subnet.id.clone(), zone: subnet.zone.clone(), address });
    Ok(())
}

/// The interfaces that hold its addresses.
pub fn interfaces(cx: &Cx<'_>, row: &LoadBalancer) -> Vec<Arc<NetworkInterface>> {
    let arn = row.arn().to_string();
    let held = |interface: &&Arc<NetworkInterface>| interface.load_balancer.as_ref() == Some(&arn);
    cx.txn.interfaces_in_scope(cx.scope()).filter(held).cloned().collect()
}

/// SetSubnets: it keeps its address in those that stay.
pub fn set_subnets(cx: &mut Cx<'_>, request: SetSubnetsInput) -> Result<SetSubnetsOutput, Error> {
    refuse_ipv6(request.ip_address_type.as_ref())?;
    if request.enable_prefix_for_ipv6_source_nat.is_some() {
        return Err(unbuilt("IPv6 addresses of load balancers are"));
    }
    let mut row = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?.as_ref().clone();
    let wanted = subnets(cx, row.kind, request.subnets, request.subnet_mappings)?;
    let stays = |id: &str| wanted.iter().any(|subnet| subnet.id == id);
    for interface in interfaces(cx, &row).iter().filter(|interface| !stays(&interface.subnet_id)) {
        cx.txn.remove::<NetworkInterface>(&interface.id);
    }
    row.subnets.retain(|subnet| stays(&subnet.id));
    for subnet in &wanted {
        if row.subnets.iter().all(|present| present.id != subnet.id) {
            attach(cx, &mut row, subnet)?;
        }
    }
    cx.txn.put(row.clone());
    Ok(SetSubnetsOutput {
        availability_zones: Some(zones(&row)),
        ip_address_type: Some(IpAddressType::Ipv4),
        ..SetSubnetsOutput::default()
    })
}

pub fn set_security_groups(cx: &mut Cx<'_>, request: SetSecurityGroupsInput) -> Result<SetSecurityGroupsOutput, Error> {
    if request.enforce_security_group_inbound_rules_on_private_link_traffic.is_some() {
        return Err(unbuilt("Private links to load balancers are"));
    }
    let mut row = identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?.as_ref().clone();
    if row.kind == LoadBalancerKind::Network && row.security_groups.is_empty() {
        let text = "You cannot set security groups of a load balancer that was created without any";
        return Err(Error::invalid_configuration_request(text));
    }
    if request.security_groups.is_empty() {
        return Err(invalid("At least one security group must be specified"));
    }
    row.security_groups = security_groups(cx, &Vpc::default_of(cx.scope()), request.security_groups)?;
    for interface in interfaces(cx, &row) {
        cx.txn.put(NetworkInterface {
            security_groups: row.security_groups.clone(),
            ..NetworkInterface::clone(&interface)
        });
    }
    let shown = row.security_groups.clone();
    cx.txn.put(row);
    Ok(SetSecurityGroupsOutput { security_group_ids: Some(shown), ..SetSecurityGroupsOutput::default() })
}

/// SetIpAddressType: IPv4 is what there is.
pub fn set_ip_address_type(cx: &mut Cx<'_>, request: SetIpAddressTypeInput) -> Result<SetIpAddressTypeOutput, Error> {
    identifier::load_balancer(cx.txn, cx.scope(), &request.load_balancer_arn)?;
    refuse_ipv6(Some(&request.ip_address_type))?;
    Ok(SetIpAddressTypeOutput { ip_address_type: Some(IpAddressType::Ipv4) })
}

/// # Errors
/// `UnsupportedFeature`
pub fn refuse_ipv6(given: Option<&IpAddressType>) -> Result<(), Error> {
    match given {
        None | Some(IpAddressType::Ipv4) => Ok(()),
        Some(_) => Err(unbuilt("IPv6 addresses of load balancers are")),
    }
}
