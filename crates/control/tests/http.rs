//! The server on real sockets: its limits, its time-outs, its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::serve::http::{BODY_BYTES_MAX, LOGS_BODY_BYTES_MAX};
use control::{Auth, Clock, Config, Control};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use store::log::memory::MemoryDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(120);

struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { auth: Auth::Off, ..Config::new(directory.path()) };
        let control: Arc<Control> = Control::open_with(config, MemoryDisk::new().log(), Clock::System).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            control.serve(listener, async { drop(stopped.await) }).await;
        });
        Self { address, stop: Some(stop), served, _directory: directory }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.served).await.expect("the server ends").unwrap();
    }
}

/// Reads one HTTP/1 answer: status and body.
async fn read_answer(stream: &mut TcpStream) -> (u16, String) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(answer) = parse_answer(&seen) {
            return answer;
        }
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
}

fn parse_answer(seen: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(seen);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))?
        .parse()
        .ok()?;
    (body.len() >= length).then(|| (head[9..12].parse().unwrap(), body[..length].to_owned()))
}

const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

fn head(target: &str, length: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: {target}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn health_and_calls_share_one_connection() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /gantry/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let (status, body) = read_answer(&mut stream).await;
        let health: control::health::Health = serde_json::from_str(&body).unwrap();
        assert_eq!((status, health.api, health.agent, health.is_ready()), (200, true, false, false));
        let call = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{IDENTITY}",
            IDENTITY.len()
        );
        stream.write_all(call.as_bytes()).await.unwrap();
        let (status, body) = read_answer(&mut stream).await;
        assert_eq!(status, 200, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let server = Server::start().await;
    let cases = [
        ("AmazonEC2ContainerServiceV20141113.ListClusters", BODY_BYTES_MAX + 1),
        ("Logs_20140328.PutLogEvents", LOGS_BODY_BYTES_MAX + 1),
    ];
    for (target, length) in cases {
        let mut stream = server.connect().await;
        stream.write_all(head(target, length).as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let (status, body) = read_answer(&mut stream).await;
        assert_eq!(status, 413, "{body}");
        assert!(body.contains("RequestEntityTooLargeException"), "{body}");
    }
    // Absurd ones are refused by their head alone.
    let mut stream = server.connect().await;
    let target = "AmazonEC2ContainerServiceV20141113.ListClusters";
    stream.write_all(head(target, usize::MAX / 4).as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.0, 413);
    // A chunked body tells its length only by growing.
    let mut stream = server.connect().await;
    let chunked = head("AmazonEC2ContainerServiceV20141113.ListClusters", 0)
        .replace("content-length: 0", "transfer-encoding: chunked");
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    for _ in 0..17 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.0, 413);

    let mut stream = server.connect().await;
    let body = format!("{{\"logGroupName\":\"none\"{}}}", " ".repeat(2 << 20));
    stream.write_all(head("Logs_20140328.DeleteLogGroup", body.len()).as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let (status, body) = read_answer(&mut stream).await;
    assert!(status == 400 && body.contains("ResourceNotFoundException"), "{body}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_sender_is_told_so() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    stream.write_all(head("AmazonEC2ContainerServiceV20141113.ListClusters", 2).as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let (status, body) = read_answer(&mut stream).await;
    assert!(status == 408 && body.contains("RequestTimeout"), "{status} {body}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_http_does_no_harm() {
    let server = Server::start().await;
    let headers = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    for junk in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n", &headers] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(junk.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    }
    let mut stream = server.connect().await;
    stream.write_all(b"GET /gantry/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut stream).await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn http2_without_tls_is_spoken_too() {
    let server = Server::start().await;
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}/", server.address))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(IDENTITY)))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers()["x-amzn-requestid"].is_empty());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"<"), "{body:?}");
    drop(sender);
    let _ = connection.await;
    server.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_no_idle_connection() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /gantry/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_answer(&mut idle).await;
    let address = server.address;
    let begun = std::time::Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < control::serve::http::SHUTDOWN_GRACE, "an idle connection held the server");
    assert!(TcpStream::connect(address).await.is_err(), "the port is free");
}

/// Reads until what was answered holds this text.
async fn read_to(stream: &mut TcpStream, seen: &mut String, text: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("more in time").unwrap();
        assert!(read > 0, "no {text} in {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

async fn call(server: &Server, operation: &str, body: &str) {
    let mut stream = server.connect().await;
    let head = head(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let (status, answer) = read_answer(&mut stream).await;
    assert_eq!(status, 200, "{operation}: {answer}");
}

#[tokio::test]
async fn events_are_lines_until_the_server_ends() {
    let server = Server::start().await;
    let read = |body: &'static str| {
        format!("POST /gantry/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let mut following = server.connect().await;
    following.write_all(read(r#"{"follow": true}"#).as_bytes()).await.unwrap();
    let mut seen = String::new();
    read_to(&mut following, &mut seen, "\r\n\r\n").await;
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");

    call(&server, "CreateCluster", "{}").await;
    let container = r#"{"family": "job", "containerDefinitions": [{"name": "app", "image": "one", "memory": 64}]}"#;
    call(&server, "RegisterTaskDefinition", container).await;
    call(&server, "CreateService", r#"{"serviceName": "job", "taskDefinition": "job", "desiredCount": 1}"#).await;
    read_to(&mut following, &mut seen, "SERVICE_TASK_PLACEMENT_FAILURE").await;

    // Without following, what was lately, and then the end.
    let mut once = server.connect().await;
    once.write_all(read("").as_bytes()).await.unwrap();
    let mut lately = String::new();
    read_to(&mut once, &mut lately, "\r\n0\r\n\r\n").await;
    assert!(lately.contains("SERVICE_DEPLOYMENT_IN_PROGRESS") && lately.contains("SERVICE_TASK_PLACEMENT_FAILURE"));

    let mut wrong = server.connect().await;
    wrong.write_all(read(r#"{"folow": true}"#).as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut wrong).await.0, 400);

    let began = std::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed() < control::serve::http::SHUTDOWN_GRACE, "a reader held the server up");
    read_to(&mut following, &mut seen, "\r\n0\r\n\r\n").await;
}
