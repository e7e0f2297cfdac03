"""The case that matters most: a web server as people run it on Fargate."""

import urllib.request

import pytest

from gantry import wait_for

STOP_TIMEOUT = 10


@pytest.fixture
def server(tasks, nginx, unique, log_configuration):
    return tasks.run(
        {
            "name": "web",
            "image": nginx,
            "portMappings": [{"containerPort": 80}],
            "readonlyRootFilesystem": True,
            "linuxParameters": {
                "tmpfs": [
                    {"containerPath": "/tmp", "size": 16, "mountOptions": ["rw", "mode=1777"]},
                    {"containerPath": "/var/cache", "size": 16},
                ]
            },
            "healthCheck": {
                "command": ["CMD-SHELL", "touch /denied 2>/dev/null && exit 1; wget -q -O /dev/null http://127.0.0.1/"],
                "interval": 5,
                "timeout": 2,
                "retries": 2,
                "startPeriod": 5,
            },
            "stopTimeout": STOP_TIMEOUT,
            "logConfiguration": log_configuration(),
        },
        fargate=True,
    )


def get(address, path="/"):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        return answer.read().decode()


def test_a_web_server_on_fargate(tasks, server, unique, messages):
    task = tasks.wait_until_running(server)
    address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
    assert details["privateIPv4Address"] == address
    assert task["attachments"][0]["status"] == "ATTACHED"

    wait_for(lambda: try_get(address), "the page is served")
    assert get(address) == "nginx in a task\n"
    # The check fails when a write to / succeeds, so HEALTHY also proves the read-only root.
    tasks.wait(server, lambda task: task["healthStatus"] == "HEALTHY")

    get(address, "/index.html?seen=1")
    stream = f"e2e/web/{server.rsplit('/', 1)[1]}"
    wait_for(lambda: any("seen=1" in line for line in messages(f"/{unique}", stream)), "the access log arrives")

    tasks.stop(server, "enough")
    stopped = tasks.wait_until_stopped(server)
    assert stopped["stoppedReason"] == "enough"
    assert stopped["stopCode"] == "UserInitiated"
    assert stopped["containers"][0]["exitCode"] == 0, "nginx had to be killed"
    with pytest.raises(OSError):
        get(address)


def try_get(address):
    try:
        return get(address)
    except OSError:
        return None
