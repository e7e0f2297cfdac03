//! ECS in process: one account, one transaction, no sockets, no clock.

mod attribute;
mod capacity_provider;
mod cluster;
mod container_instance;
mod definition_members;
mod fleet;
mod registration;
mod retention;
mod run_task;
mod service;
mod service_deployment;
mod setting;
mod tag;
mod task;
mod task_definition;
mod task_protection;
mod task_set;
mod world;
