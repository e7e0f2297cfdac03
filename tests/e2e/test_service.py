"""Services of real containers: an update that nobody notices, one that is taken back, one that has nowhere to run."""

import datetime
import threading

import pytest

from gantry import wait_for
from services import COUNT, Service, fetch

@pytest.fixture
def service(ecs, tasks, nginx, unique, subnets):
    ecs.create_cluster(clusterName=unique)
    service = Service(ecs, tasks, nginx, unique, subnets)
    yield service
    service.delete()
    ecs.delete_cluster(cluster=unique)


class Client:
    """Asks the service again and again, as one that knows its tasks and tries the next when one does not answer."""

    def __init__(self, service):
        self.service = service
        self.answers, self.unanswered = [], 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.is_set():
            answers = (fetch(address) for address in self.service.addresses())
            answer = next((answer for answer in answers if answer), None)
            if answer is None:
                self.unanswered += 1
            else:
                self.answers.append(answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def test_an_update_under_constant_requests(service):
    service.create(service.revision("one"))
    service.stable()
    wait_for(lambda: [fetch(address) for address in service.addresses()] == ["one"] * COUNT, service.describe)
    with Client(service) as client:
        wait_for(lambda: client.answers, "the client is answered")
        service.update(service.revision("two"))
        service.stable()
        seen = len(client.answers)
        wait_for(lambda: len(client.answers) > seen, "the client is answered after the update")
    assert client.unanswered == 0
    assert client.answers[0] == "one"
    assert client.answers[-1] == "two"
    assert [fetch(address) for address in service.addresses()] == ["two"] * COUNT
    assert f"(service {service.name}) has reached a steady state." in service.messages()


def test_a_revision_that_cannot_start_is_rolled_back(service):
    good = service.revision("good")
    service.create(good)
    service.stable()
    wait_for(lambda: service.describe()["deployments"][0]["rolloutState"] == "COMPLETED", service.describe)
    before = {task["taskArn"] for task in service.running()}
    broken = service.revision(command=["/usr/sbin/no-such-program", "x"])
    service.update(broken)
    described = service.stable()
    assert described["taskDefinition"] == good
    assert {task["taskArn"] for task in service.running()} == before, "what worked was stopped"
    messages = service.messages()
    assert any("deployment failed: tasks failed to start." in message for message in messages), messages
    assert any("rolling back to deployment ecs-svc/" in message for message in messages), messages


def test_green_runs_beside_blue_until_it_is_let(service):
    hook = {"targetType": "PAUSE", "lifecycleStages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]}
    service.create(service.revision("blue"), strategy="BLUE_GREEN", bakeTimeInMinutes=0, lifecycleHooks=[hook])

    def waiting():
        hooks = service.deployment().get("lifecycleHookDetails", [])
        return [hook["hookId"] for hook in hooks if hook["status"] == "AWAITING_ACTION"]

    def answer(action):
        wait_for(waiting, service.deployment)
        arn = service.deployment()["serviceDeploymentArn"]
        service.ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=waiting()[0], action=action)

    answer("CONTINUE")
    service.ended("SUCCESSFUL")
    for action, status, left in [("ROLLBACK", "ROLLBACK_SUCCESSFUL", "blue"), ("CONTINUE", "SUCCESSFUL", "green")]:
        service.update(service.revision("green"))
        wait_for(waiting, service.deployment)
        assert sorted(fetch(address) for address in service.addresses()) == ["blue"] * COUNT + ["green"] * COUNT
        answer(action)
        service.ended(status)
        wait_for(lambda: len(service.running()) == COUNT, service.describe)
        assert [fetch(address) for address in service.addresses()] == [left] * COUNT


def test_later_tasks_run_the_digest_of_the_first(service):
    service.create(service.revision("here"), count=1)
    service.stable()
    service.ecs.update_service(cluster=service.name, service=service.name, desiredCount=2)
    service.stable()
    target = service.deployment()["targetServiceRevision"]["arn"]
    (revision,) = service.ecs.describe_service_revisions(serviceRevisionArns=[target])["serviceRevisions"]
    (image,) = revision["containerImages"]
    assert {task["containers"][0]["imageDigest"] for task in service.running()} == {image["imageDigest"]}
    assert image["image"] == service.image


def test_a_killed_task_is_replaced_at_once(service):
    service.create(service.revision("here"))
    service.stable()
    victim = service.running()[0]["taskArn"]
    service.ecs.stop_task(cluster=service.name, task=victim, reason="of the test")
    wait_for(lambda: len(service.running()) == COUNT, service.describe)
    assert victim not in {task["taskArn"] for task in service.running()}
    # Replaced when it was told to stop: how long its containers take over it does not matter.
    latest = max(task["createdAt"] for task in service.running())
    (stopped,) = service.ecs.describe_tasks(cluster=service.name, tasks=[victim])["tasks"]
    assert latest - stopped["stoppingAt"] < datetime.timedelta(seconds=10)


def test_a_cluster_without_instances_says_so(service, ecs, busybox, tasks):
    definition = tasks.register({"name": "main", "image": busybox, "memory": 16})
    ecs.create_service(
        cluster=service.name, serviceName=service.name, taskDefinition=definition, desiredCount=1, launchType="EC2"
    )
    expected = (
        f"(service {service.name}) was unable to place a task because no container instance met all of its "
        "requirements. Reason: No Container Instances were found in your cluster. For more information, see the "
        "Troubleshooting section of the Amazon ECS Developer Guide."
    )
    wait_for(lambda: expected in service.messages(), service.messages)
    assert service.messages().count(expected) == 1
