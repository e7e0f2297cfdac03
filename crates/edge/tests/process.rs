//! The data path as a process of its own sees its feeders: they come and go, and it serves on.

mod support;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use edge::handover::{Handed, hand_over};
use edge::link::{Begin, Ear, LinkError, Mouth, Order, Report, ends};
use edge::{Config, CookieKey, process};
use model::edge::{Snapshot, TargetHealth, TargetState};
use support::*;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixDatagram, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A data path with sockets in a directory of its own.
struct Process {
    directory: TempDir,
    end: oneshot::Sender<()>,
    running: JoinHandle<io::Result<()>>,
}

impl Process {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let feed = UnixListener::bind(directory.path().join("feed")).expect("a socket");
        let connections = UnixDatagram::bind(directory.path().join("connections")).expect("a socket");
        let (end, ended) = oneshot::channel();
        let run = async move {
            let ended = async { drop(ended.await) };
            process::run(feed, connections, ended).await
        };
        Self { directory, end, running: tokio::spawn(run) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn feeder(&self, build: &str) -> Feeder {
        Feeder::begin(&self.path("feed"), build).await
    }

    async fn ended(self) {
        timeout(LIMIT, self.running).await.expect("in time").expect("no panic").expect("sockets work");
    }
}

struct Feeder {
    mouth: Mouth<UnixStream>,
    ear: Ear<UnixStream>,
    answer: Report,
    /// Heard, and not asked for yet.
    facts: VecDeque<TargetHealth>,
}

impl Feeder {
    async fn begin(path: &Path, build: &str) -> Self {
        let (mut mouth, mut ear) = ends(UnixStream::connect(path).await.expect("it listens"));
        let traffic = Config { workers: 1, cookie_key: CookieKey([7; 32]), namespaces: None };
        let begin = Begin { build: build.to_owned(), traffic, names: None };
        mouth.say(&Order::Begin(Box::new(begin))).await.expect("it reads");
        let answer = ear.hear().await.expect("it answers");
        Self { mouth, ear, answer, facts: VecDeque::new() }
    }

    async fn serve(&mut self, snapshot: Snapshot) {
        self.mouth.say(&Order::Traffic(Box::new(snapshot))).await.expect("it reads");
        loop {
            match self.hear().await.expect("it is there") {
                Report::Serving => return,
                Report::Health(facts) => self.facts.extend(facts),
                _ => {}
            }
        }
    }

    async fn hear(&mut self) -> Result<Report, LinkError> {
        timeout(LIMIT, self.ear.hear()).await.expect("in time")
    }

    /// The next fact.
    async fn health(&mut self) -> TargetHealth {
        loop {
            if let Some(fact) = self.facts.pop_front() {
                return fact;
            }
            if let Report::Health(facts) = self.hear().await.expect("it is there") {
                self.facts.extend(facts);
            }
        }
    }

    async fn until_healthy(&mut self) {
        while self.health().await.state != TargetState::Healthy {}
    }
}

/// On a port that is known beforehand, for the link does not tell which one it got.
async fn snapshot_to(backend: &Backend) -> (Snapshot, std::net::SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let mut snapshot = plain(1, group("g", &[backend]));
    snapshot.load_balancers[0].listeners[0].port = free.port();
    (snapshot, free)
}

async fn get(address: std::net::SocketAddr) -> String {
    Client::connect(address).await.get("/").await.body
}

#[tokio::test]
async fn it_serves_on_without_a_feeder_and_tells_the_next_one_all_that_it_knows() {
    let backend = Backend::start("one").await;
    let (snapshot, address) = snapshot_to(&backend).await;
    let process = Process::start();
    let mut first = process.feeder("a").await;
    first.serve(snapshot.clone()).await;
    first.until_healthy().await;
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.get("/").await.body, "one");
    drop(first);
    assert_eq!(kept.get("/").await.body, "one");
    assert_eq!(get(address).await, "one");

    let mut second = process.feeder("a").await;
    assert!(matches!(second.answer, Report::Begun));
    let known = second.health().await;
    assert_eq!((known.address, known.state), (backend.address, TargetState::Healthy));
    second.serve(snapshot).await;
    assert_eq!(kept.get("/").await.body, "one", "what is left as it was keeps its connections");
}

#[tokio::test]
async fn a_newer_feeder_takes_the_place_of_one_that_hangs() {
    let backend = Backend::start("one").await;
    let (snapshot, _) = snapshot_to(&backend).await;
    let process = Process::start();
    let mut old = process.feeder("a").await;
    let mut new = process.feeder("a").await;
    assert!(matches!(new.answer, Report::Begun));
    assert!(matches!(old.hear().await, Err(LinkError::Gone)));
    new.serve(snapshot).await;
}

#[tokio::test]
async fn one_that_needs_another_set_up_finds_nothing_listened_on_once_it_is_refused() {
    let backend = Backend::start("one").await;
    let (snapshot, address) = snapshot_to(&backend).await;
    let process = Process::start();
    let mut first = process.feeder("a").await;
    first.serve(snapshot).await;
    first.until_healthy().await;
    let mut other = process.feeder("b").await;
    assert!(matches!(other.answer, Report::Refused));
    assert!(matches!(other.hear().await, Err(LinkError::Gone)));
    TcpListener::bind(address).await.expect("it is free");
    UnixStream::connect(process.path("feed")).await.expect_err("nobody listens");
    process.ended().await;
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_by_either() {
    let told = Process::start();
    let mut feeder = told.feeder("a").await;
    feeder.mouth.say(&Order::End).await.expect("it reads");
    told.ended().await;

    let Process { end, running, directory: _directory } = Process::start();
    end.send(()).expect("it runs");
    timeout(LIMIT, running).await.expect("in time").expect("no panic").expect("sockets work");
}

#[tokio::test]
async fn nonsense_ends_its_own_link_only() {
    let process = Process::start();
    let mut feeder = process.feeder("a").await;
    feeder.mouth.say(&"nonsense").await.expect("it reads");
    while feeder.hear().await.is_ok() {}
    let again = process.feeder("a").await;
    assert!(matches!(again.answer, Report::Begun));
}

#[tokio::test]
async fn connections_come_by_descriptor() {
    let backend = Backend::start("one").await;
    let (snapshot, _) = snapshot_to(&backend).await;
    let port = snapshot.load_balancers[0].listeners[0].port;
    let process = Process::start();
    let connections = process.path("connections");
    let front = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let handed = |client| Handed { client, dns_name: "a.elb.localhost".to_owned(), port };

    let mut feeder = process.feeder("a").await;
    feeder.serve(snapshot).await;
    feeder.until_healthy().await;
    UnixDatagram::unbound().expect("a socket").send_to(b"nonsense", &connections).await.expect("it is taken");
    let mut client = Client::connect(front.local_addr().expect("bound")).await;
    let (stream, address) = front.accept().await.expect("it came");
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    hand_over(&connections, &stream, &handed(address)).await.expect("there is room");
    drop(stream);
    assert_eq!(client.answer().await.body, "one");

    let gone = process.path("nowhere");
    let stream = TcpStream::connect(front.local_addr().expect("bound")).await.expect("it listens");
    let refused = timeout(LIMIT, hand_over(&gone, &stream, &handed(address))).await;
    assert!(refused.expect("at once").is_err());
}
