//! One client's connection: secured or not; HTTP/1, or HTTP/2 when it begins with its preface, or whatever a network load
//! balancer passes on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::activity::Activity;
use crate::limits::{HEAD_BYTES_MAX, RESET_STREAMS_MAX, STREAMS_MAX, TICK};
use crate::listener::Listener;
use crate::meter::Counting;
use crate::observed::Observed;
use crate::proxy::{self, Origin};
use crate::stream::Caller;
use crate::tls::{self, Agreed};

pub type Builder = auto::Builder<TokioExecutor>;

/// How hyper serves clients. Its own limit of a hundred headers stays.
pub fn builder() -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    // How long a head may take is looked after by `activity`.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(RESET_STREAMS_MAX);
    builder
}

pub struct Client {
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub listener: Arc<Listener>,
    pub permit: OwnedSemaphorePermit,
}

/// Until the client or the time-outs end it, or, once it is idle, its age, its listener's end or `shutdown`.
pub async fn serve(builder: &Builder, worker: usize, client: Client, shutdown: &AtomicBool) {
    let Client { stream, address, listener, permit } = client;
    let local = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(local) => local,
        Err(error) => return debug!(%error, "a connection was lost at once"),
    };
    let served = listener.served();
    let Some(acceptor) = &served.tls else {
        let meter = served.call.as_ref().map(|call| call.meter.clone());
        drop(served);
        let serving = Serving { worker, listener, address, permit, agreed: None };
        return match meter {
            Some(meter) => serving.run(builder, Observed::new(stream, Counting::begin(meter)), local, shutdown).await,
            None => serving.run(builder, stream, local, shutdown).await,
        };
    };
    match tls::accept(acceptor, stream).await {
        Ok(stream) => {
            let agreed = tls::agreed(stream.get_ref().1);
            drop(served);
            let serving = Serving { worker, listener, address, permit, agreed };
            serving.run(builder, stream, local, shutdown).await;
        }
        Err(error) => debug!(%error, "a connection could not be secured"),
    }
}

/// A connection that is secured, where it is to be.
struct Serving {
    worker: usize,
    listener: Arc<Listener>,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
    agreed: Option<Agreed>,
}

impl Serving {
    async fn run(
        self,
        builder: &Builder,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        local: SocketAddr,
        shutdown: &AtomicBool,
    ) {
        if self.listener.served().spec.protocol.is_http() {
            return self.answer(builder, stream, shutdown).await;
        }
        let Self { worker, listener, address, permit, .. } = self;
        Caller { worker, listener, client: address, local, permit }.serve(stream).await;
    }

    async fn answer(
        self,
        builder: &Builder,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        shutdown: &AtomicBool,
    ) {
        let Self { worker, listener, address, permit, agreed } = self;
        let builder = if listener.served().attributes.http2 { builder.clone() } else { builder.clone().http1_only() };
        let activity = Activity::new(Some(permit));
        let (origin_listener, origin_activity) = (listener.clone(), activity.clone());
        let origin =
            Arc::new(Origin { worker, listener: origin_listener, client: address, agreed, activity: origin_activity });
        let service = service_fn(move |request| {
            let origin = origin.clone();
            async move { Ok::<_, Infallible>(proxy::answer(origin, request).await) }
        });
        let io = TokioIo::new(Observed::new(stream, activity.clone()));
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        let mut tick = pin!(sleep(TICK));
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                // What went wrong is between hyper and the client, who has been told what can be told.
                _ = connection.as_mut() => return,
                () = tick.as_mut() => {}
            }
            let served = listener.served();
            let Some(rest) = activity.rest(served.idle_limit()) else { return };
            tick.as_mut().reset(Instant::now() + rest);
            let is_over = activity.age() >= served.age_limit();
            if !is_ending && (is_over || listener.is_closing() || shutdown.load(Ordering::Relaxed)) {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
