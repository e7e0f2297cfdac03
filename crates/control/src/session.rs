//! The sessions with nodes: one loop per node over the link (`model::link`), from its `Hello` until it is gone.
//!
//! What it deliberately does not do: decide what a node runs (`plan::node`), what a report means for a task
//! (`model::task::advance`), or how containers start. It assumes nothing of a node that the node has not reported: not
//! after a reconnection, not after a boot.
//!
//! ```text
//!            Hello            Welcome, Desired
//! (link) ──────────▶ entering ────────────────▶ attending ──┬─ Report ▶ one commit ▶ ReportTaken
//!                       │ refused                  │        ├─ PutLogs ▶ log store ▶ LogsTaken
//!                       │                          │        ├─ TaskProtection ▶ the task's operation ▶ TaskProtection
//!                       ▼                          │        └─ tasks of the node changed ▶ Desired (at most one unanswered)
//!                      Bye ◀── superseded, silent, closed, broken
//! ```
//! Invariants
//! - One live session per node: a newer one ends the older, and only the newest says whether the node is connected.
//! - `ReportTaken` and `LogsTaken` leave only after what they answer is durable.
//! - A node changes, and asks for, only its own tasks, and gives log lines only to its own account and region.

mod attend;
mod connection;
mod desired;
mod firewall;
mod link;
mod logs;
mod presence;
mod registration;
mod registry;
mod report;
mod task_protection;
mod watch;

pub use attend::{Ending, run};
pub use connection::{PING_INTERVAL, SILENCE_MAX, over};
pub use link::upgrade;
pub use registry::Sessions;

pub(crate) use registration::CONTROL_ID;
pub(crate) use watch::start;
