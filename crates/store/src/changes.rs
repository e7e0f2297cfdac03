//! What a commit changed, and the stream of commits that wakes loops.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::row::Row;
use crate::tables::Changes;

/// One row's change. At least one side is there, and they differ.
pub struct RowChange<R> {
    pub before: Option<Arc<R>>,
    pub after: Option<Arc<R>>,
}

impl<R> RowChange<R> {
    /// The row as it is now, or as it last was.
    pub fn newest(&self) -> &Arc<R> {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has at least one side")
    }
}

pub type TableChanges<R> = BTreeMap<<R as Row>::Key, RowChange<R>>;

/// A durable transaction.
pub struct Commit {
    pub revision: u64,
    pub changes: Changes,
}

/// How many groups of commits a subscriber may be behind before it has lost some. In groups, because those of one
/// become durable, and are told, at once: a busy moment must not be told as a loss.
pub const GROUPS_KEPT: usize = 1024;

/// The commits that became durable together, in their order.
pub(crate) type Group = Arc<[Arc<Commit>]>;

/// The durable commits, in order, from the moment of subscribing.
pub struct CommitStream {
    receiver: broadcast::Receiver<Group>,
    group: Group,
    /// How many of the group were handed out.
    taken: usize,
}

/// The next thing on a [`CommitStream`].
pub enum Next {
    Commit(Arc<Commit>),
    /// Commits were lost because this reader was slow: read everything again from [`Store::view`](crate::Store::view).
    Lagged,
    /// The store is closed.
    Closed,
}

impl CommitStream {
    pub(crate) fn new(receiver: broadcast::Receiver<Group>) -> Self {
        Self { receiver, group: Group::default(), taken: 0 }
    }

    /// Waits for the next commit. Losing the future loses nothing.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(commit) = self.group.get(self.taken) {
                self.taken += 1;
                return Next::Commit(commit.clone());
            }
            match self.receiver.recv().await {
                Ok(group) => (self.group, self.taken) = (group, 0),
                Err(RecvError::Lagged(_)) => return Next::Lagged,
                Err(RecvError::Closed) => return Next::Closed,
            }
        }
    }
}
