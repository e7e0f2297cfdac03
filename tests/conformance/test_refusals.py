"""What `gantry up` refuses: it says what, why, and what to do instead, and leaves at once."""

import json
import os
import socket
import subprocess

import pytest

from gantry import BINARY, Gantry

NOBODY = 65534
SECONDS = 30


def refused(directory, *arguments, **options):
    """What it says on its way out."""
    command = [BINARY, "--data-dir", directory, "up", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)
    assert done.returncode == 1, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert done.stdout == ""
    return done.stderr


def check(text, *parts):
    """The last part is what to do; it stands on a line of its own."""
    for part in parts:
        assert part in text, text
    assert parts[-1] in text.rstrip().splitlines()[-1], text


def test_open_to_all_without_authentication(tmp_path):
    text = refused(tmp_path, "--no-auth", "--listen", "0.0.0.0:0", "--simulated-nodes", "1")
    check(text, "--no-auth refuses to listen on 0.0.0.0:0", "anyone who reaches it", "Listen on 127.0.0.1")


@pytest.mark.parametrize("mode", [[], ["--detach"]])
def test_a_port_in_use(tmp_path, mode):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = refused(tmp_path, "--listen", address, "--simulated-nodes", "1", *mode)
    check(text, f"{address} could not be listened on", "Address already in use", "--listen")


def test_a_directory_of_another_account(tmp_path):
    gantry = Gantry(tmp_path, "--simulated-nodes", "1")
    gantry.start()
    gantry.stop()
    arguments = ["--listen", "127.0.0.1:0", "--simulated-nodes", "1", "--account-id", "123456789012"]
    text = refused(tmp_path, *arguments)
    check(text, "the state could not be opened", "000000000000", "123456789012", "--data-dir")


def test_a_second_one_on_the_same_directory(tmp_path):
    gantry = Gantry(tmp_path, "--simulated-nodes", "1")
    gantry.start()
    try:
        text = refused(tmp_path, "--listen", "127.0.0.1:0", "--simulated-nodes", "1")
        check(text, "gantry already runs", gantry.address, "--data-dir")
        assert "already" not in gantry.output()
        gantry.endpoint.client("ecs").list_clusters()
    finally:
        gantry.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_containers_without_root(tmp_path):
    # The binary may stand where only root can go: it is given to the child open.
    program = os.open(BINARY, os.O_RDONLY)
    try:
        done = subprocess.run(
            [f"/proc/self/fd/{program}", "--data-dir", tmp_path, "up"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            pass_fds=[program],
            cwd="/",
        )
    finally:
        os.close(program)
    assert done.returncode == 1
    check(done.stderr, "containers and networks need root", "sudo")


@pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")
def test_a_containerd_that_does_not_answer(tmp_path):
    none = tmp_path / "containerd.sock"
    text = refused(tmp_path, "--listen", "127.0.0.1:0", "--containerd", none, "--instance", "grefused")
    check(text, "there is no containerd to run containers", str(none), "leave --containerd out")


def test_a_damaged_key_is_not_replaced(tmp_path):
    key = tmp_path / "root-access-key.json"
    key.touch(mode=0o600)
    key.write_text("{}")
    text = refused(tmp_path, "--listen", "127.0.0.1:0", "--simulated-nodes", "1")
    check(text, "the state could not be opened", str(key), "--data-dir")
    assert json.loads(key.read_text()) == {}
