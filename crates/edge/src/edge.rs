//! The handle on a running edge.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use model::edge::{Snapshot, TargetHealth};
use model::mesh::MeshCount;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cookie::CookieKey;
use crate::facts::Facts;
use crate::front::{self, Command, Doors};
use crate::limits::COMMAND_QUEUE;
use crate::listener::{Listener, Served};
use crate::mesh::Mesh;
use crate::meter::Meters;
use crate::table::Table;
use crate::worker::Worker;

/// What a client reads who asked for a load balancer that is not there.
const NO_SUCH_NAME: &str = "No load balancer of this name listens on this port.\n";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Threads that serve; the front is one more, with little to do.
    pub workers: usize,
    pub cookie_key: CookieKey,
    /// Where the node keeps its tasks' network namespaces, by the names of their endpoints. Without it Service Connect is
    /// not served.
    pub namespaces: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a thread of the load balancer could not be started: {0}")]
    Start(#[from] io::Error),
    #[error("the load balancer has ended")]
    Ended,
}

/// What the front tells everybody.
#[derive(Debug)]
pub struct Shared {
    pub facts: Arc<Facts>,
    pub meters: Meters,
    /// By name and port.
    pub by_name: ArcSwap<BTreeMap<(String, u16), Arc<Listener>>>,
    /// By the listener's ARN: address as asked for, address as it is (they differ for port 0).
    pub bound: watch::Sender<BTreeMap<String, BTreeMap<SocketAddr, SocketAddr>>>,
}

/// A running data path. It ends when this is dropped, or better by [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Edge {
    shared: Arc<Shared>,
    /// With `doors`, `None` once it is closed: workers end when nobody can give them anything any more.
    commands: Option<mpsc::Sender<Command>>,
    doors: Option<Doors>,
    /// For names that no load balancer has.
    unknown: Arc<Listener>,
    shutdown: Arc<AtomicBool>,
    front: Option<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Edge {
    pub fn start(config: &Config) -> Result<Self, Error> {
        let shutdown = Arc::new(AtomicBool::new(false));
        let count = config.workers.max(1);
        let started: Result<Vec<Worker>, io::Error> =
            (0..count).map(|index| Worker::start(index, shutdown.clone())).collect();
        let (work, workers): (Vec<_>, Vec<_>) = started?.into_iter().map(|worker| (worker.work, worker.thread)).unzip();
        let shared = Arc::new(Shared {
            facts: Arc::default(),
            meters: Meters::default(),
            by_name: ArcSwap::default(),
            bound: watch::Sender::default(),
        });
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let doors = Doors::new(work.into(), shared.clone());
        let table = Table::new(config.cookie_key, count, shared.clone(), doors.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (key, namespaces) = (config.cookie_key, config.namespaces.clone());
        let (shared_too, calls) = (shared.clone(), doors.clone());
        let run = move || {
            runtime.block_on(async {
                let mesh = Mesh::start(namespaces, key, count, shared_too.clone(), calls);
                front::run(table, mesh, &shared_too.facts, receiver).await;
            });
        };
        let front = std::thread::Builder::new().name("edge-front".to_owned()).spawn(run)?;
        let unknown = Listener::new(Served::refusing(NO_SUCH_NAME, &config.cookie_key));
        let (commands, doors) = (Some(commands), Some(doors));
        Ok(Self { shared, commands, doors, unknown, shutdown, front: Some(front), workers })
    }

    /// Returns once it is served. Addresses that cannot be listened on yet are tried again and again.
    pub async fn apply(&self, snapshot: Snapshot) -> Result<(), Error> {
        let (applied, done) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(Error::Ended)?;
        commands.send((snapshot, applied)).await.map_err(|_| Error::Ended)?;
        done.await.map_err(|_| Error::Ended)
    }

    /// What has changed of targets since the last call; waits until something has. For one caller at a time.
    pub async fn health_changes(&self) -> Vec<TargetHealth> {
        self.shared.facts.next().await
    }

    /// What was counted of Service Connect.
    pub fn mesh_counts(&self) -> Vec<MeshCount> {
        self.shared.meters.counts()
    }

    /// Where each listener listens, by its ARN: what was asked for and what it got.
    pub fn bound(&self) -> watch::Receiver<BTreeMap<String, BTreeMap<SocketAddr, SocketAddr>>> {
        self.shared.bound.subscribe()
    }

    /// Tells all that is known of targets again, to somebody who has not heard it yet.
    pub fn repeat_health(&self) {
        self.shared.facts.repeat();
    }

    /// Serves a connection that another server has accepted, as if its client had come to the listener on `port` of the
    /// load balancer of this DNS name. Connections there are not secured.
    pub async fn take(&self, stream: TcpStream, client: SocketAddr, dns_name: &str, port: u16) {
        let name = (dns_name.to_ascii_lowercase(), port);
        let listener = self.shared.by_name.load().get(&name).unwrap_or(&self.unknown).clone();
        if let Some(doors) = &self.doors {
            doors.take(stream, client, listener).await;
        }
    }

    /// Takes no more connections: nothing is listened on once it returns. Those there are go on.
    pub async fn close(&mut self) {
        self.commands = None;
        self.doors = None;
        if let Some(front) = self.front.take() {
            join(vec![front]).await;
        }
    }

    /// Ends when the connections that there are have been answered, or after a while.
    pub async fn shutdown(mut self) {
        self.shutdown.store(true, Ordering::Relaxed);
        self.close().await;
        join(self.workers).await;
    }
}

async fn join(threads: Vec<JoinHandle<()>>) {
    let join = move || threads.into_iter().filter_map(|thread| thread.join().err()).count();
    let panicked = tokio::task::spawn_blocking(join).await;
    assert!(matches!(panicked, Ok(0)), "a thread of the load balancer panicked");
}
