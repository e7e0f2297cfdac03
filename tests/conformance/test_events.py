"""`gantry events`: what happens to tasks, instances, services and deployments, as EventBridge tells it."""

import json
import subprocess
import threading

import pytest

from gantry import BINARY, Gantry, wait_for

KINDS = {
    "ECS Task State Change",
    "ECS Container Instance State Change",
    "ECS Service Action",
    "ECS Deployment State Change",
}
ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}


@pytest.fixture
def gantry(tmp_path):
    gantry = Gantry(tmp_path, "--simulated-nodes", "1")
    gantry.start()
    yield gantry
    gantry.stop()


class Follower:
    """`gantry events --follow --output json`, read as it comes."""

    def __init__(self, gantry):
        command = [BINARY, "--data-dir", gantry.directory, "--output", "json", "events", "--follow"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def until(self, wanted):
        return wait_for(lambda: next(filter(wanted, self.events), None), lambda: f"{self.events}")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.reader.join(10)


def create(gantry):
    ecs = gantry.endpoint.client("ecs")
    container = {"name": "app", "image": "busybox", "memory": 64}
    ecs.register_task_definition(family="job", containerDefinitions=[container])
    return ecs.create_service(serviceName="job", taskDefinition="job", desiredCount=1)["service"]


def test_whoever_follows_is_told_what_happens(gantry):
    follower = Follower(gantry)
    try:
        service = create(gantry)
        named = lambda name: follower.until(lambda event: event["detail"].get("eventName") == name)  # noqa: E731
        action = named("TASKS_STARTED")
        assert action["resources"] == [service["serviceArn"]]
        assert named("SERVICE_DEPLOYMENT_IN_PROGRESS")["detail"]["deploymentId"] == service["deployments"][0]["id"]
        running = follower.until(lambda event: event["detail"].get("lastStatus") == "RUNNING")
        (shown,) = gantry.endpoint.client("ecs").describe_tasks(tasks=running["resources"])["tasks"]
        detail = running["detail"]
        assert (detail["version"], detail["startedBy"]) == (shown["version"], shown["startedBy"])
        assert detail["createdAt"].endswith("Z")
        assert {event["detail-type"] for event in follower.events} == KINDS
        assert all(set(event) == ENVELOPE for event in follower.events)
        ids = [event["id"] for event in follower.events]
        assert len(ids) == len(set(ids))
    finally:
        gantry.stop()
        follower.process.wait(10)
        follower.stop()


def test_without_following_it_says_what_was_lately(gantry):
    create(gantry)
    command = lambda *output: gantry.command(*output, "events").stdout.splitlines()  # noqa: E731
    wait_for(lambda: any("RUNNING" in line for line in command()), "the task runs")
    kinds = {line.split()[1] for line in command()}
    assert kinds == {"task", "instance", "service", "deployment"}
    machines = [json.loads(line) for line in command("--output", "json")]
    assert {event["detail-type"] for event in machines} == KINDS
