//! Facts on targets on their way to the control plane. Only the newest of each target is kept, so that there are never
//! more than targets, however long nobody asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use model::edge::TargetHealth;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Facts {
    untold: Mutex<BTreeMap<(String, SocketAddr), TargetHealth>>,
    told: Notify,
}

impl Facts {
    pub fn tell(&self, health: TargetHealth) {
        let key = (health.target_group.clone(), health.address);
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).insert(key, health);
        self.told.notify_one();
    }

    /// What has changed since the last call; waits until something has. For one caller at a time.
    pub async fn next(&self) -> Vec<TargetHealth> {
        loop {
            let untold = std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner));
            if !untold.is_empty() {
                return untold.into_values().collect();
            }
            self.told.notified().await;
        }
    }
}
