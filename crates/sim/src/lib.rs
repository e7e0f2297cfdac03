//! Simulation: the real control plane and the real agents, with simulated drivers, disks and links, on one thread in
//! virtual time, from one seed. It is there to find bugs that need several things to happen in an unlucky order.
//!
//! What it is not: a model. Nothing of what it tests is written anew for it. It does not reach the HTTP front, log
//! events, containerd or netlink, which have tests of their own.
//!
//! ```text
//! seed ─▶ script ─┬▶ client ─▶ plane (control::Control) ─▶ disk (store::Log)
//!                 │             ▲      ▲ │ line (agent::link::Dial)     │
//!                 └▶ faults   edge     │ ▼                              ▼
//!                          machine (agent::Agent, simulated::World)  check, after each durable commit and in the end
//! ```
//! Invariant: a run depends on its script and its seed alone. The same seed gives the same trace and the same durable
//! bytes, so a failure found anywhere is found again everywhere.

pub mod check;
mod client;
mod disk;
mod edge;
pub mod keys;
mod line;
mod machine;
pub mod order;
mod plane;
mod promise;
mod random;
pub mod script;
pub mod seeds;
mod shape;
pub mod shrink;
pub mod simulation;
mod step;
mod trace;
