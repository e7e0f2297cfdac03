//! The time, as the control plane sees it: the machine's, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Cheap to clone; clones of a manual clock share their time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Milliseconds since the epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_millis())))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::Manual(millis) => Timestamp(millis.load(Ordering::SeqCst)),
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp::default().plus(since_epoch)
            }
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// The machine's own clock cannot be moved.
    pub fn advance(&self, by: Duration) {
        let Self::Manual(millis) = self else { panic!("the system's clock is not ours to move") };
        millis.store(self.now().plus(by).as_millis(), Ordering::SeqCst);
    }
}
