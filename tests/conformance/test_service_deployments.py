"""Service deployments, revisions and deployment strategies, on simulated nodes."""

import re
import time

import pytest
from checks import refused

LIMIT = 60


@pytest.fixture
def definition(register):
    return register(healthCheck={"command": ["CMD", "true"], "interval": 5, "startPeriod": 0})


@pytest.fixture
def create(ecs, unique, definition, network):
    """Creates the service with one task and this configuration; it is deleted afterwards."""
    ecs.create_cluster(clusterName=unique)

    def create(configuration):
        return ecs.create_service(
            cluster=unique,
            serviceName=unique,
            taskDefinition=definition,
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=network,
            deploymentConfiguration=configuration,
        )["service"]

    yield create
    ecs.delete_service(cluster=unique, service=unique, force=True)


def described(ecs, arn):
    (deployment,) = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    return deployment


def until(ecs, arn, what, predicate):
    """Waits until the deployment is so, and answers it."""
    end = time.monotonic() + LIMIT
    while not predicate(deployment := described(ecs, arn)):
        assert time.monotonic() < end, f"never {what}: {deployment}"
        time.sleep(0.2)
    return deployment


def until_status(ecs, arn, status):
    return until(ecs, arn, status, lambda deployment: deployment["status"] == status)


def until_hook(ecs, arn):
    """The id of the hook that waits."""

    def waiting(deployment):
        hooks = deployment.get("lifecycleHookDetails", [])
        return [hook["hookId"] for hook in hooks if hook["status"] == "AWAITING_ACTION"]

    return waiting(until(ecs, arn, "held by a hook", waiting))[0]


def deploy(ecs, name):
    service = ecs.update_service(cluster=name, service=name, forceNewDeployment=True)["service"]
    return service["currentServiceDeployment"]


def test_a_rolling_deployment_and_its_revision(ecs, create, unique, definition):
    service = create({})
    arn = service["currentServiceDeployment"]
    assert re.fullmatch(r".*:service-deployment/[^/]+/[^/]+/[A-Za-z0-9_-]{21}", arn)
    done = until_status(ecs, arn, "SUCCESSFUL")
    assert done["startedAt"] <= done["finishedAt"]
    (revision,) = ecs.describe_service_revisions(serviceRevisionArns=[done["targetServiceRevision"]["arn"]])[
        "serviceRevisions"
    ]
    assert re.fullmatch(r".*:service-revision/[^/]+/[^/]+/\d{19}", revision["serviceRevisionArn"])
    assert revision["taskDefinition"] == definition
    (image,) = revision["containerImages"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", image["imageDigest"])

    newer = deploy(ecs, unique)
    until_status(ecs, newer, "SUCCESSFUL")
    pages = ecs.get_paginator("list_service_deployments") if ecs.can_paginate("list_service_deployments") else None
    assert pages is None, "boto3 pages it now: use its paginator here"
    first = ecs.list_service_deployments(cluster=unique, service=unique, maxResults=1)
    rest = ecs.list_service_deployments(cluster=unique, service=unique, maxResults=1, nextToken=first["nextToken"])
    listed = [page["serviceDeployments"][0]["serviceDeploymentArn"] for page in (first, rest)]
    assert (listed, "nextToken" in rest) == ([newer, arn], False)


def test_blue_green_with_a_hook_goes_on_and_back(ecs, create, unique, endpoint):
    hook = {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]}
    service = create({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [hook]})
    first = service["currentServiceDeployment"]
    ecs.continue_service_deployment(serviceDeploymentArn=first, hookId=until_hook(ecs, first))
    until_status(ecs, first, "SUCCESSFUL")

    green = deploy(ecs, unique)
    held = until_hook(ecs, green)
    (source,) = described(ecs, green)["sourceServiceRevisions"]
    target = described(ecs, green)["targetServiceRevision"]
    weights = "requestedTestTrafficWeight", "requestedProductionTrafficWeight"
    assert [target[weight] for weight in weights] == [100, 0]
    assert [source[weight] for weight in weights] == [0, 100]
    ecs.continue_service_deployment(serviceDeploymentArn=green, hookId=held, action="CONTINUE")
    assert until_status(ecs, green, "SUCCESSFUL")["lifecycleStage"] == "CLEAN_UP"
    with refused("InvalidParameterException", "in terminal states", 400):
        ecs.continue_service_deployment(serviceDeploymentArn=green, hookId=held)

    bad = deploy(ecs, unique)
    until_hook(ecs, bad)
    answer = endpoint.aws("ecs", "stop-service-deployment", "--service-deployment-arn", bad)
    assert answer["serviceDeploymentArn"] == bad
    back = until_status(ecs, bad, "ROLLBACK_SUCCESSFUL")
    assert back["rollback"]["serviceRevisionArn"] == target["arn"]
    with refused("ConflictException", "in terminal states", 400):
        ecs.stop_service_deployment(serviceDeploymentArn=bad, stopType="ABORT")
    shown = ecs.describe_services(cluster=unique, services=[unique])["services"][0]
    assert [revision["arn"] for revision in shown["currentServiceRevisions"]] == [target["arn"]]


def test_a_canary_is_superseded(ecs, create, unique):
    service = create({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 5.0}})
    until_status(ecs, service["currentServiceDeployment"], "SUCCESSFUL")
    canary = deploy(ecs, unique)
    until(ecs, canary, "shifted", lambda row: row["targetServiceRevision"].get("requestedProductionTrafficWeight") == 5)
    newer = deploy(ecs, unique)
    assert until_status(ecs, canary, "STOPPED")["stoppedAt"]
    listed = ecs.list_service_deployments(cluster=unique, service=unique, status=["PENDING", "IN_PROGRESS"])
    assert [row["serviceDeploymentArn"] for row in listed["serviceDeployments"]] == [newer]


def test_what_is_not_there(ecs, unique):
    ecs.create_cluster(clusterName=unique)
    cluster = ecs.describe_clusters(clusters=[unique])["clusters"][0]["clusterArn"]
    prefix = cluster.rsplit("cluster/", 1)[0]
    deployment = f"{prefix}service-deployment/{unique}/web/{'a' * 21}"
    revision = f"{prefix}service-revision/{unique}/web/{'0' * 19}"
    (failure,) = ecs.describe_service_deployments(serviceDeploymentArns=[deployment])["failures"]
    assert (failure["arn"], failure["reason"]) == (deployment, "MISSING")
    (failure,) = ecs.describe_service_revisions(serviceRevisionArns=[revision])["failures"]
    assert failure["reason"] == "MISSING"
    with refused("ServiceDeploymentNotFoundException", "The service deployment does not exist.", 400):
        ecs.stop_service_deployment(serviceDeploymentArn=deployment)
    with refused("ServiceNotFoundException", "Service not found.", 400):
        ecs.list_service_deployments(cluster=unique, service=unique)
