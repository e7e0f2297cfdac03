//! DescribeSubnets: the built-in VPC's subnets, with the addresses that are left in each.

use model::network::{Vpc, zone_id};
use wire::ec2::{
    self, DescribeSubnetsRequest, DescribeSubnetsResult, Error, HostnameType, PrivateDnsNameOptionsOnLaunch,
    SubnetState,
};

use super::select::{Noun, Selection, flag, one, select};
use super::tag;
use crate::Cx;

const NOUN: Noun<ec2::Subnet> = Noun {
    label: "subnet ID",
    not_found: "InvalidSubnetID.NotFound",
    id: |subnet| subnet.subnet_id.as_deref().unwrap_or_default(),
    tags: |subnet| subnet.tags.as_ref(),
    filters: &[
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "customer-owned-ipv4-pool",
        "default-for-az",
        "defaultForAz",
        "enable-dns64",
        "enable-lni-at-device-index",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "map-public-ip-on-launch",
        "outpost-arn",
        "owner-id",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
        "private-dns-name-options-on-launch.hostname-type",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
    ],
    values,
};

/// The subnets of the caller's account and region.
pub(super) fn describe_subnets(cx: &Cx<'_>, request: &DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.subnet_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let vpc = Vpc::default_of(cx.scope());
    let shown = vpc.subnets.iter().enumerate().map(|(index, subnet)| show(cx, index, subnet)).collect();
    let (subnets, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeSubnetsResult { subnets: Some(subnets), next_token })
}

fn show(cx: &Cx<'_>, index: usize, subnet: &model::Subnet) -> ec2::Subnet {
    let scope = cx.scope();
    let taken = cx.txn.interfaces_in_subnet(&subnet.id).count();
    let usable = subnet.size() - model::Subnet::RESERVED_ADDRESSES;
    let free = i32::try_from(usable).unwrap_or(i32::MAX).saturating_sub_unsigned(taken.try_into().unwrap_or(usable));
    ec2::Subnet {
        subnet_id: Some(subnet.id.clone()),
        subnet_arn: Some(format!("arn:aws:ec2:{}:{}:subnet/{}", scope.region, scope.account, subnet.id)),
        vpc_id: Some(subnet.vpc_id.clone()),
        availability_zone: Some(subnet.zone.clone()),
        availability_zone_id: Some(zone_id(&scope.region, index)),
        available_ip_address_count: Some(free),
        cidr_block: Some(format!("{}/{}", subnet.network, subnet.prefix_length)),
        default_for_az: Some(true),
        assign_ipv6_address_on_creation: Some(false),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        map_customer_owned_ip_on_launch: Some(false),
        // Tasks have no public addresses here.
        map_public_ip_on_launch: Some(false),
        owner_id: Some(scope.account.to_string()),
        private_dns_name_options_on_launch: Some(PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some(HostnameType::IpName),
        }),
        state: Some(SubnetState::Available),
        tags: Some(tag::of(cx.txn, scope, &subnet.id)).filter(|tags| !tags.is_empty()),
        ..ec2::Subnet::default()
    }
}

fn values(subnet: &ec2::Subnet, filter: &str) -> Vec<String> {
    match filter {
        "availability-zone" | "availabilityZone" => one(subnet.availability_zone.as_deref()),
        "availability-zone-id" | "availabilityZoneId" => one(subnet.availability_zone_id.as_deref()),
        "available-ip-address-count" => subnet.available_ip_address_count.iter().map(i32::to_string).collect(),
        "cidr" | "cidr-block" | "cidrBlock" => one(subnet.cidr_block.as_deref()),
        "default-for-az" | "defaultForAz" => flag(subnet.default_for_az),
        "enable-dns64" | "ipv6-native" | "map-customer-owned-ip-on-launch" | "map-public-ip-on-launch" => {
            flag(Some(false))
        }
        "owner-id" => one(subnet.owner_id.as_deref()),
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record"
        | "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => flag(Some(false)),
        "private-dns-name-options-on-launch.hostname-type" => one(Some("ip-name")),
        "state" => one(subnet.state.as_ref().map(SubnetState::as_str)),
        "subnet-arn" => one(subnet.subnet_arn.as_deref()),
        "subnet-id" => one(subnet.subnet_id.as_deref()),
        "vpc-id" => one(subnet.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
