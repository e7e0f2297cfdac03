//! `gantry status`: whether gantry runs, what it has, what runs on it, what its services call.

use std::process::ExitCode;

use control::traffic::MESH_PATH;
use serde_json::{Value, json};

use crate::args::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::home::{Home, Running};
use crate::{http, output};

const DESCRIBE_INSTANCES: [&str; 2] = ["DescribeContainerInstances", "containerInstances"];

pub async fn run(home: &Home, format: Output) -> Result<ExitCode, Failure> {
    let Some(running) = home.running()? else {
        output::print(format, &json!({"running": false}), || {
            format!(
                "{} on {}\nStart it with `gantry up --detach`.",
                output::red("not running"),
                home.directory().display()
            )
        });
        return Ok(ExitCode::FAILURE);
    };
    let health = http::get(&format!("http://{}/gantry/health", running.address)).await?;
    let health: Value = serde_json::from_slice(&health.body).unwrap_or_default();
    let client = Client::new(home, &running)?;
    let instances = all(&client, ["ListContainerInstances", "containerInstanceArns"], DESCRIBE_INSTANCES).await?;
    let tasks = all(&client, ["ListTasks", "taskArns"], ["DescribeTasks", "tasks"]).await?;
    let calls = client.call_own(MESH_PATH).await?;
    let answer = json!({
        "running": true, "gantry": running, "health": health, "containerInstances": instances, "tasks": tasks,
        "serviceConnect": calls,
    });
    output::print(format, &answer, || {
        render(&running, &health, &instances, &tasks)
            + &calls.as_array().map_or_else(String::new, |calls| render_calls(calls))
    });
    Ok(ExitCode::SUCCESS)
}

/// Of all clusters.
async fn all(client: &Client, list: [&str; 2], describe: [&str; 2]) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for cluster in client.list("ListClusters", json!({}), "clusterArns").await? {
        let arns = client.list(list[0], json!({"cluster": cluster}), list[1]).await?;
        found.extend(client.describe(describe[0], &cluster, &arns, describe[1]).await?);
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

/// What services with Service Connect have called since the data path began; nothing when there are none.
fn render_calls(calls: &[Value]) -> String {
    if calls.is_empty() {
        return String::new();
    }
    let rows = calls.iter().map(|call| {
        let count = |name: &str| call[name].as_u64().unwrap_or_default();
        let failed = count("HTTPCode_Target_5XX_Count");
        let millis = match count("TargetResponseCount") {
            0 => "-".to_owned(),
            answers => format!("{:.1}", count("TargetResponseMicros") as f64 / answers as f64 / 1000.0),
        };
        vec![
            string(&call["DiscoveryName"]),
            format!("{}/{}", string(&call["ClusterName"]), string(&call["ServiceName"])),
            format!("{} of {}", count("ActiveConnectionCount"), count("NewConnectionCount")),
            count("RequestCount").to_string(),
            failed.to_string(),
            millis,
            count("ProcessedBytes").to_string(),
        ]
    });
    let columns = ["SERVICE CONNECT", "CALLED BY", "CONNECTIONS", "REQUESTS", "5XX", "MS", "BYTES"];
    format!("\n{}\n", output::table(&columns, rows))
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
