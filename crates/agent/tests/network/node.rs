//! A node of a test's own, and what runs on it.

use std::fmt::Debug;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agent::driver::{Attached, Network as _, NetworkKind, NetworkRequest};
use agent::network::{Config, Linux};
use model::firewall::{Firewall, Group, Peer, Rule};
use model::link::InterfaceSpec;
use model::security_group::{Ports, Traffic};
use model::task_definition::PortMapping;
use model::{Protocol, TaskId};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// How long what must happen is waited for, however slow the machine is.
pub const WAIT: Duration = Duration::from_secs(30);
/// How long what must not happen is waited for.
pub const PATIENCE: Duration = Duration::from_millis(300);

/// Runs a test on a node of its own: a thread with a new network and mount namespace, and all threads it starts.
pub fn on_node<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F + Send + 'static) {
    let node = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("these tests need root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(directory.path().join("netns")));
    });
    if let Err(panic) = node.join() {
        std::panic::resume_unwind(panic);
    }
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// All that a network instance could leave behind on the node.
pub fn remains() -> Vec<String> {
    let links = run("ip", &["-o", "link"]).lines().map(|line| line.split(':').nth(1).unwrap().to_owned()).collect();
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains("nsfs")).map(str::to_owned).collect();
    let rules = run("nft", &["list", "ruleset"]).lines().map(str::to_owned).collect();
    let addresses = run("ip", &["-o", "-4", "addr"]).lines().map(str::to_owned).collect();
    let all: Vec<Vec<String>> = vec![links, mounts, rules, addresses];
    all.concat()
}

pub fn config(directory: &Path) -> Config {
    Config { tag: "test0".into(), ..Config::new(directory.to_owned()) }
}

/// With the rules of a group that lets everything in and out, which tasks have unless a test says otherwise.
pub async fn open(config: Config) -> Linux {
    let network = Linux::open(config).await.unwrap();
    network.protect(&open_firewall()).await.unwrap();
    network
}

pub fn open_firewall() -> Firewall {
    Firewall { groups: vec![group("sg-open", &[every()])], ..Firewall::default() }
}

/// Everything out, and in what the rules say.
pub fn group(id: &str, ingress: &[Rule]) -> Group {
    Group { id: id.into(), ingress: ingress.to_vec(), egress: vec![every()] }
}

pub fn every() -> Rule {
    Rule { traffic: Traffic::All, peer: Peer::Networks(vec!["0.0.0.0/0".parse().unwrap()]) }
}

pub fn tcp_from(port: u16, peer: Peer) -> Rule {
    Rule { traffic: Traffic::Tcp(Ports { from: port, to: port }), peer }
}

pub fn awsvpc(task: u128, address: [u8; 4]) -> NetworkRequest {
    awsvpc_in(task, address, &["sg-open"])
}

pub fn awsvpc_in(task: u128, address: [u8; 4], groups: &[&str]) -> NetworkRequest {
    let [a, b, c, _] = address;
    let address = Ipv4Addr::from(address);
    let spec = InterfaceSpec {
        attachment_id: "attachment".into(),
        interface_id: "eni-1".into(),
        mac: model::network::mac_of(address),
        address,
        subnet_id: "subnet-1".into(),
        subnet_prefix_length: 20,
        gateway: Ipv4Addr::new(a, b, c & 0xf0, 1),
        vpc_id: "vpc-1".into(),
        own_network: false,
        private_dns_name: "ip.internal".into(),

        security_groups: groups.iter().map(|&id| id.to_owned()).collect(),
    };
    NetworkRequest { task: TaskId(task), container: None, kind: NetworkKind::Awsvpc(spec), proxy_port: None }
}

pub fn bridge(task: u128, container: usize, ports: &[(u16, u16, Protocol)]) -> NetworkRequest {
    let mapping = |&(container_port, host_port, protocol)| PortMapping {
        container_port,
        host_port,
        protocol,
        name: None,
        app_protocol: None,
    };
    let ports = ports.iter().map(mapping).collect();
    NetworkRequest {
        task: TaskId(task),
        container: Some(container),
        kind: NetworkKind::Bridge { ports },
        proxy_port: None,
    }
}

/// Runs something inside a namespace, on a thread that ends with it.
pub fn inside<T: Send + 'static>(namespace: &Path, deed: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = namespace.to_owned();
    let thread = std::thread::spawn(move || {
        let file = std::fs::File::open(namespace).unwrap();
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
        deed()
    });
    thread.join().unwrap()
}

/// Whether the task connects is as expected.
#[track_caller]
pub fn check(from: &Attached, to: [u8; 4], port: u16, reaches: bool) {
    let connected = inside(&from.namespace, move || TcpStream::connect_timeout(&at(to, port), limit(reaches)).is_ok());
    assert_eq!(connected, reaches, "{:?} to {to:?}:{port}", from.address);
}

/// How long something is waited for.
pub fn limit(is_expected: bool) -> Duration {
    if is_expected { WAIT } else { PATIENCE }
}

/// Tries until it succeeds. A socket that is closed keeps its port for as long as a child that another test is just
/// starting has a copy of it.
pub async fn retry<T, E: Debug>(mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + WAIT;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The next datagram of one byte.
pub fn hear(socket: &UdpSocket) -> u8 {
    let mut heard = [0];
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.recv_from(&mut heard).expect("a datagram");
    heard[0]
}

/// Answers every connection with the caller's address as it is seen inside.
pub fn serve(attached: &Attached, port: u16) {
    let listener = inside(&attached.namespace, move || TcpListener::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            // The client may be gone already.
            drop(stream.write_all(peer.as_bytes()));
        }
    });
}

pub fn fetch(to: SocketAddr) -> std::io::Result<String> {
    fetch_within(WAIT, to)
}

pub fn fetch_within(wait: Duration, to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, wait)?;
    stream.set_read_timeout(Some(wait))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub fn at(address: impl Into<Ipv4Addr>, port: u16) -> SocketAddr {
    SocketAddrV4::new(address.into(), port).into()
}

/// A machine beyond the node's uplink, 198.51.100.2, whose gateway is the node.
pub struct Outside {
    pub namespace: PathBuf,
}

impl Outside {
    pub fn make() -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        // The thread keeps the namespace alive until the process ends.
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            sender.send(nix::unistd::gettid()).unwrap();
            loop {
                std::thread::park();
            }
        });
        let thread = receiver.recv().unwrap();
        let namespace = PathBuf::from(format!("/proc/{}/task/{thread}/ns/net", std::process::id()));
        let name = namespace.to_str().unwrap().to_owned();
        run("ip", &["link", "add", "uplink0", "type", "veth", "peer", "name", "far0"]);
        run("ip", &["link", "set", "far0", "netns", &thread.to_string()]);
        run("ip", &["addr", "add", "198.51.100.1/24", "dev", "uplink0"]);
        run("ip", &["link", "set", "uplink0", "up"]);
        inside(Path::new(&name), || {
            run("ip", &["addr", "add", "198.51.100.2/24", "dev", "far0"]);
            run("ip", &["link", "set", "far0", "up"]);
            run("ip", &["route", "add", "default", "via", "198.51.100.1"]);
        });
        Self { namespace }
    }

    pub fn attached(&self) -> Attached {
        Attached { namespace: self.namespace.clone(), address: None, bindings: Vec::new() }
    }

    pub fn fetch(&self, to: SocketAddr) -> std::io::Result<String> {
        inside(&self.namespace, move || fetch(to))
    }

    pub fn connect(&self, to: SocketAddr, limit: Duration) -> std::io::Result<()> {
        inside(&self.namespace, move || TcpStream::connect_timeout(&to, limit).map(drop))
    }
}
