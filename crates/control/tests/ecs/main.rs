//! ECS in process: one account, one transaction, no sockets, no clock.

mod cluster;
mod setting;
mod tag;
mod task_definition;
mod world;
