//! Subnets: Create, Delete, Modify, Describe, with the addresses that are left in each.

use std::sync::Arc;

use ipnet::Ipv4Net;
use model::network::{ZONE_LETTERS, zone_id};
use model::{Scope, Subnet, Vpc};
use store::Tables;
use wire::ec2::{
    self, CreateSubnetRequest, CreateSubnetResult, DeleteSubnetRequest, DescribeSubnetsRequest, DescribeSubnetsResult,
    Error, HostnameType, ModifySubnetAttributeRequest, PrivateDnsNameOptionsOnLaunch, ResourceType, SubnetState,
};

use super::select::{Noun, Selection, flag, one, refuse_dry_run, select};
use super::vpc::{self, PREFIX_LENGTHS, changeable};
use super::{convert, in_use, refuse, resource, tag, unbuilt};
use crate::Cx;

/// Of one VPC, as AWS has it.
const SUBNETS_MAX: usize = 200;

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

/// The subnet of this id, with its VPC.
pub(crate) fn find(tables: &Tables, scope: &Scope, id: &str) -> Option<(Arc<Vpc>, Subnet)> {
    let of_vpc = |vpc: Arc<Vpc>| {
        let subnet = vpc.subnet(id)?.clone();
        Some((vpc, subnet))
    };
    vpc::all(tables, scope).into_iter().find_map(of_vpc)
}

/// # Errors
/// `InvalidSubnetID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<(Arc<Vpc>, Subnet), Error> {
    let unknown = || refuse(NOUN.not_found, format!("The subnet ID '{id}' does not exist"));
    find(cx.txn, cx.scope(), id).ok_or_else(unknown)
}

/// `use1-az1` for `us-east-1a`.
pub(super) fn zone_id_of(region: &str, zone: &str) -> Option<String> {
    let letter = zone.strip_prefix(region)?;
    let index = ZONE_LETTERS.iter().position(|known| letter == known.to_string())?;
    Some(zone_id(region, index))
}

/// A part of the VPC that no other subnet has.
pub(super) fn create_subnet(cx: &mut Cx<'_>, request: CreateSubnetRequest) -> Result<CreateSubnetResult, Error> {
    refuse_unbuilt(&request)?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::Subnet)?;
    let text = request.cidr_block.filter(|text| !text.is_empty());
    let text =
        text.ok_or_else(|| refuse("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."))?;
    let range = convert::cidr_block(&text)?;
    let mut vpc = changeable(&vpc::locate(cx, &request.vpc_id)?)?;
    let zone = zone(&cx.scope().region, request.availability_zone, request.availability_zone_id)?;
    if !PREFIX_LENGTHS.contains(&range.prefix_len()) || !vpc.range.contains(&range) {
        return Err(refuse("InvalidSubnet.Range", format!("The CIDR '{text}' is invalid.")));
    }
    let overlaps = |other: Ipv4Net| other.contains(&range) || range.contains(&other);
    if vpc.subnets.iter().any(|subnet| overlaps(subnet.range())) {
        return Err(refuse("InvalidSubnet.Conflict", format!("The CIDR '{text}' conflicts with another subnet")));
    }
    if vpc.subnets.len() >= SUBNETS_MAX {
        return Err(refuse("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
    }
    refuse_dry_run(request.dry_run)?;
    let subnet = Subnet {
        scope: cx.scope().clone(),
        id: resource::new_id(cx, "subnet"),
        vpc_id: vpc.id.clone(),
        zone,
        network: range.network(),
        prefix_length: range.prefix_len(),
        map_public_ip_on_launch: false,
        route_table: None,
    };
    tag::set(cx, &subnet.id, tags);
    let shown = show(cx.txn, &vpc, &subnet);
    vpc.subnets.push(subnet);
    cx.txn.put(vpc);
    Ok(CreateSubnetResult { subnet: Some(shown) })
}

fn refuse_unbuilt(request: &CreateSubnetRequest) -> Result<(), Error> {
    let asks_ipv6 = request.ipv6_cidr_block.is_some()
        || request.ipv6_ipam_pool_id.is_some()
        || request.ipv6_native == Some(true)
        || request.ipv6_netmask_length.is_some();
    if asks_ipv6 {
        return Err(unbuilt("IPv6 ranges of subnets are"));
    }
    if request.ipv4_ipam_pool_id.is_some() || request.ipv4_netmask_length.is_some() {
        return Err(unbuilt("IPAM pools are"));
    }
    if request.outpost_arn.is_some() {
        return Err(unbuilt("Outposts are"));
    }
    Ok(())
}

/// The one that is named, by name or id; else the first.
fn zone(region: &str, name: Option<String>, id: Option<String>) -> Result<String, Error> {
    let names = ZONE_LETTERS.map(|letter| format!("{region}{letter}"));
    let invalid = |given: &str, parameter: &str| {
        let text = format!(
            "Value ({given}) for parameter {parameter} is invalid. Subnets can currently only be created in the \
             following availability zones: {}.",
            names.join(", ")
        );
        refuse("InvalidParameterValue", text)
    };
    match (name.filter(|name| !name.is_empty()), id.filter(|id| !id.is_empty())) {
        (Some(_), Some(_)) => {
            let text = "Only one of availabilityZone and availabilityZoneId can be specified";
            Err(refuse("InvalidParameterCombination", text))
        }
        (Some(name), None) if names.contains(&name) => Ok(name),
        (Some(name), None) => Err(invalid(&name, "availabilityZone")),
        (None, Some(id)) => {
            let place = (0..names.len()).find(|index| zone_id(region, *index) == id);
            place.map(|place| names[place].clone()).ok_or_else(|| invalid(&id, "availabilityZoneId"))
        }
        (None, None) => Ok(names[0].clone()),
    }
}

/// Refused as long as anything has an address in it.
pub(super) fn delete_subnet(cx: &mut Cx<'_>, request: &DeleteSubnetRequest) -> Result<(), Error> {
    let (vpc, subnet) = locate(cx, &request.subnet_id)?;
    let mut vpc = changeable(&vpc)?;
    if cx.txn.interfaces_in_subnet(&subnet.id).next().is_some() {
        return Err(in_use("subnet", &subnet.id));
    }
    refuse_dry_run(request.dry_run)?;
    vpc.subnets.retain(|other| other.id != subnet.id);
    tag::remove(cx, &subnet.id);
    cx.txn.put(vpc);
    Ok(())
}

/// ModifySubnetAttribute: `MapPublicIpOnLaunch` is what there is to change.
pub(super) fn modify_subnet_attribute(cx: &mut Cx<'_>, request: ModifySubnetAttributeRequest) -> Result<(), Error> {
    let (vpc, subnet) = locate(cx, &request.subnet_id)?;
    let asks =
        |given: &Option<ec2::AttributeBooleanValue>| given.as_ref().is_some_and(|given| given.value == Some(true));
    let others = [
        &request.assign_ipv6_address_on_creation,
        &request.disable_lni_at_device_index,
        &request.enable_dns64,
        &request.enable_resource_name_dns_aaaa_record_on_launch,
        &request.enable_resource_name_dns_a_record_on_launch,
        &request.map_customer_owned_ip_on_launch,
    ];
    let resource_names = |kind: &HostnameType| *kind != HostnameType::IpName;
    if others.into_iter().any(asks)
        || request.customer_owned_ipv4_pool.is_some()
        || request.enable_lni_at_device_index.is_some()
        || request.private_dns_hostname_type_on_launch.as_ref().is_some_and(resource_names)
    {
        return Err(unbuilt("Attributes of subnets other than MapPublicIpOnLaunch are"));
    }
    let given = request.map_public_ip_on_launch.and_then(|given| given.value);
    let Some(value) = given.filter(|value| *value != subnet.map_public_ip_on_launch) else { return Ok(()) };
    let mut vpc = changeable(&vpc)?;
    let is_it = |other: &&mut Subnet| other.id == subnet.id;
    vpc.subnets.iter_mut().filter(is_it).for_each(|subnet| subnet.map_public_ip_on_launch = value);
    cx.txn.put(vpc);
    Ok(())
}

/// The subnets of the caller's account and region.
pub(super) fn describe_subnets(cx: &Cx<'_>, request: &DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.subnet_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let of_vpc =
        |vpc: &Arc<Vpc>| -> Vec<ec2::Subnet> { vpc.subnets.iter().map(|subnet| show(cx.txn, vpc, subnet)).collect() };
    let shown = vpc::all(cx.txn, cx.scope()).iter().flat_map(of_vpc).collect();
    let (subnets, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeSubnetsResult { subnets: Some(subnets), next_token })
}

fn show(tables: &Tables, vpc: &Vpc, subnet: &Subnet) -> ec2::Subnet {
    let scope = &vpc.scope;
    let taken = tables.interfaces_in_subnet(&subnet.id).count();
    let usable = subnet.size() - Subnet::RESERVED_ADDRESSES;
    let free = i32::try_from(usable).unwrap_or(i32::MAX).saturating_sub_unsigned(taken.try_into().unwrap_or(usable));
    ec2::Subnet {
        subnet_id: Some(subnet.id.clone()),
        subnet_arn: Some(format!("arn:aws:ec2:{}:{}:subnet/{}", scope.region, scope.account, subnet.id)),
        vpc_id: Some(subnet.vpc_id.clone()),
        availability_zone: Some(subnet.zone.clone()),
        availability_zone_id: zone_id_of(&scope.region, &subnet.zone),
        available_ip_address_count: Some(free),
        cidr_block: Some(subnet.range().to_string()),
        default_for_az: Some(vpc.is_default),
        assign_ipv6_address_on_creation: Some(false),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(subnet.map_public_ip_on_launch),
        owner_id: Some(scope.account.to_string()),
        private_dns_name_options_on_launch: Some(PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some(HostnameType::IpName),
        }),
        state: Some(SubnetState::Available),
        tags: Some(tag::of(tables, scope, &subnet.id)).filter(|tags| !tags.is_empty()),
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
        "enable-dns64" | "ipv6-native" | "map-customer-owned-ip-on-launch" => flag(Some(false)),
        "map-public-ip-on-launch" => flag(subnet.map_public_ip_on_launch),
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
