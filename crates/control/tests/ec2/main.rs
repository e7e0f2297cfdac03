//! EC2 in process: one account, one transaction, no sockets, no clock.

mod security_group;
mod tag;
mod vpc;
mod world;
