//! The data directory: what is where, and who holds it.
//!
//! ```text
//! gantry.lock    held (flock) by the one process that runs on the directory
//! gantry.json    where that process listens; written when it is ready, removed when it ends
//! gantry.log     its output when it was started with --detach
//! edge/          the data path's sockets and its log
//! state.redb     the store    logs/  log events    agent/  the node    containerd/  a private containerd
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::failure::{Advice, Context, Failure};

pub const DEFAULT_DIRECTORY: &str = "/var/lib/gantry";

#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// What other commands need to know of a running gantry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: i32,
    pub address: SocketAddr,
    pub account_id: String,
    pub region: String,
    pub no_auth: bool,
    /// The containerd that it uses, and whether it is gantry's own. `None` with simulated nodes.
    pub containerd: Option<Containerd>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Containerd {
    pub socket: PathBuf,
    pub private: bool,
    /// Which gantry of this machine it is.
    pub instance: String,
    /// Network of bridge-mode containers, where it is not the usual one.
    #[serde(default)]
    pub bridge_range: Option<String>,
}

/// Held for as long as the process runs.
pub struct Lock(#[expect(dead_code, reason = "dropping it releases the directory")] Flock<File>);

impl Home {
    pub fn new(directory: &Path) -> Self {
        Self(std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()))
    }

    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// What a command that is shown to people needs to mean this directory, with a space before it.
    pub fn option(&self) -> String {
        match self.0 == Path::new(DEFAULT_DIRECTORY) {
            true => String::new(),
            false => format!(" --data-dir {}", self.0.display()),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the directory, for its owner only.
    pub fn create(&self) -> Result<(), Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .context(|| format!("the data directory {} could not be made", self.0.display()))
            .advice("Run as root, or choose another with --data-dir.")
    }

    /// `None` when another process holds the directory.
    pub fn lock(&self) -> Result<Option<Lock>, Failure> {
        let path = self.path("gantry.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .context(|| format!("{} could not be opened", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Lock(lock))),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).context(|| format!("{} could not be locked", path.display())),
        }
    }

    /// Blocks until no process holds the directory.
    pub fn wait_for_lock(&self) -> Result<(), Failure> {
        let path = self.path("gantry.lock");
        let file = File::open(&path).context(|| format!("{} could not be opened", path.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        lock.map(drop).map_err(|(_, error)| error).context(|| format!("{} could not be locked", path.display()))
    }

    /// Written whole or not at all.
    pub fn announce(&self, running: &Running) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(running).expect("plain data");
        let path = self.path("gantry.json");
        let new = self.path("gantry.json.new");
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            std::fs::rename(&new, &path)
        };
        write().context(|| format!("{} could not be written", path.display()))
    }

    pub fn withdraw(&self) {
        let _ = std::fs::remove_file(self.path("gantry.json"));
    }

    /// The gantry that runs on this directory, if one does.
    pub fn running(&self) -> Result<Option<Running>, Failure> {
        if !self.0.exists() || self.lock()?.is_some() {
            return Ok(None);
        }
        let path = self.path("gantry.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).context(|| format!("{} is damaged", path.display())),
            // It holds the lock and is still starting.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("{} could not be read", path.display())),
        }
    }

    /// As [`running`](Self::running), but none is the caller's error.
    pub fn require_running(&self) -> Result<Running, Failure> {
        self.running()?.ok_or_else(|| {
            Failure::new(format!("no gantry runs on {}", self.0.display()))
                .advise("Start one with `gantry up --detach`.")
        })
    }
}
