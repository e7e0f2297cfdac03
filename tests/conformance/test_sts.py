"""Who am I, by every client."""

import urllib.error
import urllib.request

import pytest


def test_boto3_and_the_cli_agree(endpoint, sts):
    identity = sts.get_caller_identity()
    account = identity["Account"]
    assert identity["Arn"] == f"arn:aws:iam::{account}:root"
    assert identity["UserId"] == account
    by_cli = endpoint.aws("sts", "get-caller-identity")
    assert by_cli == {name: identity[name] for name in ("UserId", "Account", "Arn")}


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-west-1"])
def test_every_region_is_signed_for(endpoint, region):
    assert endpoint.client("sts", region=region).get_caller_identity()["Account"]


def test_a_presigned_url_works_without_credentials(endpoint, sts):
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"<Account>" in answer.read()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("GetCallerIdentity", "GetSessionToken"), timeout=10)
    assert caught.value.code == 403
    assert b"<Code>SignatureDoesNotMatch</Code>" in caught.value.read()
