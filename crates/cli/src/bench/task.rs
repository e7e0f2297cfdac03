//! Tasks through the public API, as a client runs them.

use std::time::{Duration, Instant};

use model::Scope;
use serde_json::{Value, json};

use crate::client::{Client, Service};
use crate::failure::Failure;
use crate::home::Running;

const WAIT_LIMIT: Duration = Duration::from_secs(120);
/// The API has no event for a client to wait on. A shorter pause takes processor time from what is measured.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// DescribeTasks takes no more.
const TASKS_PER_CALL: usize = 100;

/// Long enough for any bench, and ended by SIGKILL.
pub const COMMAND: [&str; 2] = ["sleep", "3600"];

/// Registers one container of `image`; the definition's family.
pub async fn register(client: &Client, network_mode: &str, image: &str) -> Result<String, Failure> {
    let family = format!("bench-{network_mode}");
    let definition = json!({
        "family": family,
        "networkMode": network_mode,
        "containerDefinitions": [{
            "name": "main", "image": image, "command": COMMAND, "cpu": 1, "memory": 6, "stopTimeout": 2,
        }],
    });
    client.call(Service::Ecs, "RegisterTaskDefinition", &definition).await?;
    Ok(family)
}

/// The input of RunTask.
pub fn run_input(running: &Running, family: &str, count: u32) -> Value {
    let mut input = json!({"taskDefinition": family, "count": count});
    if family.ends_with("awsvpc") {
        let scope = Scope::new(&running.account_id, &running.region);
        let subnet = model::network::Vpc::default_of(&scope).subnets.into_iter().next().map(|subnet| subnet.id);
        input["networkConfiguration"] = json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    }
    input
}

/// The ARNs of the started tasks.
pub async fn run(client: &Client, input: &Value) -> Result<Vec<Value>, Failure> {
    let answer = client.call(Service::Ecs, "RunTask", input).await?;
    if let Some(failure) = answer.pointer("/failures/0") {
        return Err(Failure::new("a task could not be placed").because(failure.to_string()));
    }
    let tasks = answer["tasks"].as_array().into_iter().flatten();
    Ok(tasks.map(|task| task["taskArn"].clone()).collect())
}

/// Until DescribeTasks shows all in this status.
pub async fn wait_for(client: &Client, tasks: &[Value], status: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + WAIT_LIMIT;
    for tasks in tasks.chunks(TASKS_PER_CALL) {
        while let Some(task) = first_other(client, tasks, status).await? {
            if Instant::now() > deadline || task["lastStatus"] == "STOPPED" {
                let text = format!("it is {}: {} {}", task["lastStatus"], task["stoppedReason"], task["containers"]);
                return Err(Failure::new(format!("a task did not become {status}")).because(text));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}

/// A task that is not in this status yet.
async fn first_other(client: &Client, tasks: &[Value], status: &str) -> Result<Option<Value>, Failure> {
    let answer = client.call(Service::Ecs, "DescribeTasks", &json!({"tasks": tasks})).await?;
    let described = answer["tasks"].as_array().into_iter().flatten();
    Ok(described.into_iter().find(|task| task["lastStatus"] != status).cloned())
}
