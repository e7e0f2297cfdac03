//! Fifty tasks at once until all are RUNNING, against fifty `ctr run -d` at once on the same containerd. ctr gives its
//! containers no network, so tasks are measured with a network of their own and without.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::figure::{Figure, Goal, Peer, Sorted, millis};
use super::instance::{self, Ground, Instance, until_interrupted};
use super::{image, process, task};
use crate::client::Client;
use crate::failure::Failure;

const AT_ONCE: u32 = 50;
/// RunTask takes no more.
const TASKS_PER_CALL: u32 = 10;
const ROUNDS: u32 = 3;
/// ctr's containers stay out of gantry's namespace. Their control groups are below one of the same name.
const NAMESPACE: &str = "gantry-bench-ctr";

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let instance = ground.start().await?;
    let measured = until_interrupted(take_rounds(&ground, &instance)).await;
    let cleared = ground.clear(Some(instance)).await;
    instance::remove_cgroups(NAMESPACE);
    let figures = measured?;
    cleared.map(|()| figures)
}

async fn take_rounds(ground: &Ground, instance: &Instance) -> Result<Vec<Figure>, Failure> {
    let archive = image::prepare(ground, instance).await?;
    let mut import = ctr(&ground.containerd);
    import.args(["images", "import"]).arg(&archive);
    process::output(import).await?;
    let client = instance.client()?;
    let families = [
        task::register(&client, "awsvpc", image::REFERENCE).await?,
        task::register(&client, "none", image::REFERENCE).await?,
    ];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (family, times) in families.iter().zip(&mut times) {
            times.push(millis(run_tasks(instance, &client, family).await?));
            instance::stop_all(&client).await?;
        }
        times[2].push(millis(run_by_ctr(&ground.containerd).await?));
    }
    Ok(figures(times))
}

async fn run_tasks(instance: &Instance, client: &Client, family: &str) -> Result<Duration, Failure> {
    let input = task::run_input(&instance.running, family, TASKS_PER_CALL);
    let started = Instant::now();
    let calls = (0..AT_ONCE / TASKS_PER_CALL).map(|_| task::run(client, &input));
    let tasks = try_join_all(calls).await?.concat();
    task::wait_for(client, &tasks, "RUNNING").await?;
    Ok(started.elapsed())
}

async fn run_by_ctr(containerd: &Path) -> Result<Duration, Failure> {
    let names: Vec<String> = (0..AT_ONCE).map(|number| format!("bench-{number}")).collect();
    let started = Instant::now();
    let runs = names.iter().map(|name| {
        let mut command = ctr(containerd);
        command.args(["run", "--detach", "--null-io", image::CANONICAL_REFERENCE, name]).args(task::COMMAND);
        process::output(command)
    });
    let ran = try_join_all(runs).await;
    let took = started.elapsed();
    for name in &names {
        // Those that did not start have no task; the container's removal tells what matters.
        let mut kill = ctr(containerd);
        kill.args(["tasks", "delete", "--force", name]);
        let _ = process::output(kill).await;
        let mut remove = ctr(containerd);
        remove.args(["containers", "delete", name]);
        let _ = process::output(remove).await;
    }
    ran.map(|_| took)
}

fn ctr(containerd: &Path) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(containerd).args(["--namespace", NAMESPACE]);
    command
}

fn figures(times: [Vec<f64>; 3]) -> Vec<Figure> {
    let [awsvpc, none, ctr] = times.map(Sorted::new);
    let figure = |name: &str, ours: &Sorted, percent, goal| {
        let peer = Peer { name: "ctr run -d", value: ctr.percentile(percent) };
        Figure::new(
            format!("{AT_ONCE} tasks at once, {name}, p{percent}"),
            "ms",
            ours.percentile(percent),
            Some(peer),
            goal,
        )
    };
    vec![
        figure("awsvpc", &awsvpc, 50.0, Goal::RatioAtMost(1.25)),
        figure("awsvpc", &awsvpc, 99.0, Goal::None),
        figure("no network", &none, 50.0, Goal::RatioAtMost(1.25)),
        figure("no network", &none, 99.0, Goal::None),
    ]
}
