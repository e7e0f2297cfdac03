//! Security groups and their rules.

use serde_json::{Value, json};

use crate::world::World;

const ANYWHERE: &str = "0.0.0.0/0";

fn create(world: &mut World, name: &str) -> String {
    let answer = world.call("CreateSecurityGroup", json!({"GroupName": name, "Description": "of a test"}));
    answer["GroupId"].as_str().unwrap().to_owned()
}

fn show(world: &mut World, id: &str) -> Value {
    world.call("DescribeSecurityGroups", json!({"GroupIds": [id]}))["SecurityGroups"][0].clone()
}

fn tcp(port: u16, cidr: &str) -> Value {
    json!({"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": cidr}]})
}

fn from_group(id: &str) -> Value {
    json!({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": id}]})
}

fn ingress(id: &str, permissions: &[Value]) -> Value {
    json!({"GroupId": id, "IpPermissions": permissions})
}

/// What DescribeSecurityGroupRules says, short.
fn rules(world: &mut World, id: &str) -> Vec<String> {
    let filters = json!([{"Name": "group-id", "Values": [id]}]);
    let answer = world.call("DescribeSecurityGroupRules", json!({"Filters": filters}));
    let mut shown: Vec<String> = answer["SecurityGroupRules"].as_array().unwrap().iter().map(show_rule).collect();
    shown.sort();
    shown
}

fn show_rule(rule: &Value) -> String {
    let direction = if rule["IsEgress"] == true { "out" } else { "in" };
    let peers = [&rule["CidrIpv4"], &rule["CidrIpv6"], &rule["ReferencedGroupInfo"]["GroupId"]];
    let peer = peers.into_iter().find_map(Value::as_str).unwrap_or_default();
    let (protocol, from, to) = (rule["IpProtocol"].as_str().unwrap(), &rule["FromPort"], &rule["ToPort"]);
    let description = rule["Description"].as_str().map(|text| format!(" ({text})")).unwrap_or_default();
    format!("{direction} {protocol} {from}-{to} {peer}{description}")
}

#[test]
fn the_default_group_is_as_awss_and_can_be_changed() {
    let mut world = World::new();
    let group = world.call("DescribeSecurityGroups", json!({"GroupNames": ["default"]}))["SecurityGroups"][0].clone();
    let id = group["GroupId"].as_str().unwrap().to_owned();
    assert_eq!(rules(&mut world, &id), [format!("in -1 -1--1 {id}"), "out -1 -1--1 0.0.0.0/0".to_owned()]);
    world.call("RevokeSecurityGroupIngress", ingress(&id, &[from_group(&id)]));
    assert_eq!(rules(&mut world, &id), ["out -1 -1--1 0.0.0.0/0"]);
    assert_eq!(
        world.refused("DeleteSecurityGroup", json!({"GroupId": id})),
        format!("CannotDelete: the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
    );
}

#[test]
fn a_new_group_lets_everything_out_and_nothing_in() {
    let mut world = World::new();
    let id = create(&mut world, "web");
    let group = show(&mut world, &id);
    assert_eq!(group["IpPermissions"], json!([]));
    assert_eq!(group["IpPermissionsEgress"][0]["IpRanges"], json!([{"CidrIp": ANYWHERE}]));
    assert_eq!(group["Description"], "of a test");
    assert_eq!(world.call("DescribeSecurityGroups", json!({}))["SecurityGroups"].as_array().unwrap().len(), 2);
    world.call("DeleteSecurityGroup", json!({"GroupId": id}));
    assert_eq!(
        world.refused("DescribeSecurityGroups", json!({"GroupIds": [id]})),
        format!("InvalidGroup.NotFound: The security group '{id}' does not exist"),
    );
}

#[test]
fn rules_are_added_shown_together_and_taken_away() {
    let mut world = World::new();
    let (web, app) = (create(&mut world, "web"), create(&mut world, "app"));
    let permissions = [tcp(80, "10.1.2.3/8"), tcp(80, "192.0.2.0/24"), tcp(443, ANYWHERE), from_group(&app)];
    let answer = world.call("AuthorizeSecurityGroupIngress", ingress(&web, &permissions));
    assert_eq!(answer["SecurityGroupRules"].as_array().unwrap().len(), 4);
    let shown = show(&mut world, &web)["IpPermissions"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 3);
    assert_eq!(shown[0]["IpRanges"], json!([{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "192.0.2.0/24"}]));
    assert_eq!(shown[2]["UserIdGroupPairs"][0]["GroupId"], app.as_str());
    // One by what it says, one by its id.
    world.call("RevokeSecurityGroupIngress", ingress(&web, &[tcp(80, "10.0.0.0/8")]));
    let rule = answer["SecurityGroupRules"][2]["SecurityGroupRuleId"].clone();
    let revoked = world.call("RevokeSecurityGroupIngress", json!({"GroupId": web, "SecurityGroupRuleIds": [rule]}));
    assert_eq!(revoked["RevokedSecurityGroupRules"][0]["SecurityGroupRuleId"], rule);
    assert_eq!(
        rules(&mut world, &web),
        [format!("in -1 -1--1 {app}"), "in tcp 80-80 192.0.2.0/24".into(), "out -1 -1--1 0.0.0.0/0".into()],
    );
    let by_port = json!([{"Name": "ip-permission.to-port", "Values": ["80"]}]);
    let found = world.call("DescribeSecurityGroups", json!({"Filters": by_port}))["SecurityGroups"].clone();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["GroupId"]), (1, &json!(web)));
}

#[test]
fn the_older_spelling_is_one_rule() {
    let mut world = World::new();
    let id = create(&mut world, "web");
    let older = json!({"GroupName": "web", "IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIp": ANYWHERE});
    world.call("AuthorizeSecurityGroupIngress", older);
    assert_eq!(rules(&mut world, &id)[0], "in udp 53-53 0.0.0.0/0");
}

#[test]
fn rules_are_changed_and_described_in_their_place() {
    let mut world = World::new();
    let id = create(&mut world, "web");
    let answer = world.call("AuthorizeSecurityGroupIngress", ingress(&id, &[tcp(80, ANYWHERE)]));
    let rule = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"].clone();
    let new = json!({"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8090, "CidrIpv4": "10.0.0.0/8", "Description": "inside"});
    let update = json!([{"SecurityGroupRuleId": rule, "SecurityGroupRule": new}]);
    world.call("ModifySecurityGroupRules", json!({"GroupId": id, "SecurityGroupRules": update}));
    assert_eq!(rules(&mut world, &id)[0], "in tcp 8080-8090 10.0.0.0/8 (inside)");
    let described = json!([{"SecurityGroupRuleId": rule, "Description": "the office"}]);
    let request = json!({"GroupId": id, "SecurityGroupRuleDescriptions": described});
    world.call("UpdateSecurityGroupRuleDescriptionsIngress", request);
    assert_eq!(rules(&mut world, &id)[0], "in tcp 8080-8090 10.0.0.0/8 (the office)");
}

#[test]
fn an_ipv6_rule_is_kept_and_shown() {
    let mut world = World::new();
    let id = create(&mut world, "web");
    let out = json!({"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]});
    world.call("AuthorizeSecurityGroupEgress", ingress(&id, &[out]));
    assert_eq!(rules(&mut world, &id)[1], "out -1 -1--1 ::/0");
}

#[test]
fn a_group_that_is_named_or_had_cannot_be_deleted() {
    let mut world = World::new();
    let (web, app) = (create(&mut world, "web"), create(&mut world, "app"));
    world.call("AuthorizeSecurityGroupIngress", ingress(&web, &[from_group(&app), from_group(&web)]));
    let refused = world.refused("DeleteSecurityGroup", json!({"GroupId": app}));
    assert_eq!(refused, format!("DependencyViolation: resource {app} has a dependent object"));
    // Its own naming of itself does not count.
    world.call("DeleteSecurityGroup", json!({"GroupName": "web"}));
    world.call("DeleteSecurityGroup", json!({"GroupId": app}));
}

#[test]
fn groups_and_rules_carry_tags() {
    let mut world = World::new();
    let tags = |kind: &str| json!([{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": "main"}]}]);
    let request = json!({"GroupName": "web", "Description": "d", "TagSpecifications": tags("security-group")});
    let group = world.call("CreateSecurityGroup", request);
    let id = group["GroupId"].as_str().unwrap();
    assert_eq!(group["Tags"], json!([{"Key": "Name", "Value": "main"}]));
    let mut request = ingress(id, &[tcp(80, ANYWHERE)]);
    request["TagSpecifications"] = tags("security-group-rule");
    let rule = world.call("AuthorizeSecurityGroupIngress", request)["SecurityGroupRules"][0].clone();
    assert_eq!(rule["Tags"], json!([{"Key": "Name", "Value": "main"}]));
    let by_tag = json!({"Filters": [{"Name": "tag:Name", "Values": ["main"]}]});
    assert_eq!(world.call("DescribeSecurityGroups", by_tag)["SecurityGroups"][0]["GroupId"], id);
    world.call("DeleteSecurityGroup", json!({"GroupId": id}));
    assert_eq!(world.call("DescribeTags", json!({}))["Tags"], json!([]));
    world.check_refusals(
        "CreateSecurityGroup",
        &[(
            json!({"GroupName": "a", "Description": "d", "TagSpecifications": tags("vpc")}),
            "InvalidParameterValue: 'vpc' is not a valid taggable resource type for this operation.",
        )],
    );
}

#[test]
fn bad_groups_are_refused() {
    let mut world = World::new();
    create(&mut world, "web");
    let vpc = world.call("DescribeVpcs", json!({}))["Vpcs"][0]["VpcId"].as_str().unwrap().to_owned();
    let group = |name: &str| json!({"GroupName": name, "Description": "d"});
    world.check_refusals(
        "CreateSecurityGroup",
        &[
            (group("web"), &format!("InvalidGroup.Duplicate: The security group 'web' already exists for VPC '{vpc}'")),
            (group("default"), "InvalidParameterValue: Cannot use reserved security group name: default"),
            (
                group("sg-1"),
                "InvalidParameterValue: Value (sg-1) for parameter GroupName is invalid. Group names may not be in \
                 the format sg-*.",
            ),
            (
                json!({"GroupName": "a", "Description": "d", "VpcId": "vpc-1"}),
                "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist",
            ),
            (
                json!({"GroupName": "a", "Description": "d", "DryRun": true}),
                "DryRunOperation: Request would have succeeded, but DryRun flag is set.",
            ),
            (
                json!({"GroupName": "a", "Description": "<>"}),
                "InvalidParameterValue: Invalid security group description. Valid descriptions are strings less than \
                 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
            ),
        ],
    );
    world.check_refusals(
        "DeleteSecurityGroup",
        &[
            (json!({}), "MissingParameter: The request must contain the parameter groupName or groupId"),
            (json!({"GroupId": "web"}), "InvalidGroupId.Malformed: Invalid id: \"web\" (expecting \"sg-...\")"),
            (json!({"GroupId": "sg-1"}), "InvalidGroup.NotFound: The security group 'sg-1' does not exist"),
        ],
    );
}

#[test]
fn bad_rules_are_refused_and_none_of_the_call_is_kept() {
    let mut world = World::new();
    let id = create(&mut world, "web");
    world.call("AuthorizeSecurityGroupIngress", ingress(&id, &[tcp(80, ANYWHERE)]));
    let before = rules(&mut world, &id);
    let with = |permission: Value| ingress(&id, &[tcp(81, ANYWHERE), permission]);
    world.check_refusals(
        "AuthorizeSecurityGroupIngress",
        &[
            (
                with(tcp(80, ANYWHERE)),
                "InvalidPermission.Duplicate: the specified rule \"peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, \
                 ALLOW\" already exists",
            ),
            (with(tcp(82, "10.0.0.0/33")), "InvalidParameterValue: CIDR block 10.0.0.0/33 is malformed"),
            (with(from_group("sg-1")), "InvalidGroup.NotFound: The security group 'sg-1' does not exist"),
            (
                with(json!({"IpProtocol": "tcp", "FromPort": 90, "ToPort": 80, "IpRanges": [{"CidrIp": ANYWHERE}]})),
                "InvalidParameterValue: Invalid TCP/UDP port range (90:80)",
            ),
            (
                with(json!({"IpProtocol": "tcp", "FromPort": 90, "ToPort": 90})),
                "MissingParameter: The request must contain the parameter ipRanges, ipv6Ranges, prefixListIds or groups",
            ),
            (
                with(json!({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]})),
                "InvalidPrefixListID.NotFound: The prefix list ID 'pl-1' does not exist",
            ),
            (
                json!({"GroupId": id}),
                "MissingParameter: The request must contain the parameter ipPermissions",
            ),
        ],
    );
    world.check_refusals(
        "RevokeSecurityGroupIngress",
        &[
            (
                ingress(&id, &[tcp(80, ANYWHERE), tcp(99, ANYWHERE)]),
                "InvalidPermission.NotFound: The specified rule does not exist in this security group.",
            ),
            (
                json!({"GroupId": id, "SecurityGroupRuleIds": ["sgr-1"]}),
                "InvalidSecurityGroupRuleId.NotFound: The security group rule ID 'sgr-1' does not exist",
            ),
        ],
    );
    // The world never undoes what a refused call wrote: so nothing was written.
    assert_eq!(rules(&mut world, &id), before);
}
