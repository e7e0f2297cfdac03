//! Rules of security groups: Authorize, Revoke, Describe, Modify.

use std::sync::Arc;

use model::security_group::{Direction, Peer, SecurityGroupRule, Traffic};
use model::{Scope, SecurityGroup, Tag};
use store::Tables;
use wire::ec2::{
    self, AuthorizeSecurityGroupEgressRequest, AuthorizeSecurityGroupEgressResult,
    AuthorizeSecurityGroupIngressRequest, AuthorizeSecurityGroupIngressResult, DescribeSecurityGroupRulesRequest,
    DescribeSecurityGroupRulesResult, Error, IpPermission, IpRange, ModifySecurityGroupRulesRequest,
    ModifySecurityGroupRulesResult, ReferencedSecurityGroup, ResourceType, RevokeSecurityGroupEgressRequest,
    RevokeSecurityGroupEgressResult, RevokeSecurityGroupIngressRequest, RevokeSecurityGroupIngressResult,
    RevokedSecurityGroupRule, SecurityGroupRuleDescription, SecurityGroupRuleRequest,
    UpdateSecurityGroupRuleDescriptionsEgressRequest, UpdateSecurityGroupRuleDescriptionsEgressResult,
    UpdateSecurityGroupRuleDescriptionsIngressRequest, UpdateSecurityGroupRuleDescriptionsIngressResult,
    UserIdGroupPair,
};

use super::convert::{self, Draft, PeerDraft, drafts, traffic_to_wire};
use super::security_group::{all, locate, unknown};
use super::select::{Noun, Selection, flag, one, refuse_dry_run, select};
use super::{prefix_list, refuse, resource, tag};
use crate::Cx;

/// Of one group and direction.
const RULES_MAX: usize = 1000;

const NOUN: Noun<ec2::SecurityGroupRule> = Noun {
    label: "security group rule ID",
    not_found: "InvalidSecurityGroupRuleId.NotFound",
    id: |rule| rule.security_group_rule_id.as_deref().unwrap_or_default(),
    tags: |rule| rule.tags.as_ref(),
    filters: &["group-id", "is-egress", "security-group-rule-id"],
    values: |rule, filter| match filter {
        "group-id" => one(rule.group_id.as_deref()),
        "is-egress" => flag(rule.is_egress),
        "security-group-rule-id" => one(rule.security_group_rule_id.as_deref()),
        _ => Vec::new(),
    },
};

/// What Authorize and Revoke have in common: the permissions, or one of them in the older spelling.
struct Asked {
    permissions: Vec<IpPermission>,
}

impl Asked {
    fn read(
        permissions: Option<Vec<IpPermission>>,
        cidr_ip: Option<String>,
        ip_protocol: Option<String>,
        ports: (Option<i32>, Option<i32>),
        source_group: [&Option<String>; 2],
    ) -> Result<Self, Error> {
        if source_group.iter().any(|given| given.as_ref().is_some_and(|given| !given.is_empty())) {
            let text = "SourceSecurityGroupName and SourceSecurityGroupOwnerId are of EC2-Classic, which Gantry does \
                        not have. Give the group in IpPermissions.";
            return Err(refuse("UnsupportedOperation", text));
        }
        let mut permissions = permissions.unwrap_or_default();
        let given = [cidr_ip.is_some(), ip_protocol.is_some(), ports.0.is_some(), ports.1.is_some()];
        if !permissions.is_empty() && given.contains(&true) {
            let text = "The parameter ipPermissions may not be used with cidrIp, ipProtocol, fromPort or toPort";
            return Err(refuse("InvalidParameterCombination", text));
        }
        if given.contains(&true) {
            permissions.push(IpPermission {
                from_port: ports.0,
                ip_protocol,
                ip_ranges: cidr_ip.map(|cidr_ip| vec![IpRange { cidr_ip: Some(cidr_ip), description: None }]),
                to_port: ports.1,
                ..IpPermission::default()
            });
        }
        Ok(Self { permissions })
    }

    fn drafts(self) -> Result<Vec<Draft>, Error> {
        if self.permissions.is_empty() {
            return Err(refuse("MissingParameter", "The request must contain the parameter ipPermissions"));
        }
        drafts(self.permissions)
    }
}

/// A rule's other side, which must be there.
fn peer(cx: &Cx<'_>, group: &SecurityGroup, draft: PeerDraft) -> Result<Peer, Error> {
    match draft {
        PeerDraft::Cidr(net) => Ok(Peer::Cidr(net)),
        PeerDraft::Cidr6(net) => Ok(Peer::Cidr6(net)),
        PeerDraft::PrefixList(id) => prefix_list::locate(cx, &id).map(|list| Peer::PrefixList(list.id.clone())),
        PeerDraft::Group(pair) => other_group(cx, group, &pair).map(Peer::Group),
    }
}

fn other_group(cx: &Cx<'_>, group: &SecurityGroup, pair: &UserIdGroupPair) -> Result<String, Error> {
    let id = pair.group_id.as_deref();
    if pair.user_id.as_deref().is_some_and(|account| *account != *cx.scope().account) {
        return Err(unknown(id.or(pair.group_name.as_deref()).unwrap_or_default()));
    }
    let other = locate(cx, id, pair.group_name.as_deref())?;
    if other.vpc_id != group.vpc_id {
        let text = "You have specified two resources that belong to different networks.";
        return Err(refuse("InvalidGroup.NotFound", text));
    }
    Ok(other.id.clone())
}

pub(super) fn authorize_security_group_ingress(
    cx: &mut Cx<'_>,
    request: AuthorizeSecurityGroupIngressRequest,
) -> Result<AuthorizeSecurityGroupIngressResult, Error> {
    let group = locate(cx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let asked = Asked::read(
        request.ip_permissions,
        request.cidr_ip,
        request.ip_protocol,
        (request.from_port, request.to_port),
        [&request.source_security_group_name, &request.source_security_group_owner_id],
    )?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::SecurityGroupRule)?;
    let rules = authorize(cx, &group, Direction::Ingress, asked, tags, request.dry_run)?;
    Ok(AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

pub(super) fn authorize_security_group_egress(
    cx: &mut Cx<'_>,
    request: AuthorizeSecurityGroupEgressRequest,
) -> Result<AuthorizeSecurityGroupEgressResult, Error> {
    let group = locate(cx, Some(&request.group_id), None)?;
    let asked = Asked::read(
        request.ip_permissions,
        request.cidr_ip,
        request.ip_protocol,
        (request.from_port, request.to_port),
        [&request.source_security_group_name, &request.source_security_group_owner_id],
    )?;
    let tags = tag::from_specifications(request.tag_specifications, &ResourceType::SecurityGroupRule)?;
    let rules = authorize(cx, &group, Direction::Egress, asked, tags, request.dry_run)?;
    Ok(AuthorizeSecurityGroupEgressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

/// Adds all rules that are asked for, or none.
fn authorize(
    cx: &mut Cx<'_>,
    group: &SecurityGroup,
    direction: Direction,
    asked: Asked,
    tags: Vec<Tag>,
    dry_run: Option<bool>,
) -> Result<Vec<ec2::SecurityGroupRule>, Error> {
    let mut group = group.clone();
    let before = group.rules.len();
    for draft in asked.drafts()? {
        let id = resource::new_id(cx, "sgr");
        let peer = peer(cx, &group, draft.peer)?;
        let rule = SecurityGroupRule { id, direction, traffic: draft.traffic, peer, description: draft.description };
        if group.rules.iter().any(|other| other.says_the_same_as(&rule)) {
            return Err(duplicate(&rule));
        }
        group.rules.push(rule);
    }
    if group.rules_of(direction).count() > RULES_MAX {
        let text = "The maximum number of rules per security group has been reached.";
        return Err(refuse("RulesPerSecurityGroupLimitExceeded", text));
    }
    refuse_dry_run(dry_run)?;
    for rule in &group.rules[before..] {
        tag::set(cx, &rule.id, tags.clone());
    }
    let shown = group.rules[before..].iter().map(|rule| show(cx.txn, &group, rule)).collect();
    cx.txn.put(group);
    Ok(shown)
}

fn duplicate(rule: &SecurityGroupRule) -> Error {
    let (protocol, from, to) = traffic_to_wire(rule.traffic);
    let protocol = protocol.to_uppercase();
    let what = match rule.traffic {
        Traffic::All => "ALL".to_owned(),
        Traffic::Tcp(_) | Traffic::Udp(_) => format!("{protocol}, from port: {from}, to port: {to}"),
        Traffic::Icmp(_) => format!("{protocol}, type: {from}, code: {to}"),
        Traffic::Protocol(_) => protocol,
    };
    let text = format!("the specified rule \"peer: {}, {what}, ALLOW\" already exists", rule.peer);
    refuse("InvalidPermission.Duplicate", text)
}

pub(super) fn revoke_security_group_ingress(
    cx: &mut Cx<'_>,
    request: RevokeSecurityGroupIngressRequest,
) -> Result<RevokeSecurityGroupIngressResult, Error> {
    let group = locate(cx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let asked = Asked::read(
        request.ip_permissions,
        request.cidr_ip,
        request.ip_protocol,
        (request.from_port, request.to_port),
        [&request.source_security_group_name, &request.source_security_group_owner_id],
    )?;
    let ids = request.security_group_rule_ids.unwrap_or_default();
    let revoked = revoke(cx, &group, Direction::Ingress, asked, &ids, request.dry_run)?;
    Ok(RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        unknown_ip_permissions: None,
    })
}

pub(super) fn revoke_security_group_egress(
    cx: &mut Cx<'_>,
    request: RevokeSecurityGroupEgressRequest,
) -> Result<RevokeSecurityGroupEgressResult, Error> {
    let group = locate(cx, Some(&request.group_id), None)?;
    let asked = Asked::read(
        request.ip_permissions,
        request.cidr_ip,
        request.ip_protocol,
        (request.from_port, request.to_port),
        [&request.source_security_group_name, &request.source_security_group_owner_id],
    )?;
    let ids = request.security_group_rule_ids.unwrap_or_default();
    let revoked = revoke(cx, &group, Direction::Egress, asked, &ids, request.dry_run)?;
    Ok(RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        unknown_ip_permissions: None,
    })
}

/// Removes all rules that are named, or none.
fn revoke(
    cx: &mut Cx<'_>,
    group: &SecurityGroup,
    direction: Direction,
    asked: Asked,
    ids: &[String],
    dry_run: Option<bool>,
) -> Result<Vec<RevokedSecurityGroupRule>, Error> {
    let mut group = group.clone();
    let mut revoked = Vec::new();
    for id in ids {
        let place = group.rules.iter().position(|rule| rule.id == *id && rule.direction == direction);
        revoked.push(group.rules.remove(place.ok_or_else(|| unknown_rule(id))?));
    }
    let drafts = if ids.is_empty() || !asked.permissions.is_empty() { asked.drafts()? } else { Vec::new() };
    for draft in drafts {
        let place = place_of(cx, &group, direction, draft)?;
        revoked.push(group.rules.remove(place));
    }
    refuse_dry_run(dry_run)?;
    for rule in &revoked {
        tag::remove(cx, &rule.id);
    }
    let shown = revoked.iter().map(|rule| show_revoked(&group, rule)).collect();
    cx.txn.put(group);
    Ok(shown)
}

/// Where the group has the rule that says what the draft says.
fn place_of(cx: &Cx<'_>, group: &SecurityGroup, direction: Direction, draft: Draft) -> Result<usize, Error> {
    let peer = peer(cx, group, draft.peer)?;
    let says_it =
        |rule: &SecurityGroupRule| rule.direction == direction && rule.traffic == draft.traffic && rule.peer == peer;
    let absent = || refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
    group.rules.iter().position(says_it).ok_or_else(absent)
}

fn unknown_rule(id: &str) -> Error {
    let text = format!("The security group rule ID '{id}' does not exist");
    refuse("InvalidSecurityGroupRuleId.NotFound", text)
}

/// The rules of all groups.
pub(super) fn describe_security_group_rules(
    cx: &Cx<'_>,
    request: &DescribeSecurityGroupRulesRequest,
) -> Result<DescribeSecurityGroupRulesResult, Error> {
    let selection = Selection {
        dry_run: request.dry_run,
        ids: request.security_group_rule_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
    };
    let groups = all(cx.txn, cx.scope());
    let of_group = |group: &Arc<SecurityGroup>| -> Vec<ec2::SecurityGroupRule> {
        group.rules.iter().map(|rule| show(cx.txn, group, rule)).collect()
    };
    let shown = groups.iter().flat_map(of_group).collect();
    let (rules, next_token) = select(&NOUN, &selection, shown)?;
    Ok(DescribeSecurityGroupRulesResult { next_token, security_group_rules: Some(rules) })
}

/// What differs between the kinds of peer.
#[derive(Default)]
struct ShownPeer {
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    group_id: Option<String>,
}

fn show_peer(peer: &Peer) -> ShownPeer {
    let text = Some(peer.to_string());
    match peer {
        Peer::Cidr(_) => ShownPeer { cidr_ipv4: text, ..ShownPeer::default() },
        Peer::Cidr6(_) => ShownPeer { cidr_ipv6: text, ..ShownPeer::default() },
        Peer::PrefixList(_) => ShownPeer { prefix_list_id: text, ..ShownPeer::default() },
        Peer::Group(_) => ShownPeer { group_id: text, ..ShownPeer::default() },
    }
}

fn show(tables: &Tables, group: &SecurityGroup, rule: &SecurityGroupRule) -> ec2::SecurityGroupRule {
    let Scope { account, region } = &group.scope;
    let (protocol, from, to) = traffic_to_wire(rule.traffic);
    let peer = show_peer(&rule.peer);
    let referenced = |group_id: String| ReferencedSecurityGroup {
        group_id: Some(group_id),
        user_id: Some(account.to_string()),
        ..ReferencedSecurityGroup::default()
    };
    ec2::SecurityGroupRule {
        cidr_ipv4: peer.cidr_ipv4,
        cidr_ipv6: peer.cidr_ipv6,
        description: rule.description.clone(),
        from_port: Some(from),
        group_id: Some(group.id.clone()),
        group_owner_id: Some(account.to_string()),
        ip_protocol: Some(protocol),
        is_egress: Some(rule.direction == Direction::Egress),
        prefix_list_id: peer.prefix_list_id,
        referenced_group_info: peer.group_id.map(referenced),
        security_group_rule_arn: Some(format!("arn:aws:ec2:{region}:{account}:security-group-rule/{}", rule.id)),
        security_group_rule_id: Some(rule.id.clone()),
        tags: Some(tag::of(tables, &group.scope, &rule.id)),
        to_port: Some(to),
    }
}

fn show_revoked(group: &SecurityGroup, rule: &SecurityGroupRule) -> RevokedSecurityGroupRule {
    let (protocol, from, to) = traffic_to_wire(rule.traffic);
    let peer = show_peer(&rule.peer);
    RevokedSecurityGroupRule {
        cidr_ipv4: peer.cidr_ipv4,
        cidr_ipv6: peer.cidr_ipv6,
        description: rule.description.clone(),
        from_port: Some(from),
        group_id: Some(group.id.clone()),
        ip_protocol: Some(protocol),
        is_egress: Some(rule.direction == Direction::Egress),
        prefix_list_id: peer.prefix_list_id,
        referenced_group_id: peer.group_id,
        security_group_rule_id: Some(rule.id.clone()),
        to_port: Some(to),
    }
}

/// Replaces what rules say; their ids and directions stay.
pub(super) fn modify_security_group_rules(
    cx: &mut Cx<'_>,
    request: ModifySecurityGroupRulesRequest,
) -> Result<ModifySecurityGroupRulesResult, Error> {
    let mut group = SecurityGroup::clone(&*locate(cx, Some(&request.group_id), None)?);
    for update in request.security_group_rules {
        let id = update.security_group_rule_id;
        let place = group.rules.iter().position(|rule| rule.id == id).ok_or_else(|| unknown_rule(&id))?;
        let draft = draft_of(update.security_group_rule.unwrap_or_default())?;
        let new = SecurityGroupRule {
            traffic: draft.traffic,
            peer: peer(cx, &group, draft.peer)?,
            description: draft.description,
            ..group.rules[place].clone()
        };
        if group.rules.iter().any(|other| other.id != id && other.says_the_same_as(&new)) {
            return Err(duplicate(&new));
        }
        group.rules[place] = new;
    }
    refuse_dry_run(request.dry_run)?;
    cx.txn.put(group);
    Ok(ModifySecurityGroupRulesResult { r#return: Some(true) })
}

fn draft_of(given: SecurityGroupRuleRequest) -> Result<Draft, Error> {
    let group = |group_id: String| UserIdGroupPair { group_id: Some(group_id), ..UserIdGroupPair::default() };
    let mut peers = Vec::new();
    peers.extend(given.cidr_ipv4.map(|text| convert::cidr(&text).map(PeerDraft::Cidr)));
    peers.extend(given.cidr_ipv6.map(|text| convert::cidr6(&text).map(PeerDraft::Cidr6)));
    peers.extend(given.prefix_list_id.map(|id| Ok(PeerDraft::PrefixList(id))));
    peers.extend(given.referenced_group_id.map(|id| Ok(PeerDraft::Group(group(id)))));
    let (Some(peer), true) = (peers.pop(), peers.is_empty()) else {
        let text = "A security group rule needs exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId";
        return Err(refuse("InvalidParameterCombination", text));
    };
    Ok(Draft {
        traffic: convert::traffic(given.ip_protocol.as_deref(), given.from_port, given.to_port)?,
        peer: peer?,
        description: convert::checked_description(given.description)?,
    })
}

pub(super) fn update_security_group_rule_descriptions_ingress(
    cx: &mut Cx<'_>,
    request: UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsIngressResult, Error> {
    let group = locate(cx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let named = request.security_group_rule_descriptions.unwrap_or_default();
    let said = request.ip_permissions.unwrap_or_default();
    describe(cx, &group, Direction::Ingress, said, named, request.dry_run)?;
    Ok(UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

pub(super) fn update_security_group_rule_descriptions_egress(
    cx: &mut Cx<'_>,
    request: UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsEgressResult, Error> {
    let group = locate(cx, request.group_id.as_deref(), request.group_name.as_deref())?;
    let named = request.security_group_rule_descriptions.unwrap_or_default();
    let said = request.ip_permissions.unwrap_or_default();
    describe(cx, &group, Direction::Egress, said, named, request.dry_run)?;
    Ok(UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}

/// Gives rules new descriptions, those that are named and those that are said.
fn describe(
    cx: &mut Cx<'_>,
    group: &SecurityGroup,
    direction: Direction,
    said: Vec<IpPermission>,
    named: Vec<SecurityGroupRuleDescription>,
    dry_run: Option<bool>,
) -> Result<(), Error> {
    if said.is_empty() && named.is_empty() {
        let text = "The request must contain the parameter ipPermissions or securityGroupRuleDescriptions";
        return Err(refuse("MissingParameter", text));
    }
    let mut group = group.clone();
    for SecurityGroupRuleDescription { description, security_group_rule_id } in named {
        let id = security_group_rule_id.unwrap_or_default();
        let place = group.rules.iter().position(|rule| rule.id == id && rule.direction == direction);
        let place = place.ok_or_else(|| unknown_rule(&id))?;
        group.rules[place].description = convert::checked_description(description)?;
    }
    for draft in drafts(said)? {
        let description = draft.description.clone();
        let place = place_of(cx, &group, direction, draft)?;
        group.rules[place].description = description;
    }
    refuse_dry_run(dry_run)?;
    cx.txn.put(group);
    Ok(())
}
