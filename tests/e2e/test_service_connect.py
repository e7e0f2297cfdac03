"""Service Connect between services of real containers: by alias, over HTTP and TCP, spread over the tasks, past one that
dies, and not past a security group."""

import collections
import json
import os
import signal

import pytest

from gantry import wait_for
from services import WAIT
from test_survival import pid_of

SERVE = "hostname > /tmp/index.html; httpd -p 9090 -h /tmp; exec httpd -f -p 80 -h /tmp"
# The image has nothing that tells its C library to look into /etc/hosts, as most have.
# It has port 80 on all of its addresses itself, as what it calls has.
CALL = """
echo hosts: files dns > /etc/nsswitch.conf
httpd -p 80 -h /etc
while true; do
  echo "http $(timeout 5 wget -q -O - http://web/index.html || echo failed)"
  echo "tcp $(timeout 5 wget -q -O - http://raw.{namespace}:9090/index.html || echo failed)"
  sleep 0.02
done
"""
HTTP = {"name": "web", "containerPort": 80, "appProtocol": "http"}
TCP = {"name": "raw", "containerPort": 9090}
OFFERS = [
    {"portName": "web", "clientAliases": [{"port": 80, "dnsName": "web"}]},
    {"portName": "raw", "clientAliases": [{"port": 9090}]},
]


@pytest.fixture
def cluster(gantry, ecs, unique):
    """With a namespace of its own, which goes with it."""
    made = ecs.create_cluster(clusterName=unique, serviceConnectDefaults={"namespace": unique})["cluster"]
    yield unique
    ecs.delete_cluster(cluster=unique)
    discovery = gantry.endpoint.client("servicediscovery")
    namespace = made["serviceConnectDefaults"]["namespace"].rsplit("/", 1)[1]
    # The services of Cloud Map went with those of ECS.
    discovery.delete_namespace(Id=namespace)


class Mesh:
    def __init__(self, ecs, tasks, busybox, cluster, subnets):
        self.ecs, self.tasks, self.busybox, self.cluster, self.subnets = ecs, tasks, busybox, cluster, subnets
        self.made = []

    def service(self, name, script, count=1, groups=(), offers=(), **container):
        container = {
            "name": "main",
            "image": self.busybox,
            "memory": 64,
            "stopTimeout": 2,
            "command": ["/bin/sh", "-c", script],
            **container,
        }
        definition = self.tasks.register(
            container,
            family=f"{self.cluster}-{name}",
            cpu="256",
            memory="512",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            executionRoleArn="ecsTaskExecutionRole",
        )
        network = {"subnets": self.subnets, "securityGroups": list(groups)}
        self.ecs.create_service(
            cluster=self.cluster,
            serviceName=name,
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": network},
            serviceConnectConfiguration={"enabled": True, "services": list(offers)},
        )
        self.made.append(name)
        return name

    def server(self, count, **more):
        self.service("server", SERVE, count, offers=OFFERS, portMappings=[HTTP, TCP], **more)
        self.stable("server")
        return self.running("server")

    def stable(self, *names):
        self.ecs.get_waiter("services_stable").wait(cluster=self.cluster, services=list(names), WaiterConfig=WAIT)

    def running(self, name):
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=name)["taskArns"]
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []
        return [task for task in found if task["lastStatus"] == "RUNNING"]

    def delete(self):
        for name in self.made:
            self.ecs.delete_service(cluster=self.cluster, service=name, force=True)
        waiter = self.ecs.get_waiter("services_inactive")
        for name in self.made:
            waiter.wait(cluster=self.cluster, services=[name], WaiterConfig=WAIT)
        for status in ("RUNNING", "STOPPED"):
            for arn in self.ecs.list_tasks(cluster=self.cluster, desiredStatus=status)["taskArns"]:
                ended = lambda arn=arn: self.ecs.describe_tasks(cluster=self.cluster, tasks=[arn])["tasks"][0]
                wait_for(lambda: ended()["lastStatus"] == "STOPPED", ended)


@pytest.fixture
def mesh(ecs, tasks, busybox, cluster, subnets):
    mesh = Mesh(ecs, tasks, busybox, cluster, subnets)
    yield mesh
    mesh.delete()


@pytest.fixture
def calls(mesh, cluster, messages, unique, log_configuration):
    """Starts a client; what it was answered, by protocol, is counted by what is answered."""

    def start(**more):
        script = CALL.format(namespace=cluster)
        mesh.service("client", script, logConfiguration=log_configuration(), **more)
        mesh.stable("client")
        [task] = mesh.running("client")
        stream = f"e2e/main/{task['taskArn'].rsplit('/', 1)[1]}"

        def counted(protocol):
            lines = (line.partition(" ") for line in messages(f"/{unique}", stream))
            return collections.Counter(answer for kind, _, answer in lines if kind == protocol)

        return counted

    return start


def hosts(tasks):
    """What `hostname` says in them."""
    details = (task["attachments"][0]["details"] for task in tasks)
    return {next(row["value"] for row in rows if row["name"] == "privateDnsName") for rows in details}


def test_requests_by_alias_are_spread_over_all_tasks(gantry, mesh, calls):
    servers = mesh.server(3)
    answers = calls()
    wanted = hosts(servers)

    def evenly(protocol):
        counted = answers(protocol)
        return wanted == set(counted) and max(counted.values()) <= min(counted.values()) + 1

    for protocol in ("http", "tcp"):
        # A line that is read while the next one is written may be one ahead of it.
        wait_for(lambda: sum(answers(protocol).values()) > 30, lambda: answers(protocol))
        wait_for(lambda: evenly(protocol), lambda: (wanted, answers(protocol)))

    [connect] = [one for one in servers[0]["attachments"] if one["type"] == "Service Connect"]
    details = [(row["name"], row["value"]) for row in connect["details"]]
    assert ("discoveryName", "web") in details and ("portName", "raw") in details, connect

    def counts():
        shown = json.loads(gantry.command("status", "--output", "json").stdout)["serviceConnect"]
        mine = [row for row in shown if (row["ClusterName"], row["ServiceName"]) == (mesh.cluster, "client")]
        return {row["DiscoveryName"]: row for row in mine}

    wait_for(lambda: counts()["web"]["HTTPCode_Target_2XX_Count"] > 30, counts)
    counts = counts()
    assert counts["raw"]["NewConnectionCount"] > 10 and counts["raw"]["RequestCount"] == 0, counts


def test_a_task_that_is_killed_or_stopped_under_load_fails_no_request(gantry, mesh, calls):
    servers = mesh.server(3)
    answers = calls()
    wait_for(lambda: sum(answers("http").values()) > 20, lambda: answers("http"))

    os.kill(pid_of(gantry, servers[0]["taskArn"]), signal.SIGKILL)
    mesh.ecs.stop_task(cluster=mesh.cluster, task=servers[1]["taskArn"])
    gone = hosts(servers[:2])

    def replaced():
        now = hosts(mesh.running("server"))
        return len(now) == 3 and not now & gone and now <= set(answers("http"))

    wait_for(replaced, lambda: (hosts(mesh.running("server")), answers("http")))
    assert answers("http")["failed"] == 0, answers("http")


def test_a_security_group_forbids_it(gantry, mesh, calls, unique):
    ec2 = gantry.endpoint.client("ec2")
    group = ec2.create_security_group(GroupName=unique, Description="e2e")["GroupId"]
    try:
        mesh.server(1, groups=[group])
        answers = calls()
        wait_for(lambda: answers("tcp")["failed"] > 0, lambda: answers("tcp"))
        assert set(answers("http")) | set(answers("tcp")) == {"failed"}

        permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        wait_for(lambda: len(set(answers("http"))) > 1, lambda: answers("http"))
        assert set(answers("tcp")) == {"failed"}
    finally:
        mesh.delete()
        mesh.made.clear()
        ec2.delete_security_group(GroupId=group)
