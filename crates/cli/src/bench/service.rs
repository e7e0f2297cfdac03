//! Services through the public API, and simulated fleets for them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::instance::Instance;
use super::task;
use crate::client::Client;
use crate::failure::{Context, Failure};

/// No image is pulled on simulated nodes.
const IMAGE: &str = "busybox";

/// A gantry with simulated nodes, on a directory of its own.
pub struct Fleet {
    pub instance: Instance,
    pub client: Client,
    directory: tempfile::TempDir,
}

impl Fleet {
    /// With a task definition `bench-none`, and with quotas that are in nobody's way.
    pub async fn start(nodes: u32) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new()
            .prefix("gantry-bench-")
            .tempdir()
            .context(|| "no temporary directory could be made".to_owned())?;
        let nodes = nodes.to_string();
        let quotas = ["--services-per-cluster", "100000", "--tasks-per-service", "1000000"];
        let arguments = [&["--simulated-nodes", &nodes][..], &quotas].concat();
        let instance = Instance::start(&directory.path().join("gantry"), &arguments).await?;
        let client = instance.client()?;
        task::register(&client, "none", IMAGE).await?;
        Ok(Self { instance, client, directory })
    }

    pub fn end(self) -> Result<(), Failure> {
        drop(self.instance);
        self.directory.close().context(|| "the temporary directory could not be removed".to_owned())
    }
}

/// A service of tasks on container instances.
pub async fn create(client: &Client, name: &str, family: &str, count: u32, more: Value) -> Result<(), Failure> {
    let mut input = json!({"serviceName": name, "taskDefinition": family, "desiredCount": count, "launchType": "EC2"});
    for (member, value) in more.as_object().into_iter().flatten() {
        input[member] = value.clone();
    }
    client.call("CreateService", &input).await.map(drop)
}

pub async fn scale(client: &Client, name: &str, count: u32) -> Result<(), Failure> {
    client.call("UpdateService", &json!({"service": name, "desiredCount": count})).await.map(drop)
}

/// Its tasks are to stop from now on.
pub async fn remove(client: &Client, name: &str) -> Result<(), Failure> {
    client.call("DeleteService", &json!({"service": name, "force": true})).await.map(drop)
}

pub async fn describe(client: &Client, name: &str) -> Result<Value, Failure> {
    let answer = client.call("DescribeServices", &json!({"services": [name]})).await?;
    Ok(answer["services"][0].clone())
}

/// Until DescribeServices tells of so many RUNNING tasks. The API has no event for that; each asking takes processor
/// time from what is measured, so the pause is the caller's to choose.
pub async fn wait_for(
    client: &Client,
    name: &str,
    count: u32,
    pause: Duration,
    limit: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    loop {
        let service = describe(client, name).await?;
        if service["runningCount"] == count {
            return Ok(());
        }
        if Instant::now() > deadline {
            let text = format!("{} of {count} run: {}", service["runningCount"], service["events"][0]["message"]);
            return Err(Failure::new("a service's tasks did not all run in time").because(text));
        }
        tokio::time::sleep(pause).await;
    }
}
