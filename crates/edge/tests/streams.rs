//! Network load balancers: connections and datagrams to one target and back, which one, who it is told has come, and
//! when it ends.

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use model::edge::{
    CheckProtocol, ConnectionAttributes, ListenerProtocol, Snapshot, Stickiness, TargetGroupSpec, TargetProtocol,
    TargetSpec, TargetState,
};
use support::{LIMIT, LISTENER, Site, group, listener, load_balancer, rule, to};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

/// Says its name, then echoes what it is told.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                if stream.write_all(name.as_bytes()).await.is_ok() {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                }
            });
        }
    });
    address
}

fn streams(targets: &[SocketAddr]) -> TargetGroupSpec {
    let mut spec = group("group/a", &[]);
    spec.protocol = TargetProtocol::Tcp;
    spec.health_check.protocol = CheckProtocol::Tcp;
    spec.targets = targets.iter().map(|address| support::target(*address)).collect();
    spec
}

fn snapshot(revision: u64, protocol: ListenerProtocol, group: TargetGroupSpec) -> Snapshot {
    let mut listener = listener(LISTENER, vec![rule(vec![], to(&[("group/a", 1)]))]);
    listener.protocol = protocol;
    Snapshot {
        revision,
        load_balancers: vec![load_balancer(vec![listener])],
        target_groups: vec![group],
        ..Snapshot::default()
    }
}

fn tcp(revision: u64, group: TargetGroupSpec) -> Snapshot {
    snapshot(revision, ListenerProtocol::Tcp, group)
}

async fn connect(site: &Site) -> TcpStream {
    TcpStream::connect(site.address(LISTENER).await).await.expect("it listens")
}

async fn exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(LIMIT, stream.read_exact(&mut bytes)).await.expect("in time").expect("bytes");
    bytes
}

/// Closed, in whichever way.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("in time");
    read.is_err() || rest.is_empty()
}

#[tokio::test]
async fn bytes_go_to_a_target_and_come_back() {
    let site = Site::healthy(tcp(1, streams(&[echo("a").await]))).await;
    let mut stream = connect(&site).await;
    assert_eq!(exactly(&mut stream, 1).await, b"a");
    stream.write_all(b"hello").await.expect("written");
    assert_eq!(exactly(&mut stream, 5).await, b"hello");
    // One end's end is passed on, and the other may go on until its own.
    stream.shutdown().await.expect("shut down");
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn connections_are_spread_and_a_sticky_client_stays() {
    let targets = [echo("a").await, echo("b").await];
    let names = async |site: &Site| {
        let mut names = BTreeSet::new();
        for _ in 0..40 {
            names.insert(exactly(&mut connect(site).await, 1).await);
        }
        names.len()
    };
    let site = Site::healthy(tcp(1, streams(&targets))).await;
    assert_eq!(names(&site).await, 2);
    site.apply(tcp(2, TargetGroupSpec { stickiness: Some(Stickiness::SourceIp), ..streams(&targets) })).await;
    assert_eq!(names(&site).await, 1);
}

#[tokio::test]
async fn an_address_that_keeps_to_its_zone_does_so_while_a_target_is_there() {
    let (near, far) = (echo("n").await, echo("f").await);
    let zoned = |targets: &[(SocketAddr, &str)]| {
        let mut spec = streams(&[]);
        let target = |(address, zone): &(SocketAddr, &str)| TargetSpec {
            zone: Some((*zone).to_owned()),
            ..support::target(*address)
        };
        spec.targets = targets.iter().map(target).collect();
        let mut snapshot = tcp(targets.len() as u64, spec);
        snapshot.load_balancers[0].zones = [("127.0.0.1".parse().expect("an address"), "one".to_owned())].into();
        snapshot
    };
    let site = Site::healthy(zoned(&[(far, "two")])).await;
    assert_eq!(exactly(&mut connect(&site).await, 1).await, b"f");
    site.apply(zoned(&[(far, "two"), (near, "one")])).await;
    site.until(near, TargetState::Healthy).await;
    for _ in 0..20 {
        assert_eq!(exactly(&mut connect(&site).await, 1).await, b"n");
    }
}

#[tokio::test]
async fn a_target_is_told_who_the_client_is_where_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut spec = streams(&[listener.local_addr().expect("bound")]);
    spec.connections.proxy_protocol_v2 = true;
    spec.health_check.interval_seconds = 300;
    let site = Site::healthy(tcp(1, spec)).await;
    let (_check, _) = timeout(LIMIT, listener.accept()).await.expect("in time").expect("a health check");
    let mut client = connect(&site).await;
    client.write_all(b"hello").await.expect("written");
    let (mut accepted, _) = timeout(LIMIT, listener.accept()).await.expect("in time").expect("a connection");
    let bytes = exactly(&mut accepted, 28 + 5).await;
    let expected =
        edge::proxy_protocol::header(client.local_addr().expect("bound"), client.peer_addr().expect("bound"));
    assert_eq!(bytes, [&expected[..], b"hello"].concat());
}

#[tokio::test]
async fn a_target_that_takes_no_connection_is_passed_over() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound")
    };
    // The dead one is tried because its check is another port's.
    let alive = echo("a").await;
    let mut spec = streams(&[gone, alive]);
    spec.health_check.port = Some(alive.port());
    let site = Site::healthy(tcp(1, spec)).await;
    for _ in 0..20 {
        assert_eq!(exactly(&mut connect(&site).await, 1).await, b"a");
    }
}

#[tokio::test]
async fn a_deregistered_targets_connections_are_cut_where_asked_and_go_on_otherwise() {
    let check = async |cuts: bool| {
        let address = echo("a").await;
        let connections = ConnectionAttributes { cut_when_deregistered: cuts, ..ConnectionAttributes::default() };
        let spec = || TargetGroupSpec { connections, deregistration_delay_seconds: 0, ..streams(&[address]) };
        let site = Site::healthy(tcp(1, spec())).await;
        let mut stream = connect(&site).await;
        assert_eq!(exactly(&mut stream, 1).await, b"a");
        let mut leaving = spec();
        leaving.targets[0].draining_since = Some(model::Timestamp(0));
        site.apply(tcp(2, leaving)).await;
        site.until_health(address, |health| health.drained).await;
        site.apply(tcp(3, TargetGroupSpec { targets: Vec::new(), ..spec() })).await;
        if cuts {
            assert!(is_closed(&mut stream).await);
        } else {
            stream.write_all(b"on").await.expect("written");
            assert_eq!(exactly(&mut stream, 2).await, b"on");
        }
        // It gets no new one in either case.
        assert!(is_closed(&mut connect(&site).await).await);
    };
    check(true).await;
    check(false).await;
}

#[tokio::test]
async fn what_idles_is_closed_and_so_is_what_a_deleted_listener_had() {
    let address = echo("a").await;
    let mut idling = tcp(1, streams(&[address]));
    idling.load_balancers[0].listeners[0].tcp_idle_timeout_seconds = 1;
    let site = Site::healthy(idling).await;
    let mut stream = connect(&site).await;
    assert_eq!(exactly(&mut stream, 1).await, b"a");
    assert!(is_closed(&mut stream).await);
    site.apply(tcp(2, streams(&[address]))).await;
    let mut stream = connect(&site).await;
    assert_eq!(exactly(&mut stream, 1).await, b"a");
    let mut deleted = tcp(3, streams(&[address]));
    deleted.load_balancers[0].listeners.clear();
    site.apply(deleted).await;
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn clients_that_say_nothing_or_go_away_leave_others_alone() {
    let site = Site::healthy(tcp(1, streams(&[echo("a").await]))).await;
    let mut crowd = Vec::new();
    for index in 0..200 {
        let stream = connect(&site).await;
        if index % 2 == 0 {
            crowd.push(stream);
        }
    }
    assert_eq!(exactly(&mut connect(&site).await, 1).await, b"a");
}

/// Answers each datagram with its name and it.
async fn datagram_echo(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&[name.as_bytes(), &buffer[..length]].concat(), from).await;
        }
    });
    address
}

async fn ask(socket: &UdpSocket, text: &str) -> String {
    let mut buffer = [0; 2048];
    socket.send(text.as_bytes()).await.expect("sent");
    let received = timeout(LIMIT, socket.recv(&mut buffer)).await.expect("in time").expect("a datagram");
    String::from_utf8_lossy(&buffer[..received]).into_owned()
}

#[tokio::test]
async fn datagrams_of_a_flow_go_to_one_target_and_flows_are_spread() {
    let (health, targets) = (echo("h").await, [datagram_echo("a").await, datagram_echo("b").await]);
    let mut spec = streams(&targets);
    spec.protocol = TargetProtocol::Udp;
    spec.health_check.port = Some(health.port());
    let site = Site::healthy(snapshot(1, ListenerProtocol::Udp, spec)).await;
    let address = site.address(LISTENER).await;
    let mut names = BTreeSet::new();
    for _ in 0..40 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        socket.connect(address).await.expect("connected");
        let first = ask(&socket, "x").await;
        assert_eq!(ask(&socket, "x").await, first);
        names.insert(first);
    }
    assert_eq!(names, BTreeSet::from(["ax".to_owned(), "bx".to_owned()]));
}
