//! The handle on a running edge.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use model::edge::{Snapshot, TargetHealth};
use model::mesh::MeshCount;
use tokio::sync::{mpsc, oneshot, watch};

use crate::body::Body;
use crate::cookie::CookieKey;
use crate::facts::Facts;
use crate::front::{self, Command, Doors};
use crate::header;
use crate::limits::COMMAND_QUEUE;
use crate::listener::Listener;
use crate::mesh::Mesh;
use crate::meter::Meters;
use crate::page::page;
use crate::table::Table;
use crate::worker::{Work, Worker};

#[derive(Clone, Debug)]
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
    commands: mpsc::Sender<Command>,
    work: Arc<[mpsc::Sender<Work>]>,
    next: AtomicUsize,
    shutdown: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Edge {
    pub fn start(config: &Config) -> Result<Self, Error> {
        let shutdown = Arc::new(AtomicBool::new(false));
        let count = config.workers.max(1);
        let started: Result<Vec<Worker>, io::Error> =
            (0..count).map(|index| Worker::start(index, shutdown.clone())).collect();
        let (work, mut threads): (Vec<_>, Vec<_>) =
            started?.into_iter().map(|worker| (worker.work, worker.thread)).unzip();
        let work: Arc<[_]> = work.into();
        let shared = Arc::new(Shared {
            facts: Arc::default(),
            meters: Meters::default(),
            by_name: ArcSwap::default(),
            bound: watch::Sender::default(),
        });
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let doors = Doors::new(work.clone(), shared.clone());
        let calls = doors.clone();
        let table = Table::new(config.cookie_key, count, shared.clone(), doors);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (key, namespaces, shared_too) = (config.cookie_key, config.namespaces.clone(), shared.clone());
        let run = move || {
            runtime.block_on(async {
                let mesh = Mesh::start(namespaces, key, count, shared_too, calls);
                front::run(table, mesh, receiver).await;
            });
        };
        threads.push(std::thread::Builder::new().name("edge-front".to_owned()).spawn(run)?);
        Ok(Self { shared, commands, work, next: AtomicUsize::new(0), shutdown, threads })
    }

    /// Returns once it is served. Addresses that cannot be listened on yet are tried again and again.
    pub async fn apply(&self, snapshot: Snapshot) -> Result<(), Error> {
        let (applied, done) = oneshot::channel();
        self.commands.send((snapshot, applied)).await.map_err(|_| Error::Ended)?;
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

    /// The listener on `port` of the load balancer that a `Host` names, with or without a port.
    pub fn find(&self, host: &str, port: u16) -> Option<Arc<Listener>> {
        let name = header::without_port(host).to_ascii_lowercase();
        self.shared.by_name.load().get(&(name, port)).cloned()
    }

    /// Answers a request that came to another server, as if it had come to the listener. Upgrades work when that
    /// server allows them.
    pub async fn answer(
        &self,
        listener: &Arc<Listener>,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Response<Body> {
        let (answer, answered) = oneshot::channel();
        let worker = self.next.fetch_add(1, Ordering::Relaxed) % self.work.len();
        let request = Box::new(request);
        let work = Work::Request { request, address: client, listener: listener.clone(), answer };
        if self.work[worker].send(work).await.is_err() {
            return page(StatusCode::SERVICE_UNAVAILABLE);
        }
        answered.await.unwrap_or_else(|_| page(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Takes no more connections, and ends when those there are have been answered, or after a while.
    pub async fn shutdown(self) {
        self.shutdown.store(true, Ordering::Relaxed);
        drop((self.commands, self.work));
        let join = move || self.threads.into_iter().filter_map(|thread| thread.join().err()).count();
        let panicked = tokio::task::spawn_blocking(join).await;
        assert!(matches!(panicked, Ok(0)), "a thread of the load balancer panicked");
    }
}
