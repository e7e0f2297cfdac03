"""Services whose tasks can never run: the reason is told, the control plane goes on, other services are not touched."""

import pytest
from gantry import wait_for

WAIT = {"Delay": 1, "MaxAttempts": 60}
UNMET = "was unable to place a task because no container instance met all of its requirements."


@pytest.fixture
def cluster(ecs):
    """The cluster that the simulated nodes are in."""
    return ecs.describe_clusters()["clusters"][0]["clusterName"]


@pytest.fixture
def create(ecs, cluster, unique):
    names = []

    def create(number=0, count=1, constraints=(), **container):
        name = f"{unique}-{number}"
        container = {"name": "app", "image": "busybox", "memory": 64, **container}
        ecs.register_task_definition(family=name, containerDefinitions=[container])
        ecs.create_service(
            cluster=cluster,
            serviceName=name,
            taskDefinition=name,
            desiredCount=count,
            launchType="EC2",
            placementConstraints=list(constraints),
        )
        names.append(name)
        return name

    yield create
    for name in names:
        ecs.delete_service(cluster=cluster, service=name, force=True)
        ecs.deregister_task_definition(taskDefinition=f"{name}:1")


def messages(ecs, cluster, name):
    service = ecs.describe_services(cluster=cluster, services=[name])["services"][0]
    return [event["message"] for event in service["events"]]


@pytest.mark.parametrize(
    "asked, reason",
    [
        ({"memory": 100_000_000}, "has insufficient memory available"),
        ({"cpu": 10_000_000}, "has insufficient CPU units available"),
        (
            {"constraints": [{"type": "memberOf", "expression": "attribute:rack == nowhere"}]},
            'encountered error "MemberOf placement constraint unsatisfied."',
        ),
    ],
)
def test_no_instance_is_good_enough(ecs, cluster, create, asked, reason):
    bystander = create(1)
    ecs.get_waiter("services_stable").wait(cluster=cluster, services=[bystander], WaiterConfig=WAIT)
    before = ecs.list_tasks(cluster=cluster, serviceName=bystander)["taskArns"]

    name = create(2, **asked)
    wait_for(lambda: messages(ecs, cluster, name), "the reason is told")
    (message,) = messages(ecs, cluster, name)
    assert message.startswith(f"(service {name}) {UNMET} The closest matching (container-instance "), message
    assert f") {reason}. For more information, see the Troubleshooting section" in message, message

    assert ecs.list_tasks(cluster=cluster, serviceName=bystander)["taskArns"] == before
    assert ecs.update_service(cluster=cluster, service=bystander, desiredCount=2)["service"]["desiredCount"] == 2
    ecs.get_waiter("services_stable").wait(cluster=cluster, services=[bystander], WaiterConfig=WAIT)
    assert messages(ecs, cluster, name) == [message], "what stays so is said once"


def test_it_goes_on_once_there_is_an_instance_that_is(ecs, cluster, create, unique):
    name = create(constraints=[{"type": "memberOf", "expression": f"attribute:rack == {unique}"}])
    wait_for(lambda: messages(ecs, cluster, name), "the reason is told")
    instance = ecs.list_container_instances(cluster=cluster)["containerInstanceArns"][0]
    attribute = {"name": "rack", "value": unique, "targetId": instance}
    ecs.put_attributes(cluster=cluster, attributes=[attribute])
    try:
        ecs.get_waiter("services_stable").wait(cluster=cluster, services=[name], WaiterConfig=WAIT)
    finally:
        ecs.delete_attributes(cluster=cluster, attributes=[{"name": "rack", "targetId": instance}])
