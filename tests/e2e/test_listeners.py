"""HTTPS, TCP and TLS to real tasks, with certificates of one's own."""

import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

SERVE = "echo page of $NAME > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
SECONDS = 30


@pytest.fixture
def elbv2(gantry):
    return gantry.endpoint.client("elbv2")


@pytest.fixture
def certificate(gantry, tmp_path):
    """An imported certificate for localhost, and its file."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=web.localhost"]
        + ["-addext", "subjectAltName=DNS:web.localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    acm = gantry.endpoint.client("acm")
    arn = acm.import_certificate(Certificate=certificate.read_bytes(), PrivateKey=key.read_bytes())["CertificateArn"]
    yield arn, certificate
    acm.delete_certificate(CertificateArn=arn)


@pytest.fixture
def made(gantry, elbv2, unique, subnets, certificate):
    """Makes a load balancer with a target group; its ARN, the group's and its address. It goes before its certificate."""
    name = unique.replace("e2e-", "ln-")
    vpc = gantry.endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    by_name = [{"Name": "group-name", "Values": ["default"]}]
    default = gantry.endpoint.client("ec2").describe_security_groups(Filters=by_name)["SecurityGroups"][0]["GroupId"]
    arns = []

    def make(kind, protocol, **check):
        # A network load balancer has no groups unless it is given some, and would reach no task of the default group.
        asked = {"Name": name, "Type": kind, "Subnets": subnets[:2], "SecurityGroups": [default]}
        load_balancer = elbv2.create_load_balancer(**asked)["LoadBalancers"][0]
        group = elbv2.create_target_group(
            Name=name,
            Protocol=protocol,
            Port=80,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            **check,
        )["TargetGroups"][0]["TargetGroupArn"]
        arn = load_balancer["LoadBalancerArn"]
        arns.append((arn, group))
        filters = [{"Name": "description", "Values": ["ELB " + arn.split(":loadbalancer/")[1]]}]
        found = gantry.endpoint.client("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return arn, group, found[0]["PrivateIpAddress"]

    yield make
    for arn, group in arns:
        elbv2.delete_load_balancer(LoadBalancerArn=arn)
        elbv2.delete_target_group(TargetGroupArn=group)


@pytest.fixture
def serve(tasks, busybox, elbv2):
    """Runs a task and registers it."""

    def run(group, command):
        container = {
            "name": "main",
            "image": busybox,
            "stopTimeout": 2,
            "environment": [{"name": "NAME", "value": "one"}],
            "command": ["/bin/sh", "-c", command],
        }
        task = tasks.wait_until_running(tasks.run(container, fargate=True))
        address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": address}])
        elbv2.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    return run


def listen(elbv2, arn, group, protocol, port, **more):
    action = {"Type": "forward", "TargetGroupArn": group}
    elbv2.create_listener(LoadBalancerArn=arn, Protocol=protocol, Port=port, DefaultActions=[action], **more)


def secured_page(address, file):
    """The page that is shown to a client who trusts this certificate and nothing else."""
    context = ssl.create_default_context(cafile=file)
    with socket.create_connection((address, 443), timeout=SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname="web.localhost") as stream:
            stream.sendall(b"GET /index.html HTTP/1.1\r\nHost: web.localhost\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: stream.recv(4096), b""))


def test_https(elbv2, made, serve, certificate):
    arn, group, address = made("application", "HTTP", HealthCheckPath="/index.html")
    listen(elbv2, arn, group, "HTTPS", 443, Certificates=[{"CertificateArn": certificate[0]}])
    to_https = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    elbv2.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "redirect", "RedirectConfig": to_https}],
    )
    serve(group, SERVE)
    assert b"page of one" in secured_page(address, certificate[1])

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    with pytest.raises(urllib.error.HTTPError) as redirected:
        urllib.request.build_opener(Stay).open(f"http://{address}/index.html", timeout=SECONDS)
    assert redirected.value.code == 301
    assert redirected.value.headers["Location"] == f"https://{address}:443/index.html"


def test_tcp_and_tls(elbv2, made, serve, certificate):
    arn, group, address = made("network", "TCP")
    listen(elbv2, arn, group, "TCP", 80)
    listen(elbv2, arn, group, "TLS", 443, Certificates=[{"CertificateArn": certificate[0]}])
    serve(group, SERVE)
    with urllib.request.urlopen(f"http://{address}/index.html", timeout=SECONDS) as answer:
        assert answer.read() == b"page of one\n"
    assert b"page of one" in secured_page(address, certificate[1])
