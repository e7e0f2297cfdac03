"""An application load balancer in front of real tasks: reached by its address and by its name, from the machine and from
tasks; health, rules, draining, and its end."""

import os
import signal
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from gantry import wait_for

SERVE = "echo page of $NAME > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@pytest.fixture
def servers(tasks, busybox):
    """The addresses of two tasks, by the name that each one's page says."""
    found = {}
    for name in ("one", "two"):
        container = {
            "name": "main",
            "image": busybox,
            "stopTimeout": 2,
            "environment": [{"name": "NAME", "value": name}],
            "command": ["/bin/sh", "-c", SERVE],
        }
        task = tasks.wait_until_running(tasks.run(container, fargate=True))
        found[name] = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    return found


def get(url, **headers):
    """Status and text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode().strip()
    except HTTPError as error:
        return error.code, error.read().decode().strip()


def test_requests_reach_the_tasks(gantry, elbv2, tasks, busybox, balancer, address, servers, unique):
    page = f"http://{address}/index.html"
    wait_for(lambda: try_get(page) == (503, try_get(page)[1]), "it answers before there is a target")

    targets = [{"Id": server} for server in servers.values()]
    elbv2.register_targets(TargetGroupArn=balancer["group"], Targets=targets)
    elbv2.get_waiter("target_in_service").wait(
        TargetGroupArn=balancer["group"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert {get(page) for _ in range(10)} == {(200, "page of one"), (200, "page of two")}

    # By its name, on the API's own port: what a browser does with a name below localhost.
    api = f"http://{gantry.address}/index.html"
    assert get(api, Host=f"{balancer['DNSName']}:4566")[0] == 200
    assert get(api, Host="nobody.elb.localhost")[0] == 404

    # From within a task.
    script = f"wget -q -O - {page} | grep -q 'page of'"
    caller = tasks.run({"name": "main", "image": busybox, "command": ["/bin/sh", "-c", script]}, fargate=True)
    assert tasks.wait_until_stopped(caller)["containers"][0]["exitCode"] == 0

    elbv2.create_rule(
        ListenerArn=balancer["listener"],
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/maintenance*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503", "MessageBody": "later"}}],
    )
    wait_for(lambda: get(f"http://{address}/maintenance/x") == (503, "later"), "the rule is served")

    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "1"}
    elbv2.modify_target_group_attributes(TargetGroupArn=balancer["group"], Attributes=[delay])
    elbv2.deregister_targets(TargetGroupArn=balancer["group"], Targets=[{"Id": servers["one"]}])
    wait_for(lambda: {get(page) for _ in range(6)} == {(200, "page of two")}, "one takes no more requests")
    elbv2.get_waiter("target_deregistered").wait(
        TargetGroupArn=balancer["group"], Targets=[{"Id": servers["one"]}], WaiterConfig={"Delay": 1}
    )


def try_get(url):
    try:
        return get(url)
    except OSError:
        return None, None


def test_it_serves_while_gantry_is_away_and_is_gone_after_its_end(gantry, elbv2, balancer, address, servers):
    elbv2.register_targets(TargetGroupArn=balancer["group"], Targets=[{"Id": server} for server in servers.values()])
    elbv2.get_waiter("target_in_service").wait(
        TargetGroupArn=balancer["group"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    page = f"http://{address}/index.html"
    listen = gantry.address
    gantry.kill()
    assert {get(page) for _ in range(50)} == {(200, "page of one"), (200, "page of two")}
    # Health is still looked after: the other one answers what would have been this one's.
    with process_stopped(servers["one"]):
        wait_for(lambda: {try_get(page) for _ in range(4)} == {(200, "page of two")}, lambda: try_get(page))
    gantry.start(listen=listen)
    states = {target["Target"]["Id"]: target["TargetHealth"]["State"] for target in health(elbv2, balancer)}
    assert states[servers["two"]] == "healthy"
    wait_for(lambda: {get(page) for _ in range(6)} == {(200, "page of one"), (200, "page of two")}, "both are back")
    elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    wait_for(lambda: try_get(page)[0] is None, "nothing answers any more")


def health(elbv2, balancer):
    return elbv2.describe_target_health(TargetGroupArn=balancer["group"])["TargetHealthDescriptions"]


@contextmanager
def process_stopped(address):
    """Whoever listens at the task's address does nothing for a while."""
    server = server_at(address)
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


def server_at(address):
    """The web server whose network namespace has the address."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_server = (process / "cmdline").read_bytes().startswith(b"httpd\0")
            if is_server and address in (process / "net/fib_trie").read_text():
                return int(process.name)
        except OSError:
            continue
    raise AssertionError(f"nobody serves at {address}")


def test_another_data_path_takes_over_when_it_is_killed(gantry, elbv2, balancer, address, servers):
    elbv2.register_targets(TargetGroupArn=balancer["group"], Targets=[{"Id": servers["one"]}])
    page = f"http://{address}/index.html"
    wait_for(lambda: try_get(page) == (200, "page of one"), lambda: try_get(page))
    for pid in data_paths(gantry):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: try_get(page) == (200, "page of one"), lambda: try_get(page))
    assert len(data_paths(gantry)) == 1


def data_paths(gantry):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(gantry.directory).encode() in arguments and b"edge" in arguments:
            found.append(int(process.name))
    return found
