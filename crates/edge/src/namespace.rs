//! Sockets that belong to the network namespace of a task: what they send comes from the task's own address, and passes
//! the firewall as what its containers send. A socket stays in the namespace it was made in, wherever it is used.
//!
//! One thread makes them: it goes into the namespace that is kept at a path, makes the socket and comes back.
//!
//! Invariants
//! - No other thread ever is in another namespace than the process's.
//! - The thread makes a socket only in the namespace that it was asked for: when it cannot enter, there is none.
//! - Nobody holds a namespace longer than a socket of it.

use std::fs::File;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::network::EndpointId;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::limits::{BACKLOG, LISTEN_PAUSE, SOCKET_LIMIT, SOCKET_QUEUE};

/// Which change tells that a namespace may have come.
const MOUNTS: &str = "/proc/thread-self/mountinfo";
/// How long the thread that watches mounts may take to see that nobody cares any more, in milliseconds.
const MOUNTS_PAUSE: u16 = 1000;
const OWN: &str = "/proc/thread-self/ns/net";

/// Where namespaces are kept, and who makes sockets in them.
#[derive(Clone, Debug)]
pub struct Namespaces {
    directory: Arc<Path>,
    errands: mpsc::Sender<Errand>,
    /// Changes with every mount.
    mounts: watch::Receiver<()>,
}

struct Errand {
    path: PathBuf,
    made: oneshot::Sender<io::Result<TcpSocket>>,
}

/// One of them, whether it is there or not.
#[derive(Clone, Debug)]
pub struct Namespace {
    id: EndpointId,
    all: Namespaces,
}

impl Namespaces {
    /// Its threads end after the last of these is dropped.
    pub fn start(directory: PathBuf) -> io::Result<Self> {
        let (errands, received) = mpsc::channel(SOCKET_QUEUE);
        std::thread::Builder::new().name("edge-sockets".to_owned()).spawn(move || run(received))?;
        Ok(Self { directory: directory.into(), errands, mounts: watch_mounts() })
    }

    pub fn of(&self, id: EndpointId) -> Namespace {
        Namespace { id, all: self.clone() }
    }
}

impl Namespace {
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// A socket of the namespace, not bound and not connected.
    pub async fn socket(&self) -> io::Result<TcpSocket> {
        let (made, received) = oneshot::channel();
        let path = self.all.directory.join(self.id.to_string());
        let asked = async {
            let ended = |_| io::Error::other("the thread that makes sockets has ended");
            self.all.errands.send(Errand { path, made }).await.map_err(|_| ended(()))?;
            received.await.map_err(|_| ended(()))?
        };
        timeout(SOCKET_LIMIT, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Listens once the namespace is there; tries until it can.
    pub async fn listen(&self, address: SocketAddrV4) -> TcpListener {
        let mut mounts = self.all.mounts.clone();
        let mut told = None;
        loop {
            mounts.mark_unchanged();
            match self.try_listen(address).await {
                Ok(listener) => return listener,
                // It is made with its task, and may be another node's.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if told == Some(error.kind()) => {}
                Err(error) => {
                    warn!(endpoint = %self.id, %address, %error, "a task's calls cannot be taken");
                    told = Some(error.kind());
                }
            }
            // The pause is for what no mount tells of, and for when nobody watches mounts.
            let _ = timeout(LISTEN_PAUSE, mounts.changed()).await;
        }
    }

    async fn try_listen(&self, address: SocketAddrV4) -> io::Result<TcpListener> {
        let socket = self.socket().await?;
        socket.set_reuseaddr(true)?;
        socket.bind(address.into())?;
        socket.listen(BACKLOG)
    }
}

fn run(mut errands: mpsc::Receiver<Errand>) {
    let home = match File::open(OWN) {
        Ok(home) => home,
        Err(error) => return warn!(%error, "no socket can be made in a task's namespace"),
    };
    while let Some(Errand { path, made }) = errands.blocking_recv() {
        let socket = socket_in(&path);
        if let Err(error) = setns(&home, CloneFlags::CLONE_NEWNET) {
            warn!(%error, "the thread that makes sockets did not come back from a task's namespace");
        }
        // Whoever asked may have given up.
        let _ = made.send(socket);
    }
}

/// Leaves the calling thread in the namespace.
fn socket_in(path: &Path) -> io::Result<TcpSocket> {
    setns(File::open(path)?.as_fd(), CloneFlags::CLONE_NEWNET)?;
    TcpSocket::new_v4()
}

/// What is received from changes with every mount, for as long as anybody receives. On a thread, which sleeps meanwhile.
fn watch_mounts() -> watch::Receiver<()> {
    let (changes, received) = watch::channel(());
    let watch = move || {
        let mounts = File::open(MOUNTS)?;
        while changes.receiver_count() > 0 {
            let mut polled = [PollFd::new(mounts.as_fd(), PollFlags::POLLPRI)];
            if poll(&mut polled, PollTimeout::from(MOUNTS_PAUSE))? > 0 {
                changes.send_replace(());
            }
        }
        Ok::<_, io::Error>(())
    };
    let run = move || {
        if let Err(error) = watch() {
            warn!(%error, "mounts cannot be watched: tasks' calls are taken a moment after their start");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("edge-mounts".to_owned()).spawn(run) {
        warn!(%error, "mounts cannot be watched: tasks' calls are taken a moment after their start");
    }
    received
}
