//! `gantry demo`: a service of three tasks behind a load balancer, through the public API, with nothing from outside the
//! machine: who answers, and an update that no request notices.
//!
//! ```text
//! image ▶ cluster ▶ load balancer, target group, listener ▶ service ▶ ten requests ▶ a new revision, under load
//! ```
//! What it made stays, so that it can be looked at; the next demo begins with a new service on the same load balancer.

pub mod balancer;
pub mod image;
mod load;
pub mod service;

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::args::Output;
use crate::client::Client;
use crate::failure::{Context, Failure};
use crate::home::Home;
use crate::output;
use balancer::Balancer;
use load::{Load, Tally};
use service::Size;

/// Of the cluster, the service, the load balancer, its target group.
const NAME: &str = "gantry-demo";
const TASKS: u32 = 3;
const SIZE: Size = Size { cluster: NAME, tasks: TASKS, launch_type: "FARGATE", cpu: Some("256"), memory: "512" };
const REQUESTS: usize = 10;
/// How long the load goes on once the update is over.
const AFTERGLOW: Duration = Duration::from_secs(1);
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

    steps.say("making a cluster, without what an earlier demo left in it");
    service::prepare(&client, NAME).await?;
    steps.say("making an application load balancer");
    let balancer = Balancer::make(&client, &running).await?;

    steps.say("starting a service of three tasks behind it");
    let started = Instant::now();
    service::create(&client, &running, &balancer, SIZE).await?;
    service::wait_until_complete(&client, NAME).await?;
    let ready_after_millis = started.elapsed().as_millis();

    steps.say("asking ten times");
    let mut answers = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        answers.push(balancer.ask().await?);
    }

    steps.say("updating it under load");
    let (load, started) = (Load::begin(&balancer), Instant::now());
    let updated = update(&client, &running).await;
    let update_millis = started.elapsed().as_millis();
    let tally = load.end().await;
    updated?;
    steps.done();
    let shown = Shown {
        cluster: NAME,
        service: NAME,
        url: balancer.url(),
        ready_after_millis,
        answers,
        update: Update { millis: update_millis, tally },
    };
    output::print(format, &shown, || render(home, &shown));
    Ok(())
}

async fn update(client: &Client, running: &crate::home::Running) -> Result<(), Failure> {
    service::update(client, running, SIZE).await?;
    service::wait_until_complete(client, NAME).await?;
    tokio::time::sleep(AFTERGLOW).await;
    Ok(())
}

/// What a task says of itself, at [`page::TASK_PATH`](crate::page::TASK_PATH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Its id.
    pub task: String,
    pub version: String,
    /// Since when it could have answered.
    pub listening_since_millis: i64,
}

/// What the demo found.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    cluster: &'static str,
    service: &'static str,
    url: String,
    ready_after_millis: u128,
    answers: Vec<Answer>,
    update: Update,
}

#[derive(Serialize)]
struct Update {
    millis: u128,
    #[serde(flatten)]
    tally: Tally,
}

fn render(home: &Home, shown: &Shown) -> String {
    let Shown { url, ready_after_millis, answers, update, .. } = shown;
    let mut text = format!(
        "\n{} {NAME}: {TASKS} tasks behind an application load balancer, ready after {ready_after_millis} ms\n",
        output::bold("Service")
    );
    text += &format!("{} {url}\n\n", output::bold("URL"));
    text += &format!("{}\n", output::bold("Ten requests, and the task that answered each"));
    for (number, Answer { task, version, .. }) in answers.iter().enumerate() {
        text += &format!("  {:2}  task {task}  version {version}\n", number + 1);
    }
    let Tally { requests, failed, by_version, first_failure } = &update.tally;
    let failures = format!("{failed} failed");
    let failures = if *failed == 0 { output::green(&failures) } else { output::red(&failures) };
    text += &format!("\n{}\n", output::bold("A new revision, under load"));
    text += &format!("  {requests} requests, {failures}, while it was rolled out in {} ms\n", update.millis);
    for (version, count) in by_version {
        text += &format!("  version {version} answered {count}\n");
    }
    if let Some(failure) = first_failure {
        text += &format!("  the first failure: {failure}\n");
    }
    let data_dir = home.option();
    text += &format!(
        "\n{}\n  eval \"$(gantry env{data_dir})\"\n  curl {url}\n  aws ecs describe-services --cluster {NAME} \
         --services {NAME}\n  aws ecs update-service --cluster {NAME} --service {NAME} --desired-count 5\n  aws logs \
         filter-log-events --log-group-name {}\n  gantry events{data_dir} --follow\n  gantry down{data_dir} --tasks",
        output::bold("Try next"),
        service::LOG_GROUP,
    );
    text
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
