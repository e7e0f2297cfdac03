"""A thousand clients that hold connections, half of them in the middle of a request, take nothing from the next one."""

import resource
import socket
from contextlib import ExitStack

import pytest

from gantry import Gantry

CONNECTIONS = 1000
HALF_A_REQUEST = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"


@pytest.fixture
def crowded(request, tmp_path):
    """Started with the few open files that shells give, fewer than the connections that come."""
    if request.config.getoption("--endpoint"):
        pytest.skip("a given endpoint is not this test's to crowd")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gantry = Gantry(tmp_path, "--simulated-nodes", "1")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
        gantry.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        yield gantry
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gantry.stop()


def test_held_connections_starve_nobody(crowded):
    host, port = crowded.address.rsplit(":", 1)
    with ExitStack() as held:
        for number in range(CONNECTIONS):
            connection = held.enter_context(socket.create_connection((host, int(port)), timeout=10))
            if number % 2:
                connection.sendall(HALF_A_REQUEST)
        ecs = crowded.endpoint.client("ecs", connect_timeout=5, read_timeout=10)
        ecs.create_cluster(clusterName="crowded")
        assert "crowded" in str(ecs.list_clusters()["clusterArns"])
    # They are gone now, some in the middle of their bodies.
    assert crowded.endpoint.client("ecs").describe_clusters(clusters=["crowded"])["clusters"][0]["status"] == "ACTIVE"
    assert "panicked" not in crowded.output()
