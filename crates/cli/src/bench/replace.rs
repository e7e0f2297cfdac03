//! A task of a ten-task service is killed: how long until its replacement is RUNNING, image on the machine.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::figure::{Figure, Goal, Sorted, millis};
use super::instance::{self, Ground, Instance, until_interrupted};
use super::{image, process, service, task};
use crate::client::Client;
use crate::failure::Failure;

const TASKS: u32 = 10;
const SAMPLES: usize = 20;
const MS_GOAL: f64 = 1000.0;
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const LIMIT: Duration = Duration::from_secs(60);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let instance = ground.start().await?;
    let measured = until_interrupted(take_samples(&ground, &instance)).await;
    let cleared = ground.clear(Some(instance)).await;
    let times = measured?;
    cleared?;
    let figure = |percent, goal| {
        let name = format!("Killed task of a service to its replacement RUNNING, p{percent}");
        Figure::new(name, "ms", times.percentile(percent), None, goal)
    };
    Ok(vec![figure(50.0, Goal::AtMost(MS_GOAL)), figure(99.0, Goal::None)])
}

async fn take_samples(ground: &Ground, instance: &Instance) -> Result<Sorted, Failure> {
    image::prepare(ground, instance).await?;
    let client = instance.client()?;
    let family = task::register(&client, "awsvpc", image::REFERENCE).await?;
    let network = task::run_input(&instance.running, &family, 1)["networkConfiguration"].clone();
    service::create(&client, "web", &family, TASKS, json!({"networkConfiguration": network})).await?;
    service::wait_for(&client, "web", TASKS, POLL_INTERVAL, LIMIT).await?;
    let mut times = Vec::new();
    for sample in 0..SAMPLES {
        let tasks = running(&client).await?;
        let victim = &tasks[sample % tasks.len()];
        let container = victim["containers"][0]["runtimeId"].as_str().unwrap_or_default();
        process::output(kill(ground, instance, container)).await?;
        let started = Instant::now();
        wait_for_replacement(&client, &victim["taskArn"]).await?;
        times.push(millis(started.elapsed()));
    }
    service::remove(&client, "web").await?;
    instance::stop_all(&client).await?;
    Ok(Sorted::new(times))
}

fn kill(ground: &Ground, instance: &Instance, container: &str) -> Command {
    let settings = crate::image::settings(&instance.home, ground.containerd.clone(), instance::INSTANCE);
    let mut command = Command::new("ctr");
    command.arg("--address").arg(&ground.containerd).args(["--namespace", &settings.namespace]);
    command.args(["tasks", "kill", "--signal", "SIGKILL", container]);
    command
}

/// The service's tasks that are to run, when all of them do.
async fn running(client: &Client) -> Result<Vec<Value>, Failure> {
    let listed = client.call("ListTasks", &json!({"serviceName": "web"})).await?;
    let described = client.call("DescribeTasks", &json!({"tasks": listed["taskArns"]})).await?;
    let tasks = described["tasks"].as_array().cloned().unwrap_or_default();
    let all_run = tasks.len() == TASKS as usize && tasks.iter().all(|task| task["lastStatus"] == "RUNNING");
    Ok(if all_run { tasks } else { Vec::new() })
}

async fn wait_for_replacement(client: &Client, killed: &Value) -> Result<(), Failure> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let tasks = running(client).await?;
        if !tasks.is_empty() && tasks.iter().all(|task| task["taskArn"] != *killed) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new("a killed task was not replaced"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
