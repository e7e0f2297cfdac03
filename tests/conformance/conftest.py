"""Real AWS clients against a running gantry.

With --endpoint URL they talk to what answers there, with the credentials and region of the environment. Without it, a
gantry of their own is started on a free port with a fresh data directory and simulated nodes, and ended afterwards.
"""

import json
import uuid
from urllib.request import urlopen

import boto3
import pytest

from gantry import Endpoint, Gantry

SIMULATED_NODES = 3


def pytest_addoption(parser):
    parser.addoption("--endpoint", help="URL of a running endpoint; a gantry is started without it")


@pytest.fixture(scope="session")
def endpoint(request, tmp_path_factory):
    given = request.config.getoption("--endpoint")
    if given:
        session = boto3.Session()
        credentials = session.get_credentials()
        assert credentials, "--endpoint needs credentials in the environment"
        yield Endpoint(given, session.region_name or "us-east-1", credentials.access_key, credentials.secret_key)
        return
    gantry = Gantry(tmp_path_factory.mktemp("gantry"), "--simulated-nodes", str(SIMULATED_NODES))
    yield gantry.start()
    gantry.stop()


@pytest.fixture(scope="session")
def ecs(endpoint):
    return endpoint.client("ecs")


@pytest.fixture(scope="session")
def ec2(endpoint):
    return endpoint.client("ec2")


@pytest.fixture(scope="session")
def sts(endpoint):
    return endpoint.client("sts")


@pytest.fixture(scope="session")
def logs(endpoint):
    return endpoint.client("logs")


@pytest.fixture
def unique():
    """A name that no other test uses."""
    return f"conformance-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def health(endpoint):
    """What gantry itself says of its state."""
    with urlopen(f"{endpoint.url}/gantry/health", timeout=10) as answer:
        return json.load(answer)


@pytest.fixture
def register(ecs, unique):
    """Registers a task definition for FARGATE of one container with these members; it is deregistered afterwards."""
    arns = []

    def register(**members):
        definition = ecs.register_task_definition(
            family=unique,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "app", "image": "busybox", **members}],
        )["taskDefinition"]
        arns.append(definition["taskDefinitionArn"])
        return arns[-1]

    yield register
    for arn in arns:
        ecs.deregister_task_definition(taskDefinition=arn)


@pytest.fixture
def network(ec2):
    """For tasks with an address of their own."""
    return {"awsvpcConfiguration": {"subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]}}
