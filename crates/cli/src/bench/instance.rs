//! A gantry of the bench's own: this program, on a temporary data directory and a free port.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent::network::{Config, Linux};
use agent::runtime::daemon;
use nix::ifaddrs::getifaddrs;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::process::Daemon;
use crate::client::Client;
use crate::data_path::process::Place;
use crate::failure::{Context, Failure};
use crate::home::{Home, Running};

/// Names the bench's bridge, firewall table, cgroup and containerd namespace.
pub const INSTANCE: &str = "gbench";
/// The gateway of every gantry's VPC: two with containers on one machine would answer for each other.
const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(172, 31, 0, 1);
const OTHER_LIMIT: Duration = Duration::from_secs(120);
const OTHER_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A running gantry. Dropping it ends it.
pub struct Instance {
    daemon: Daemon,
    pub home: Home,
    pub running: Running,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
}

impl Instance {
    /// Returns when it is ready. An interrupt ends it before that, too.
    pub async fn start(directory: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().context(|| "this program's path is unknown".to_owned())?;
        let home = Home::new(directory);
        home.create()?;
        let log_path = home.path("bench.log");
        let log = std::fs::File::create(&log_path).context(|| format!("{} could not be made", log_path.display()))?;
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(directory).args(["--output", "json", "up", "--listen", "127.0.0.1:0"]);
        command.args(["--instance", INSTANCE]).args(arguments);
        command.env("GANTRY_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // An interrupt from the terminal is the bench's alone: it ends its instances in order.
        command.process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().context(|| "gantry could not be started".to_owned())?;
        let pipe = child.stdout.take().expect("it was asked for");
        // A thread of its own waits for the words, so that this one hears of signals.
        let reading = tokio::task::spawn_blocking(|| read_object(BufReader::new(pipe)));
        let daemon = Daemon::from(child);
        let what = || "gantry could not be read".to_owned();
        let said = until_interrupted(async { reading.await.context(what) }).await?;
        let ready_after = started.elapsed();
        match serde_json::from_str(&said) {
            Ok(running) => Ok(Self { daemon, home, running, ready_after }),
            Err(_) => {
                drop(daemon);
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                Err(Failure::new("gantry ended while it started").because(log))
            }
        }
    }

    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.home, &self.running)
    }

    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// As the kernel kills it when memory runs out. What it runs goes on.
    pub fn kill(self) {
        self.daemon.kill();
    }
}

/// The lines of a pretty-printed JSON object, to its end.
fn read_object(reader: impl BufRead) -> String {
    let mut text = String::new();
    for line in reader.lines().map_while(Result::ok) {
        text += &line;
        if line == "}" {
            break;
        }
    }
    text
}

/// A temporary directory with a private containerd in it.
pub struct Ground {
    directory: tempfile::TempDir,
    pub containerd: PathBuf,
}

impl Ground {
    pub async fn make() -> Result<Self, Failure> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::new("this bench runs containers and needs root").advise("Run it with sudo."));
        }
        wait_for_other_gantry().await?;
        let directory = tempfile::Builder::new()
            .prefix("gantry-bench-")
            .tempdir()
            .context(|| "no temporary directory could be made".to_owned())?;
        let found = daemon::find_or_start_private(directory.path()).await;
        let containerd = found.context(|| "containerd could not be started".to_owned())?.address;
        Ok(Self { directory, containerd })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The instance of this ground, with containers.
    pub async fn start(&self) -> Result<Instance, Failure> {
        Instance::start(&self.path("gantry"), &["--containerd", &self.containerd.to_string_lossy()]).await
    }

    /// Ends what runs and removes what is left. Must be awaited whatever the bench came to.
    pub async fn clear(self, instance: Option<Instance>) -> Result<(), Failure> {
        if let Some(instance) = &instance {
            stop_all(&instance.client()?).await?;
        }
        drop(instance);
        Place::of(&Home::new(&self.path("gantry")))?.end().await?;
        let mut config = Config::new(self.path("gantry/run"));
        config.tag = INSTANCE.to_owned();
        let network = Linux::open(config).await.context(|| "the network could not be opened".to_owned())?;
        network.teardown().await.context(|| "the network could not be removed".to_owned())?;
        remove_cgroups(&format!("gantry-{INSTANCE}"));
        let stopped = daemon::stop_private(self.directory.path()).await;
        stopped.context(|| "containerd could not be ended".to_owned())?;
        self.directory.close().context(|| "the temporary directory could not be removed".to_owned())
    }
}

/// The measuring, cut short by SIGINT or SIGTERM so that what it started can still be cleared.
pub async fn until_interrupted<T>(measuring: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let what = || "signals could not be waited for".to_owned();
    let mut terminate = signal(SignalKind::terminate()).context(what)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(what)?;
    tokio::select! {
        measured = measuring => measured,
        _ = terminate.recv() => Err(Failure::new("interrupted; nothing is left behind")),
        _ = interrupt.recv() => Err(Failure::new("interrupted; nothing is left behind")),
    }
}

/// Stops every task of the default cluster and waits until they are gone, those of services that are gone included.
pub async fn stop_all(client: &Client) -> Result<(), Failure> {
    loop {
        let listed = client.call("ListTasks", &json!({})).await?;
        let tasks = listed["taskArns"].as_array().cloned().unwrap_or_default();
        if tasks.is_empty() {
            let stopping = client.list("ListTasks", json!({"desiredStatus": "STOPPED"}), "taskArns").await?;
            return super::task::wait_for(client, &stopping, "STOPPED").await;
        }
        for task in &tasks {
            client.call("StopTask", &json!({"task": task})).await?;
        }
        super::task::wait_for(client, &tasks, "STOPPED").await?;
    }
}

/// Another gantry whose tasks are up shares our addresses; it may be a test that ends soon.
async fn wait_for_other_gantry() -> Result<(), Failure> {
    let deadline = Instant::now() + OTHER_LIMIT;
    while let Some(name) = other_bridge() {
        if Instant::now() > deadline {
            return Err(Failure::new(format!("another gantry runs tasks on this machine (bridge {name})"))
                .advise("Stop its tasks first: `gantry down --tasks`."));
        }
        // Links have no event that we subscribe to here.
        tokio::time::sleep(OTHER_POLL_INTERVAL).await;
    }
    Ok(())
}

/// A bridge without tasks has no carrier and disturbs nobody.
fn other_bridge() -> Option<String> {
    let holds_gateway = |interface: &nix::ifaddrs::InterfaceAddress| {
        let address = interface.address.as_ref().and_then(|address| address.as_sockaddr_in().map(|it| it.ip()));
        address == Some(GATEWAY)
    };
    let has_carrier = |name: &String| {
        let path = format!("/sys/class/net/{name}/carrier");
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    };
    getifaddrs().ok()?.filter(holds_gateway).map(|interface| interface.interface_name).find(has_carrier)
}

/// Empty groups only: the kernel refuses to remove others.
pub fn remove_cgroups(name: &str) {
    let roots = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for root in roots.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _ = std::fs::remove_dir(root.join(name));
    }
}
