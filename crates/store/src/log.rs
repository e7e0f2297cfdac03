//! Durability behind one seam: [`Log`] loads all rows once and then takes groups of writes.

pub mod memory;
pub mod redb;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The rows to write, by table and key: bytes to put, or `None` to remove.
pub type Writes = BTreeMap<(&'static str, Vec<u8>), Option<Vec<u8>>>;

/// All that one durable write carries: whole commits, and the undoing of what failed before.
pub struct Group {
    /// Of the last commit in the group.
    pub revision: u64,
    pub writes: Writes,
}

/// Takes one row (table, key, value) while loading.
pub type TakeRow<'a> = dyn FnMut(&str, &[u8], &[u8]) -> Result<(), LogError> + 'a;

/// How a log wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It waits for a disk: on a thread that may block.
    Blocking,
    /// It answers at once, and the disk that it stands for takes its time on the runtime's clock: so long until the
    /// group is durable, so long again until that is known.
    Simulated { until_durable: Duration, until_answered: Duration },
}

/// Where commits become durable. One call at a time; on an async worker only if its [`Pace`] says so.
pub trait Log: Send + 'static {
    /// Asked before each commit.
    fn pace(&mut self) -> Pace {
        Pace::Blocking
    }

    /// Hands over every row and answers the revision of the last commit. Called once, before any commit.
    fn load(&mut self, row: &mut TakeRow) -> Result<u64, LogError>;

    /// Makes a group durable, whole or not at all, before it answers `Ok`. After an error the group may or may not be
    /// there; a later call must work again when the cause is gone, and its writes undo the failed group.
    fn commit(&mut self, group: &Group) -> Result<(), LogError>;
}

/// Why the log cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the store {0} is in use by another gantry process; stop that one first (gantry down)")]
    InUse(PathBuf),
    #[error(
        "the store has {what} in version {found}, this gantry knows versions up to {known}: a newer gantry wrote it"
    )]
    Newer { what: String, found: u64, known: u64 },
    #[error("the store has a table {0} that this gantry does not know: a newer gantry wrote it")]
    UnknownTable(String),
    #[error("the store's table {table} is damaged: {reason}")]
    Corrupt { table: String, reason: String },
    #[error("the disk is full: the change was not made")]
    DiskFull,
    #[error("the store cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("the store's engine failed: {0}")]
    Engine(String),
    #[error("the store is closed")]
    Closed,
}
