"""The README's commands, as typed."""

import json
import re
import subprocess

import pytest

from gantry import BINARY, REPOSITORY, wait_for
from leftovers import leftovers


def test_the_demo_runs_again_and_again(gantry):
    for _ in range(2):
        shown = gantry.command("demo").stdout
        assert re.search(r"Page http://172\.31\.\d+\.\d+/", shown), shown
        assert "serving the page on 0.0.0.0:80" in shown
    machine = json.loads(gantry.command("--output", "json", "demo").stdout)
    assert machine["address"] in machine["page"] and machine["logMessages"]
    task = machine["taskArn"]
    ecs = gantry.endpoint.client("ecs")
    ecs.stop_task(task=task)
    wait_for(lambda: ecs.describe_tasks(tasks=[task])["tasks"][0]["lastStatus"] == "STOPPED", "the demo's task stops", 30)


def tour():
    """The shell lines of the README's tour, but for those that start and stop gantry."""
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.split("## A five-minute tour", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [block for block in blocks if "gantry up" not in block and "gantry down" not in block]


def test_the_tour_works_as_typed(gantry, busybox, tmp_path):
    script = "set -euo pipefail\n" + "\n".join(tour())
    environment = {**gantry.endpoint.environment(), "HOME": str(tmp_path)}
    environment["PATH"] = f"{gantry.directory}/bin:{environment['PATH']}"
    wrapper = gantry.directory / "bin/gantry"
    wrapper.parent.mkdir(exist_ok=True)

    wrapper.write_text(f'#!/bin/sh\nexec {BINARY} --data-dir {gantry.directory} "$@"\n')
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "STOPPED" in done.stdout
    assert "rolling back to deployment" in done.stdout
    # An INACTIVE service's last tasks may still be stopping.
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry), 30)


def test_commands_answer_for_people_and_machines(gantry):
    assert "running" in gantry.command("status").stdout
    assert '"running": true' in gantry.command("--output", "json", "status").stdout
    assert "AWS_ENDPOINT_URL=http://" in gantry.command("env").stdout
    assert "IMAGE" in gantry.command("image", "ls").stdout
    assert "gantry" in gantry.command("completions", "bash").stdout
    assert "This machine can run gantry." in gantry.command("doctor").stdout
    findings = json.loads(gantry.command("--output", "json", "doctor").stdout)
    assert {"root", "containerd", "network"} <= {finding["what"] for finding in findings if finding["ok"]}


@pytest.mark.parametrize("arguments, text", [(["up"], "already runs"), (["image", "import", "/none.tar"], "/none.tar")])
def test_failures_say_what_why_and_what_to_do(gantry, arguments, text):
    done = gantry.command(*arguments, check=False)
    assert done.returncode != 0
    assert text in done.stderr
