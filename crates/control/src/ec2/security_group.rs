//! Security groups: Create, Delete, Describe. A built-in VPC's default group has no row until it is changed.

use std::sync::Arc;

use model::network::Vpc;
use model::security_group::{self as model_group, DEFAULT_NAME, Direction};
use model::{Scope, SecurityGroup};
use store::Tables;
use wire::ec2::{
    self, CreateSecurityGroupRequest, CreateSecurityGroupResult, DeleteSecurityGroupRequest, DeleteSecurityGroupResult,
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, Error, IpPermission, ResourceType,
};

use super::convert::{is_plain, permissions};
use super::select::{Noun, Selection, one, refuse_dry_run, select};
use super::{refuse, resource, tag, vpc};
use crate::Cx;

/// In an account and region, as AWS has it.
const GROUPS_MAX: usize = 2500;

const NOUN: Noun<ec2::SecurityGroup> = Noun {
    label: "security group",
    not_found: "InvalidGroup.NotFound",
    id: |group| group.group_id.as_deref().unwrap_or_default(),
    tags: |group| group.tags.as_ref(),
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

/// The security group of this id, changed or built in.
pub(crate) fn find(tables: &Tables, scope: &Scope, id: &str) -> Option<Arc<SecurityGroup>> {
    if let Some(row) = tables.security_groups.get(&(scope.clone(), id.to_owned())) {
        return Some(row.clone());
    }
    let vpc = Vpc::default_of(scope);
    (vpc.security_group_id == id).then(|| Arc::new(SecurityGroup::default_of(&vpc)))
}

/// All of them, by id.
pub(crate) fn all(tables: &Tables, scope: &Scope) -> Vec<Arc<SecurityGroup>> {
    let mut groups: Vec<Arc<SecurityGroup>> = tables.security_groups_in_scope(scope).cloned().collect();
    let vpc = Vpc::default_of(scope);
    if let Err(place) = groups.binary_search_by(|group| group.id.cmp(&vpc.security_group_id)) {
        groups.insert(place, Arc::new(SecurityGroup::default_of(&vpc)));
    }
    groups
}

/// By id, or by its name in the default VPC.
///
/// # Errors
/// `MissingParameter`, `InvalidGroup.NotFound`, `InvalidGroupId.Malformed`.
pub(super) fn locate(cx: &Cx<'_>, id: Option<&str>, name: Option<&str>) -> Result<Arc<SecurityGroup>, Error> {
    let id = id.filter(|id| !id.is_empty());
    let name = name.filter(|name| !name.is_empty());
    let found = match (id, name) {
        (Some(id), _) => {
            check_id(id)?;
            find(cx.txn, cx.scope(), id)
        }
        (None, Some(name)) => by_name(cx, &Vpc::default_of(cx.scope()).id, name),
        (None, None) => {
            let text = "The request must contain the parameter groupName or groupId";
            return Err(refuse("MissingParameter", text));
        }
    };
    let asked = id.or(name).unwrap_or_default();
    found.ok_or_else(|| unknown(asked))
}

pub(super) fn unknown(id: &str) -> Error {
    refuse("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}

fn by_name(cx: &Cx<'_>, vpc_id: &str, name: &str) -> Option<Arc<SecurityGroup>> {
    all(cx.txn, cx.scope()).into_iter().find(|group| group.vpc_id == vpc_id && group.name == name)
}

fn check_id(id: &str) -> Result<(), Error> {
    if id.starts_with("sg-") {
        return Ok(());
    }
    Err(refuse("InvalidGroupId.Malformed", format!("Invalid id: \"{id}\" (expecting \"sg-...\")")))
}

/// A new group, with the rule that lets everything out.
pub(super) fn create_security_group(
    cx: &mut Cx<'_>,
    request: CreateSecurityGroupRequest,
) -> Result<CreateSecurityGroupResult, Error> {
    check_name(&request.group_name)?;
    check_description(&request.description)?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::SecurityGroup)?;
    let vpc_id = request.vpc_id.unwrap_or_else(|| Vpc::default_of(cx.scope()).id);
    let vpc_id = vpc::locate(cx, &vpc_id)?.id.clone();
    let name = request.group_name;
    if by_name(cx, &vpc_id, &name).is_some() {
        let text = format!("The security group '{name}' already exists for VPC '{vpc_id}'");
        return Err(refuse("InvalidGroup.Duplicate", text));
    }
    if all(cx.txn, cx.scope()).len() >= GROUPS_MAX {
        let text = "The maximum number of security groups has been reached.";
        return Err(refuse("SecurityGroupLimitExceeded", text));
    }
    refuse_dry_run(request.dry_run)?;
    let id = resource::new_id(cx, "sg");
    tag::set(cx, &id, tags);
    let rules = vec![model_group::everything_out(&id)];
    let scope = cx.scope().clone();
    let row = SecurityGroup { scope, id, name, description: request.description, vpc_id, rules };
    let answer = CreateSecurityGroupResult {
        group_id: Some(row.id.clone()),
        security_group_arn: Some(arn(&row)),
        tags: Some(tag::of(cx.txn, cx.scope(), &row.id)),
    };
    cx.txn.put(row);
    Ok(answer)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name == DEFAULT_NAME {
        let text = "Cannot use reserved security group name: default";
        return Err(refuse("InvalidParameterValue", text));
    }
    if name.starts_with("sg-") {
        let text =
            format!("Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*.");
        return Err(refuse("InvalidParameterValue", text));
    }
    if name.is_empty() || name.trim() != name || !is_plain(name) {
        return Err(refuse("InvalidParameterValue", format!("Value ({name}) for parameter GroupName is invalid.")));
    }
    Ok(())
}

fn check_description(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(refuse("MissingParameter", "The request must contain the parameter GroupDescription"));
    }
    if !is_plain(text) {
        return Err(refuse(
            "InvalidParameterValue",
            "Invalid security group description. Valid descriptions are strings less than 256 characters from the \
             following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        ));
    }
    Ok(())
}

/// Refused as long as an interface has the group, or a rule of another one names it.
pub(super) fn delete_security_group(
    cx: &mut Cx<'_>,
    request: &DeleteSecurityGroupRequest,
) -> Result<DeleteSecurityGroupResult, Error> {
    let group = locate(cx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let id = &group.id;
    if group.is_default() {
        let text = format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
        return Err(refuse("CannotDelete", text));
    }
    let is_had = cx.txn.interfaces_in_scope(cx.scope()).any(|interface| interface.security_groups.contains(id));
    let is_named = all(cx.txn, cx.scope()).iter().any(|other| other.id != *id && other.refers_to(id));
    if is_had || is_named {
        return Err(refuse("DependencyViolation", format!("resource {id} has a dependent object")));
    }
    refuse_dry_run(request.dry_run)?;
    remove(cx, &group);
    Ok(DeleteSecurityGroupResult { group_id: Some(id.clone()), r#return: Some(true) })
}

/// With the tags of it and of its rules.
pub(super) fn remove(cx: &mut Cx<'_>, group: &SecurityGroup) {
    for rule in &group.rules {
        tag::remove(cx, &rule.id);
    }
    tag::remove(cx, &group.id);
    cx.txn.remove::<SecurityGroup>(&(group.scope.clone(), group.id.clone()));
}

/// The security groups of the caller's account and region.
pub(super) fn describe_security_groups(
    cx: &Cx<'_>,
    request: &DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Error> {
    let mut groups = all(cx.txn, cx.scope());
    let names = request.group_names.as_deref().unwrap_or_default();
    if !names.is_empty() {
        let vpc_id = Vpc::default_of(cx.scope()).id;
        if let Some(unknown) = names.iter().find(|name| by_name(cx, &vpc_id, name).is_none()) {
            let text = format!("The security group '{unknown}' does not exist in default VPC '{vpc_id}'");
            return Err(refuse("InvalidGroup.NotFound", text));
        }
        groups.retain(|group| group.vpc_id == vpc_id && names.contains(&group.name));
    }
    let ids = request.group_ids.as_deref().unwrap_or_default();
    ids.iter().try_for_each(|id| check_id(id))?;
    let selection = Selection {
        dry_run: request.dry_run,
        ids: Some(ids),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let shown = groups.iter().map(|group| show(cx.txn, group)).collect();
    let (groups, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
}

fn show(tables: &Tables, group: &SecurityGroup) -> ec2::SecurityGroup {
    let account = &group.scope.account;
    ec2::SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.clone()),
        group_name: Some(group.name.clone()),
        ip_permissions: Some(permissions(account, Direction::Ingress, &group.rules)),
        ip_permissions_egress: Some(permissions(account, Direction::Egress, &group.rules)),
        owner_id: Some(account.to_string()),
        security_group_arn: Some(arn(group)),
        tags: Some(tag::of(tables, &group.scope, &group.id)).filter(|tags| !tags.is_empty()),
        vpc_id: Some(group.vpc_id.clone()),
    }
}

fn arn(group: &SecurityGroup) -> String {
    let Scope { account, region } = &group.scope;
    format!("arn:aws:ec2:{region}:{account}:security-group/{}", group.id)
}

fn values(group: &ec2::SecurityGroup, filter: &str) -> Vec<String> {
    let of_rules = |given: &Option<Vec<IpPermission>>, filter: &str| {
        given.iter().flatten().flat_map(|permission| permission_values(permission, filter)).collect()
    };
    if let Some(filter) = filter.strip_prefix("ip-permission.") {
        return of_rules(&group.ip_permissions, filter);
    }
    if let Some(filter) = filter.strip_prefix("egress.ip-permission.") {
        return of_rules(&group.ip_permissions_egress, filter);
    }
    match filter {
        "description" => one(group.description.as_deref()),
        "group-id" => one(group.group_id.as_deref()),
        "group-name" => one(group.group_name.as_deref()),
        "owner-id" => one(group.owner_id.as_deref()),
        "vpc-id" => one(group.vpc_id.as_deref()),
        _ => Vec::new(),
    }
}

fn permission_values(permission: &IpPermission, filter: &str) -> Vec<String> {
    let pairs = permission.user_id_group_pairs.iter().flatten();
    match filter {
        "cidr" => permission.ip_ranges.iter().flatten().filter_map(|range| range.cidr_ip.clone()).collect(),
        "ipv6-cidr" => permission.ipv6_ranges.iter().flatten().filter_map(|range| range.cidr_ipv6.clone()).collect(),
        "prefix-list-id" => {
            permission.prefix_list_ids.iter().flatten().filter_map(|list| list.prefix_list_id.clone()).collect()
        }
        "from-port" => permission.from_port.iter().map(i32::to_string).collect(),
        "to-port" => permission.to_port.iter().map(i32::to_string).collect(),
        "protocol" => one(permission.ip_protocol.as_deref()),
        "group-id" => pairs.filter_map(|pair| pair.group_id.clone()).collect(),
        "group-name" => pairs.filter_map(|pair| pair.group_name.clone()).collect(),
        "user-id" => pairs.filter_map(|pair| pair.user_id.clone()).collect(),
        _ => Vec::new(),
    }
}
