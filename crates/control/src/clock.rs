//! The time, as the control plane sees it: the machine's, one that a test moves by hand, or the runtime's, which moves by
//! itself when all are waiting.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

/// Cheap to clone; clones of a manual clock share their time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
    /// tokio's: it is `epoch` at `start`.
    Tokio {
        start: Instant,
        epoch: Timestamp,
    },
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(watch::Sender::new(start)))
    }

    /// tokio's clock, which says `epoch` now.
    pub fn tokio(epoch: Timestamp) -> Self {
        Self::Tokio { start: Instant::now(), epoch }
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::Manual(time) => *time.borrow(),
            Self::Tokio { start, epoch } => epoch.plus(start.elapsed()),
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::default().plus(since_epoch)
            }
        }
    }

    /// Returns when it is `time`, or is already later.
    pub async fn until(&self, time: Timestamp) {
        match self {
            Self::Manual(clock) => {
                let mut moves = clock.subscribe();
                // An error would mean that the clock is gone, and `self` holds it.
                let _ = moves.wait_for(|now| *now >= time).await;
            }
            Self::Tokio { start, epoch } => tokio::time::sleep_until(*start + time.since(*epoch)).await,
            Self::System => tokio::time::sleep(time.since(self.now())).await,
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// Only a manual clock can be moved.
    pub fn advance(&self, by: Duration) {
        let Self::Manual(time) = self else { panic!("this clock is not ours to move") };
        time.send_modify(|now| *now = now.plus(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_runtimes_clock_is_waited_for_to_the_millisecond() {
        let clock = Clock::tokio(Timestamp(1000));
        for time in [1000, 1001, 61_000, 30_000] {
            let later = Timestamp(time).max(clock.now());
            clock.until(Timestamp(time)).await;
            assert_eq!(clock.now(), later);
        }
    }
}
