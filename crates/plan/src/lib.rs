//! The decisions of Gantry: plain synchronous functions from facts to an answer that also says why.
//!
//! No clock, no I/O, no randomness of their own, no `HashMap` iteration order: time, ids and random bits are passed in.

pub mod task_definition;
