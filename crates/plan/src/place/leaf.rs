//! The nodes of one leaf of a queue, in order of preference, and what a queue knows of each.
//!
//! Most changes of a node are other groups' tasks, which leave it less to offer. Where that is a reason to prefer it
//! (binpack) it moves towards the front, mostly to somewhere in the middle where nobody looks. So it waits beside the
//! order ([`Leaf::moved`]) until its turn could come, and is put in its place only then.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use super::STRATEGIES_MAX;
use super::pool::Slot;

/// One number per strategy; smaller is better.
pub(super) type Key = [u32; STRATEGIES_MAX];
/// Values of the spread attributes, in the order of the strategies.
pub(super) type Path = Arc<[Option<String>]>;
/// A key, and a place on the ring of equals.
pub(super) type Rank = (Key, u64);
/// An index into a queue's leaves.
pub(super) type LeafId = u32;

/// How a node was counted and listed last.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// On the ring of equals. Moves with every task of the group, so that no node stands behind a wide gap for long.
    pub(super) point: u64,
    pub(super) leaf: LeafId,
    pub(super) tasks: u32,
    /// Means something only when the node takes a task.
    pub(super) key: Key,
    /// Under which it stands in its leaf when it takes a task: its key, or a worse one while it waits among the moved.
    pub(super) listed: Key,
    pub(super) takes: bool,
    /// Nothing but want of room can keep a task away.
    pub(super) admitted: bool,
}

impl Entry {
    fn waits_at(&self, key: Key) -> bool {
        self.takes && self.key == key && self.listed != key
    }
}

pub(super) struct Leaf {
    pub(super) path: Path,
    /// Of the path.
    pub(super) digest: u64,
    /// Nodes that have this path, whether they take a task or not.
    pub(super) members: u32,
    /// Each under the key that its entry calls `listed`.
    nodes: BTreeSet<(Rank, Slot)>,
    /// Nodes that are better than listed. What no longer agrees with its entry means nothing.
    moved: BinaryHeap<Reverse<(Key, Slot)>>,
    /// As it stands in the order; `None` while no node of it takes a task.
    pub(super) rank: Option<Rank>,
}

impl Leaf {
    pub(super) fn new(path: Path, digest: u64) -> Self {
        Self { path, digest, members: 0, nodes: BTreeSet::new(), moved: BinaryHeap::new(), rank: None }
    }

    pub(super) fn best(&self) -> Option<Key> {
        self.nodes.first().map(|((key, _), _)| *key)
    }

    /// The first of the best at or after this point of their ring. For a leaf that is settled.
    pub(super) fn choose(&self, point: u64) -> Option<Slot> {
        let best = self.best()?;
        let after = self.nodes.range(((best, point), 0)..).next().filter(|((key, _), _)| *key == best);
        after.or(self.nodes.first()).map(|(_, slot)| *slot)
    }

    pub(super) fn list(&mut self, slot: Slot, entry: &Entry) {
        if entry.takes {
            self.nodes.insert(((entry.listed, entry.point), slot));
        }
    }

    pub(super) fn unlist(&mut self, slot: Slot, entry: &Entry) {
        if entry.takes {
            self.nodes.remove(&((entry.listed, entry.point), slot));
        }
    }

    /// For a node whose key is better than the one it is listed under. Answers whether it may be the best now.
    pub(super) fn wait(&mut self, slot: Slot, key: Key, entries: &[Option<Entry>]) -> bool {
        if self.moved.len() > 2 * self.nodes.len() {
            self.tidy(entries);
        }
        self.moved.push(Reverse((key, slot)));
        self.best().is_none_or(|best| key <= best)
    }

    /// Lists the moved nodes that are as good as the first, so that the first and its equals are all there.
    pub(super) fn settle(&mut self, entries: &mut [Option<Entry>]) {
        while let Some(Reverse((key, slot))) = self.moved.peek().copied()
            && self.best().is_none_or(|best| key <= best)
        {
            self.moved.pop();
            let Some(entry) = entries[slot as usize].as_mut().filter(|entry| entry.waits_at(key)) else { continue };
            self.unlist(slot, entry);
            entry.listed = key;
            self.list(slot, entry);
        }
    }

    /// Forgets what means nothing any more, so that no more wait than there are nodes.
    fn tidy(&mut self, entries: &[Option<Entry>]) {
        let mut waiting = std::mem::take(&mut self.moved).into_vec();
        waiting
            .retain(|Reverse((key, slot))| entries[*slot as usize].as_ref().is_some_and(|entry| entry.waits_at(*key)));
        waiting.sort_unstable();
        waiting.dedup();
        self.moved = waiting.into();
    }
}
