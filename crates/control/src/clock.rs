//! The time, as the control plane sees it: the machine's, or one that a test moves by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use tokio::sync::watch;

/// Cheap to clone; clones of a manual clock share their time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(watch::Sender::new(start)))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::Manual(time) => *time.borrow(),
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
            Self::System => tokio::time::sleep(time.since(self.now())).await,
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// The machine's own clock cannot be moved.
    pub fn advance(&self, by: Duration) {
        let Self::Manual(time) = self else { panic!("the system's clock is not ours to move") };
        time.send_modify(|now| *now = now.plus(by));
    }
}
