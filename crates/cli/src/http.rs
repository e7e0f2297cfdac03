//! One HTTP request at a time over plain TCP, with limits. For the API on this machine, a task's page, and the metadata
//! endpoint; nothing here speaks to strangers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::{Context, Failure};

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 << 20;

pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

pub async fn get(url: &str) -> Result<Answer, Failure> {
    let uri: Uri = url.parse().context(|| format!("'{url}' is not a URL"))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let request = Request::get(path).header("host", &authority).body(Full::default());
    let host = if uri.port().is_some() { authority } else { format!("{authority}:80") };
    send(&host, request.context(|| format!("no request can be made for '{url}'"))?).await
}

/// Sends a request to `host:port`.
pub async fn send(host: &str, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let what = || format!("{} {} of {host} failed", request.method(), request.uri().path());
    let what = what();
    let answer = tokio::time::timeout(REQUEST_LIMIT, exchange(host, request)).await;
    match answer {
        Ok(answer) => answer.context(|| what),
        Err(_) => Err(Failure::new(what).because(format!("no answer within {} s", REQUEST_LIMIT.as_secs()))),
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(host: &str, request: Request<Full<Bytes>>) -> Result<Answer, Source> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(host)).await??;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response: Response<_> = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Answer { status, body })
}
