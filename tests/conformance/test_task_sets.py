"""Task sets of a service that somebody else deploys, with the AWS clients."""

import pytest
from checks import refused

from gantry import wait_for

WAIT = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture
def definition(ecs, unique):
    container = {"name": "app", "image": "busybox", "memory": 64}
    registered = ecs.register_task_definition(family=unique, containerDefinitions=[container])["taskDefinition"]
    yield registered["taskDefinitionArn"]
    ecs.deregister_task_definition(taskDefinition=registered["taskDefinitionArn"])


@pytest.fixture
def service(ecs, unique):
    yield ecs.create_service(
        serviceName=unique, desiredCount=4, schedulingStrategy="REPLICA", deploymentController={"type": "EXTERNAL"}
    )["service"]
    ecs.delete_service(service=unique, force=True)
    ecs.get_waiter("services_inactive").wait(services=[unique], WaiterConfig=WAIT)


def test_blue_gives_way_to_green(ecs, endpoint, service, definition):
    assert service["deploymentController"] == {"type": "EXTERNAL"}
    names = {"cluster": "default", "service": service["serviceName"]}

    def create(scale):
        scale = {"unit": "PERCENT", "value": scale}
        return ecs.create_task_set(**names, taskDefinition=definition, launchType="EC2", scale=scale)["taskSet"]

    def stable(task_set, count):
        def is_stable():
            (shown,) = ecs.describe_task_sets(**names, taskSets=[task_set["id"]])["taskSets"]
            return shown["stabilityStatus"] == "STEADY_STATE" and shown["runningCount"] == count

        wait_for(is_stable, f"{count} tasks run")

    blue = create(100)
    assert (blue["status"], blue["computedDesiredCount"]) == ("ACTIVE", 4)
    stable(blue, 4)
    ecs.update_service_primary_task_set(**names, primaryTaskSet=blue["taskSetArn"])
    green = create(30)
    stable(green, 2)
    assert len(ecs.list_tasks(startedBy=green["id"])["taskArns"]) == 2
    arguments = ["--cluster", "default", "--service", service["serviceName"], "--task-set", green["id"]]
    endpoint.aws("ecs", "update-task-set", *arguments, "--scale", "value=100,unit=PERCENT")
    stable(green, 4)
    ecs.update_service_primary_task_set(**names, primaryTaskSet=green["id"])
    with refused("InvalidParameterException", "scaled above 0", 400):
        ecs.delete_task_set(**names, taskSet=blue["id"])
    assert ecs.delete_task_set(**names, taskSet=blue["id"], force=True)["taskSet"]["status"] == "DRAINING"
    wait_for(lambda: ecs.describe_task_sets(**names, taskSets=[blue["id"]])["failures"], "the old one is gone")
    (shown,) = ecs.describe_services(services=[service["serviceName"]])["services"]
    assert ([row["status"] for row in shown["taskSets"]], shown["taskDefinition"]) == (["PRIMARY"], definition)
    assert shown["deployments"] == []
    assert "taskSet" in shown["events"][0]["message"]


def test_what_cannot_be_is_refused(ecs, service, definition):
    names = {"cluster": "default", "service": service["serviceName"]}
    with refused("TaskSetNotFoundException", "does not exist", 400):
        ecs.delete_task_set(**names, taskSet="ecs-svc/0")
    with refused("InvalidParameterException", "'taskDefinition'"):
        ecs.update_service(service=service["serviceName"], taskDefinition=definition)
    with refused("ClientException", "CodeDeploy", 400):
        ecs.create_service(
            serviceName="x", taskDefinition=definition, desiredCount=0, deploymentController={"type": "CODE_DEPLOY"}
        )
