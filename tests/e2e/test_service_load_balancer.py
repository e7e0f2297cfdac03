"""Services behind load balancers, of real containers: an update that no request notices, a target that fails, a request
that takes long, a canary that is taken back."""

import http.client
import threading

import pytest

from conftest import CHECK
from gantry import wait_for
from services import WAIT, Service, fetch

COUNT = 3
# A page, one that takes its time, and one after which there is no page any more.
SERVE = r"""
mkdir -p /tmp/cgi-bin
echo page > /tmp/index.html
printf '#!/bin/sh\necho begun > /tmp/begun\nsleep 5\nprintf "Content-Type: text/plain\\r\\n\\r\\nslow"\n' > /tmp/cgi-bin/slow
printf '#!/bin/sh\nrm -f /tmp/index.html\nprintf "Content-Type: text/plain\\r\\n\\r\\nbroken"\n' > /tmp/cgi-bin/break
chmod +x /tmp/cgi-bin/*
exec httpd -f -p 80 -h /tmp
"""


@pytest.fixture
def group(elbv2, balancer):
    """The target group, whose checks find a failure soon."""
    elbv2.modify_target_group(
        TargetGroupArn=balancer["group"], UnhealthyThresholdCount=2, HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2
    )
    return balancer["group"]


@pytest.fixture
def service(ecs, tasks, nginx, unique, subnets, group):
    ecs.create_cluster(clusterName=unique)
    service = Service(ecs, tasks, nginx, unique, subnets)
    yield service
    service.delete()
    ecs.delete_cluster(cluster=unique)


@pytest.fixture
def cgi(ecs, tasks, busybox, unique, subnets, group):
    """A service of one task that has pages of its own."""
    ecs.create_cluster(clusterName=unique)
    service = Service(ecs, tasks, busybox, unique, subnets)
    definition = service.revision(command=["/bin/sh", "-c", SERVE], healthCheck=None, stopTimeout=2)
    service.create(definition, count=1, groups=[group])
    service.stable()
    yield service
    service.delete()
    ecs.delete_cluster(cluster=unique)


class Client:
    """Asks again and again over a connection that is kept, as a client of a load balancer does."""

    def __init__(self, address, threads=2):
        self.address = address
        self.answers, self.failures = [], []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=10)
        while not self.ended.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode().strip()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                self.answers.append(text)
            else:
                self.failures.append(f"{answer.status}: {text}")
        connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def test_an_update_that_no_request_notices(service, elbv2, group, address):
    service.create(service.revision("one", healthCheck=None), count=COUNT, groups=[group])
    service.stable()
    wait_for(lambda: fetch(address) == "one", lambda: fetch(address))
    with Client(address) as client:
        service.update(service.revision("two", healthCheck=None))
        service.ended("SUCCESSFUL")
        wait_for(lambda: client.answers[-50:] == ["two"] * 50, lambda: client.answers[-50:])
        wait_for(lambda: len(service.running()) == COUNT, service.running)
    assert client.failures == []
    assert client.answers[0] == "one"
    health = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    in_service = {row["Target"]["Id"] for row in health if row["TargetHealth"]["State"] == "healthy"}
    assert in_service == set(service.addresses())
    messages = service.messages()
    assert any(f"targets in (target-group {group})" in message for message in messages), messages
    assert any("has begun draining connections on" in message for message in messages), messages


def test_a_target_that_fails_is_replaced(cgi, group, address):
    (first,) = cgi.running()
    wait_for(lambda: fetch(f"{address}/cgi-bin/break") == "broken", "the page is taken away")
    is_another = lambda: [task["taskArn"] for task in cgi.running()] not in ([], [first["taskArn"]])
    wait_for(is_another, cgi.messages)
    ended = lambda: cgi.ecs.describe_tasks(cluster=cgi.name, tasks=[first["taskArn"]])["tasks"][0]
    wait_for(lambda: ended()["lastStatus"] == "STOPPED", ended)
    assert ended()["stoppedReason"] == f"Task failed ELB health checks in (target-group {group})"
    assert ended()["stopCode"] == "ServiceSchedulerInitiated"
    why = f"is unhealthy in (target-group {group}) due to (reason Health checks failed with these codes: [404])."
    assert any(why in message for message in cgi.messages()), cgi.messages()
    wait_for(lambda: fetch(f"{address}/index.html") == "page", "its replacement answers")


def test_a_request_that_takes_long_is_waited_for(cgi, address):
    (task,) = cgi.running()
    answers = []
    asking = threading.Thread(target=lambda: answers.append(fetch(f"{address}/cgi-bin/slow", 30)))
    busy = lambda: cgi.ecs.describe_tasks(cluster=cgi.name, tasks=[task["taskArn"]])["tasks"][0]
    asking.start()
    try:
        wait_for(lambda: fetch(f"{address}/begun") == "begun", "the request reaches the task")
        cgi.ecs.update_service(cluster=cgi.name, service=cgi.name, desiredCount=0)
        wait_for(lambda: busy()["desiredStatus"] == "STOPPED", busy)
        assert busy()["lastStatus"] in ("DEACTIVATING", "STOPPING", "STOPPED")
    finally:
        asking.join()
    assert answers == ["slow"]
    wait_for(lambda: busy()["lastStatus"] == "STOPPED", busy)


@pytest.fixture
def pair(gantry, elbv2, balancer, group):
    """A second target group, and the rule that leads to both."""
    vpc = gantry.endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    name = balancer["LoadBalancerName"] + "-b"
    made = elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **CHECK)
    other = made["TargetGroups"][0]["TargetGroupArn"]
    both = [{"TargetGroupArn": group, "Weight": 1}, {"TargetGroupArn": other, "Weight": 0}]
    forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": both}}
    elbv2.modify_listener(ListenerArn=balancer["listener"], DefaultActions=[forward])
    (rule,) = elbv2.describe_rules(ListenerArn=balancer["listener"])["Rules"]
    yield {"alternateTargetGroupArn": other, "productionListenerRule": rule["RuleArn"], "roleArn": "arn:aws:iam::0:role/r"}
    only = {"Type": "forward", "TargetGroupArn": group}
    elbv2.modify_listener(ListenerArn=balancer["listener"], DefaultActions=[only])
    elbv2.delete_target_group(TargetGroupArn=other)


def test_a_canary_that_is_taken_back(pair, service, elbv2, group, address, balancer):
    canary = {"canaryPercent": 20.0, "canaryBakeTimeInMinutes": 10}
    service.create(
        service.revision("one", healthCheck=None),
        groups=[group],
        advanced=pair,
        strategy="CANARY",
        canaryConfiguration=canary,
        bakeTimeInMinutes=0,
    )
    service.ended("SUCCESSFUL")

    def weights():
        (rule,) = elbv2.describe_rules(ListenerArn=balancer["listener"])["Rules"]
        groups = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
        return {row["TargetGroupArn"]: row["Weight"] for row in groups}

    blue, green = group, pair["alternateTargetGroupArn"]
    assert weights() == {blue: 100, green: 0}
    wait_for(lambda: fetch(address) == "one", lambda: fetch(address))
    with Client(address) as client:
        service.update(service.revision("two", healthCheck=None))
        wait_for(lambda: weights() == {blue: 80, green: 20}, service.deployment)
        seen = len(client.answers)
        wait_for(lambda: len(client.answers) > seen + 500, "the client is answered")
        share = client.answers[seen:].count("two") / len(client.answers[seen:])
        assert 0.1 < share < 0.3, share
        service.ecs.stop_service_deployment(serviceDeploymentArn=service.deployment()["serviceDeploymentArn"])
        service.ended("ROLLBACK_SUCCESSFUL")
        assert weights() == {blue: 100, green: 0}
        wait_for(lambda: client.answers[-50:] == ["one"] * 50, lambda: client.answers[-50:])
        wait_for(lambda: len(service.running()) == 2, service.running)
    assert client.failures == []


@pytest.fixture
def machines(gantry, elbv2, balancer):
    """A target group of instances, which the listener leads to."""
    vpc = gantry.endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    name = balancer["LoadBalancerName"] + "-i"
    made = elbv2.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, **CHECK)["TargetGroups"][0]
    group = made["TargetGroupArn"]
    elbv2.modify_listener(
        ListenerArn=balancer["listener"], DefaultActions=[{"Type": "forward", "TargetGroupArn": group}]
    )
    yield group
    elbv2.modify_listener(
        ListenerArn=balancer["listener"], DefaultActions=[{"Type": "forward", "TargetGroupArn": balancer["group"]}]
    )
    elbv2.delete_target_group(TargetGroupArn=group)


def test_ports_that_the_machine_chose(ecs, elbv2, tasks, busybox, unique, machines, address):
    script = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    container = {
        "name": "web",
        "image": busybox,
        "memory": 32,
        "command": ["/bin/sh", "-c", script],
        "portMappings": [{"containerPort": 80, "hostPort": 0}],
        "stopTimeout": 2,
    }
    ecs.create_service(
        serviceName=unique,
        taskDefinition=tasks.register(container, networkMode="bridge"),
        desiredCount=2,
        loadBalancers=[{"targetGroupArn": machines, "containerName": "web", "containerPort": 80}],
    )
    try:
        ecs.get_waiter("services_stable").wait(services=[unique], WaiterConfig=WAIT)
        elbv2.get_waiter("target_in_service").wait(TargetGroupArn=machines, WaiterConfig=WAIT)
        wait_for(lambda: len({fetch(address) for _ in range(10)} - {None}) == 2, "both answer")
        health = elbv2.describe_target_health(TargetGroupArn=machines)["TargetHealthDescriptions"]
        assert len({row["Target"]["Port"] for row in health}) == 2
        assert all(row["Target"]["Id"].startswith("i-") for row in health), health
    finally:
        ecs.delete_service(service=unique, force=True)
        ecs.get_waiter("services_inactive").wait(services=[unique], WaiterConfig=WAIT)
        wait_for(lambda: elbv2.describe_target_health(TargetGroupArn=machines)["TargetHealthDescriptions"] == [], "all left")
