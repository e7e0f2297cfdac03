//! `gantry down`: ends the process. Containers and the data path stay, and are found again by the next `gantry up`, unless `--tasks` asks
//! to stop them first; then nothing of gantry is left on the machine but its data directory.

use std::time::{Duration, Instant};

use agent::runtime::cgroup::{Groups, Version};
use agent::runtime::daemon;
use control::shutdown::{STOP_TASKS_PATH, StopTasks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::args::{Down, Output};
use crate::client::Client;
use crate::data_path::process::Place;
use crate::failure::{Context, Failure};
use crate::home::{Containerd, Home, Running};
use crate::{image, network, output};

/// A task may take its containers' stop time-outs, up to 120 s each way down its dependencies.
const TASKS_STOP_LIMIT: Duration = Duration::from_secs(300);
const PROCESS_END_LIMIT: Duration = Duration::from_secs(30);

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
        (false, _) => "stopped gantry; its containers and load balancers go on running".to_owned(),
    });
    Ok(())
}

/// Removes what tasks shared: the data path, the network, their control group, a containerd of our own.
async fn clear_machine(home: &Home, containerd: &Containerd) -> Result<(), Failure> {
    Place::of(home)?.end().await?;
    let range = containerd.bridge_range.as_deref().map(str::parse).transpose();
    let range = range.context(|| "the range of bridge-mode containers is damaged in gantry.json".to_owned())?;
    network::remove(network::config(home, &containerd.instance, range)).await?;
    let settings = image::settings(home, containerd.socket.clone(), &containerd.instance);
    Version::here()
        .and_then(|version| Groups::new(version, &settings.cgroup_parent).remove_parent())
        .context(|| format!("the control group {} could not be removed", settings.cgroup_parent))?;
    if containerd.private {
        daemon::stop_private(home.directory())
            .await
            .context(|| format!("the private containerd at {} could not be ended", containerd.socket.display()))?;
    }
    Ok(())
}

/// How many were stopped. Services are not to replace them, so the control plane itself is asked.
async fn stop_tasks(client: &Client) -> Result<usize, Failure> {
    let deadline = Instant::now() + TASKS_STOP_LIMIT;
    let mut stopped = 0;
    loop {
        let answer = client.call_own(STOP_TASKS_PATH).await?;
        let StopTasks { asked, left } =
            serde_json::from_value(answer).context(|| "what gantry answered is not understood".to_owned())?;
        stopped += asked;
        if left == 0 {
            return Ok(stopped);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("{left} task(s) did not stop within {} s", TASKS_STOP_LIMIT.as_secs()))
                .advise("Look at them with `gantry status`. Services rest until gantry is started anew."));
        }
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
