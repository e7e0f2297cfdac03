//! The node: takes its desired set from the control plane, makes containers so, reports what is.
//!
//! [`task`] and [`node`] decide, [`drive`] does, [`session`] talks to the control plane, [`driver`] is what they need
//! of the world. The agent keeps no truth of its own beside its [`checkpoint`]s: what runs is asked of the runtime.

mod agent;
pub mod checkpoint;
pub mod clock;
mod container;
mod definitions;
pub mod drive;
pub mod driver;
pub mod files;
pub mod health;
pub mod host;
pub mod link;
pub mod logs;
pub mod metadata;
pub mod names;
pub mod network;
pub mod node;
pub mod outbox;
pub mod runtime;
pub mod session;
pub mod simulated;
pub mod task;
mod views;
pub mod volume;

pub use agent::{Agent, Config, Data, Endpoint, StartError};

/// An error with its causes, for logs and reasons.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
