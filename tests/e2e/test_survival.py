"""Killing gantry: nothing acknowledged is lost, containers go on, what happened meanwhile is told truly, nothing leaks."""

import os
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from gantry import wait_for
from leftovers import containers, leftovers, published, remains

BURST = 200
SOME = 20


def quiet(busybox, script="sleep 3600", **fields):
    return {"name": "main", "image": busybox, "memory": 16, "stopTimeout": 2, "command": ["/bin/sh", "-c", script], **fields}


def restart(gantry):
    """Kills and starts it again where it was."""
    address = gantry.address
    gantry.kill()
    return gantry.start(listen=address)


def pid_of(gantry, arn):
    """The first process of a task's container, by its cgroup."""
    task = arn.rsplit("/", 1)[1]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if task in (process / "cgroup").read_text():
                return int(process.name)
        except OSError:
            continue
    return None


def test_containers_outlive_a_kill_and_are_adopted(gantry, tasks, busybox):
    arn = tasks.run(quiet(busybox), networkMode="awsvpc")
    before = tasks.wait_until_running(arn)
    pid = pid_of(gantry, arn)
    assert pid
    restart(gantry)
    after = tasks.wait_until_running(arn)
    assert pid_of(gantry, arn) == pid
    assert after["startedAt"] == before["startedAt"]
    assert after["containers"][0]["runtimeId"] == before["containers"][0]["runtimeId"]
    wait_for(lambda: tasks.describe(arn)["connectivity"] == "CONNECTED", "the agent is back")


def test_an_exit_while_gantry_is_away_is_told_truly(gantry, tasks, busybox):
    arn = tasks.run(quiet(busybox, "trap 'exit 7' USR1; while true; do sleep 0.1; done"), networkMode="none")
    tasks.wait_until_running(arn)
    pid = pid_of(gantry, arn)
    address = gantry.address
    gantry.kill()
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the container ends")
    gantry.start(listen=address)
    task = tasks.wait_until_stopped(arn)
    assert task["containers"][0]["exitCode"] == 7
    assert task["stopCode"] == "EssentialContainerExited"


def test_output_of_the_time_away_is_not_lost(gantry, tasks, busybox, unique, messages, log_configuration):
    script = "n=0; while true; do echo line $n; n=$((n+1)); sleep 0.02; done"
    arn = tasks.run(quiet(busybox, script, logConfiguration=log_configuration()), networkMode="none")
    tasks.wait_until_running(arn)
    stream = f"e2e/main/{arn.rsplit('/', 1)[1]}"
    seen = wait_for(lambda: len(messages(f"/{unique}", stream)), "lines arrive")
    restart(gantry)
    wait_for(lambda: len(messages(f"/{unique}", stream)) > seen + 50, "lines go on")
    numbers = [int(message.split()[1]) for message in messages(f"/{unique}", stream)]
    # The last batch before the kill may have been stored without its answer arriving: it comes once more, whole.
    assert sorted(set(numbers)) == list(range(max(numbers) + 1))


def test_kill_during_a_burst_of_run_task(gantry, tasks, busybox):
    definition = tasks.register(quiet(busybox, memory=16), networkMode="awsvpc")
    network = {"awsvpcConfiguration": {"subnets": tasks.subnets}}
    acknowledged = []

    def run(_):
        client = gantry.endpoint.client("ecs", connect_timeout=2, read_timeout=10)
        try:
            answer = client.run_task(taskDefinition=definition, launchType="EC2", networkConfiguration=network)
        except (BotoCoreError, ClientError):
            return
        acknowledged.extend(task["taskArn"] for task in answer["tasks"])

    with ThreadPoolExecutor(16) as pool:
        burst = [pool.submit(run, n) for n in range(BURST)]
        wait_for(lambda: len(acknowledged) >= BURST // 3, "a third of the burst is acknowledged", interval=0.001)
        address = gantry.address
        gantry.kill()
        for call in burst:
            call.result()
    gantry.start(listen=address)

    tasks.started.extend(acknowledged)
    assert len(acknowledged) < BURST, "the kill came too late to prove anything"
    for start in range(0, len(acknowledged), 100):
        answer = tasks.ecs.describe_tasks(tasks=acknowledged[start : start + 100])
        assert answer["failures"] == []
    # Those that were durable but whose answer was cut off are tasks too; they are stopped with the others.
    listed = [arn for page in tasks.ecs.get_paginator("list_tasks").paginate() for arn in page["taskArns"]]
    assert set(acknowledged) <= set(listed)
    tasks.started = listed
    for arn in listed:
        tasks.wait_until_running(arn)
    assert len(containers(gantry)) == len(listed), "a task was started twice, or not at all"
    tasks.stop_all()
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))


def run_many(tasks, definition, count):
    """In calls of ten, the most that one takes."""
    arns = []
    while len(arns) < count:
        answer = tasks.ecs.run_task(taskDefinition=definition, launchType="EC2", count=min(10, count - len(arns)))
        assert not answer["failures"], answer["failures"]
        arns += [task["taskArn"] for task in answer["tasks"]]
        tasks.started = list(arns)
    return arns


def test_kill_while_tasks_are_stopping(gantry, tasks, busybox):
    deaf = quiet(busybox, "trap '' TERM; while true; do sleep 1; done", portMappings=[{"containerPort": 80}])
    arns = run_many(tasks, tasks.register(deaf, networkMode="bridge"), SOME)
    for arn in arns:
        tasks.wait_until_running(arn)
    for arn in arns:
        tasks.stop(arn, "of the test")
    wait_for(lambda: len(containers(gantry)) < SOME, "some have ended", interval=0.001)
    restart(gantry)
    for arn in arns:
        task = tasks.wait_until_stopped(arn)
        assert task["stopCode"] == "UserInitiated"
        assert task["stoppedReason"] == "of the test"
        assert task["containers"][0]["exitCode"] == 137
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))


def test_kill_while_tasks_with_published_ports_are_starting(gantry, tasks, busybox):
    server = quiet(busybox, "echo here > /tmp/index.html; exec httpd -f -p 8080 -h /tmp")
    server["portMappings"] = [{"containerPort": 8080, "hostPort": 0}]
    arns = run_many(tasks, tasks.register(server, networkMode="bridge"), SOME)
    wait_for(lambda: len(published()) > 0, "some ports are published", interval=0.001)
    restart(gantry)
    ports = set()
    for arn in arns:
        bindings = tasks.wait_until_running(arn)["containers"][0]["networkBindings"]
        assert [binding["containerPort"] for binding in bindings] == [8080]
        ports.add(bindings[0]["hostPort"])
    assert len(ports) == SOME, "a port was given twice"
    assert len(published()) == SOME
    assert len(containers(gantry)) == SOME
    for port in ports:
        wait_for(lambda: answers(port), f"port {port} leads to its container")
    tasks.stop_all()
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as page:
            return page.read() == b"here\n"
    except OSError:
        return False


def test_down_with_tasks_ends_a_service_and_what_is_stopping(gantry, tasks, busybox, unique):
    """On a gantry that goes: the service is not to replace what is stopped, nor is what stops already to be left."""
    deaf = quiet(busybox, "trap '' TERM; while true; do sleep 1; done", stopTimeout=3)
    definition = tasks.register(deaf, networkMode="bridge")
    tasks.ecs.create_service(serviceName=unique, taskDefinition=definition, desiredCount=2, launchType="EC2")
    (stopping,) = run_many(tasks, definition, 1)
    tasks.wait_until_running(stopping)
    listed = lambda: tasks.ecs.list_tasks(serviceName=unique)["taskArns"]
    for arn in wait_for(lambda: len(listed()) == 2 and listed(), "the service has its tasks"):
        tasks.wait_until_running(arn)
    tasks.stop(stopping)

    address = gantry.address
    gantry.command("down", "--tasks")
    gantry.process.wait()
    gantry.process = None
    assert remains(gantry) == {}

    gantry.start(listen=address)
    wait_for(lambda: len(listed()) == 2, "the service is taken up again")
    tasks.ecs.delete_service(service=unique, force=True)
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))
