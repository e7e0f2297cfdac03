//! The agent as a whole: takes over the node, then runs the node's loop and the session beside each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use model::NodeId;
use model::link::{Hello, LINK_PROTOCOL, Welcome};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::checkpoint::{CheckpointError, Checkpoints};
use crate::clock::Clock;
use crate::drive::{AdoptError, Drive, Drivers};
use crate::driver::{DriverError, Network, Runtime};
use crate::files::Files;
use crate::host::Host;
use crate::link::Dial;
use crate::metadata::Metadata;
use crate::metadata::task_protection::{QUESTIONS_MAX, Question};
use crate::outbox::Outbox;
use crate::runtime::cgroup::Groups;
use crate::session::Session;
use crate::views::Views;

/// Messages of the session that the node has not taken yet.
const MESSAGES_MAX: usize = 16;
/// Log batches that the session has not taken yet; the rest waits in the containers' files.
const SHIPMENTS_MAX: usize = 16;

#[derive(Clone, Debug)]
pub struct Config {
    pub data: Data,
    pub node: NodeId,
    pub host: Host,
    pub clock: Clock,
    /// Where tasks can ask about themselves; `None`: nowhere, for simulated nodes.
    pub endpoint: Option<Endpoint>,
}

/// Where the agent keeps what it must know again, and what tasks have on disk.
#[derive(Clone, Debug)]
pub enum Data {
    /// Below this directory.
    Directory(PathBuf),
    /// For simulated nodes, whose tasks have no files.
    Simulated(Checkpoints),
}

/// The task metadata endpoint's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the network driver leads tasks' requests to 169.254.170.2.
    pub address: SocketAddr,
    /// The cgroup that holds all tasks' groups, where statistics are read.
    pub cgroup_parent: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot keep the agent's state")]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot keep the tasks' files")]
    Files(#[source] std::io::Error),
    #[error("the container runtime does not answer: {0}")]
    Runtime(DriverError),
    #[error("cannot serve the metadata endpoint at {address}")]
    Endpoint { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Adopt(#[from] AdoptError),
}

/// A running agent. Dropped, it stops at once, as if it were killed; containers go on in any case.
pub struct Agent {
    stop: watch::Sender<bool>,
    welcomed: watch::Receiver<Option<Welcome>>,
    node: Option<JoinHandle<()>>,
    session: Option<JoinHandle<()>>,
    endpoint: Option<JoinHandle<()>>,
}

impl Agent {
    /// Takes over the node and begins to serve it. The first connection is made in the background.
    pub async fn start<D: Dial, R: Runtime, N: Network>(
        config: Config,
        dial: D,
        runtime: R,
        network: N,
    ) -> Result<Self, StartError> {
        let runtime_version = runtime.version().await.map_err(StartError::Runtime)?;
        let (ship, shipments) = mpsc::channel(SHIPMENTS_MAX);
        let (checkpoints, files) = match config.data {
            Data::Directory(data_dir) => {
                let directory = data_dir.join("agent");
                let checkpoints = Checkpoints::open(&directory.join("tasks"))?;
                (checkpoints, Files::open(&directory, ship, config.clock).map_err(StartError::Files)?)
            }
            Data::Simulated(checkpoints) => (checkpoints, Files::None),
        };
        let outbox = Arc::new(Outbox::default());
        let views = config.endpoint.is_some().then(|| Arc::new(Views::default()));
        let drivers = Drivers::new(runtime, network, checkpoints, files, views.clone(), config.clock);
        let drive = Drive::adopt(drivers, &config.host.boot_id, outbox.clone()).await?;

        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let address = address_of(config.endpoint.as_ref());
        let endpoint = match (config.endpoint, views) {
            (Some(endpoint), Some(views)) => Some(serve_endpoint(endpoint, views, ask, config.clock).await?),
            _ => None,
        };
        let (stop, stopped) = watch::channel(false);
        let (messages, inbox) = mpsc::channel(MESSAGES_MAX);
        let (welcome, welcomed) = watch::channel(None);
        let session = Session {
            dial,
            hello: Hello { address, ..hello(config.node, config.host, runtime_version) },
            outbox,
            messages,
            shipments,
            questions,
            welcomed: welcome,
        };
        let node = tokio::spawn(drive.run(inbox, stopped.clone()));
        let session = tokio::spawn(session.run(stopped));
        Ok(Self { stop, welcomed, node: Some(node), session: Some(session), endpoint })
    }

    /// Returns who welcomed the node, once it is connected; `None` when it never will be.
    pub async fn ready(&mut self) -> Option<Welcome> {
        self.welcomed.wait_for(Option::is_some).await.ok()?.clone()
    }

    pub fn is_connected(&self) -> bool {
        self.welcomed.borrow().is_some()
    }

    /// Stops serving the node. Its containers go on; the next agent adopts them.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for running in [self.session.take(), self.node.take()].into_iter().flatten() {
            // A panic there has been logged; there is nothing left to stop.
            let _ = running.await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        for running in [&self.node, &self.session, &self.endpoint].into_iter().flatten() {
            running.abort();
        }
    }
}

async fn serve_endpoint(
    endpoint: Endpoint,
    views: Arc<Views>,
    ask: mpsc::Sender<Question>,
    clock: Clock,
) -> Result<JoinHandle<()>, StartError> {
    let address = endpoint.address;
    let failed = |source| StartError::Endpoint { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let host = crate::runtime::host::Host::read().map_err(failed)?;
    let groups = Groups::new(host.cgroups, &endpoint.cgroup_parent);
    let metadata = Metadata::new(Arc::new(move |container| views.find(container)), ask, clock, Some(groups));
    Ok(tokio::spawn(metadata.serve(listener)))
}

fn hello(node: NodeId, host: Host, runtime_version: String) -> Hello {
    Hello {
        protocol: LINK_PROTOCOL,
        node,
        name: host.name,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_version,
        boot_id: host.boot_id,
        total: host.total,
        attributes: host.attributes,
        address: None,
    }
}

/// Published ports are on every address of the machine that stays on it, the endpoint's among them.
fn address_of(endpoint: Option<&Endpoint>) -> Option<Ipv4Addr> {
    match endpoint?.address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
