//! HTTP/2 frames that are wrong or too many: the connection that they come on ends, in words where there are any, and
//! nobody else notices.

mod support;

use support::*;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// :method GET, :scheme http, :path /, and an indexed :authority with the value a.
const FIELDS: &[u8] = b"\x82\x86\x84\x41\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn site() -> (Backend, Site) {
    let backend = Backend::start("one").await;
    let site = Site::healthy(plain(1, group("g", &[&backend]))).await;
    (backend, site)
}

async fn begin(site: &Site) -> Client {
    let mut client = site.client().await;
    client.send(PREFACE).await;
    client
}

#[tokio::test]
async fn wrong_frames_end_their_connection_only() {
    let (backend, site) = site().await;
    let cases: [(&str, Vec<u8>); 13] = [
        ("a frame larger than any", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]),
        ("data of no stream", frame(DATA, 0, 0, b"x")),
        ("data of a stream that is not open", frame(DATA, 0, 1, b"x")),
        ("a stream of the server's", frame(HEADERS, END_HEADERS | END_STREAM, 2, FIELDS)),
        ("headers of no stream", frame(HEADERS, END_HEADERS | END_STREAM, 0, FIELDS)),
        ("a header that is in no table", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f")),
        ("a table larger than allowed", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\xff\x07")),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, FIELDS)),
        ("a reset of a stream that is not open", frame(RST_STREAM, 0, 1, &[0; 4])),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5])),
        ("a ping that is too short", frame(PING, 0, 0, &[0; 7])),
        ("no credit at all", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("more credit than there can be", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
    ];
    for (what, bytes) in &cases {
        let mut client = begin(&site).await;
        client.send(bytes).await;
        let ends = timeout(LIMIT, client.receives_frame(GOAWAY, |payload| payload[4..8] != [0; 4])).await;
        assert!(ends.expect("in time"), "{what}");
    }
    assert_eq!(site.get("/").await.status, 200);
    assert_eq!(backend.requests(), 1);
}

/// A head that never ends costs no more memory than one that is too large.
#[tokio::test]
async fn heads_that_go_on_for_ever_end_their_connection() {
    let (backend, site) = site().await;
    let mut client = begin(&site).await;
    client.send(frame(HEADERS, END_STREAM, 1, FIELDS)).await;
    let more = frame(CONTINUATION, 0, 1, &[&b"\x00\x01a\x7f\xff\x7e"[..], &[b'x'; 16_000]].concat());
    let mut was_refused = false;
    for _ in 0..1000 {
        was_refused = !client.try_send(&more).await;
        if was_refused {
            break;
        }
    }
    assert!(was_refused, "16 MB of one head were taken");
    assert_eq!(site.get("/").await.status, 200);
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn empty_continuations_without_an_end_end_their_connection() {
    let (_backend, site) = site().await;
    let mut client = begin(&site).await;
    client.send(frame(HEADERS, END_STREAM, 1, FIELDS)).await;
    let nothing = frame(CONTINUATION, 0, 1, b"").repeat(1000);
    let mut was_refused = false;
    for _ in 0..1000 {
        was_refused = !client.try_send(&nothing).await;
        if was_refused {
            break;
        }
    }
    assert!(was_refused, "a million empty frames were taken");
    assert_eq!(site.get("/").await.status, 200);
}

/// A few bytes that stand for many: one long header, put into the table once and named again and again.
#[tokio::test]
async fn small_heads_that_unpack_into_large_ones_reach_no_target() {
    let (backend, site) = site().await;
    let mut client = begin(&site).await;
    let long = [&b"\x40\x01a\x7f\xa1\x1e"[..], &[b'x'; 4000]].concat();
    // The newest entry of the table is number 62.
    let head = [FIELDS, &long, &[0xbe; 1000]].concat();
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)).await;
    // 431, or the stream or the connection is ended.
    let refused = client.receives_frame(HEADERS, |payload| payload.windows(3).any(|text| text == b"431"));
    let _ = timeout(LIMIT, refused).await;
    assert_eq!(site.get("/").await.status, 200);
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn pings_and_settings_without_end_hold_nobody_up() {
    let (_backend, site) = site().await;
    let flood = [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])].concat().repeat(500);
    let mut client = begin(&site).await;
    // Its answers are not read. Sooner or later no more is taken from it, or it is ended.
    let flooding = async { while client.try_send(&flood).await {} };
    let asking = async {
        for _ in 0..50 {
            assert_eq!(site.get("/").await.status, 200);
        }
    };
    tokio::select! {
        () = asking => {}
        () = async { flooding.await; std::future::pending().await } => {}
    }
}
