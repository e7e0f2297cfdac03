"""Container instances and their attributes, on simulated nodes."""

import pytest
from checks import pages_join_to_whole, refused


@pytest.fixture
def instances(ecs):
    return ecs.list_container_instances()["containerInstanceArns"]


def test_an_instance_shows_what_its_node_has(ecs, instances, endpoint):
    answer = ecs.describe_container_instances(containerInstances=instances, include=["TAGS", "CONTAINER_INSTANCE_HEALTH"])
    assert answer["failures"] == []
    assert [instance["containerInstanceArn"] for instance in answer["containerInstances"]] == instances
    for instance in answer["containerInstances"]:
        assert (instance["status"], instance["agentConnected"]) == ("ACTIVE", True)
        assert instance["healthStatus"]["overallStatus"] == "OK"
        registered = {resource["name"]: resource for resource in instance["registeredResources"]}
        assert registered["CPU"]["integerValue"] > 0 and registered["MEMORY"]["integerValue"] > 0
        assert "22" in registered["PORTS"]["stringSetValue"]
        attributes = {attribute["name"]: attribute.get("value") for attribute in instance["attributes"]}
        assert attributes["ecs.os-type"] == "linux"
        assert attributes["ecs.availability-zone"].startswith(endpoint.region)
        assert "ecs.capability.task-eni" in attributes
        assert instance["versionInfo"]["agentVersion"]
    by_cli = endpoint.aws("ecs", "describe-container-instances", "--container-instances", instances[0].split("/")[-1])
    assert by_cli["containerInstances"][0]["containerInstanceArn"] == instances[0]


def test_lists_filters_and_pages(ecs, instances):
    assert pages_join_to_whole(ecs, "list_container_instances", "containerInstanceArns", 1) == instances
    listed = lambda **arguments: ecs.list_container_instances(**arguments)["containerInstanceArns"]
    assert listed(status="ACTIVE") == instances
    assert listed(status="REGISTERING") == []
    assert listed(filter="agentConnected == true and attribute:ecs.os-type in [linux]") == instances
    assert listed(filter="attribute:ecs.os-type =~ win.*") == []
    assert listed(filter="registeredAt < 2020-01-01") == []
    with refused("InvalidParameterException", "Invalid filter"):
        listed(filter="zone == a")
    with refused("InvalidParameterException", "maxResults must be between 1 and 100."):
        listed(maxResults=101)


def test_draining_and_back(ecs, instances):
    one = instances[0]
    try:
        answer = ecs.update_container_instances_state(containerInstances=[one], status="DRAINING")
        assert answer["containerInstances"][0]["status"] == "DRAINING"
        assert ecs.list_container_instances(status="DRAINING")["containerInstanceArns"] == [one]
        with refused("InvalidParameterException", "Container instance status should be one of [ACTIVE, DRAINING]"):
            ecs.update_container_instances_state(containerInstances=[one], status="REGISTERING")
    finally:
        answer = ecs.update_container_instances_state(containerInstances=[one, "0" * 32], status="ACTIVE")
    assert answer["containerInstances"][0]["status"] == "ACTIVE"
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]


def test_custom_attributes(ecs, instances, unique, endpoint):
    one, two = instances[:2]
    put = [
        {"name": unique, "value": "r1", "targetId": one},
        {"name": unique, "value": "r2", "targetId": two.split("/")[-1], "targetType": "container-instance"},
    ]
    try:
        assert [entry["targetId"] for entry in ecs.put_attributes(attributes=put)["attributes"]] == [one, two]
        both = ecs.list_attributes(targetType="container-instance", attributeName=unique)["attributes"]
        assert {entry["targetId"]: entry["value"] for entry in both} == {one: "r1", two: "r2"}
        filtered = ecs.list_container_instances(filter=f"attribute:{unique} == r2")
        assert filtered["containerInstanceArns"] == [two]
        listed = endpoint.aws(
            "ecs", "list-attributes", "--target-type", "container-instance", "--attribute-name", unique,
            "--attribute-value", "r1",
        )
        assert [entry["targetId"] for entry in listed["attributes"]] == [one]
    finally:
        gone = [{"name": unique, "targetId": instance} for instance in (one, two)]
        assert len(ecs.delete_attributes(attributes=gone)["attributes"]) == 2
    assert ecs.list_attributes(targetType="container-instance", attributeName=unique)["attributes"] == []
    pages_join_to_whole(ecs, "list_attributes", "attributes", 10, targetType="container-instance")
    with refused("TargetNotFoundException", "Could not find"):
        ecs.put_attributes(attributes=[{"name": unique, "targetId": "0" * 32, "targetType": "container-instance"}])
    with refused("InvalidParameterException", "is the container agent's own"):
        ecs.put_attributes(attributes=[{"name": "ecs.os-type", "value": "x", "targetId": one}])


def test_an_instance_that_is_not_there(ecs):
    with refused("InvalidParameterException", "The referenced container instance was not found."):
        ecs.deregister_container_instance(containerInstance="0" * 32)
    with refused("ClientException", "Container Instances cannot be empty."):
        ecs.describe_container_instances(containerInstances=[])
