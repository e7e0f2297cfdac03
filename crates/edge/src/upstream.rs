//! Connections to targets: made, used and given back. HTTP/1 ones carry one request at a time, HTTP/2 ones many.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::edge::{ProtocolVersion, TargetProtocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::body::{Connection, Progress, RequestBody};
use crate::dial::{self, Source};
use crate::limits::ANSWER_HEAD_BYTES_MAX;
use crate::target::{Stream, Target};
use crate::tls;

/// How a group's targets are spoken to.
#[derive(Clone, Debug)]
pub struct Way {
    pub protocol: TargetProtocol,
    pub version: ProtocolVersion,
    pub source: Source,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the target did not take a connection: {0}")]
    Refused(#[from] std::io::Error),
    #[error("the target did not take a connection in time")]
    TimedOut,
    #[error("the target closed the connection at once: {0}")]
    Handshake(#[from] hyper::Error),
}

/// A connection for one request.
#[derive(Debug)]
pub enum Link {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>, Stream),
}

/// The request did not come through.
#[derive(Debug)]
pub struct Lost {
    /// When none of it had been sent.
    pub request: Option<Request<RequestBody>>,
    pub source: hyper::Error,
}

impl Link {
    /// One that is there already.
    pub fn reuse(target: &Target, version: ProtocolVersion, worker: usize) -> Option<Self> {
        match version {
            ProtocolVersion::Http1 => target.take_idle(worker).map(Self::Http1),
            ProtocolVersion::Http2 | ProtocolVersion::Grpc => {
                target.share(worker).map(|(sender, stream)| Self::Http2(sender, stream))
            }
        }
    }

    pub async fn open(target: &Arc<Target>, way: &Way, worker: usize) -> Result<Self, Error> {
        let opening = async {
            let stream = dial::connect(target.address, &way.source).await?;
            if !way.protocol.is_secured() {
                return Self::over(target, stream, way.version, worker).await;
            }
            let stream = tls::connect(stream, way.version != ProtocolVersion::Http1).await?;
            Self::over(target, stream, way.version, worker).await
        };
        timeout(way.source.limit(), opening).await.map_err(|_| Error::TimedOut)?
    }

    async fn over(
        target: &Arc<Target>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        version: ProtocolVersion,
        worker: usize,
    ) -> Result<Self, Error> {
        match version {
            ProtocolVersion::Http1 => open_http1(target, stream, worker).await,
            ProtocolVersion::Http2 | ProtocolVersion::Grpc => open_http2(target, stream, worker).await,
        }
    }

    pub async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, Lost> {
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender, _) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| Lost { request: error.take_message(), source: error.into_error() })
    }

    /// As the answer's body holds it.
    pub fn into_connection(
        self,
        target: &Arc<Target>,
        worker: usize,
        request_body: Option<Arc<Progress>>,
    ) -> Connection {
        match self {
            Self::Http1(sender) => Connection::Http1 { sender, target: target.clone(), worker, request_body },
            Self::Http2(_, stream) => Connection::Http2 { _stream: stream },
        }
    }
}

async fn open_http1(
    target: &Arc<Target>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    worker: usize,
) -> Result<Link, Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER_HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    drive(target, worker, connection.with_upgrades());
    Ok(Link::Http1(sender))
}

async fn open_http2(
    target: &Arc<Target>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    worker: usize,
) -> Result<Link, Error> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_header_list_size(ANSWER_HEAD_BYTES_MAX as u32);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    drive(target, worker, connection);
    let stream = target.add_shared(worker, &sender);
    Ok(Link::Http2(sender, stream))
}

/// Until it ends by itself, or its target is cut off. What becomes of its requests they are told by hyper.
fn drive(target: &Target, worker: usize, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    target.add_task(worker, task.abort_handle());
}
