"""Capacity providers with the AWS clients: sets of the simulated nodes, and Fargate's own."""

import pytest
from checks import refused

WAIT = {"Delay": 1, "MaxAttempts": 60}
GROUP = "arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1:autoScalingGroupName/"


@pytest.fixture
def provider(ecs, unique):
    created = ecs.create_capacity_provider(
        name=unique,
        autoScalingGroupProvider={"autoScalingGroupArn": GROUP + unique, "managedScaling": {"status": "DISABLED"}},
        tags=[{"key": "team", "value": "a"}],
    )["capacityProvider"]
    yield created
    ecs.put_cluster_capacity_providers(cluster="default", capacityProviders=[], defaultCapacityProviderStrategy=[])
    ecs.delete_capacity_provider(capacityProvider=unique)
    assert ecs.describe_capacity_providers(capacityProviders=[unique])["failures"][0]["reason"] == "MISSING"


@pytest.fixture
def member(ecs, provider):
    """One container instance of the default cluster, which stands for the provider."""
    instance = ecs.list_container_instances()["containerInstanceArns"][0]
    attribute = {"name": "gantry.capacity-provider", "targetId": instance}
    ecs.put_attributes(attributes=[attribute | {"value": provider["name"]}])
    yield instance
    ecs.delete_attributes(attributes=[attribute])


@pytest.fixture
def job(ecs, unique):
    container = {"name": "app", "image": "busybox", "memory": 64}
    arn = ecs.register_task_definition(family=unique, containerDefinitions=[container])["taskDefinition"][
        "taskDefinitionArn"
    ]
    yield arn
    ecs.deregister_task_definition(taskDefinition=arn)


def test_a_provider_takes_the_tasks_of_its_instances(ecs, endpoint, provider, member, job):
    name = provider["name"]
    assert provider["status"] == "ACTIVE"
    cluster = ecs.put_cluster_capacity_providers(
        cluster="default", capacityProviders=[name], defaultCapacityProviderStrategy=[{"capacityProvider": name}]
    )["cluster"]
    assert cluster["capacityProviders"] == [name]
    (shown,) = ecs.describe_container_instances(containerInstances=[member])["containerInstances"]
    assert shown["capacityProviderName"] == name
    answer = endpoint.aws("ecs", "run-task", "--task-definition", job, "--count", "3")
    assert {(task["capacityProviderName"], task["containerInstanceArn"]) for task in answer["tasks"]} == {(name, member)}
    tasks = [task["taskArn"] for task in answer["tasks"]]
    with refused("ResourceInUseException", "in use and cannot be removed", 400):
        ecs.put_cluster_capacity_providers(cluster="default", capacityProviders=[], defaultCapacityProviderStrategy=[])
    for task in tasks:
        ecs.stop_task(task=task)
    ecs.get_waiter("tasks_stopped").wait(tasks=tasks, WaiterConfig=WAIT)


def test_fargate_shares_by_base_and_weight(ecs, ec2, unique):
    definition = ecs.register_task_definition(
        family=unique,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "app", "image": "busybox"}],
    )["taskDefinition"]["taskDefinitionArn"]
    ecs.create_cluster(clusterName=unique, capacityProviders=["FARGATE", "FARGATE_SPOT"])
    service = ecs.create_service(
        cluster=unique,
        serviceName=unique,
        taskDefinition=definition,
        desiredCount=5,
        capacityProviderStrategy=[
            {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
            {"capacityProvider": "FARGATE_SPOT", "weight": 3},
        ],
        networkConfiguration={"awsvpcConfiguration": {"subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]}},
    )["service"]
    assert "launchType" not in service
    ecs.get_waiter("services_stable").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)
    arns = ecs.list_tasks(cluster=unique)["taskArns"]
    tasks = ecs.describe_tasks(cluster=unique, tasks=arns)["tasks"]
    assert sorted(task["capacityProviderName"] for task in tasks) == ["FARGATE"] * 2 + ["FARGATE_SPOT"] * 3
    with refused("InvalidParameterException", "you must force a new deployment", 400):
        ecs.update_service(cluster=unique, service=unique, capacityProviderStrategy=[])
    ecs.delete_service(cluster=unique, service=unique, force=True)
    ecs.get_waiter("services_inactive").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)
    ecs.deregister_task_definition(taskDefinition=definition)


def test_what_nothing_here_could_do_is_refused(ecs, unique):
    with refused("ClientException", "no Auto Scaling", 400):
        ecs.create_capacity_provider(
            name=unique,
            autoScalingGroupProvider={"autoScalingGroupArn": GROUP, "managedScaling": {"status": "ENABLED"}},
        )
    with refused("InvalidParameterException", "cannot be changed or deleted"):
        ecs.delete_capacity_provider(capacityProvider="FARGATE")
