//! The files of one container's output: what its shim appends, and what is known of it.
//!
//! ```text
//! <key>.log       both output streams, appended by the container's shim; shipped parts are punched out
//! <key>.json      where it goes, and when the container ended
//! <key>.progress  how far it was shipped
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::option::Options;
use super::progress::Progress;

/// Space is given back in whole blocks of this size, and when at least so much is at stake.
const PUNCH_BYTES: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub options: Options,
    /// When the container ended, as far as the agent was told.
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    key: String,
    log: File,
    /// All before it has been given back.
    punched: u64,
}

pub fn log_path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.log"))
}

fn record_path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.json"))
}

fn progress_path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.progress"))
}

/// The containers that have output here.
pub fn keys(directory: &Path) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        keys.extend(name.to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
    }
    Ok(keys)
}

pub fn read_record(directory: &Path, key: &str) -> io::Result<Record> {
    Ok(serde_json::from_slice(&fs::read(record_path(directory, key))?)?)
}

pub fn write_record(directory: &Path, key: &str, record: &Record) -> io::Result<()> {
    replace(&record_path(directory, key), &serde_json::to_vec(record)?)
}

/// Removes everything; the record last, so that what is left is found again.
pub fn remove(directory: &Path, key: &str) -> io::Result<()> {
    for path in [log_path(directory, key), progress_path(directory, key), record_path(directory, key)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl Spool {
    /// Makes the log file when it is missing.
    pub fn open(directory: &Path, key: &str) -> io::Result<(Self, Progress)> {
        let log = log_path(directory, key);
        let log = OpenOptions::new().read(true).append(true).create(true).open(log)?;
        let progress = match fs::read(progress_path(directory, key)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Progress::default(),
            Err(error) => return Err(error),
        };
        Ok((Self { directory: directory.to_owned(), key: key.to_owned(), log, punched: 0 }, progress))
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn length(&self) -> io::Result<u64> {
        Ok(self.log.metadata()?.len())
    }

    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.log.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Keeps the progress and gives back the space of what is done or given up. In this order: what was punched out
    /// must never be read as output.
    pub fn save(&mut self, progress: &Progress) -> io::Result<()> {
        replace(&progress_path(&self.directory, &self.key), &serde_json::to_vec(progress)?)?;
        let end = progress.done / PUNCH_BYTES * PUNCH_BYTES;
        if end > self.punched {
            self.punch(self.punched, end)?;
            self.punched = end;
        }
        if let Some(gap) = progress.gap {
            let (from, to) = (gap.from.next_multiple_of(PUNCH_BYTES), gap.to / PUNCH_BYTES * PUNCH_BYTES);
            self.punch(from, to)?;
        }
        Ok(())
    }

    fn punch(&self, from: u64, to: u64) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.log, how, from as i64, (to - from) as i64) {
            // The file system cannot: the file keeps its size until the container is gone.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn remove(self) -> io::Result<()> {
        remove(&self.directory, &self.key)
    }
}

/// Whole or not at all, as a crash of the agent goes.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(fresh, path)
}
