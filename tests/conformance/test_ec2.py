"""The built-in network, as clients look it up before they run tasks."""

import pytest
from checks import refused

ZONES = ["a", "b", "c"]


def test_the_default_vpc(ec2, sts):
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    assert vpc["CidrBlock"] == "172.31.0.0/16"
    assert vpc["State"] == "available"
    assert vpc["IsDefault"] is True
    assert vpc["InstanceTenancy"] == "default"
    assert vpc["OwnerId"] == sts.get_caller_identity()["Account"]
    assert vpc["CidrBlockAssociationSet"][0]["CidrBlockState"] == {"State": "associated"}
    assert ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"] == [vpc]


def test_a_subnet_in_each_zone(endpoint, ec2):
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    by_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = sorted(ec2.describe_subnets(Filters=by_vpc)["Subnets"], key=lambda subnet: subnet["AvailabilityZone"])
    assert [subnet["AvailabilityZone"] for subnet in subnets] == [endpoint.region + letter for letter in ZONES]
    assert [subnet["CidrBlock"] for subnet in subnets] == ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]
    for subnet in subnets:
        assert 0 < subnet["AvailableIpAddressCount"] <= 4091
        assert subnet["SubnetArn"].endswith(f":subnet/{subnet['SubnetId']}")
    by_cli = endpoint.aws("ec2", "describe-subnets", "--subnet-ids", subnets[0]["SubnetId"])
    assert by_cli["Subnets"][0]["CidrBlock"] == "172.31.0.0/20"


def test_the_default_security_group(ec2):
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    assert group["VpcId"] == vpc["VpcId"]
    (inward,) = group["IpPermissions"]
    assert inward["IpProtocol"] == "-1"
    assert inward["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    (outward,) = group["IpPermissionsEgress"]
    assert outward["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]


@pytest.mark.parametrize(
    "filters, count",
    [
        ([("availability-zone", ["*a"])], 1),
        ([("availability-zone", ["*a", "*b"])], 2),
        ([("availability-zone", ["*a"]), ("default-for-az", ["true"])], 1),
        ([("availability-zone", ["*a"]), ("default-for-az", ["false"])], 0),
        ([("cidr-block", ["172.31.?.0/20"])], 1),
        ([("state", ["available"])], 3),
        ([("subnet-id", ["subnet-\\*"])], 0),
        ([("tag:Name", ["*"])], 0),
    ],
)
def test_filters(ec2, filters, count):
    asked = [{"Name": name, "Values": values} for name, values in filters]
    assert len(ec2.describe_subnets(Filters=asked)["Subnets"]) == count


def test_what_is_not_there_is_refused(ec2):
    missing = "0" * 17
    with refused("InvalidVpcID.NotFound", f"The vpc ID 'vpc-{missing}' does not exist", 400):
        ec2.describe_vpcs(VpcIds=[f"vpc-{missing}"])
    with refused("InvalidSubnetID.NotFound", f"The subnet ID 'subnet-{missing}' does not exist"):
        ec2.describe_subnets(SubnetIds=[f"subnet-{missing}"])
    with refused("InvalidSubnetID.NotFound", "The subnet IDs 'subnet-1, subnet-2' do not exist"):
        ec2.describe_subnets(SubnetIds=["subnet-1", "subnet-2"])
    with refused("InvalidGroup.NotFound", f"The security group 'sg-{missing}' does not exist"):
        ec2.describe_security_groups(GroupIds=[f"sg-{missing}"])
    with refused("InvalidGroupId.Malformed", 'Invalid id: "group" (expecting "sg-...")'):
        ec2.describe_security_groups(GroupIds=["group"])
    with refused("InvalidGroup.NotFound", "The security group 'web' does not exist in default VPC"):
        ec2.describe_security_groups(GroupNames=["web"])
    with refused("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID 'eni-{missing}' does not exist"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[f"eni-{missing}"])
    with refused("InvalidParameterValue", "Invalid availability zone: [us-east-9z]"):
        ec2.describe_availability_zones(ZoneNames=["us-east-9z"])


def test_bad_arguments_are_refused(ec2):
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        ec2.describe_subnets(Filters=[{"Name": "colour", "Values": ["red"]}])
    with refused("InvalidNextToken"):
        ec2.describe_subnets(NextToken="?")
    with refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412):
        ec2.describe_vpcs(DryRun=True)
    too_many = [f"subnet-{number}" for number in range(201)]
    with refused("FilterLimitExceeded"):
        ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": too_many}])


def test_zones_and_regions(endpoint, ec2):
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [endpoint.region + letter for letter in ZONES]
    assert all(zone["State"] == "available" for zone in zones)
    regions = ec2.describe_regions()["Regions"]
    assert endpoint.region in [region["RegionName"] for region in regions]
    (own,) = ec2.describe_regions(RegionNames=[endpoint.region])["Regions"]
    assert own["Endpoint"] == f"ec2.{endpoint.region}.amazonaws.com"


def test_regions_have_networks_of_their_own(endpoint, ec2):
    (here,) = ec2.describe_vpcs()["Vpcs"]
    (elsewhere,) = endpoint.client("ec2", region="eu-west-3").describe_vpcs()["Vpcs"]
    assert here["VpcId"] != elsewhere["VpcId"]


def test_a_task_has_an_interface_for_as_long_as_it_lives(ecs, ec2, unique):
    subnets = ec2.describe_subnets()["Subnets"]
    subnet = min(subnets, key=lambda subnet: subnet["AvailabilityZone"])["SubnetId"]
    cluster = ecs.create_cluster(clusterName=unique)["cluster"]["clusterName"]
    definition = ecs.register_task_definition(
        family=unique,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "main", "image": "busybox"}],
    )["taskDefinition"]["taskDefinitionArn"]
    (task,) = ecs.run_task(
        cluster=cluster,
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )["tasks"]
    try:
        ecs.get_waiter("tasks_running").wait(
            cluster=cluster, tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        (task,) = ecs.describe_tasks(cluster=cluster, tasks=[task["taskArn"]])["tasks"]
        (attachment,) = task["attachments"]
        details = {detail["name"]: detail["value"] for detail in attachment["details"]}
        interface_id = details["networkInterfaceId"]
        (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])["NetworkInterfaces"]
        assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
        assert interface["MacAddress"] == details["macAddress"]
        assert interface["SubnetId"] == details["subnetId"] == subnet
        assert interface["Status"] == "in-use"
        assert interface["Description"].endswith(f":attachment/{attachment['id']}")
        found = ec2.describe_network_interfaces(
            Filters=[
                {"Name": "addresses.private-ip-address", "Values": [details["privateIPv4Address"]]},
                {"Name": "subnet-id", "Values": [subnet]},
                {"Name": "description", "Values": ["*:attachment/*"]},
            ]
        )["NetworkInterfaces"]
        assert [one["NetworkInterfaceId"] for one in found] == [interface_id]
    finally:
        ecs.stop_task(cluster=cluster, task=task["taskArn"])
        ecs.get_waiter("tasks_stopped").wait(
            cluster=cluster, tasks=[task["taskArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        ecs.delete_cluster(cluster=cluster)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])
