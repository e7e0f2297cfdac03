"""Network load balancers, and what every load balancer can be asked and told besides, as boto3 uses it. No traffic: see
the tests with real containers."""

import pytest
from checks import refused


@pytest.fixture(scope="session")
def elbv2(endpoint):
    return endpoint.client("elbv2")


@pytest.fixture(scope="session")
def subnets(ec2):
    return [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]


@pytest.fixture(scope="session")
def vpc(ec2):
    return ec2.describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def name(unique):
    return unique.replace("conformance", "c")


@pytest.fixture
def made(elbv2, subnets, name, group):
    """Makes a load balancer of a type. It goes before the groups that it uses."""
    arns = []

    def make(kind, **arguments):
        arguments = {"Subnets": subnets[:2], **arguments}
        answer = elbv2.create_load_balancer(Name=f"{name}-{len(arns)}", Type=kind, **arguments)["LoadBalancers"][0]
        arns.append(answer["LoadBalancerArn"])
        return answer

    yield make
    for arn in arns:
        elbv2.delete_load_balancer(LoadBalancerArn=arn)


@pytest.fixture
def group(elbv2, vpc, name):
    """Makes a target group of a protocol."""
    arns = []

    def make(protocol, **arguments):
        answer = elbv2.create_target_group(
            Name=f"{name}-{len(arns)}", Protocol=protocol, Port=80, VpcId=vpc, TargetType="ip", **arguments
        )
        arns.append(answer["TargetGroups"][0]["TargetGroupArn"])
        return answer["TargetGroups"][0]

    yield make
    for arn in arns:
        elbv2.delete_target_group(TargetGroupArn=arn)


def listen(elbv2, load_balancer, protocol, group, port=80):
    return elbv2.create_listener(
        LoadBalancerArn=load_balancer["LoadBalancerArn"],
        Protocol=protocol,
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )["Listeners"][0]


def attributes(answer):
    return {attribute["Key"]: attribute["Value"] for attribute in answer["Attributes"]}


def test_a_network_load_balancer(elbv2, made, group, subnets):
    load_balancer = made("network", Subnets=subnets[:1])
    assert load_balancer["Type"] == "network" and ":loadbalancer/net/" in load_balancer["LoadBalancerArn"]
    assert "SecurityGroups" not in load_balancer
    targets = group("TCP")
    check = {key: targets[key] for key in targets if key.startswith("HealthCheck")}
    assert check["HealthCheckProtocol"] == "TCP" and "HealthCheckPath" not in check
    assert "Matcher" not in targets and "ProtocolVersion" not in targets
    listener = listen(elbv2, load_balancer, "TCP", targets)
    assert ":listener/net/" in listener["ListenerArn"]
    arn = load_balancer["LoadBalancerArn"]
    assert elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"] == [listener]
    elbv2.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1})


def test_attributes(elbv2, made, group):
    load_balancer, targets = made("network"), group("TCP")
    arn, group_arn = load_balancer["LoadBalancerArn"], targets["TargetGroupArn"]
    cross = {"Key": "load_balancing.cross_zone.enabled", "Value": "true"}
    shown = attributes(elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[cross]))
    assert shown["load_balancing.cross_zone.enabled"] == "true" and "idle_timeout.timeout_seconds" not in shown
    proxy = {"Key": "proxy_protocol_v2.enabled", "Value": "true"}
    shown = attributes(elbv2.modify_target_group_attributes(TargetGroupArn=group_arn, Attributes=[proxy]))
    assert (shown["proxy_protocol_v2.enabled"], shown["stickiness.type"]) == ("true", "source_ip")
    with refused("UnsupportedFeature"):
        preserve = {"Key": "preserve_client_ip.enabled", "Value": "true"}
        elbv2.modify_target_group_attributes(TargetGroupArn=group_arn, Attributes=[preserve])
    listener = listen(elbv2, load_balancer, "TCP", targets)["ListenerArn"]
    idle = {"Key": "tcp.idle_timeout.seconds", "Value": "60"}
    assert attributes(elbv2.modify_listener_attributes(ListenerArn=listener, Attributes=[idle])) == {idle["Key"]: "60"}
    with refused("ValidationError"):
        elbv2.modify_listener_attributes(ListenerArn=listener, Attributes=[{**idle, "Value": "59"}])


def test_what_does_not_go_together(elbv2, made, group):
    network, application = made("network"), made("application")
    tcp, http, udp = group("TCP"), group("HTTP"), group("UDP")
    for load_balancer, protocol, targets, code in [
        (network, "HTTP", http, "ValidationError"),
        (application, "TCP", tcp, "ValidationError"),
        (network, "TCP", http, "IncompatibleProtocols"),
        (network, "TCP", udp, "IncompatibleProtocols"),
        (application, "HTTP", tcp, "IncompatibleProtocols"),
        (network, "TLS", tcp, "ValidationError"),
        (network, "QUIC", tcp, "UnsupportedFeature"),
    ]:
        with refused(code):
            listen(elbv2, load_balancer, protocol, targets)
    listener = listen(elbv2, network, "TCP", tcp)
    with refused("OperationNotPermitted", "Rules are unsupported for Network Load Balancer listeners"):
        elbv2.create_rule(
            ListenerArn=listener["ListenerArn"],
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/"]}],
            Actions=[{"Type": "forward", "TargetGroupArn": tcp["TargetGroupArn"]}],
        )
    with refused("UnsupportedFeature"):
        made("gateway")


def test_it_moves_to_other_subnets_and_keeps_its_address_where_it_stays(elbv2, ec2, made, subnets):
    arn = made("network", Subnets=subnets[:2])["LoadBalancerArn"]

    def addresses():
        described = "ELB " + arn.split(":loadbalancer/")[1]
        filters = [{"Name": "description", "Values": [described]}]
        found = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return {interface["SubnetId"]: interface["PrivateIpAddress"] for interface in found}

    before = addresses()
    zones = elbv2.set_subnets(LoadBalancerArn=arn, Subnets=subnets[1:3])["AvailabilityZones"]
    assert [zone["SubnetId"] for zone in zones] == subnets[1:3]
    after = addresses()
    assert set(after) == set(subnets[1:3]) and after[subnets[1]] == before[subnets[1]]
    with refused("SubnetNotFound"):
        elbv2.set_subnets(LoadBalancerArn=arn, Subnets=["subnet-0123456789abcdef0"])


def test_security_groups_and_address_types(elbv2, made):
    application = made("application")
    arn, groups = application["LoadBalancerArn"], application["SecurityGroups"]
    assert elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=groups)["SecurityGroupIds"] == groups
    with refused("InvalidSecurityGroup"):
        elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=["sg-0123456789abcdef0"])
    with refused("InvalidConfigurationRequest"):
        elbv2.set_security_groups(LoadBalancerArn=made("network")["LoadBalancerArn"], SecurityGroups=groups)
    assert elbv2.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="ipv4")["IpAddressType"] == "ipv4"
    with refused("UnsupportedFeature"):
        elbv2.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="dualstack")


def test_headers_of_answers(elbv2, made, group):
    listener = listen(elbv2, made("application"), "HTTP", group("HTTP"))["ListenerArn"]
    given = [
        {"Key": "routing.http.response.server.enabled", "Value": "false"},
        {"Key": "routing.http.response.x_frame_options.header_value", "Value": "DENY"},
    ]
    shown = attributes(elbv2.modify_listener_attributes(ListenerArn=listener, Attributes=given))
    assert {attribute["Key"]: attribute["Value"] for attribute in given}.items() <= shown.items()
    assert attributes(elbv2.describe_listener_attributes(ListenerArn=listener)) == shown


def test_limits_and_capacity(elbv2, made):
    limits = elbv2.describe_account_limits()["Limits"]
    assert {"Name": "target-groups", "Max": "3000"} in limits
    first = elbv2.describe_account_limits(PageSize=5)
    rest = elbv2.describe_account_limits(Marker=first["NextMarker"])
    assert first["Limits"] + rest["Limits"] == limits
    arn = made("application")["LoadBalancerArn"]
    assert elbv2.describe_capacity_reservation(LoadBalancerArn=arn)["CapacityReservationState"] == []
    with refused("UnsupportedOperation"):
        elbv2.modify_capacity_reservation(
            LoadBalancerArn=arn, MinimumLoadBalancerCapacity={"CapacityUnits": 100}
        )
