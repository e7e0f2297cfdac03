//! `gantry demo`: a page served by a FARGATE task, through the public API, with nothing from outside the machine.

pub mod image;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use model::Scope;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::Output;
use crate::client::{Client, Service};
use crate::failure::{Context, Failure};
use crate::home::{Home, Running};
use crate::{http, output};

const FAMILY: &str = "gantry-demo";
const LOG_GROUP: &str = "/gantry/demo";
const CONTAINER: &str = "page";
const START_LIMIT: Duration = Duration::from_secs(60);
const PAGE_LIMIT: Duration = Duration::from_secs(20);
/// The API has no event for a client to wait on; AWS's own waiters poll too.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub async fn run(home: &Home, format: Output) -> Result<(), Failure> {
    let running = home.require_running()?;
    let client = Client::new(home, &running)?;
    let steps = Steps::new();

    steps.say("assembling an image from this machine's own files");
    let archive = tempfile::Builder::new()
        .prefix("gantry-demo")
        .suffix(".tar")
        .tempfile()
        .context(|| "no temporary file could be made".to_owned())?;
    image::write(archive.path())?;
    crate::image::import_file(home, &running, archive.path()).await?;

    steps.say("registering the task definition");
    let definition = client.call(Service::Ecs, "RegisterTaskDefinition", &task_definition(&running.region)).await?;
    let revision = string(&definition, "/taskDefinition/taskDefinitionArn")?;

    steps.say("stopping what an earlier demo left");
    stop_earlier(&client).await?;

    steps.say("running the task");
    let started = Instant::now();
    let answer = client.call(Service::Ecs, "RunTask", &run_task(&running, &revision)).await?;
    if let Some(failure) = answer.pointer("/failures/0") {
        return Err(Failure::new("the task could not be placed").because(failure.to_string()));
    }
    let task = string(&answer, "/tasks/0/taskArn")?;
    let address = wait_until_running(&client, &task).await?;
    let took = started.elapsed();

    steps.say("fetching its page");
    let page = fetch_page(address).await?;
    let log_messages = wait_for_logs(&client, &task).await?;
    steps.done();
    let running_after_millis = took.as_millis();
    let shown = Shown { task_arn: task, address, running_after_millis, page, log_group: LOG_GROUP, log_messages };
    output::print(format, &shown, || render(home, &shown));
    Ok(())
}

fn task_definition(region: &str) -> Value {
    json!({
        "family": FAMILY,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "ecsTaskExecutionRole",
        "containerDefinitions": [{
            "name": CONTAINER,
            "image": image::REFERENCE,
            "command": ["page", "--listen", "0.0.0.0:80"],
            "portMappings": [{"containerPort": 80}],
            "readonlyRootFilesystem": true,
            "stopTimeout": 5,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": LOG_GROUP,
                    "awslogs-region": region,
                    "awslogs-stream-prefix": "demo",
                    "awslogs-create-group": "true",
                },
            },
        }],
    })
}

fn run_task(running: &Running, definition: &str) -> Value {
    let scope = Scope::new(&running.account_id, &running.region);
    let subnets: Vec<String> =
        model::network::Vpc::default_of(&scope).subnets.into_iter().map(|subnet| subnet.id).collect();
    json!({
        "taskDefinition": definition,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
    })
}

async fn stop_earlier(client: &Client) -> Result<(), Failure> {
    let listed = client.call(Service::Ecs, "ListTasks", &json!({"family": FAMILY})).await?;
    for task in listed["taskArns"].as_array().into_iter().flatten() {
        client.call(Service::Ecs, "StopTask", &json!({"task": task, "reason": "A new demo starts"})).await?;
    }
    Ok(())
}

async fn wait_until_running(client: &Client, task: &str) -> Result<Ipv4Addr, Failure> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let answer = client.call(Service::Ecs, "DescribeTasks", &json!({"tasks": [task]})).await?;
        let described = &answer["tasks"][0];
        match described["lastStatus"].as_str() {
            Some("RUNNING") => {
                let address = string(described, "/containers/0/networkInterfaces/0/privateIpv4Address")?;
                return address.parse().context(|| format!("the task's address '{address}' is none"));
            }
            Some("STOPPED") => {
                return Err(Failure::new("the task stopped").because(format!(
                    "{} {}",
                    described["stoppedReason"].as_str().unwrap_or_default(),
                    described["containers"][0]["reason"].as_str().unwrap_or_default()
                )));
            }
            _ if Instant::now() > deadline => {
                return Err(
                    Failure::new("the task did not start").because(format!("it is {}", described["lastStatus"]))
                );
            }
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

async fn fetch_page(address: Ipv4Addr) -> Result<String, Failure> {
    let deadline = Instant::now() + PAGE_LIMIT;
    loop {
        match http::get(&format!("http://{address}/")).await {
            Ok(answer) if answer.status == 200 => return Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            Err(failure) if Instant::now() > deadline => return Err(failure),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

async fn wait_for_logs(client: &Client, task: &str) -> Result<Vec<String>, Failure> {
    let stream = format!("demo/{CONTAINER}/{}", task.rsplit('/').next().unwrap_or_default());
    let query = json!({"logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": true});
    let deadline = Instant::now() + PAGE_LIMIT;
    loop {
        let answer = client.call(Service::Logs, "GetLogEvents", &query).await;
        let events =
            answer.as_ref().ok().and_then(|answer| answer["events"].as_array()).filter(|events| events.len() > 1);
        if let Some(events) = events {
            return Ok(events.iter().filter_map(|event| event["message"].as_str()).map(str::to_owned).collect());
        }
        if Instant::now() > deadline {
            answer?;
            return Err(Failure::new(format!("no log lines arrived in {LOG_GROUP} {stream}")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// What the demo found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    task_arn: String,
    address: Ipv4Addr,
    running_after_millis: u128,
    page: String,
    log_group: &'static str,
    log_messages: Vec<String>,
}

fn render(home: &Home, shown: &Shown) -> String {
    let Shown { task_arn, address, running_after_millis, page, log_group, log_messages } = shown;
    let mut text = format!("\n{} {task_arn}\n", output::bold("Task"));
    text += &format!("{} http://{address}/  (RUNNING {running_after_millis} ms after RunTask)\n", output::bold("Page"));
    for row in page.lines().filter(|line| line.starts_with("<tr>")) {
        let cells: Vec<String> = row.replace("<tr><th>", "").split("<td>").map(str::to_owned).collect();
        let line = cells.iter().map(|cell| format!("{cell:18}")).collect::<String>();
        text += &format!("  {}\n", line.trim_end());
    }
    text += &format!("{} {log_group}\n", output::bold("Logs"));
    for message in log_messages {
        text += &format!("  {message}\n");
    }
    let id = task_arn.rsplit('/').next().unwrap_or_default();
    let data_dir = home.option();
    text += &format!(
        "\n{}\n  eval \"$(gantry env{data_dir})\"\n  aws ecs describe-tasks --tasks {id}\n  \
         aws logs filter-log-events --log-group-name {log_group}\n  curl http://{address}/\n  \
         aws ecs stop-task --task {id}",
        output::bold("Try next")
    );
    text
}

fn string(value: &Value, pointer: &str) -> Result<String, Failure> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| Failure::new(format!("the answer has no {pointer}")))
}

/// A spinner that says what is being done.
struct Steps(ProgressBar);

impl Steps {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant template"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    fn say(&self, text: &'static str) {
        self.0.println(format!("  {text}"));
        self.0.set_message(text);
    }

    fn done(&self) {
        self.0.finish_and_clear();
    }
}
