"""`gantry up --no-auth`: whoever calls is the account's root."""

import json
import urllib.request
from urllib.error import HTTPError

import pytest

from gantry import Gantry


@pytest.fixture(scope="module")
def open_gantry(request, tmp_path_factory):
    if request.config.getoption("--endpoint"):
        pytest.skip("a given endpoint has the authentication that it has")
    gantry = Gantry(tmp_path_factory.mktemp("gantry"), "--simulated-nodes", "1", "--no-auth")
    gantry.start()
    yield gantry
    gantry.stop()


def post(gantry, headers):
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AmazonEC2ContainerServiceV20141113.ListClusters",
        **headers,
    }
    request = urllib.request.Request(gantry.endpoint.url, data=b"{}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_warning_is_shown(open_gantry):
    assert "any credentials are accepted" in open_gantry.output()


@pytest.mark.parametrize("key, secret", [("test", "test"), ("AKIAIOSFODNN7EXAMPLE", "wrong")])
def test_any_credentials_are_root(open_gantry, key, secret):
    def client(service):
        return open_gantry.endpoint.client(service, access_key=key, secret_key=secret)

    assert client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    assert client("ecs").create_cluster(clusterName="open")["cluster"]["status"] == "ACTIVE"
    assert client("ec2").describe_vpcs()["Vpcs"]
    assert "logGroups" in client("logs").describe_log_groups()


def test_no_credentials_do_too(open_gantry):
    assert "clusterArns" in post(open_gantry, {})


def test_web_pages_are_kept_out(open_gantry):
    with pytest.raises(HTTPError) as refused:
        post(open_gantry, {"origin": "http://example.com"})
    assert refused.value.code == 403
