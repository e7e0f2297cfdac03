//! The embedded log: one redb file. One redb table per noun (key bytes → schema version and JSON) and one of facts
//! about the file itself. One redb transaction, with its fsync, per group.
//!
//! After any error the database is closed and opened again before the next commit, because redb does not go on after
//! an I/O error; it then finds its last whole transaction. What the system has cached of the file is dropped before:
//! after a failed fsync the cache may show pages as written that never reached the disk, and nothing may be built on
//! those.

use std::fs::{File, OpenOptions, Permissions, set_permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableHandle,
};

use super::{Group, Log, LogError, TakeRow};

/// The file's layout. A row's own schema has its own version.
pub const FORMAT: u64 = 1;

/// redb's own cache; rows are read once, at start, so it need not hold them.
const CACHE_BYTES: usize = 16 << 20;

/// Rows hold private keys and secrets of containers: nobody else reads the file.
const FILE_MODE: u32 = 0o600;

const FACTS: TableDefinition<&str, u64> = TableDefinition::new("gantry");
const FORMAT_FACT: &str = "format";
const REVISION_FACT: &str = "revision";

type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;
type Open = Box<dyn Fn() -> Result<Database, LogError> + Send>;

/// A log in one redb file.
pub struct RedbLog {
    open: Open,
    database: Option<Database>,
}

impl RedbLog {
    /// Opens or makes the file. Fails when another process has it open.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let path = path.to_owned();
        let opens = AtomicU32::new(0);
        Self::open_with(move || {
            if opens.fetch_add(1, Ordering::Relaxed) > 0 {
                drop_cached(&path)?;
            }
            keep_private(&path)?;
            let opened = Builder::new().set_cache_size(CACHE_BYTES).create(&path);
            opened.map_err(|error| database_error(error, &path))
        })
    }

    /// Opens through a function of the caller's, called again after each failure: for tests on faulty disks.
    pub fn open_with(open: impl Fn() -> Result<Database, LogError> + Send + 'static) -> Result<Self, LogError> {
        let database = open()?;
        prepare(&database)?;
        Ok(Self { open: Box::new(open), database: Some(database) })
    }

    fn database(&mut self) -> Result<&Database, LogError> {
        if self.database.is_none() {
            self.database = Some((self.open)()?);
        }
        Ok(self.database.as_ref().expect("just opened"))
    }
}

fn drop_cached(path: &Path) -> Result<(), LogError> {
    let file = File::open(path)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(|errno| LogError::Io(errno.into()))
}

/// Before anything is written to it; an older file may have been open to others.
fn keep_private(path: &Path) -> Result<(), LogError> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    Ok(set_permissions(path, Permissions::from_mode(FILE_MODE))?)
}

/// Marks a new file; refuses one of a newer layout.
fn prepare(database: &Database) -> Result<(), LogError> {
    let txn = database.begin_write().map_err(engine)?;
    {
        let mut facts = txn.open_table(FACTS).map_err(engine)?;
        let found = facts.get(FORMAT_FACT).map_err(storage)?.map(|format| format.value());
        match found {
            Some(FORMAT) => return Ok(()),
            Some(found) => return Err(LogError::Newer { what: "its file".to_owned(), found, known: FORMAT }),
            None => facts.insert(FORMAT_FACT, FORMAT).map_err(storage)?,
        };
    }
    txn.commit().map_err(engine)
}

impl Log for RedbLog {
    fn load(&mut self, row: &mut TakeRow) -> Result<u64, LogError> {
        let txn = self.database()?.begin_read().map_err(engine)?;
        for table in txn.list_tables().map_err(storage)? {
            if table.name() == FACTS.name() {
                continue;
            }
            let rows = txn.open_table(Rows::new(table.name())).map_err(engine)?;
            for entry in rows.iter().map_err(storage)? {
                let (key, value) = entry.map_err(storage)?;
                row(table.name(), key.value(), value.value())?;
            }
        }
        let facts = txn.open_table(FACTS).map_err(engine)?;
        let revision = facts.get(REVISION_FACT).map_err(storage)?;
        Ok(revision.map_or(0, |revision| revision.value()))
    }

    fn commit(&mut self, group: &Group) -> Result<(), LogError> {
        let committed = self.database().and_then(|database| write_group(database, group));
        if committed.is_err() {
            self.database = None;
        }
        committed
    }
}

fn write_group(database: &Database, group: &Group) -> Result<(), LogError> {
    let txn = database.begin_write().map_err(engine)?;
    let mut writes = group.writes.iter().peekable();
    while let Some(((name, _), _)) = writes.peek() {
        let name = *name;
        let mut table = txn.open_table(Rows::new(name)).map_err(engine)?;
        while let Some(((_, key), value)) = writes.next_if(|((table, _), _)| *table == name) {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice()).map_err(storage)?,
                None => table.remove(key.as_slice()).map_err(storage)?,
            };
        }
    }
    txn.open_table(FACTS).map_err(engine)?.insert(REVISION_FACT, group.revision).map_err(storage)?;
    txn.commit().map_err(engine)
}

fn database_error(error: DatabaseError, path: &Path) -> LogError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => LogError::InUse(PathBuf::from(path)),
        other => engine(other),
    }
}

fn storage(error: StorageError) -> LogError {
    engine(error)
}

fn engine(error: impl Into<redb::Error>) -> LogError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => LogError::DiskFull,
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => LogError::DiskFull,
        redb::Error::Io(error) => LogError::Io(error),
        other => LogError::Engine(other.to_string()),
    }
}
