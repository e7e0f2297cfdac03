//! The containerd process: the system's when it answers, else a private one that we start under our data directory and
//! find again by its socket.
//!
//! ```text
//! --containerd ADDR given? -> must answer
//! system's socket answers? -> use it
//! private socket answers?  -> use it (an earlier gantry started it)
//!                          -> start one, wait for its socket
//! ```
//! A private one is a session of its own: it outlives gantry, and with it the containers' exit statuses. Only
//! [`stop_private`] ends it; [`keep`] starts it again when it ends by itself.

use std::fs::{self, File};
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Where distributions' containerd listens.
pub const SYSTEM_SOCKET: &str = "/run/containerd/containerd.sock";
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// From start to socket; on a cold disk containerd opens its database slowly.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Between the socket's file and its answering.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Between an end and the next start; doubled while it keeps ending.
const FIRST_RESTART_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_RESTART_PAUSE: Duration = Duration::from_secs(30);
/// One that ran this long ended for a reason of its own.
const STEADY: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// A log that has grown beyond is begun anew at the next start.
const LOG_LIMIT: u64 = 16 << 20;
/// The kernel's limit for the name of a socket; containerd adds `.ttrpc`.
const SOCKET_NAME_LIMIT: usize = 100;
/// Where runc and the shim may be, when our own search path does not have them.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no containerd answers at {address}: {reason}")]
    NoAnswer { address: String, reason: io::Error },
    #[error("containerd is not installed (it is not in PATH); install the package containerd")]
    NotInstalled,
    #[error("containerd ended while starting ({status}); the end of {log}:\n{tail}")]
    Ended { status: String, log: String, tail: String },
    #[error("containerd did not answer at {address} within {} s; see {log}", START_LIMIT.as_secs())]
    Late { address: String, log: String },
    #[error("the data directory's name is too long for a socket: {0}")]
    LongName(String),
    #[error("containerd (process {0}) does not end")]
    DoesNotEnd(i32),
    #[error("{what}: {reason}")]
    Io { what: String, reason: io::Error },
}

type Result<T> = std::result::Result<T, DaemonError>;

/// A containerd that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    pub address: PathBuf,
    /// Ours alone, under the data directory.
    pub private: bool,
}

/// Finds a containerd, or starts a private one below `data`. `given`: the one that the user named.
pub async fn find_or_start(data: &Path, given: Option<&Path>) -> Result<Daemon> {
    if let Some(address) = given {
        answers(address).await.map_err(|reason| no_answer(address, reason))?;
        return Ok(Daemon { address: address.to_owned(), private: false });
    }
    let system = Path::new(SYSTEM_SOCKET);
    if answers(system).await.is_ok() {
        return Ok(Daemon { address: system.to_owned(), private: false });
    }
    find_or_start_private(data).await
}

/// As [`find_or_start`], whatever the system has.
pub async fn find_or_start_private(data: &Path) -> Result<Daemon> {
    let place = Place::of(data);
    if answers(&place.socket).await.is_err() {
        place.start().await?;
    }
    Ok(Daemon { address: place.socket, private: true })
}

/// Ends the private containerd of a data directory; false when none runs. Containers that it still has keep running
/// without it, so callers stop them first.
pub async fn stop_private(data: &Path) -> Result<bool> {
    let place = Place::of(data);
    let Some(pid) = place.pid() else { return Ok(false) };
    let Some(process) = open_process(pid)? else { return Ok(false) };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // ESRCH: it has just ended.
        let _ = kill(pid, signal);
        if tokio::time::timeout(STOP_LIMIT, process.readable()).await.is_ok() {
            let _ = fs::remove_file(&place.pid_file);
            return Ok(true);
        }
    }
    Err(DaemonError::DoesNotEnd(pid.as_raw()))
}

/// Starts the private containerd of a data directory again whenever it ends. Its containers go on without it
/// meanwhile. Returns when there is none to watch.
pub async fn keep(data: PathBuf) {
    let place = Place::of(&data);
    let mut pause = FIRST_RESTART_PAUSE;
    loop {
        let Some(process) = place.pid().and_then(|pid| open_process(pid).ok().flatten()) else {
            tracing::warn!(directory = %place.directory.display(), "there is no private containerd to keep");
            return;
        };
        let watched = Instant::now();
        // An error cannot come from a descriptor that stays open; it would be an end as well.
        let _ = process.readable().await;
        tracing::warn!(log = place.log_name(), "the private containerd ended; starting it again");
        if watched.elapsed() > STEADY {
            pause = FIRST_RESTART_PAUSE;
        }
        tokio::time::sleep(pause).await;
        while let Err(error) = find_or_start_private(&data).await {
            pause = LONGEST_RESTART_PAUSE.min(pause * 2);
            tracing::warn!(%error, "cannot start the private containerd again");
            tokio::time::sleep(pause).await;
        }
        pause = LONGEST_RESTART_PAUSE.min(pause * 2);
    }
}

/// Files of a private containerd.
struct Place {
    directory: PathBuf,
    socket: PathBuf,
    config: PathBuf,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Place {
    fn of(data: &Path) -> Self {
        let directory = data.join("containerd");
        Self {
            socket: directory.join("containerd.sock"),
            config: directory.join("config.toml"),
            log: directory.join("containerd.log"),
            pid_file: directory.join("containerd.pid"),
            directory,
        }
    }

    async fn start(&self) -> Result<()> {
        if self.socket.as_os_str().len() > SOCKET_NAME_LIMIT {
            return Err(DaemonError::LongName(self.socket.display().to_string()));
        }
        let program = find_program("containerd").ok_or(DaemonError::NotInstalled)?;
        let watch = self.prepare().map_err(|reason| failed("preparing a private containerd", reason))?;
        let mut child = self.spawn(&program).map_err(|reason| failed("starting containerd", reason))?;
        let pid = child.id().unwrap_or_default();
        fs::write(&self.pid_file, pid.to_string()).map_err(|reason| failed("writing containerd.pid", reason))?;
        tracing::info!(pid, log = %self.log.display(), "started a private containerd");
        tokio::select! {
            ready = tokio::time::timeout(START_LIMIT, self.ready(&watch)) => match ready {
                Ok(result) => result.map_err(|reason| failed("waiting for containerd", reason)),
                Err(_) => {
                    let _ = child.start_kill();
                    Err(DaemonError::Late { address: self.socket.display().to_string(), log: self.log_name() })
                }
            },
            status = child.wait() => Err(DaemonError::Ended {
                status: status.map_or_else(|error| error.to_string(), |status| status.to_string()),
                log: self.log_name(),
                tail: tail(&self.log),
            }),
        }
    }

    /// The directory's changes are watched from before the start, so that none is missed.
    fn prepare(&self) -> io::Result<AsyncFd<OwnedFd>> {
        fs::create_dir_all(&self.directory)?;
        fs::write(&self.config, self.configuration())?;
        let _ = fs::remove_file(&self.socket);
        if fs::metadata(&self.log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            fs::remove_file(&self.log)?;
        }
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        watch.add_watch(&self.directory, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        watched(OwnedFd::from(watch))
    }

    fn configuration(&self) -> String {
        let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy().into_owned()).to_string();
        let (root, state) = (quoted(&self.directory.join("root")), quoted(&self.directory.join("state")));
        let address = quoted(&self.socket);
        // Kubernetes' interface is not used and slows the start; the snapshotters left out need set-ups of their own.
        // By default a removed container's files stay on disk until a hundred changes later.
        format!(
            "version = 2\nroot = {root}\nstate = {state}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\", \
             \"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.devmapper\", \
             \"io.containerd.snapshotter.v1.zfs\"]\n\n[grpc]\naddress = {address}\n\n\
             [plugins.\"io.containerd.gc.v1.scheduler\"]\ndeletion_threshold = 1\nschedule_delay = \"1s\"\n"
        )
    }

    fn spawn(&self, program: &Path) -> io::Result<tokio::process::Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let path = match std::env::var("PATH") {
            Ok(path) => format!("{path}:{SEARCH}"),
            Err(_) => SEARCH.to_owned(),
        };
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.config).env("PATH", path).current_dir("/");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let detach = || nix::unistd::setsid().map(drop).map_err(io::Error::from);
        // SAFETY: setsid is safe between fork and exec.
        unsafe { command.pre_exec(detach) };
        tokio::process::Command::from(command).spawn()
    }

    async fn ready(&self, watch: &AsyncFd<OwnedFd>) -> io::Result<()> {
        let mut events = [0; 4096];
        while !self.socket.exists() {
            let mut guard = watch.readable().await?;
            match nix::unistd::read(guard.get_inner(), &mut events) {
                Ok(_) | Err(nix::Error::EAGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        let mut pause = FIRST_PAUSE;
        while answers(&self.socket).await.is_err() {
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Ok(())
    }

    /// Of the process that we started, if it still is what it was.
    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let config = self.config.to_string_lossy();
        let is_ours = command.split(|byte| *byte == 0).any(|argument| argument == config.as_bytes());
        is_ours.then(|| Pid::from_raw(pid))
    }

    fn log_name(&self) -> String {
        self.log.display().to_string()
    }
}

/// Whether something listens; a file that a dead process left refuses.
async fn answers(socket: &Path) -> io::Result<()> {
    let connecting = UnixStream::connect(socket);
    tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(io::Error::from)?.map(drop)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(SEARCH.split(':')).filter(|directory| !directory.is_empty());
    directories.map(|directory| Path::new(directory).join(name)).find(|program| program.is_file())
}

/// Returns when the process has ended.
///
/// # Errors
/// When the kernel cannot tell.
pub async fn ended(pid: Pid) -> Result<()> {
    if let Some(process) = open_process(pid)? {
        // An error cannot come from a descriptor that stays open.
        let _ = process.readable().await;
    }
    Ok(())
}

/// Readable once the process has ended. `None` when it has already.
fn open_process(pid: Pid) -> Result<Option<AsyncFd<OwnedFd>>> {
    // SAFETY: the call takes two numbers and answers a new descriptor or -1.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(nix::libc::ESRCH) => Ok(None),
            _ => Err(failed("watching containerd", error)),
        };
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    watched(fd).map(Some).map_err(|error| failed("watching containerd", error))
}

fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, and always the same descriptor, until it is dropped.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let start = text.len().saturating_sub(2048);
    String::from_utf8_lossy(&text[start..]).into_owned()
}

fn no_answer(address: &Path, reason: io::Error) -> DaemonError {
    DaemonError::NoAnswer { address: address.display().to_string(), reason }
}

fn failed(what: &str, reason: io::Error) -> DaemonError {
    DaemonError::Io { what: what.to_owned(), reason }
}
