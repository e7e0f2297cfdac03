"""Counts what tasks leave on the machine: containers, snapshots, shims, cgroups, namespaces, links, rules, mounts; and
what gantry itself leaves of its own after `gantry down --tasks`."""

import json
import subprocess
from pathlib import Path

# Names the bridge, firewall table, cgroup and containerd namespace of the gantry under test.
INSTANCE = "gtest"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def ctr(gantry, *arguments):
    socket = gantry.directory / "containerd/containerd.sock"
    return run("ctr", "--address", socket, "--namespace", f"gantry-{INSTANCE}", *arguments)


def containers(gantry):
    return ctr(gantry, "containers", "list", "--quiet").split()


def snapshots(gantry):
    """Those that belong to a container; committed ones are images' layers."""
    return [line for line in ctr(gantry, "snapshots", "list").splitlines() if line.split()[-1] in ("Active", "View")]


def shims(gantry):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "containerd-shim" in command.split("\0")[0] and f"gantry-{INSTANCE}" in command:
            found.append(process.name)
    return found


def parents():
    """The instance's own cgroups: version 2 has one, version 1 one for each controller."""
    mount = Path("/sys/fs/cgroup")
    return [*mount.glob(f"gantry-{INSTANCE}"), *mount.glob(f"*/gantry-{INSTANCE}")]


def cgroups():
    groups = (group for parent in parents() for group in parent.glob("*"))
    return sorted({group.name for group in groups if group.is_dir()})


def namespaces(gantry):
    """What the firewall was told last is the node's, not a task's."""
    kept = (path.name for path in (gantry.directory / "run").rglob("*") if path.is_file())
    return [name for name in kept if name != "firewall.json"]


def links():
    """Those on the instance's bridge."""
    listed = json.loads(run("ip", "-json", "link", "show", "type", "veth") or "[]")
    return [link["ifname"] for link in listed if link.get("master") == INSTANCE]


def published():
    """Ports in the instance's NAT maps."""
    table = json.loads(run("nft", "-j", "list", "table", "ip", INSTANCE))["nftables"]
    return [element for entry in table for element in entry.get("map", {}).get("elem", [])]


def mounts(gantry):
    """containerd's own mounts count: it makes them per container."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if str(gantry.directory) in line]


def leftovers(gantry):
    found = {
        "containers": containers(gantry),
        "snapshots": snapshots(gantry),
        "shims": shims(gantry),
        "cgroups": cgroups(),
        "namespaces": namespaces(gantry),
        "links": links(),
        "published ports": published(),
        "mounts": mounts(gantry),
        "tasks": sorted(path.name for path in (gantry.directory / "agent/tasks").glob("*")),
    }
    return {what: some for what, some in found.items() if some}


def processes(gantry):
    """Those whose command line names the data directory: a private containerd, its shims."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(gantry.directory) in command:
            found.append(command.replace("\0", " "))
    return found


def remains(gantry):
    """What is left of the instance once it is down, its data directory aside."""
    rules = run("nft", "list", "ruleset").splitlines()
    found = {
        "links": [link["ifname"] for link in json.loads(run("ip", "-json", "link")) if link["ifname"] == INSTANCE],
        "rules": [line for line in rules if INSTANCE in line],
        "cgroups": [str(parent) for parent in parents()],
        "mounts": mounts(gantry),
        "processes": processes(gantry),
    }
    return {what: some for what, some in found.items() if some}
