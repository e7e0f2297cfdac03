//! The store's handle: serial writes, durable views, the commit stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, broadcast, oneshot, watch};

use crate::changes::{Commit, CommitStream, GROUPS_KEPT, Group};
use crate::committer;
use crate::log::{Log, LogError, Pace};
use crate::tables::{Changes, Tables};
use crate::txn::Txn;

/// How many writers may wait for their commit to become durable; a further one waits before its closure runs.
pub const WAITING_COMMITS_MAX: usize = 1024;

/// Why a write was not made. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure said no.
    #[error("{0}")]
    Refused(E),
    /// The change, or one that it was built on, could not be made durable.
    #[error("{0}")]
    Log(Arc<LogError>),
}

/// All state, with its log. Must be opened on a tokio runtime; dropping the last handle, or [`close`](Self::close),
/// ends its committer.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    /// Becomes true when the committer has ended and the log is closed.
    ended: watch::Receiver<bool>,
}

pub(crate) struct Shared {
    head: Mutex<Head>,
    view: ArcSwap<Tables>,
    room: Semaphore,
    pub(crate) wake: Notify,
    pub(crate) commits: broadcast::Sender<Group>,
}

/// The newest state, durable or not, and the commits on the way there from the view.
struct Head {
    tables: Tables,
    waiting: Vec<Waiting>,
    closed: bool,
}

/// A commit that is not yet durable.
pub(crate) struct Waiting {
    pub commit: Arc<Commit>,
    pub done: oneshot::Sender<Result<(), Arc<LogError>>>,
}

impl Store {
    /// Loads everything that the log has and starts the committer on the current runtime.
    pub async fn open(mut log: impl Log) -> Result<Arc<Self>, LogError> {
        let (log, tables) = match log.pace() {
            Pace::Blocking => {
                let loading = tokio::task::spawn_blocking(move || load(log));
                loading.await.map_err(|error| LogError::Engine(error.to_string()))??
            }
            Pace::Simulated { .. } => load(log)?,
        };
        let shared = Arc::new(Shared {
            view: ArcSwap::from_pointee(tables.clone()),
            head: Mutex::new(Head { tables, waiting: Vec::new(), closed: false }),
            room: Semaphore::new(WAITING_COMMITS_MAX),
            wake: Notify::new(),
            commits: broadcast::Sender::new(GROUPS_KEPT),
        });
        let (end, ended) = watch::channel(false);
        tokio::spawn(committer::run(shared.clone(), Box::new(log), end));
        Ok(Arc::new(Self { shared, ended }))
    }

    /// The newest durable state.
    pub fn view(&self) -> Arc<Tables> {
        self.shared.view.load_full()
    }

    /// Runs `change` alone on the newest state and answers once it is durable, with the revision that has it. An error
    /// or a panic of the closure leaves nothing behind. When the returned future is dropped, a change whose closure has
    /// run is made all the same.
    ///
    /// # Errors
    /// [`WriteError::Refused`] with the closure's own error, at once; [`WriteError::Log`] when the log failed.
    pub async fn write<T, E>(&self, change: impl FnOnce(&mut Txn) -> Result<T, E>) -> Result<(T, u64), WriteError<E>> {
        let _room = self.shared.room.acquire().await.expect("never closed");
        let (answer, revision, done) = self.shared.apply(change)?;
        match done.await {
            Ok(Ok(())) => Ok((answer, revision)),
            Ok(Err(error)) => Err(WriteError::Log(error)),
            Err(_) => Err(WriteError::Log(Arc::new(LogError::Closed))),
        }
    }

    /// Every durable commit from now on. Subscribe first, then read the view: nothing falls between.
    pub fn subscribe(&self) -> CommitStream {
        CommitStream::new(self.shared.commits.subscribe())
    }

    /// Refuses further writes, makes the waiting ones durable, closes the log and returns once its file is free.
    pub async fn close(&self) {
        self.shared.close();
        let mut ended = self.ended.clone();
        // An error means that the committer is gone, which is what is waited for.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn load<L: Log>(mut log: L) -> Result<(L, Tables), LogError> {
    let mut tables = Tables::default();
    tables.revision = log.load(&mut |table, key, value| tables.load(table, key, value))?;
    Ok((log, tables))
}

/// A transaction on the newest tables themselves, not on a copy: what it changes for the first time since they were
/// last read is copied, and no more. Dropped, it leaves the tables as they were.
struct Draft<'a> {
    tables: &'a mut Tables,
    txn: Txn,
}

impl<'a> Draft<'a> {
    fn on(tables: &'a mut Tables) -> Self {
        let txn = Txn::over(std::mem::take(tables));
        Self { tables, txn }
    }

    fn keep(mut self) -> Changes {
        self.txn.take_changes()
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.txn.undo();
        *self.tables = self.txn.take_tables();
    }
}

type Done = oneshot::Receiver<Result<(), Arc<LogError>>>;

impl Shared {
    fn head(&self) -> MutexGuard<'_, Head> {
        // A panicking closure poisons the lock and changes nothing: its draft is undone.
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply<T, E>(&self, change: impl FnOnce(&mut Txn) -> Result<T, E>) -> Result<(T, u64, Done), WriteError<E>> {
        let mut head = self.head();
        if head.closed {
            return Err(WriteError::Log(Arc::new(LogError::Closed)));
        }
        let mut draft = Draft::on(&mut head.tables);
        let answer = change(&mut draft.txn).map_err(WriteError::Refused)?;
        let changes = draft.keep();
        if !changes.is_empty() {
            head.tables.revision += 1;
        }
        let revision = head.tables.revision;
        let (done, receiver) = oneshot::channel();
        if changes.is_empty() && head.waiting.is_empty() && revision == self.view.load().revision() {
            // It read only what is durable.
            let _ = done.send(Ok(()));
            return Ok((answer, revision, receiver));
        }
        head.waiting.push(Waiting { commit: Arc::new(Commit { revision, changes }), done });
        drop(head);
        self.wake.notify_one();
        Ok((answer, revision, receiver))
    }

    /// Everything that waits, with the state that it comes to; `None` when the store is closed and nothing does.
    pub(crate) fn take_waiting(&self) -> Option<(Vec<Waiting>, Tables)> {
        let mut head = self.head();
        if head.closed && head.waiting.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut head.waiting), head.tables.clone()))
    }

    pub(crate) fn publish(&self, tables: Tables) {
        self.view.store(Arc::new(tables));
    }

    /// Goes back to the durable state. Answers what was built on the state that is gone.
    pub(crate) fn roll_back(&self) -> Vec<Waiting> {
        let mut head = self.head();
        head.tables = Tables::clone(&self.view.load());
        std::mem::take(&mut head.waiting)
    }

    /// Refuses everything from now on.
    pub(crate) fn abandon(&self) {
        let mut head = self.head();
        head.closed = true;
        head.waiting.clear();
    }

    fn close(&self) {
        self.head().closed = true;
        self.wake.notify_one();
    }
}
