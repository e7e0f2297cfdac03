"""VPCs of one's own, in the order in which Terraform's resources make them and take them away."""

import pytest
from checks import refused

RANGE = "10.0.0.0/16"


def only(items):
    (item,) = items
    return item


@pytest.fixture
def vpc(ec2, unique):
    """A VPC with nothing in it, named after the test."""
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": unique}]}]
    vpc_id = ec2.create_vpc(CidrBlock=RANGE, InstanceTenancy="default", TagSpecifications=tags)["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc_id])
    yield vpc_id
    ec2.delete_vpc(VpcId=vpc_id)
    with refused("InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist"):
        ec2.describe_vpcs(VpcIds=[vpc_id])


def test_what_terraform_reads_after_it_made_a_vpc(endpoint, ec2, vpc, unique):
    by_vpc = [{"Name": "vpc-id", "Values": [vpc]}]
    shown = only(ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"])
    assert shown["CidrBlock"] == RANGE and shown["IsDefault"] is False
    assert shown["Tags"] == [{"Key": "Name", "Value": unique}]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    for attribute, value in [("enableDnsSupport", True), ("enableDnsHostnames", True)]:
        answer = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
        assert answer[attribute[0].upper() + attribute[1:]] == {"Value": value}
    acl = only(ec2.describe_network_acls(Filters=[{"Name": "default", "Values": ["true"]}, *by_vpc])["NetworkAcls"])
    assert acl["VpcId"] == vpc
    main = [{"Name": "association.main", "Values": ["true"]}, *by_vpc]
    assert only(ec2.describe_route_tables(Filters=main)["RouteTables"])["VpcId"] == vpc
    named = [{"Name": "group-name", "Values": ["default"]}, *by_vpc]
    assert only(ec2.describe_security_groups(Filters=named)["SecurityGroups"])["VpcId"] == vpc
    by_cli = endpoint.aws("ec2", "describe-vpcs", "--filters", f"Name=tag:Name,Values={unique}")
    assert only(by_cli["Vpcs"])["VpcId"] == vpc


def test_a_network_with_a_public_and_a_private_subnet(ec2, vpc):
    def subnet(block, zone):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        ec2.get_waiter("subnet_available").wait(SubnetIds=[made])
        return made

    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    public, private = subnet("10.0.1.0/24", zone), subnet("10.0.2.0/24", zone)
    ec2.modify_subnet_attribute(SubnetId=public, MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    shown = only(ec2.describe_internet_gateways(Filters=attached)["InternetGateways"])
    assert shown["Attachments"] == [{"State": "available", "VpcId": vpc}]
    address = ec2.allocate_address(Domain="vpc")
    allocation = address["AllocationId"]
    assert only(ec2.describe_addresses(AllocationIds=[allocation])["Addresses"])["PublicIp"] == address["PublicIp"]
    attribute = ec2.describe_addresses_attribute(AllocationIds=[allocation], Attribute="domain-name")
    assert only(attribute["Addresses"])["AllocationId"] == allocation
    made = ec2.create_nat_gateway(SubnetId=public, AllocationId=allocation)["NatGateway"]
    nat = made["NatGatewayId"]
    assert made["State"] == "pending"
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat])

    def table(subnet_id, **target):
        made = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", **target)
        association = ec2.associate_route_table(RouteTableId=made, SubnetId=subnet_id)["AssociationId"]
        by_subnet = [{"Name": "association.subnet-id", "Values": [subnet_id]}]
        shown = only(ec2.describe_route_tables(Filters=by_subnet)["RouteTables"])
        assert [route["State"] for route in shown["Routes"]] == ["active", "active"]
        return made, association

    tables = [table(public, GatewayId=gateway), table(private, NatGatewayId=nat)]
    group = ec2.create_security_group(GroupName="web", Description="of a test", VpcId=vpc)["GroupId"]
    with refused("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted."):
        ec2.delete_vpc(VpcId=vpc)

    for made, association in tables:
        ec2.disassociate_route_table(AssociationId=association)
        ec2.delete_route_table(RouteTableId=made)
    ec2.delete_nat_gateway(NatGatewayId=nat)
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat])
    ec2.release_address(AllocationId=allocation)
    with refused("InvalidAllocationID.NotFound"):
        ec2.describe_addresses(AllocationIds=[allocation])
    ec2.delete_security_group(GroupId=group)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    for made in [public, private]:
        ec2.delete_subnet(SubnetId=made)


def test_tasks_are_in_one_vpc(endpoint, ecs, ec2, register, vpc):
    elbv2 = endpoint.client("elbv2")
    own = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    default = [{"Name": "default-for-az", "Values": ["true"]}]
    built_in = [subnet["SubnetId"] for subnet in ec2.describe_subnets(Filters=default)["Subnets"]]
    run = {"taskDefinition": register(), "launchType": "FARGATE"}
    with refused("InvalidParameterException", "The provided subnets are not in the same VPC."):
        ecs.run_task(**run, networkConfiguration={"awsvpcConfiguration": {"subnets": [own, built_in[0]]}})
    group = ec2.create_security_group(GroupName="web", Description="of a test", VpcId=vpc)["GroupId"]
    apart = f"Security group {group} does not appear to belong to the same VPC as the input subnets."
    elsewhere = {"subnets": built_in[:1], "securityGroups": [group]}
    with refused("InvalidParameterException", apart):
        ecs.run_task(**run, networkConfiguration={"awsvpcConfiguration": elsewhere})
    ec2.delete_security_group(GroupId=group)
    with refused("UnsupportedFeature", "Load balancers in VPCs other than the built-in one are not supported"):
        elbv2.create_load_balancer(Name="own", Subnets=[own, built_in[1]])
    with refused("UnsupportedFeature", "Target groups in VPCs other than the built-in one are not supported"):
        elbv2.create_target_group(Name="own", Protocol="HTTP", Port=80, TargetType="ip", VpcId=vpc)
    ec2.delete_subnet(SubnetId=own)


def test_prefix_lists(ec2):
    made = ec2.create_managed_prefix_list(
        PrefixListName="offices", AddressFamily="IPv4", MaxEntries=5, Entries=[{"Cidr": "192.0.2.0/24"}]
    )["PrefixList"]
    prefix_list = made["PrefixListId"]
    shown = only(ec2.describe_managed_prefix_lists(PrefixListIds=[prefix_list])["PrefixLists"])
    assert (made["State"], shown["State"]) == ("create-in-progress", "create-complete")
    ec2.modify_managed_prefix_list(
        PrefixListId=prefix_list, CurrentVersion=1, AddEntries=[{"Cidr": "198.51.100.0/24", "Description": "lab"}]
    )
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list)["Entries"]
    assert {entry["Cidr"] for entry in entries} == {"192.0.2.0/24", "198.51.100.0/24"}
    ec2.delete_managed_prefix_list(PrefixListId=prefix_list)
    with refused("InvalidPrefixListID.NotFound"):
        ec2.describe_managed_prefix_lists(PrefixListIds=[prefix_list])
