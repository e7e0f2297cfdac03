//! A target that does as its path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, SET_COOKIE, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub struct Backend {
    pub address: SocketAddr,
    pub state: Arc<State>,
    stop: watch::Sender<bool>,
}

pub struct State {
    name: String,
    /// What `/health` answers.
    pub health: AtomicU16,
    /// Requests but for health checks.
    pub requests: AtomicUsize,
    pub connections: AtomicUsize,
    /// Told when a request to `/hold` has come in, and waited for by it.
    pub held: Notify,
    pub release: Notify,
}

impl Backend {
    pub async fn start(name: &str) -> Self {
        Self::start_on(name, TcpListener::bind("127.0.0.1:0").await.expect("a port")).await
    }

    pub async fn start_on(name: &str, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            name: name.to_owned(),
            health: AtomicU16::new(200),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            held: Notify::new(),
            release: Notify::new(),
        });
        let stop = watch::Sender::new(false);
        tokio::spawn(serve(listener, state.clone(), stop.subscribe()));
        Self { address, state, stop }
    }

    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    pub fn set_health(&self, code: u16) {
        self.state.health.store(code, Ordering::SeqCst);
    }

    /// Closes every connection and listens no more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, _)) = accepted else { return };
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(state.clone(), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/health" {
        return Ok(text(state.health.load(Ordering::SeqCst), ""));
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    let mut response = match path.as_str() {
        "/echo" => echo(request).await,
        "/hold" => {
            state.held.notify_one();
            state.release.notified().await;
            text(200, "held")
        }
        "/halves" => halves(&state),
        "/upgrade" => upgrade(&mut request),
        "/login" => {
            let mut response = text(200, "");
            response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("SESSION=1; Path=/"));
            response
        }
        "/hops" => {
            let mut response = text(200, "");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("x-hop"));
            response.headers_mut().insert("x-hop", HeaderValue::from_static("1"));
            response
        }
        "/grpc" => grpc(request).await,
        _ => text(200, &state.name),
    };
    response.headers_mut().insert("x-backend", HeaderValue::from_str(&state.name).expect("a name"));
    Ok(response)
}

fn text(status: u16, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(text.to_owned())).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

/// The head as it came, and the body.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let mut head = format!("{} {} {:?}\n", parts.method, parts.uri, parts.version);
    for (name, value) in &parts.headers {
        head += &format!("{name}: {}\n", value.to_str().expect("text"));
    }
    match body.collect().await {
        Ok(body) => text(200, &format!("{head}\n{}", String::from_utf8_lossy(&body.to_bytes()))),
        Err(error) => text(400, &error.to_string()),
    }
}

/// One half at once, the other when released.
fn halves(state: &Arc<State>) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let state = state.clone();
    tokio::spawn(async move {
        let _ = sender.send(Ok(Frame::data(Bytes::from_static(b"first")))).await;
        state.held.notify_one();
        state.release.notified().await;
        let _ = sender.send(Ok(Frame::data(Bytes::from_static(b"second")))).await;
    });
    Response::new(StreamBody::new(receiver_stream(receiver)).boxed_unsync())
}

fn receiver_stream<T>(mut receiver: tokio::sync::mpsc::Receiver<T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

/// Echoes bytes in capitals once the protocol is changed, until it is told bye.
fn upgrade(request: &mut Request<Incoming>) -> Response<Body> {
    let Some(protocol) = request.headers().get(UPGRADE).cloned() else { return text(200, "no upgrade") };
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut io = TokioIo::new(upgraded);
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = io.read(&mut buffer).await {
            if &buffer[..read] == b"bye" {
                return;
            }
            buffer[..read].make_ascii_uppercase();
            if io.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    });
    let mut response = text(101, "");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, protocol);
    response
}

/// Sends the messages back, and a status in trailers.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    let te = request.headers().get("te").cloned();
    let messages = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = if te.is_some_and(|te| te == "trailers") { "0" } else { "13" };
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))]);
    let frames = [Ok(Frame::data(messages)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
