//! Connections that come to the API's listener and are a load balancer's: those whose first request has a `Host` that is
//! a name of one. Such names lead to this machine without any set-up, so a load balancer can be tried wherever the API
//! can.
//!
//! The connection is looked at, not read: what came in is still there for whoever serves it, and nothing of it passes
//! this process afterwards.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use hyper::Request;
use hyper::header::HOST;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What every load balancer's DNS name ends with.
pub const DNS_SUFFIX: &str = ".elb.localhost";
/// A `Host` that comes later than this is not looked for. Clients send it among their first headers.
const GLANCE_BYTES_MAX: usize = 4096;

pub type Passing = Pin<Box<dyn Future<Output = ()> + Send>>;
/// The data path: takes the connection of the client at this address, who asks for the load balancer of this DNS name.
pub type Front = Box<dyn Fn(TcpStream, SocketAddr, String) -> Passing + Send + Sync>;

/// The DNS name of the load balancer whose the connection is; `None`: it is the API's. Waits for the client to say so.
///
/// # Errors
/// When the connection is broken.
pub async fn load_balancer_of(stream: &TcpStream) -> io::Result<Option<String>> {
    let mut head = [0; GLANCE_BYTES_MAX];
    loop {
        let length = stream.peek(&mut head).await?;
        match glance(&head[..length]) {
            Glance::Named(name) => return Ok(Some(name)),
            Glance::Unclear if (1..head.len()).contains(&length) => more(stream).await?,
            Glance::Other | Glance::Unclear => return Ok(None),
        }
    }
}

/// Waits for more than is there already.
async fn more(stream: &TcpStream) -> io::Result<()> {
    // What has been looked at counts as read from here on: the next event is about what comes after it.
    let none: io::Result<()> = stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(none.is_err());
    stream.readable().await
}

#[derive(Debug, PartialEq, Eq)]
enum Glance {
    /// A load balancer's DNS name.
    Named(String),
    Other,
    /// Not enough is there to tell.
    Unclear,
}

/// What the beginning of an HTTP/1 request says. Whoever reads it judges it whole.
fn glance(head: &[u8]) -> Glance {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    match lines.next() {
        Some(line) if !line.ends_with(b"\n") => return Glance::Unclear,
        // HTTP/2 names its hosts in a way that is not told at a glance.
        Some(line) if !line.starts_with(b"PRI ") => {}
        _ => return Glance::Other,
    }
    for line in lines {
        let Some(line) = line.strip_suffix(b"\n") else { return Glance::Unclear };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Glance::Other;
        }
        let (name, value) = match line.split_at_checked(HOST.as_str().len()) {
            Some((name, [b':', value @ ..])) => (name, value),
            _ => continue,
        };
        if name.eq_ignore_ascii_case(HOST.as_str().as_bytes()) {
            let host = std::str::from_utf8(value).map(without_port).unwrap_or_default();
            return if is_name(host) { Glance::Named(host.to_owned()) } else { Glance::Other };
        }
    }
    Glance::Unclear
}

fn without_port(host: &str) -> &str {
    let host = host.trim();
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// Whether a load balancer may have this name.
fn is_name(host: &str) -> bool {
    // ASCII letters are the same in both cases here, and nothing else is a name of ours.
    let start = host.len().checked_sub(DNS_SUFFIX.len());
    start.and_then(|start| host.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(DNS_SUFFIX))
}

/// Whether the request is for a load balancer, although its connection did not look like one's.
pub fn is_load_balancers<B>(request: &Request<B>) -> bool {
    let named = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok().map(without_port));
    named.is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn names_of_load_balancers() {
        let check = |host: &str, expected: bool| {
            let request = Request::builder().header(HOST, host).body(()).unwrap();
            assert_eq!(is_load_balancers(&request), expected, "{host}");
        };
        check("web-1.us-east-1.elb.localhost:4566", true);
        check("WEB-1.us-east-1.ELB.localhost", true);
        check("localhost:4566", false);
        check("elb.localhost", false);
        check("127.0.0.1:4566", false);
        check("x.elb.localhost.example.com", false);
        check("", false);
    }

    #[test]
    fn a_glance_at_the_first_bytes() {
        let named = |name: &str| Glance::Named(name.to_owned());
        let check = |head: &str, expected| assert_eq!(glance(head.as_bytes()), expected, "{head:?}");
        check("GET / HTTP/1.1\r\nHost: a.elb.localhost:4566\r\n", named("a.elb.localhost"));
        check("GET / HTTP/1.1\r\naccept: */*\r\nhost:A.ELB.localhost\r\n\r\nbody", named("A.ELB.localhost"));
        check("GET / HTTP/1.1\nhost: a.elb.localhost\n", named("a.elb.localhost"));
        check("POST / HTTP/1.1\r\nHost: localhost:4566\r\n", Glance::Other);
        check("GET / HTTP/1.1\r\nHosts: a.elb.localhost\r\nHost: localhost\r\n", Glance::Other);
        check("GET / HTTP/1.0\r\n\r\nHost: a.elb.localhost\r\n", Glance::Other);
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Glance::Other);
        check("", Glance::Other);
        check("GET / HT", Glance::Unclear);
        check("GET / HTTP/1.1\r\nHost: a.elb.local", Glance::Unclear);
        check("GET / HTTP/1.1\r\n", Glance::Unclear);
        check("GET / HTTP/1.1\r\nHo\r\n", Glance::Unclear);
    }

    #[tokio::test]
    async fn a_name_that_comes_in_pieces_is_waited_for_and_left_to_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let looking = tokio::spawn(async move { (load_balancer_of(&stream).await, stream) });
        client.write_all(b"st: a.elb.").await.unwrap();
        client.write_all(b"localhost\r\n").await.unwrap();
        let (found, stream) = looking.await.unwrap();
        assert_eq!(found.unwrap().as_deref(), Some("a.elb.localhost"));
        let mut read = [0; 64];
        stream.readable().await.unwrap();
        let length = stream.try_read(&mut read).unwrap();
        assert_eq!(&read[..length], b"GET / HTTP/1.1\r\nHost: a.elb.localhost\r\n");
    }

    #[tokio::test]
    async fn a_client_that_goes_before_it_says_for_whom_it_came_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        drop(client);
        assert_eq!(load_balancer_of(&stream).await.unwrap(), None);
    }
}
