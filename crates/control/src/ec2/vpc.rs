//! DescribeVpcs: the built-in VPC.

use store::Tables;
use wire::ec2::{
    self, AttributeBooleanValue, DescribeVpcAttributeRequest, DescribeVpcAttributeResult, DescribeVpcsRequest,
    DescribeVpcsResult, Error, Tenancy, VpcAttributeName, VpcCidrBlockAssociation, VpcCidrBlockState,
    VpcCidrBlockStateCode, VpcState,
};

use super::select::{Noun, Selection, flag, one, refuse_dry_run, select};
use super::{refuse, tag};
use crate::Cx;

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

/// The VPCs of the caller's account and region.
pub(super) fn describe_vpcs(cx: &Cx<'_>, request: &DescribeVpcsRequest) -> Result<DescribeVpcsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.vpc_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let (vpcs, next_token) =
        select(&NOUN, &selection, vec![show(cx.txn, &model::network::Vpc::default_of(cx.scope()))])?;
    Ok(DescribeVpcsResult { vpcs: Some(vpcs), next_token })
}

/// DescribeVpcAttribute: the built-in VPC names its interfaces, and its resolver answers.
pub(super) fn describe_vpc_attribute(
    cx: &Cx<'_>,
    request: &DescribeVpcAttributeRequest,
) -> Result<DescribeVpcAttributeResult, Error> {
    let vpc = model::network::Vpc::default_of(cx.scope());
    if request.vpc_id != vpc.id {
        return Err(refuse(NOUN.not_found, format!("The vpc ID '{}' does not exist", request.vpc_id)));
    }
    refuse_dry_run(request.dry_run)?;
    let mut answer = DescribeVpcAttributeResult { vpc_id: Some(vpc.id), ..DescribeVpcAttributeResult::default() };
    let value = |value| Some(AttributeBooleanValue { value: Some(value) });
    match &request.attribute {
        VpcAttributeName::EnableDnsSupport => answer.enable_dns_support = value(true),
        VpcAttributeName::EnableDnsHostnames => answer.enable_dns_hostnames = value(true),
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

fn show(tables: &Tables, vpc: &model::network::Vpc) -> ec2::Vpc {
    ec2::Vpc {
        vpc_id: Some(vpc.id.clone()),
        cidr_block: Some(vpc.cidr()),
        cidr_block_association_set: Some(vec![VpcCidrBlockAssociation {
            association_id: Some(vpc.cidr_association_id.clone()),
            cidr_block: Some(vpc.cidr()),
            cidr_block_state: Some(VpcCidrBlockState {
                state: Some(VpcCidrBlockStateCode::Associated),
                ..VpcCidrBlockState::default()
            }),
        }]),
        dhcp_options_id: Some(vpc.dhcp_options_id.clone()),
        instance_tenancy: Some(Tenancy::Default),
        is_default: Some(true),
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
