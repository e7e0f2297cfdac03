//! What one client, one upstream or all of them together may take.

use std::time::Duration;

/// A question; longer ones are cut and then do not decode.
pub const QUERY_BYTES_MAX: usize = 4096;
/// Answers over UDP stay below what any path carries whole (DNS flag day 2020), whatever a client says it can take.
pub const UDP_PAYLOAD_MAX: u16 = 1232;
/// What a client without EDNS takes over UDP.
pub const UDP_PAYLOAD_MIN: u16 = 512;
/// An answer over TCP, whose length has two bytes.
pub const TCP_ANSWER_MAX: u16 = u16::MAX;
/// Questions that are taken from a socket before others get their turn.
pub const BATCH: usize = 64;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 256;
/// Between two questions on a connection, and for sending one or taking an answer.
pub const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Questions that wait for upstreams. One more is answered SERVFAIL at once.
pub const FORWARDS_MAX: usize = 512;
/// For one upstream to answer.
pub const UPSTREAM_LIMIT: Duration = Duration::from_secs(2);
/// For all of them. Clients give up after 5 s.
pub const FORWARD_LIMIT: Duration = Duration::from_millis(4500);
/// Packets from an upstream's address that do not answer the question.
pub const STRAY_MAX: usize = 16;
/// How long the machine's list of resolvers is used before it is read again.
pub const RESOLVERS_AGE: Duration = Duration::from_secs(5);

/// Between attempts to listen on an address that is taken or not there yet.
pub const LISTEN_PAUSE: Duration = Duration::from_millis(500);
/// After the machine had no file or memory left for a connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
