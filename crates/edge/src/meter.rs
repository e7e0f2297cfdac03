//! What is counted of calls, by endpoint and by who calls: `MeshCount` in the making.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use model::mesh::MeshCount;

use crate::observed::Observer;

#[derive(Debug, Default)]
pub struct Meter {
    active: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    grpc_requests: AtomicU64,
    /// 2xx to 5xx.
    answers: [AtomicU64; 4],
    timed: AtomicU64,
    micros: AtomicU64,
}

/// Discovery name, and cluster and service of who calls.
pub type MeterName = (String, String, String);

/// Those of endpoints and callers that are known. One that is gone takes its counts along.
#[derive(Debug, Default)]
pub struct Meters(Mutex<BTreeMap<MeterName, Arc<Meter>>>);

impl Meters {
    pub fn of(&self, name: &MeterName) -> Arc<Meter> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }

    pub fn retain(&self, is_known: impl Fn(&MeterName) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_known(name));
    }

    pub fn counts(&self) -> Vec<MeshCount> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(name, meter)| meter.count(name)).collect()
    }
}

impl Meter {
    pub fn request(&self, is_grpc: bool) {
        self.requests.fetch_add(1, Relaxed);
        if is_grpc {
            self.grpc_requests.fetch_add(1, Relaxed);
        }
    }

    /// A target has answered, so long after it was asked.
    pub fn answer(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).wrapping_sub(2);
        if let Some(count) = self.answers.get(class) {
            count.fetch_add(1, Relaxed);
        }
        self.timed.fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn count(&self, (discovery_name, cluster_name, service_name): &MeterName) -> MeshCount {
        let of = |count: &AtomicU64| count.load(Relaxed);
        let [target_2xx_count, target_3xx_count, target_4xx_count, target_5xx_count] =
            [0, 1, 2, 3].map(|class| of(&self.answers[class]));
        MeshCount {
            discovery_name: discovery_name.clone(),
            cluster_name: cluster_name.clone(),
            service_name: service_name.clone(),
            active_connection_count: of(&self.active),
            new_connection_count: of(&self.connections),
            processed_bytes: of(&self.bytes),
            request_count: of(&self.requests),
            grpc_request_count: of(&self.grpc_requests),
            target_2xx_count,
            target_3xx_count,
            target_4xx_count,
            target_5xx_count,
            target_response_count: of(&self.timed),
            target_response_micros: of(&self.micros),
        }
    }
}

/// A caller's connection, counted with its bytes while this is kept.
#[derive(Debug)]
pub struct Counting(Arc<Meter>);

impl Counting {
    pub fn begin(meter: Arc<Meter>) -> Self {
        meter.connections.fetch_add(1, Relaxed);
        meter.active.fetch_add(1, Relaxed);
        Self(meter)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

impl Observer for Counting {
    fn has_read(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn has_written(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Relaxed);
    }
}
