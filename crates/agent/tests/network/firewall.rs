//! Who reaches whom, by the rules of security groups.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use agent::driver::Network as _;
use agent::network::{Linux, hold};
use model::TaskId;
use model::firewall::{Firewall, Group, LoadBalancerAddress, Peer};
use model::security_group::Traffic;

use crate::node::{
    PATIENCE, WAIT, at, awsvpc_in, bridge, check, config, every, fetch, group, hear, inside, limit, on_node, open, run,
    serve, tcp_from,
};

const A: [u8; 4] = [172, 31, 0, 10];
const B: [u8; 4] = [172, 31, 0, 11];
const C: [u8; 4] = [172, 31, 16, 10];

fn from_group(id: &str) -> Peer {
    Peer::Group(id.to_owned())
}

fn rules(groups: Vec<Group>) -> Firewall {
    Firewall { groups, ..Firewall::default() }
}

#[test]
fn a_group_lets_in_what_its_rules_say_from_those_that_they_name() {
    on_node(|directory| async move {
        let network = Linux::open(config(&directory)).await.unwrap();
        let web = |rules: &[_]| group("sg-web", rules);
        network.protect(&rules(vec![group("sg-app", &[]), web(&[tcp_from(80, from_group("sg-app"))])])).await.unwrap();
        let app = network.attach(&awsvpc_in(1, A, &["sg-app"])).await.unwrap();
        let web_task = network.attach(&awsvpc_in(2, B, &["sg-web"])).await.unwrap();
        let both = network.attach(&awsvpc_in(3, C, &["sg-app", "sg-web"])).await.unwrap();
        for task in [&app, &web_task, &both] {
            serve(task, 80);
            serve(task, 81);
        }
        check(&app, B, 80, true);
        check(&app, B, 81, false);
        check(&app, C, 80, true);
        check(&both, B, 80, true);
        check(&web_task, C, 80, false);
        check(&web_task, A, 80, false);
        // The machine itself reaches all of them.
        assert_eq!(fetch(at(A, 80)).unwrap(), "172.31.0.1");

        // By address, and no longer by group. The next connection is judged by the new rules.
        let net = |text: &str| Peer::Networks(vec![text.parse().unwrap()]);
        network.protect(&rules(vec![group("sg-app", &[]), web(&[tcp_from(81, net("172.31.16.0/20"))])])).await.unwrap();
        check(&app, B, 80, false);
        check(&app, B, 81, false);
        check(&both, B, 81, true);
        // What may go out is judged too.
        let no_way_out = Group { egress: Vec::new(), ..group("sg-app", &[]) };
        network.protect(&rules(vec![no_way_out, web(&[tcp_from(80, from_group("sg-app"))])])).await.unwrap();
        check(&app, B, 80, false);
    });
}

#[test]
fn a_connection_that_is_made_goes_on_when_its_rule_goes() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let a = network.attach(&awsvpc_in(1, A, &["sg-open"])).await.unwrap();
        let b = network.attach(&awsvpc_in(2, B, &["sg-open"])).await.unwrap();
        let listener = inside(&b.namespace, || TcpListener::bind("0.0.0.0:80").unwrap());
        let mut client = inside(&a.namespace, || TcpStream::connect_timeout(&at(B, 80), WAIT).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        network.protect(&rules(vec![group("sg-open", &[])])).await.unwrap();
        check(&a, B, 80, false);
        client.write_all(b"still here").unwrap();
        let mut heard = [0; 10];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still here");
    });
}

#[test]
fn a_task_without_a_known_group_reaches_nobody_and_is_reached_by_nobody() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let stranger = network.attach(&awsvpc_in(1, A, &["sg-unknown"])).await.unwrap();
        let open = network.attach(&awsvpc_in(2, B, &["sg-open"])).await.unwrap();
        serve(&stranger, 80);
        serve(&open, 80);
        check(&stranger, B, 80, false);
        check(&open, A, 80, false);
    });
}

#[test]
fn a_task_sends_with_its_own_address_only() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let a = network.attach(&awsvpc_in(1, A, &["sg-open"])).await.unwrap();
        let b = network.attach(&awsvpc_in(2, B, &["sg-open"])).await.unwrap();
        let heard = inside(&b.namespace, || UdpSocket::bind("0.0.0.0:5353").unwrap());
        let say = |word: u8, address: &'static str| {
            inside(&a.namespace, move || UdpSocket::bind(address).unwrap().send_to(&[word], at(B, 5353)).unwrap());
        };
        // The very first is not lost.
        say(1, "172.31.0.10:0");
        assert_eq!(hear(&heard), 1);
        // What is not let through is not heard before what is said after it.
        inside(&a.namespace, || run("ip", &["addr", "add", "172.31.0.99/32", "dev", "eth0"]));
        say(2, "172.31.0.99:0");
        say(3, "172.31.0.10:0");
        assert_eq!(hear(&heard), 3);
        let set_mac = |mac: String| inside(&a.namespace, move || run("ip", &["link", "set", "eth0", "address", &mac]));
        set_mac("02:00:00:00:00:99".to_owned());
        say(4, "172.31.0.10:0");
        std::thread::sleep(PATIENCE);
        set_mac(model::network::mac_of(A.into()));
        say(5, "172.31.0.10:0");
        assert_eq!(hear(&heard), 5);
    });
}

#[test]
fn a_task_that_takes_anothers_address_gets_nothing_of_its_traffic() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let thief = network.attach(&awsvpc_in(1, A, &["sg-open"])).await.unwrap();
        let owner = network.attach(&awsvpc_in(2, B, &["sg-open"])).await.unwrap();
        let client = network.attach(&awsvpc_in(3, C, &["sg-open"])).await.unwrap();
        let address = owner.address.unwrap();
        inside(&thief.namespace, move || {
            run("ip", &["addr", "add", &format!("{address}/32"), "dev", "eth0"]);
        });
        serve(&thief, 81);
        serve(&owner, 80);
        for _ in 0..3 {
            // The machine asks anew who has the address.
            run("ip", &["neigh", "flush", "all"]);
            check(&client, B, 80, true);
            check(&client, B, 81, false);
        }
        // Straight to the other one's MAC, past the machine.
        let past = inside(&client.namespace, move || {
            run("ip", &["route", "add", &format!("{address}/32"), "dev", "eth0"]);
            let mac = model::network::mac_of(address);
            run("ip", &["neigh", "replace", &address.to_string(), "lladdr", &mac, "dev", "eth0"]);
            TcpStream::connect_timeout(&at(address, 80), PATIENCE).is_ok()
        });
        assert!(!past);
    });
}

#[test]
fn the_machines_ports_are_out_of_reach_but_the_resolver() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let task = network.attach(&awsvpc_in(1, A, &["sg-open"])).await.unwrap();
        let container = network.attach(&bridge(2, 0, &[])).await.unwrap();
        let _api = TcpListener::bind("0.0.0.0:4510").unwrap();
        let _dns = TcpListener::bind(config(&directory).dns_address()).unwrap();
        for gateway in [[172, 31, 0, 1], [172, 30, 0, 1]] {
            check(&task, gateway, 4510, false);
            check(&container, gateway, 4510, false);
        }
        check(&task, [172, 31, 0, 2], 53, true);
        check(&container, [172, 31, 0, 2], 53, true);
        assert!(TcpStream::connect(at([172, 31, 0, 1], 4510)).is_ok());
    });
}

#[test]
fn bridge_mode_is_judged_by_its_address_and_has_no_group() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let open = network.attach(&awsvpc_in(1, A, &["sg-open"])).await.unwrap();
        network.protect(&rules(vec![group("sg-open", &[every()]), group("sg-own", &[shut()])])).await.unwrap();
        let own = network.attach(&awsvpc_in(2, B, &["sg-own"])).await.unwrap();
        let container = network.attach(&bridge(3, 0, &[])).await.unwrap();
        for task in [&open, &own, &container] {
            serve(task, 80);
        }
        check(&container, A, 80, true);
        check(&container, B, 80, false);
        check(&open, [172, 30, 0, 2], 80, false);
    });
}

/// From itself only.
fn shut() -> model::firewall::Rule {
    model::firewall::Rule { traffic: Traffic::All, peer: from_group("sg-own") }
}

#[test]
fn a_load_balancers_groups_say_who_reaches_it() {
    on_node(|directory| async move {
        let config = config(&directory);
        let network = Linux::open(config.clone()).await.unwrap();
        let address = Ipv4Addr::new(172, 31, 32, 200);
        hold(&config, [address].into()).await.unwrap();
        let _listener = TcpListener::bind((address, 80)).unwrap();
        let mut firewall = rules(vec![group("sg-app", &[]), group("sg-lb", &[tcp_from(80, from_group("sg-app"))])]);
        network.protect(&firewall).await.unwrap();
        let app = network.attach(&awsvpc_in(1, A, &["sg-app"])).await.unwrap();
        let other = network.attach(&awsvpc_in(2, B, &["sg-lb"])).await.unwrap();
        // Not told of yet, so shut.
        check(&app, address.octets(), 80, false);
        firewall.load_balancers = vec![LoadBalancerAddress { address, groups: vec!["sg-lb".to_owned()] }];
        network.protect(&firewall).await.unwrap();
        check(&app, address.octets(), 80, true);
        check(&other, address.octets(), 80, false);
        assert!(TcpStream::connect(at(address, 80)).is_ok(), "the machine itself reaches it");
    });
}

#[test]
fn a_load_balancer_reaches_a_target_only_as_the_groups_of_both_let_it() {
    on_node(|directory| async move {
        let config = config(&directory);
        let network = Linux::open(config.clone()).await.unwrap();
        let address = Ipv4Addr::new(172, 31, 32, 200);
        hold(&config, [address].into()).await.unwrap();
        let web = |peer| group("sg-web", &[tcp_from(80, peer)]);
        let told = |web: Group, lb: Group, groups: &[&str]| Firewall {
            groups: vec![web, lb],
            load_balancers: vec![LoadBalancerAddress { address, groups: groups.iter().map(|&id| id.into()).collect() }],
            ..Firewall::default()
        };
        let lb = group("sg-lb", &[]);
        network.protect(&told(web(from_group("sg-lb")), lb.clone(), &["sg-lb"])).await.unwrap();
        let task = network.attach(&awsvpc_in(1, A, &["sg-web"])).await.unwrap();
        serve(&task, 80);
        serve(&task, 81);
        assert!(calls(address, A, 80, true).await);
        assert!(!calls(address, A, 81, false).await);
        let no_way_out = Group { egress: Vec::new(), ..lb.clone() };
        network.protect(&told(web(from_group("sg-lb")), no_way_out, &["sg-lb"])).await.unwrap();
        assert!(!calls(address, A, 80, false).await);
        network.protect(&told(web(from_group("sg-lb")), lb.clone(), &[])).await.unwrap();
        assert!(!calls(address, A, 80, false).await);
        let by_address = Peer::Networks(vec!["172.31.32.200/32".parse().unwrap()]);
        network.protect(&told(web(by_address), lb, &[])).await.unwrap();
        assert!(calls(address, A, 80, true).await);
    });
}

/// Whether a call from an address of the machine itself is answered, which is waited for as it is expected.
async fn calls(from: Ipv4Addr, to: [u8; 4], port: u16, is_expected: bool) -> bool {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    tokio::time::timeout(limit(is_expected), socket.connect(at(to, port)))
        .await
        .is_ok_and(|connected| connected.is_ok())
}

#[test]
fn the_next_agent_goes_on_with_the_rules_that_the_last_one_had() {
    on_node(|directory| async move {
        let network = Linux::open(config(&directory)).await.unwrap();
        let web = group("sg-web", &[tcp_from(80, from_group("sg-app"))]);
        network.protect(&rules(vec![group("sg-app", &[]), web])).await.unwrap();
        let app = network.attach(&awsvpc_in(1, A, &["sg-app"])).await.unwrap();
        let web = network.attach(&awsvpc_in(2, B, &["sg-web"])).await.unwrap();
        serve(&app, 80);
        serve(&web, 80);
        let rules = || run("nft", &["list", "ruleset"]).lines().count();
        let before = rules();
        drop(network);
        let network = Linux::open(config(&directory)).await.unwrap();
        assert_eq!(rules(), before);
        check(&app, B, 80, true);
        check(&web, A, 80, false);
        network.detach(TaskId(2)).await.unwrap();
        let after = run("nft", &["list", "ruleset"]);
        assert!(!after.contains("172.31.0.11"), "{after}");
    });
}

/// Figures for docs/performance.md: `cargo test -p agent --test network -- --ignored --nocapture firewall_costs`.
#[test]
#[ignore = "prints figures"]
fn firewall_costs() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let tasks: Vec<_> = (0..200).map(|n| awsvpc_in(n, [172, 31, 1, n as u8], &["sg-open"])).collect();
        let at_first = Instant::now();
        futures_util::future::join_all(tasks.iter().map(|task| network.attach(task))).await;
        println!("200 tasks at once: {:?}", at_first.elapsed());
        let one = Instant::now();
        network.attach(&awsvpc_in(900, A, &["sg-open"])).await.unwrap();
        println!("one task beside 200: {:?}", one.elapsed());
        let many =
            |first: u16| (first..first + 1000).map(|port| tcp_from(port, from_group("sg-open"))).collect::<Vec<_>>();
        let all = Instant::now();
        network.protect(&rules(vec![group("sg-open", &many(1000))])).await.unwrap();
        println!("1,000 rules: {:?}", all.elapsed());
        let one = Instant::now();
        network.attach(&awsvpc_in(901, B, &["sg-open"])).await.unwrap();
        println!("one task beside 201 and 1,000 rules: {:?}", one.elapsed());
        let none = Instant::now();
        network.protect(&rules(vec![group("sg-open", &many(1000))])).await.unwrap();
        println!("nothing new: {:?}", none.elapsed());
    });
}
