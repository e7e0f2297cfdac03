//! The decisions: pure functions from facts to an answer. Placement; what a service does next; what a node shall run; what makes a task
//! definition valid.

pub mod capacity;
pub mod node;
pub mod place;
pub mod service;
pub mod task_definition;
