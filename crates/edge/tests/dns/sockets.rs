//! The name server over UDP and TCP, and its upstreams.

use std::net::SocketAddr;

use edge::dns::{Config, Dns, Upstreams};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use model::dns::{Records, Routing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::support::{SOON, ask_by_udp, config, question, set, snapshot};

async fn start(config: Config) -> (Dns, SocketAddr) {
    let dns = Dns::start(config, &snapshot()).unwrap();
    let mut bound = dns.bound();
    let server = timeout(SOON, bound.wait_for(|bound| !bound.is_empty())).await.unwrap().unwrap()[0].1;
    (dns, server)
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, bytes].concat()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Message {
    let read = async {
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        Message::from_vec(&bytes).unwrap()
    };
    timeout(SOON, read).await.expect("an answer in time")
}

/// Answers every question with an address of its own; says SERVFAIL to all when it `fails`.
async fn upstream(address: u8, fails: bool) -> SocketAddr {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(server).await.unwrap();
    let answer = move |question: &[u8]| {
        let mut message = Message::from_vec(question).unwrap();
        message.metadata.message_type = MessageType::Response;
        if fails {
            message.metadata.response_code = ResponseCode::ServFail;
        } else {
            let name = message.queries[0].name.clone();
            message.add_answer(Record::from_rdata(name, 5, RData::A(A::new(192, 0, 2, address))));
        }
        message.to_vec().unwrap()
    };
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, client)) = udp.recv_from(&mut buffer).await {
            // Somebody who guesses is not believed.
            let mut forged = answer(&buffer[..length]);
            forged[0] ^= 0xff;
            udp.send_to(&forged, client).await.unwrap();
            udp.send_to(&answer(&buffer[..length]), client).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut question).await.unwrap();
            send(&mut stream, &answer(&question)).await;
        }
    });
    server
}

fn data(answer: &Message) -> Vec<String> {
    answer.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn one_connection_takes_many_questions() {
    let (_dns, server) = start(config()).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for (name, expected) in [("all.corp.local.", 200), ("web.corp.local.", 3), ("none.corp.local.", 0)] {
        send(&mut stream, &question(name, RecordType::A).to_vec().unwrap()).await;
        assert_eq!(receive(&mut stream).await.answers.len(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_new_snapshot_is_answered_by_at_once() {
    let (dns, server) = start(config()).await;
    let mut newer = snapshot();
    newer.zones[0].records = vec![set("new.corp.local", Routing::Simple, Records::A(vec![[10, 9, 9, 9].into()]))];
    dns.apply(&newer);
    assert_eq!(data(&ask_by_udp(server, &question("new.corp.local.", RecordType::A)).await), ["10.9.9.9"]);
    let gone = ask_by_udp(server, &question("web.corp.local.", RecordType::A)).await;
    assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn other_names_are_what_the_upstream_says() {
    let upstreams = Upstreams::These(vec![upstream(1, false).await]);
    let (_dns, server) = start(Config { upstreams, ..config() }).await;
    let message = question("example.com.", RecordType::A);
    let answer = ask_by_udp(server, &message).await;
    assert_eq!((data(&answer), answer.metadata.id), (vec!["192.0.2.1".to_owned()], 7));
    let mut stream = TcpStream::connect(server).await.unwrap();
    send(&mut stream, &message.to_vec().unwrap()).await;
    assert_eq!(data(&receive(&mut stream).await), ["192.0.2.1"]);
}

#[tokio::test]
async fn an_upstream_that_fails_or_is_silent_gives_way_to_the_next() {
    // Bound and never read.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let servers = vec![upstream(1, true).await, silent.local_addr().unwrap(), upstream(2, false).await];
    let (_dns, server) = start(Config { upstreams: Upstreams::These(servers), ..config() }).await;
    assert_eq!(data(&ask_by_udp(server, &question("example.com.", RecordType::A)).await), ["192.0.2.2"]);
}

#[tokio::test]
async fn names_of_our_zones_need_no_upstream_and_others_fail_without() {
    let (_dns, server) = start(config()).await;
    assert_eq!(ask_by_udp(server, &question("web.corp.local.", RecordType::A)).await.answers.len(), 3);
    let failed = ask_by_udp(server, &question("example.com.", RecordType::A)).await;
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn strangers_get_no_answer() {
    let clients = vec!["10.0.0.0/8".parse().unwrap()];
    let (_dns, server) = start(Config { clients, ..config() }).await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    let message = question("web.corp.local.", RecordType::A).to_vec().unwrap();
    let _ = stream.write_all(&message).await;
    let closed = timeout(SOON, stream.read_u8()).await.expect("closed in time");
    assert!(closed.is_err(), "a stranger was answered");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message, server).await.unwrap();
    // The server saw it before the connection that follows, and said nothing.
    let mut stream = TcpStream::connect(server).await.unwrap();
    let _ = timeout(SOON, stream.read_u8()).await.expect("closed in time");
    assert!(socket.try_recv(&mut [0; 512]).is_err(), "a stranger was answered");
}

#[tokio::test]
async fn it_ends_and_frees_its_address() {
    let (dns, server) = start(config()).await;
    drop(dns);
    UdpSocket::bind(server).await.expect("free again");
}
