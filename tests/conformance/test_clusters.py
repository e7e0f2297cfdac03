"""Clusters from first to last."""

import pytest
from checks import pages_join_to_whole, refused


@pytest.fixture
def cluster(ecs, unique):
    yield ecs.create_cluster(clusterName=unique, tags=[{"key": "team", "value": "a"}])["cluster"]
    ecs.delete_cluster(cluster=unique)


def test_a_new_cluster(ecs, cluster, unique, endpoint):
    assert cluster["clusterName"] == unique
    assert cluster["clusterArn"].endswith(f":cluster/{unique}")
    assert cluster["status"] == "ACTIVE"
    assert cluster["registeredContainerInstancesCount"] == 0
    assert cluster["runningTasksCount"] == cluster["pendingTasksCount"] == cluster["activeServicesCount"] == 0
    assert cluster["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    assert cluster["tags"] == [{"key": "team", "value": "a"}]
    assert ecs.create_cluster(clusterName=unique)["cluster"] == cluster, "creating it again changes nothing"
    assert cluster["clusterArn"] in endpoint.aws("ecs", "list-clusters")["clusterArns"]


def test_describe_shows_what_is_asked_for(ecs, cluster, endpoint):
    bare = ecs.describe_clusters(clusters=[cluster["clusterArn"]])["clusters"][0]
    assert bare["tags"] == bare["settings"] == bare["statistics"] == []
    include = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"]
    whole = ecs.describe_clusters(clusters=[cluster["clusterName"]], include=include)["clusters"][0]
    assert whole == cluster
    by_cli = endpoint.aws("ecs", "describe-clusters", "--clusters", cluster["clusterName"], "--include", "TAGS")
    assert by_cli["clusters"][0]["tags"] == cluster["tags"]


def test_what_is_not_there(ecs, unique):
    answer = ecs.describe_clusters(clusters=[unique])
    assert answer["clusters"] == []
    (failure,) = answer["failures"]
    assert failure["reason"] == "MISSING"
    assert failure["arn"].endswith(f":cluster/{unique}")
    with refused("ClusterNotFoundException", "Cluster not found.", 400):
        ecs.delete_cluster(cluster=unique)
    with refused("ClusterNotFoundException", "Cluster not found."):
        ecs.update_cluster_settings(cluster=unique, settings=[{"name": "containerInsights", "value": "disabled"}])
    with refused("InvalidParameterException", "AccountIDs mismatch"):
        ecs.describe_clusters(clusters=[f"arn:aws:ecs:us-east-1:999999999999:cluster/{unique}"])


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"configuration": {"executeCommandConfiguration": {"logging": "DEFAULT"}}}, "'configuration.execute"),
        ({"settings": [{"name": "containerInsights", "value": "enabled"}]}, "'containerInsights'"),
    ],
)
def test_what_is_not_built_is_refused(ecs, unique, arguments, text):
    with refused("ClientException", text, 400):
        ecs.create_cluster(clusterName=unique, **arguments)
    assert ecs.describe_clusters(clusters=[unique])["clusters"] == []


def test_a_deleted_cluster(ecs, unique, endpoint):
    ecs.create_cluster(clusterName=unique)
    deleted = endpoint.aws("ecs", "delete-cluster", "--cluster", unique)["cluster"]
    assert deleted["status"] == "INACTIVE"
    assert ecs.describe_clusters(clusters=[unique])["clusters"][0]["status"] == "INACTIVE"
    assert deleted["clusterArn"] not in ecs.list_clusters()["clusterArns"]
    with refused("ClusterNotFoundException", "The referenced cluster was inactive."):
        ecs.update_cluster(cluster=unique)


def test_pages(ecs, unique):
    names = [f"{unique}-{number}" for number in range(5)]
    try:
        for name in names:
            ecs.create_cluster(clusterName=name)
        arns = pages_join_to_whole(ecs, "list_clusters", "clusterArns", 2)
        assert [arn for arn in arns if unique in arn] == sorted(arn for arn in arns if unique in arn)
        assert len([arn for arn in arns if unique in arn]) == len(names)
    finally:
        for name in names:
            ecs.delete_cluster(cluster=name)


def test_regions_are_apart(ecs, endpoint, cluster):
    elsewhere = endpoint.client("ecs", region="ap-southeast-2")
    assert cluster["clusterArn"] not in elsewhere.list_clusters()["clusterArns"]
    assert elsewhere.describe_clusters(clusters=[cluster["clusterName"]])["clusters"] == []
