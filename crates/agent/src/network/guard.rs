//! Keeps the kernel's firewall as the [`Wall`] has it. Changes that come at the same time go together, as one batch.
//!
//! What is told last is kept on the disk ([`keep`]) before any guard is told, so that the next agent begins with nothing
//! older.

use std::io;
use std::path::Path;

use model::firewall::Firewall;
use tokio::sync::{mpsc, oneshot};

use super::firewall::Nft;
use super::wall::{Change, Wall};
use super::{Error, Result, kernel};

/// Changes that wait.
const WAITING_MAX: usize = 1024;
/// Changes that go together.
const BATCH_MAX: usize = 256;
const FILE: &str = "firewall.json";

type Waiting = (Change, oneshot::Sender<Result<()>>);

/// Ends when it is dropped; the rules stay.
#[derive(Debug)]
pub struct Guard {
    changes: mpsc::Sender<Waiting>,
}

impl Guard {
    /// Of the firewall that the wall says, which the kernel has.
    pub fn start(wall: Wall, nft: Nft) -> Self {
        let (changes, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(run(wall, nft, waiting));
        Self { changes }
    }

    /// Returns once the change holds.
    pub async fn change(&self, change: Change) -> Result<()> {
        let (done, is_done) = oneshot::channel();
        self.changes.send((change, done)).await.map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::Nft("the firewall's loop has ended".to_owned())
}

async fn run(mut wall: Wall, nft: Nft, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut changed = wall.clone();
        let (changes, callers): (Vec<Change>, Vec<_>) = batch.drain(..).unzip();
        let applied = apply(&mut changed, changes, &nft).await;
        if applied.is_ok() {
            wall = changed;
        }
        for caller in callers {
            // It may have given up waiting.
            let _ = caller.send(applied.clone().map_err(Error::Nft));
        }
    }
}

async fn apply(wall: &mut Wall, changes: Vec<Change>, nft: &Nft) -> std::result::Result<(), String> {
    let script: String = changes.into_iter().map(|change| wall.change(change)).collect();
    if script.is_empty() {
        return Ok(());
    }
    nft.apply(&script).await.map_err(|error| match error {
        Error::Nft(text) => text,
        other => other.to_string(),
    })
}

pub fn keep(directory: &Path, firewall: &Firewall) -> io::Result<()> {
    let (file, new) = (directory.join(FILE), directory.join("firewall.new"));
    std::fs::write(&new, serde_json::to_vec(firewall)?)?;
    std::fs::rename(new, file)
}

/// What an earlier agent was told last; nothing when none was, or it cannot be read.
pub fn kept(directory: &Path) -> Firewall {
    let file = directory.join(FILE);
    let read = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Firewall::default()),
        Err(error) => Err(error.to_string()),
    };
    read.unwrap_or_else(|error| {
        tracing::warn!(file = %file.display(), error, "the firewall is shut until the control plane tells its rules");
        Firewall::default()
    })
}

pub fn forget(directory: &Path) -> Result<()> {
    match std::fs::remove_file(directory.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(kernel("remove the firewall's file")(error)),
        _ => Ok(()),
    }
}
