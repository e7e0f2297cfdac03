"""Services behind load balancers as boto3 makes and watches them. The nodes are simulated: every target counts as healthy
once it is registered. Requests are carried in the tests with real containers."""

import pytest
from checks import refused

WAIT = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture(scope="session")
def elbv2(endpoint):
    return endpoint.client("elbv2")


@pytest.fixture
def groups(elbv2, ec2, unique):
    """Two target groups, each with a listener of one load balancer; and one without."""
    name = unique.replace("conformance", "c")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    balancer = elbv2.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    arns = []
    for number in range(3):
        group = {"Name": f"{name}-{number}", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
        arns.append(elbv2.create_target_group(**group)["TargetGroups"][0]["TargetGroupArn"])
        if number < 2:
            action = {"Type": "forward", "TargetGroupArn": arns[-1]}
            elbv2.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80 + number, DefaultActions=[action])
    yield arns
    elbv2.delete_load_balancer(LoadBalancerArn=balancer)
    for arn in arns:
        elbv2.delete_target_group(TargetGroupArn=arn)


@pytest.fixture
def create(ecs, ec2, unique):
    """Makes a service in a cluster of its own; all goes after the test."""
    ecs.create_cluster(clusterName=unique)
    container = {"name": "web", "image": "web", "portMappings": [{"containerPort": 80}]}
    ecs.register_task_definition(
        family=unique,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container],
    )
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]

    def create(load_balancers, **changes):
        request = {
            "cluster": unique,
            "serviceName": unique,
            "taskDefinition": unique,
            "desiredCount": 2,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
            "loadBalancers": load_balancers,
            **changes,
        }
        return ecs.create_service(**request)["service"]

    yield create
    for arn in ecs.list_services(cluster=unique)["serviceArns"]:
        ecs.delete_service(cluster=unique, service=arn, force=True)
        ecs.get_waiter("services_inactive").wait(cluster=unique, services=[arn], WaiterConfig=WAIT)
    while ecs.list_tasks(cluster=unique)["taskArns"]:
        ecs.get_waiter("tasks_stopped").wait(
            cluster=unique, tasks=ecs.list_tasks(cluster=unique)["taskArns"], WaiterConfig=WAIT
        )
    ecs.delete_cluster(cluster=unique)


def behind(group, **changes):
    return {"targetGroupArn": group, "containerName": "web", "containerPort": 80, **changes}


def states(elbv2, group):
    found = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [description["TargetHealth"]["State"] for description in found]


def test_tasks_come_into_their_target_group_and_leave_it(ecs, elbv2, groups, create, unique):
    created = create([behind(groups[0])], healthCheckGracePeriodSeconds=30)
    assert created["loadBalancers"] == [behind(groups[0])]
    assert created["healthCheckGracePeriodSeconds"] == 30
    ecs.get_waiter("services_stable").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)
    elbv2.get_waiter("target_in_service").wait(TargetGroupArn=groups[0], WaiterConfig=WAIT)
    assert states(elbv2, groups[0]) == ["healthy", "healthy"]
    found = elbv2.describe_target_health(TargetGroupArn=groups[0])["TargetHealthDescriptions"]
    tasks = ecs.describe_tasks(cluster=unique, tasks=ecs.list_tasks(cluster=unique)["taskArns"])["tasks"]
    addresses = {task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in tasks}
    assert {description["Target"]["Id"] for description in found} == addresses

    ecs.update_service(cluster=unique, service=unique, loadBalancers=[behind(groups[1])])
    ecs.get_waiter("services_stable").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)
    assert states(elbv2, groups[1]) == ["healthy", "healthy"]
    elbv2.get_waiter("target_deregistered").wait(
        TargetGroupArn=groups[0], Targets=[{"Id": address} for address in addresses], WaiterConfig=WAIT
    )
    (service,) = ecs.describe_services(cluster=unique, services=[unique])["services"]
    messages = [event["message"] for event in service["events"]]
    for text in (f"targets in (target-group {groups[1]})", "has begun draining connections on", "steady state."):
        assert any(text in message for message in messages), messages
    (revision,) = ecs.describe_service_revisions(
        serviceRevisionArns=[service["currentServiceRevisions"][0]["arn"]]
    )["serviceRevisions"]
    assert revision["resolvedConfiguration"] == {"loadBalancers": [{"targetGroupArn": groups[1]}]}


def test_what_no_service_can_have(groups, create):
    unused = groups[2]
    for load_balancers, text in [
        ([behind(groups[0], containerName="other")], "The container other does not exist in the task definition."),
        ([behind(groups[0], containerPort=81)], "The container web did not have a container port 81 defined."),
        (
            [behind(unused)],
            f"The target group with targetGroupArn {unused} does not have an associated load balancer.",
        ),
        ([behind(groups[0]), behind(groups[0])], f"Duplicate targetGroupArn found: {groups[0]}"),
    ]:
        with refused("InvalidParameterException", text):
            create(load_balancers)
    with refused("InvalidParameterException", "advancedConfiguration field is required for all loadBalancers"):
        create(
            [behind(groups[0])], deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
        )
