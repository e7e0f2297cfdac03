//! One transaction: the newest tables with this transaction's own changes on top.

use std::ops::Deref;
use std::sync::Arc;

use crate::tables::{self, Changes, Stored, Tables};

/// Reads through [`Tables`], which shows the transaction's own writes. Dropped without a commit, it leaves no trace.
pub struct Txn {
    tables: Tables,
    changes: Changes,
}

impl Deref for Txn {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl Txn {
    /// A transaction on a snapshot. Outside of [`Store::write`](crate::Store::write) its changes go nowhere.
    pub fn on(tables: &Tables) -> Self {
        Self::over(tables.clone())
    }

    pub(crate) fn over(tables: Tables) -> Self {
        Self { tables, changes: Changes::default() }
    }

    /// What was changed so far; a row that is as it was before is not among them.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    pub fn get<R: Stored>(&self, key: &R::Key) -> Option<&Arc<R>> {
        R::table(&self.tables).get(key)
    }

    /// Inserts or replaces a row. One that is equal to the present one is no change.
    pub fn put<R: Stored>(&mut self, row: R) {
        let key = row.key();
        if self.get::<R>(&key).is_some_and(|present| **present == row) {
            return;
        }
        let row = Arc::new(row);
        let before = R::table_mut(&mut self.tables).put(row.clone());
        tables::record(R::changes_mut(&mut self.changes), key, before, Some(row));
    }

    /// Removes a row and answers it.
    pub fn remove<R: Stored>(&mut self, key: &R::Key) -> Option<Arc<R>> {
        let before = R::table_mut(&mut self.tables).remove(key)?;
        tables::record(R::changes_mut(&mut self.changes), key.clone(), Some(before.clone()), None);
        Some(before)
    }

    /// Changes a copy of a row and puts it back; `None` when there is no such row. The key must stay.
    pub fn update<R: Stored, T>(&mut self, key: &R::Key, change: impl FnOnce(&mut R) -> T) -> Option<T> {
        let mut row = R::clone(self.get(key)?);
        let answer = change(&mut row);
        assert!(row.key() == *key, "an update must not change a row's key");
        self.put(row);
        Some(answer)
    }

    /// Puts every row back as it was.
    pub(crate) fn undo(&mut self) {
        self.take_changes().undo(&mut self.tables);
    }

    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn take_tables(&mut self) -> Tables {
        std::mem::take(&mut self.tables)
    }
}
