//! One typed table: a persistent ordered map from key to row and the table's own index. A clone shares everything.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use crate::row::Row;

/// What a table keeps beside its rows so that a read needs no scan. Holds exactly what the rows say.
pub trait Index<R>: Clone + Default + Send + Sync {
    /// One row goes from `before` to `after`; both have the same key.
    fn replace(&mut self, before: Option<&R>, after: Option<&R>);
}

impl<R> Index<R> for () {
    fn replace(&mut self, _: Option<&R>, _: Option<&R>) {}
}

/// A row as a table has it. Two are the same when they are one, whatever they say: no equal row is ever put in another's
/// place, and states are compared without reading their rows.
struct Kept<R>(Arc<R>);

impl<R> Clone for Kept<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> PartialEq for Kept<R> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Rows of one kind by key, in key order.
pub struct Table<R: Row> {
    rows: OrdMap<R::Key, Kept<R>>,
    index: R::Index,
}

impl<R: Row> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), index: self.index.clone() }
    }
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), index: R::Index::default() }
    }
}

impl<R: Row> Table<R> {
    pub fn get(&self, key: &R::Key) -> Option<&Arc<R>> {
        self.rows.get(key).map(|row| &row.0)
    }

    pub fn contains(&self, key: &R::Key) -> bool {
        self.rows.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.rows.values().map(|row| &row.0)
    }

    /// The rows of a range of keys in key order.
    pub fn range(&self, keys: impl RangeBounds<R::Key>) -> impl Iterator<Item = &Arc<R>> {
        self.rows.range(keys).map(|(_, row)| &row.0)
    }

    /// What differs between an older state of this table and this one: the row before and the row now. Costs about as
    /// much as there are changes, whatever the size of the table.
    pub fn changes_since<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<R>>, Option<&'a Arc<R>>)> {
        older.rows.diff(&self.rows).map(|item| match item {
            DiffItem::Add(_, row) => (None, Some(&row.0)),
            DiffItem::Remove(_, row) => (Some(&row.0), None),
            DiffItem::Update { old: (_, old), new: (_, new) } => (Some(&old.0), Some(&new.0)),
        })
    }

    /// Whether no row has changed between the two, as far as can be told at once: true is certain, false is not.
    pub fn is_same(&self, other: &Self) -> bool {
        self.rows.ptr_eq(&other.rows)
    }

    pub(crate) fn index(&self) -> &R::Index {
        &self.index
    }

    pub(crate) fn put(&mut self, row: Arc<R>) -> Option<Arc<R>> {
        let before = self.rows.insert(row.key(), Kept(row.clone())).map(|row| row.0);
        self.index.replace(before.as_deref(), Some(&row));
        before
    }

    pub(crate) fn remove(&mut self, key: &R::Key) -> Option<Arc<R>> {
        let before = self.rows.remove(key)?.0;
        self.index.replace(Some(&before), None);
        Some(before)
    }
}

/// Keys by group, for "all tasks of this cluster". Empty groups are not kept.
#[derive(Clone)]
pub(crate) struct Groups<G: Ord + Clone, K: Ord + Clone> {
    sets: OrdMap<G, OrdSet<K>>,
}

impl<G: Ord + Clone, K: Ord + Clone> Default for Groups<G, K> {
    fn default() -> Self {
        Self { sets: OrdMap::new() }
    }
}

impl<G: Ord + Clone, K: Ord + Clone> Groups<G, K> {
    pub fn replace(&mut self, before: Option<(G, K)>, after: Option<(G, K)>) {
        if before == after {
            return;
        }
        if let Some((group, key)) = before {
            self.remove(&group, &key);
        }
        if let Some((group, key)) = after {
            self.sets.entry(group).or_default().insert(key);
        }
    }

    fn remove(&mut self, group: &G, key: &K) {
        let Some(set) = self.sets.get_mut(group) else { return };
        set.remove(key);
        if set.is_empty() {
            self.sets.remove(group);
        }
    }

    pub fn of<'a>(&'a self, group: &G) -> impl Iterator<Item = &'a K> + use<'a, G, K> {
        self.sets.get(group).into_iter().flat_map(|set| set.iter())
    }

    /// The group's keys from the first one after `after`.
    pub fn after<'a>(&'a self, group: &G, after: Option<K>) -> impl Iterator<Item = &'a K> + use<'a, G, K> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sets.get(group).into_iter().flat_map(move |set| set.range((from.clone(), Bound::Unbounded)))
    }

    pub fn count(&self, group: &G) -> usize {
        self.sets.get(group).map_or(0, OrdSet::len)
    }
}

/// Moves one entry of a flat ordered set.
pub(crate) fn replace_in<T: Ord + Clone>(set: &mut OrdSet<T>, before: Option<T>, after: Option<T>) {
    if before == after {
        return;
    }
    if let Some(old) = before {
        set.remove(&old);
    }
    if let Some(new) = after {
        set.insert(new);
    }
}
