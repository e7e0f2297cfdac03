"""Task definitions from registration to deletion."""

import json
import time

import pytest
from checks import pages_join_to_whole, refused

DELETION_SECONDS = 90

WEB = {
    "name": "web",
    "image": "nginx:1.27",
    "essential": True,
    "portMappings": [{"containerPort": 80, "name": "http", "appProtocol": "http"}],
    "environment": [{"name": "MODE", "value": "fast"}],
    "readonlyRootFilesystem": True,
    "linuxParameters": {
        "initProcessEnabled": True,
        "tmpfs": [
            {"containerPath": "/var/cache/nginx", "size": 16, "mountOptions": ["mode=1777"]},
            {"containerPath": "/run", "size": 1},
        ],
    },
    "healthCheck": {"command": ["CMD-SHELL", "wget -qO- http://127.0.0.1/"], "startPeriod": 10},
    "stopTimeout": 5,
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/ecs/web",
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "web",
            "awslogs-create-group": "true",
        },
    },
}


@pytest.fixture
def family(ecs, unique):
    """A family name; what is registered under it is gone afterwards."""
    yield unique
    for status in ("ACTIVE", "INACTIVE"):
        arns = ecs.list_task_definitions(familyPrefix=unique, status=status)["taskDefinitionArns"]
        for arn in arns:
            ecs.deregister_task_definition(taskDefinition=arn)
            ecs.delete_task_definitions(taskDefinitions=[arn])


def plain(**members):
    return [{"name": "app", "image": "busybox", "memory": 64, **members}]


def register(ecs, family, **members):
    arguments = {"containerDefinitions": plain(), **members}
    return ecs.register_task_definition(family=family, **arguments)["taskDefinition"]


def test_a_fargate_web_server(ecs, family, endpoint):
    definition = ecs.register_task_definition(
        family=family,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu=".25 vCPU",
        memory="0.5GB",
        executionRoleArn="arn:aws:iam::000000000000:role/execution",
        containerDefinitions=[WEB],
    )["taskDefinition"]
    assert definition["taskDefinitionArn"].endswith(f":task-definition/{family}:1")
    assert (definition["family"], definition["revision"], definition["status"]) == (family, 1, "ACTIVE")
    assert (definition["cpu"], definition["memory"], definition["networkMode"]) == ("256", "512", "awsvpc")
    assert definition["requiresCompatibilities"] == ["FARGATE"]
    assert set(definition["compatibilities"]) == {"EC2", "FARGATE"}
    names = {attribute["name"] for attribute in definition["requiresAttributes"]}
    assert {
        "com.amazonaws.ecs.capability.logging-driver.awslogs",
        "ecs.capability.execution-role-awslogs",
        "ecs.capability.task-eni",
        "ecs.capability.container-health-check",
    } <= names
    assert definition["registeredBy"].startswith("arn:aws:iam::")
    (web,) = definition["containerDefinitions"]
    assert web["portMappings"] == [{**WEB["portMappings"][0], "hostPort": 80, "protocol": "tcp"}]
    assert web["healthCheck"] == {**WEB["healthCheck"], "interval": 30, "timeout": 5, "retries": 3}
    assert web["cpu"] == 0
    assert web["mountPoints"] == web["volumesFrom"] == web["systemControls"] == []
    for member in ("image", "environment", "readonlyRootFilesystem", "linuxParameters", "stopTimeout", "logConfiguration"):
        assert web[member] == WEB[member]

    described = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    assert described == definition
    by_cli = endpoint.aws("ecs", "describe-task-definition", "--task-definition", f"{family}:1")["taskDefinition"]
    assert by_cli["containerDefinitions"] == json.loads(json.dumps(definition["containerDefinitions"]))


def test_the_cli_registers_from_a_file(endpoint, ecs, family, tmp_path):
    file = tmp_path / "definition.json"
    tags = [{"key": "team", "value": "a"}]
    file.write_text(json.dumps({"family": family, "containerDefinitions": plain(), "tags": tags}))
    answer = endpoint.aws("ecs", "register-task-definition", "--cli-input-json", f"file://{file}")
    assert answer["taskDefinition"]["revision"] == 1
    assert answer["tags"] == tags
    described = ecs.describe_task_definition(taskDefinition=f"{family}:1", include=["TAGS"])
    assert described["tags"] == tags
    assert "networkMode" not in described["taskDefinition"]


def test_a_revision_is_never_used_twice(ecs, family):
    assert [register(ecs, family)["revision"] for _ in range(2)] == [1, 2]
    ecs.deregister_task_definition(taskDefinition=f"{family}:2")
    assert ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["revision"] == 1
    assert register(ecs, family)["revision"] == 3
    assert ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["revision"] == 3


def test_from_active_to_gone(ecs, family):
    name = register(ecs, family)["taskDefinitionArn"]
    answer = ecs.delete_task_definitions(taskDefinitions=[name])
    assert answer["taskDefinitions"] == []
    assert "still in ACTIVE status" in answer["failures"][0]["reason"]

    definition = ecs.deregister_task_definition(taskDefinition=name)["taskDefinition"]
    assert definition["status"] == "INACTIVE"
    assert definition["deregisteredAt"] >= definition["registeredAt"]
    assert name not in ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]
    assert name in ecs.list_task_definitions(familyPrefix=family, status="INACTIVE")["taskDefinitionArns"]

    (definition,) = ecs.delete_task_definitions(taskDefinitions=[name])["taskDefinitions"]
    assert definition["status"] == "DELETE_IN_PROGRESS"
    deadline = time.monotonic() + DELETION_SECONDS
    while is_there(ecs, name):
        assert time.monotonic() < deadline, "nothing uses it, and still it is there"
        time.sleep(0.5)


def is_there(ecs, name):
    try:
        status = ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]["status"]
    except ecs.exceptions.ClientException as error:
        assert error.response["Error"]["Message"] == "Unable to describe task definition."
        return False
    assert status == "DELETE_IN_PROGRESS"
    return True


def test_lists(ecs, family):
    families = [f"{family}-a", f"{family}-b"]
    try:
        names = [register(ecs, name)["taskDefinitionArn"] for name in families for _ in range(3)]
        assert ecs.list_task_definition_families(familyPrefix=family)["families"] == families
        assert ecs.list_task_definitions(familyPrefix=families[0])["taskDefinitionArns"] == names[:3]
        assert ecs.list_task_definitions(familyPrefix=families[0], sort="DESC")["taskDefinitionArns"] == names[2::-1]
        assert ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"] == [], "a whole name, not a prefix"
        pages_join_to_whole(ecs, "list_task_definition_families", "families", 1, familyPrefix=family)
        whole = pages_join_to_whole(ecs, "list_task_definitions", "taskDefinitionArns", 2)
        assert [name for name in whole if family in name] == names
        whole = pages_join_to_whole(ecs, "list_task_definitions", "taskDefinitionArns", 4, sort="DESC")
        assert [name for name in whole if family in name] == names[::-1]
        ecs.deregister_task_definition(taskDefinition=names[0])
        assert ecs.list_task_definition_families(familyPrefix=family, status="INACTIVE")["families"] == []
    finally:
        for name in names:
            ecs.deregister_task_definition(taskDefinition=name)
            ecs.delete_task_definitions(taskDefinitions=[name])


FARGATE = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}


@pytest.mark.parametrize(
    "members, text",
    [
        ({"containerDefinitions": []}, "Container list cannot be empty."),
        ({"containerDefinitions": plain(name="")}, "Container.name should not be null or empty."),
        ({"containerDefinitions": plain(image="a b")}, "Container.image contains invalid characters."),
        ({"containerDefinitions": [{"name": "app", "image": "i"}]}, "At least one of 'memory' or 'memoryReservation'"),
        ({"cpu": "lots"}, "Invalid 'cpu' setting for task."),
        ({**FARGATE, "memory": "513"}, "No Fargate configuration exists for given values: 256 CPU, 513 memory."),
        ({**FARGATE, "networkMode": "host"}, "Fargate only supports network mode ‘awsvpc’."),
        ({**FARGATE, "ephemeralStorage": {"sizeInGiB": 20}}, "EphemeralStorage size should be at least 21"),
        ({**FARGATE, "ephemeralStorage": {"sizeInGiB": 201}}, "EphemeralStorage size should be at most 200"),
        (
            {**FARGATE, "containerDefinitions": [WEB]},
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ),
        (
            {"networkMode": "awsvpc", "containerDefinitions": plain(portMappings=[{"containerPort": 1, "hostPort": 2}])},
            "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
        ),
        ({"containerDefinitions": plain(command=["x" * 65536])}, "Max allowed length is '65536' bytes."),
        ({"containerDefinitions": plain(mountPoints=[{"sourceVolume": "v"}])}, "Unknown volume 'v'."),
        (
            {"containerDefinitions": plain(dependsOn=[{"containerName": "app", "condition": "START"}])},
            "Container 'app' cannot depend on itself.",
        ),
        ({"taskRoleArn": "arn:aws:iam::000000000000:role/task"}, "The field 'taskRoleArn' is not supported by Gantry"),
        (
            {"containerDefinitions": plain(secrets=[{"name": "n", "valueFrom": "v"}])},
            "The field 'secrets' of container 'app' is not supported by Gantry",
        ),
        (
            {"volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]},
            "The field 'efsVolumeConfiguration' of volume 'v' is not supported by Gantry",
        ),
    ],
)
def test_what_cannot_be_registered(ecs, family, members, text):
    with refused("ClientException", text, 400):
        register(ecs, family, **members)
    assert ecs.list_task_definition_families(familyPrefix=family)["families"] == []


def test_what_is_not_there(ecs, unique):
    with refused("ClientException", "Unable to describe task definition.", 400):
        ecs.describe_task_definition(taskDefinition=unique)
    with refused("ClientException", "Revision is missing."):
        ecs.deregister_task_definition(taskDefinition=unique)
    with refused("ClientException", "The specified task definition does not exist."):
        ecs.deregister_task_definition(taskDefinition=f"{unique}:1")
    with refused("InvalidParameterException", "Invalid revision number. Number: x"):
        ecs.describe_task_definition(taskDefinition=f"{unique}:x")
    with refused("InvalidParameterException", "size of TaskDefinition references list must be greater than 0"):
        ecs.delete_task_definitions(taskDefinitions=[])
