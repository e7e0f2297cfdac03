//! The decisions: pure functions from facts to an answer. Placement; what makes a task definition valid.

pub mod place;
pub mod task_definition;
