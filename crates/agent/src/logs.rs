//! Container output on its way to CloudWatch Logs. Each container's shim appends to a file; the file is followed,
//! cut into events, shipped to the control plane in batches, and punched out behind what was stored.
//!
//! ```text
//! container ─→ shim ─→ <key>.log ─→ tail ─→ Shipment ─→ the link's session ─→ PutLogEvents
//!                        spool                 ←─ Verdict ─┘
//! ```
//! What it does not do: write into the link (the session takes [`Shipment`]s), read logs back, keep them.
//!
//! Invariants
//! - A task is never blocked by its logs: what cannot be shipped waits in the file up to a bound; beyond it the
//!   oldest lines are given up, counted, and the count is told in their place.
//! - The file says how far it was shipped: an agent that is killed loses nothing, and repeats at most the one batch
//!   of each stream that was not answered.
//! - Files go when the container has ended and all is shipped, or a day later.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Timestamp;
use model::link::LogBatch;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::clock::Clock;

mod assembly;
mod datetime;
mod line;
mod mark;
mod option;
mod progress;
mod spool;
mod tail;
mod watch_file;

pub use option::{Error as OptionError, Options};

/// How long [`Logs::check`] waits for the control plane's word.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// As long as a runtime's container id.
const KEY_LENGTH_MAX: usize = 76;

/// One batch for the control plane. The session numbers it (`batch.batch`) and answers; when it drops `answer`, as
/// when the link breaks, the batch comes again.
#[derive(Debug)]
pub struct Shipment {
    pub batch: LogBatch,
    pub answer: oneshot::Sender<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored durably.
    Taken,
    /// It can never be stored, and why.
    Refused(String),
}

#[derive(Debug, thiserror::Error)]
#[error("failed to create Cloudwatch log stream: {0}")]
pub struct Refusal(pub String);

pub struct Logs {
    directory: PathBuf,
    sink: mpsc::Sender<Shipment>,
    clock: Clock,
    watch: watch_file::Watch,
    followed: Mutex<HashMap<String, Followed>>,
}

struct Followed {
    finished: watch::Sender<Option<Timestamp>>,
    tail: AbortHandle,
}

impl Logs {
    /// Follows again what an earlier agent followed. Those whose container has ended meanwhile are to be
    /// [`finish`](Self::finish)ed by the caller: see [`keys`](Self::keys).
    pub fn open(directory: PathBuf, sink: mpsc::Sender<Shipment>, clock: Clock) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let watch = watch_file::Watch::start()?;
        let logs = Self { directory, sink, clock, watch, followed: Mutex::default() };
        for key in spool::keys(&logs.directory)? {
            let resumed = spool::read_record(&logs.directory, &key).and_then(|record| logs.start(&key, record));
            if let Err(error) = resumed {
                tracing::error!(container = key, %error, "cannot follow the container's output again");
            }
        }
        Ok(logs)
    }

    /// The file that the container's shim is to append to. `key` is the runtime's id of the container.
    pub fn file(&self, key: &str) -> PathBuf {
        spool::log_path(&self.directory, key)
    }

    /// Asks the control plane whether the lines will have a place, making it where the options say so. No answer is
    /// no refusal: the lines can wait.
    ///
    /// # Errors
    /// When the log group does not exist and is not to be made.
    pub async fn check(&self, options: &Options) -> Result<(), Refusal> {
        let (answer, verdict) = oneshot::channel();
        let batch = LogBatch {
            batch: 0,
            scope: options.scope.clone(),
            group: options.group.clone(),
            stream: options.stream.clone(),
            create_group: options.create_group,
            events: Vec::new(),
        };
        let ask = async {
            self.sink.send(Shipment { batch, answer }).await.ok()?;
            verdict.await.ok()
        };
        match timeout(CHECK_LIMIT, ask).await {
            Ok(Some(Verdict::Refused(reason))) => Err(Refusal(reason)),
            _ => Ok(()),
        }
    }

    /// Makes the container's file and follows it from now on, before the container is made. Once is enough; again is
    /// no error.
    pub fn follow(&self, key: &str, options: &Options) -> io::Result<()> {
        assert!(is_key(key), "a container's id names its files");
        if self.followed().contains_key(key) {
            return Ok(());
        }
        let record = spool::Record { options: options.clone(), finished_at: None };
        spool::write_record(&self.directory, key, &record)?;
        self.start(key, record)
    }

    /// The container has ended and its shim is gone: ships what is left, in the background, and removes its files.
    /// No error when it is not followed.
    pub fn finish(&self, key: &str) {
        let now = self.clock.now();
        let followed = self.followed();
        let Some(tail) = followed.get(key).filter(|tail| tail.finished.borrow().is_none()) else { return };
        let finished = spool::read_record(&self.directory, key)
            .map(|record| spool::Record { finished_at: Some(now), ..record })
            .and_then(|record| spool::write_record(&self.directory, key, &record));
        if let Err(error) = finished {
            // A later agent is told of the end again.
            tracing::warn!(container = key, %error, "cannot keep that the container has ended");
        }
        tail.finished.send_replace(Some(now));
    }

    /// Returns when nothing of a finished container waits any more: its lines are shipped or given up. At once when
    /// it is not followed.
    pub async fn shipped(&self, key: &str) {
        let finished = self.followed().get(key).map(|followed| followed.finished.clone());
        if let Some(finished) = finished {
            finished.closed().await;
        }
    }

    /// The containers that are followed and not finished, for comparison with those that there are.
    pub fn keys(&self) -> Vec<String> {
        let followed = self.followed();
        let open = followed.iter().filter(|(_, tail)| tail.finished.borrow().is_none());
        open.map(|(key, _)| key.clone()).collect()
    }

    fn start(&self, key: &str, record: spool::Record) -> io::Result<()> {
        let (finished, is_finished) = watch::channel(record.finished_at);
        let grown = Arc::new(Notify::new());
        let context =
            tail::Context { sink: self.sink.clone(), clock: self.clock, grown: grown.clone(), finished: is_finished };
        let tail = tail::Tail::open(&self.directory, key, record, context)?;
        self.watch.add(&self.file(key), grown)?;
        let mut followed = self.followed();
        followed.retain(|_, tail| !tail.tail.is_finished());
        let tail = tokio::spawn(tail.run()).abort_handle();
        followed.insert(key.to_owned(), Followed { finished, tail });
        Ok(())
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.followed().values().for_each(|followed| followed.tail.abort());
    }
}

fn is_key(key: &str) -> bool {
    let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && !key.is_empty() && key.len() <= KEY_LENGTH_MAX
}
