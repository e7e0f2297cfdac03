"""What AWS says to callers whom it does not know, as its own clients read it."""

import datetime
import json
import urllib.error
import urllib.request
from unittest import mock

import botocore.auth
import pytest
from checks import refused

SKEWED = datetime.timedelta(minutes=20)

CALLS = {
    "ecs": lambda client: client.list_clusters(),
    "logs": lambda client: client.describe_log_groups(),
    "sts": lambda client: client.get_caller_identity(),
    "ec2": lambda client: client.describe_vpcs(),
}
UNKNOWN_KEY = {
    "ecs": ("UnrecognizedClientException", 400),
    "logs": ("UnrecognizedClientException", 400),
    "sts": ("InvalidClientTokenId", 403),
    "ec2": ("AuthFailure", 401),
}
WRONG_SECRET = {
    "ecs": ("InvalidSignatureException", 400),
    "logs": ("InvalidSignatureException", 400),
    "sts": ("SignatureDoesNotMatch", 403),
    "ec2": ("AuthFailure", 401),
}


@pytest.mark.parametrize("service", CALLS)
def test_an_unknown_key_is_refused(endpoint, service):
    client = endpoint.client(service, access_key="AKIAIOSFODNN7EXAMPLE")
    code, status = UNKNOWN_KEY[service]
    with refused(code, status=status):
        CALLS[service](client)


@pytest.mark.parametrize("service", CALLS)
def test_a_wrong_secret_is_refused(endpoint, service):
    client = endpoint.client(service, secret_key="wrong" * 8)
    code, status = WRONG_SECRET[service]
    with refused(code, status=status):
        CALLS[service](client)


@pytest.mark.parametrize("offset, text", [(-SKEWED, "Signature expired: "), (SKEWED, "Signature not yet current: ")])
def test_a_wrong_clock_is_told_so(endpoint, offset, text):
    client = endpoint.client("ecs")
    shifted = botocore.auth.get_current_datetime() + offset
    with mock.patch("botocore.auth.get_current_datetime", return_value=shifted):
        with refused("InvalidSignatureException", text, 400):
            client.list_clusters()


def test_an_operation_that_is_not_built_says_so_at_once(endpoint):
    with refused("UnsupportedOperationException", "ecs:ListDaemons", 400):
        endpoint.client("ecs").list_daemons()
    with refused("UnsupportedOperation", status=400):
        endpoint.client("iam").list_users()


def test_an_unsigned_call_is_refused(endpoint):
    request = urllib.request.Request(
        endpoint.url,
        data=b"{}",
        headers={
            "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
            "Content-Type": "application/x-amz-json-1.1",
        },
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert json.load(caught.value)["__type"] == "MissingAuthenticationTokenException"
    assert caught.value.headers["x-amzn-RequestId"]


def test_the_cli_shows_the_refusal(endpoint):
    from dataclasses import replace

    done = replace(endpoint, secret_key="wrong").try_aws("ecs", "list-clusters")
    assert done.returncode != 0
    assert "InvalidSignatureException" in done.stderr
