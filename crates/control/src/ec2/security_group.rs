//! DescribeSecurityGroups: the default group of the built-in VPC.

use model::network::Vpc;
use wire::ec2::{
    self, DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, Error, IpPermission, IpRange, UserIdGroupPair,
};

use super::refuse;
use super::select::{Noun, Selection, one, select};
use crate::Cx;

/// The name of the group that every VPC has.
pub(super) const DEFAULT_GROUP_NAME: &str = "default";
const ANYWHERE: &str = "0.0.0.0/0";
/// Every protocol, in the words of the API.
const ALL_PROTOCOLS: &str = "-1";

const NOUN: Noun<ec2::SecurityGroup> = Noun {
    label: "security group",
    not_found: "InvalidGroup.NotFound",
    id: |group| group.group_id.as_deref().unwrap_or_default(),
    filters: &[
        "description",
        "egress.ip-permission.cidr",
        "egress.ip-permission.from-port",
        "egress.ip-permission.group-id",
        "egress.ip-permission.group-name",
        "egress.ip-permission.ipv6-cidr",
        "egress.ip-permission.prefix-list-id",
        "egress.ip-permission.protocol",
        "egress.ip-permission.to-port",
        "egress.ip-permission.user-id",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "ip-permission.user-id",
        "owner-id",
        "vpc-id",
    ],
    values,
};

/// The security groups of the caller's account and region.
pub(super) fn describe_security_groups(
    cx: &Cx<'_>,
    request: &DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Error> {
    let vpc = Vpc::default_of(cx.scope());
    let names = request.group_names.as_deref().unwrap_or_default();
    if let Some(unknown) = names.iter().find(|name| *name != DEFAULT_GROUP_NAME) {
        let text = format!("The security group '{unknown}' does not exist in default VPC '{}'", vpc.id);
        return Err(refuse("InvalidGroup.NotFound", text));
    }
    let ids = request.group_ids.as_deref().unwrap_or_default();
    if let Some(malformed) = ids.iter().find(|id| !id.starts_with("sg-")) {
        let text = format!("Invalid id: \"{malformed}\" (expecting \"sg-...\")");
        return Err(refuse("InvalidGroupId.Malformed", text));
    }
    let selection = Selection {
        dry_run: request.dry_run,
        ids: Some(ids),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let (groups, next_token) = select(&NOUN, &selection, vec![show(&vpc)])?;
    Ok(DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
}

fn show(vpc: &Vpc) -> ec2::SecurityGroup {
    let (account, region) = (vpc.scope.account.to_string(), &vpc.scope.region);
    let from_itself = IpPermission {
        user_id_group_pairs: Some(vec![UserIdGroupPair {
            group_id: Some(vpc.security_group_id.clone()),
            user_id: Some(account.clone()),
            ..UserIdGroupPair::default()
        }]),
        ..every_protocol()
    };
    let to_anywhere = IpPermission {
        ip_ranges: Some(vec![IpRange { cidr_ip: Some(ANYWHERE.to_owned()), ..IpRange::default() }]),
        ..every_protocol()
    };
    ec2::SecurityGroup {
        group_id: Some(vpc.security_group_id.clone()),
        group_name: Some(DEFAULT_GROUP_NAME.to_owned()),
        description: Some("default VPC security group".to_owned()),
        security_group_arn: Some(format!("arn:aws:ec2:{region}:{account}:security-group/{}", vpc.security_group_id)),
        owner_id: Some(account),
        vpc_id: Some(vpc.id.clone()),
        ip_permissions: Some(vec![from_itself]),
        ip_permissions_egress: Some(vec![to_anywhere]),
        ..ec2::SecurityGroup::default()
    }
}

fn every_protocol() -> IpPermission {
    IpPermission {
        ip_protocol: Some(ALL_PROTOCOLS.to_owned()),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        user_id_group_pairs: Some(Vec::new()),
        ..IpPermission::default()
    }
}

fn values(group: &ec2::SecurityGroup, filter: &str) -> Vec<String> {
    match filter {
        "description" => one(group.description.as_deref()),
        "egress.ip-permission.cidr" => one(Some(ANYWHERE)),
        "egress.ip-permission.protocol" | "ip-permission.protocol" => one(Some(ALL_PROTOCOLS)),
        "group-id" | "ip-permission.group-id" => one(group.group_id.as_deref()),
        "group-name" | "ip-permission.group-name" => one(group.group_name.as_deref()),
        "owner-id" | "ip-permission.user-id" => one(group.owner_id.as_deref()),
        "vpc-id" => one(group.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
