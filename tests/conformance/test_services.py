"""Services from creation to deletion, on simulated nodes, with the clients' own waiters."""

import pytest
from checks import pages_join_to_whole, refused
from gantry import wait_for

WAIT = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture
def definition(register):
    return register()


@pytest.fixture
def service(ecs, unique, definition, network):
    ecs.create_cluster(clusterName=unique)
    yield ecs.create_service(
        cluster=unique,
        serviceName=unique,
        taskDefinition=definition,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=network,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
    )["service"]
    if ecs.describe_services(cluster=unique, services=[unique])["services"][0]["status"] == "ACTIVE":
        ecs.delete_service(cluster=unique, service=unique, force=True)
    ecs.get_waiter("services_inactive").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)


def stable(ecs, name):
    ecs.get_waiter("services_stable").wait(cluster=name, services=[name], WaiterConfig=WAIT)
    return ecs.describe_services(cluster=name, services=[name])["services"][0]


def test_a_service_becomes_stable_scales_and_ends(ecs, service, unique, endpoint):
    assert service["availabilityZoneRebalancing"] == "ENABLED"
    assert stable(ecs, unique)["runningCount"] == 2
    ecs.update_service(cluster=unique, service=unique, desiredCount=3)
    assert stable(ecs, unique)["runningCount"] == 3
    tasks = pages_join_to_whole(ecs, "list_tasks", "taskArns", 2, cluster=unique, serviceName=unique)
    assert len(tasks) == 3
    assert service["serviceArn"] in endpoint.aws("ecs", "list-services", "--cluster", unique)["serviceArns"]

    ecs.stop_task(cluster=unique, task=tasks[0])
    assert stable(ecs, unique)["runningCount"] == 3
    assert tasks[0] not in ecs.list_tasks(cluster=unique, serviceName=unique)["taskArns"]

    with refused("InvalidParameterException", "scaled above 0", 400):
        ecs.delete_service(cluster=unique, service=unique)
    ecs.update_service(cluster=unique, service=unique, desiredCount=0)
    ecs.delete_service(cluster=unique, service=unique)
    ecs.get_waiter("services_inactive").wait(cluster=unique, services=[unique], WaiterConfig=WAIT)


def test_a_new_revision_begins_a_deployment(ecs, service, unique):
    stable(ecs, unique)
    updated = ecs.update_service(cluster=unique, service=unique, forceNewDeployment=True)["service"]
    assert [deployment["status"] for deployment in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert updated["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    assert updated["deployments"][1]["id"] == service["deployments"][0]["id"]


def test_what_is_not_there(ecs, unique):
    ecs.create_cluster(clusterName=unique)
    (failure,) = ecs.describe_services(cluster=unique, services=[unique])["failures"]
    assert failure["reason"] == "MISSING"
    with refused("ServiceNotFoundException", "Service not found.", 400):
        ecs.update_service(cluster=unique, service=unique, desiredCount=1)



def test_a_protected_task_survives_a_scale_in(ecs, service, unique, endpoint):
    stable(ecs, unique)
    first, _ = ecs.list_tasks(cluster=unique, serviceName=unique)["taskArns"]
    answer = ecs.update_task_protection(cluster=unique, tasks=[first], protectionEnabled=True, expiresInMinutes=10)
    assert answer["failures"] == []
    (protected,) = endpoint.aws("ecs", "get-task-protection", "--cluster", unique, "--tasks", first)["protectedTasks"]
    assert protected["protectionEnabled"] and protected["expirationDate"]
    ecs.update_service(cluster=unique, service=unique, desiredCount=1)
    stable(ecs, unique)
    assert ecs.list_tasks(cluster=unique, serviceName=unique)["taskArns"] == [first]
    (failure,) = ecs.get_task_protection(cluster=unique, tasks=["0" * 32])["failures"]
    assert failure["reason"] == "MISSING"


@pytest.fixture
def daemon(ecs, unique):
    """A daemon of the nodes' cluster."""
    container = {"name": "app", "image": "busybox", "memory": 16}
    arn = ecs.register_task_definition(family=unique, containerDefinitions=[container])["taskDefinition"]
    yield ecs.create_service(
        serviceName=unique, taskDefinition=arn["taskDefinitionArn"], schedulingStrategy="DAEMON"
    )["service"]
    ecs.delete_service(service=unique)
    ecs.get_waiter("services_inactive").wait(cluster="default", services=[unique], WaiterConfig=WAIT)
    ecs.deregister_task_definition(taskDefinition=arn["taskDefinitionArn"])


def test_a_daemon_runs_on_every_instance(ecs, daemon, unique, endpoint):
    instances = ecs.list_container_instances(status="ACTIVE")["containerInstanceArns"]
    # Until its first round a daemon desires nothing, and has it.
    wait_for(lambda: ecs.describe_services(services=[unique])["services"][0]["desiredCount"], "instances are found")
    ecs.get_waiter("services_stable").wait(cluster="default", services=[unique], WaiterConfig=WAIT)
    (shown,) = ecs.describe_services(services=[unique])["services"]
    assert shown["schedulingStrategy"] == "DAEMON"
    assert shown["desiredCount"] == shown["runningCount"] == len(instances)
    tasks = ecs.list_tasks(serviceName=unique)["taskArns"]
    hosts = [task["containerInstanceArn"] for task in ecs.describe_tasks(tasks=tasks)["tasks"]]
    assert sorted(hosts) == sorted(instances)
    listed = endpoint.aws("ecs", "list-services", "--scheduling-strategy", "DAEMON")["serviceArns"]
    assert shown["serviceArn"] in listed
    with refused("InvalidParameterException", "does not support a desired count"):
        ecs.update_service(service=unique, desiredCount=1)
