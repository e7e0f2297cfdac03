//! A load of one repeated request over keep-alive connections, cheap enough that the server is what is measured: one
//! thread, the request signed and serialised once, answers read only as far as HTTP needs.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use super::figure::{Sorted, millis};
use crate::client::Client;
use crate::failure::{Context, Failure};

const HEAD_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 64 << 10;
/// One answer; a server that takes longer is not measured but broken.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Whom a secured server's certificate is for.
pub const TLS_HOST: &str = "bench.localhost";

#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub warm_up: Duration,
    pub time: Duration,
}

pub struct Outcome {
    pub per_second: f64,
    pub latencies: Sorted,
    /// Answers, those of the warm-up too.
    pub answers: usize,
}

/// Whom the load is for.
#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    /// How connections are secured, if they are.
    tls: Option<TlsConnector>,
}

impl Server {
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    pub fn secured(address: SocketAddr, tls: TlsConnector) -> Self {
        Self { address, tls: Some(tls) }
    }
}

/// A request that is made once. A signed one is good for as long as the clock skew allows.
#[derive(Clone)]
pub struct Prepared(pub Vec<u8>);

impl Prepared {
    pub fn get(path: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nhost: bench.localhost\r\naccept: */*\r\n\r\n").into_bytes())
    }

    pub fn new(client: &Client, operation: &str, input: &Value) -> Result<Self, Failure> {
        let body = input.to_string().into_bytes();
        let what = || format!("{operation} could not be signed");
        let (head, _) = client.sign(operation, body.clone()).context(what)?.into_parts();
        let mut bytes = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n", body.len()).into_bytes();
        for (name, value) in &head.headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        Ok(Self(bytes))
    }
}

/// Sends `request` from every connection again and again. An answer other than 200 ends it.
pub async fn run(server: Server, request: Prepared, load: Load) -> Result<Outcome, Failure> {
    let running = std::thread::spawn(move || on_thread(server, request, load));
    let joined = tokio::task::spawn_blocking(move || running.join()).await;
    joined.context(|| "the load's thread was lost".to_owned())?.expect("the load does not panic")
}

fn on_thread(server: Server, request: Prepared, load: Load) -> Result<Outcome, Failure> {
    let what = || format!("the load on {} failed", server.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(what)?;
    let begin = Instant::now() + load.warm_up;
    let end = begin + load.time;
    let request = Rc::new(request.0);
    let samples = LocalSet::new().block_on(&runtime, async {
        let send = |_| tokio::task::spawn_local(send_to(server.clone(), request.clone(), end));
        let connections: Vec<_> = (0..load.connections).map(send).collect();
        let mut samples = Vec::new();
        for connection in connections {
            samples.extend(connection.await??);
        }
        Ok::<_, io::Error>(samples)
    });
    let samples = samples.context(what)?;
    let answers = samples.len();
    let counted: Vec<f64> = samples
        .into_iter()
        .filter(|sample| sample.end >= begin && sample.end < end)
        .map(|sample| millis(sample.took))
        .collect();
    if counted.is_empty() {
        return Err(Failure::new(what()).because("nothing was answered in time"));
    }
    Ok(Outcome { per_second: counted.len() as f64 / load.time.as_secs_f64(), latencies: Sorted::new(counted), answers })
}

struct Sample {
    end: Instant,
    took: Duration,
}

async fn send_to(server: Server, request: Rc<Vec<u8>>, until: Instant) -> io::Result<Vec<Sample>> {
    let Server { address, tls } = server;
    match tls {
        None => repeat(async || connect(address).await, &request, until).await,
        Some(tls) => {
            let name = ServerName::try_from(TLS_HOST).expect("a host");
            let secure = async || tls.connect(name.clone(), connect(address).await?).await;
            repeat(secure, &request, until).await
        }
    }
}

async fn repeat<S: AsyncRead + AsyncWrite + Unpin>(
    connect: impl AsyncFn() -> io::Result<S>,
    request: &[u8],
    until: Instant,
) -> io::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut connection = None;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        let start = Instant::now();
        if start >= until {
            return Ok(samples);
        }
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => connect().await?,
        };
        let exchange = exchange(&mut stream, request, &mut buffer);
        let keeps = tokio::time::timeout(ANSWER_LIMIT, exchange).await??;
        connection = keeps.then_some(stream);
        let end = Instant::now();
        samples.push(Sample { end, took: end - start });
    }
}

pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the server keeps the connection. An answer other than 200 is an error.
pub async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    stream.write_all(request).await?;
    stream.flush().await?;
    buffer.clear();
    let head_length = loop {
        read_some(stream, buffer).await?;
        if let Some(found) = find(buffer, b"\r\n\r\n") {
            break found + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the answer's head does not end"));
        }
    };
    let head = Head::parse(&buffer[..head_length])?;
    while buffer.len() < head_length + head.content_length {
        read_some(stream, buffer).await?;
    }
    if head.status != 200 {
        let body = String::from_utf8_lossy(&buffer[head_length..]).into_owned();
        return Err(io::Error::other(format!("answered {}: {body}", head.status)));
    }
    Ok(head.keeps)
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    content_length: usize,
    keeps: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let wrong = || io::Error::other("the answer is not HTTP with a known length");
        let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let version = first.next().unwrap_or_default();
        let status = first.next().and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        let mut content_length = None;
        let mut keeps = version == "HTTP/1.1";
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                content_length = value.trim().parse().ok();
            }
            if name.eq_ignore_ascii_case("connection") {
                keeps = !value.trim().eq_ignore_ascii_case("close");
            }
        }
        Ok(Self { status, content_length: content_length.ok_or_else(wrong)?, keeps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_answers() {
        let check = |text: &str, expected: Option<(u16, usize, bool)>| {
            let expected = expected.map(|(status, content_length, keeps)| Head { status, content_length, keeps });
            assert_eq!(Head::parse(text.as_bytes()).ok(), expected, "{text:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Some((200, 12, true)));
        check("HTTP/1.1 400 Bad\r\ncontent-length:3\r\nConnection: close\r\n\r\n", Some((400, 3, false)));
        check("HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\n", Some((200, 3, false)));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None);
        check("hello\r\n\r\n", None);
    }
}
