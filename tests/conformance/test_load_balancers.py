"""Elastic Load Balancing v2 as boto3 and the aws CLI use it: what is made is what is shown, and what AWS refuses is
refused. No traffic: see the tests with real containers."""

import pytest
from checks import refused

CHECK = {"HealthCheckPath": "/up", "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2}


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
def load_balancer(elbv2, subnets, name):
    made = elbv2.create_load_balancer(Name=name, Subnets=subnets[:2], Tags=[{"Key": "team", "Value": "a"}])
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    yield made["LoadBalancers"][0]
    elbv2.delete_load_balancer(LoadBalancerArn=arn)
    elbv2.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1})


@pytest.fixture
def group(elbv2, vpc, name):
    made = elbv2.create_target_group(Name=name, Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", **CHECK)
    yield made["TargetGroups"][0]
    elbv2.delete_target_group(TargetGroupArn=made["TargetGroups"][0]["TargetGroupArn"])


@pytest.fixture
def listener(elbv2, load_balancer, group):
    made = elbv2.create_listener(
        LoadBalancerArn=load_balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    yield made["Listeners"][0]
    elbv2.delete_listener(ListenerArn=made["Listeners"][0]["ListenerArn"])


def test_a_load_balancer(elbv2, ec2, load_balancer, subnets, name, vpc, endpoint):
    assert load_balancer["LoadBalancerName"] == name
    assert load_balancer["Scheme"] == "internet-facing"
    assert load_balancer["Type"] == "application"
    assert load_balancer["VpcId"] == vpc
    assert load_balancer["State"]["Code"] == "active"
    assert [zone["SubnetId"] for zone in load_balancer["AvailabilityZones"]] == subnets[:2]
    assert load_balancer["DNSName"].startswith(f"{name}-") and load_balancer["DNSName"].endswith(".elb.localhost")
    arn = load_balancer["LoadBalancerArn"]
    elbv2.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn])
    shown = endpoint.aws("elbv2", "describe-load-balancers", "--names", name)["LoadBalancers"][0]
    assert shown["LoadBalancerArn"] == arn
    assert elbv2.create_load_balancer(Name=name, Subnets=subnets[:2])["LoadBalancers"][0]["LoadBalancerArn"] == arn

    described = f"ELB app/{name}/{arn.rsplit('/', 1)[1]}"
    found = ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [described]}])
    assert {interface["SubnetId"] for interface in found["NetworkInterfaces"]} == set(subnets[:2])


def test_attributes_and_tags(elbv2, load_balancer, group):
    arn = load_balancer["LoadBalancerArn"]
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "10"}]
    )
    attributes = elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    shown = {attribute["Key"]: attribute["Value"] for attribute in attributes}
    assert shown["idle_timeout.timeout_seconds"] == "10"
    assert shown["routing.http2.enabled"] == "true"
    with refused("UnsupportedFeature", "access_logs.s3.enabled"):
        elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": "access_logs.s3.enabled", "Value": "true"}]
        )
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}
    changed = elbv2.modify_target_group_attributes(TargetGroupArn=group["TargetGroupArn"], Attributes=[delay])
    assert delay in changed["Attributes"]

    elbv2.add_tags(ResourceArns=[arn], Tags=[{"Key": "stage", "Value": "test"}])
    elbv2.remove_tags(ResourceArns=[arn], TagKeys=["team"])
    (description,) = elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    assert description["Tags"] == [{"Key": "stage", "Value": "test"}]


def test_deletion_protection(elbv2, load_balancer):
    arn = load_balancer["LoadBalancerArn"]
    for value in ("true", "false"):
        protection = {"Key": "deletion_protection.enabled", "Value": value}
        elbv2.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
        if value == "true":
            with refused("OperationNotPermitted", "deletion protection is enabled"):
                elbv2.delete_load_balancer(LoadBalancerArn=arn)


def test_a_target_group_and_its_targets(elbv2, group, listener, load_balancer):
    arn = group["TargetGroupArn"]
    assert group["HealthCheckPath"] == "/up"
    assert group["Matcher"] == {"HttpCode": "200"}
    (shown,) = elbv2.describe_target_groups(LoadBalancerArn=load_balancer["LoadBalancerArn"])["TargetGroups"]
    assert shown["LoadBalancerArns"] == [load_balancer["LoadBalancerArn"]]
    modified = elbv2.modify_target_group(TargetGroupArn=arn, HealthyThresholdCount=2, Matcher={"HttpCode": "200-299,301"})
    assert modified["TargetGroups"][0]["Matcher"] == {"HttpCode": "200-299,301"}

    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": "172.31.0.99"}, {"Id": "172.31.0.99", "Port": 81}])
    found = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert [description["Target"] for description in found] == [
        {"Id": "172.31.0.99", "Port": 81},
        {"Id": "172.31.0.99", "Port": 8080},
    ]
    unknown = elbv2.describe_target_health(TargetGroupArn=arn, Targets=[{"Id": "172.31.0.98"}])
    assert unknown["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"] == "Target.NotRegistered"
    elbv2.modify_target_group_attributes(
        TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    )
    elbv2.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "172.31.0.99"}])
    elbv2.get_waiter("target_deregistered").wait(
        TargetGroupArn=arn, Targets=[{"Id": "172.31.0.99"}], WaiterConfig={"Delay": 1}
    )
    with refused("ResourceInUse", "currently in use by a listener or a rule"):
        elbv2.delete_target_group(TargetGroupArn=arn)


def test_rules_by_priority(elbv2, listener, group):
    def create(priority, value):
        condition = {"Field": "path-pattern", "Values": [value]}
        action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": value}}
        made = elbv2.create_rule(
            ListenerArn=listener["ListenerArn"], Priority=priority, Conditions=[condition], Actions=[action]
        )
        return made["Rules"][0]

    second, first = create(20, "/b*"), create(10, "/a*")
    assert first["Conditions"][0]["PathPatternConfig"] == {"Values": ["/a*"]}
    rules = elbv2.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    assert [rule["Priority"] for rule in rules] == ["10", "20", "default"]
    assert rules[-1]["IsDefault"]
    with refused("PriorityInUse", "Priority '10' is currently in use"):
        create(10, "/c*")
    elbv2.set_rule_priorities(
        RulePriorities=[
            {"RuleArn": first["RuleArn"], "Priority": 20},
            {"RuleArn": second["RuleArn"], "Priority": 10},
        ]
    )
    rules = elbv2.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    assert [rule["RuleArn"] for rule in rules[:2]] == [second["RuleArn"], first["RuleArn"]]
    forward = {
        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [{"TargetGroupArn": group["TargetGroupArn"], "Weight": 7}],
            "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60},
        },
    }
    hosts = [{"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}}]
    changed = elbv2.modify_rule(RuleArn=first["RuleArn"], Actions=[forward], Conditions=hosts)["Rules"][0]
    assert changed["Actions"][0]["ForwardConfig"] == forward["ForwardConfig"]
    assert changed["Conditions"][0]["HostHeaderConfig"] == {"Values": ["*.example.com"]}
    elbv2.delete_rule(RuleArn=second["RuleArn"])
    with refused("OperationNotPermitted", "cannot be changed"):
        elbv2.delete_rule(RuleArn=rules[-1]["RuleArn"])


def test_a_listener_is_changed(elbv2, listener, load_balancer, group):
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    changed = elbv2.modify_listener(ListenerArn=listener["ListenerArn"], Port=8080, DefaultActions=[redirect])
    shown = changed["Listeners"][0]
    assert shown["Port"] == 8080
    assert shown["DefaultActions"][0]["RedirectConfig"]["Path"] == "/#{path}"
    with refused("DuplicateListener", "already exists on this port"):
        elbv2.create_listener(
            LoadBalancerArn=load_balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=8080,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )


@pytest.mark.parametrize(
    "changes, code, text",
    [
        ({"Name": "-a"}, "ValidationError", "cannot begin or end with a hyphen"),
        ({"Name": "a_b"}, "ValidationError", "can only contain characters that are alphanumeric"),
        ({"Name": "internal-a"}, "ValidationError", "cannot begin with 'internal-'"),
        ({"Name": "a" * 33}, "ValidationError", "cannot be longer than '32' characters"),
        ({"Subnets": ["subnet-1"]}, "SubnetNotFound", "The subnet ID 'subnet-1' does not exist"),
        ({"Subnets": []}, "ValidationError", "At least two subnets in two different Availability Zones"),
        ({"Type": "gateway"}, "UnsupportedFeature", "Load balancers of type 'gateway' are"),
        ({"SecurityGroups": ["sg-1"]}, "InvalidSecurityGroup", "The security group 'sg-1' does not exist"),
    ],
)
def test_what_cannot_be_a_load_balancer(elbv2, subnets, changes, code, text):
    with refused(code, text):
        elbv2.create_load_balancer(**{"Name": "a", "Subnets": subnets, **changes})


@pytest.mark.parametrize(
    "changes, code, text",
    [
        ({"TargetType": "lambda"}, "UnsupportedFeature", "Targets of type 'lambda' are"),
        ({"Protocol": "GENEVE"}, "UnsupportedFeature", "Target groups of protocol 'GENEVE' are"),
        ({"VpcId": "vpc-1"}, "ValidationError", "The VPC ID 'vpc-1' is not found"),
        ({"HealthCheckTimeoutSeconds": 60}, "ValidationError", "must be smaller than the interval"),
        ({"HealthCheckPath": "up"}, "ValidationError", "must begin with a '/' character"),
        ({"Matcher": {"HttpCode": "100"}}, "ValidationError", "must be within 200-599"),
        ({"Name": "a.b"}, "ValidationError", "can only contain characters that are alphanumeric"),
    ],
)
def test_what_cannot_be_a_target_group(elbv2, vpc, changes, code, text):
    request = {"Name": "a", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip", **changes}
    with refused(code, text):
        elbv2.create_target_group(**request)


def test_what_is_not_there(elbv2, load_balancer, listener):
    def other(arn):
        return arn[:-1] + ("0" if arn[-1] != "0" else "1")

    with refused("LoadBalancerNotFound", "not found"):
        elbv2.describe_load_balancers(Names=["none"])
    with refused("LoadBalancerNotFound", "One or more load balancers not found"):
        elbv2.describe_load_balancers(LoadBalancerArns=[other(load_balancer["LoadBalancerArn"])])
    with refused("ListenerNotFound", "One or more listeners not found"):
        elbv2.delete_listener(ListenerArn=other(listener["ListenerArn"]))
    with refused("ValidationError", "is not a valid load balancer ARN"):
        elbv2.describe_listeners(LoadBalancerArn="x")
    elbv2.delete_load_balancer(LoadBalancerArn=other(load_balancer["LoadBalancerArn"]))


def test_targets_outside_of_the_vpc(elbv2, group):
    with refused("InvalidTarget", "is not within the range of VPC"):
        elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "10.0.0.1"}])
    with refused("ValidationError", "is not a valid IPv4 address"):
        elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "i-1"}])
