//! The process of the data path: started by whoever finds none, found again by its socket, ended by `gantry down --tasks`.
//!
//! ```text
//! edge/feed.sock         made by the starter and passed on as standard input, so that it answers from the start
//! edge/connections.sock  made by the process
//! edge/edge.log          its output
//! ```
//! It is a session of its own. When its socket's file is removed nobody can reach it any more, and it ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent::runtime::daemon;
use edge::link::{Order, ends};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{self, Backlog};
use nix::unistd::{Pid, dup2_stdin};
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::detach;
use crate::failure::{Advice, Context, Failure};
use crate::home::Home;

/// This very program, also after its file was replaced.
const PROGRAM: &str = "/proc/self/exe";
/// The kernel's limit for the name of a socket.
const SOCKET_NAME_MAX: usize = 107;
/// A log that has grown beyond is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// For the process to end, the connections that it has included.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Which program this is: another build has another one.
pub fn build() -> Result<String, Failure> {
    let program = std::fs::metadata(PROGRAM).context(|| format!("{PROGRAM} could not be looked at"))?;
    Ok(format!("{}:{}:{}.{}", program.dev(), program.ino(), program.mtime(), program.mtime_nsec()))
}

/// Where a data directory's data path is.
#[derive(Clone, Debug)]
pub struct Place {
    home: Home,
}

impl Place {
    pub fn of(home: &Home) -> Result<Self, Failure> {
        let place = Self { home: home.clone() };
        if place.connections().as_os_str().len() > SOCKET_NAME_MAX {
            return Err(Failure::new(format!("{} is too long a name for a socket", place.connections().display()))
                .advise("Choose a shorter --data-dir."));
        }
        Ok(place)
    }

    fn feed(&self) -> PathBuf {
        self.home.path("edge/feed.sock")
    }

    /// Where connections are handed over.
    pub fn connections(&self) -> PathBuf {
        self.home.path("edge/connections.sock")
    }

    pub fn log(&self) -> PathBuf {
        self.home.path("edge/edge.log")
    }

    async fn find(&self) -> io::Result<Option<UnixStream>> {
        match UnixStream::connect(self.feed()).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A link to it.
    pub async fn find_or_start(&self) -> io::Result<UnixStream> {
        if let Some(stream) = self.find().await? {
            return Ok(stream);
        }
        self.start()?;
        UnixStream::connect(self.feed()).await
    }

    fn start(&self) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.home.path("edge"))?;
        let feed = listen(&self.feed())?;
        let log = open_log(&self.log())?;
        let mut command = Command::new(PROGRAM);
        command
            .arg0("gantry")
            .arg("--data-dir")
            .arg(self.home.directory())
            .arg("edge")
            .env_remove(detach::CHILD_VARIABLE);
        command.stdin(Stdio::from(OwnedFd::from(feed))).stdout(Stdio::null()).stderr(log).current_dir("/");
        let child = command.spawn()?;
        tracing::info!(pid = child.id(), log = %self.log().display(), "started the data path");
        Ok(())
    }

    /// Which process it is, when it runs.
    pub async fn pid(&self) -> io::Result<Option<i32>> {
        Ok(self.find().await?.and_then(|stream| stream.peer_cred().ok()?.pid()))
    }

    /// Ends it, if it runs, with the connections that it has.
    pub async fn end(&self) -> Result<(), Failure> {
        let what = || "the data path could not be ended".to_owned();
        let Some(stream) = self.find().await.context(what)? else { return Ok(()) };
        let pid = stream.peer_cred().context(what)?.pid().map(Pid::from_raw);
        let (mut mouth, _ear) = ends(stream);
        mouth.say(&Order::End).await.context(what)?;
        let Some(pid) = pid else { return Ok(()) };
        if timeout(END_LIMIT, daemon::ended(pid)).await.is_err() {
            // ESRCH: it has just ended.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = timeout(END_LIMIT, daemon::ended(pid)).await;
        }
        Ok(())
    }
}

/// Whatever a process that is gone has left there is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    remove(path)?;
    UnixListener::bind(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        remove(path)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The process itself: `gantry edge`.
pub async fn run(home: &Home) -> Result<(), Failure> {
    detach::leave_session();
    let place = Place::of(home)?;
    let what = || "the data path's sockets could not be opened".to_owned();
    let feed = inherited().context(what).advice("`gantry up` starts this; nobody else has to.")?;
    let connections = place.connections();
    remove(&connections).context(what)?;
    let connections = UnixDatagram::bind(connections).context(what)?;
    let gone = until_removed(&place.feed()).context(|| "the data path's socket could not be watched".to_owned())?;
    let mut terminate = signal(SignalKind::terminate()).context(|| "SIGTERM could not be waited for".to_owned())?;
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            () = gone => {}
        }
    };
    edge::process::run(feed, connections, end).await.context(|| "the data path's sockets failed".to_owned())
}

/// The listening socket that is standard input, which then is none any more: nobody else keeps it open.
fn inherited() -> io::Result<tokio::net::UnixListener> {
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Who connects is told of the process that listened last. Anything but a listening socket is found out here, too.
    socket::listen(&listener, Backlog::MAXCONN)?;
    dup2_stdin(File::open("/dev/null")?)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Ends when the file at `path` is not the one that it is now.
fn until_removed(path: &Path) -> io::Result<impl Future<Output = ()> + use<>> {
    let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    watch.add_watch(path, AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF)?;
    // SAFETY: an OwnedFd is open, and always the same descriptor, until it is dropped.
    let watch = unsafe { AsyncFd::register(OwnedFd::from(watch)) }?;
    let (path, inode) = (path.to_owned(), std::fs::metadata(path)?.ino());
    Ok(async move {
        let is_there = || std::fs::metadata(&path).is_ok_and(|now| now.ino() == inode);
        let mut events = [0; 4096];
        while is_there() {
            let Ok(mut guard) = watch.readable().await else { return };
            if nix::unistd::read(guard.get_inner(), &mut events) == Err(nix::Error::EAGAIN) {
                guard.clear_ready();
            }
        }
    })
}
