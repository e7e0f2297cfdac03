//! The node's network: one bridge that is every task's gateway, a namespace per task or container, one nftables
//! table. Links, addresses and routes go through netlink in this process; rules through atomic `nft` batches.
//!
//! ```text
//!   task ns ─ eth0 ── gt… ┐                       ┌ masquerade ── uplink
//!   task ns ─ eth0 ── gt… ┼─ bridge (gateways,    ┤
//!   task ns ─ eth0 ── gt… ┘  169.254.170.2)       └ published ports ── all of the host's addresses
//! ```
//! What it does not do: choose addresses of awsvpc tasks (the control plane's), name service, links between nodes.
//!
//! Invariants
//! - All that an instance makes carries its tag or stands in its directory, so several share a machine.
//! - What is there after a crash is found by name: nothing else is remembered.
//! - A task's endpoints are changed by one call at a time, even when its caller has given up waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use model::link::InterfaceSpec;
use model::task::NetworkBinding;
use model::task_definition::PortMapping;
use model::{Port, TaskId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{OwnedMutexGuard, Semaphore, oneshot};
use tokio::time::timeout;

use crate::driver::{self, Attached, DriverError, NetworkKind, NetworkRequest};

mod bridge;
mod endpoint;
mod firewall;
mod namespace;
mod netlink;
mod port;
mod resolver;

use endpoint::{Address, EndpointId, Site};
use firewall::{Nft, Published};
use netlink::Mac;

/// How long making or removing one endpoint may take.
const ENDPOINT_LIMIT: Duration = Duration::from_secs(30);
/// Endpoints that are made or removed at the same time: the kernel does it one after the other anyway.
const ENDPOINTS_AT_ONCE: usize = 8;
/// Tasks share this many locks.
const LOCKS: usize = 64;
/// A link's name has 15 characters.
const TAG_LENGTH_MAX: usize = 15;

/// One instance of the node's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names the bridge and the table: a lowercase letter, then letters and digits; at most 15.
    pub tag: String,
    /// Where namespaces are kept. Best on a file system that is empty after a boot.
    pub directory: PathBuf,
    /// The subnets that awsvpc tasks come from. The first address of each is the gateway.
    pub subnets: Vec<Ipv4Net>,
    /// Where bridge-mode containers get their addresses. The first one is the gateway.
    pub bridge_range: Ipv4Net,
    /// Where the server of the metadata and credentials endpoints listens, on the bridge range's gateway; tasks reach
    /// it as 169.254.170.2:80.
    pub endpoint_port: u16,
}

impl Config {
    /// The whole built-in VPC, and 172.30.0.0/16 for bridge mode.
    pub fn new(directory: PathBuf) -> Self {
        let [a, b, c, d] = model::network::VPC_NETWORK.octets();
        let vpc = Ipv4Net::new(Ipv4Addr::new(a, b, c, d), model::network::VPC_PREFIX_LENGTH).expect("a prefix length");
        let subnets = vpc.subnets(model::network::SUBNET_PREFIX_LENGTH).expect("longer than the VPC's");
        Self {
            tag: "gantry0".into(),
            directory,
            subnets: subnets.take(3).collect(),
            bridge_range: Ipv4Net::new(Ipv4Addr::new(172, 30, 0, 0), 16).expect("a prefix length"),
            endpoint_port: 51679,
        }
    }

    /// The address and port on which the endpoint server of this instance has to listen.
    pub fn endpoint_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(gateway(self.bridge_range), self.endpoint_port)
    }

    fn ranges(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.subnets.iter().copied().chain([self.bridge_range])
    }

    fn bridge_addresses(&self) -> Vec<(Ipv4Addr, u8)> {
        let gateways = self.ranges().map(|range| (gateway(range), range.prefix_len()));
        gateways.chain([(bridge::TASK_ENDPOINT, 32)]).collect()
    }

    fn check(&self) -> Result<()> {
        let mut letters = self.tag.bytes();
        let starts = letters.next().is_some_and(|b| b.is_ascii_lowercase());
        if !starts || !letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) || self.tag.len() > TAG_LENGTH_MAX
        {
            return Err(Error::Config(format!("'{}' cannot name a network instance", self.tag)));
        }
        if self.ranges().any(|range| range.prefix_len() > 29) {
            return Err(Error::Config("a range needs at least 8 addresses".into()));
        }
        Ok(())
    }
}

fn gateway(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()) + 1)
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(String),
    #[error("cannot {action}: {source}")]
    Kernel { action: &'static str, source: io::Error },
    #[error("nft: {0}")]
    Nft(String),
    #[error("the link {0} vanished while it was set up")]
    Vanished(String),
    #[error("the subnet of {0} is none of this node's")]
    ForeignSubnet(Ipv4Addr),
    #[error("'{0}' is no MAC address")]
    Mac(String),
    #[error("no address is left for bridge mode")]
    NoAddress,
    #[error("Bind for 0.0.0.0:{} failed: port is already allocated", .0.number)]
    PortTaken(Port),
    #[error("no host port is left")]
    NoPort,
    #[error("the kernel did not end its work in time")]
    Timeout,
}

type Result<T> = std::result::Result<T, Error>;

/// Names the deed that failed.
fn kernel(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Kernel { action, source }
}

/// The agent's error names of ecs-semantics §1.3.
impl From<Error> for DriverError {
    fn from(error: Error) -> Self {
        let name = match error {
            Error::PortTaken(_) | Error::NoPort => "CannotStartContainerError",
            _ => "ContainerNetworkingError",
        };
        DriverError::new(name, error)
    }
}

/// The real network of a Linux host. Needs root.
#[derive(Debug)]
pub struct Linux {
    config: Config,
    site: Arc<Site>,
    dynamic_ports: std::ops::RangeInclusive<u16>,
    state: Mutex<State>,
    locks: Vec<Arc<tokio::sync::Mutex<()>>>,
    at_once: Arc<Semaphore>,
}

/// What is taken on the node in bridge mode.
#[derive(Debug, Default)]
struct State {
    addresses: BTreeMap<EndpointId, Ipv4Addr>,
    /// The address that was handed out last: the next one is sought after it, so that they return late.
    last: Option<Ipv4Addr>,
    published: BTreeMap<Port, Publication>,
}

#[derive(Debug)]
struct Publication {
    published: Published,
    /// `None`: another program took the port while no agent ran. The rule works nevertheless.
    _lease: Option<port::Lease>,
}

impl Linux {
    /// Makes bridge and table, or takes over what an earlier agent made, with the endpoints that are there.
    pub async fn open(config: Config) -> driver::Result<Self> {
        Ok(Self::open_inner(config).await?)
    }

    async fn open_inner(config: Config) -> Result<Self> {
        config.check()?;
        std::fs::create_dir_all(&config.directory).map_err(kernel("make the directory of network namespaces"))?;
        let published = match Nft.list(&["map", "ip", &config.tag, "published"]).await? {
            Some(listing) => firewall::parse_published(&listing),
            None => Vec::new(),
        };
        let for_bridge = config.clone();
        let made = on_thread(move || bridge::ensure(&for_bridge)).await?;
        Nft.apply(&firewall::table(&config, &published)).await?;
        pass_foreign(&config.tag).await?;
        let site = Arc::new(Site {
            tag: config.tag.clone(),
            directory: config.directory.clone(),
            bridge: made.index,
            mtu: made.mtu,
        });
        let for_list = site.clone();
        let endpoints = on_thread(move || endpoint::list(&for_list)).await?;
        let state = State::adopt(&config, &endpoints, published);
        Ok(Self {
            config,
            site,
            dynamic_ports: port::dynamic_range(),
            state: Mutex::new(state),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            at_once: Arc::new(Semaphore::new(ENDPOINTS_AT_ONCE)),
        })
    }

    /// Removes every endpoint, the bridge and the rules of this instance.
    pub async fn teardown(self) -> driver::Result<()> {
        for task in driver::Network::list(&self).await? {
            driver::Network::detach(&self, task).await?;
        }
        Nft.apply(&firewall::remove_table(&self.config.tag)).await?;
        unpass_foreign(&self.config.tag).await?;
        let config = self.config.clone();
        on_thread(move || bridge::remove(&config)).await?;
        std::fs::remove_dir(&self.config.directory).map_err(kernel("remove the directory of network namespaces"))?;
        Ok(())
    }

    async fn attach_inner(&self, request: &NetworkRequest) -> Result<Attached> {
        let id = EndpointId { task: request.task, container: request.container };
        let turn = self.turn(request.task).await;
        let address = match &request.kind {
            NetworkKind::None => None,
            NetworkKind::Awsvpc(spec) => Some(self.address_of(spec)?),
            NetworkKind::Bridge { .. } => Some(self.state().give_address(&self.config, id)?),
        };
        let site = self.site.clone();
        let turn = self.work(turn, move || endpoint::make(&site, id, address)).await?;
        let bindings = match (&request.kind, address) {
            (NetworkKind::Bridge { ports }, Some(address)) => self.publish(id, address.address, ports).await?,
            _ => Vec::new(),
        };
        drop(turn);
        Ok(Attached { namespace: self.site.namespace(id), address: address.map(|a| a.address), bindings })
    }

    async fn detach_inner(&self, task: TaskId) -> Result<()> {
        let turn = self.turn(task).await;
        self.withdraw(task).await?;
        let site = self.site.clone();
        let turn = self
            .work(turn, move || {
                let found = endpoint::list(&site)?;
                let mut ids = found.into_iter().map(|(id, _)| id).filter(|id| id.task == task);
                ids.try_for_each(|id| endpoint::remove(&site, id))
            })
            .await?;
        self.state().addresses.retain(|id, _| id.task != task);
        drop(turn);
        Ok(())
    }

    async fn list_inner(&self) -> Result<Vec<TaskId>> {
        let site = self.site.clone();
        let found = on_thread(move || endpoint::list(&site)).await?;
        let state = self.state();
        let published = state.published.values().map(|publication| publication.published.endpoint.task);
        let tasks: BTreeSet<TaskId> = found.iter().map(|(id, _)| id.task).chain(published).collect();
        Ok(tasks.into_iter().collect())
    }

    fn address_of(&self, spec: &InterfaceSpec) -> Result<Address> {
        let ours = self.config.subnets.iter().any(|subnet| {
            let fits = subnet.contains(&spec.address) && subnet.prefix_len() == spec.subnet_prefix_length;
            fits && gateway(*subnet) == spec.gateway
        });
        if !ours {
            return Err(Error::ForeignSubnet(spec.address));
        }
        Ok(Address {
            address: spec.address,
            prefix_length: spec.subnet_prefix_length,
            gateway: spec.gateway,
            mac: parse_mac(&spec.mac)?,
            reflected: false,
        })
    }

    /// Publishes all ports of the endpoint in one batch, those again that are there already, and answers the bindings
    /// in order. When the batch fails the ports stay held for the next attempt, or until the task is detached.
    async fn publish(&self, id: EndpointId, address: Ipv4Addr, ports: &[PortMapping]) -> Result<Vec<NetworkBinding>> {
        let start = SmallRng::from_os_rng().random_range(self.dynamic_ports.clone());
        let published = self.state().reserve(id, address, ports, &self.dynamic_ports, start)?;
        if !published.is_empty() {
            Nft.apply(&firewall::publish(&self.config.tag, &published)).await?;
        }
        Ok(published.iter().map(binding).collect())
    }

    async fn withdraw(&self, task: TaskId) -> Result<()> {
        let published: Vec<Published> = {
            let state = self.state();
            let of_task = state.published.values().map(|publication| publication.published);
            of_task.filter(|published| published.endpoint.task == task).collect()
        };
        if published.is_empty() {
            return Ok(());
        }
        Nft.apply(&firewall::withdraw(&self.config.tag, &published)).await?;
        self.state().published.retain(|_, publication| publication.published.endpoint.task != task);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self, task: TaskId) -> OwnedMutexGuard<()> {
        let lock = &self.locks[(task.0 % LOCKS as u128) as usize];
        lock.clone().lock_owned().await
    }

    /// Works on a thread of its own, holding the task's turn until that ends even when nobody waits any more.
    async fn work(
        &self,
        turn: OwnedMutexGuard<()>,
        deed: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<OwnedMutexGuard<()>> {
        let permit = self.at_once.clone().acquire_owned().await.expect("never closed");
        on_thread(move || {
            let result = deed();
            drop(permit);
            result.map(|()| turn)
        })
        .await
    }
}

impl driver::Network for Linux {
    async fn attach(&self, request: &NetworkRequest) -> driver::Result<Attached> {
        Ok(self.attach_inner(request).await?)
    }

    async fn detach(&self, task: TaskId) -> driver::Result<()> {
        Ok(self.detach_inner(task).await?)
    }

    async fn list(&self) -> driver::Result<Vec<TaskId>> {
        Ok(self.list_inner().await?)
    }

    fn dns_servers(&self) -> Vec<IpAddr> {
        resolver::servers()
    }
}

impl State {
    fn adopt(config: &Config, endpoints: &[(EndpointId, Option<Ipv4Addr>)], published: Vec<Published>) -> Self {
        let addresses = endpoints.iter().filter_map(|(id, address)| Some((*id, (*address)?)));
        let adopt = |published: Published| {
            let lease = port::take(published.host).ok();
            if lease.is_none() {
                tracing::warn!(port = published.host.number, task = %published.endpoint, "published port is not held");
            }
            (published.host, Publication { published, _lease: lease })
        };
        Self {
            addresses: addresses.filter(|(_, address)| config.bridge_range.contains(address)).collect(),
            last: None,
            published: published.into_iter().map(adopt).collect(),
        }
    }

    /// The endpoint's address in bridge mode: the one that it has, else the next free one.
    fn give_address(&mut self, config: &Config, id: EndpointId) -> Result<Address> {
        let range = config.bridge_range;
        let address = match self.addresses.get(&id) {
            Some(address) => *address,
            None => self.free_address(range).ok_or(Error::NoAddress)?,
        };
        self.addresses.insert(id, address);
        self.last = Some(address);
        let mac = parse_mac(&model::network::mac_of(address))?;
        Ok(Address { address, prefix_length: range.prefix_len(), gateway: gateway(range), mac, reflected: true })
    }

    fn free_address(&self, range: Ipv4Net) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> = self.addresses.values().copied().collect();
        let (low, high) = (u32::from(gateway(range)) + 1, u32::from(range.broadcast()) - 1);
        let next = self.last.map_or(low, |last| u32::from(last) + 1);
        let candidates = (next..=high).chain(low..=high).map(Ipv4Addr::from);
        candidates.take(taken.len() + high as usize - low as usize + 1).find(|address| !taken.contains(address))
    }

    /// Holds a host port for each mapping that has none yet; all of them or none.
    fn reserve(
        &mut self,
        id: EndpointId,
        address: Ipv4Addr,
        ports: &[PortMapping],
        dynamic: &std::ops::RangeInclusive<u16>,
        start: u16,
    ) -> Result<Vec<Published>> {
        let mut answer = Vec::with_capacity(ports.len());
        let mut fresh = Vec::new();
        for mapping in ports {
            let to = SocketAddrV4::new(address, mapping.container_port);
            if let Some(existing) = self.find(id, mapping, to, &answer) {
                answer.push(existing);
                continue;
            }
            let (host, lease) = lease(mapping, dynamic, start)?;
            let published = Published { host, endpoint: id, to };
            fresh.push(Publication { published, _lease: Some(lease) });
            answer.push(published);
        }
        self.published.extend(fresh.into_iter().map(|publication| (publication.published.host, publication)));
        Ok(answer)
    }

    /// What an earlier attempt published for this mapping and no other mapping of the same container has claimed.
    fn find(
        &self,
        id: EndpointId,
        mapping: &PortMapping,
        to: SocketAddrV4,
        claimed: &[Published],
    ) -> Option<Published> {
        let ours = self.published.values().map(|publication| publication.published);
        let mut fitting = ours.filter(|published| {
            let same = published.endpoint == id && published.to == to && published.host.protocol == mapping.protocol;
            same && (mapping.host_port == 0 || mapping.host_port == published.host.number)
        });
        fitting.find(|published| !claimed.contains(published))
    }
}

fn lease(mapping: &PortMapping, dynamic: &std::ops::RangeInclusive<u16>, start: u16) -> Result<(Port, port::Lease)> {
    if mapping.host_port == 0 {
        return port::take_any(mapping.protocol, dynamic.clone(), start).ok_or(Error::NoPort);
    }
    let port = Port { number: mapping.host_port, protocol: mapping.protocol };
    match port::take(port) {
        Ok(lease) => Ok((port, lease)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortTaken(port)),
        Err(source) => Err(Error::Kernel { action: "hold a host port", source }),
    }
}

fn binding(published: &Published) -> NetworkBinding {
    NetworkBinding {
        bind_ip: "0.0.0.0".into(),
        container_port: published.to.port(),
        host_port: published.host.number,
        protocol: published.host.protocol,
    }
}

fn parse_mac(text: &str) -> Result<Mac> {
    let invalid = || Error::Mac(text.to_owned());
    let mut mac = Mac::default();
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
    }
    if parts.next().is_some() { Err(invalid()) } else { Ok(mac) }
}

/// Sets a value under /proc/sys/net of the calling thread's namespace, unless it is set.
fn write_sysctl(name: &str, value: &str) -> io::Result<()> {
    let path = PathBuf::from("/proc/sys/net").join(name);
    let set = std::fs::read_to_string(&path)?;
    if set.split_whitespace().eq(value.split_whitespace()) {
        return Ok(());
    }
    std::fs::write(path, value)
}

/// Runs what may change its thread's namespace, or blocks, on a thread that ends with it.
async fn on_thread<T: Send + 'static>(deed: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("network".into());
    // The receiver may be gone: then nobody waits for the result.
    let spawned = thread.spawn(move || drop(sender.send(deed())));
    spawned.map_err(kernel("start a thread"))?;
    let result = timeout(ENDPOINT_LIMIT, receiver).await.map_err(|_| Error::Timeout)?;
    result.expect("the thread answers or the process has failed")
}

/// Another tool's forward chain may drop what it does not know: our traffic gets a rule at its head.
async fn pass_foreign(tag: &str) -> Result<()> {
    let Some((chain, handles)) = foreign_rules(tag).await? else { return Ok(()) };
    if !handles.is_empty() {
        return Ok(());
    }
    tracing::info!(chain, "letting our traffic pass a forward chain of iptables");
    Nft.apply(&firewall::pass_foreign(tag, chain)).await
}

async fn unpass_foreign(tag: &str) -> Result<()> {
    match foreign_rules(tag).await? {
        Some((chain, handles)) if !handles.is_empty() => Nft.apply(&firewall::unpass_foreign(chain, &handles)).await,
        _ => Ok(()),
    }
}

async fn foreign_rules(tag: &str) -> Result<Option<(&'static str, Vec<u64>)>> {
    let chains = Nft.list(&["chains", "ip"]).await?.unwrap_or_default();
    let Some(chain) = firewall::foreign_chain(&chains) else { return Ok(None) };
    let rules = Nft.list(&["chain", "ip", "filter", chain]).await?.unwrap_or_default();
    Ok(Some((chain, firewall::foreign_handles(&rules, tag))))
}
