//! Load balancers and names on this machine: what the control plane wants served goes to the data path, and what that
//! sees of its targets comes back.
//!
//! ```text
//! Control::traffic ── Snapshot ──▶ addresses on the bridge ─┐
//! Control::dns ────── Snapshot ─────────────────────────────┴─ link ─▶ data path ── TargetHealth ──▶ Control::traffic
//! API's listener ── a connection for ….elb.localhost ────── handed over ─▶ data path
//! ```
//! The data path is a [process] of its own, which goes on when this one ends. Where nodes are simulated there is nothing
//! to go on with, and it is a part of this process, at the other end of a pipe.

pub mod process;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::network::{self, RESOLVERS};
use control::Control;
use control::serve::front::Front;
use edge::dns::Upstreams;
use edge::engine::Engine;
use edge::handover::{self, Handed};
use edge::link::{Begin, Ear, LinkError, Mouth, Order, Report, Stream, ends};
use edge::{Config, CookieKey};
use ipnet::{IpNet, Ipv4Net};
use model::edge::Snapshot;
use model::network::{VPC_NETWORK, VPC_PREFIX_LENGTH, private_domain};
use sha2::{Digest, Sha256};
use tokio::io::duplex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::process::Place;
use crate::failure::Failure;
use crate::home::Home;

/// Where a listener is reached by its load balancer's name through the API's own listener.
const NAMED_PORT: u16 = 80;
/// The name server's addresses are there, so it listens at once unless somebody else does.
const LISTEN_LIMIT: Duration = Duration::from_secs(2);
/// For the data path to say that it has begun.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// For the data path to close its listeners before another one takes its place.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// For the data path to read what it is told.
const TELL_LIMIT: Duration = Duration::from_secs(30);
/// Between one feeding and the next; doubled while they are short.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A feeding that lasted this long ended for a reason of its own.
const STEADY: Duration = Duration::from_secs(60);
/// What a pipe holds of what the other end has not read.
const PIPE_BYTES: usize = 64 << 10;

/// What keeps the data path up to date.
pub struct DataPath(JoinHandle<()>);

/// Begins to serve; `host` is an address of the loopback where names are answered, too. Returns once names are answered;
/// where they cannot be for now, it goes on trying.
pub async fn start(
    home: &Home,
    control: &Arc<Control>,
    network: Option<network::Config>,
    host: Option<SocketAddr>,
) -> Result<DataPath, Failure> {
    let begin = begin(control, network.as_ref(), host)?;
    let (is_answering, mut answering) = watch::channel(begin.names.is_none());
    let feeder = Feeder { control: control.clone(), network, begin, is_answering };
    let (front, feeding) = match feeder.network {
        Some(_) => {
            let place = Place::of(home)?;
            (hand_over_to(place.clone()), tokio::spawn(feeder.keep(place)))
        }
        None => {
            let engine = Arc::new(Engine::default());
            (take_by(engine.clone()), tokio::spawn(feeder.feed_here(engine)))
        }
    };
    // Only ever set here.
    let _ = control.front.set(front);
    // What stands in its way is told by its log.
    let _ = timeout(LISTEN_LIMIT, answering.wait_for(|is| *is)).await;
    Ok(DataPath(feeding))
}

impl DataPath {
    /// Nothing new is served from now on.
    pub fn stop(self) {
        self.0.abort();
    }
}

fn begin(control: &Control, network: Option<&network::Config>, host: Option<SocketAddr>) -> Result<Begin, Failure> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let cookie_key = CookieKey(cookie_key(&control.root_key.secret_access_key));
    Ok(Begin {
        build: process::build()?,
        traffic: Config { workers, cookie_key, namespaces: network.map(|network| network.directory.clone()) },
        names: names(&control.config.region, network, host),
    })
}

/// Cookies of before a restart are good after it, and nobody can make one.
fn cookie_key(secret: &str) -> [u8; 32] {
    Sha256::digest(format!("load balancer cookies\n{secret}")).into()
}

/// Names are for the tasks of `network`, and for this machine on `host`; `None` when there is neither.
fn names(region: &str, network: Option<&network::Config>, host: Option<SocketAddr>) -> Option<edge::dns::Config> {
    let listen: Vec<SocketAddr> = network.map(|network| network.dns_address().into()).into_iter().chain(host).collect();
    if listen.is_empty() {
        return None;
    }
    let vpc = Ipv4Net::new(VPC_NETWORK, VPC_PREFIX_LENGTH).expect("a prefix length");
    let loopback: IpNet = "127.0.0.0/8".parse().expect("a network");
    // Tasks in VPCs of the caller's own ask by the address of their VPC's link to the host.
    let ranges = network.into_iter().flat_map(|network| network.ranges().chain([network.transit_range]));
    let tasks = ranges.map(IpNet::from);
    let ours = RESOLVERS.map(IpAddr::from).into_iter().chain(listen.iter().map(SocketAddr::ip));
    Some(edge::dns::Config {
        clients: [loopback].into_iter().chain(tasks).collect(),
        networks: vec![vpc],
        domain: private_domain(region),
        upstreams: Upstreams::Machine { except: ours.collect() },
        listen,
    })
}

fn hand_over_to(place: Place) -> Front {
    Box::new(move |stream, client, dns_name| {
        let place = place.clone();
        Box::pin(async move {
            let handed = Handed { client, dns_name, port: NAMED_PORT };
            if let Err(error) = handover::hand_over(&place.connections(), &stream, &handed).await {
                tracing::warn!(%error, "a connection could not be handed over to the data path");
            }
        })
    })
}

fn take_by(engine: Arc<Engine>) -> Front {
    Box::new(move |stream, client, dns_name| {
        let engine = engine.clone();
        Box::pin(async move {
            if let (Some(edge), Ok(stream)) = (engine.edge(), stream.into_std()) {
                edge.take(stream, client, &dns_name, NAMED_PORT).await;
            }
        })
    })
}

/// The data path is set up otherwise, by an older program for example, and has ended.
struct Refused;

struct Feeder {
    control: Arc<Control>,
    network: Option<network::Config>,
    begin: Begin,
    is_answering: watch::Sender<bool>,
}

impl Feeder {
    /// Feeds the process at `place`, and starts it whenever it is not there.
    async fn keep(self, place: Place) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let fed = match place.find_or_start().await {
                Ok(stream) => self.feed(stream).await,
                Err(error) => Err(error.into()),
            };
            match fed {
                Ok(Refused) => {
                    tracing::info!("the data path was set up otherwise, and is replaced");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, log = %place.log().display(), "the data path is not fed; trying again")
                }
            }
            if began.elapsed() > STEADY {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Feeds one that is of this process and ends with it.
    async fn feed_here(self, engine: Arc<Engine>) {
        let (here, there) = duplex(PIPE_BYTES);
        tokio::select! {
            fed = self.feed(here) => if let Err(error) = fed {
                tracing::error!(%error, "load balancers and names are not served any more");
            },
            obeyed = engine.obey(there) => if let Err(error) = obeyed {
                tracing::error!(%error, "load balancers and names are not served any more");
            },
        }
    }

    /// Until the link breaks.
    async fn feed(&self, stream: impl Stream) -> Result<Refused, LinkError> {
        let (mut mouth, mut ear) = ends(stream);
        say(&mut mouth, &Order::Begin(Box::new(self.begin.clone()))).await?;
        match timeout(BEGIN_LIMIT, ear.hear()).await.map_err(std::io::Error::from)?? {
            Report::Begun => {}
            _ => {
                // It closes its end when it listens on nothing any more.
                let _ = timeout(CLOSE_LIMIT, ear.hear::<Report>()).await;
                return Ok(Refused);
            }
        }
        let served = Notify::new();
        let broke = tokio::select! {
            broke = self.tell(&mut mouth, &served) => broke,
            broke = self.hear(&mut ear, &served) => broke,
        };
        broke.map(|never| match never {})
    }

    /// One state of the traffic at a time: what changes meanwhile is in the next one.
    async fn tell(&self, mouth: &mut Mouth<impl Stream>, served: &Notify) -> Result<Infallible, LinkError> {
        let (mut traffic, mut names) = (self.control.traffic.subscribe(), self.control.dns.subscribe());
        traffic.mark_changed();
        names.mark_changed();
        let mut held = BTreeSet::new();
        let mut is_free = true;
        loop {
            tokio::select! {
                () = served.notified() => is_free = true,
                changed = traffic.changed(), if is_free => {
                    changed.map_err(|_| LinkError::Gone)?;
                    // Nothing is known yet: what is served stays.
                    let Some(snapshot) = traffic.borrow_and_update().clone() else { continue };
                    let snapshot = self.prepare(Snapshot::clone(&snapshot), &mut held).await;
                    say(mouth, &Order::Traffic(Box::new(snapshot))).await?;
                    is_free = false;
                }
                changed = names.changed() => {
                    changed.map_err(|_| LinkError::Gone)?;
                    let Some(snapshot) = names.borrow_and_update().clone() else { continue };
                    say(mouth, &Order::Names(Box::new(model::dns::Snapshot::clone(&snapshot)))).await?;
                }
            }
        }
    }

    async fn hear(&self, ear: &mut Ear<impl Stream>, served: &Notify) -> Result<Infallible, LinkError> {
        loop {
            match ear.hear().await? {
                Report::Begun | Report::Refused => return Err(LinkError::Gone),
                Report::Serving => served.notify_one(),
                Report::Answering => drop(self.is_answering.send_replace(true)),
                Report::Counts(counts) => self.control.traffic.count(counts),
                Report::Health(facts) => facts.into_iter().for_each(|fact| self.control.traffic.tell(fact)),
            }
        }
    }

    async fn prepare(&self, mut snapshot: Snapshot, held: &mut BTreeSet<Ipv4Addr>) -> Snapshot {
        match &self.network {
            Some(network) => hold(network, &snapshot, held).await,
            None => simulate(&self.control, &mut snapshot),
        }
        snapshot
    }
}

async fn say(mouth: &mut Mouth<impl Stream>, order: &Order) -> Result<(), LinkError> {
    timeout(TELL_LIMIT, mouth.say(order)).await.map_err(std::io::Error::from)?
}

/// A failure is told and left to the next change: listeners of addresses that are not there are tried again anyway.
async fn hold(network: &network::Config, snapshot: &Snapshot, held: &mut BTreeSet<Ipv4Addr>) {
    let addresses: BTreeSet<Ipv4Addr> =
        snapshot.load_balancers.iter().flat_map(|balancer| balancer.addresses.iter().copied()).collect();
    if addresses == *held {
        return;
    }
    match network::hold(network, addresses.clone()).await {
        Ok(()) => *held = addresses,
        Err(error) => tracing::warn!(%error, "the addresses of load balancers could not be put on this machine"),
    }
}

/// Nobody answers at the addresses of simulated tasks: their targets are told as if somebody did, and get no requests.
fn simulate(control: &Control, snapshot: &mut Snapshot) {
    edge::simulated::facts(snapshot).into_iter().for_each(|fact| control.traffic.tell(fact));
    snapshot.load_balancers.iter_mut().for_each(|balancer| balancer.addresses.clear());
    snapshot.target_groups.iter_mut().for_each(|group| group.targets.clear());
}
