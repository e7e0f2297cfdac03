"""A data directory on a disk that fills up, gantry's own output on it too: writes are refused in AWS's words, nothing
acknowledged is lost, reads go on, and with room again writes work again. Needs root, to mount the small disk."""

import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from gantry import Gantry, wait_for

DISK_BYTES = 64 << 20
# What is left on the disk when it is "full": less than any commit of the store takes.
PAGE = 4096
GROUP, STREAM = "full-disk", "lines"


@pytest.fixture
def gantry(tmp_path, request):
    if request.config.getoption("--endpoint"):
        pytest.skip("the disk of a given endpoint is not this test's to fill")
    assert os.geteuid() == 0, "mounting a disk needs root"
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "gantry-test", disk], check=True)
    started = Gantry(disk, "--simulated-nodes", "1")
    try:
        started.start()
        yield started
    finally:
        started.stop()
        subprocess.run(["umount", disk], check=True)


def fill(directory):
    """A file that takes all the room there is."""
    ballast = directory / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (1 << 20, PAGE):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


def quick(endpoint, service):
    return endpoint.client(service, connect_timeout=5, read_timeout=20)


def fill_until_refused(call, limit=2000):
    """Calls until one is refused; the numbers of those acknowledged, and the refusal."""
    acknowledged = []
    for number in range(limit):
        try:
            call(number)
        except ClientError as error:
            return acknowledged, error
        acknowledged.append(number)
    raise AssertionError(f"{limit} calls fitted on a full disk")


def code_of(error):
    return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]


def names(ecs):
    pages = ecs.get_paginator("list_clusters").paginate()
    return {arn.rsplit("/", 1)[1] for page in pages for arn in page["clusterArns"]}


def put_line(logs, text):
    event = {"timestamp": int(time.time() * 1000), "message": text}
    logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[event])


def lines(logs):
    found, token = [], None
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True, **more)
        found += [event["message"][:5] for event in page["events"]]
        if not page["events"]:
            return found
        token = page["nextForwardToken"]


def succeeds(call):
    try:
        call()
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
        return False
    return True


def test_state_and_log_lines_on_a_full_disk(gantry):
    ecs, logs = quick(gantry.endpoint, "ecs"), quick(gantry.endpoint, "logs")
    ecs.create_cluster(clusterName="before")
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    put_line(logs, "first")

    ballast = fill(gantry.directory)
    acknowledged, refusal = fill_until_refused(lambda n: ecs.create_cluster(clusterName=f"c{n:04}"))
    assert code_of(refusal) == ("ServerException", 500)
    assert "full" in str(refusal)
    kept = {"before", *(f"c{n:04}" for n in acknowledged)}
    lines_acknowledged, refusal = fill_until_refused(lambda n: put_line(logs, f"{n:05}" + "x" * 200_000))
    assert code_of(refusal) == ("ServiceUnavailableException", 500)
    stored = ["first", *(f"{n:05}" for n in lines_acknowledged)]

    # Refused for as long as the disk is full, and reads go on.
    for _ in range(3):
        with pytest.raises(ClientError):
            ecs.create_cluster(clusterName="refused", tags=[{"key": f"{n}", "value": "x" * 256} for n in range(50)])
        with pytest.raises(ClientError):
            put_line(logs, "never" + "x" * 200_000)
    assert kept <= names(ecs)
    assert lines(logs)[: len(stored)] == stored
    assert ecs.describe_clusters(clusters=["before"])["clusters"][0]["status"] == "ACTIVE"

    ballast.unlink()
    wait_for(lambda: succeeds(lambda: ecs.create_cluster(clusterName="after")), "the state takes writes again")
    wait_for(lambda: succeeds(lambda: put_line(logs, "after")), "the log store takes lines again")
    assert {*kept, "after"} <= names(ecs)
    assert "refused" not in names(ecs)

    # What was acknowledged is on the disk and not only in memory.
    gantry.kill()
    endpoint = gantry.start()
    ecs, logs = quick(endpoint, "ecs"), quick(endpoint, "logs")
    assert {*kept, "after"} <= names(ecs)
    found = lines(logs)
    assert [line for line in found if line in stored] == stored
    assert found[-1] == "after"
