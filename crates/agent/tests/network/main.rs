//! The real network driver in real namespaces. Needs root and `nft`; uses nothing of the host but a fresh network and
//! mount namespace per test, which is the node, so that every count is exact.

mod firewall;
mod node;
mod vpc;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent::driver::{Network, NetworkKind, NetworkRequest};
use agent::network::{Config, Linux, hold, trial};
use model::firewall::{Firewall, LoadBalancerAddress};
use model::{Protocol, TaskId};

use node::{
    Outside, PATIENCE, WAIT, at, awsvpc, bridge, config, fetch, fetch_within, inside, on_node, open, open_firewall,
    remains, retry, run, serve,
};

#[test]
fn awsvpc_tasks_reach_one_another_and_the_host_reaches_them() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let a = network.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        let b = network.attach(&awsvpc(2, [172, 31, 0, 11])).await.unwrap();
        let other_subnet = network.attach(&awsvpc(3, [172, 31, 16, 10])).await.unwrap();
        assert_eq!(a.address, Some(Ipv4Addr::new(172, 31, 0, 10)));
        serve(&a, 80);
        serve(&a, 8080);
        // From the host it is the gateway that calls.
        assert_eq!(fetch(at([172, 31, 0, 10], 80)).unwrap(), "172.31.0.1");
        for (task, address) in [(&b, "172.31.0.11"), (&other_subnet, "172.31.16.10"), (&a, "172.31.0.10")] {
            let seen = inside(&task.namespace, || fetch(at([172, 31, 0, 10], 80))).unwrap();
            assert_eq!(seen, address);
        }
        // Containers of one task share localhost.
        let local = inside(&a.namespace, || fetch(at(Ipv4Addr::LOCALHOST, 8080))).unwrap();
        assert_eq!(local, "127.0.0.1");
    });
}

#[test]
fn the_interface_is_as_the_control_plane_gave_it() {
    on_node(|directory| async move {
        let _outside = Outside::make();
        run("ip", &["link", "set", "uplink0", "mtu", "1400"]);
        run("ip", &["route", "add", "default", "via", "198.51.100.2"]);
        let network = open(config(&directory)).await;
        let attached = network.attach(&awsvpc(1, [172, 31, 32, 5])).await.unwrap();
        let (link, address, route) = inside(&attached.namespace, || {
            (
                run("ip", &["-o", "link", "show", "eth0"]),
                run("ip", &["-o", "-4", "addr", "show", "eth0"]),
                run("ip", &["route"]),
            )
        });
        assert!(link.contains("02:47:ac:1f:20:05") && link.contains("mtu 1400"), "{link}");
        assert!(address.contains("172.31.32.5/20"), "{address}");
        assert!(route.contains("default via 172.31.32.1 dev eth0"), "{route}");
    });
}

#[test]
fn tasks_reach_the_outside_by_the_hosts_address_and_the_outside_reaches_no_task() {
    on_node(|directory| async move {
        let outside = Outside::make();
        let network = open(config(&directory)).await;
        let task = network.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        let container = network.attach(&bridge(2, 0, &[(80, 8080, Protocol::Tcp)])).await.unwrap();
        serve(&outside.attached(), 80);
        serve(&task, 80);
        serve(&container, 80);
        for namespace in [&task.namespace, &container.namespace] {
            assert_eq!(inside(namespace, || fetch(at([198, 51, 100, 2], 80))).unwrap(), "198.51.100.1");
        }
        // Published: seen with the caller's own address. Not published: dropped, although there is a route.
        assert_eq!(outside.fetch(at([198, 51, 100, 1], 8080)).unwrap(), "198.51.100.2");
        let refused = outside.connect(at([172, 31, 0, 10], 80), PATIENCE);
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn published_ports_answer_on_every_address_of_the_host() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let request = bridge(1, 0, &[(80, 8080, Protocol::Tcp), (80, 0, Protocol::Tcp)]);
        let web = network.attach(&request).await.unwrap();
        let client = network.attach(&bridge(1, 1, &[])).await.unwrap();
        serve(&web, 80);
        let ports: Vec<u16> = web.bindings.iter().map(|binding| binding.host_port).collect();
        assert_eq!(ports[0], 8080);
        assert!((32768..=60999).contains(&ports[1]), "{ports:?}");
        for port in ports {
            // On loopback, the host's own address, the container's own host, and from another container.
            assert_eq!(fetch(at(Ipv4Addr::LOCALHOST, port)).unwrap(), "172.30.0.1");
            assert!(fetch(at([172, 31, 0, 1], port)).is_ok());
            for namespace in [&client.namespace, &web.namespace] {
                assert_eq!(inside(namespace, move || fetch(at([172, 31, 0, 1], port))).unwrap(), "172.30.0.1");
            }
        }
        // The same answer again, and the address too.
        assert_eq!(network.attach(&request).await.unwrap(), web);
    });
}

#[test]
fn a_load_balancers_address_is_the_hosts_own_and_no_published_port_answers_there() {
    on_node(|directory| async move {
        let config = config(&directory);
        let network = open(config.clone()).await;
        let web = network.attach(&bridge(1, 0, &[(80, 8080, Protocol::Tcp)])).await.unwrap();
        let task = network.attach(&awsvpc(2, [172, 31, 0, 10])).await.unwrap();
        serve(&web, 80);
        let before = remains();
        for _ in 0..2 {
            hold(&config, BTreeSet::from([Ipv4Addr::new(172, 31, 0, 50)])).await.unwrap();
        }
        let balancer = TcpListener::bind(at([172, 31, 0, 50], 80)).unwrap();
        std::thread::spawn(move || {
            for stream in balancer.incoming() {
                drop(stream.unwrap().write_all(b"balancer"));
            }
        });
        assert_eq!(fetch(at([172, 31, 0, 50], 80)).unwrap(), "balancer");
        let held = LoadBalancerAddress { address: [172, 31, 0, 50].into(), groups: vec!["sg-open".to_owned()] };
        let firewall = open_firewall();
        network.protect(&Firewall { load_balancers: vec![held], ..firewall.clone() }).await.unwrap();
        for namespace in [&task.namespace, &web.namespace] {
            assert_eq!(inside(namespace, || fetch(at([172, 31, 0, 50], 80))).unwrap(), "balancer");
            assert!(inside(namespace, || fetch_within(PATIENCE, at([172, 31, 0, 50], 8080))).is_err());
        }
        // The container answers on the machine's addresses, and not on the load balancer's.
        assert_eq!(inside(&web.namespace, || fetch(at([172, 31, 0, 1], 8080))).unwrap(), "172.30.0.1");
        network.protect(&firewall).await.unwrap();
        hold(&config, BTreeSet::new()).await.unwrap();
        assert_eq!(remains(), before);
    });
}

#[test]
fn udp_is_published_too() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let server = network.attach(&bridge(1, 0, &[(53, 5353, Protocol::Udp)])).await.unwrap();
        let echo = inside(&server.namespace, || UdpSocket::bind("0.0.0.0:53").unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            let (length, from) = echo.recv_from(&mut buffer).unwrap();
            echo.send_to(&buffer[..length], from).unwrap();
        });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(WAIT)).unwrap();
        client.connect("127.0.0.1:5353").unwrap();
        client.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(client.recv(&mut buffer).unwrap(), 4);
    });
}

#[test]
fn a_client_that_keeps_sending_datagrams_reaches_the_container_that_took_over() {
    on_node(|directory| async move {
        let outside = Outside::make();
        let network = open(config(&directory)).await;
        let client = inside(&outside.namespace, || UdpSocket::bind("198.51.100.2:0").unwrap());
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        client.connect("198.51.100.1:5353").unwrap();
        // One flow all the time: to nobody, to the first container, to nobody, to the second one.
        for task in [1, 2] {
            assert!(call(&client).is_none());
            let server = network.attach(&bridge(task, 0, &[(53, 5353, Protocol::Udp)])).await.unwrap();
            let echo = inside(&server.namespace, || UdpSocket::bind("0.0.0.0:53").unwrap());
            let server = std::thread::spawn(move || {
                let mut buffer = [0; 16];
                let (_, from) = echo.recv_from(&mut buffer).unwrap();
                echo.send_to(format!("server {task}").as_bytes(), from).unwrap();
            });
            let answer = retry(async || call(&client).ok_or("no answer")).await;
            assert_eq!(answer, format!("server {task}"));
            server.join().unwrap();
            network.detach(TaskId(task)).await.unwrap();
        }
    });
}

/// Sends a datagram; what comes back, if anything does.
fn call(client: &UdpSocket) -> Option<String> {
    // An earlier one may have been refused, which is told here.
    drop(client.send(b"call"));
    let mut buffer = [0; 64];
    let length = client.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[test]
fn a_host_port_that_is_taken_is_refused_and_nothing_is_held() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let theirs = TcpListener::bind("0.0.0.0:8080").unwrap();
        let request = bridge(1, 0, &[(80, 8081, Protocol::Tcp), (80, 8080, Protocol::Tcp)]);
        let error = network.attach(&request).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "CannotStartContainerError: Bind for 0.0.0.0:8080 failed: port is already allocated"
        );
        drop(TcpListener::bind("0.0.0.0:8081").unwrap());
        drop(theirs);
        retry(async || network.attach(&request).await).await;
        let error = network.attach(&bridge(2, 0, &[(80, 8081, Protocol::Tcp)])).await.unwrap_err();
        assert_eq!(error.name, "CannotStartContainerError");
        // A program of the host is kept out as well, until the task is gone.
        assert!(TcpListener::bind("0.0.0.0:8081").is_err());
        network.detach(TaskId(1)).await.unwrap();
        drop(TcpListener::bind("0.0.0.0:8081").unwrap());
        retry(async || network.attach(&bridge(2, 0, &[(80, 8081, Protocol::Tcp)])).await).await;
    });
}

#[test]
fn none_has_loopback_only() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let request = NetworkRequest { task: TaskId(1), container: Some(0), kind: NetworkKind::None, proxy_port: None };
        let attached = network.attach(&request).await.unwrap();
        assert_eq!((attached.address, &attached.bindings[..]), (None, &[][..]));
        serve(&attached, 80);
        inside(&attached.namespace, || {
            assert_eq!(fetch(at(Ipv4Addr::LOCALHOST, 80)).unwrap(), "127.0.0.1");
            assert_eq!(run("ip", &["-o", "link"]).lines().count(), 1);
        });
        assert_eq!(network.attach(&request).await.unwrap(), attached);
        assert_eq!(network.list().await.unwrap(), [TaskId(1)]);
        network.detach(TaskId(1)).await.unwrap();
        assert_eq!(network.list().await.unwrap(), []);
    });
}

#[test]
fn tasks_reach_the_endpoint_server_and_not_the_hosts_loopback() {
    on_node(|directory| async move {
        let config = config(&directory);
        let endpoint = config.endpoint_address();
        let network = open(config).await;
        let task = network.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        let container = network.attach(&bridge(2, 0, &[])).await.unwrap();
        let server = TcpListener::bind(endpoint).unwrap();
        let private = TcpListener::bind("127.0.0.1:9000").unwrap();
        for listener in [server, private] {
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let peer = stream.peer_addr().unwrap().ip().to_string();
                    drop(stream.write_all(peer.as_bytes()));
                }
            });
        }
        for (attached, address) in [(&task, "172.31.0.10"), (&container, "172.30.0.2")] {
            assert_eq!(inside(&attached.namespace, || fetch(at([169, 254, 170, 2], 80))).unwrap(), address);
            // A task with a route of its own for 127/8 still does not get in.
            let refused = inside(&attached.namespace, || {
                run("ip", &["addr", "del", "127.0.0.1/8", "dev", "lo"]);
                run("ip", &["route", "add", "127.0.0.1", "via", "172.31.0.1", "dev", "eth0", "onlink"]);
                std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
                TcpStream::connect_timeout(&at(Ipv4Addr::LOCALHOST, 9000), PATIENCE).map(drop)
            });
            assert!(refused.is_err());
        }
        // Host-mode tasks too.
        assert!(fetch(at([169, 254, 170, 2], 80)).is_ok());
    });
}

#[test]
fn another_tools_drop_policy_does_not_stop_tasks() {
    on_node(|directory| async move {
        let outside = Outside::make();
        let ruleset = "add table ip filter\n\
            add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }\n\
            add chain ip filter DOCKER-USER\n\
            add rule ip filter FORWARD jump DOCKER-USER\n";
        let file = directory.with_extension("nft");
        std::fs::write(&file, ruleset).unwrap();
        run("nft", &["-f", file.to_str().unwrap()]);
        let before = remains();
        let network = open(config(&directory)).await;
        let task = network.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        serve(&outside.attached(), 80);
        assert!(inside(&task.namespace, || fetch(at([198, 51, 100, 2], 80))).is_ok());
        drop(network);
        // Taken over, the rules are not doubled; and all of them go.
        let network = open(config(&directory)).await;
        assert_eq!(run("nft", &["list", "chain", "ip", "filter", "DOCKER-USER"]).matches("test0").count(), 2);
        network.teardown().await.unwrap();
        assert_eq!(remains(), before);
    });
}

#[test]
fn a_new_agent_takes_over_what_an_earlier_one_made() {
    on_node(|directory| async move {
        let requests = [
            awsvpc(1, [172, 31, 0, 10]),
            bridge(2, 0, &[(80, 8080, Protocol::Tcp), (81, 0, Protocol::Tcp), (53, 0, Protocol::Udp)]),
            bridge(2, 1, &[(80, 0, Protocol::Tcp)]),
            NetworkRequest { task: TaskId(3), container: Some(0), kind: NetworkKind::None, proxy_port: None },
        ];
        let network = open(config(&directory)).await;
        let mut first = Vec::new();
        for request in &requests {
            first.push(network.attach(request).await.unwrap());
        }
        serve(&first[1], 80);
        drop(network);

        let network = open(config(&directory)).await;
        assert_eq!(network.list().await.unwrap(), [1, 2, 3].map(TaskId));
        assert!(fetch(at(Ipv4Addr::LOCALHOST, 8080)).is_ok());
        assert!(TcpListener::bind("0.0.0.0:8080").is_err(), "the port is held again");
        // A new container does not get an address that is in use.
        let fresh = network.attach(&bridge(4, 0, &[])).await.unwrap();
        assert!(first.iter().all(|attached| attached.address != fresh.address));
        for (request, attached) in requests.iter().zip(&first) {
            assert_eq!(&network.attach(request).await.unwrap(), attached);
        }
        assert!(fetch(at(Ipv4Addr::LOCALHOST, 8080)).is_ok(), "the namespace is the same one");
    });
}

/// Each way in which a crash can leave an attachment half-made or half-removed.
#[test]
fn whatever_is_left_of_an_attachment_is_listed_and_goes() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let before = remains();
        let request = bridge(7, 0, &[(80, 8080, Protocol::Tcp)]);
        let link = || run("ip", &["-o", "link"]).split_whitespace().find(|w| w.starts_with("gt")).unwrap().to_owned();
        let unlink = || drop(run("ip", &["link", "del", link().split('@').next().unwrap()]));
        let unmount = |path: &Path| nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH).unwrap();
        let drop_table = || drop(run("nft", &["flush", "map", "ip", "test0", "published"]));
        for remaining in 0..8 {
            let attached = network.attach(&request).await.unwrap();
            if remaining & 1 == 0 {
                unlink();
            }
            if remaining & 2 == 0 {
                unmount(&attached.namespace);
            }
            if remaining & 4 == 0 {
                drop_table();
            }
            // Seen by this agent and by the next, made whole again, and removed without a trace.
            assert_eq!(network.list().await.unwrap(), [TaskId(7)], "{remaining:b}");
            let again = network.attach(&request).await.unwrap();
            serve(&again, 80);
            assert!(fetch(at(again.address.unwrap(), 80)).is_ok(), "{remaining:b}");
            assert!(fetch(at(Ipv4Addr::LOCALHOST, 8080)).is_ok(), "{remaining:b}");
            network.detach(TaskId(7)).await.unwrap();
            assert_eq!(network.list().await.unwrap(), [], "{remaining:b}");
            assert_eq!(remains(), before, "{remaining:b}");
        }
        network.detach(TaskId(7)).await.unwrap();
    });
}

#[test]
fn many_tasks_at_once_and_nothing_stays() {
    on_node(|directory| async move {
        let before = remains();
        let network = open(config(&directory)).await;
        let opened = remains();
        let requests = (1..=40_u8).map(|n| match n % 2 {
            0 => awsvpc(n.into(), [172, 31, 0, 10 + n]),
            _ => bridge(n.into(), 0, &[(80, 0, Protocol::Tcp), (80, 9000 + u16::from(n), Protocol::Tcp)]),
        });
        let requests: Vec<NetworkRequest> = requests.collect();
        let attached = futures_util::future::join_all(requests.iter().map(|request| network.attach(request))).await;
        let addresses: BTreeSet<_> = attached.iter().map(|result| result.as_ref().unwrap().address).collect();
        assert_eq!(addresses.len(), requests.len());
        let ports: Vec<u16> =
            attached.iter().flat_map(|result| &result.as_ref().unwrap().bindings).map(|b| b.host_port).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        let detached = requests.iter().map(|request| network.detach(request.task));
        for result in futures_util::future::join_all(detached).await {
            result.unwrap();
        }
        assert_eq!(remains(), opened);
        network.teardown().await.unwrap();
        assert_eq!(remains(), before);
        assert!(!directory.exists());
    });
}

#[test]
fn instances_share_a_node() {
    on_node(|directory| async move {
        let other = Config {
            tag: "test1".into(),
            subnets: vec!["10.77.0.0/20".parse().unwrap()],
            bridge_range: "10.78.0.0/16".parse().unwrap(),
            ..config(&directory.with_file_name("other"))
        };
        let first = open(config(&directory)).await;
        let second = open(other).await;
        let a = first.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        let b = second.attach(&awsvpc(1, [10, 77, 0, 10])).await.unwrap();
        serve(&a, 80);
        serve(&b, 80);
        assert!(fetch(at([172, 31, 0, 10], 80)).is_ok());
        assert!(fetch(at([10, 77, 0, 10], 80)).is_ok());
        second.teardown().await.unwrap();
        assert!(fetch(at([172, 31, 0, 10], 80)).is_ok());
        first.teardown().await.unwrap();
    });
}

#[test]
fn the_instance_that_came_last_has_the_hosts_routes_when_ranges_are_the_same() {
    on_node(|directory| async move {
        let first = open(config(&directory)).await;
        let other = Config { tag: "test1".into(), ..config(&directory.with_file_name("other")) };
        for _ in 0..2 {
            let second = open(other.clone()).await;
            let task = second.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
            serve(&task, 80);
            assert_eq!(fetch(at([172, 31, 0, 10], 80)).unwrap(), "172.31.0.1");
            drop(second);
            open(other.clone()).await.teardown().await.unwrap();
        }
        let task = first.attach(&awsvpc(1, [172, 31, 0, 10])).await.unwrap();
        serve(&task, 80);
        assert_eq!(fetch(at([172, 31, 0, 10], 80)).unwrap(), "172.31.0.1");
    });
}

#[test]
fn a_range_that_the_machine_itself_is_in_is_refused() {
    on_node(|directory| async move {
        let _outside = Outside::make();
        for (address, refused) in [
            ("172.31.5.7/20", true),
            ("172.30.255.1/32", true),
            ("172.16.0.9/12", true),
            ("172.31.48.1/20", false),
            ("10.0.0.1/8", false),
        ] {
            run("ip", &["addr", "add", address, "dev", "uplink0"]);
            let opened = Linux::open(config(&directory)).await;
            assert_eq!(opened.is_err(), refused, "{address}");
            if let Err(error) = opened {
                assert!(error.message.contains("overlaps with the network of uplink0"), "{error}");
            }
            run("ip", &["addr", "del", address, "dev", "uplink0"]);
        }
    });
}

#[test]
fn a_trial_leaves_nothing_and_tells_of_a_range_that_is_taken() {
    on_node(|directory| async move {
        let before = remains();
        trial::run(config(&directory)).unwrap();
        assert_eq!(remains(), before);
        run("ip", &["link", "add", "lan0", "type", "bridge"]);
        run("ip", &["addr", "add", "172.31.40.2/24", "dev", "lan0"]);
        let refused = trial::run(config(&directory)).unwrap_err().to_string();
        assert!(refused.contains("172.31.32.0/20") && refused.contains("lan0 (172.31.40.2)"), "{refused}");
    });
}

#[test]
fn what_is_not_this_nodes_is_refused() {
    on_node(|directory| async move {
        let network = open(config(&directory)).await;
        let error = network.attach(&awsvpc(1, [10, 0, 0, 5])).await.unwrap_err();
        assert_eq!(error.to_string(), "ContainerNetworkingError: the subnet of 10.0.0.5 is none of this node's");
        let mut request = awsvpc(1, [172, 31, 0, 10]);
        let NetworkKind::Awsvpc(spec) = &mut request.kind else { unreachable!() };
        spec.mac = "02:00:00:00:00".into();
        assert!(network.attach(&request).await.unwrap_err().message.contains("is no MAC address"));
        for tag in ["", "Gantry", "0a", "a\"b", "abcdefghijklmnop", "a b"] {
            let config = Config { tag: tag.into(), ..config(&directory) };
            assert!(Linux::open(config).await.is_err(), "{tag}");
        }
        for range in ["172.31.0.0/16", "172.31.16.0/24", "172.16.0.0/12", "10.0.0.0/30"] {
            let config = Config { bridge_range: range.parse().unwrap(), ..config(&directory) };
            assert!(Linux::open(config).await.is_err(), "{range}");
        }
    });
}

const CHURN: &str = "GANTRY_TEST_CHURN_DIRECTORY";

/// Not a test by itself: what [`an_agent_killed_at_any_moment_leaves_nothing_that_the_next_does_not_find`] runs as a
/// process of its own, and kills.
#[test]
fn churn() {
    let Some(directory) = std::env::var_os(CHURN).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let network = open(config(&directory)).await;
        for round in 0.. {
            // A VPC of the caller's own comes and goes.
            network.protect(&vpc::told(&[vpc::vpc(vpc::ONE, &[])])).await.unwrap();
            let tasks = (1..=4_u8).map(|n| {
                let network = &network;
                async move {
                    let request = match n % 4 {
                        0 => vpc::task(n.into(), vpc::ONE, vpc::A),
                        2 => awsvpc(n.into(), [172, 31, 0, 10 + n]),
                        _ => bridge(n.into(), 0, &[(80, 0, Protocol::Tcp), (81, 8000 + u16::from(n), Protocol::Tcp)]),
                    };
                    network.attach(&request).await.unwrap();
                    // Some stay over the rounds, but not in the VPC, which would stay with them.
                    if n == 4 || !(round + u32::from(n)).is_multiple_of(3) {
                        network.detach(request.task).await.unwrap();
                    }
                }
            });
            futures_util::future::join_all(tasks).await;
            network.protect(&open_firewall()).await.unwrap();
        }
    });
}

#[test]
fn an_agent_killed_at_any_moment_leaves_nothing_that_the_next_does_not_find() {
    on_node(|directory| async move {
        let before = remains();
        open(config(&directory)).await;
        let opened = remains();
        for moment in 0..12_u64 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "churn", "--nocapture"])
                .env(CHURN, &directory)
                .process_group(0)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            // Not a wait for anything: the moment of death is what varies.
            std::thread::sleep(Duration::from_millis(60 + 23 * moment));
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGKILL).unwrap();
            child.wait().unwrap();

            let network = open(config(&directory)).await;
            for task in network.list().await.unwrap() {
                network.detach(task).await.unwrap();
            }
            assert_eq!(network.list().await.unwrap(), []);
            wait_for_remains(&opened).await;
        }
        open(config(&directory)).await.teardown().await.unwrap();
        wait_for_remains(&before).await;
    });
}

/// The kernel tidies up after a killed process in the background.
async fn wait_for_remains(expected: &[String]) {
    let deadline = std::time::Instant::now() + WAIT;
    while remains() != expected && std::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(remains(), expected);
}
