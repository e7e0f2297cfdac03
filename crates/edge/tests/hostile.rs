//! Clients that mean harm or are broken: what they send reaches no target in a form that could be read in two ways, and
//! they stand in nobody's way.

mod support;

use std::time::{Duration, Instant};

use model::edge::{LoadBalancerAttributes, Snapshot};
use support::*;
use tokio::time::{sleep, timeout};

async fn site() -> (Backend, Site) {
    let backend = Backend::start("one").await;
    let site = Site::healthy(plain(1, group("g", &[&backend]))).await;
    (backend, site)
}

/// Sends `request` on a connection of its own. The status, and whether the connection stays open.
async fn send(site: &Site, request: &str) -> (u16, bool) {
    let mut client = site.client().await;
    client.send(request).await;
    let answer = client.answer().await;
    let closes = answer.header("connection") == Some("close");
    if closes {
        assert_eq!(client.rest().await, "", "nothing is answered after the connection's last answer");
    }
    (answer.status, !closes)
}

#[tokio::test]
async fn ambiguous_or_broken_requests_are_refused_and_their_connections_closed() {
    let (backend, site) = site().await;
    let cases = [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n x-folded: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: 1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
        "nonsense\r\n\r\n",
    ];
    for request in cases {
        assert_eq!(send(&site, request).await, (400, false), "{request:?}");
    }
    assert_eq!(send(&site, "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n").await, (405, false));
    assert_eq!(backend.requests(), 0, "none of them reached the target");
}

#[tokio::test]
async fn a_request_with_two_framings_is_one_request_with_one_framing() {
    let (backend, site) = site().await;
    for framings in [
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 6",
        "content-length: 999\r\ntransfer-encoding: Chunked",
    ] {
        let before = backend.requests();
        let mut client = site.client().await;
        client.send(format!("POST /echo HTTP/1.1\r\nhost: a\r\n{framings}\r\n\r\n")).await;
        client.send("0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.contains("content-length: 6") && !answer.body.contains("smuggled"), "{}", answer.body);
        assert_eq!(client.rest().await, "", "what comes after is not read");
        assert_eq!(backend.requests(), before + 1);
    }
}

#[tokio::test]
async fn wrong_chunks_break_the_request_off() {
    let (_backend, site) = site().await;
    for chunks in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "ffffffffffffffffff\r\nabc",
        "3 \u{b}\r\nabc",
    ] {
        let mut client = site.client().await;
        client.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        client.try_send(chunks).await;
        let rest = client.rest().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{chunks:?}: {rest}");
    }
}

#[tokio::test]
async fn a_target_that_answers_ambiguously_is_not_believed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(lie(listener, answer));
        let mut spec = group("g", &[]);
        spec.targets = vec![target(address)];
        spec.health_check.interval_seconds = 300;
        let site = Site::healthy(plain(1, spec)).await;
        let mut client = site.client().await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 502, "{answer:?}");
    }
}

/// Healthy when asked for it, and otherwise `answer`.
async fn lie(listener: tokio::net::TcpListener, answer: &'static str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = vec![0; 4096];
        let Ok(read) = stream.read(&mut head).await else { continue };
        let is_check = head[..read].starts_with(b"GET /health");
        let answer = if is_check { "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" } else { answer };
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let (backend, site) = site().await;
    let header = |length: usize| format!("x-long: {}\r\n", "a".repeat(length));
    let get = |headers: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
    assert_eq!(send(&site, &get(&header(15 << 10))).await, (200, true));
    assert_eq!(send(&site, &get(&header(17 << 10))).await.0, 431);
    assert_eq!(send(&site, &get(&header(15 << 10).repeat(5))).await.0, 431);
    assert_eq!(send(&site, &get(&"a: b\r\n".repeat(200))).await.0, 431);
    let long = "a".repeat(17 << 10);
    assert_eq!(send(&site, &format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n")).await.0, 414);
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn a_head_without_an_end_is_not_read_for_ever() {
    let (_backend, site) = site().await;
    let mut client = site.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
    let piece = "x: y\r\n".repeat(1000);
    let mut sent = 0;
    while client.try_send(&piece).await {
        sent += piece.len();
        assert!(sent < 4 << 20, "{sent} bytes were taken");
    }
}

/// Of connections that idle for three seconds, which is long enough for a test to be held up by others.
fn impatient(backend: &Backend) -> Snapshot {
    let mut snapshot = plain(1, group("g", &[backend]));
    snapshot.load_balancers[0].attributes =
        LoadBalancerAttributes { idle_timeout_seconds: 3, ..LoadBalancerAttributes::default() };
    snapshot
}

#[tokio::test]
async fn clients_that_dawdle_are_left() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(impatient(&backend)).await;
    let mut silent = site.client().await;
    assert_eq!(silent.rest().await, "");
    let mut idle = site.client().await;
    idle.get("/").await;
    assert_eq!(idle.rest().await, "");
    let mut slow = site.client().await;
    let started = Instant::now();
    while slow.try_send("G").await {
        assert!(started.elapsed() < LIMIT, "a head may take as long as it likes");
        sleep(Duration::from_millis(100)).await;
    }
    let mut slow_body = site.client().await;
    slow_body.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await;
    assert_eq!(slow_body.answer().await.status, 408);
    let mut tunnel = site.client().await;
    tunnel.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(tunnel.answer().await.status, 101);
    assert_eq!(tunnel.rest().await, "");
}

#[tokio::test]
async fn a_body_that_keeps_coming_slowly_is_no_idling() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(impatient(&backend)).await;
    let mut client = site.client().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n").await;
    for _ in 0..8 {
        sleep(Duration::from_millis(500)).await;
        client.send("a").await;
    }
    assert!(client.answer().await.body.ends_with("aaaaaaaa"));
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_504() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(impatient(&backend)).await;
    assert_eq!(site.get("/hold").await.status, 504);
    let mut client = site.client().await;
    client.send("GET /halves HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.chunk().await, "first");
    assert_eq!(client.rest().await, "", "an answer that stops in the middle ends its connection");
}

#[tokio::test]
async fn a_client_that_goes_away_is_forgotten_and_its_target_free() {
    let (backend, site) = site().await;
    let mut client = site.client().await;
    client.send("GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await;
    backend.state.held.notified().await;
    drop(client);
    let mut spec = group("g", &[&backend]);
    spec.targets[0].draining_since = Some(model::Timestamp(i64::MAX));
    site.apply(plain(2, spec)).await;
    site.until_health(backend.address, |health| health.drained).await;
}

#[tokio::test]
async fn half_open_connections_and_nonsense_leave_others_alone() {
    let (_backend, site) = site().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut client = site.client().await;
        client.send("GET / HT").await;
        crowd.push(client);
    }
    for _ in 0..20 {
        let mut noise = site.client().await;
        noise.try_send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
        noise.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").await;
        crowd.push(noise);
    }
    assert_eq!(timeout(LIMIT, site.get("/")).await.expect("in time").status, 200);
}

/// Opens streams and resets each at once, over and over.
#[tokio::test]
async fn rapid_resets_end_the_connection_that_makes_them() {
    let (_backend, site) = site().await;
    let mut client = site.client().await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // :method GET, :scheme http, :path /, and an indexed :authority with the value a.
    let fields = b"\x82\x86\x84\x41\x01a";
    for stream in 0..20_000u32 {
        let id = (stream * 2 + 1).to_be_bytes();
        let mut frames = vec![0, 0, fields.len() as u8, 1, 5];
        frames.extend(id);
        frames.extend(fields);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(id);
        frames.extend([0, 0, 0, 8]);
        if !client.try_send(&frames).await {
            break;
        }
    }
    // GOAWAY with ENHANCE_YOUR_CALM: it was the resets that were too many.
    assert!(client.receives_frame(7, |payload| payload[4..8] == [0, 0, 0, 11]).await);
    assert_eq!(site.get("/").await.status, 200);
}
