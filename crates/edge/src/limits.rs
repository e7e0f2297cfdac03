//! What one client, one target or all of them together may take. Where AWS documents a limit, it is that one.

use std::time::Duration;

/// Clients' connections, over all listeners. The kernel's queue holds those beyond.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections that the containers of one namespace have to what they call by Service Connect.
pub const CALLS_MAX: usize = 1024;
/// Sockets that are to be made in tasks' namespaces.
pub const SOCKET_QUEUE: usize = 1024;
/// To make one of them.
pub const SOCKET_LIMIT: Duration = Duration::from_secs(5);
/// Connections that a listener's socket queues in the kernel.
pub const BACKLOG: u32 = 4096;
/// Requests on one HTTP/2 connection at a time.
pub const STREAMS_MAX: u32 = 128;
/// Streams that a client has reset and that are not yet seen to.
pub const RESET_STREAMS_MAX: usize = 32;
/// A request's line and headers together.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// One header line of a request.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// A request's path and query.
pub const URI_BYTES_MAX: usize = 16 << 10;
/// The head of a target's answer.
pub const ANSWER_HEAD_BYTES_MAX: usize = 32 << 10;
/// Addresses in X-Forwarded-For.
pub const FORWARDED_FOR_MAX: usize = 30;
/// Flows of datagrams of one listener on one address.
pub const FLOWS_MAX: usize = 16_384;
/// After which a flow in which nothing happens is over, as AWS has it.
pub const FLOW_IDLE_LIMIT: Duration = Duration::from_secs(120);
/// The largest datagram that there can be.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;
/// From a head's first byte to its last; the idle time-out when that is shorter.
pub const HEAD_LIMIT: Duration = Duration::from_secs(20);
/// To agree with a client on how its connection is secured.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How often a connection is looked at, whether it is to be closed. A timer costs a connection's requests nothing, being
/// woken by another thread does.
pub const TICK: Duration = Duration::from_secs(1);

/// To connect to a target, handshake included.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// To connect to a task that is called by Service Connect, which is near: one that has just died answers nothing at all.
pub const CALL_CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Targets that one request is tried on.
pub const ATTEMPTS_MAX: usize = 3;
/// Connections to one target that a worker keeps while they are idle.
pub const IDLE_CONNECTIONS_MAX: usize = 256;
/// How long they are kept.
pub const IDLE_CONNECTION_LIMIT: Duration = Duration::from_secs(60);
/// Requests on one HTTP/2 connection to a target before another one is opened.
pub const STREAMS_PER_CONNECTION: u32 = 100;
/// Of a target's answer to a health check that must be read for its trailers.
pub const CHECK_BODY_BYTES_MAX: usize = 64 << 10;

/// Connections and handed-over requests on their way to one worker.
pub const WORK_QUEUE: usize = 1024;
/// Snapshots on their way to be applied.
pub const COMMAND_QUEUE: usize = 8;
/// After the machine had no file or memory left for a connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between attempts to listen on an address that is taken or not there yet.
pub const LISTEN_PAUSE: Duration = Duration::from_millis(500);
/// For requests under way when the edge is shut down.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
/// A compiled regular expression of a rule.
pub const REGEX_BYTES_MAX: usize = 1 << 20;
