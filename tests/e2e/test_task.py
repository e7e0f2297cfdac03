"""What a container is given, and what its task says when it ends."""

import socket
import urllib.request

import pytest

from gantry import wait_for


def container(busybox, script, **fields):
    base = {"name": "main", "image": busybox, "memory": 64, "command": ["/bin/sh", "-c", script], "stopTimeout": 2}
    return {**base, **fields}


def stream_of(arn, name="main"):
    return f"e2e/{name}/{arn.rsplit('/', 1)[1]}"


def test_exit_codes_and_reasons(tasks, busybox):
    arn = tasks.run(container(busybox, "exit 3"), networkMode="none")
    task = tasks.wait_until_stopped(arn)
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == 3


def test_out_of_memory_is_said(tasks, busybox):
    eater = "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"
    arn = tasks.run(container(busybox, eater, memory=8), networkMode="none")
    task = tasks.wait_until_stopped(arn)
    assert task["containers"][0]["exitCode"] == 137
    assert task["containers"][0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"


def test_an_image_that_is_nowhere(tasks):
    definition = {"name": "main", "image": "localhost:1/none:latest", "memory": 64}
    arn = tasks.run(definition, networkMode="none")
    task = tasks.wait_until_stopped(arn)
    assert task["stopCode"] == "TaskFailedToStart"
    assert "CannotPull" in task["containers"][0]["reason"] + task["stoppedReason"]


def test_a_missing_program(tasks, busybox):
    arn = tasks.run(
        {"name": "main", "image": busybox, "memory": 64, "command": ["/bin/none"]},
        networkMode="none",
    )
    task = tasks.wait_until_stopped(arn)
    assert task["stopCode"] == "TaskFailedToStart"
    assert "/bin/none" in task["containers"][0]["reason"]


@pytest.mark.parametrize(
    "fargate, name", [(True, "ResourceInitializationError"), (False, "CannotStartContainerError")]
)
def test_a_log_group_that_is_not_there(tasks, busybox, unique, logs, log_configuration, fargate, name):
    configuration = log_configuration()
    del configuration["options"]["awslogs-create-group"]
    main = container(busybox, "sleep 3600", logConfiguration=configuration)
    arn = tasks.run(main, fargate=fargate, **({} if fargate else {"networkMode": "none"}))
    task = tasks.wait_until_stopped(arn)
    assert task["stopCode"] == "TaskFailedToStart"
    text = (
        f"{name}: failed to initialize logging driver: failed to create Cloudwatch log stream: "
        "ResourceNotFoundException: The specified log group does not exist."
    )
    assert text in (task["stoppedReason"] if fargate else task["containers"][0]["reason"]), task
    assert "startedAt" not in task
    assert logs.describe_log_groups(logGroupNamePrefix=f"/{unique}")["logGroups"] == []

    logs.create_log_group(logGroupName=f"/{unique}")
    tasks.wait_until_running(tasks.run(main, networkMode="none"))


def test_environment_user_directory_and_limits(tasks, busybox, unique, messages, log_configuration):
    script = (
        'echo "env $A $B"; echo "user $(id -u):$(id -g)"; echo "dir $(pwd)"; echo "files $(ulimit -n)"; '
        'echo "shm $(df -k /dev/shm | tail -n1 | awk \'{print $2}\')"; echo "host $(hostname)"; sleep 1'
    )
    arn = tasks.run(
        container(
            busybox,
            script,
            environment=[{"name": "A", "value": "one"}, {"name": "B", "value": "two"}],
            user="1000:1000",
            workingDirectory="/tmp",
            ulimits=[{"name": "nofile", "softLimit": 512, "hardLimit": 512}],
            linuxParameters={"sharedMemorySize": 32},
            logConfiguration=log_configuration(),
        ),
        networkMode="bridge",
        run={"overrides": {"containerOverrides": [{"name": "main", "environment": [{"name": "B", "value": "three"}]}]}},
    )
    tasks.wait_until_stopped(arn)
    found = wait_for(lambda: got if len(got := messages(f"/{unique}", stream_of(arn))) >= 6 else None, "six lines")
    assert found[:5] == ["env one three", "user 1000:1000", "dir /tmp", "files 512", f"shm {32 * 1024}"]


def test_published_ports_fixed_and_dynamic(tasks, busybox):
    script = "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    arn = tasks.run(
        container(busybox, script, portMappings=[{"containerPort": 8080, "hostPort": free}]),
        container(busybox, script, name="other", portMappings=[{"containerPort": 8080}]),
        networkMode="bridge",
    )
    task = tasks.wait_until_running(arn)
    bindings = {c["name"]: c["networkBindings"][0] for c in task["containers"]}
    assert bindings["main"]["hostPort"] == free
    assert bindings["other"]["hostPort"] not in (0, free)
    for binding in bindings.values():
        url = f"http://127.0.0.1:{binding['hostPort']}/index.html"
        assert wait_for(lambda: fetch(url), url) == "hello\n"


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return None


def test_containers_of_an_awsvpc_task_share_localhost(tasks, busybox):
    server = "echo shared > /tmp/index.html; exec httpd -f -p 8081 -h /tmp"
    client = "for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://127.0.0.1:8081/index.html && exit 0; sleep 1; done; exit 1"
    arn = tasks.run(
        container(busybox, server, name="server"),
        container(busybox, client, name="client", essential=False),
        networkMode="awsvpc",
    )
    task = tasks.wait(arn, lambda task: task["containers"][1]["lastStatus"] == "STOPPED")
    assert task["containers"][1]["exitCode"] == 0
    assert task["lastStatus"] == "RUNNING"


def test_tasks_reach_each_other_and_the_host_reaches_them(tasks, busybox):
    server = container(busybox, "echo reached > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
    first = tasks.run(server, networkMode="awsvpc")
    address = tasks.wait_until_running(first)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    assert wait_for(lambda: fetch(f"http://{address}/index.html"), "the host reaches the task") == "reached\n"
    second = tasks.run(container(busybox, f"wget -q -O - http://{address}/index.html"), networkMode="awsvpc")
    assert tasks.wait_until_stopped(second)["containers"][0]["exitCode"] == 0


def test_dependencies_order_the_start_and_reverse_the_stop(tasks, busybox, unique, messages, log_configuration):
    note = "trap 'echo $NAME stops; exit 0' TERM; echo $NAME starts; while true; do sleep 0.1; done"

    def part(name, script, depends=None, **fields):
        return container(
            busybox,
            script,
            name=name,
            environment=[{"name": "NAME", "value": name}],
            dependsOn=[{"containerName": n, "condition": c} for n, c in depends or []],
            logConfiguration=log_configuration(),
            **fields,
        )

    arn = tasks.run(
        part("app", note, [("init", "SUCCESS"), ("db", "HEALTHY")]),
        part("init", "sleep 1; echo init done", essential=False),
        part(
            "db",
            "touch /tmp/ready; " + note,
            healthCheck={"command": ["CMD-SHELL", "test -e /tmp/ready"], "interval": 5, "timeout": 2},
        ),
        networkMode="none",
    )
    tasks.wait_until_running(arn)
    tasks.stop(arn)
    stopped = tasks.wait_until_stopped(arn)
    codes = {c["name"]: c["exitCode"] for c in stopped["containers"]}
    assert codes == {"app": 0, "init": 0, "db": 0}

    def events():
        found = logs_of(tasks, unique)
        return found if len(found) >= 5 else None

    lines = [message for _, message in sorted(wait_for(events, "five lines"), key=lambda event: event[0])]
    assert lines.index("init done") < lines.index("app starts")
    assert lines.index("db starts") < lines.index("app starts")
    assert lines.index("app stops") < lines.index("db stops")


def logs_of(tasks, unique):
    found = tasks.logs.filter_log_events(logGroupName=f"/{unique}")["events"]
    return [(event["timestamp"], event["message"]) for event in found]


def test_volumes_are_shared_and_go_with_the_task(tasks, busybox, gantry):
    host = gantry.directory / "shared"
    arn = tasks.run(
        container(
            busybox,
            "echo written > /data/file; echo kept > /host/kept; sleep 600",
            name="writer",
            mountPoints=[
                {"sourceVolume": "scratch", "containerPath": "/data"},
                {"sourceVolume": "host", "containerPath": "/host"},
            ],
        ),
        container(
            busybox,
            "while ! cat /data/file; do sleep 0.1; done; touch /data/x 2>/dev/null && exit 1; exit 0",
            name="reader",
            essential=False,
            volumesFrom=[{"sourceContainer": "writer", "readOnly": True}],
        ),
        networkMode="none",
        volumes=[{"name": "scratch"}, {"name": "host", "host": {"sourcePath": str(host)}}],
    )
    task = tasks.wait(arn, lambda task: task["containers"][1]["lastStatus"] == "STOPPED")
    assert task["containers"][1]["exitCode"] == 0
    assert (host / "kept").read_text() == "kept\n"
    tasks.stop(arn)
    tasks.wait_until_stopped(arn)


def test_a_deaf_container_is_killed_after_its_time_out(tasks, busybox):
    arn = tasks.run(container(busybox, "trap '' TERM; while true; do sleep 0.1; done", stopTimeout=2), networkMode="none")
    tasks.wait_until_running(arn)
    tasks.stop(arn)
    task = tasks.wait_until_stopped(arn)
    assert task["containers"][0]["exitCode"] == 137


def test_a_failing_health_check_is_unhealthy(tasks, busybox):
    check = {"command": ["CMD", "/bin/false"], "interval": 5, "timeout": 2, "retries": 1}
    arn = tasks.run(container(busybox, "sleep 600", healthCheck=check), networkMode="none")
    tasks.wait(arn, lambda task: task["healthStatus"] == "UNHEALTHY")


def test_host_network(tasks, busybox, gantry):
    arn = tasks.run(container(busybox, f"wget -q -O - http://{gantry.address}/gantry/health"), networkMode="host")
    assert tasks.wait_until_stopped(arn)["containers"][0]["exitCode"] == 0


@pytest.mark.parametrize("drop, exit_code", [([], 0), (["CHOWN"], 1)])
def test_capabilities(tasks, busybox, drop, exit_code):
    arn = tasks.run(
        container(
            busybox,
            "touch /tmp/f && chown 1000 /tmp/f",
            linuxParameters={"capabilities": {"drop": drop}} if drop else {},
        ),
        networkMode="none",
    )
    assert tasks.wait_until_stopped(arn)["containers"][0]["exitCode"] == exit_code
