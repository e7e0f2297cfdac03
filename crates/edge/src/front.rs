//! The thread in front: it takes snapshots over, accepts connections and gives them to workers in turn, and lets
//! targets be checked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::edge::Snapshot;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::edge::Shared;
use crate::facts::Facts;
use crate::limits::{ACCEPT_PAUSE, BACKLOG, CONNECTIONS_MAX, LISTEN_PAUSE};
use crate::listener::Listener;
use crate::mesh::{Mesh, Routes};
use crate::namespace::Namespace;
use crate::table::Table;
use crate::worker::Work;

/// A snapshot, and who waits for it to be served.
pub type Command = (Snapshot, oneshot::Sender<()>);

/// Ends when no more commands can come. Its listeners close with it.
pub async fn run(mut table: Table, mut mesh: Option<Mesh>, facts: &Facts, mut commands: mpsc::Receiver<Command>) {
    while let Some((mut snapshot, applied)) = commands.recv().await {
        let spec = std::mem::take(&mut snapshot.mesh);
        table.apply(snapshot);
        if let Some(mesh) = &mut mesh {
            mesh.apply(spec);
        }
        facts.retain(|name| table.has_target(name) || mesh.as_ref().is_some_and(|mesh| mesh.has_draining(name)));
        // Who asked may have given up.
        let _ = applied.send(());
    }
}

/// Where a listener takes something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    Connections(SocketAddr),
    Datagrams(SocketAddr),
}

/// What accepting needs.
#[derive(Clone, Debug)]
pub struct Doors {
    workers: Arc<[mpsc::Sender<Work>]>,
    next: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Doors {
    pub fn new(workers: Arc<[mpsc::Sender<Work>]>, shared: Arc<Shared>) -> Self {
        Self { workers, next: Arc::default(), permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)), shared }
    }

    /// Takes what comes there until what is returned is aborted.
    pub fn open(&self, arn: String, door: Door, listener: Arc<Listener>) -> AbortHandle {
        let doors = self.clone();
        let opened = async move {
            match door {
                Door::Connections(address) => doors.accept(arn, address, listener).await,
                Door::Datagrams(address) => doors.receive(arn, address, listener).await,
            }
        };
        tokio::spawn(opened).abort_handle()
    }

    /// One worker has all of an address: their order is kept.
    async fn receive(&self, arn: String, address: SocketAddr, listener: Arc<Listener>) {
        let socket = until_bound(address, || bind_datagrams(address)).await;
        let _bound = Bound::new(&self.shared, arn, address, socket.local_addr().unwrap_or(address));
        let worker = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let (_open, closed) = oneshot::channel();
        let _ = self.workers[worker].send(Work::Datagrams { socket, listener, closed }).await;
        // The worker goes on for as long as this is kept.
        std::future::pending::<()>().await;
    }

    /// Takes the calls of a namespace once it is there, until what is returned is aborted. `permits` are the calls that it
    /// may have at a time.
    pub fn open_proxy(
        &self,
        namespace: Namespace,
        address: SocketAddrV4,
        routes: Arc<Routes>,
        permits: Arc<Semaphore>,
    ) -> AbortHandle {
        let doors = self.clone();
        let opened = async move { doors.accept_calls(&namespace, address, &routes, &permits).await };
        tokio::spawn(opened).abort_handle()
    }

    async fn accept_calls(
        &self,
        namespace: &Namespace,
        address: SocketAddrV4,
        routes: &Routes,
        permits: &Arc<Semaphore>,
    ) {
        let socket = namespace.listen(address).await;
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, client)) => {
                    // What leads nowhere is closed at once.
                    let Some(listener) = called(&stream, address).and_then(|at| routes.load().get(&at).cloned()) else {
                        continue;
                    };
                    let Ok(stream) = stream.into_std() else { continue };
                    self.pass(stream, client, listener, permit).await;
                }
                Err(error) => {
                    debug!(endpoint = %namespace.id(), %error, "no call was accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, arn: String, address: SocketAddr, listener: Arc<Listener>) {
        let socket = until_bound(address, || try_bind(address)).await;
        let _bound = Bound::new(&self.shared, arn, address, socket.local_addr().unwrap_or(address));
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            match socket.accept().await {
                Ok((stream, client)) => {
                    let Ok(stream) = stream.into_std() else { continue };
                    self.pass(stream, client, listener.clone(), permit).await;
                }
                Err(error) => {
                    // A client that was gone already needs no pause, but does not come often either.
                    debug!(%address, %error, "no connection was accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes a connection that came in elsewhere.
    pub async fn take(&self, stream: std::net::TcpStream, address: SocketAddr, listener: Arc<Listener>) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
        self.pass(stream, address, listener, permit).await;
    }

    async fn pass(
        &self,
        stream: std::net::TcpStream,
        address: SocketAddr,
        listener: Arc<Listener>,
        permit: OwnedSemaphorePermit,
    ) {
        let worker = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        let work = Work::Connection { stream, address, listener, permit };
        // A worker that is gone goes with the whole edge.
        let _ = self.workers[worker].send(work).await;
    }
}

/// What a task's call was for before it was redirected to `address`; `None` when it came there itself.
fn called(stream: &TcpStream, address: SocketAddrV4) -> Option<SocketAddrV4> {
    let original = getsockopt(stream, sockopt::OriginalDst).ok()?;
    let ip = Ipv4Addr::from(u32::from_be(original.sin_addr.s_addr));
    let called = SocketAddrV4::new(ip, u16::from_be(original.sin_port));
    (called != address).then_some(called)
}

/// Tries until it can be: the address may come to the machine later, and its last user may yet go.
async fn until_bound<T>(address: SocketAddr, bind: impl Fn() -> std::io::Result<T>) -> T {
    let mut told = None;
    loop {
        match bind() {
            Ok(socket) => return socket,
            Err(error) if told == Some(error.kind()) => {}
            Err(error) => {
                warn!(%address, %error, "a listener's address cannot be listened on");
                told = Some(error.kind());
            }
        }
        sleep(LISTEN_PAUSE).await;
    }
}

fn try_bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_datagrams(address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Says where a listener listens, as long as it does.
struct Bound<'a> {
    shared: &'a Shared,
    arn: String,
    address: SocketAddr,
}

impl<'a> Bound<'a> {
    fn new(shared: &'a Shared, arn: String, address: SocketAddr, local: SocketAddr) -> Self {
        shared.bound.send_modify(|bound| {
            bound.entry(arn.clone()).or_insert_with(BTreeMap::new).insert(address, local);
        });
        Self { shared, arn, address }
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        self.shared.bound.send_modify(|bound| {
            if let Some(addresses) = bound.get_mut(&self.arn) {
                addresses.remove(&self.address);
            }
        });
    }
}
