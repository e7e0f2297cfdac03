//! The HTTP server: connections, limits and time-outs around [`Control::call`].
//!
//! ```text
//! a connection for ….elb.localhost ─▶ front, whole (a load balancer)
//! GET /gantry/health ─▶ health
//! GET /gantry/link   ─▶ session (WebSocket, one per node)
//! /gantry/…          ─▶ body, bounded ─▶ own
//! everything else    ─▶ body, bounded ─▶ Control::call
//! ```
//! What must never happen: a request that is not yet authenticated holds more than one bounded body, or a slow sender
//! holds a connection for longer than the time-outs.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use model::link::LINK_PATH;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::own::{self, OWN_PREFIX};
use super::{Answer, front};
use crate::health::HEALTH_PATH;
use crate::{Control, session};

/// Connections at once; a further one waits to be accepted.
pub const CONNECTIONS_MAX: usize = 4096;
/// Requests at once on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 256;
/// A whole request head must come within this time, and an idle connection is closed after it.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
pub const HEAD_BYTES_MAX: usize = 64 << 10;
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// PutLogEvents carries 1 MiB of events (each counted with 26 bytes of its own), and JSON escapes on top.
pub const LOGS_BODY_BYTES_MAX: usize = 4 << 20;
/// What is read of a body that is too large before the refusal is sent.
pub const DISCARDED_BYTES_MAX: u64 = 16 << 20;
/// How long requests under way may take when the server is told to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// For what would be a load balancer's if it had come by HTTP/1 on a connection of its own.
const MISDIRECTED: &str =
    "Load balancers are reached here by HTTP/1 and by connections of their own. Their addresses have no such bounds.\n";
/// Wait before accepting again when the process is out of descriptors; there is no event for one coming free.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts connections until `shutdown`.
pub async fn serve(control: Arc<Control>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let stopping = watch::Sender::new(());
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept_one(&listener, &connections) => accepted,
        };
        let Ok(client) = stream.peer_addr() else { continue };
        let connection = Connection { control: control.clone(), stream, client };
        tokio::spawn(connection.run(graceful.watcher(), stopping.subscribe(), permit));
    }
    drop((listener, stopping));
    // They would never finish.
    control.events.close();
    if timeout(SHUTDOWN_GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way when the server stopped");
    }
}

struct Connection {
    control: Arc<Control>,
    stream: TcpStream,
    client: SocketAddr,
}

impl Connection {
    /// Until one end closes it, or it has rested since the server began to stop; or until it is somebody else's.
    async fn run(self, watcher: Watcher, mut stopping: watch::Receiver<()>, permit: OwnedSemaphorePermit) {
        let named = tokio::select! {
            // An error means that the server stops.
            _ = stopping.changed() => return,
            named = timeout(HEAD_TIMEOUT, front::load_balancer_of(&self.stream)) => named,
        };
        let Self { control, stream, client } = self;
        let Ok(Ok(named)) = named else { return };
        if let Some((name, front)) = named.and_then(|name| Some((name, control.front.get()?))) {
            return front(stream, client, name).await;
        }
        let service = service_fn(move |request| answer(control.clone(), request));
        let connection = builder().serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended badly");
        }
        drop(permit);
    }
}

async fn accept_one(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = connections.clone().acquire_owned().await.expect("never closed");
    (accept(listener).await, permit)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole; waiting for more to send would only delay them.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The peer was gone before it was accepted; the listener is well.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(HEAD_TIMEOUT);
    builder
}

async fn answer(control: Arc<Control>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    if control.front.get().is_some() && front::is_load_balancers(&request) {
        let mut misdirected = Response::new(whole(Bytes::from_static(MISDIRECTED.as_bytes())));
        *misdirected.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        return Ok(misdirected);
    }
    Ok(answer_own(&control, request).await)
}

async fn answer_own(control: &Arc<Control>, request: Request<Incoming>) -> Response<Answer> {
    if request.method() == Method::GET && request.uri().path() == HEALTH_PATH {
        return control.health().answer().map(Either::Left);
    }
    if request.uri().path() == LINK_PATH {
        return session::upgrade(control, request).map(Either::Left);
    }
    let (mut head, body) = request.into_parts();
    if !head.headers.contains_key(HOST) {
        // HTTP/2 has the host in the target; signatures cover it under its old name.
        let authority = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        head.headers.extend(authority.map(|authority| (HOST, authority)));
    }
    let body = match read_body(body, body_limit(&head.headers)).await {
        Ok(body) => body,
        Err(refused) => return control.refuse_body(&head, refused).map(whole),
    };
    if head.uri.path().starts_with(OWN_PREFIX) {
        return own::answer(control, &head, &body).await;
    }
    control.call(Request::from_parts(head, body)).await.map(whole)
}

fn whole(body: Bytes) -> Answer {
    Either::Left(Full::new(body))
}

/// Known before anything is decoded, so it goes by the header alone.
fn body_limit(headers: &hyper::HeaderMap) -> usize {
    let target = headers.get("x-amz-target").map_or(&b""[..], HeaderValue::as_bytes);
    if target.starts_with(b"Logs_20140328.") { LOGS_BODY_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// Why a body was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRefused {
    TooLarge { limit: usize },
    TooSlow,
    Broken,
}

impl BodyRefused {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, BodyRefused> {
    timeout(BODY_TIMEOUT, collect(body, limit)).await.unwrap_or(Err(BodyRefused::TooSlow))
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, BodyRefused> {
    if body.size_hint().lower() > limit as u64 {
        discard(&mut body).await;
        return Err(BodyRefused::TooLarge { limit });
    }
    match Limited::new(&mut body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(BodyRefused::TooLarge { limit })
        }
        Err(_) => Err(BodyRefused::Broken),
    }
}

/// A client that is still sending when the connection closes never sees the answer, so what it sends is read and
/// dropped, up to a bound.
async fn discard(body: &mut Incoming) {
    if body.size_hint().lower() > DISCARDED_BYTES_MAX {
        return;
    }
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len) as u64;
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
