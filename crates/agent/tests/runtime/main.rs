//! The runtime against a real containerd: a private one in a directory of its own, started and ended by each test.
//! Needs root, containerd and runc; fails without.

mod assemble;
mod container;
mod daemon;
mod image;
mod pull;
mod registry;
mod support;
