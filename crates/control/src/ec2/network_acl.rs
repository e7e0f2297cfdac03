//! DescribeNetworkAcls: the default one of each VPC, which lets everything pass. Others cannot be made.

use model::Vpc;
use wire::ec2::{
    self, DescribeNetworkAclsRequest, DescribeNetworkAclsResult, Error, NetworkAclAssociation, NetworkAclEntry,
    RuleAction,
};

use super::select::{Noun, Selection, flag, one, select};
use super::{tag, vpc};
use crate::Cx;

const NOUN: Noun<ec2::NetworkAcl> = Noun {
    label: "networkAcl ID",
    not_found: "InvalidNetworkAclID.NotFound",
    id: |acl| acl.network_acl_id.as_deref().unwrap_or_default(),
    tags: |acl| acl.tags.as_ref(),
    filters: &[
        "association.association-id",
        "association.network-acl-id",
        "association.subnet-id",
        "default",
        "entry.cidr",
        "entry.egress",
        "entry.protocol",
        "entry.rule-action",
        "entry.rule-number",
        "network-acl-id",
        "owner-id",
        "vpc-id",
    ],
    values,
};

pub(super) fn describe_network_acls(
    cx: &Cx<'_>,
    request: &DescribeNetworkAclsRequest,
) -> Result<DescribeNetworkAclsResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.network_acl_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = vpc::all(cx.txn, cx.scope()).iter().map(|vpc| show(cx, vpc)).collect();
    let (network_acls, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeNetworkAclsResult { network_acls: Some(network_acls), next_token })
}

/// The last entry of every list: what no other one says is denied.
const LAST_RULE: i32 = 32767;

fn show(cx: &Cx<'_>, vpc: &Vpc) -> ec2::NetworkAcl {
    let entry = |egress, rule_number, rule_action| NetworkAclEntry {
        cidr_block: Some("0.0.0.0/0".to_owned()),
        egress: Some(egress),
        protocol: Some("-1".to_owned()),
        rule_action: Some(rule_action),
        rule_number: Some(rule_number),
        ..NetworkAclEntry::default()
    };
    let both = |egress| [entry(egress, 100, RuleAction::Allow), entry(egress, LAST_RULE, RuleAction::Deny)];
    let association = |subnet: &model::Subnet| NetworkAclAssociation {
        network_acl_association_id: Some(subnet.id.replacen("subnet-", "aclassoc-", 1)),
        network_acl_id: Some(vpc.network_acl_id.clone()),
        subnet_id: Some(subnet.id.clone()),
    };
    ec2::NetworkAcl {
        associations: Some(vpc.subnets.iter().map(association).collect()),
        entries: Some([both(true), both(false)].concat()),
        is_default: Some(true),
        network_acl_id: Some(vpc.network_acl_id.clone()),
        owner_id: Some(vpc.scope.account.to_string()),
        tags: Some(tag::of(cx.txn, &vpc.scope, &vpc.network_acl_id)),
        vpc_id: Some(vpc.id.clone()),
    }
}

fn values(acl: &ec2::NetworkAcl, filter: &str) -> Vec<String> {
    let associations = || acl.associations.iter().flatten();
    match filter {
        "association.association-id" => {
            associations().filter_map(|association| association.network_acl_association_id.clone()).collect()
        }
        "association.network-acl-id" | "network-acl-id" => one(acl.network_acl_id.as_deref()),
        "association.subnet-id" => associations().filter_map(|association| association.subnet_id.clone()).collect(),
        "default" => flag(acl.is_default),
        "entry.cidr" => one(Some("0.0.0.0/0")),
        "entry.egress" => vec!["true".to_owned(), "false".to_owned()],
        "entry.protocol" => one(Some("-1")),
        "entry.rule-action" => vec!["allow".to_owned(), "deny".to_owned()],
        "entry.rule-number" => vec!["100".to_owned(), LAST_RULE.to_string()],
        "owner-id" => one(acl.owner_id.as_deref()),
        "vpc-id" => one(acl.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}
