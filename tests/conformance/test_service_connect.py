"""Service Connect as boto3 asks for it and sees it. The nodes are simulated; calls are carried in the tests with real
containers."""

import pytest
from checks import refused

WAIT = {"Delay": 1, "MaxAttempts": 60}
WEB = {"portName": "web", "clientAliases": [{"port": 80, "dnsName": "web"}]}


@pytest.fixture
def discovery(endpoint):
    # DiscoverInstances is otherwise asked of `data-` and the host, which has no address here.
    return endpoint.client("servicediscovery", inject_host_prefix=False)


@pytest.fixture
def namespace(discovery, unique):
    """Its ARN."""
    operation = discovery.create_http_namespace(Name=unique)["OperationId"]
    made = discovery.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    yield discovery.get_namespace(Id=made)["Namespace"]["Arn"]
    discovery.delete_namespace(Id=made)


@pytest.fixture
def create(ecs, network, register, namespace, unique):
    """Makes services in a cluster of its own; all goes after the test."""
    ecs.create_cluster(clusterName=unique, serviceConnectDefaults={"namespace": namespace})
    ports = [{"name": "web", "containerPort": 8080, "appProtocol": "http"}, {"name": "raw", "containerPort": 9090}]
    definition = register(portMappings=ports)

    def create(*services, name="a", **changes):
        arguments = {
            "cluster": unique,
            "serviceName": name,
            "taskDefinition": definition,
            "desiredCount": 1,
            "launchType": "FARGATE",
            "networkConfiguration": network,
            "serviceConnectConfiguration": {"enabled": True, "services": list(services)},
            **changes,
        }
        return ecs.create_service(**arguments)["service"]

    yield create
    for arn in ecs.list_services(cluster=unique)["serviceArns"]:
        ecs.delete_service(cluster=unique, service=arn, force=True)
        ecs.get_waiter("services_inactive").wait(cluster=unique, services=[arn], WaiterConfig=WAIT)
    stopping = ecs.list_tasks(cluster=unique, desiredStatus="STOPPED")["taskArns"]
    if stopping:
        ecs.get_waiter("tasks_stopped").wait(cluster=unique, tasks=stopping, WaiterConfig=WAIT)
    ecs.delete_cluster(cluster=unique)


def test_what_a_service_offers_is_shown_and_registered(ecs, discovery, create, namespace, unique):
    [deployment] = create(WEB, {"portName": "raw", "discoveryName": "bytes"})["deployments"]
    configuration = deployment["serviceConnectConfiguration"]
    assert configuration["enabled"] and configuration["namespace"] == unique
    assert configuration["services"][0]["clientAliases"] == WEB["clientAliases"]
    resources = {row["discoveryName"]: row["discoveryArn"] for row in deployment["serviceConnectResources"]}
    assert sorted(resources) == ["bytes", "web"]

    ecs.get_waiter("services_stable").wait(cluster=unique, services=["a"], WaiterConfig=WAIT)
    [arn] = ecs.list_tasks(cluster=unique)["taskArns"]
    [task] = ecs.describe_tasks(cluster=unique, tasks=[arn])["tasks"]
    [connect] = [one for one in task["attachments"] if one["type"] == "Service Connect"]
    assert connect["status"] == "ATTACHED"
    assert {"name": "discoveryName", "value": "bytes"} in connect["details"]

    [instance] = discovery.list_instances(ServiceId=resources["bytes"].rsplit("/", 1)[1])["Instances"]
    assert instance["Id"] == arn.rsplit("/", 1)[1]
    assert instance["Attributes"]["AWS_INSTANCE_PORT"] == "9090"
    found = discovery.discover_instances(NamespaceName=unique, ServiceName="web")["Instances"]
    assert [row["InstanceId"] for row in found] == [instance["Id"]]

    assert ecs.list_services_by_namespace(namespace=namespace)["serviceArns"] == [
        ecs.describe_services(cluster=unique, services=["a"])["services"][0]["serviceArn"]
    ]
    [revision] = ecs.describe_service_revisions(
        serviceRevisionArns=[
            ecs.describe_services(cluster=unique, services=["a"])["services"][0]["currentServiceRevisions"][0]["arn"]
        ]
    )["serviceRevisions"]
    assert revision["serviceConnectConfiguration"] == configuration

    # It goes from Cloud Map with its service; the namespace stays.
    ecs.delete_service(cluster=unique, service="a", force=True)
    ecs.get_waiter("services_inactive").wait(cluster=unique, services=["a"], WaiterConfig=WAIT)
    own = [row for row in discovery.list_services()["Services"] if row["Arn"] in resources.values()]
    assert own == []
    assert ecs.list_services_by_namespace(namespace=unique)["serviceArns"] == []


def test_the_same_request_again_is_the_same_service(create):
    assert create(WEB)["serviceArn"] == create(WEB)["serviceArn"]


def test_another_configuration_begins_a_deployment(ecs, create, unique):
    create(WEB)
    first = lambda: ecs.describe_services(cluster=unique, services=["a"])["services"][0]["deployments"][0]
    before = first()["id"]
    same = {"enabled": True, "services": [WEB]}
    ecs.update_service(cluster=unique, service="a", serviceConnectConfiguration=same)
    assert first()["id"] == before
    changed = {"enabled": True, "services": [{**WEB, "timeout": {"perRequestTimeoutSeconds": 3}}]}
    ecs.update_service(cluster=unique, service="a", serviceConnectConfiguration=changed)
    assert first()["id"] != before
    assert first()["serviceConnectConfiguration"]["services"][0]["timeout"] == {"perRequestTimeoutSeconds": 3}
    ecs.update_service(cluster=unique, service="a", serviceConnectConfiguration={"enabled": False})
    assert "serviceConnectConfiguration" not in first()


@pytest.mark.parametrize(
    "services, text",
    [
        ([{"portName": "nothing"}], "The portName nothing does not exist in the port mappings"),
        ([{**WEB, "clientAliases": [{"port": 80}, {"port": 81}]}], "at most one client alias"),
        ([{**WEB, "discoveryName": "Web"}], "Invalid discoveryName 'Web'"),
        ([{**WEB, "clientAliases": [{"port": 80, "dnsName": "a b"}]}], "Invalid dnsName 'a b'"),
        ([{**WEB, "clientAliases": [{"port": 0}]}], "must be between 1 and 65535"),
        ([WEB, {"portName": "raw", "discoveryName": "web"}], "The discoveryName web is used more than once"),
        ([WEB, {"portName": "raw", "clientAliases": WEB["clientAliases"]}], "The client alias web:80 is used"),
        ([{"portName": "raw", "timeout": {"perRequestTimeoutSeconds": 3}}], "perRequestTimeoutSeconds can only be set"),
    ],
)
def test_what_cannot_be_offered_is_refused(create, services, text):
    with refused("InvalidParameterException", text):
        create(*services)


@pytest.mark.parametrize(
    "more, field",
    [
        ({"ingressPortOverride": 9000}, "ingressPortOverride"),
        ({"tls": {"issuerCertificateAuthority": {"awsPcaAuthorityArn": "arn"}}}, "tls"),
    ],
)
def test_what_is_not_built_is_refused(create, more, field):
    with refused("ClientException", f"'{field}' of the Service Connect service is not supported by Gantry yet."):
        create({**WEB, **more})


def test_names_are_one_services(create):
    create(WEB)
    with refused("InvalidParameterException", "The discoveryName web is already used in the namespace"):
        create({**WEB, "clientAliases": [{"port": 81, "dnsName": "web"}]}, name="b")
    with refused("InvalidParameterException", "The client alias web:80 is used by the service a"):
        create({**WEB, "discoveryName": "other"}, name="b")


def test_a_namespace_must_be_there(ecs, create, unique):
    missing = {"enabled": True, "namespace": f"{unique}-none"}
    with refused("NamespaceNotFoundException"):
        create(serviceConnectConfiguration=missing)
    with refused("NamespaceNotFoundException"):
        ecs.list_services_by_namespace(namespace=f"{unique}-none")
    ecs.update_cluster(cluster=unique, serviceConnectDefaults={"namespace": ""})
    with refused("InvalidParameterException", "A namespace is required for Service Connect"):
        create(WEB)


def test_a_cluster_gets_a_namespace_of_a_new_name(ecs, discovery, unique):
    made = ecs.create_cluster(clusterName=unique, serviceConnectDefaults={"namespace": unique})["cluster"]
    try:
        namespace = discovery.get_namespace(Id=made["serviceConnectDefaults"]["namespace"].rsplit("/", 1)[1])["Namespace"]
        assert (namespace["Name"], namespace["Type"]) == (unique, "HTTP")
        discovery.delete_namespace(Id=namespace["Id"])
    finally:
        ecs.delete_cluster(cluster=unique)
