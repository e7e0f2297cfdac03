"""`gantry status` and `gantry down`, which are clients of the public API too."""

import json
import subprocess

import pytest

from gantry import BINARY, Gantry, wait_for

# One more than a page of ListContainerInstances has.
NODES = 101


@pytest.fixture
def many_nodes(request, tmp_path):
    if request.config.getoption("--endpoint"):
        pytest.skip("a given endpoint has no command line")
    gantry = Gantry(tmp_path, "--simulated-nodes", str(NODES))
    gantry.start()
    yield gantry
    gantry.stop()


def status(gantry):
    return json.loads(gantry.command("--output", "json", "status").stdout)


def register(ecs):
    container = {"name": "main", "image": "busybox", "memory": 64}
    ecs.register_task_definition(family="work", containerDefinitions=[container])


def last_status(ecs, task):
    return ecs.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"]


def test_status_shows_everything_page_after_page(many_nodes):
    ecs = many_nodes.endpoint.client("ecs")
    register(ecs)
    # The cluster with the node's tasks comes after a page of others.
    for number in range(100):
        ecs.create_cluster(clusterName=f"a-{number:03}")
    started = [task for _ in range(11) for task in ecs.run_task(taskDefinition="work", count=10)["tasks"]]
    shown = status(many_nodes)
    assert len(shown["containerInstances"]) == NODES
    assert {task["taskArn"] for task in shown["tasks"]} == {task["taskArn"] for task in started}


def test_down_without_tasks_leaves_them(many_nodes):
    ecs = many_nodes.endpoint.client("ecs")
    register(ecs)
    task = ecs.run_task(taskDefinition="work")["tasks"][0]["taskArn"]
    wait_for(lambda: last_status(ecs, task) == "RUNNING", "the task runs")
    assert "go on running" in many_nodes.command("down").stdout
    many_nodes.process.wait(10)
    many_nodes.process = None
    assert "nothing to stop" in many_nodes.command("down").stdout
    assert status_code(many_nodes) == 1
    ecs = many_nodes.start().client("ecs")
    assert ecs.describe_tasks(tasks=[task])["tasks"][0]["desiredStatus"] == "RUNNING"


def test_a_reader_that_goes_is_no_failure():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {BINARY} completions bash | head -1"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("_gantry()")


def status_code(gantry):
    return gantry.command("status", check=False).returncode
