"""Services of real containers, as tests make and watch them."""

import urllib.request

from gantry import wait_for

COUNT = 2
# AWS's waiters with their own pace would make a test of seconds one of minutes.
WAIT = {"Delay": 1, "MaxAttempts": 120}
NGINX = "exec /usr/sbin/nginx -c /etc/nginx/nginx.conf -g 'user root;'"


class Service:
    """A service of nginx tasks in a cluster of its own, and its tasks as a client of theirs finds them."""

    def __init__(self, ecs, tasks, image, name, subnets):
        self.ecs, self.tasks, self.image, self.name = ecs, tasks, image, name
        self.network = {"awsvpcConfiguration": {"subnets": subnets}}

    def revision(self, text=None, command=None, **changes):
        """A task definition that serves `text`."""
        command = command or ["/bin/sh", "-c", f"echo {text} > /usr/share/nginx/index.html; {NGINX}"]
        container = {
            "name": "web",
            "image": self.image,
            "entryPoint": command[:1],
            "command": command[1:],
            "healthCheck": {"command": ["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1/"], "interval": 5, "retries": 2},
            "portMappings": [{"containerPort": 80}],
            "stopTimeout": 5,
            **changes,
        }
        container = {member: value for member, value in container.items() if value is not None}
        return self.tasks.register(
            container,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn="ecsTaskExecutionRole",
        )

    def create(self, definition, count=COUNT, groups=(), advanced=None, **configuration):
        balancers = [{"targetGroupArn": group, "containerName": "web", "containerPort": 80} for group in groups]
        if advanced:
            balancers = [{**balancer, "advancedConfiguration": advanced} for balancer in balancers]
        self.ecs.create_service(
            cluster=self.name,
            serviceName=self.name,
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.network,
            loadBalancers=balancers,
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}, **configuration},
        )

    def update(self, definition):
        self.ecs.update_service(cluster=self.name, service=self.name, taskDefinition=definition)

    def describe(self):
        return self.ecs.describe_services(cluster=self.name, services=[self.name])["services"][0]

    def deployment(self):
        """The newest service deployment."""
        arn = self.describe()["currentServiceDeployment"]
        return self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]

    def ended(self, status):
        wait_for(lambda: self.deployment()["status"] == status, self.deployment)
        return self.deployment()

    def messages(self):
        """Oldest first."""
        return [event["message"] for event in reversed(self.describe()["events"])]

    def stable(self):
        waiter = self.ecs.get_waiter("services_stable")
        waiter.wait(cluster=self.name, services=[self.name], WaiterConfig=WAIT)
        return self.describe()

    def running(self):
        """The descriptions of its tasks that are RUNNING and to stay so."""
        arns = self.ecs.list_tasks(cluster=self.name, serviceName=self.name)["taskArns"]
        if not arns:
            return []
        described = self.ecs.describe_tasks(cluster=self.name, tasks=arns)["tasks"]
        return [task for task in described if task["lastStatus"] == "RUNNING"]

    def addresses(self):
        return [task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in self.running()]

    def delete(self):
        if self.describe()["status"] == "ACTIVE":
            self.ecs.delete_service(cluster=self.name, service=self.name, force=True)
        waiter = self.ecs.get_waiter("services_inactive")
        waiter.wait(cluster=self.name, services=[self.name], WaiterConfig=WAIT)
        for status in ("RUNNING", "STOPPED"):
            for arn in self.ecs.list_tasks(cluster=self.name, desiredStatus=status)["taskArns"]:
                ended = lambda arn=arn: self.ecs.describe_tasks(cluster=self.name, tasks=[arn])["tasks"][0]
                wait_for(lambda: ended()["lastStatus"] == "STOPPED", ended)


def fetch(address, seconds=5):
    """What answers there; None when nothing does. The address may have a path."""
    url = f"http://{address}" if "/" in address else f"http://{address}/"
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:
            return answer.read().decode().strip()
    except OSError:
        return None
