//! The decisions: pure functions from facts to an answer. Placement; what a service does next; what a node shall run;
//! which names lead where; when a task is in its target groups; what makes a task definition valid.

pub mod capacity;
pub mod dns;
pub mod firewall;
pub mod node;
pub mod place;
pub mod route;
pub mod service;
pub mod service_connect;
pub mod task_definition;
pub mod task_registration;
pub mod task_target;
