//! DescribeNetworkInterfaces: the interfaces that tasks, load balancers and NAT gateways have now.

use model::Scope;
use model::network::private_dns_name;
use store::Tables;
use wire::ec2::{
    self, AttachmentStatus, DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, Error, GroupIdentifier,
    NetworkInterfaceAttachment, NetworkInterfacePrivateIpAddress, NetworkInterfaceStatus, NetworkInterfaceType,
};
use wire::value::Timestamp;

use super::select::{Noun, Selection, flag, one, select};
use super::subnet::zone_id_of;
use super::{refuse, security_group, tag};
use crate::Cx;

const NOUN: Noun<ec2::NetworkInterface> = Noun {
    label: "networkInterface ID",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    id: |interface| interface.network_interface_id.as_deref().unwrap_or_default(),
    tags: |interface| interface.tag_set.as_ref(),
    filters: &[
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attach-time",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "availability-zone-id",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "ipv6-addresses.ipv6-address",
        "mac-address",
        "network-interface-id",
        "operator.managed",
        "operator.principal",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ],
    values,
};

/// The interfaces of the caller's account and region.
pub(super) fn describe_network_interfaces(
    cx: &Cx<'_>,
    request: &DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, Error> {
    let ids = request.network_interface_ids.as_deref().unwrap_or_default();
    if let Some(malformed) = ids.iter().find(|id| !id.starts_with("eni-")) {
        let text = format!("Invalid id: \"{malformed}\" (expecting \"eni-...\")");
        return Err(refuse("InvalidNetworkInterfaceId.Malformed", text));
    }
    if !ids.is_empty() && request.max_results.is_some() {
        let text = "The parameter networkInterfaceIdSet cannot be used with the parameter maxResults";
        return Err(refuse("InvalidParameterCombination", text));
    }
    let selection = Selection {
        dry_run: request.dry_run,
        ids: Some(ids),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = cx.txn.interfaces_in_scope(cx.scope()).map(|interface| show(cx.txn, interface)).collect();
    let (interfaces, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeNetworkInterfacesResult { network_interfaces: Some(interfaces), next_token })
}

fn show(tables: &Tables, interface: &model::NetworkInterface) -> ec2::NetworkInterface {
    let (account, region) = (interface.scope.account.to_string(), &*interface.scope.region);
    let address = Some(interface.address.to_string());
    let dns_name = Some(private_dns_name(interface.address, region));
    ec2::NetworkInterface {
        attachment: Some(NetworkInterfaceAttachment {
            attach_time: Some(Timestamp(interface.created_at.as_millis())),
            attachment_id: Some(interface.id.replacen("eni-", "eni-attach-", 1)),
            delete_on_termination: Some(true),
            device_index: Some(1),
            instance_owner_id: Some(account.clone()),
            status: Some(AttachmentStatus::Attached),
            ..NetworkInterfaceAttachment::default()
        }),
        availability_zone: Some(interface.zone.clone()),
        availability_zone_id: zone_id_of(region, &interface.zone),
        description: Some(description(interface)),
        groups: Some(
            interface.security_groups.iter().map(|group| show_group(tables, &interface.scope, group)).collect(),
        ),
        interface_type: Some(kind(interface)),
        ipv6_addresses: Some(Vec::new()),
        mac_address: Some(interface.mac.clone()),
        network_interface_id: Some(interface.id.clone()),
        owner_id: Some(account.clone()),
        private_dns_name: dns_name.clone(),
        private_ip_address: address.clone(),
        private_ip_addresses: Some(vec![NetworkInterfacePrivateIpAddress {
            primary: Some(true),
            private_dns_name: dns_name,
            private_ip_address: address,
            ..NetworkInterfacePrivateIpAddress::default()
        }]),
        requester_id: Some(account),
        requester_managed: Some(true),
        source_dest_check: Some(true),
        status: Some(NetworkInterfaceStatus::InUse),
        subnet_id: Some(interface.subnet_id.clone()),
        tag_set: Some(tag::of(tables, &interface.scope, &interface.id)),
        vpc_id: Some(interface.vpc_id.clone()),
        ..ec2::NetworkInterface::default()
    }
}

fn kind(interface: &model::NetworkInterface) -> NetworkInterfaceType {
    if interface.nat_gateway.is_some() { NetworkInterfaceType::NatGateway } else { NetworkInterfaceType::Interface }
}

/// As AWS describes what it made: for a task its attachment, for a load balancer `ELB app/<name>/<id>`.
fn description(interface: &model::NetworkInterface) -> String {
    let Scope { account, region } = &interface.scope;
    if let Some(gateway) = &interface.nat_gateway {
        return format!("Interface for NAT Gateway {gateway}");
    }
    match interface.load_balancer.as_deref().and_then(|arn| arn.split_once(":loadbalancer/")) {
        Some((_, name)) => format!("ELB {name}"),
        None => format!("arn:aws:ecs:{region}:{account}:attachment/{}", interface.attachment_id),
    }
}

fn show_group(tables: &Tables, scope: &Scope, id: &str) -> GroupIdentifier {
    let name = security_group::find(tables, scope, id).map(|group| group.name.clone());
    GroupIdentifier { group_id: Some(id.to_owned()), group_name: name }
}

fn values(interface: &ec2::NetworkInterface, filter: &str) -> Vec<String> {
    let attachment = interface.attachment.as_ref();
    let groups = || interface.groups.as_deref().unwrap_or_default().iter();
    match filter {
        "addresses.primary" | "attachment.delete-on-termination" => flag(Some(true)),
        "addresses.private-ip-address" | "private-ip-address" => one(interface.private_ip_address.as_deref()),
        "attachment.attachment-id" => one(attachment.and_then(|attachment| attachment.attachment_id.as_deref())),
        "attachment.device-index" => one(Some("1")),
        "attachment.instance-owner-id" | "owner-id" => one(interface.owner_id.as_deref()),
        "attachment.status" => one(Some("attached")),
        "availability-zone" => one(interface.availability_zone.as_deref()),
        "availability-zone-id" => one(interface.availability_zone_id.as_deref()),
        "description" => one(interface.description.as_deref()),
        "group-id" => groups().filter_map(|group| group.group_id.clone()).collect(),
        "group-name" => groups().filter_map(|group| group.group_name.clone()).collect(),
        "interface-type" => one(interface.interface_type.as_ref().map(NetworkInterfaceType::as_str)),
        "mac-address" => one(interface.mac_address.as_deref()),
        "network-interface-id" => one(interface.network_interface_id.as_deref()),
        "operator.managed" => flag(Some(false)),
        "private-dns-name" => one(interface.private_dns_name.as_deref()),
        "requester-id" => one(interface.requester_id.as_deref()),
        "requester-managed" => flag(interface.requester_managed),
        "source-dest-check" => flag(interface.source_dest_check),
        "status" => one(interface.status.as_ref().map(NetworkInterfaceStatus::as_str)),
        "subnet-id" => one(interface.subnet_id.as_deref()),
        "vpc-id" => one(interface.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
