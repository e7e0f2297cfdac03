//! A snapshot to ask, and how to ask it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use edge::dns::answer::{Transport, Verdict, answer};
use edge::dns::names::Names;
use edge::dns::{Config, Upstreams};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use model::dns::{RecordSet, Records, Routing, Snapshot, Srv, Zone};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// For what must come.
pub const SOON: Duration = Duration::from_secs(20);

pub fn config() -> Config {
    Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        clients: vec!["127.0.0.0/8".parse().unwrap()],
        networks: vec!["172.31.0.0/16".parse().unwrap()],
        domain: "eu-west-1.compute.internal".to_owned(),
        upstreams: Upstreams::These(Vec::new()),
    }
}

pub fn addresses(count: u8) -> Vec<Ipv4Addr> {
    (1..=count).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect()
}

pub fn set(name: &str, routing: Routing, records: Records) -> RecordSet {
    RecordSet { name: name.to_owned(), ttl_seconds: 10, routing, records }
}

pub fn snapshot() -> Snapshot {
    let srv = Srv { priority: 1, weight: 1, port: 8080, target: "one.api.corp.local".to_owned() };
    let records = vec![
        set("web.corp.local", Routing::Multivalue, Records::A(addresses(3))),
        set("many.corp.local", Routing::Multivalue, Records::A(addresses(40))),
        set("one.corp.local", Routing::Weighted, Records::A(addresses(3))),
        set("six.corp.local", Routing::Simple, Records::Aaaa(vec!["fd00::1".parse().unwrap()])),
        set("all.corp.local", Routing::Simple, Records::A(addresses(200))),
        set("api.corp.local", Routing::Multivalue, Records::Srv(vec![srv])),
        set("one.api.corp.local", Routing::Simple, Records::A(addresses(1))),
        set("a.deep.corp.local", Routing::Simple, Records::A(addresses(1))),
    ];
    let corp = Zone { name: "corp.local".to_owned(), negative_ttl_seconds: 15, records };
    let below = vec![set("x.sub.corp.local", Routing::Simple, Records::A(addresses(1)))];
    let sub = Zone { name: "sub.corp.local".to_owned(), negative_ttl_seconds: 60, records: below };
    Snapshot { revision: 1, zones: vec![corp, sub] }
}

pub fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

pub fn with_payload(mut message: Message, bytes: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(bytes);
    message.set_edns(edns);
    message
}

/// The verdict, and the answer when there is one.
pub fn ask(message: &Message, transport: Transport) -> (Verdict, Option<Message>) {
    let names = Names::new(&snapshot(), &config());
    let mut out = Vec::new();
    let mut random = SmallRng::seed_from_u64(7);
    let verdict = answer(&message.to_vec().unwrap(), &names, transport, &mut random, &mut out);
    (verdict, (verdict == Verdict::Answered).then(|| Message::from_vec(&out).unwrap()))
}

/// Asks by UDP and waits for the answer.
pub async fn ask_by_udp(server: SocketAddr, message: &Message) -> Message {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = vec![0; 4096];
    let received = tokio::time::timeout(SOON, socket.recv(&mut buffer)).await.expect("an answer in time");
    Message::from_vec(&buffer[..received.unwrap()]).unwrap()
}
