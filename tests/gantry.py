"""A gantry process and the AWS clients that talk to it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[1]
BINARY = Path(os.environ.get("GANTRY", REPOSITORY / "target/debug/gantry"))
START_SECONDS = 120
STOP_SECONDS = 120
# What must happen is waited for so long that no busy machine fails it.
WAIT_SECONDS = 180


@dataclass(frozen=True)
class Endpoint:
    url: str
    region: str
    access_key: str
    secret_key: str

    def client(self, service, *, region=None, access_key=None, secret_key=None, **config):
        """A boto3 client that never tries twice, so that a test sees the first answer."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region or self.region,
            aws_access_key_id=access_key or self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def environment(self):
        """For the aws CLI of the same environment as these tests."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def aws(self, *arguments):
        """Runs the aws CLI; its parsed answer, or None when it prints nothing."""
        done = self.try_aws(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def try_aws(self, *arguments):
        command = [str(Path(sys.executable).with_name("aws")), "--output", "json", *arguments]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)


class Gantry:
    """`gantry up` on a data directory and a free port. Its output is shown when it does not become ready."""

    def __init__(self, directory, *arguments):
        self.directory = Path(directory)
        self.arguments = arguments
        self.process = None

    def command(self, *arguments, check=True, timeout=120):
        """Runs another gantry command on the same data directory."""
        command = [BINARY, "--data-dir", self.directory, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if check:
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def start(self, listen="127.0.0.1:0"):
        (self.directory / "gantry.json").unlink(missing_ok=True)
        self.log = open(self.directory / "output", "a+")
        command = [BINARY, "--data-dir", self.directory, "up", "--listen", listen, *self.arguments]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            running = self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.address = running["address"]
        key = json.loads((self.directory / "root-access-key.json").read_text())
        self.endpoint = Endpoint(f"http://{self.address}", running["region"], key["accessKeyId"], key["secretAccessKey"])
        return self.endpoint

    def wait_until_ready(self):
        announced = self.directory / "gantry.json"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"gantry ended at once:\n{self.output()}")
            if announced.exists():
                return json.loads(announced.read_text())
            time.sleep(0.02)
        raise AssertionError(f"gantry was not ready within {START_SECONDS} s:\n{self.output()}")

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def kill(self):
        """As the machine's OOM killer would: nothing is said or saved."""
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.process = None

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.log.close()
            self.process = None


def wait_for(predicate, what, interval=0.05):
    """The first true answer of `predicate`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS} s: {what() if callable(what) else what}")
        time.sleep(interval)
