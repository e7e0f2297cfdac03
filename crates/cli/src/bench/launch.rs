//! RunTask until DescribeTasks shows RUNNING, in awsvpc mode with the image on the machine, against `docker run -d` until
//! inspect shows it running. The same image and command, a bridge and an address on both sides, samples in turn.

use std::time::{Duration, Instant};

use super::docker::Docker;
use super::figure::{Figure, Goal, Peer, Sorted, millis};
use super::instance::{Ground, Instance, until_interrupted};
use super::{image, task};
use crate::client::Client;
use crate::failure::Failure;

/// Not measured: the first start on either side reads programs and images from the disk.
const WARM_UPS: u32 = 2;

pub async fn measure(samples: u32) -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let instance = ground.start().await?;
    let measured = measure_on(&ground, &instance, samples).await;
    let cleared = ground.clear(Some(instance)).await;
    let figures = measured?;
    cleared.map(|()| figures)
}

async fn measure_on(ground: &Ground, instance: &Instance, samples: u32) -> Result<Vec<Figure>, Failure> {
    let docker = Docker::start(&ground.path("docker")).await?;
    let times = until_interrupted(take_samples(ground, instance, &docker, samples)).await;
    let cleared = docker.clear().await;
    let times = times?;
    cleared.map(|()| figures(times))
}

#[derive(Default)]
struct Times {
    gantry: Vec<Duration>,
    docker: Vec<Duration>,
    docker_api: Vec<Duration>,
}

async fn take_samples(ground: &Ground, instance: &Instance, docker: &Docker, samples: u32) -> Result<Times, Failure> {
    docker.load(&image::prepare(ground, instance).await?).await?;
    let client = instance.client()?;
    let family = task::register(&client, "awsvpc", image::REFERENCE).await?;
    let mut times = Times::default();
    for sample in 0..WARM_UPS + samples {
        let taken = [run_task(instance, &client, &family).await?, docker.run().await?, docker.run_by_api().await?];
        if sample < WARM_UPS {
            continue;
        }
        let [gantry, docker, docker_api] = taken;
        times.gantry.push(gantry);
        times.docker.push(docker);
        times.docker_api.push(docker_api);
    }
    Ok(times)
}

async fn run_task(instance: &Instance, client: &Client, family: &str) -> Result<Duration, Failure> {
    let started = Instant::now();
    let tasks = task::run(client, &task::run_input(&instance.running, family, 1)).await?;
    task::wait_for(client, &tasks, "RUNNING").await?;
    Ok(started.elapsed())
}

fn figures(times: Times) -> Vec<Figure> {
    let [gantry, docker, docker_api] = [times.gantry, times.docker, times.docker_api]
        .map(|times| Sorted::new(times.into_iter().map(millis).collect()));
    let figure = |percent, peer: &'static str, other: &Sorted, goal| {
        let name = format!("RunTask to RUNNING, awsvpc, p{percent}");
        let peer = Peer { name: peer, value: other.percentile(f64::from(percent)) };
        Figure::new(name, "ms", gantry.percentile(f64::from(percent)), Some(peer), goal)
    };
    vec![
        figure(50, "docker run -d", &docker, Goal::RatioAtMost(0.5)),
        figure(99, "docker run -d", &docker, Goal::RatioAtMost(1.0)),
        figure(50, "docker's API", &docker_api, Goal::None),
        figure(99, "docker's API", &docker_api, Goal::None),
    ]
}
