"""Tasks on simulated nodes, from RunTask to STOPPED, through boto3 and the aws CLI."""

import pytest
from checks import pages_join_to_whole, refused

WAIT = {"Delay": 1, "MaxAttempts": 60}
CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


@pytest.fixture
def definition(ecs, unique):
    """A definition that every launch type but EXTERNAL can have."""
    answer = ecs.register_task_definition(
        family=unique,
        networkMode="awsvpc",
        requiresCompatibilities=["EC2", "FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "main", "image": "busybox", "command": ["sleep", "60"]}],
    )
    arn = answer["taskDefinition"]["taskDefinitionArn"]
    yield arn
    ecs.deregister_task_definition(taskDefinition=arn)


@pytest.fixture
def small(ecs, unique):
    """A bridge mode definition that takes next to nothing."""
    container = {"name": "main", "image": "busybox", "memory": 16}
    answer = ecs.register_task_definition(family=f"{unique}-small", containerDefinitions=[container])
    arn = answer["taskDefinition"]["taskDefinitionArn"]
    yield arn
    ecs.deregister_task_definition(taskDefinition=arn)


@pytest.fixture
def network(ec2):
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    return {"awsvpcConfiguration": {"subnets": subnets}}


@pytest.fixture
def run(ecs):
    """RunTask of something that fits; what it started is stopped at the end."""
    started = []

    def run_task(**arguments):
        answer = ecs.run_task(**arguments)
        assert answer["failures"] == []
        started.extend(task["taskArn"] for task in answer["tasks"])
        return answer["tasks"]

    yield run_task
    for arn in started:
        ecs.stop_task(task=arn)
    if started:
        ecs.get_waiter("tasks_stopped").wait(tasks=started[:100], WaiterConfig=WAIT)


def test_a_fargate_task_lives_and_ends(ecs, ec2, run, definition, network, endpoint):
    (task,) = run(taskDefinition=definition, launchType="FARGATE", networkConfiguration=network, startedBy="me")
    assert (task["lastStatus"], task["desiredStatus"], task["version"]) == ("PROVISIONING", "RUNNING", 1)
    assert (task["launchType"], task["platformVersion"], task["platformFamily"]) == ("FARGATE", "1.4.0", "Linux")
    assert task["overrides"] == {"containerOverrides": [{"name": "main"}], "inferenceAcceleratorOverrides": []}

    ecs.get_waiter("tasks_running").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)
    (running,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert running["startedAt"] >= running["createdAt"] == task["createdAt"]
    assert running["version"] > task["version"]
    (attachment,) = running["attachments"]
    details = {detail["name"]: detail["value"] for detail in attachment["details"]}
    (container,) = running["containers"]
    assert container["networkInterfaces"] == [
        {"attachmentId": attachment["id"], "privateIpv4Address": details["privateIPv4Address"]}
    ]
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert interface["MacAddress"] == details["macAddress"]
    assert interface["AvailabilityZone"] == running["availabilityZone"]

    by_cli = endpoint.aws("ecs", "stop-task", "--task", task["taskArn"].split("/")[-1], "--reason", "enough of it")
    assert by_cli["task"]["desiredStatus"] == "STOPPED"
    ecs.get_waiter("tasks_stopped").wait(tasks=[task["taskArn"]], WaiterConfig=WAIT)
    (stopped,) = ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough of it")
    assert stopped["stoppedAt"] >= stopped["stoppingAt"]
    assert not ec2.describe_network_interfaces(
        Filters=[{"Name": "network-interface-id", "Values": [details["networkInterfaceId"]]}]
    )["NetworkInterfaces"]


def test_ec2_tasks_are_placed_as_asked(ecs, run, small, unique):
    nodes = len(ecs.list_container_instances()["containerInstanceArns"])
    spread = run(
        taskDefinition=small,
        count=nodes,
        group=unique,
        placementStrategy=[{"type": "spread", "field": "instanceId"}],
    )
    assert len({task["containerInstanceArn"] for task in spread}) == nodes
    packed = run(taskDefinition=small, count=3, placementStrategy=[{"type": "binpack", "field": "memory"}])
    assert len({task["containerInstanceArn"] for task in packed}) == 1
    one = spread[0]["containerInstanceArn"]
    ec2_id = ecs.describe_container_instances(containerInstances=[one])["containerInstances"][0]["ec2InstanceId"]
    there = [{"type": "memberOf", "expression": f"ec2InstanceId == {ec2_id} and task:group == {unique}"}]
    (placed,) = run(taskDefinition=small, placementConstraints=there)
    assert placed["containerInstanceArn"] == one
    answer = ecs.run_task(
        taskDefinition=small,
        group=unique,
        placementConstraints=[{"type": "distinctInstance"}],
    )
    assert answer["tasks"] == []
    assert len(answer["failures"]) == nodes
    assert all(":container-instance/default/" in failure["arn"] for failure in answer["failures"])


def test_start_task_goes_where_it_is_told(ecs, run, small):
    one, two = ecs.list_container_instances(maxResults=2)["containerInstanceArns"]
    answer = ecs.start_task(taskDefinition=small, containerInstances=[one, two.split("/")[-1]], startedBy="me")
    assert answer["failures"] == []
    assert [task["containerInstanceArn"] for task in answer["tasks"]] == [one, two]
    for task in answer["tasks"]:
        ecs.stop_task(task=task["taskArn"])


def test_what_does_not_fit_is_told(ecs, unique, network):
    container = {"name": "main", "image": "busybox"}
    answer = ecs.register_task_definition(
        family=unique,
        networkMode="awsvpc",
        cpu="16384",
        memory="122880",
        requiresCompatibilities=["FARGATE"],
        containerDefinitions=[container],
    )
    definition = answer["taskDefinition"]["taskDefinitionArn"]
    answer = ecs.run_task(taskDefinition=definition, launchType="FARGATE", networkConfiguration=network, count=10)
    arns = [task["taskArn"] for task in answer["tasks"]]
    assert len(arns) + len(answer["failures"]) == 10
    assert {failure["reason"] for failure in answer["failures"]} == {CAPACITY}
    assert all("MiB of memory" in failure["detail"] for failure in answer["failures"])
    on_instances = ecs.run_task(taskDefinition=definition, networkConfiguration=network)
    assert {failure["reason"] for failure in on_instances["failures"]} == {"RESOURCE:MEMORY"}
    for arn in arns:
        ecs.stop_task(task=arn)
    ecs.get_waiter("tasks_stopped").wait(tasks=arns, WaiterConfig=WAIT)
    ecs.deregister_task_definition(taskDefinition=definition)


def test_lists_and_pages(ecs, run, small, endpoint):
    arns = {task["taskArn"] for task in run(taskDefinition=small, count=7)}
    family = small.split("/")[-1].split(":")[0]
    whole = pages_join_to_whole(ecs, "list_tasks", "taskArns", 3, family=family)
    assert set(whole) == arns
    assert set(endpoint.aws("ecs", "list-tasks", "--family", family)["taskArns"]) == arns
    described = ecs.describe_tasks(tasks=whole)["tasks"]
    assert [task["taskArn"] for task in described] == whole
    instance = described[0]["containerInstanceArn"]
    expected = {task["taskArn"] for task in described if task["containerInstanceArn"] == instance}
    assert set(ecs.list_tasks(family=family, containerInstance=instance)["taskArns"]) == expected
    assert ecs.list_tasks(family=family, desiredStatus="PENDING")["taskArns"] == []
    assert ecs.list_tasks(family=family, launchType="FARGATE")["taskArns"] == []


def test_a_client_token_runs_once(ecs, run, small, unique):
    first = run(taskDefinition=small, count=2, clientToken=unique)
    again = ecs.run_task(taskDefinition=small, count=2, clientToken=unique)
    assert [task["taskArn"] for task in again["tasks"]] == [task["taskArn"] for task in first]
    with refused("ConflictException"):
        ecs.run_task(taskDefinition=small, count=1, clientToken=unique)


def test_tags_and_overrides(ecs, run, small):
    overrides = {"containerOverrides": [{"name": "main", "environment": [{"name": "A", "value": "é"}], "memory": 32}]}
    (task,) = run(
        taskDefinition=small,
        overrides=overrides,
        enableECSManagedTags=True,
        tags=[{"key": "team", "value": "a"}],
    )
    assert task["overrides"]["containerOverrides"] == overrides["containerOverrides"]
    assert (task["memory"], task["containers"][0]["memory"]) == ("32", "32")
    tags = {tag["key"]: tag["value"] for tag in ecs.list_tags_for_resource(resourceArn=task["taskArn"])["tags"]}
    assert tags == {"team": "a", "aws:ecs:clusterName": "default"}
    assert ecs.describe_tasks(tasks=[task["taskArn"]])["tasks"][0]["tags"] == []
    (shown,) = ecs.describe_tasks(tasks=[task["taskArn"]], include=["TAGS"])["tasks"]
    assert len(shown["tags"]) == 2


def test_refusals(ecs, small, definition, unique):
    with refused("ClusterNotFoundException", "Cluster not found.", 400):
        ecs.run_task(taskDefinition=small, cluster=unique)
    with refused("ClientException", "TaskDefinition not found."):
        ecs.run_task(taskDefinition=f"{unique}-gone")
    with refused("InvalidParameterException", "Network Configuration must be provided"):
        ecs.run_task(taskDefinition=definition, launchType="FARGATE")
    with refused("InvalidParameterException", "Task definition does not support launch_type FARGATE."):
        ecs.run_task(taskDefinition=small, launchType="FARGATE")
    with refused("InvalidParameterException", "Override for container named nobody is not a container"):
        ecs.run_task(taskDefinition=small, overrides={"containerOverrides": [{"name": "nobody"}]})
    with refused("UnsupportedFeatureException", "enableExecuteCommand"):
        ecs.run_task(taskDefinition=small, enableExecuteCommand=True)
    with refused("InvalidParameterException", "The referenced task was not found."):
        ecs.stop_task(task="0" * 32)
    with refused("InvalidParameterException", "Tasks cannot be empty."):
        ecs.describe_tasks(tasks=[])
    with refused("ServiceNotFoundException", "Service not found."):
        ecs.list_tasks(serviceName=unique)
    (failure,) = ecs.describe_tasks(tasks=["0" * 32])["failures"]
    assert failure["reason"] == "MISSING" and failure["arn"].endswith(f":task/default/{'0' * 32}")
