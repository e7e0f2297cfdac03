//! VPCs: Create, Delete, Describe, and their attributes. The built-in one has no row, and stays as it is.

use std::sync::Arc;

use ipnet::Ipv4Net;
use model::network::dhcp_options_id;
use model::route_table::{RouteTable, RouteTableAssociation};
use model::security_group::SecurityGroup;
use model::{Scope, Vpc};
use store::Tables;
use wire::ec2::{
    self, AttributeBooleanValue, CreateVpcRequest, CreateVpcResult, DeleteVpcRequest, DescribeVpcAttributeRequest,
    DescribeVpcAttributeResult, DescribeVpcsRequest, DescribeVpcsResult, Error, ModifyVpcAttributeRequest,
    ResourceType, Tenancy, VpcAttributeName, VpcCidrBlockAssociation, VpcCidrBlockState, VpcCidrBlockStateCode,
    VpcState,
};

use super::select::{Noun, Selection, flag, one, refuse_dry_run, select};
use super::{convert, in_use, refuse, resource, security_group, tag, unbuilt};
use crate::Cx;

/// Of the caller's own in an account and region. Each is a network namespace on each node.
const VPCS_MAX: usize = 100;
/// Of the ranges of VPCs and subnets.
pub(super) const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 16..=28;
/// What no network may hold: this machine's loopback and link-local addresses, and what is no host's address.
const RESERVED: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

const NOUN: Noun<ec2::Vpc> = Noun {
    label: "vpc ID",
    not_found: "InvalidVpcID.NotFound",
    id: |vpc| vpc.vpc_id.as_deref().unwrap_or_default(),
    tags: |vpc| vpc.tags.as_ref(),
    filters: &[
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
        "vpc-id",
    ],
    values,
};

/// The VPC of this id, of the caller's own or built in.
pub(crate) fn find(tables: &Tables, scope: &Scope, id: &str) -> Option<Arc<Vpc>> {
    if let Some(row) = tables.vpcs.get(&(scope.clone(), id.to_owned())) {
        return Some(row.clone());
    }
    let built_in = Vpc::default_of(scope);
    (built_in.id == id).then(|| Arc::new(built_in))
}

/// All of them, the built-in one first.
pub(crate) fn all(tables: &Tables, scope: &Scope) -> Vec<Arc<Vpc>> {
    let built_in = Arc::new(Vpc::default_of(scope));
    [built_in].into_iter().chain(tables.vpcs_in_scope(scope).cloned()).collect()
}

/// # Errors
/// `InvalidVpcID.NotFound`
pub(super) fn locate(cx: &Cx<'_>, id: &str) -> Result<Arc<Vpc>, Error> {
    let unknown = || refuse(NOUN.not_found, format!("The vpc ID '{id}' does not exist"));
    find(cx.txn, cx.scope(), id).ok_or_else(unknown)
}

/// A VPC that is to be changed.
///
/// # Errors
/// `UnsupportedOperation` for the built-in one.
pub(super) fn changeable(vpc: &Arc<Vpc>) -> Result<Vpc, Error> {
    if vpc.is_default {
        return Err(unbuilt("Changes to the built-in VPC and to what lies in it are"));
    }
    Ok(Vpc::clone(vpc))
}

/// A VPC with its default security group, its main route table and its default network ACL.
pub(super) fn create_vpc(cx: &mut Cx<'_>, request: CreateVpcRequest) -> Result<CreateVpcResult, Error> {
    refuse_unbuilt(&request)?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::Vpc)?;
    let text = request.cidr_block.filter(|text| !text.is_empty());
    let text =
        text.ok_or_else(|| refuse("MissingParameter", "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."))?;
    let range = convert::cidr_block(&text)?;
    if !PREFIX_LENGTHS.contains(&range.prefix_len()) || is_reserved(range) {
        return Err(refuse("InvalidVpc.Range", format!("The CIDR '{text}' is invalid.")));
    }
    if cx.txn.vpcs_in_scope(cx.scope()).count() >= VPCS_MAX {
        return Err(refuse("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
    }
    refuse_dry_run(request.dry_run)?;
    let row = new_vpc(cx, range);
    tag::set(cx, &row.id, tags);
    cx.txn.put(SecurityGroup::named_default(&row.scope, &row.security_group_id, &row.id));
    // AWS answers so; it is there at once.
    let shown = ec2::Vpc { state: Some(VpcState::Pending), ..show(cx.txn, &row) };
    cx.txn.put(row);
    Ok(CreateVpcResult { vpc: Some(shown) })
}

fn refuse_unbuilt(request: &CreateVpcRequest) -> Result<(), Error> {
    let asks_ipv6 = request.amazon_provided_ipv6_cidr_block == Some(true)
        || request.ipv6_cidr_block.is_some()
        || request.ipv6_cidr_block_network_border_group.is_some()
        || request.ipv6_ipam_pool_id.is_some()
        || request.ipv6_netmask_length.is_some()
        || request.ipv6_pool.is_some();
    if asks_ipv6 {
        return Err(unbuilt("IPv6 ranges of VPCs are"));
    }
    if request.ipv4_ipam_pool_id.is_some() || request.ipv4_netmask_length.is_some() {
        return Err(unbuilt("IPAM pools are"));
    }
    if request.vpc_encryption_control.is_some() {
        return Err(unbuilt("Encryption controls of VPCs are"));
    }
    match &request.instance_tenancy {
        None | Some(Tenancy::Default) => Ok(()),
        Some(_) => Err(unbuilt("Tenancies other than 'default' are")),
    }
}

fn is_reserved(range: Ipv4Net) -> bool {
    let reserved = RESERVED.map(|text| text.parse::<Ipv4Net>().expect("a network"));
    reserved.iter().any(|net| net.contains(&range) || range.contains(net))
}

fn new_vpc(cx: &mut Cx<'_>, range: Ipv4Net) -> Vpc {
    let table = RouteTable { id: resource::new_id(cx, "rtb"), routes: Vec::new() };
    Vpc {
        id: resource::new_id(cx, "vpc"),
        range,
        is_default: false,
        dhcp_options_id: dhcp_options_id(cx.scope()),
        cidr_association_id: resource::new_id(cx, "vpc-cidr-assoc"),
        network_acl_id: resource::new_id(cx, "acl"),
        security_group_id: resource::new_id(cx, "sg"),
        dns_hostnames: false,
        subnets: Vec::new(),
        main_route_table: RouteTableAssociation {
            id: resource::new_id(cx, "rtbassoc"),
            route_table_id: table.id.clone(),
        },
        route_tables: vec![table],
        built_in_internet_gateway: None,
        scope: cx.scope().clone(),
    }
}

/// Refused as long as anything lies in it but what came with it.
pub(super) fn delete_vpc(cx: &mut Cx<'_>, request: &DeleteVpcRequest) -> Result<(), Error> {
    let vpc = changeable(&locate(cx, &request.vpc_id)?)?;
    let has_gateway = cx.txn.internet_gateways_in_scope(cx.scope()).any(|row| row.vpc_id.as_ref() == Some(&vpc.id));
    let groups = security_group::all(cx.txn, cx.scope()).into_iter().filter(|group| group.vpc_id == vpc.id);
    let has_group = groups.clone().any(|group| !group.is_default());
    if !vpc.subnets.is_empty() || vpc.route_tables.len() > 1 || has_gateway || has_group {
        return Err(in_use("vpc", &vpc.id));
    }
    refuse_dry_run(request.dry_run)?;
    for group in groups {
        security_group::remove(cx, &group);
    }
    for id in [&vpc.id, &vpc.network_acl_id, &vpc.main_route_table.route_table_id] {
        tag::remove(cx, id);
    }
    cx.txn.remove::<Vpc>(&(vpc.scope, vpc.id));
    Ok(())
}

/// The VPCs of the caller's account and region.
pub(super) fn describe_vpcs(cx: &Cx<'_>, request: &DescribeVpcsRequest) -> Result<DescribeVpcsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.vpc_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = all(cx.txn, cx.scope()).iter().map(|vpc| show(cx.txn, vpc)).collect();
    let (vpcs, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeVpcsResult { vpcs: Some(vpcs), next_token })
}

/// DescribeVpcAttribute: every VPC has a name server.
pub(super) fn describe_vpc_attribute(
    cx: &Cx<'_>,
    request: &DescribeVpcAttributeRequest,
) -> Result<DescribeVpcAttributeResult, Error> {
    let vpc = locate(cx, &request.vpc_id)?;
    refuse_dry_run(request.dry_run)?;
    let mut answer =
        DescribeVpcAttributeResult { vpc_id: Some(vpc.id.clone()), ..DescribeVpcAttributeResult::default() };
    let value = |value| Some(AttributeBooleanValue { value: Some(value) });
    match &request.attribute {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support = value(true),
        VpcAttributeName::EnableDnsHostnames => answer.enable_dns_hostnames = value(vpc.dns_hostnames),
        VpcAttributeName::EnableNetworkAddressUsageMetrics => {
            answer.enable_network_address_usage_metrics = value(false);
        }
        VpcAttributeName::Unknown(name) => {
            let text = format!("Value ({name}) for parameter attribute is invalid. Unknown attribute.");
            return Err(refuse("InvalidParameterValue", text));
        }
    }
    Ok(answer)
}

/// ModifyVpcAttribute: one attribute in a call. Names of public addresses are the only thing that hangs on
/// `enableDnsHostnames`, and nothing has those.
pub(super) fn modify_vpc_attribute(cx: &mut Cx<'_>, request: ModifyVpcAttributeRequest) -> Result<(), Error> {
    let vpc = locate(cx, &request.vpc_id)?;
    let given = |value: Option<AttributeBooleanValue>| value.and_then(|value| value.value);
    let hostnames = given(request.enable_dns_hostnames);
    let support = given(request.enable_dns_support);
    let metrics = given(request.enable_network_address_usage_metrics);
    match [hostnames, support, metrics].into_iter().flatten().count() {
        1 => {}
        0 => {
            let text = "The request must contain exactly one of enableDnsSupport, enableDnsHostnames, \
                        enableNetworkAddressUsageMetrics";
            return Err(refuse("MissingParameter", text));
        }
        _ => {
            let text = "Fields for multiple attribute types specified: enableDnsHostnames, enableDnsSupport, \
                        enableNetworkAddressUsageMetrics";
            return Err(refuse("InvalidParameterCombination", text));
        }
    }
    if support == Some(false) {
        return Err(unbuilt("VPCs without a name server are"));
    }
    if metrics == Some(true) {
        return Err(unbuilt("Metrics of VPCs are"));
    }
    if let Some(hostnames) = hostnames.filter(|hostnames| *hostnames != vpc.dns_hostnames) {
        cx.txn.put(Vpc { dns_hostnames: hostnames, ..changeable(&vpc)? });
    }
    Ok(())
}

fn show(tables: &Tables, vpc: &Vpc) -> ec2::Vpc {
    ec2::Vpc {
        vpc_id: Some(vpc.id.clone()),
        cidr_block: Some(vpc.range.to_string()),
        cidr_block_association_set: Some(vec![VpcCidrBlockAssociation {
            association_id: Some(vpc.cidr_association_id.clone()),
            cidr_block: Some(vpc.range.to_string()),
            cidr_block_state: Some(VpcCidrBlockState {
                state: Some(VpcCidrBlockStateCode::Associated),
                ..VpcCidrBlockState::default()
            }),
        }]),
        dhcp_options_id: Some(vpc.dhcp_options_id.clone()),
        instance_tenancy: Some(Tenancy::Default),
        is_default: Some(vpc.is_default),
        owner_id: Some(vpc.scope.account.to_string()),
        state: Some(VpcState::Available),
        tags: Some(tag::of(tables, &vpc.scope, &vpc.id)).filter(|tags| !tags.is_empty()),
        ..ec2::Vpc::default()
    }
}

fn values(vpc: &ec2::Vpc, filter: &str) -> Vec<String> {
    let association = vpc.cidr_block_association_set.as_deref().unwrap_or_default().first();
    match filter {
        "cidr" | "cidr-block-association.cidr-block" => one(vpc.cidr_block.as_deref()),
        "cidr-block-association.association-id" => {
            one(association.and_then(|association| association.association_id.as_deref()))
        }
        "cidr-block-association.state" => one(Some("associated")),
        "dhcp-options-id" => one(vpc.dhcp_options_id.as_deref()),
        "is-default" | "isDefault" => flag(vpc.is_default),
        "owner-id" => one(vpc.owner_id.as_deref()),
        "state" => one(vpc.state.as_ref().map(VpcState::as_str)),
        "vpc-id" => one(vpc.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
