"""Security groups of real tasks: what is forbidden does not arrive, and what is allowed afterwards does."""

import threading
import urllib.request
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture
def ec2(gantry):
    return gantry.endpoint.client("ec2")


@pytest.fixture
def group(ec2, unique, tasks):
    """Makes groups. They go once nothing has them any more."""
    made = []

    def make(name):
        answer = ec2.create_security_group(GroupName=f"{unique}-{name}", Description="e2e")
        made.append(answer["GroupId"])
        return answer["GroupId"]

    yield make
    tasks.stop_all()
    for one in made:
        rules = ec2.describe_security_groups(GroupIds=[one])["SecurityGroups"][0]["IpPermissions"]
        if rules:
            ec2.revoke_security_group_ingress(GroupId=one, IpPermissions=rules)
    for one in made:
        ec2.delete_security_group(GroupId=one)


@pytest.fixture
def ask(tasks, busybox):
    """Whether a script ends well in a task of these groups. Its shell must stay: `timeout` kills no first process."""

    def answer(script, *groups):
        container = {"name": "main", "image": busybox, "command": ["/bin/sh", "-c", script]}
        task = tasks.wait_until_stopped(tasks.run(container, fargate=True, groups=groups))
        return task["containers"][0]["exitCode"] == 0

    return answer


def serve(tasks, busybox, *groups):
    script = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    container = {"name": "main", "image": busybox, "stopTimeout": 2, "command": ["/bin/sh", "-c", script]}
    task = tasks.wait_until_running(tasks.run(container, fargate=True, groups=groups))
    return task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]


def test_a_group_forbids_then_allows_another_group(ec2, tasks, busybox, group, ask):
    web, app = group("web"), group("app")
    address = serve(tasks, busybox, web)
    once = f"timeout 2 wget -q -O - http://{address}/ | grep -q hello"
    # A rule takes a moment from its answer to the node.
    soon = f"for n in $(seq 10); do {once} && exit 0; sleep 0.3; done; exit 1"
    assert not ask(once, app)
    page = urllib.request.urlopen(f"http://{address}/", timeout=10)
    assert page.read() == b"hello\n", "this machine reaches it without a rule"

    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": app}]}
    ec2.authorize_security_group_ingress(GroupId=web, IpPermissions=[permission])
    assert ask(soon, app)
    assert not ask(once), "the default group is not named"
    assert not ask(once.replace("/ |", ":81/ |"), app), "another port is not allowed"


def test_a_group_that_a_task_has_is_not_deleted(ec2, tasks, busybox, group):
    web = group("web")
    serve(tasks, busybox, web)
    with pytest.raises(ec2.exceptions.ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=web)


@pytest.fixture
def port():
    """Where a program of this machine answers, on all of its addresses."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_of_this_machine_a_task_reaches_its_metadata_and_no_other_port(port, ask):
    assert ask('wget -q -O - "$ECS_CONTAINER_METADATA_URI_V4" | grep -q DockerId')
    for gateway in ("172.31.0.1", "172.30.0.1"):
        assert urllib.request.urlopen(f"http://{gateway}:{port}/", timeout=10).status == 200
        assert not ask(f"timeout 2 wget -q -O /dev/null http://{gateway}:{port}/ || exit 1")


def test_a_task_has_no_raw_packets(ask):
    # NET_RAW is bit 13.
    assert ask("test $(( 0x$(grep CapBnd /proc/self/status | cut -f2) >> 13 & 1 )) = 0")
