//! The engine's files: opening them, and telling whether they have room to grow.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::LogError;

const BLOCK_CACHE_BYTES: u64 = 8 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Enough for opening it, and for a good many lines more.
const ROOM_BYTES: usize = 4 << 20;
const ROOM_FILE: &str = "room";

/// The open key spaces. Dropped, it lets go of its files.
pub(super) struct Engine {
    pub database: Database,
    pub events: Keyspace,
    pub streams: Keyspace,
}

impl Engine {
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let database = Database::builder(directory)
            .cache_size(BLOCK_CACHE_BYTES)
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()
            .map_err(LogError::Open)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let events = database.keyspace("events", options).map_err(LogError::Open)?;
        let streams = database.keyspace("streams", options).map_err(LogError::Open)?;
        Ok(Self { database, events, streams })
    }
}

/// Whether an engine was opened in the directory before.
pub(super) fn has_files(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

/// Writes a file of [`ROOM_BYTES`] beside the engine's directory and removes it: quotas and limits count too, which
/// no figure of free space knows.
pub(super) fn find_room(directory: &Path) -> io::Result<()> {
    let path = directory.with_extension(ROOM_FILE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; ROOM_BYTES])?;
        file.sync_data()
    });
    // Also what was written of it before the disk was full.
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}
