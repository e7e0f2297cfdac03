"""Real AWS clients against a running gantry.

With --endpoint URL they talk to what answers there, with the credentials and region of the environment. Without it, a
gantry of their own is started on a free port with a fresh data directory and simulated nodes, and ended afterwards.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("GANTRY", REPOSITORY / "target/debug/gantry"))
START_SECONDS = 60
STOP_SECONDS = 30
SIMULATED_NODES = 3


def pytest_addoption(parser):
    parser.addoption("--endpoint", help="URL of a running endpoint; a gantry is started without it")


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

    def aws(self, *arguments):
        """Runs the aws CLI; its parsed answer, or None when it prints nothing."""
        done = self.try_aws(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def try_aws(self, *arguments):
        """Runs the aws CLI of the same environment as these tests."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }
        command = [str(Path(sys.executable).with_name("aws")), "--output", "json", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def endpoint(request, tmp_path_factory):
    given = request.config.getoption("--endpoint")
    if given:
        session = boto3.Session()
        credentials = session.get_credentials()
        assert credentials, "--endpoint needs credentials in the environment"
        yield Endpoint(given, session.region_name or "us-east-1", credentials.access_key, credentials.secret_key)
        return
    with started_gantry(tmp_path_factory.mktemp("gantry")) as started:
        yield started


class started_gantry:
    """A gantry on a free port; its output is shown when it does not become ready."""

    def __init__(self, directory):
        self.directory = directory

    def __enter__(self):
        self.log = open(self.directory / "output", "w+")
        command = [BINARY, "--data-dir", self.directory, "up", "--listen", "127.0.0.1:0"]
        command += ["--simulated-nodes", str(SIMULATED_NODES)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        try:
            running = self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        key = json.loads((self.directory / "root-access-key.json").read_text())
        url = f"http://{running['address']}"
        return Endpoint(url, running.get("region", "us-east-1"), key["accessKeyId"], key["secretAccessKey"])

    def wait_until_ready(self):
        announced = self.directory / "gantry.json"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"gantry ended at once:\n{self.output()}")
            if announced.exists():
                return json.loads(announced.read_text())
            time.sleep(0.05)
        raise AssertionError(f"gantry was not ready within {START_SECONDS} s:\n{self.output()}")

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.log.close()


@pytest.fixture(scope="session")
def ecs(endpoint):
    return endpoint.client("ecs")


@pytest.fixture(scope="session")
def ec2(endpoint):
    return endpoint.client("ec2")


@pytest.fixture(scope="session")
def sts(endpoint):
    return endpoint.client("sts")


@pytest.fixture(scope="session")
def logs(endpoint):
    return endpoint.client("logs")


@pytest.fixture
def unique():
    """A name that no other test uses."""
    return f"conformance-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def health(endpoint):
    """What gantry itself says of its state."""
    with urlopen(f"{endpoint.url}/gantry/health", timeout=10) as answer:
        return json.load(answer)
