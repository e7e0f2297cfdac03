"""Names, as tasks and this machine resolve them."""

import pytest

from gantry import wait_for
from resolve import resolve

RESOLVER = "172.31.0.2"


@pytest.fixture
def elbv2(gantry):
    return gantry.endpoint.client("elbv2")


@pytest.fixture
def balancer(gantry, elbv2, unique, subnets):
    """A load balancer's name and addresses."""
    made = elbv2.create_load_balancer(Name=unique.replace("e2e-", "dns-"), Subnets=subnets[:2])["LoadBalancers"][0]
    described = "ELB " + made["LoadBalancerArn"].split(":loadbalancer/")[1]
    found = gantry.endpoint.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "description", "Values": [described]}]
    )
    yield made["DNSName"], sorted(interface["PrivateIpAddress"] for interface in found["NetworkInterfaces"])
    elbv2.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])


def test_this_machine_asks_the_vpcs_resolver(balancer):
    name, addresses = balancer
    wait_for(lambda: resolve(RESOLVER, name) == ("NOERROR", addresses), lambda: resolve(RESOLVER, name))
    assert resolve(RESOLVER, name, tcp=True) == ("NOERROR", addresses)
    assert resolve(RESOLVER, name, "AAAA") == ("NOERROR", [])
    assert resolve(RESOLVER, f"x{name}") == ("NXDOMAIN", [])
    assert resolve(RESOLVER, "ip-172-31-0-9.ec2.internal") == ("NOERROR", ["172.31.0.9"])
    assert resolve(RESOLVER, "9.0.31.172.in-addr.arpa", "PTR") == ("NOERROR", ["ip-172-31-0-9.ec2.internal"])


@pytest.mark.parametrize("network_mode", ["awsvpc", "bridge", "host"])
def test_tasks_ask_it_in_every_network_mode(network_mode, tasks, busybox, balancer, unique, messages, log_configuration):
    name, addresses = balancer
    ask = f"cat /etc/resolv.conf; until nslookup {name}; do sleep 0.2; done; exec sleep 1000"
    container = {
        "name": "main",
        "image": busybox,
        "memory": 64,
        "stopTimeout": 2,
        "command": ["/bin/sh", "-c", ask],
        "logConfiguration": log_configuration(),
    }
    arn = tasks.run(container, networkMode=network_mode, executionRoleArn="ecsTaskExecutionRole")
    stream = f"e2e/main/{arn.rsplit('/', 1)[1]}"

    def lines():
        return messages(f"/{unique}", stream)

    wait_for(lambda: all(any(address in line for line in lines()) for address in addresses), lines)
    assert f"nameserver {RESOLVER}" in lines()
    if network_mode == "awsvpc":
        assert "search ec2.internal" in lines()
