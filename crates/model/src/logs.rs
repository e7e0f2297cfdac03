//! Log groups and streams (CloudWatch Logs). Their events are in `telemetry`, not in the store.

use serde::{Deserialize, Serialize};

use crate::{Scope, Tag, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogGroup {
    pub scope: Scope,
    pub name: String,
    pub created_at: Timestamp,
    pub retention_days: Option<u32>,
    /// STANDARD, INFREQUENT_ACCESS or DELIVERY, as given at creation.
    pub class: String,
    #[serde(default)]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogStream {
    pub scope: Scope,
    pub group: String,
    pub name: String,
    pub created_at: Timestamp,
    /// Names the stream's events in the log store. Never reused, so a stream that is deleted and made again is empty.
    pub uid: u64,
}
