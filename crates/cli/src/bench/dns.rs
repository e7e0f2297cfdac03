//! Answers a second of the name server from memory, against dnsmasq: the same name with the same three addresses, the same
//! client, which keeps 64 questions under way on each of four sockets. Both serve from one thread, so from one core. Sides
//! are measured in turn, so that both suffer alike from what else the machine does.
//!
//! What a side has of the processors is counted too: on a machine whose cores are busy the rate says more of the machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use edge::dns::{Config, Dns, Upstreams};
use model::dns::{RecordSet, Records, Routing, Snapshot, Zone};
use tokio::time::timeout;

use super::figure::{Figure, Goal, Peer, Sorted};
use super::process::{Daemon, POLL_INTERVAL, free_address, processor_time_at};
use crate::failure::{Advice, Context, Failure};

/// The median of these counts.
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);
const SOCKETS: usize = 4;
const UNDER_WAY: usize = 64;
const READY_LIMIT: Duration = Duration::from_secs(20);
/// For an answer that was lost.
const RECEIVE_LIMIT: Duration = Duration::from_millis(100);
const GOAL_PER_SECOND: f64 = 60_000.0;
const ZONE: &str = "corp.local";
const NAME: &str = "web.corp.local";
/// Names beside the one that is asked for.
const OTHER_NAMES: usize = 1000;

struct Side {
    name: &'static str,
    server: SocketAddr,
    /// Where the kernel says what its thread had of the processors.
    stat: PathBuf,
    rates: Vec<f64>,
    per_processor_second: Vec<f64>,
}

impl Side {
    fn new(name: &'static str, server: SocketAddr, stat: PathBuf) -> Self {
        Self { name, server, stat, rates: Vec::new(), per_processor_second: Vec::new() }
    }

    fn measure(&mut self) -> Result<(), Failure> {
        load(self.server, WARM_UP)?;
        let before = processor_time_at(&self.stat)?;
        let began = Instant::now();
        let answers = load(self.server, TIME)? as f64;
        self.rates.push(answers / began.elapsed().as_secs_f64());
        let used = processor_time_at(&self.stat)?.saturating_sub(before);
        self.per_processor_second.push(answers / used.as_secs_f64().max(f64::MIN_POSITIVE));
        Ok(())
    }
}

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let dns = Dns::start(config(), &snapshot()).context(|| "the name server could not be started".to_owned())?;
    let mut bound = dns.bound();
    let listening = timeout(READY_LIMIT, bound.wait_for(|bound| !bound.is_empty())).await;
    let server = match listening {
        Ok(Ok(bound)) => bound[0].1,
        _ => return Err(Failure::new("the name server does not listen")),
    };
    let directory = tempfile::Builder::new().prefix("gantry-bench-dns-").tempdir();
    let directory = directory.context(|| "no temporary directory could be made".to_owned())?;
    let address = free_address()?;
    let dnsmasq = dnsmasq(address, directory.path())?;
    let dnsmasq =
        Daemon::start(dnsmasq, &directory.path().join("dnsmasq.log")).advice("`scripts/need bench` installs it.")?;
    let stat = PathBuf::from(format!("/proc/{}/stat", dnsmasq.id()));
    let mut sides = [Side::new("gantry", server, own_thread("dns")?), Side::new("dnsmasq", address, stat)];
    for side in &sides {
        until_answering(side.server).await?;
    }
    for _ in 0..ROUNDS {
        for side in &mut sides {
            side.measure()?;
        }
    }
    Ok(figures(&sides))
}

fn figures([ours, peer]: &[Side; 2]) -> Vec<Figure> {
    let median = |samples: &[f64]| Sorted::new(samples.to_vec()).percentile(50.0);
    let figure = |name: &str, pick: fn(&Side) -> &[f64], goal| {
        let peer = Peer { name: peer.name, value: median(pick(peer)) };
        Figure::new(name, "answers/s", median(pick(ours)), Some(peer), goal)
    };
    vec![
        figure("DNS from memory, one core", |side| &side.rates, Goal::AtLeast(GOAL_PER_SECOND)),
        figure("DNS from memory, per second of a processor", |side| &side.per_processor_second, Goal::None),
    ]
}

fn config() -> Config {
    Config {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        clients: vec!["127.0.0.0/8".parse().expect("a network")],
        networks: Vec::new(),
        domain: "ec2.internal".to_owned(),
        upstreams: Upstreams::These(Vec::new()),
    }
}

fn addresses() -> [Ipv4Addr; 3] {
    [1, 2, 3].map(|last| Ipv4Addr::new(10, 0, 0, last))
}

fn other_name(number: usize) -> String {
    format!("name-{number}.{ZONE}")
}

fn snapshot() -> Snapshot {
    let set = |name: String| RecordSet {
        name,
        ttl_seconds: 60,
        routing: Routing::Multivalue,
        records: Records::A(addresses().to_vec()),
    };
    let names = std::iter::once(NAME.to_owned()).chain((0..OTHER_NAMES).map(other_name));
    let zone = Zone { name: ZONE.to_owned(), negative_ttl_seconds: 15, records: names.map(set).collect() };
    Snapshot { revision: 1, zones: vec![zone] }
}

fn dnsmasq(server: SocketAddr, directory: &Path) -> Result<Command, Failure> {
    let hosts = directory.join("hosts");
    let names = std::iter::once(NAME.to_owned()).chain((0..OTHER_NAMES).map(other_name));
    let lines = names.flat_map(|name| addresses().map(|address| format!("{address} {name}\n")));
    fs::write(&hosts, lines.collect::<String>()).context(|| format!("{} could not be written", hosts.display()))?;
    let mut command = Command::new("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="]);
    command.args(["--log-facility=-", "--user=root", "--bind-interfaces", "--listen-address=127.0.0.1"]);
    command.args([&format!("--port={}", server.port()), "--local-ttl=60", &format!("--local=/{ZONE}/")]);
    command.arg(format!("--addn-hosts={}", hosts.display()));
    // Debian puts it into a directory that only root's PATH has.
    command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
    Ok(command)
}

/// The `stat` of our own thread of that name.
fn own_thread(name: &str) -> Result<PathBuf, Failure> {
    let threads = fs::read_dir("/proc/self/task").context(|| "our threads could not be listed".to_owned())?;
    let mut threads = threads.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |thread: &PathBuf| fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim() == name);
    let thread = threads.find(named).ok_or_else(|| Failure::new(format!("there is no thread {name}")))?;
    Ok(thread.join("stat"))
}

async fn until_answering(server: SocketAddr) -> Result<(), Failure> {
    let deadline = Instant::now() + READY_LIMIT;
    while load(server, Duration::from_millis(1))? == 0 {
        if Instant::now() > deadline {
            return Err(Failure::new(format!("the name server on {server} does not answer")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// How many answers came in that time, to all sockets.
fn load(server: SocketAddr, time: Duration) -> Result<u64, Failure> {
    let what = || "the name server could not be asked".to_owned();
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context(what)?;
        socket.connect(server).context(what)?;
        socket.set_read_timeout(Some(RECEIVE_LIMIT)).context(what)?;
        sockets.push(socket);
    }
    let question = question();
    let end = Instant::now() + time;
    let mut answers = 0;
    while Instant::now() < end {
        for socket in &sockets {
            for _ in 0..UNDER_WAY {
                // A server that is not there yet refuses.
                let _ = socket.send(&question);
            }
        }
        answers += sockets.iter().map(take_answers).sum::<u64>();
    }
    Ok(answers)
}

/// Those to what was asked, or fewer when some are lost.
fn take_answers(socket: &UdpSocket) -> u64 {
    let mut buffer = [0; 512];
    let three_answers = |buffer: &[u8]| buffer[3] & 0xf == 0 && buffer[6..8] == [0, 3];
    let taken = (0..UNDER_WAY).map_while(|_| socket.recv(&mut buffer).ok().map(|_| three_answers(&buffer)));
    taken.filter(|is_right| *is_right).count() as u64
}

/// For the addresses of [`NAME`].
fn question() -> Vec<u8> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in NAME.split('.') {
        question.push(label.len() as u8);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    question
}
