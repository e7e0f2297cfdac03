"""The README's commands, as typed."""

import json
import re
import subprocess

import pytest

from gantry import BINARY, REPOSITORY, wait_for
from leftovers import leftovers


def test_the_demo_runs_again_and_again(gantry):
    shown = gantry.command("demo").stdout
    url = re.search(r"URL (http://gantry-demo-\d+\.us-east-1\.elb\.localhost:(\d+)/)", shown)
    assert url and gantry.address.endswith(f":{url[2]}"), shown
    assert len(set(re.findall(r"^ +\d+  task ([0-9a-f]{32})  version 1$", shown, re.MULTILINE))) == 3, shown
    assert re.search(r"[1-9]\d+ requests, 0 failed", shown), shown

    machine = json.loads(gantry.command("--output", "json", "demo").stdout)
    assert machine["url"] == url[1], "another load balancer"
    assert len(machine["answers"]) == 10 and len({answer["task"] for answer in machine["answers"]}) == 3
    update = machine["update"]
    assert (update["failed"], update["firstFailure"]) == (0, None)
    assert set(update["byVersion"]) == {"1", "2"}
    assert sum(update["byVersion"].values()) == update["requests"]

    ecs, elbv2 = gantry.endpoint.client("ecs"), gantry.endpoint.client("elbv2")
    ecs.delete_service(cluster="gantry-demo", service="gantry-demo", force=True)
    (balancer,) = elbv2.describe_load_balancers(Names=["gantry-demo"])["LoadBalancers"]
    (group,) = elbv2.describe_target_groups(Names=["gantry-demo"])["TargetGroups"]
    elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    elbv2.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))


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
    assert len(set(re.findall(r"^hello again from (\S+)$", done.stdout, re.MULTILINE))) == 3, done.stdout
    # An INACTIVE service's last tasks may still be stopping.
    wait_for(lambda: leftovers(gantry) == {}, lambda: leftovers(gantry))


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
