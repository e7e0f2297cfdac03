//! The control plane: API operations, the loops that keep what is promised, the sessions with nodes, and the HTTP
//! server in front of them.
//!
//! What it deliberately is not: a place for decisions that can be made without it (`plan`), for the spelling of
//! requests and answers (`wire`), or for containers (`agent`).
//!
//! ```text
//! serve::http ─▶ call ─▶ sigv4, throttle ─▶ Cx ─▶ ecs, logs, sts, ec2, elbv2, … ─▶ durable commit ─▶ answer
//!            └─▶ session (one per node) ◀─▶ agent
//! ```
//! Invariants
//! - An answer leaves only after what it says is durable.
//! - Every row is read and written under the scope of the caller: the account of its key, the region of its signature.

pub mod access_key;
pub mod acm;
mod authenticate;
mod call;
pub mod caller;
pub mod clock;
pub mod config;
pub mod control;
pub mod cx;
pub mod dns;
pub mod ec2;
pub mod ecs;
pub mod elbv2;
pub mod event;
pub mod health;
pub mod ledger;
pub mod logs;
mod mesh;
pub mod node_key;
pub mod not_built;
pub mod page;
pub mod private_file;
pub mod reconcile;
pub mod retention;
pub mod serve;
pub mod servicediscovery;
pub mod session;
pub mod shutdown;
mod signing_keys;
pub mod sts;
mod task_target;
mod throttle;
pub mod traffic;

pub use caller::Caller;
pub use clock::Clock;
pub use config::{Auth, Config, Quotas};
pub use control::{Control, OpenError};
pub use cx::Cx;
pub use ledger::Ledger;
