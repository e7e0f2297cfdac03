//! HTTP/1.0, HTTP/1.1, HTTP/2, gRPC and what connections are upgraded to.

mod support;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::edge::ProtocolVersion;
use support::*;
use tokio::net::{TcpListener, TcpStream};

async fn one(version: ProtocolVersion) -> (Backend, Site) {
    let backend = Backend::start("one").await;
    let spec = model::edge::TargetGroupSpec { protocol_version: version, ..group("g", &[&backend]) };
    let site = Site::healthy(plain(1, spec)).await;
    (backend, site)
}

async fn http2_client(site: &Site) -> http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(site.address(LISTENER).await).await.expect("it listens");
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://a.example.com{path}"))
        .version(Version::HTTP_2)
        .body(Full::new(Bytes::from(body)))
        .expect("a request")
}

#[tokio::test]
async fn bodies_of_known_and_of_unknown_length_come_through() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await;
    let body = client.answer().await.body;
    assert!(body.ends_with("\n\nhello") && body.contains("content-length: 5\n"), "{body}");
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.send("3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\n\r\n").await;
    let body = client.answer().await.body;
    assert!(body.ends_with("\n\nhello") && body.contains("transfer-encoding: chunked\n"), "{body}");
    assert_eq!(client.get("/").await.body, "one", "the connection is still in step");
}

#[tokio::test]
async fn an_answer_comes_through_as_it_is_made() {
    let (backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("GET /halves HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunk().await, "first");
    backend.state.release.notify_one();
    assert_eq!(client.chunks().await, "second");
}

#[tokio::test]
async fn heads_only_and_old_clients() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = client.answer_to("HEAD").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("3")));
    assert_eq!(client.get("/").await.body, "one");
    let mut old = site.client().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.body, "one");
    assert_eq!(old.rest().await, "", "without keep-alive an HTTP/1.0 connection is closed");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_continue_is_told() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("ok").await;
    let answer = client.answer().await;
    assert!(answer.body.ends_with("\n\nok") && !answer.body.contains("expect"), "{}", answer.body);
}

#[tokio::test]
async fn headers_of_the_targets_hop_stay_there() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let answer = site.get("/hops").await;
    assert_eq!((answer.header("x-hop"), answer.header("connection")), (None, None));
}

#[tokio::test]
async fn many_requests_at_once_on_one_http2_connection() {
    let (backend, site) = one(ProtocolVersion::Http1).await;
    let sender = http2_client(&site).await;
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { sender.send_request(request("GET", "/", "")).await.expect("answered").status() })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.expect("no panic"), 200);
    }
    assert_eq!(backend.requests(), 50);
    let answer = sender.clone().send_request(request("POST", "/echo", "hello")).await.expect("answered");
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(body.starts_with("POST /echo HTTP/1.1\n") && body.contains("host: a.example.com:0\n"), "{body}");
}

#[tokio::test]
async fn http2_targets_get_http2() {
    let (_backend, site) = one(ProtocolVersion::Http2).await;
    let mut sender = http2_client(&site).await;
    let answer = sender.send_request(request("POST", "/echo", "hello")).await.expect("answered");
    let body = answer.into_body().collect().await.expect("whole").to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(body.starts_with("POST http://a.example.com:0/echo HTTP/2.0\n"), "{body}");
    assert!(body.ends_with("\n\nhello"), "{body}");
}

#[tokio::test]
async fn grpc_comes_through_with_its_trailers() {
    let backend = Backend::start("one").await;
    let mut spec = group("g", &[&backend]);
    spec.protocol_version = ProtocolVersion::Grpc;
    spec.health_check.path = "/grpc".to_owned();
    spec.health_check.matcher = model::edge::Matcher::GrpcCode(vec![(0, 0)]);
    let site = Site::healthy(plain(1, spec)).await;
    let mut sender = http2_client(&site).await;
    let mut call = request("POST", "/grpc", "\0\0\0\0\u{2}hi");
    call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
    call.headers_mut().insert("te", "trailers".parse().expect("a value"));
    let answer = sender.send_request(call).await.expect("answered");
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let body = answer.into_body().collect().await.expect("whole");
    assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "\0\0\0\0\u{2}hi");
}

#[tokio::test]
async fn versions_that_do_not_go_together_are_told_so() {
    let grpc = |mut request: Request<Full<Bytes>>| {
        request.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        request
    };
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut sender = http2_client(&site).await;
    let answer = sender.send_request(grpc(request("POST", "/", ""))).await.expect("answered");
    assert_eq!(answer.status().as_u16(), 464);
    let (_backend, site) = one(ProtocolVersion::Http2).await;
    assert_eq!(site.get("/").await.status, 464);
}

#[tokio::test]
async fn websockets_and_other_upgrades_are_tunnelled() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    for text in ["hello", "again"] {
        client.send(text).await;
        assert_eq!(client.exactly(5).await, text.to_ascii_uppercase());
    }
    client.send("bye").await;
    assert_eq!(client.rest().await, "", "the end of one side is the end of the other");
}

#[tokio::test]
async fn an_upgrade_that_would_hide_requests_does_not_pass() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let mut client = site.client().await;
    client.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\n").await;
    client.send("upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "no upgrade");
}

#[tokio::test]
async fn a_connection_can_be_handed_over_by_another_server() {
    let (_backend, site) = one(ProtocolVersion::Http1).await;
    let front = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut named = handed_over(&site, &front, "A.elb.localhost").await;
    named.send("POST /echo HTTP/1.1\r\nhost: a.elb.localhost:8080\r\ncontent-length: 5\r\n\r\nhello").await;
    let body = named.answer().await.body;
    assert!(body.ends_with("\n\nhello") && body.contains("x-forwarded-for: 127.0.0.1\n"), "{body}");
    named.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(named.answer().await.status, 101);
    named.send("hello").await;
    assert_eq!(named.exactly(5).await, "HELLO");

    let mut unknown = handed_over(&site, &front, "b.elb.localhost").await;
    unknown.send("GET / HTTP/1.1\r\nhost: b.elb.localhost\r\n\r\n").await;
    assert_eq!(unknown.answer().await.status, 404);
}

/// A client of `front` that asks for a load balancer, on the port that its listener asks for.
async fn handed_over(site: &Site, front: &TcpListener, dns_name: &str) -> Client {
    let client = Client::connect(front.local_addr().expect("bound")).await;
    let (stream, address) = front.accept().await.expect("it came");
    site.edge.take(stream.into_std().expect("a socket"), address, dns_name, 0).await;
    client
}
