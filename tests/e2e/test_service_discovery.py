"""Services in Cloud Map: tasks are found by name from within other tasks, as they come and go."""

import pytest

from gantry import wait_for
from resolve import resolve

RESOLVER = "172.31.0.2"
SERVE = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


@pytest.fixture
def discovery(gantry):
    return gantry.endpoint.client("servicediscovery")


@pytest.fixture
def namespace(gantry, discovery, unique):
    """Its name and id."""
    vpc = gantry.endpoint.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    name = f"{unique}.local"
    operation = discovery.create_private_dns_namespace(Name=name, Vpc=vpc)["OperationId"]
    made = discovery.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    yield name, made
    discovery.delete_namespace(Id=made)


@pytest.fixture
def registry(discovery, namespace):
    """Makes a service of the namespace; its ARN."""
    made = []

    def make(name, kind):
        records = {"DnsRecords": [{"Type": kind, "TTL": 1}]}
        service = discovery.create_service(Name=name, NamespaceId=namespace[1], DnsConfig=records)["Service"]
        made.append(service["Id"])
        return service["Arn"]

    yield make
    for service in made:
        discovery.delete_service(Id=service)


@pytest.fixture
def service(ecs, tasks, unique):
    """Creates a service; deletes it afterwards, with its tasks."""
    made = []

    def make(definition, **more):
        name = f"{unique}-{len(made)}"
        made.append(name)
        ecs.create_service(serviceName=name, taskDefinition=definition, **more)
        return name

    yield make
    for name in made:
        ecs.delete_service(service=name, force=True)
    for name in made:
        listed = lambda: ecs.list_tasks(serviceName=name)["taskArns"] + ecs.list_tasks(
            serviceName=name, desiredStatus="STOPPED"
        )["taskArns"]

        def over():
            arns = listed()
            found = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
            return all(task["lastStatus"] == "STOPPED" for task in found)

        wait_for(over, listed)


def server(busybox, **more):
    return {
        "name": "main",
        "image": busybox,
        "memory": 64,
        "stopTimeout": 2,
        "command": ["/bin/sh", "-c", SERVE],
        "portMappings": [{"containerPort": 8080}],
        **more,
    }


def addresses(ecs, service):
    """Of the tasks that run."""
    arns = ecs.list_tasks(serviceName=service)["taskArns"]
    found = ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
    running = [task for task in found if task["lastStatus"] == "RUNNING"]
    return sorted(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in running)


def test_a_name_follows_the_tasks_of_its_service(
    gantry, ecs, tasks, busybox, namespace, registry, service, subnets, unique, messages, log_configuration
):
    name = f"web.{namespace[0]}"
    definition = tasks.register(
        server(busybox),
        cpu="256",
        memory="512",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        executionRoleArn="ecsTaskExecutionRole",
    )
    network = {"awsvpcConfiguration": {"subnets": subnets}}
    web = service(
        definition,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=network,
        serviceRegistries=[{"registryArn": registry("web", "A")}],
    )

    def answers_with(count):
        def holds():
            running = addresses(ecs, web)
            return len(running) == count and resolve(RESOLVER, name) == ("NOERROR", running)

        wait_for(holds, lambda: (addresses(ecs, web), resolve(RESOLVER, name)))

    answers_with(2)

    # From within another task: by name, and as names are there.
    ask = f"until nslookup {name}; do sleep 0.2; done; wget -q -O - http://{name}:8080/index.html; exec sleep 1000"
    client = {**server(busybox), "command": ["/bin/sh", "-c", ask], "logConfiguration": log_configuration()}
    arn = tasks.run(client, fargate=True)
    stream = f"e2e/main/{arn.rsplit('/', 1)[1]}"

    def lines():
        return messages(f"/{unique}", stream)

    wanted = addresses(ecs, web)
    wait_for(lambda: all(any(one in line for line in lines()) for one in wanted), lines)
    wait_for(lambda: any(line.startswith("ip-172-31-") for line in lines()), lines)

    ecs.update_service(service=web, desiredCount=3)
    answers_with(3)

    # A task that is stopped is not answered with any more, and its successor is.
    victim = ecs.list_tasks(serviceName=web)["taskArns"][0]
    gone = tasks.describe(victim)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    ecs.stop_task(task=victim)
    wait_for(lambda: gone not in resolve(RESOLVER, name)[1], lambda: resolve(RESOLVER, name))
    answers_with(3)

    # It is answered the same after a crash of gantry, once that is back.
    address = gantry.address
    gantry.kill()
    gantry.start(listen=address)
    answers_with(3)


def test_a_published_port_is_found_by_its_srv_record(ecs, tasks, busybox, namespace, registry, service):
    definition = tasks.register(server(busybox), networkMode="bridge")
    service(
        definition,
        desiredCount=1,
        launchType="EC2",
        serviceRegistries=[{"registryArn": registry("api", "SRV"), "containerName": "main", "containerPort": 8080}],
    )
    name = f"api.{namespace[0]}"
    wait_for(lambda: resolve(RESOLVER, name, "SRV")[1], lambda: resolve(RESOLVER, name, "SRV"))
    _, _, port, target = resolve(RESOLVER, name, "SRV")[1][0].split()
    [address] = resolve(RESOLVER, target)[1]
    ask = f"wget -q -O /dev/null http://{address}:{port}/index.html"
    client = {**server(busybox), "command": ["/bin/sh", "-c", ask], "portMappings": []}
    done = tasks.wait_until_stopped(tasks.run(client, fargate=True))
    assert done["containers"][0]["exitCode"] == 0, done
