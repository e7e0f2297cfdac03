//! Where the agent gets its time from.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use tokio::time::Instant;

/// The wall clock, or tokio's, which tests pause and let run by itself.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    System,
    Tokio { start: Instant, epoch: Timestamp },
}

impl Clock {
    pub fn tokio() -> Self {
        Self::Tokio { start: Instant::now(), epoch: Timestamp::from_millis(TOKIO_EPOCH_MILLIS) }
    }

    /// That of a node whose clock is ahead by so many milliseconds, or behind. The system's own is as it is.
    pub fn skewed(self, millis: i64) -> Self {
        match self {
            Self::System => self,
            Self::Tokio { start, epoch } => {
                Self::Tokio { start, epoch: Timestamp::from_millis(epoch.as_millis() + millis) }
            }
        }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(0).plus(since_epoch)
            }
            Self::Tokio { start, epoch } => epoch.plus(start.elapsed()),
        }
    }

    /// Returns when it is `at`, at once when that is past, never for `None`.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        let Some(at) = at else { return std::future::pending().await };
        let wait = at.since(self.now());
        if wait > Duration::ZERO {
            // One more, since sleeping may end within the millisecond before.
            tokio::time::sleep(wait + Duration::from_millis(1)).await;
        }
    }
}

/// 2026-01-01T00:00:00Z: tokio's clock starts here.
const TOKIO_EPOCH_MILLIS: i64 = 1_767_225_600_000;
