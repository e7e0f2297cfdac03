//! A thread that serves the connections it is given, on a runtime of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::connection::{self, Client};
use crate::datagram::Datagrams;
use crate::limits::{SHUTDOWN_LIMIT, WORK_QUEUE};
use crate::listener::Listener;

pub enum Work {
    Connection {
        stream: std::net::TcpStream,
        address: SocketAddr,
        listener: Arc<Listener>,
        permit: OwnedSemaphorePermit,
    },
    /// A socket on which datagrams come, until it is closed.
    Datagrams { socket: std::net::UdpSocket, listener: Arc<Listener>, closed: oneshot::Receiver<()> },
}

/// What is given to a worker, and the thread, which ends some time after the sender is dropped.
pub struct Worker {
    pub work: mpsc::Sender<Work>,
    pub thread: JoinHandle<()>,
}

impl Worker {
    pub fn start(index: usize, shutdown: Arc<AtomicBool>) -> std::io::Result<Self> {
        let (work, receiver) = mpsc::channel(WORK_QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("edge-{index}"))
            .spawn(move || runtime.block_on(run(index, receiver, shutdown)))?;
        Ok(Self { work, thread })
    }
}

async fn run(index: usize, mut work: mpsc::Receiver<Work>, shutdown: Arc<AtomicBool>) {
    let builder = Arc::new(connection::builder());
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    while let Some(work) = work.recv().await {
        let alive = alive.clone();
        match work {
            Work::Connection { stream, address, listener, permit } => {
                let stream = match TcpStream::from_std(stream) {
                    Ok(stream) => stream,
                    Err(error) => {
                        debug!(%error, "a connection was lost on its way to a worker");
                        continue;
                    }
                };
                let (builder, shutdown) = (builder.clone(), shutdown.clone());
                let client = Client { stream, address, listener, permit };
                tokio::spawn(async move {
                    connection::serve(&builder, index, client, &shutdown).await;
                    drop(alive);
                });
            }
            Work::Datagrams { socket, listener, closed } => match Datagrams::new(index, listener, socket) {
                Ok(datagrams) => drop(tokio::spawn(datagrams.serve(closed))),
                Err(error) => debug!(%error, "a socket was lost on its way to a worker"),
            },
        }
    }
    drop(alive);
    // Nothing is ever sent: it ends when the last connection has.
    let _ = timeout(SHUTDOWN_LIMIT, all_gone.recv()).await;
}
