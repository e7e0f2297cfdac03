//! One health check of one target, over a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::edge::{CheckProtocol, HealthCheckSpec, Matcher, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::health::{self, Outcome};
use crate::limits::CHECK_BODY_BYTES_MAX;
use crate::upstream::Way;
use crate::{dial, tls};

const AGENT: HeaderValue = HeaderValue::from_static("ELB-HealthChecker/2.0");
const GRPC_STATUS: &str = "grpc-status";

pub async fn run(target: SocketAddr, check: &HealthCheckSpec, way: Way) -> Outcome {
    let address = SocketAddr::new(target.ip(), check.port.unwrap_or(target.port()));
    let limit = Duration::from_secs(check.timeout_seconds.max(1).into());
    timeout(limit, ask(address, check, way)).await.unwrap_or(Outcome::TimedOut)
}

async fn ask(address: SocketAddr, check: &HealthCheckSpec, way: Way) -> Outcome {
    let Ok(stream) = dial::connect(address, &way.source).await else { return Outcome::Refused };
    let Some(request) = request(address, check, way.version) else { return Outcome::Broken };
    let answered = match check.protocol {
        CheckProtocol::Tcp => return Outcome::Passed,
        CheckProtocol::Http => ask_over(stream, request, check, way.version).await,
        CheckProtocol::Https => match tls::connect(stream, way.version != ProtocolVersion::Http1).await {
            Ok(stream) => ask_over(stream, request, check, way.version).await,
            Err(_) => return Outcome::Broken,
        },
    };
    match answered {
        Ok(Some(code)) if health::fits(&check.matcher, code) => Outcome::Passed,
        Ok(Some(code)) => Outcome::WrongCode(code),
        Ok(None) | Err(_) => Outcome::Broken,
    }
}

fn request(address: SocketAddr, check: &HealthCheckSpec, version: ProtocolVersion) -> Option<Request<Empty<Bytes>>> {
    let path = check.path.as_str();
    let request = match version {
        ProtocolVersion::Http1 => Request::get(path).header(HOST, address.to_string()).header(CONNECTION, "close"),
        ProtocolVersion::Http2 => Request::get(format!("http://{address}{path}")).version(Version::HTTP_2),
        ProtocolVersion::Grpc => Request::builder()
            .method(Method::POST)
            .uri(format!("http://{address}{path}"))
            .version(Version::HTTP_2)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers"),
    };
    request.header(USER_AGENT, AGENT).body(Empty::new()).ok()
}

async fn ask_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
    check: &HealthCheckSpec,
    version: ProtocolVersion,
) -> hyper::Result<Option<u16>> {
    match version {
        ProtocolVersion::Http1 => ask_http1(stream, request, check).await,
        ProtocolVersion::Http2 | ProtocolVersion::Grpc => ask_http2(stream, request, check).await,
    }
}

async fn ask_http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
    check: &HealthCheckSpec,
) -> hyper::Result<Option<u16>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let asking = async { Ok(code_of(sender.send_request(request).await?, &check.matcher).await) };
    alongside(connection, asking).await
}

async fn ask_http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
    check: &HealthCheckSpec,
) -> hyper::Result<Option<u16>> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let asking = async { Ok(code_of(sender.send_request(request).await?, &check.matcher).await) };
    alongside(connection, asking).await
}

/// The connection moves only while it is polled, and is closed with the answer.
async fn alongside<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    asking: impl Future<Output = hyper::Result<T>>,
) -> hyper::Result<T> {
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        ended = connection => {
            ended?;
            asking.await
        }
    }
}

/// The code that the matcher is about. `None`: a gRPC answer without one.
async fn code_of(response: Response<Incoming>, matcher: &Matcher) -> Option<u16> {
    let Matcher::GrpcCode(_) = matcher else { return Some(response.status().as_u16()) };
    let grpc = |headers: &HeaderMap| headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok();
    if let Some(code) = grpc(response.headers()) {
        return Some(code);
    }
    let body = Limited::new(response.into_body(), CHECK_BODY_BYTES_MAX).collect().await.ok()?;
    grpc(body.trailers()?)
}
