"""A fleet of nodes, and a service larger than one round of its scheduler: every task runs, spread evenly, and all of it
ends. What gantry makes of quotas: those of AWS, unless it is told others."""

import time
from collections import Counter

import pytest
from checks import refused

from gantry import Gantry

NODES = 200
TASKS = 2000
QUOTA = 2500
LIMIT = 120


@pytest.fixture
def fleet(request, tmp_path):
    if request.config.getoption("--endpoint"):
        pytest.skip("a given endpoint has nodes of its own")
    gantry = Gantry(tmp_path, "--simulated-nodes", str(NODES), "--tasks-per-service", str(QUOTA))
    yield gantry.start().client("ecs")
    gantry.stop()


def until_counts(ecs, **expected):
    deadline = time.monotonic() + LIMIT
    while True:
        row = ecs.describe_services(services=["web"])["services"][0]
        counts = {name: row[name] for name in expected}
        if counts == expected:
            return row
        assert time.monotonic() < deadline, (counts, row["events"][:3])
        time.sleep(0.2)


def test_a_large_service_runs_evenly_on_all_nodes_and_ends(fleet):
    container = {"name": "app", "image": "busybox", "cpu": 1, "memory": 6}
    fleet.register_task_definition(family="web", networkMode="none", containerDefinitions=[container])
    fleet.create_service(serviceName="web", taskDefinition="web", desiredCount=0, launchType="EC2")
    with refused("InvalidParameterException", f"desiredCount must be between 0 and {QUOTA}."):
        fleet.update_service(service="web", desiredCount=QUOTA + 1)
    fleet.update_service(service="web", desiredCount=TASKS)
    until_counts(fleet, runningCount=TASKS, pendingCount=0)

    nodes = fleet.get_paginator("list_container_instances").paginate().build_full_result()["containerInstanceArns"]
    described = [
        node
        for start in range(0, NODES, 100)
        for node in fleet.describe_container_instances(containerInstances=nodes[start : start + 100])[
            "containerInstances"
        ]
    ]
    assert Counter(node["runningTasksCount"] for node in described) == {TASKS // NODES: NODES}

    fleet.update_service(service="web", desiredCount=0)
    until_counts(fleet, runningCount=0, pendingCount=0)
    fleet.delete_service(service="web")
