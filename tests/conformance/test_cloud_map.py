"""Cloud Map, as boto3 in both of its protocols and the aws CLI speak it."""

import uuid

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(params=["json", "smithy-rpc-v2-cbor"])
def discovery(endpoint, request):
    """A client that speaks one protocol, whichever it would choose by itself."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", [request.param])
        # DiscoverInstances is otherwise asked of `data-` and the host, which has no address here.
        client = endpoint.client("servicediscovery", inject_host_prefix=False)
        assert client.meta.service_model.resolved_protocol == request.param
    return client


@pytest.fixture
def name():
    return f"c{uuid.uuid4().hex[:10]}"


@pytest.fixture
def vpc(endpoint):
    return endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]


@pytest.fixture
def namespace(discovery, name, vpc):
    operation = discovery.create_private_dns_namespace(Name=f"{name}.local", Vpc=vpc)["OperationId"]
    done = discovery.get_operation(OperationId=operation)["Operation"]
    assert (done["Status"], done["Type"]) == ("SUCCESS", "CREATE_NAMESPACE")
    made = done["Targets"]["NAMESPACE"]
    yield made
    discovery.delete_namespace(Id=made)


def test_a_service_is_registered_discovered_and_deleted(discovery, namespace, name):
    service = discovery.create_service(
        Name="web",
        NamespaceId=namespace,
        DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 10}]},
        HealthCheckCustomConfig={"FailureThreshold": 1},
    )["Service"]
    assert service["Type"] == "DNS_HTTP"
    assert service["CreateDate"].year >= 2020
    attributes = {"AWS_INSTANCE_IPV4": "10.0.0.1", "color": "grün"}
    with pytest.raises(ClientError, match="color|pattern"):
        discovery.register_instance(ServiceId=service["Id"], InstanceId="i", Attributes=attributes)
    attributes["color"] = "green"
    discovery.register_instance(ServiceId=service["Id"], InstanceId="i", Attributes=attributes)
    found = discovery.discover_instances(NamespaceName=f"{name}.local", ServiceName="web")
    assert [(one["InstanceId"], one["HealthStatus"], one["Attributes"]) for one in found["Instances"]] == [
        ("i", "HEALTHY", attributes)
    ]
    revision = discovery.discover_instances_revision(NamespaceName=f"{name}.local", ServiceName="web")
    assert revision["InstancesRevision"] == found["InstancesRevision"]
    discovery.update_instance_custom_health_status(ServiceId=service["Id"], InstanceId="i", Status="UNHEALTHY")
    health = discovery.get_instances_health_status(ServiceId=service["Id"])["Status"]
    assert health == {"i": "UNHEALTHY"}
    pages = discovery.get_paginator("list_instances").paginate(ServiceId=service["Id"])
    assert [one["Id"] for page in pages for one in page["Instances"]] == ["i"]
    with pytest.raises(discovery.exceptions.ResourceInUse):
        discovery.delete_service(Id=service["Id"])
    discovery.deregister_instance(ServiceId=service["Id"], InstanceId="i")
    discovery.delete_service(Id=service["Id"])
    with pytest.raises(discovery.exceptions.ServiceNotFound):
        discovery.get_service(Id=service["Id"])


def test_errors_carry_what_their_shapes_have(discovery, namespace, name, vpc):
    with pytest.raises(discovery.exceptions.NamespaceAlreadyExists) as refused:
        discovery.create_private_dns_namespace(Name=f"{name}.local", Vpc=vpc)
    assert refused.value.response["NamespaceId"] == namespace
    with pytest.raises(discovery.exceptions.InvalidInput):
        discovery.list_namespaces(NextToken="?")
    with pytest.raises(ClientError) as refused:
        discovery.create_public_dns_namespace(Name="example.com")
    assert refused.value.response["Error"]["Code"] == "UnsupportedOperationException"


def test_the_clis_commands(endpoint, name):
    operation = endpoint.aws("servicediscovery", "create-http-namespace", "--name", name)["OperationId"]
    done = endpoint.aws("servicediscovery", "get-operation", "--operation-id", operation)["Operation"]
    namespace = done["Targets"]["NAMESPACE"]
    made = endpoint.aws("servicediscovery", "create-service", "--name", "x", "--namespace-id", namespace)["Service"]
    listed = endpoint.aws(
        "servicediscovery", "list-services", "--filters", f"Name=NAMESPACE_ID,Values={namespace},Condition=EQ"
    )
    assert [service["Id"] for service in listed["Services"]] == [made["Id"]]
    register = ["--service-id", made["Id"], "--instance-id", "i", "--attributes", "color=red"]
    endpoint.aws("servicediscovery", "register-instance", *register)
    found = endpoint.aws("servicediscovery", "discover-instances", "--namespace-name", name, "--service-name", "x")
    assert [(one["InstanceId"], one["HealthStatus"]) for one in found["Instances"]] == [("i", "UNKNOWN")]
    endpoint.aws("servicediscovery", "deregister-instance", "--service-id", made["Id"], "--instance-id", "i")
    endpoint.aws("servicediscovery", "delete-service", "--id", made["Id"])
    endpoint.aws("servicediscovery", "delete-namespace", "--id", namespace)
