"""Real tasks in two VPCs of the same range: each is a network apart, and routes decide what leaves it."""

import pytest

from gantry import wait_for

SERVE = "hostname -i > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@pytest.fixture
def ec2(gantry):
    return gantry.endpoint.client("ec2")


@pytest.fixture
def subnet(gantry, ec2, tasks):
    """Makes a VPC of 10.0.0.0/16 with one subnet of 16 addresses. It goes with all that is left in it."""
    made = []

    def make():
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/28")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="open", Description="e2e", VpcId=vpc)["GroupId"]
        anyone = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[anyone])
        made.append((vpc, subnet, group))
        return vpc, subnet, group

    yield make
    tasks.stop_all()
    for vpc, subnet, group in made:
        ec2.delete_security_group(GroupId=group)
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)
        directory = gantry.directory / "run" / vpc
        wait_for(lambda: not directory.exists(), lambda: list(directory.iterdir()))


@pytest.fixture
def start(tasks, busybox):
    """Runs a script as a task in a subnet; its ARN."""

    def start(script, subnet, group):
        tasks.subnets = [subnet]
        container = {"name": "main", "image": busybox, "stopTimeout": 2, "command": ["/bin/sh", "-c", script]}
        return tasks.run(container, fargate=True, groups=[group])

    return start


@pytest.fixture
def ask(tasks, start):
    def ask(script, subnet, group):
        task = tasks.wait_until_stopped(start(script, subnet, group))
        return task["containers"][0]["exitCode"] == 0

    return ask


def address_of(task):
    return task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]


def test_vpcs_of_the_same_range_are_networks_apart(tasks, subnet, start, ask):
    (_, one, one_group), (_, two, two_group) = subnet(), subnet()
    address = address_of(tasks.wait_until_running(start(SERVE, one, one_group)))
    assert address.startswith("10.0.1.")
    get = f"timeout 2 wget -q -O - http://{address}/ | grep -q '^{address}'"
    assert ask(get, one, one_group)
    assert not ask(get, two, two_group)
    # Whoever has that address in the other one is somebody else.
    metadata = 'wget -q -O - "$ECS_CONTAINER_METADATA_URI_V4/task" | grep -q DesiredStatus'
    for network in [(one, one_group), (two, two_group)]:
        assert ask(metadata, *network)
        assert ask("grep -q 'nameserver 10.0.0.2' /etc/resolv.conf", *network)
        assert ask("nslookup -type=a ip-172-31-0-5.ec2.internal | grep -q 172.31.0.5", *network)


def test_a_vpc_outlives_a_kill(gantry, tasks, subnet, start, ask):
    _, one, group = subnet()
    address = address_of(tasks.wait_until_running(start(SERVE, one, group)))
    listen = gantry.address
    gantry.kill()
    gantry.start(listen=listen)
    assert ask(f"timeout 2 wget -q -O - http://{address}/ | grep -q '^{address}'", one, group)
