"""Security groups through boto3 and the aws CLI. That they are enforced is shown in tests/e2e."""

import pytest
from checks import refused


@pytest.fixture
def group(ec2, unique):
    made = ec2.create_security_group(GroupName=unique, Description="conformance")["GroupId"]
    yield made
    ec2.delete_security_group(GroupId=made)


def rules(ec2, group):
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    return sorted((rule["IsEgress"], rule["IpProtocol"], rule["FromPort"], rule.get("CidrIpv4", "")) for rule in found)


def test_a_groups_life_by_the_command_line(endpoint, ec2, unique):
    group = endpoint.aws("ec2", "create-security-group", "--group-name", unique, "--description", "by cli")["GroupId"]
    web = ["--group-id", group, "--protocol", "tcp", "--port", "80-81"]
    added = endpoint.aws("ec2", "authorize-security-group-ingress", *web, "--cidr", "10.0.0.0/8")
    assert added["SecurityGroupRules"][0]["SecurityGroupRuleId"].startswith("sgr-")
    endpoint.aws("ec2", "authorize-security-group-ingress", *web, "--source-group", group)
    assert len(rules(ec2, group)) == 3
    endpoint.aws("ec2", "revoke-security-group-ingress", *web, "--cidr", "10.0.0.0/8")
    assert rules(ec2, group) == [(False, "tcp", 80, ""), (True, "-1", -1, "0.0.0.0/0")]
    endpoint.aws("ec2", "delete-security-group", "--group-id", group)
    with refused("InvalidGroup.NotFound", f"The security group '{group}' does not exist"):
        ec2.describe_security_groups(GroupIds=[group])


def test_many_rules_are_paged(ec2, group):
    ranges = [{"CidrIp": f"10.0.{number}.0/24"} for number in range(60)]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": ranges}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group]}], PaginationConfig={"PageSize": 25}
    )
    found = [len(page["SecurityGroupRules"]) for page in pages]
    assert found == [25, 25, 11]
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert [len(permission["IpRanges"]) for permission in shown["IpPermissions"]] == [60]


def test_usual_mistakes_have_awss_codes(ec2, group, unique):
    with refused("InvalidGroup.Duplicate", f"The security group '{unique}' already exists for VPC"):
        ec2.create_security_group(GroupName=unique, Description="again")
    web = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[web])
    text = 'the specified rule "peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW" already exists'
    with refused("InvalidPermission.Duplicate", text):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[web])
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[{**web, "FromPort": 81, "ToPort": 81}])
    with refused("InvalidParameterValue", "CIDR block 0.0.0.0/99 is malformed"):
        bad = {**web, "IpRanges": [{"CidrIp": "0.0.0.0/99"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[bad])


def test_tags_are_found_again(ec2, group, unique):
    ec2.create_tags(Resources=[group], Tags=[{"Key": "Name", "Value": unique}])
    by_tag = [{"Name": "tag:Name", "Values": [unique]}]
    assert [found["GroupId"] for found in ec2.describe_security_groups(Filters=by_tag)["SecurityGroups"]] == [group]
    (tag,) = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [group]}])["Tags"]
    assert (tag["ResourceType"], tag["Value"]) == ("security-group", unique)
    ec2.delete_tags(Resources=[group])
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [group]}])["Tags"] == []
