"""Real containers: one gantry on a private containerd, with images assembled from this machine's packages.

Needs root. Everything that a run makes lives under one temporary directory, one network instance and one containerd,
and is gone afterwards.
"""

import os
import shutil
import tempfile
import uuid

import pytest

import images
from gantry import Gantry, wait_for
from leftovers import INSTANCE, leftovers, remains

CHECK = {
    "HealthCheckPath": "/index.html",
    "HealthCheckIntervalSeconds": 5,
    "HealthCheckTimeoutSeconds": 2,
    "HealthyThresholdCount": 2,
}


@pytest.fixture(scope="session")
def gantry():
    assert os.geteuid() == 0, "containers and networks need root: run the tests as root"
    # Short: the name of a socket in it has at most 107 characters.
    directory = tempfile.mkdtemp(prefix="gantry-e2e-")
    started = Gantry(directory, "--instance", INSTANCE)
    started.start()
    try:
        yield started
        # Every test stopped what it ran: nothing of any task may be left, once the last of them has stopped.
        wait_for(lambda: leftovers(started) == {}, lambda: leftovers(started))
    finally:
        if started.process is None:
            started.start()
        started.command("down", "--tasks", timeout=180)
        started.process.wait(30)
        started.process = None
        left = remains(started)
        shutil.rmtree(directory)
        assert left == {}


@pytest.fixture(scope="session")
def busybox(gantry):
    return imported(gantry, images.busybox(gantry.directory / "busybox.tar"), "busybox")


@pytest.fixture(scope="session")
def nginx(gantry):
    return imported(gantry, images.nginx(gantry.directory / "nginx.tar"), "nginx")


def imported(gantry, archive, name):
    gantry.command("image", "import", archive)
    return name


@pytest.fixture
def ecs(gantry):
    return gantry.endpoint.client("ecs")


@pytest.fixture
def logs(gantry):
    return gantry.endpoint.client("logs")


@pytest.fixture
def elbv2(gantry):
    return gantry.endpoint.client("elbv2")


@pytest.fixture
def unique():
    return f"e2e-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def subnets(gantry):
    found = gantry.endpoint.client("ec2").describe_subnets()["Subnets"]
    return [subnet["SubnetId"] for subnet in found]


@pytest.fixture
def balancer(gantry, elbv2, unique, subnets):
    name = unique.replace("e2e-", "lb-")
    vpc = gantry.endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = elbv2.create_load_balancer(Name=name, Subnets=subnets[:2])["LoadBalancers"][0]
    group = elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **CHECK)
    group = group["TargetGroups"][0]["TargetGroupArn"]
    listener = elbv2.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    yield {**made, "group": group, "listener": listener["Listeners"][0]["ListenerArn"]}
    elbv2.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    elbv2.delete_target_group(TargetGroupArn=group)


@pytest.fixture
def address(gantry, balancer):
    described = "ELB " + balancer["LoadBalancerArn"].split(":loadbalancer/")[1]
    found = gantry.endpoint.client("ec2").describe_network_interfaces(
        Filters=[{"Name": "description", "Values": [described]}]
    )
    return found["NetworkInterfaces"][0]["PrivateIpAddress"]


class Tasks:
    """Registers and runs tasks of a test, and stops them after it."""

    def __init__(self, gantry, unique, subnets):
        self.ecs = gantry.endpoint.client("ecs")
        self.logs = gantry.endpoint.client("logs")
        self.unique = unique
        self.subnets = subnets
        self.started = []

    def register(self, *containers, **definition):
        definition = {"family": self.unique, "containerDefinitions": list(containers), **definition}
        return self.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]

    def run(self, *containers, fargate=False, groups=(), run=None, **definition):
        """Registers a definition and runs one task of it, in security groups; its ARN."""
        if fargate:
            definition = {"cpu": "256", "memory": "512", **definition}
            definition |= {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc"}
            definition.setdefault("executionRoleArn", "ecsTaskExecutionRole")
        arguments = {"launchType": "FARGATE" if fargate else "EC2", **(run or {})}
        if definition.get("networkMode") == "awsvpc":
            awsvpc = {"subnets": self.subnets, "securityGroups": list(groups)}
            arguments["networkConfiguration"] = {"awsvpcConfiguration": awsvpc}
        answer = self.ecs.run_task(taskDefinition=self.register(*containers, **definition), **arguments)
        assert not answer["failures"], answer["failures"]
        arn = answer["tasks"][0]["taskArn"]
        self.started.append(arn)
        return arn

    def describe(self, arn):
        answer = self.ecs.describe_tasks(tasks=[arn])
        assert not answer["failures"], answer["failures"]
        return answer["tasks"][0]

    def wait(self, arn, predicate):
        """The task's description once `predicate` holds of it."""

        def found():
            task = self.describe(arn)
            return task if predicate(task) else None

        return wait_for(found, lambda: self.describe(arn))

    def wait_until_running(self, arn):
        def settled(task):
            return task["lastStatus"] in ("RUNNING", "STOPPED")

        task = self.wait(arn, settled)
        assert task["lastStatus"] == "RUNNING", (task.get("stoppedReason"), task["containers"])
        return task

    def wait_until_stopped(self, arn):
        return self.wait(arn, lambda task: task["lastStatus"] == "STOPPED")

    def stop(self, arn, reason="test"):
        return self.ecs.stop_task(task=arn, reason=reason)

    def stop_all(self):
        for arn in self.started:
            self.stop(arn)
        for arn in self.started:
            self.wait_until_stopped(arn)


@pytest.fixture
def tasks(gantry, unique, subnets):
    tasks = Tasks(gantry, unique, subnets)
    yield tasks
    if gantry.process is not None:
        tasks.stop_all()


@pytest.fixture
def messages(logs):
    """The messages of a log stream; none while it is not there yet."""

    def read(group, stream):
        try:
            events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    return read


def awslogs(group, **options):
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": group,
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "e2e",
            "awslogs-create-group": "true",
            **options,
        },
    }


@pytest.fixture
def log_configuration(unique):
    return lambda **options: awslogs(f"/{unique}", **options)
