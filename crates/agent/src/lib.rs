//! The node: takes its desired set from the control plane, makes containers so, reports what is.

pub mod driver;
pub mod network;
