//! What the metadata endpoint sees of the tasks: a copy of what is known, renewed with each change.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use model::TaskId;

use crate::metadata::View;

#[derive(Default)]
pub struct Views {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    tasks: HashMap<TaskId, View>,
    /// By the id of each of its containers, which is all that a container knows of itself.
    owners: HashMap<String, TaskId>,
}

impl Views {
    pub fn put(&self, view: View) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let task = view.spec.id;
        if !inner.tasks.contains_key(&task) {
            inner.owners.extend(view.spec.containers.iter().map(|container| (container.id.clone(), task)));
        }
        inner.tasks.insert(task, view);
    }

    pub fn remove(&self, task: TaskId) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.tasks.remove(&task).is_some() {
            inner.owners.retain(|_, owner| *owner != task);
        }
    }

    pub fn find(&self, container: &str) -> Option<View> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.tasks.get(inner.owners.get(container)?).cloned()
    }
}
