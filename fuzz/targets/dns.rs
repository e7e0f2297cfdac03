//! Packets to the name server. The first byte says whether it is asked by TCP, the rest is the question.
#![no_main]

use std::sync::LazyLock;

use edge::dns::answer::{Transport, Verdict, answer};
use edge::dns::names::Names;
use edge::dns::{Config, Upstreams};
use libfuzzer_sys::fuzz_target;
use model::dns::{RecordSet, Records, Routing, Snapshot, Srv, Zone};
use rand::SeedableRng;
use rand::rngs::SmallRng;

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let set = |name: &str, routing, records| RecordSet { name: name.to_owned(), ttl_seconds: 10, routing, records };
    let addresses = (0..200).map(|last| [10, 0, 0, last].into()).collect();
    let srv = Srv { priority: 1, weight: 1, port: 80, target: "i.b.corp.local".to_owned() };
    let records = vec![
        set("a.corp.local", Routing::Multivalue, Records::A(addresses)),
        set("b.corp.local", Routing::Weighted, Records::Srv(vec![srv])),
        set("c.corp.local", Routing::Simple, Records::Aaaa(vec!["fd00::1".parse().expect("an address")])),
    ];
    let zones = vec![Zone { name: "corp.local".to_owned(), negative_ttl_seconds: 15, records }];
    let config = Config {
        listen: Vec::new(),
        clients: Vec::new(),
        networks: vec!["172.31.0.0/16".parse().expect("a network")],
        domain: "ec2.internal".to_owned(),
        upstreams: Upstreams::These(Vec::new()),
    };
    Names::new(&Snapshot { revision: 1, zones }, &config)
});

fuzz_target!(|data: &[u8]| {
    let Some((pick, question)) = data.split_first() else { return };
    let (transport, limit) = if pick % 2 == 0 { (Transport::Udp, 1232) } else { (Transport::Tcp, 65535) };
    let mut out = Vec::new();
    match answer(question, &NAMES, transport, &mut SmallRng::seed_from_u64(1), &mut out) {
        Verdict::Answered => {
            assert!(out.len() <= limit && out[..2] == question[..2] && out[2] & 0x80 != 0);
        }
        Verdict::Forward | Verdict::Ignore => {}
    }
});
