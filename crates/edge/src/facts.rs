//! Facts on targets on their way to the control plane. Only the newest of each target is kept, so that there are never
//! more than targets, however long nobody asks; and it is kept when it is told, for whoever begins to ask later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::edge::TargetHealth;
use tokio::sync::Notify;

/// Target group's ARN and address.
pub type TargetName = (String, SocketAddr);

#[derive(Debug, Default)]
pub struct Facts {
    known: Mutex<Known>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Known {
    newest: BTreeMap<TargetName, TargetHealth>,
    untold: BTreeSet<TargetName>,
}

impl Facts {
    pub fn tell(&self, health: TargetHealth) {
        let name = (health.target_group.clone(), health.address);
        let mut known = self.lock();
        known.untold.insert(name.clone());
        known.newest.insert(name, health);
        drop(known);
        self.told.notify_one();
    }

    /// What has changed since the last call; waits until something has. For one caller at a time.
    pub async fn next(&self) -> Vec<TargetHealth> {
        loop {
            let news = self.lock().news();
            if !news.is_empty() {
                return news;
            }
            self.told.notified().await;
        }
    }

    /// All that is known is news again.
    pub fn repeat(&self) {
        let mut known = self.lock();
        known.untold = known.newest.keys().cloned().collect();
        drop(known);
        self.told.notify_one();
    }

    /// Forgets what is no target any more.
    pub fn retain(&self, is_target: impl Fn(&TargetName) -> bool) {
        self.lock().newest.retain(|name, _| is_target(name));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn news(&mut self) -> Vec<TargetHealth> {
        let untold = std::mem::take(&mut self.untold);
        untold.iter().filter_map(|name| self.newest.get(name).cloned()).collect()
    }
}
