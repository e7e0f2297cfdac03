//! `gantry down`: ends the process. Containers stay, and are found again by the next `gantry up`, unless `--tasks` asks
//! to stop them first; then nothing of gantry is left on the machine but its data directory.

use std::time::{Duration, Instant};

use agent::runtime::cgroup::{Groups, Version};
use agent::runtime::daemon;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::args::{Down, Output};
use crate::client::{Client, Service};
use crate::failure::{Context, Failure};
use crate::home::{Containerd, Home, Running};
use crate::{image, network, output};

/// A task may take its containers' stop time-outs, up to 120 s each way down its dependencies.
const TASKS_STOP_LIMIT: Duration = Duration::from_secs(300);
const PROCESS_END_LIMIT: Duration = Duration::from_secs(30);
/// The API has no event for a client to wait on.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub async fn run(home: &Home, args: &Down, format: Output) -> Result<(), Failure> {
    let Some(running) = home.running()? else {
        output::print(format, &json!({"stopped": false}), || "gantry does not run; nothing to stop".to_owned());
        return Ok(());
    };
    let stopped = if args.tasks { stop_tasks(&Client::new(home, &running)?).await? } else { 0 };
    end_process(home, &running).await?;
    if let Some(containerd) = running.containerd.as_ref().filter(|_| args.tasks) {
        clear_machine(home, containerd).await?;
    }
    output::print(format, &json!({"stopped": true, "tasksStopped": stopped}), || match (args.tasks, stopped) {
        (true, _) => format!("stopped {stopped} task(s) and gantry"),
        (false, _) => "stopped gantry; its containers go on running".to_owned(),
    });
    Ok(())
}

/// Removes what tasks shared: the network, their control group, a containerd of our own.
async fn clear_machine(home: &Home, containerd: &Containerd) -> Result<(), Failure> {
    let range = containerd.bridge_range.as_deref().map(str::parse).transpose();
    let range = range.context(|| "the range of bridge-mode containers is damaged in gantry.json".to_owned())?;
    network::remove(network::config(home, &containerd.instance, range)).await?;
    let settings = image::settings(home, containerd.socket.clone(), &containerd.instance);
    Version::here()
        .and_then(|version| Groups::new(version, &settings.cgroup_parent).remove_parent())
        .context(|| format!("the control group {} could not be removed", settings.cgroup_parent))?;
    if containerd.private {
        daemon::stop_private(&home.path(""))
            .await
            .context(|| format!("the private containerd at {} could not be ended", containerd.socket.display()))?;
    }
    Ok(())
}

async fn stop_tasks(client: &Client) -> Result<usize, Failure> {
    let deadline = Instant::now() + TASKS_STOP_LIMIT;
    let clusters = client.call(Service::Ecs, "ListClusters", &json!({})).await?;
    let mut stopped = 0;
    for cluster in array(&clusters["clusterArns"]) {
        stopped += stop_tasks_of(client, cluster, deadline).await?;
    }
    Ok(stopped)
}

async fn stop_tasks_of(client: &Client, cluster: &Value, deadline: Instant) -> Result<usize, Failure> {
    let mut waiting = Vec::new();
    loop {
        let listed = client.call(Service::Ecs, "ListTasks", &json!({"cluster": cluster})).await?;
        let tasks = array(&listed["taskArns"]);
        for task in tasks {
            let input = json!({"cluster": cluster, "task": task, "reason": "gantry down"});
            client.call(Service::Ecs, "StopTask", &input).await?;
        }
        waiting.extend(tasks.iter().cloned());
        if listed["nextToken"].is_null() {
            break;
        }
    }
    for batch in waiting.chunks(100) {
        wait_until_stopped(client, cluster, batch, deadline).await?;
    }
    Ok(waiting.len())
}

async fn wait_until_stopped(
    client: &Client,
    cluster: &Value,
    tasks: &[Value],
    deadline: Instant,
) -> Result<(), Failure> {
    loop {
        let answer = client.call(Service::Ecs, "DescribeTasks", &json!({"cluster": cluster, "tasks": tasks})).await?;
        let left = array(&answer["tasks"]).iter().filter(|task| task["lastStatus"] != "STOPPED").count();
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("{left} task(s) did not stop within {} s", TASKS_STOP_LIMIT.as_secs()))
                .advise("Look at them with `gantry status`."));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// SIGTERM, and the lock on the data directory tells when it has ended.
async fn end_process(home: &Home, running: &Running) -> Result<(), Failure> {
    kill(Pid::from_raw(running.pid), Signal::SIGTERM)
        .context(|| format!("process {} could not be told to end", running.pid))?;
    let waiting = home.clone();
    let released = tokio::task::spawn_blocking(move || waiting.wait_for_lock());
    match tokio::time::timeout(PROCESS_END_LIMIT, released).await {
        Ok(released) => released.context(|| "waiting for gantry to end failed".to_owned())?,
        Err(_) => {
            Err(Failure::new(format!("process {} did not end within {} s", running.pid, PROCESS_END_LIMIT.as_secs()))
                .advise(format!("Kill it with `kill -9 {}`: nothing acknowledged is lost.", running.pid)))
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
