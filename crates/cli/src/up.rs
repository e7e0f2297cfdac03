//! `gantry up`: control plane, API and node in one process.
//!
//! ```text
//! lock the data directory ▶ listen ▶ open the state ▶ serve ▶ containerd, network, agent ▶ session up ▶ announce ▶ wait
//! ```
//! Ready means that the API answers, containerd answers, and the agent holds its session: only then is the process
//! announced in the data directory. At the end containers and the data path are left running.

use std::net::SocketAddr;
use std::sync::Arc;

use agent::driver::{Network, Runtime};
use agent::link::{Dial, Tcp};
use agent::network::Linux;
use agent::runtime::{Containerd, daemon};
use control::access_key::AccessKeyError;
use control::{Auth, Control, OpenError, Quotas};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::Up;
use crate::data_path::{self, DataPath};
use crate::failure::{Advice, Context, Failure};
use crate::home::{self, Home, Running};
use crate::{identity, network, output, simulated};

/// Every connection that the API takes at once, and as many files again. Containers inherit it unless their definition
/// says otherwise: it is what FARGATE gives them.
const OPEN_FILES: u64 = 65_535;

/// Starts, says when it is ready, and returns when it was told to end.
pub async fn run(home: &Home, args: &Up, ready: impl FnOnce(&Running)) -> Result<(), Failure> {
    check(args)?;
    raise_open_files()?;
    home.create()?;
    let Some(_lock) = home.lock()? else { return Err(already_running(home)) };
    home.withdraw();
    let mut terminate = signal(SignalKind::terminate()).context(|| "SIGTERM could not be waited for".to_owned())?;
    let mut interrupt = signal(SignalKind::interrupt()).context(|| "SIGINT could not be waited for".to_owned())?;

    let starting = start(home, args);
    let started = tokio::select! {
        started = starting => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    home.announce(&started.running)?;
    ready(&started.running);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; containers and the data path go on");
    home.withdraw();
    started.stop().await;
    Ok(())
}

fn check(args: &Up) -> Result<(), Failure> {
    if args.no_auth && !args.listen.ip().is_loopback() {
        return Err(Failure::new(format!("--no-auth refuses to listen on {}", args.listen))
            .because("anyone who reaches it could run containers as root on this machine")
            .advise("Listen on 127.0.0.1, or leave --no-auth out."));
    }
    if args.simulated_nodes.is_none() && !nix::unistd::geteuid().is_root() {
        return Err(Failure::new("containers and networks need root")
            .advise("Run it with sudo, or try it without containers: --simulated-nodes 3."));
    }
    Ok(())
}

/// Shells and services start with a soft limit of 1024, which a thousand clients would use up.
fn raise_open_files() -> Result<(), Failure> {
    let raise = || {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        match OPEN_FILES.min(hard) {
            wanted if wanted > soft => setrlimit(Resource::RLIMIT_NOFILE, wanted, hard),
            _ => Ok(()),
        }
    };
    raise().context(|| "the limit of open files could not be raised".to_owned())
}

fn already_running(home: &Home) -> Failure {
    let text = match home.running() {
        Ok(Some(running)) => format!("gantry already runs: process {}, http://{}", running.pid, running.address),
        _ => "another gantry is starting or ending on this data directory".to_owned(),
    };
    Failure::new(text).advise("Stop it with `gantry down`, or use another --data-dir.")
}

struct Started {
    running: Running,
    control: Arc<Control>,
    agents: Vec<agent::Agent>,
    data_path: DataPath,
    server: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Started {
    /// The agents first, so that their last reports are still taken.
    async fn stop(self) {
        for agent in self.agents {
            agent.shutdown().await;
        }
        self.data_path.stop();
        self.stop.send_replace(true);
        let _ = self.server.await;
        self.control.close().await;
    }
}

async fn start(home: &Home, args: &Up) -> Result<Started, Failure> {
    let listener = TcpListener::bind(args.listen)
        .await
        .context(|| format!("{} could not be listened on", args.listen))
        .advice("Choose another address with --listen.")?;
    let address = listener.local_addr().context(|| "the listener has no address".to_owned())?;
    // The state and containerd do not need each other: open both at once.
    let (control, daemon) = tokio::join!(open_control(home, args), find_containerd(home, args));
    let (control, daemon) = (control?, daemon?);
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(control::serve::http::serve(control.clone(), listener, until(stopped)));
    let running = Running {
        pid: std::process::id().try_into().expect("pids are small"),
        address,
        account_id: args.account_id.clone(),
        region: args.region.clone(),
        no_auth: args.no_auth,
        containerd: daemon.as_ref().map(|daemon| home::Containerd {
            socket: daemon.address.clone(),
            private: daemon.private,
            instance: args.instance.clone(),
            bridge_range: args.bridge_range.map(|range| range.to_string()),
        }),
    };
    let network = daemon.as_ref().map(|_| network::config(home, &args.instance, args.bridge_range));
    let agents = match daemon {
        Some(daemon) => vec![start_agent(home, args, &control, address, daemon).await?],
        None => simulated::start(home, args.simulated_nodes.unwrap_or(0), &control).await?,
    };
    // After the agent, which makes the bridge.
    let data_path = data_path::start(home, &control, network, args.dns).await?;
    Ok(Started { running, control, agents, data_path, server, stop })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends the server too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn open_control(home: &Home, args: &Up) -> Result<Arc<Control>, Failure> {
    let config = control::Config {
        account_id: args.account_id.clone(),
        region: args.region.clone(),
        auth: if args.no_auth { Auth::Off } else { Auth::Required },
        throttle: args.throttle,
        quotas: Quotas { services_per_cluster: args.services_per_cluster, tasks_per_service: args.tasks_per_service },
        ..control::Config::new(home.directory())
    };
    Control::open(config).await.map_err(|error| {
        let advice = match &error {
            OpenError::AccessKey(AccessKeyError::OtherAccount { is, .. }) => {
                format!("Give it --account-id {is}, or use another --data-dir.")
            }
            _ => "Nothing was changed. Mend what it names, or use another --data-dir.".to_owned(),
        };
        Failure::new("the state could not be opened").because(error).advise(advice)
    })
}

/// `None` when the nodes are simulated.
async fn find_containerd(home: &Home, args: &Up) -> Result<Option<daemon::Daemon>, Failure> {
    if args.simulated_nodes.is_some() {
        return Ok(None);
    }
    let advice = match args.containerd {
        Some(_) => "Start it, or leave --containerd out to use the system's or a private one.",
        None => "`gantry doctor` says what is missing.",
    };
    let found = daemon::find_or_start(home.directory(), args.containerd.as_deref()).await;
    found.map(Some).context(|| "there is no containerd to run containers".to_owned()).advice(advice)
}

async fn start_agent(
    home: &Home,
    args: &Up,
    control: &Control,
    address: SocketAddr,
    daemon: daemon::Daemon,
) -> Result<agent::Agent, Failure> {
    if daemon.private {
        tokio::spawn(daemon::keep(home.directory().to_owned()));
    }
    let settings = crate::image::settings(home, daemon.address, &args.instance);
    let network = network::config(home, &args.instance, args.bridge_range);
    let endpoint =
        agent::Endpoint { address: network.endpoint_address().into(), cgroup_parent: settings.cgroup_parent.clone() };
    let runtime = Containerd::connect(settings).await.context(|| "containerd could not be used".to_owned())?;
    let network = Linux::open(network).await.context(|| "the node's network could not be set up".to_owned())?;
    let host = agent::host::Host::read().context(|| "this machine's facts could not be read".to_owned())?;
    let config = agent::Config {
        data: agent::Data::Directory(home.directory().to_owned()),
        node: identity::node_id(home)?,
        host,
        clock: agent::clock::Clock::System,
        endpoint: Some(endpoint),
    };
    connect(config, dial(control, address), runtime, network).await
}

/// An agent that has its session.
pub(crate) async fn connect<R: Runtime, N: Network>(
    config: agent::Config,
    dial: impl Dial,
    runtime: R,
    network: N,
) -> Result<agent::Agent, Failure> {
    let started = agent::Agent::start(config, dial, runtime, network).await;
    let mut agent = started.context(|| "the agent could not start".to_owned())?;
    match agent.ready().await {
        Some(_) => Ok(agent),
        None => Err(Failure::new("the control plane refused this node").advise("Its log says why.")),
    }
}

fn dial(control: &Control, address: SocketAddr) -> Tcp {
    Tcp { control: loopback(address).to_string(), node_key: control.node_key.reveal().to_owned() }
}

/// Where the agent of this machine reaches the API, which may listen on all addresses.
fn loopback(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

/// What a person sees once gantry is ready.
pub fn banner(home: &Home, running: &Running) -> String {
    let data_dir = home.option();
    let mut text = format!(
        "{} on http://{} · account {} · region {}\n",
        output::green("gantry is ready"),
        running.address,
        running.account_id,
        running.region
    );
    if running.no_auth {
        text += &format!("{} any credentials are accepted (--no-auth)\n", output::red("warning:"));
    }
    text += &format!("  eval \"$(gantry env{data_dir})\"   points the aws CLI and SDKs at it\n");
    text += &format!("  gantry status{data_dir}          shows what runs");
    text
}
