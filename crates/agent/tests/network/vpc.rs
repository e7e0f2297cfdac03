//! VPCs of the caller's own: networks apart, whose ranges overlap.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use agent::driver::{Network as _, NetworkKind, NetworkRequest};
use agent::network::Linux;
use model::TaskId;
use model::firewall::{Firewall, SubnetNetwork, VpcNetwork};

use crate::node::{
    Outside, PATIENCE, at, awsvpc, check, config, every, fetch, group, hear, inside, on_node, open, open_firewall,
    remains, run, serve,
};

pub const ONE: &str = "vpc-00000000000000001";
const TWO: &str = "vpc-00000000000000002";
/// In the only subnet of each.
pub const A: [u8; 4] = [10, 0, 1, 10];
const B: [u8; 4] = [10, 0, 1, 11];
const WORLD: [u8; 4] = [198, 51, 100, 2];

/// 10.0.0.0/16 with a subnet of 256 addresses, which leads to these networks.
pub fn vpc(id: &str, outside: &[&str]) -> VpcNetwork {
    VpcNetwork {
        id: id.to_owned(),
        range: "10.0.0.0/16".parse().unwrap(),
        subnets: vec![SubnetNetwork {
            network: "10.0.1.0/24".parse().unwrap(),
            outside: outside.iter().map(|net| net.parse().unwrap()).collect(),
        }],
        groups: vec![group("sg-own", &[every()])],
    }
}

pub fn told(vpcs: &[VpcNetwork]) -> Firewall {
    Firewall { vpcs: vpcs.to_vec(), ..open_firewall() }
}

pub fn task(number: u128, vpc: &str, address: [u8; 4]) -> NetworkRequest {
    let mut request = awsvpc(number, address);
    let NetworkKind::Awsvpc(spec) = &mut request.kind else { unreachable!() };
    spec.vpc_id = vpc.to_owned();
    spec.own_network = true;
    spec.subnet_prefix_length = 24;
    spec.gateway = [address[0], address[1], address[2], 1].into();
    spec.security_groups = vec!["sg-own".to_owned()];
    request
}

/// The node's own way to the world.
fn world() -> Outside {
    let outside = Outside::make();
    run("ip", &["route", "add", "default", "via", "198.51.100.2"]);
    serve(&outside.attached(), 80);
    outside
}

#[test]
fn vpcs_of_the_same_range_do_not_know_of_one_another() {
    on_node(|directory| async move {
        let outside = world();
        let network = open(config(&directory)).await;
        network.protect(&told(&[vpc(ONE, &["198.51.100.0/24"]), vpc(TWO, &[])])).await.unwrap();
        let one = network.attach(&task(1, ONE, A)).await.unwrap();
        let neighbour = network.attach(&task(2, ONE, B)).await.unwrap();
        let two = network.attach(&task(3, TWO, A)).await.unwrap();
        let built_in = network.attach(&awsvpc(4, [172, 31, 0, 10])).await.unwrap();
        for (port, task) in [(81, &one), (82, &two), (83, &built_in)] {
            serve(task, port);
        }
        // The same address is another one in each.
        assert_eq!(inside(&neighbour.namespace, || fetch(at(A, 81))).unwrap(), "10.0.1.11");
        check(&neighbour, A, 82, false);
        check(&two, B, 81, false);
        // Nor does the built-in VPC, in either direction.
        check(&built_in, A, 81, false);
        check(&one, [172, 31, 0, 10], 83, false);
        // What a route leads out leaves with the machine's address; without one there is no way out.
        assert_eq!(inside(&one.namespace, || fetch(at(WORLD, 80))).unwrap(), "198.51.100.1");
        check(&two, WORLD, 80, false);
        // The world reaches nobody.
        assert!(outside.connect(at(A, 81), PATIENCE).is_err());
        // The machine's own ports are out of reach, by the link to it too.
        let _api = TcpListener::bind("0.0.0.0:4510").unwrap();
        for address in [[169, 254, 64, 1], [198, 51, 100, 1], [172, 31, 0, 1]] {
            check(&one, address, 4510, false);
        }
    });
}

#[test]
fn routes_take_effect_at_once_for_connections_that_are_there_too() {
    on_node(|directory| async move {
        let outside = world();
        let network = open(config(&directory)).await;
        network.protect(&told(&[vpc(ONE, &[])])).await.unwrap();
        let one = network.attach(&task(1, ONE, A)).await.unwrap();
        check(&one, WORLD, 80, false);
        network.protect(&told(&[vpc(ONE, &["198.51.100.0/24"])])).await.unwrap();
        check(&one, WORLD, 80, true);
        let far = inside(&outside.namespace, || UdpSocket::bind("0.0.0.0:5353").unwrap());
        let near = inside(&one.namespace, || UdpSocket::bind("0.0.0.0:0").unwrap());
        let say = |word: u8| near.send_to(&[word], at(WORLD, 5353)).unwrap();
        say(1);
        assert_eq!(hear(&far), 1);
        network.protect(&told(&[vpc(ONE, &["198.51.100.128/25"])])).await.unwrap();
        say(2);
        check(&one, WORLD, 80, false);
        // The same flow, when there is a way again: what was said meanwhile was not kept.
        network.protect(&told(&[vpc(ONE, &["198.51.100.0/24"])])).await.unwrap();
        say(3);
        assert_eq!(hear(&far), 3);
    });
}

#[test]
fn resolver_and_task_endpoint_answer_in_every_vpc() {
    on_node(|directory| async move {
        let config = config(&directory);
        let network = open(config.clone()).await;
        network.protect(&told(&[vpc(ONE, &[]), vpc(TWO, &[])])).await.unwrap();
        let tasks = [network.attach(&task(1, ONE, A)).await.unwrap(), network.attach(&task(2, TWO, A)).await.unwrap()];
        let listen = |address| {
            let listener = TcpListener::bind(address).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let peer = stream.peer_addr().unwrap().ip().to_string();
                    drop(stream.write_all(peer.as_bytes()));
                }
            });
        };
        listen(config.endpoint_address());
        listen(config.dns_address());
        let mut seen = Vec::new();
        for task in &tasks {
            let endpoint = inside(&task.namespace, || fetch(at([169, 254, 170, 2], 80))).unwrap();
            let resolver = inside(&task.namespace, || fetch(at([10, 0, 0, 2], 53))).unwrap();
            check(task, [169, 254, 169, 253], 53, true);
            assert_eq!(endpoint, resolver);
            seen.push(endpoint);
        }
        // Who asks is told apart by VPC.
        assert_eq!(seen, ["169.254.64.2", "169.254.64.6"]);
        let NetworkKind::Awsvpc(spec) = task(1, ONE, A).kind else { unreachable!() };
        assert_eq!(network.dns_servers(Some(&spec)), [std::net::IpAddr::from([10, 0, 0, 2])]);
        assert_eq!(network.dns_servers(None), [std::net::IpAddr::from([172, 31, 0, 2])]);
    });
}

#[test]
fn security_groups_hold_in_a_vpc_too() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let mut shut = vpc(ONE, &[]);
        network.protect(&told(&[shut.clone()])).await.unwrap();
        let a = network.attach(&task(1, ONE, A)).await.unwrap();
        let b = network.attach(&task(2, ONE, B)).await.unwrap();
        serve(&b, 80);
        check(&a, B, 80, true);
        shut.groups = vec![group("sg-own", &[])];
        network.protect(&told(&[shut])).await.unwrap();
        check(&a, B, 80, false);
    });
}

#[test]
fn the_next_agent_finds_vpcs_and_their_tasks_and_a_deleted_one_leaves_nothing() {
    on_node(|directory| async move {
        let _outside = world();
        let before = remains();
        let network = open(config(&directory)).await;
        let opened = remains();
        network.protect(&told(&[vpc(ONE, &["198.51.100.0/24"]), vpc(TWO, &[])])).await.unwrap();
        let one = network.attach(&task(1, ONE, A)).await.unwrap();
        network.attach(&task(2, TWO, A)).await.unwrap();
        let ruleset = || inside(&directory.join(ONE).join("network"), || run("nft", &["list", "ruleset"]));
        let (rules, whole) = (ruleset(), remains());
        drop(network);
        let network = Linux::open(config(&directory)).await.unwrap();
        assert_eq!(ruleset(), rules);
        assert_eq!(remains(), whole);
        assert_eq!(network.list().await.unwrap(), [TaskId(1), TaskId(2)]);
        assert_eq!(network.attach(&task(1, ONE, A)).await.unwrap(), one);
        assert_eq!(inside(&one.namespace, || fetch(at(WORLD, 80))).unwrap(), "198.51.100.1");
        // One that is told no more goes with its last task, another one at once.
        network.detach(TaskId(2)).await.unwrap();
        network.protect(&told(&[])).await.unwrap();
        assert!(!directory.join(TWO).exists());
        assert!(directory.join(ONE).exists());
        let refused = network.attach(&task(3, ONE, B)).await.unwrap_err().to_string();
        assert_eq!(refused, format!("ContainerNetworkingError: the node was not told of the VPC {ONE}"));
        network.detach(TaskId(1)).await.unwrap();
        assert_eq!(remains(), opened);
        // And with the instance.
        network.protect(&told(&[vpc(ONE, &[])])).await.unwrap();
        network.attach(&task(1, ONE, A)).await.unwrap();
        network.teardown().await.unwrap();
        assert_eq!(remains(), before);
        assert!(!Path::new(&directory).exists());
    });
}

#[test]
fn what_is_left_of_a_vpc_is_found_whatever_was_told() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let opened = remains();
        network.protect(&told(&[vpc(ONE, &[])])).await.unwrap();
        network.attach(&task(1, ONE, A)).await.unwrap();
        drop(network);
        // The file of what was told is lost, and another VPC was only begun.
        std::fs::remove_file(directory.join("firewall.json")).unwrap();
        std::fs::create_dir(directory.join(TWO)).unwrap();
        let network = open(config(&directory)).await;
        assert!(!directory.join(TWO).exists());
        assert_eq!(network.list().await.unwrap(), [TaskId(1)]);
        network.protect(&told(&[vpc(ONE, &[])])).await.unwrap();
        let a = network.attach(&task(1, ONE, A)).await.unwrap();
        let b = network.attach(&task(2, ONE, B)).await.unwrap();
        serve(&b, 80);
        assert!(inside(&a.namespace, || fetch(at(B, 80))).is_ok());
        for task in [1, 2] {
            network.detach(TaskId(task)).await.unwrap();
        }
        network.protect(&open_firewall()).await.unwrap();
        assert_eq!(remains(), opened);
    });
}

#[test]
fn an_id_that_is_none_becomes_no_path() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let refused = network.protect(&told(&[vpc("vpc-../../../../x", &[])])).await.unwrap_err().to_string();
        assert!(refused.contains("is no VPC's id"), "{refused}");
    });
}
