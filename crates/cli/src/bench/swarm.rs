//! A service of 50 tasks from nothing until all are RUNNING, against 50 replicas on docker swarm: the same image and
//! command, an address for each on a bridge, rounds in turn. That they then stay so is not waited for on either side: both
//! would take a fixed time of their own for it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::docker::Docker;
use super::figure::{Figure, Goal, Peer, Sorted, millis};
use super::instance::{self, Ground, Instance, until_interrupted};
use super::{image, service, task};
use crate::client::Client;
use crate::failure::Failure;

const TASKS: u32 = 50;
const ROUNDS: u32 = 3;
const RATIO_GOAL: f64 = 0.25;
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(120);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let instance = ground.start().await?;
    let measured = measure_on(&ground, &instance).await;
    let cleared = ground.clear(Some(instance)).await;
    let figures = measured?;
    cleared.map(|()| figures)
}

async fn measure_on(ground: &Ground, instance: &Instance) -> Result<Vec<Figure>, Failure> {
    let docker = Docker::start(&ground.path("docker")).await?;
    let times = until_interrupted(take_rounds(ground, instance, &docker)).await;
    let cleared = docker.clear().await;
    let [gantry, swarm] = times?.map(Sorted::new);
    cleared?;
    let peer = |percent| Some(Peer { name: "docker swarm", value: swarm.percentile(percent) });
    let figure = |percent, goal| {
        let name = format!("A service's {TASKS} tasks RUNNING, p{percent}");
        Figure::new(name, "ms", gantry.percentile(percent), peer(percent), goal)
    };
    Ok(vec![figure(50.0, Goal::RatioAtMost(RATIO_GOAL)), figure(99.0, Goal::None)])
}

async fn take_rounds(ground: &Ground, instance: &Instance, docker: &Docker) -> Result<[Vec<f64>; 2], Failure> {
    docker.load(&image::prepare(ground, instance).await?).await?;
    docker.begin_swarm().await?;
    let client = instance.client()?;
    let family = task::register(&client, "awsvpc", image::REFERENCE).await?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        times[0].push(millis(run_service(instance, &client, &family, round).await?));
        times[1].push(millis(docker.run_service(TASKS, LIMIT).await?));
    }
    Ok(times)
}

async fn run_service(instance: &Instance, client: &Client, family: &str, round: u32) -> Result<Duration, Failure> {
    let name = format!("web-{round}");
    let network = task::run_input(&instance.running, family, 1)["networkConfiguration"].clone();
    let started = Instant::now();
    service::create(client, &name, family, TASKS, json!({"networkConfiguration": network})).await?;
    service::wait_for(client, &name, TASKS, POLL_INTERVAL, LIMIT).await?;
    let took = started.elapsed();
    service::remove(client, &name).await?;
    instance::stop_all(client).await?;
    Ok(took)
}
