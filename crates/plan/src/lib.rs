//! The decisions: pure functions from facts to an answer. Placement; what a node shall run.

pub mod place;
