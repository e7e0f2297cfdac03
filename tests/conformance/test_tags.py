"""Tags of what is not running: clusters and task definitions."""

import pytest
from checks import refused


@pytest.fixture
def cluster(ecs, unique):
    yield ecs.create_cluster(clusterName=unique)["cluster"]["clusterArn"]
    ecs.delete_cluster(cluster=unique)


@pytest.fixture
def definition(ecs, unique):
    containers = [{"name": "app", "image": "busybox", "memory": 64}]
    arn = ecs.register_task_definition(family=unique, containerDefinitions=containers)["taskDefinition"]["taskDefinitionArn"]
    yield arn
    ecs.deregister_task_definition(taskDefinition=arn)
    ecs.delete_task_definitions(taskDefinitions=[arn])


def tags(**pairs):
    return [{"key": key, "value": value} for key, value in pairs.items()]


@pytest.mark.parametrize("resource", ["cluster", "definition"])
def test_tags_come_and_go(ecs, endpoint, request, resource):
    arn = request.getfixturevalue(resource)
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == []
    ecs.tag_resource(resourceArn=arn, tags=tags(a="1", b="2"))
    endpoint.aws("ecs", "tag-resource", "--resource-arn", arn, "--tags", "key=a,value=3", "key=c,value=")
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == tags(a="3", b="2", c="")
    ecs.untag_resource(resourceArn=arn, tagKeys=["a", "never"])
    by_cli = endpoint.aws("ecs", "list-tags-for-resource", "--resource-arn", arn)
    assert by_cli["tags"] == tags(b="2", c="")


def test_what_cannot_be_a_tag(ecs, cluster):
    for key in ("aws:x", "Aws:x"):
        with refused("InvalidParameterException", "reserved", 400):
            ecs.tag_resource(resourceArn=cluster, tags=[{"key": key, "value": ""}])
    with refused("InvalidParameterException"):
        ecs.tag_resource(resourceArn=cluster, tags=[{"key": "a*b", "value": ""}])
    ecs.tag_resource(resourceArn=cluster, tags=[{"key": f"k{number}", "value": ""} for number in range(50)])
    with refused("LimitExceededException", "50"):
        ecs.tag_resource(resourceArn=cluster, tags=tags(more=""))


def test_what_has_no_tags(ecs, cluster, unique):
    gone = cluster.replace(unique, f"{unique}-gone")
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.tag_resource(resourceArn=gone, tags=tags(a="1"))
    task = cluster.replace(":cluster/", ":task/") + "/" + "0" * 32
    with refused("ResourceNotFoundException"):
        ecs.tag_resource(resourceArn=task, tags=tags(a="1"))
    with refused("InvalidParameterException"):
        ecs.list_tags_for_resource(resourceArn=task)
    with refused("InvalidParameterException"):
        ecs.list_tags_for_resource(resourceArn="not an ARN")
