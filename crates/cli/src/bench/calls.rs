//! Signed calls a second over 64 keep-alive connections, against moto's server with the same operation and as many tasks.
//! gantry keeps its state in redb on the disk and simulates its nodes.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::figure::{Figure, Goal, Peer, Sorted};
use super::instance::Instance;
use super::load::{self, Load, Outcome, Prepared, Server};
use super::moto::Moto;
use super::{process, task};
use crate::client::Client;
use crate::failure::{Context, Failure};

const CONNECTIONS: usize = 64;
const TASKS: usize = 100;
/// RunTask takes no more.
const TASKS_PER_CALL: u32 = 10;
const LOAD: Load = Load { connections: CONNECTIONS, warm_up: Duration::from_secs(1), time: Duration::from_secs(6) };
const READS_GOAL: f64 = 10_000.0;
const READS_RATIO_GOAL: f64 = 20.0;
const WRITES_GOAL: f64 = 2_000.0;
/// No image is pulled on simulated nodes.
const IMAGE: &str = "busybox";

/// A gantry and a moto with the same data.
struct Pair {
    instance: Instance,
    moto: Moto,
    directory: tempfile::TempDir,
}

impl Pair {
    async fn start(moto: &Path) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new()
            .prefix("gantry-bench-")
            .tempdir()
            .context(|| "no temporary directory could be made".to_owned())?;
        let moto = Moto::start(moto, directory.path()).await?;
        let instance = Instance::start(&directory.path().join("gantry"), &["--simulated-nodes", "4"]).await?;
        Ok(Self { instance, moto, directory })
    }

    fn end(self) -> Result<(), Failure> {
        drop((self.instance, self.moto));
        self.directory.close().context(|| "the temporary directory could not be removed".to_owned())
    }
}

pub async fn measure_reads(moto: &Path) -> Result<Vec<Figure>, Failure> {
    let pair = Pair::start(moto).await?;
    let client = pair.instance.client()?;
    let ours = fill(&client, "EC2").await?;
    task::wait_for(&client, &ours, "RUNNING").await?;
    let theirs = fill(&pair.moto.client(), "FARGATE").await?;
    let describe = |tasks: &[Value], count: usize| json!({"tasks": &tasks[..count]});
    let cases = [
        ("DescribeTasks of one task", "DescribeTasks", describe(&ours, 1), describe(&theirs, 1), READS_GOAL),
        ("ListTasks of 100 tasks", "ListTasks", json!({}), json!({}), READS_GOAL),
        ("DescribeTasks of ten tasks", "DescribeTasks", describe(&ours, 10), describe(&theirs, 10), 0.0),
    ];
    let mut figures = Vec::new();
    for (name, operation, our_input, their_input, goal) in cases {
        let ours = apply(&client, pair.instance.running.address, operation, &our_input).await?;
        let theirs = apply(&pair.moto.client(), pair.moto.address, operation, &their_input).await?;
        figures.extend(compare(name, &ours, &theirs, goal, (goal > 0.0).then_some(READS_RATIO_GOAL)));
    }
    pair.end()?;
    Ok(figures)
}

pub async fn measure_writes(moto: &Path) -> Result<Vec<Figure>, Failure> {
    let pair = Pair::start(moto).await?;
    let client = pair.instance.client()?;
    let theirs = pair.moto.client();
    for client in [&client, &theirs] {
        register(client).await?;
    }
    let before = process::resident_mib(pair.instance.pid())?;
    let ours = apply(&client, pair.instance.running.address, "RunTask", &run_input("EC2", 1)).await?;
    let after = process::resident_mib(pair.instance.pid())?;
    let theirs = apply(&theirs, pair.moto.address, "RunTask", &run_input("FARGATE", 1)).await?;
    let mut figures = compare("RunTask, durable", &ours, &theirs, WRITES_GOAL, None);
    let per_task = (after - before) * 1024.0 / ours.answers as f64;
    figures.push(Figure::new("Memory of a task, its simulated node included", "KiB", per_task, None, Goal::None));
    pair.end()?;
    Ok(figures)
}

async fn register(client: &Client) -> Result<(), Failure> {
    task::register(client, "none", IMAGE).await.map(drop)
}

/// The launch type changes nothing of the answers' form; moto has no nodes for EC2.
fn run_input(launch_type: &str, count: u32) -> Value {
    json!({"taskDefinition": "bench-none", "count": count, "launchType": launch_type})
}

async fn fill(client: &Client, launch_type: &str) -> Result<Vec<Value>, Failure> {
    register(client).await?;
    let mut tasks = Vec::new();
    while tasks.len() < TASKS {
        tasks.extend(task::run(client, &run_input(launch_type, TASKS_PER_CALL)).await?);
    }
    Ok(tasks)
}

async fn apply(
    client: &Client,
    address: std::net::SocketAddr,
    operation: &str,
    input: &Value,
) -> Result<Outcome, Failure> {
    // A refusal is better told by one call than by the load.
    client.call(operation, input).await?;
    load::run(Server::plain(address), Prepared::new(client, operation, input)?, LOAD).await
}

fn compare(name: &str, ours: &Outcome, theirs: &Outcome, goal: f64, ratio_goal: Option<f64>) -> Vec<Figure> {
    let moto = |value| Some(Peer { name: "moto", value });
    let rate = |goal| Figure::new(name, "calls/s", ours.per_second, moto(theirs.per_second), goal);
    let mut figures = vec![rate(if goal > 0.0 { Goal::AtLeast(goal) } else { Goal::None })];
    figures.extend(ratio_goal.map(|ratio| rate(Goal::RatioAtLeast(ratio))));
    for percent in [50.0, 99.0] {
        let at = |latencies: &Sorted| latencies.percentile(percent);
        let name = format!("{name}, p{percent}");
        figures.push(Figure::new(name, "ms", at(&ours.latencies), moto(at(&theirs.latencies)), Goal::None));
    }
    figures
}
