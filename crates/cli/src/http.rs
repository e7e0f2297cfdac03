//! One HTTP request at a time over plain TCP, with limits. For the API on this machine, a task's page, and the metadata
//! endpoint; nothing here speaks to strangers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::{Context, Failure};

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 << 20;
const LINE_BYTES_MAX: usize = 4 << 20;

pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

pub async fn get(url: &str) -> Result<Answer, Failure> {
    let uri: Uri = url.parse().context(|| format!("'{url}' is not a URL"))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let address = if uri.port().is_some() { authority.clone() } else { format!("{authority}:80") };
    get_from(&address, &authority, &path).await
}

/// Asks `address`, whoever it is by name.
pub async fn get_from(address: &str, host: &str, path: &str) -> Result<Answer, Failure> {
    let request = Request::get(path).header("host", host).body(Full::default());
    send(address, request.context(|| format!("no request can be made for '{path}' of '{host}'"))?).await
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

/// Sends a request to `host:port` whose answer is lines, and may never end.
pub async fn lines(host: &str, request: Request<Full<Bytes>>) -> Result<Lines, Failure> {
    let what = format!("{} {} of {host} failed", request.method(), request.uri().path());
    let beginning = tokio::time::timeout(REQUEST_LIMIT, begin(host, request)).await;
    let late = || Failure::new(what.clone()).because(format!("no answer within {} s", REQUEST_LIMIT.as_secs()));
    let response = beginning.map_err(|_| late())?.context(|| what.clone())?;
    if response.status().is_success() {
        return Ok(Lines { body: response.into_body(), waiting: Vec::new() });
    }
    let body = Limited::new(response.into_body(), LINE_BYTES_MAX).collect().await.context(|| what.clone())?;
    Err(Failure::new(what).because(String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// The lines of an answer that is still coming.
pub struct Lines {
    body: Incoming,
    /// Read, and not yet a whole line.
    waiting: Vec<u8>,
}

impl Lines {
    /// The next line, however long it takes to come; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, Failure> {
        let what = || "the answer broke off".to_owned();
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).collect();
                return String::from_utf8(line).map(|line| Some(line.trim_end().to_owned())).context(what);
            }
            if self.waiting.len() > LINE_BYTES_MAX {
                return Err(Failure::new(what()).because("a line is too long"));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            self.waiting.extend(frame.context(what)?.data_ref().into_iter().flatten());
        }
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(host: &str, request: Request<Full<Bytes>>) -> Result<Answer, Source> {
    let response = begin(host, request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Answer { status, body })
}

async fn begin(host: &str, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Source> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(host)).await??;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
