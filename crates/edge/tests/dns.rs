//! The name server: what it answers, and over which sockets.

#[path = "dns/answers.rs"]
mod answers;
#[path = "dns/hostile.rs"]
mod hostile;
#[path = "dns/sockets.rs"]
mod sockets;
#[path = "dns/support.rs"]
mod support;
