//! The data path of load balancers: it takes clients' connections and gets their requests answered by targets. It is fed
//! with snapshots, always whole, and goes on serving the last one when nobody feeds it any more.
//!
//! ```text
//!            Snapshot                                    TargetHealth
//!               ▼                                             ▲
//!   front: one thread. table ── listeners (accept) ── checks of targets
//!               │ connections, in turn
//!               ▼
//!   workers: a thread each. tls ─┬─ connection ── proxy (framing, rule, action) ── forward (group, target) ── upstream
//!                                └─ stream, datagram (flow, target)
//! ```
//! A worker has its own runtime, its own clients and its own connections to targets, so a request never changes threads.
//! What it reads of the table is swapped whole: a request sees one state of its listener and one of its group.
//!
//! Pure, with time and randomness passed in: `pattern`, `rule`, `redirect`, `balance`, `certificate`, `cookie`, `flow`,
//! `health`, `framing`, `header`, `outlier`, `proxy_protocol`, `trace_id`. All else does I/O.
//!
//! Tasks' own calls by Service Connect come in by `mesh`, which listens in their network namespaces, and take the same way.
//!
//! The name server of tasks is a part of it too, apart from the rest: see [`dns`].
//!
//! What it does not do: keep a client's address towards targets; it judges no configuration and remembers nothing.
//!
//! Invariants
//! - A request's bytes go to at most one target, unless the request is one that may be repeated (see `forward`).
//! - A client reaches no address that is not a target of the snapshot.
//! - Bodies are passed on as they come, never held whole.
//! - A draining target gets no new request, and keeps those it has for no longer than the deregistration delay.

mod activity;
pub mod balance;
mod body;
mod certificate;
mod check;
mod clock;
mod connection;
pub mod cookie;
mod datagram;
mod dial;
pub mod dns;
mod edge;
pub mod engine;
mod facts;
pub mod flow;
mod forward;
pub mod framing;
mod front;
mod group;
pub mod handover;
pub mod header;
pub mod health;
pub mod limits;
pub mod link;
mod listener;
mod mesh;
mod meter;
mod namespace;
mod observed;
pub mod outlier;
mod page;
pub mod pattern;
pub mod process;
mod proxy;
pub mod proxy_protocol;
mod random;
pub mod redirect;
pub mod rule;
pub mod simulated;
mod stream;
mod table;
mod target;
mod tls;
pub mod trace_id;
mod tunnel;
mod upstream;
mod watch;
mod worker;

pub use cookie::CookieKey;
pub use edge::{Config, Edge, Error};
