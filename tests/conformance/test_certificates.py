"""AWS Certificate Manager as boto3 and the aws CLI use it, and HTTPS listeners with what was imported."""

import subprocess

import pytest
from checks import refused


@pytest.fixture(scope="session")
def acm(endpoint):
    return endpoint.client("acm")


@pytest.fixture(scope="session")
def elbv2(endpoint):
    return endpoint.client("elbv2")


def made(directory, host):
    """A certificate that is signed by itself, and its key."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/O=Example/CN={host}"]
        + ["-addext", f"subjectAltName=DNS:{host},DNS:*.{host}", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate.read_bytes(), key.read_bytes()


@pytest.fixture
def pair(tmp_path):
    return made(tmp_path, "example.com")


@pytest.fixture
def certificate(acm, pair):
    body, key = pair
    arn = acm.import_certificate(Certificate=body, PrivateKey=key, Tags=[{"Key": "team", "Value": "a"}])["CertificateArn"]
    yield arn
    acm.delete_certificate(CertificateArn=arn)


def test_a_certificate(acm, certificate, pair):
    described = acm.describe_certificate(CertificateArn=certificate)["Certificate"]
    assert described["DomainName"] == "example.com"
    assert described["SubjectAlternativeNames"] == ["example.com", "*.example.com"]
    assert (described["Status"], described["Type"], described["InUseBy"]) == ("ISSUED", "IMPORTED", [])
    assert (described["KeyAlgorithm"], described["Issuer"]) == ("RSA_2048", "Example")
    assert acm.get_certificate(CertificateArn=certificate)["Certificate"].encode() == pair[0]
    listed = acm.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": 1}).build_full_result()
    assert certificate in [summary["CertificateArn"] for summary in listed["CertificateSummaryList"]]


def test_tags(acm, certificate):
    def tags():
        return {tag["Key"]: tag["Value"] for tag in acm.list_tags_for_certificate(CertificateArn=certificate)["Tags"]}

    acm.add_tags_to_certificate(CertificateArn=certificate, Tags=[{"Key": "stage", "Value": "test"}])
    assert tags() == {"team": "a", "stage": "test"}
    acm.remove_tags_from_certificate(CertificateArn=certificate, Tags=[{"Key": "team"}, {"Key": "stage", "Value": "x"}])
    assert tags() == {"stage": "test"}


def test_what_is_refused(acm, certificate, pair, tmp_path):
    body, _ = pair
    _, other = made(tmp_path, "other.com")
    with refused("ValidationException", "does not match"):
        acm.import_certificate(Certificate=body, PrivateKey=other)
    missing = certificate[:-4] + "0000"
    with refused("ResourceNotFoundException", f"Could not find certificate {missing}."):
        acm.describe_certificate(CertificateArn=missing)
    with refused("UnsupportedOperationException"):
        acm.request_certificate(DomainName="example.com")


def test_the_command_line(endpoint, acm, tmp_path):
    made(tmp_path, "cli.example.com")
    files = ["--certificate", f"fileb://{tmp_path}/certificate.pem", "--private-key", f"fileb://{tmp_path}/key.pem"]
    arn = endpoint.aws("acm", "import-certificate", *files)["CertificateArn"]
    assert endpoint.aws("acm", "describe-certificate", "--certificate-arn", arn)["Certificate"]["Type"] == "IMPORTED"
    acm.delete_certificate(CertificateArn=arn)


def test_an_https_listener(elbv2, acm, ec2, certificate, unique):
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    load_balancer = elbv2.create_load_balancer(Name=unique.replace("conformance", "c"), Subnets=subnets)["LoadBalancers"][0]
    arn = load_balancer["LoadBalancerArn"]
    try:
        listener = elbv2.create_listener(
            LoadBalancerArn=arn,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": certificate}],
            SslPolicy="ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        )["Listeners"][0]
        assert listener["Certificates"] == [{"CertificateArn": certificate}]
        shown = elbv2.describe_listener_certificates(ListenerArn=listener["ListenerArn"])["Certificates"]
        assert shown == [{"CertificateArn": certificate, "IsDefault": True}]
        assert acm.describe_certificate(CertificateArn=certificate)["Certificate"]["InUseBy"] == [arn]
        with refused("ResourceInUseException"):
            acm.delete_certificate(CertificateArn=certificate)
    finally:
        elbv2.delete_load_balancer(LoadBalancerArn=arn)


def test_ssl_policies(elbv2):
    listed = elbv2.get_paginator("describe_ssl_policies").paginate(PaginationConfig={"PageSize": 3}).build_full_result()
    names = [policy["Name"] for policy in listed["SslPolicies"]]
    assert "ELBSecurityPolicy-TLS13-1-2-2021-06" in names and len(names) == len(set(names))
    with refused("SSLPolicyNotFound"):
        elbv2.describe_ssl_policies(Names=["ELBSecurityPolicy-2016-08"])
