//! ECS in process: one account, one transaction, no sockets, no clock.

mod cluster;
mod retention;
mod setting;
mod tag;
mod task_definition;
mod world;
