//! A private dockerd: its own containerd, directories, socket and bridge; it touches no firewall rule of the host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agent::runtime::daemon;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::process::{self, Daemon, POLL_INTERVAL};
use super::{image, task};
use crate::failure::{Advice, Context, Failure};

const BRIDGE: &str = "gbenchdocker0";
/// Nobody else joins.
const SWARM_ADDRESS: &str = "127.0.0.1:23771";
const BRIDGE_ADDRESS: &str = "10.213.0.1/24";
const START_LIMIT: Duration = Duration::from_secs(60);
const RUNNING_LIMIT: Duration = Duration::from_secs(60);

pub struct Docker {
    directory: PathBuf,
    socket: PathBuf,
    daemon: Daemon,
    /// From its start, containerd running, until it answers.
    pub ready_after: Duration,
}

impl Docker {
    /// `directory` is made, and must not be there yet. What it began ends when it fails.
    pub async fn start(directory: &Path) -> Result<Self, Failure> {
        let started = Self::try_start(directory).await;
        if started.is_err() {
            // The first failure is the one to tell.
            let _ = clear_machine(directory).await;
        }
        started
    }

    async fn try_start(directory: &Path) -> Result<Self, Failure> {
        std::fs::create_dir(directory).context(|| format!("{} could not be made", directory.display()))?;
        let found = daemon::find_or_start_private(directory).await;
        let containerd = found.context(|| "docker's containerd could not be started".to_owned())?.address;
        make_bridge().await?;
        let socket = directory.join("docker.sock");
        let started = Instant::now();
        let command = command(directory, &socket, &containerd)?;
        let log = directory.join("dockerd.log");
        let daemon = Daemon::start(command, &log).advice("Install docker.io, or run scripts/need bench.")?;
        let mut docker = Self { directory: directory.to_owned(), socket, daemon, ready_after: Duration::ZERO };
        while docker.get("/_ping").await.is_err() {
            if docker.daemon.has_ended() || started.elapsed() > START_LIMIT {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new("dockerd did not start").because(text));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        docker.ready_after = started.elapsed();
        Ok(docker)
    }

    pub fn resident_mib(&self) -> Result<f64, Failure> {
        process::resident_mib(self.daemon.id())
    }

    pub async fn load(&self, archive: &Path) -> Result<(), Failure> {
        let mut command = self.cli();
        command.arg("load").arg("--input").arg(archive);
        process::output(command).await.map(drop)
    }

    /// `docker run -d`, then inspect until it is running, as a person would have it. How long that took.
    pub async fn run(&self) -> Result<Duration, Failure> {
        let mut command = self.cli();
        command.args(["run", "--detach", image::REFERENCE]).args(task::COMMAND);
        let started = Instant::now();
        let id = process::output(command).await?;
        self.wait_until_running(id.trim()).await?;
        Ok(started.elapsed())
    }

    /// As [`run`](Self::run), by the daemon's own API, without the process of its command line.
    pub async fn run_by_api(&self) -> Result<Duration, Failure> {
        let started = Instant::now();
        let input = json!({"Image": image::REFERENCE, "Cmd": task::COMMAND});
        let created = self.call("POST", "/containers/create", &input).await?;
        let id = created["Id"].as_str().unwrap_or_default().to_owned();
        self.call("POST", &format!("/containers/{id}/start"), &Value::Null).await?;
        self.wait_until_running(&id).await?;
        Ok(started.elapsed())
    }

    async fn wait_until_running(&self, id: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + RUNNING_LIMIT;
        while self.get(&format!("/containers/{id}/json")).await?["State"]["Running"] != true {
            if Instant::now() > deadline {
                return Err(Failure::new("a container of docker did not start"));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Makes it a swarm of its own.
    pub async fn begin_swarm(&self) -> Result<(), Failure> {
        let input = json!({"ListenAddr": SWARM_ADDRESS, "AdvertiseAddr": SWARM_ADDRESS});
        self.call("POST", "/swarm/init", &input).await.map(drop)
    }

    /// A service of so many replicas, until swarm shows all of them running. How long that took.
    pub async fn run_service(&self, replicas: u32, limit: Duration) -> Result<Duration, Failure> {
        let container = json!({"Image": image::REFERENCE, "Command": task::COMMAND, "StopGracePeriod": 1});
        let input = json!({
            "Name": "bench",
            "TaskTemplate": {"ContainerSpec": container},
            "Mode": {"Replicated": {"Replicas": replicas}},
        });
        let started = Instant::now();
        self.call("POST", "/services/create", &input).await?;
        while self.running_tasks().await? < replicas as usize {
            if started.elapsed() > limit {
                return Err(Failure::new("the replicas of docker swarm did not all run"));
            }
            tokio::time::sleep(super::swarm::POLL_INTERVAL).await;
        }
        let took = started.elapsed();
        self.call("DELETE", "/services/bench", &Value::Null).await?;
        self.remove_containers().await?;
        Ok(took)
    }

    async fn running_tasks(&self) -> Result<usize, Failure> {
        let tasks = self.get("/tasks").await?;
        let states = tasks.as_array().into_iter().flatten().map(|task| &task["Status"]["State"]);
        Ok(states.filter(|state| **state == "running").count())
    }

    async fn remove_containers(&self) -> Result<(), Failure> {
        let mut list = self.cli();
        list.args(["ps", "--all", "--quiet"]);
        let containers = process::output(list).await?;
        if containers.trim().is_empty() {
            return Ok(());
        }
        let mut remove = self.cli();
        remove.args(["rm", "--force"]).args(containers.split_whitespace());
        process::output(remove).await.map(drop)
    }

    /// Removes every container and what the daemon made.
    pub async fn clear(self) -> Result<(), Failure> {
        self.remove_containers().await?;
        drop(self.daemon);
        clear_machine(&self.directory).await
    }

    fn cli(&self) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command.env("DOCKER_CONFIG", &self.directory).env_remove("DOCKER_CONTEXT").env_remove("DOCKER_HOST");
        command
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, &Value::Null).await
    }

    async fn call(&self, method: &str, path: &str, input: &Value) -> Result<Value, Failure> {
        let what = || format!("{method} {path} of docker failed");
        let (status, body) = self.exchange(method, path, input).await.context(what)?;
        if status >= 400 {
            return Err(Failure::new(what()).because(String::from_utf8_lossy(&body).into_owned()));
        }
        // What has no body, or one that is not JSON, answers nothing.
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        input: &Value,
    ) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let body = if input.is_null() { Bytes::new() } else { Bytes::from(input.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "docker")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

fn command(directory: &Path, socket: &Path, containerd: &Path) -> Result<Command, Failure> {
    let config = directory.join("daemon.json");
    std::fs::write(&config, "{}").context(|| format!("{} could not be written", config.display()))?;
    let mut command = Command::new("dockerd");
    command.arg("--config-file").arg(config).arg("--host").arg(format!("unix://{}", socket.display()));
    for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "docker.pid")] {
        command.arg(option).arg(directory.join(name));
    }
    command.arg("--containerd").arg(containerd).arg(format!("--bridge={BRIDGE}"));
    for option in ["--iptables", "--ip6tables", "--ip-forward", "--ip-masq", "--userland-proxy"] {
        command.arg(format!("{option}=false"));
    }
    // Swarm asks a registry for every image otherwise, also for one that it has.
    command.env("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1");
    // Its socket's group is made on installation, which a private one does not need.
    command.arg("--group=root");
    Ok(command)
}

async fn clear_machine(directory: &Path) -> Result<(), Failure> {
    daemon::stop_private(directory).await.context(|| "docker's containerd could not be ended".to_owned())?;
    process::output(ip(&["link", "delete", BRIDGE])).await.map(drop)
}

async fn make_bridge() -> Result<(), Failure> {
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        process::output(ip(&["link", "delete", BRIDGE])).await?;
    }
    process::output(ip(&["link", "add", BRIDGE, "type", "bridge"])).await?;
    process::output(ip(&["address", "add", BRIDGE_ADDRESS, "dev", BRIDGE])).await?;
    process::output(ip(&["link", "set", BRIDGE, "up"])).await.map(drop)
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments);
    command
}
