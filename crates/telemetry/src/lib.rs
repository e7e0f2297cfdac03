//! Log events: append, read back, filter, retain. What CloudWatch Logs' data operations stand on.
//!
//! Groups and streams are rows of the store; here a stream is a number (`uid`) that is never used twice. Metrics
//! come here too when they are built.

pub mod filter;
pub mod log;

pub use filter::Pattern;
pub use log::{Event, LogError, LogStore, Position, ReadQuery, StreamSummary};
