//! The demo's service: made, updated, waited for.

use std::time::Instant;

use model::Scope;
use model::network::Vpc;
use serde_json::{Value, json};

use super::balancer::Balancer;
use super::{NAME, POLL_INTERVAL, image};
use crate::client::Client;
use crate::failure::Failure;
use crate::home::Running;
use crate::page;

pub const LOG_GROUP: &str = "/gantry/demo";
const CONTAINER: &str = "page";
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// Where its tasks run, how many, and what each may use.
#[derive(Clone, Copy)]
pub struct Size {
    pub cluster: &'static str,
    pub tasks: u32,
    pub launch_type: &'static str,
    /// In CPU units; without it, whatever is free.
    pub cpu: Option<&'static str>,
    /// In MiB.
    pub memory: &'static str,
}

/// A cluster without a service.
pub async fn prepare(client: &Client, cluster: &str) -> Result<(), Failure> {
    client.call("CreateCluster", &json!({"clusterName": cluster})).await?;
    if status(&describe(client, cluster).await?) == Some("ACTIVE") {
        let delete = json!({"cluster": cluster, "service": NAME, "force": true});
        client.call("DeleteService", &delete).await?;
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let described = describe(client, cluster).await?;
        match status(&described) {
            None | Some("INACTIVE") => return Ok(()),
            _ if Instant::now() > deadline => return Err(late("the earlier demo's service did not end", &described)),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

pub async fn create(client: &Client, running: &Running, balancer: &Balancer, size: Size) -> Result<(), Failure> {
    let definition = register(client, running, size, "1").await?;
    let vpc = Vpc::default_of(&Scope::new(&running.account_id, &running.region));
    let subnets: Vec<String> = vpc.subnets.into_iter().map(|subnet| subnet.id).collect();
    let request = json!({
        "cluster": size.cluster,
        "serviceName": NAME,
        "taskDefinition": definition,
        "desiredCount": size.tasks,
        "launchType": size.launch_type,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
        "loadBalancers": [{
            "targetGroupArn": balancer.target_group,
            "containerName": CONTAINER,
            "containerPort": 80,
        }],
    });
    client.call("CreateService", &request).await.map(|_| ())
}

pub async fn update(client: &Client, running: &Running, size: Size) -> Result<(), Failure> {
    let definition = register(client, running, size, "2").await?;
    let request = json!({"cluster": size.cluster, "service": NAME, "taskDefinition": definition});
    client.call("UpdateService", &request).await.map(|_| ())
}

/// Its newest deployment has all its tasks, and all of them serve.
pub async fn wait_until_complete(client: &Client, cluster: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let described = describe(client, cluster).await?;
        let deployments = described["deployments"].as_array().map_or(&[][..], Vec::as_slice);
        match deployments {
            [one] if one["rolloutState"] == "COMPLETED" => return Ok(()),
            _ if Instant::now() > deadline => return Err(late("the service did not become steady", &described)),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Null when there is none.
async fn describe(client: &Client, cluster: &str) -> Result<Value, Failure> {
    let request = json!({"cluster": cluster, "services": [NAME]});
    let mut answer = client.call("DescribeServices", &request).await?;
    Ok(answer.pointer_mut("/services/0").map(Value::take).unwrap_or_default())
}

fn status(service: &Value) -> Option<&str> {
    service["status"].as_str()
}

fn late(what: &str, service: &Value) -> Failure {
    let said = service["events"][0]["message"].as_str().unwrap_or("it said nothing");
    Failure::new(what).because(said)
}

async fn register(client: &Client, running: &Running, size: Size, version: &str) -> Result<String, Failure> {
    let mut definition = json!({
        "family": NAME,
        "requiresCompatibilities": [size.launch_type],
        "networkMode": "awsvpc",
        "memory": size.memory,
        "executionRoleArn": "ecsTaskExecutionRole",
        "containerDefinitions": [{
            "name": CONTAINER,
            "image": image::REFERENCE,
            "command": ["page", "--listen", "0.0.0.0:80"],
            "environment": [{"name": page::VERSION_VARIABLE, "value": version}],
            "portMappings": [{"containerPort": 80}],
            "readonlyRootFilesystem": true,
            "stopTimeout": 5,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": LOG_GROUP,
                    "awslogs-region": running.region,
                    "awslogs-stream-prefix": "demo",
                    "awslogs-create-group": "true",
                },
            },
        }],
    });
    if let Some(cpu) = size.cpu {
        definition["cpu"] = cpu.into();
    }
    let answer = client.call("RegisterTaskDefinition", &definition).await?;
    let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
    arn.map(str::to_owned).ok_or_else(|| Failure::new("the task definition has no ARN"))
}
