//! Memory of `gantry up` and its data path at rest, and the time from its start until it is ready, containerd running; against dockerd.

use std::time::Duration;

use super::docker::Docker;
use super::figure::{Figure, Goal, Peer, Sorted, millis};
use super::instance::{Ground, Instance, until_interrupted};
use super::process;
use crate::data_path::process::Place;
use crate::failure::{Context, Failure};

/// The first start makes the state, the others find it.
const STARTS: usize = 10;
/// What starting needed is given back by then.
const REST: Duration = Duration::from_secs(5);
const RESIDENT_GOAL_MIB: f64 = 60.0;
const READY_GOAL_MS: f64 = 300.0;

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let measured = measure_on(&ground).await;
    let cleared = ground.clear(None).await;
    let figures = measured?;
    cleared.map(|()| figures)
}

/// Times to readiness in ms, the first start's first, and resident memory in MiB.
async fn measure_starts(ground: &Ground) -> Result<(Vec<f64>, f64), Failure> {
    let mut ready = Vec::new();
    let mut resident = 0.0;
    for start in 0..STARTS {
        let instance = ground.start().await?;
        ready.push(millis(instance.ready_after));
        if start == 0 {
            tokio::time::sleep(REST).await;
            resident = process::resident_mib(instance.pid())? + resident_mib_of_data_path(&instance).await?;
        }
    }
    Ok((ready, resident))
}

async fn resident_mib_of_data_path(instance: &Instance) -> Result<f64, Failure> {
    let pid = Place::of(&instance.home)?.pid().await.context(|| "the data path could not be found".to_owned())?;
    let pid = pid.ok_or_else(|| Failure::new("the data path does not run"))?;
    process::resident_mib(pid.cast_unsigned())
}

async fn measure_on(ground: &Ground) -> Result<Vec<Figure>, Failure> {
    let (ready, resident) = until_interrupted(measure_starts(ground)).await?;
    let docker = Docker::start(&ground.path("docker")).await?;
    let docker_ready = millis(docker.ready_after);
    tokio::time::sleep(REST).await;
    let docker_resident = docker.resident_mib();
    docker.clear().await?;
    let peer = |value| Some(Peer { name: "dockerd", value });
    let first = ready[0];
    let ready = Sorted::new(ready);
    let at_most = Goal::AtMost(READY_GOAL_MS);
    Ok(vec![
        Figure::new(
            "Resident memory at rest",
            "MiB",
            resident,
            peer(docker_resident?),
            Goal::AtMost(RESIDENT_GOAL_MIB),
        ),
        Figure::new("Ready after the first start", "ms", first, peer(docker_ready), at_most),
        Figure::new("Ready after a start, p50", "ms", ready.percentile(50.0), peer(docker_ready), at_most),
        Figure::new("Ready after a start, p99", "ms", ready.percentile(99.0), peer(docker_ready), Goal::None),
    ])
}
