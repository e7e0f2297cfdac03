"""A task of a service that protects itself over its agent's address, from inside its container."""

import json

import pytest

from gantry import wait_for
from services import Service

ASK = """
state=${ECS_AGENT_URI#http://*/}/task-protection/v1/state
wget -q -O - "$ECS_AGENT_URI/task-protection/v1/state"; echo
put() {
    printf 'PUT /%s HTTP/1.0\\r\\nContent-Length: %s\\r\\n\\r\\n%s' "$state" "${#1}" "$1" | nc 169.254.170.2 80 | tail -n 1; echo
}
put '{"ProtectionEnabled":true,"ExpiresInMinutes":60}'
put '{"ProtectionEnabled":"yes"}'
exec sleep 1000
"""


@pytest.fixture
def service(ecs, tasks, busybox, unique, subnets):
    ecs.create_cluster(clusterName=unique)
    service = Service(ecs, tasks, busybox, unique, subnets)
    yield service
    service.delete()
    ecs.delete_cluster(cluster=unique)


def test_a_task_protects_itself_from_being_scaled_in(ecs, service, unique, messages, log_configuration):
    command = ["/bin/sh", "-c", ASK]
    # What is known to work is scaled in at once.
    check = {"command": ["CMD-SHELL", "true"], "interval": 5}
    service.create(service.revision(command=command, healthCheck=check, logConfiguration=log_configuration()), count=1)
    wait_for(service.running, service.describe)
    arn = service.running()[0]["taskArn"]

    def protection():
        return ecs.get_task_protection(cluster=service.name, tasks=[arn])["protectedTasks"][0]

    wait_for(lambda: protection()["protectionEnabled"], protection)
    stream = f"e2e/web/{arn.rsplit('/', 1)[1]}"

    def answers():
        return [json.loads(line) for line in messages(f"/{unique}", stream) if line]

    wait_for(lambda: len(answers()) == 3, answers)
    before, after, refused = answers()
    assert before == {"protection": {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": arn}}
    assert after["protection"]["ProtectionEnabled"] and after["protection"]["TaskArn"] == arn
    assert refused["error"]["Code"] == "InvalidParameterException"

    ecs.update_service(cluster=service.name, service=service.name, desiredCount=0)
    said = "was unable to scale in due to (reason 1 tasks under protection)"
    wait_for(lambda: any(said in message for message in service.messages()), service.messages)
    assert [task["taskArn"] for task in service.running()] == [arn]
    ecs.update_task_protection(cluster=service.name, tasks=[arn], protectionEnabled=False)
    wait_for(lambda: not service.running(), service.describe)
