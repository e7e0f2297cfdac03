//! Tasks through the public API, as a client runs them.

use std::time::{Duration, Instant};

use model::Scope;
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::Failure;
use crate::home::Running;

const WAIT_LIMIT: Duration = Duration::from_secs(120);
/// The API has no event for a client to wait on. For one task; asking for fifty that often would take a fifth of two
/// processors from what is measured.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
const PAUSES_MAX: u32 = 10;
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
    client.call("RegisterTaskDefinition", &definition).await?;
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
    let answer = client.call("RunTask", input).await?;
    if let Some(failure) = answer.pointer("/failures/0") {
        return Err(Failure::new("a task could not be placed").because(failure.to_string()));
    }
    let tasks = answer["tasks"].as_array().into_iter().flatten();
    Ok(tasks.map(|task| task["taskArn"].clone()).collect())
}

/// Until DescribeTasks shows all in this status. Asks only for those that were not in it yet.
pub async fn wait_for(client: &Client, tasks: &[Value], status: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + WAIT_LIMIT;
    let mut left = tasks.to_vec();
    loop {
        let others = others(client, &left, status).await?;
        let late = others.first().filter(|_| Instant::now() > deadline);
        if let Some(task) = others.iter().find(|task| task["lastStatus"] == "STOPPED").or(late) {
            let text = format!("it is {}: {} {}", task["lastStatus"], task["stoppedReason"], task["containers"]);
            return Err(Failure::new(format!("a task did not become {status}")).because(text));
        }
        if others.is_empty() {
            return Ok(());
        }
        left = others.iter().map(|task| task["taskArn"].clone()).collect();
        tokio::time::sleep(POLL_INTERVAL * pauses(left.len())).await;
    }
}

/// The pause grows with what the answer costs, up to a hundredth of what the slowest bench measures.
fn pauses(tasks: usize) -> u32 {
    u32::try_from(tasks).unwrap_or(PAUSES_MAX).min(PAUSES_MAX)
}

/// The tasks that are not in this status yet.
async fn others(client: &Client, tasks: &[Value], status: &str) -> Result<Vec<Value>, Failure> {
    let mut others = Vec::new();
    for some in tasks.chunks(TASKS_PER_CALL) {
        let answer = client.call("DescribeTasks", &json!({"tasks": some})).await?;
        let described = answer["tasks"].as_array().into_iter().flatten();
        others.extend(described.filter(|task| task["lastStatus"] != status).cloned());
    }
    Ok(others)
}
