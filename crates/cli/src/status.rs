//! `gantry status`: whether gantry runs, what it has, what runs on it.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::Output;
use crate::client::{Client, Service};
use crate::failure::Failure;
use crate::home::{Home, Running};
use crate::{http, output};

/// DescribeTasks takes no more.
const TASKS_PER_CALL: usize = 100;

pub async fn run(home: &Home, format: Output) -> Result<ExitCode, Failure> {
    let Some(running) = home.running()? else {
        output::print(format, &json!({"running": false}), || {
            format!(
                "{} on {}\nStart it with `gantry up --detach`.",
                output::red("not running"),
                home.path("").display()
            )
        });
        return Ok(ExitCode::FAILURE);
    };
    let health = http::get(&format!("http://{}/gantry/health", running.address)).await?;
    let health: Value = serde_json::from_slice(&health.body).unwrap_or_default();
    let client = Client::new(home, &running)?;
    let instances = instances(&client).await?;
    let tasks = tasks(&client).await?;
    let answer =
        json!({"running": true, "gantry": running, "health": health, "containerInstances": instances, "tasks": tasks});
    output::print(format, &answer, || render(&running, &health, &instances, &tasks));
    Ok(ExitCode::SUCCESS)
}

async fn clusters(client: &Client) -> Result<Vec<Value>, Failure> {
    let answer = client.call(Service::Ecs, "ListClusters", &json!({})).await?;
    Ok(answer["clusterArns"].as_array().cloned().unwrap_or_default())
}

async fn instances(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for cluster in clusters(client).await? {
        let listed = client.call(Service::Ecs, "ListContainerInstances", &json!({"cluster": cluster})).await?;
        let arns = &listed["containerInstanceArns"];
        if arns.as_array().is_none_or(Vec::is_empty) {
            continue;
        }
        let input = json!({"cluster": cluster, "containerInstances": arns});
        let described = client.call(Service::Ecs, "DescribeContainerInstances", &input).await?;
        found.extend(described["containerInstances"].as_array().cloned().unwrap_or_default());
    }
    Ok(found)
}

async fn tasks(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for cluster in clusters(client).await? {
        let mut next = Value::Null;
        loop {
            let mut input = json!({"cluster": cluster, "maxResults": TASKS_PER_CALL});
            if !next.is_null() {
                input["nextToken"] = next;
            }
            let listed = client.call(Service::Ecs, "ListTasks", &input).await?;
            if listed["taskArns"].as_array().is_some_and(|arns| !arns.is_empty()) {
                let input = json!({"cluster": cluster, "tasks": listed["taskArns"]});
                let described = client.call(Service::Ecs, "DescribeTasks", &input).await?;
                found.extend(described["tasks"].as_array().cloned().unwrap_or_default());
            }
            next = listed["nextToken"].clone();
            if next.is_null() {
                break;
            }
        }
    }
    Ok(found)
}

fn render(running: &Running, health: &Value, instances: &[Value], tasks: &[Value]) -> String {
    let mut text = format!(
        "{} on http://{} · account {} · region {} · pid {}\n",
        output::green("running"),
        running.address,
        running.account_id,
        running.region,
        running.pid
    );
    for (part, state) in health.as_object().into_iter().flatten() {
        text += &format!("  {part}: {}\n", state.as_str().map_or_else(|| state.to_string(), str::to_owned));
    }
    let instance_rows = instances.iter().map(|instance| {
        vec![
            last(&instance["containerInstanceArn"]),
            string(&instance["status"]),
            if instance["agentConnected"] == true { output::green("connected") } else { output::red("away") },
            resource(instance, "CPU"),
            resource(instance, "MEMORY"),
            instance["runningTasksCount"].to_string(),
        ]
    });
    text += &format!(
        "\n{}\n",
        output::table(&["CONTAINER INSTANCE", "STATUS", "AGENT", "CPU FREE", "MEMORY FREE", "RUNNING"], instance_rows)
    );
    let task_rows = tasks.iter().map(|task| {
        vec![
            last(&task["taskArn"]),
            last(&task["taskDefinitionArn"]),
            string(&task["lastStatus"]),
            string(&task["healthStatus"]),
            string(&task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]),
            string(&task["launchType"]),
        ]
    });
    text += &format!(
        "\n{}\n",
        output::table(&["TASK", "TASK DEFINITION", "STATUS", "HEALTH", "ADDRESS", "LAUNCH TYPE"], task_rows)
    );
    text
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

fn last(value: &Value) -> String {
    value.as_str().and_then(|arn| arn.rsplit('/').next()).unwrap_or("-").to_owned()
}

fn resource(instance: &Value, name: &str) -> String {
    let amount = |list: &Value| {
        let found = list.as_array().into_iter().flatten().find(|resource| resource["name"] == name);
        found.and_then(|resource| resource["integerValue"].as_i64())
    };
    match (amount(&instance["remainingResources"]), amount(&instance["registeredResources"])) {
        (Some(free), Some(total)) => format!("{free} of {total}"),
        _ => "-".to_owned(),
    }
}
