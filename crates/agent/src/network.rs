//! The node's network: one bridge that is every task's gateway, a namespace per task or container, one nftables
//! table. Links, addresses and routes go through netlink in this process; rules through atomic `nft` batches.
//!
//! ```text
//!   task ns ─ eth0 ── gt… ┐                       ┌ masquerade ── uplink
//!   task ns ─ eth0 ── gt… ┼─ bridge (gateways,    ┤
//!   task ns ─ eth0 ── gt… ┘  169.254.170.2,       └ published ports ── all of the host's addresses
//!                            the resolver's)
//! ```
//! Addresses of load balancers are on the bridge too: what listens on them, and what answers as the VPC's resolver, is
//! not of this module.
//!
//! What it does not do: choose addresses of awsvpc tasks (the control plane's), name service, links between nodes.
//!
//! Invariants
//! - All that an instance makes carries its tag or stands in its directory, so several share a machine.
//! - What is there after a crash is found by name: nothing else is remembered.
//! - A task's endpoints are changed by one call at a time, even when its caller has given up waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use model::firewall::{Firewall, VpcNetwork};
use model::link::InterfaceSpec;
use model::network::{EndpointId, resolver_of};
use model::task::NetworkBinding;
use model::task_definition::PortMapping;
use model::{Port, Protocol, TaskId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{OwnedMutexGuard, Semaphore, oneshot};
use tokio::time::timeout;

use crate::driver::{self, Attached, DriverError, NetworkKind, NetworkRequest};

mod bridge;
mod config;
mod conntrack;
mod endpoint;
mod firewall;
mod guard;
mod ledger;
mod namespace;
mod netlink;
mod port;
mod proxy;
mod resolver;
pub mod trial;
mod vpc;
mod wall;

pub use config::Config;
use config::gateway;
use endpoint::{Address, Found, Site, parse_mac};
use firewall::{Nft, Published};
use guard::Guard;
use ledger::Ledger;
pub use resolver::RESOLVERS;
use wall::{Access, Change, Member, Origin, Rules, Wall};

/// How long making or removing one endpoint may take.
const ENDPOINT_LIMIT: Duration = Duration::from_secs(30);
/// Endpoints that are made or removed at the same time: the kernel does it one after the other anyway.
const ENDPOINTS_AT_ONCE: usize = 8;
/// The tables of the legacy iptables that are in force, which `nft` does not see.
const LEGACY_TABLES: &str = "/proc/net/ip_tables_names";
/// Tasks share this many locks.
const LOCKS: usize = 64;
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
    #[error("the range {range} of tasks overlaps with the network of {link} ({address}) on this machine")]
    RangeInUse { range: ipnet::Ipv4Net, link: String, address: Ipv4Addr },
    #[error("the subnet of {0} is none of this node's")]
    ForeignSubnet(Ipv4Addr),
    #[error("the node was not told of the VPC {0}")]
    UnknownVpc(String),
    #[error("'{0}' is no VPC's id")]
    VpcId(String),
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
    /// The host's own: of the built-in VPC and of containers in bridge mode.
    built_in: Arc<Segment>,
    /// VPCs of the caller's own, by id.
    own: Mutex<BTreeMap<String, OwnVpc>>,
    /// The VPC of each task that is in one of these.
    homes: Mutex<BTreeMap<TaskId, String>>,
    /// One firewall is taken over after the other.
    telling: tokio::sync::Mutex<()>,
    dynamic_ports: std::ops::RangeInclusive<u16>,
    ledger: Mutex<Ledger>,
    locks: Vec<Arc<tokio::sync::Mutex<()>>>,
    at_once: Arc<Semaphore>,
}

/// A bridge with what is on it, and who may pass.
#[derive(Debug)]
struct Segment {
    site: Arc<Site>,
    guard: Guard,
}

#[derive(Debug)]
struct OwnVpc {
    segment: Arc<Segment>,
    /// `None`: it is to go with its last task.
    told: Option<VpcNetwork>,
}

impl Linux {
    /// Makes bridge and table, or takes over what an earlier agent made, with the endpoints that are there.
    pub async fn open(config: Config) -> driver::Result<Self> {
        Ok(Self::open_inner(config).await?)
    }

    async fn open_inner(config: Config) -> Result<Self> {
        config.check()?;
        std::fs::create_dir_all(&config.directory).map_err(kernel("make the directory of network namespaces"))?;
        let map = ["map", "ip", &config.tag, "published"];
        let here = Nft::here();
        let for_bridge = config.clone();
        let (made, listing) = tokio::try_join!(on_thread(move || bridge::ensure(&for_bridge)), here.list(&map))?;
        let published = listing.as_ref().map(firewall::parse_published).unwrap_or_default();
        let site = Arc::new(Site {
            tag: config.tag.clone(),
            directory: config.directory.clone(),
            ground: None,
            bridge: made.index,
            mtu: made.mtu,
        });
        let for_list = site.clone();
        let endpoints = on_thread(move || endpoint::list(&for_list)).await?;
        let kept = guard::kept(&config.directory);
        let (wall, held) = rebuild(Rules::from(&kept), &site, &endpoints);
        let tables = firewall::table(&config, &published) + &held;
        tokio::try_join!(here.apply(&tables), pass_foreign(&config))?;
        let ledger = Ledger::adopt(&config, &endpoints, published);
        let guard = Guard::start(wall, here);
        let network = Self {
            config,
            built_in: Arc::new(Segment { site, guard }),
            own: Mutex::default(),
            homes: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            dynamic_ports: port::dynamic_range(),
            ledger: Mutex::new(ledger),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            at_once: Arc::new(Semaphore::new(ENDPOINTS_AT_ONCE)),
        };
        network.adopt_vpcs(kept.vpcs).await?;
        Ok(network)
    }

    /// Those that an earlier agent was told of, and those that are there.
    async fn adopt_vpcs(&self, told: Vec<VpcNetwork>) -> Result<()> {
        for id in vpc::list(&self.config)? {
            if !told.iter().any(|told| told.id == id) {
                self.provide(&id, None).await?;
            }
        }
        for told in told {
            self.provide(&told.id.clone(), Some(told)).await?;
        }
        self.retire().await
    }

    /// Makes the VPC's network, or what it lacks.
    async fn provide(&self, id: &str, told: Option<VpcNetwork>) -> Result<()> {
        let (config, name, rules) = (self.config.clone(), id.to_owned(), told.clone());
        let made = on_thread(move || vpc::ensure(&config, &name, rules.as_ref())).await?;
        self.homes().extend(made.endpoints.iter().map(|found| (found.id.task, id.to_owned())));
        let guard = Guard::start(made.wall, made.nft);
        let segment = Arc::new(Segment { site: Arc::new(made.site), guard });
        self.own().insert(id.to_owned(), OwnVpc { segment, told });
        Ok(())
    }

    /// Takes over what is told of a VPC.
    async fn take_vpc(&self, told: &VpcNetwork) -> Result<()> {
        let present = self.own().get(&told.id).map(|own| (own.segment.clone(), own.told.clone()));
        let (segment, before) = match present {
            Some((_, Some(before))) if before == *told => return Ok(()),
            Some((segment, Some(before))) if before.range == told.range => (segment, before),
            _ => return self.provide(&told.id, Some(told.clone())).await,
        };
        if before.subnets.iter().map(|subnet| subnet.network).ne(told.subnets.iter().map(|subnet| subnet.network)) {
            let (site, told) = (segment.site.clone(), told.clone());
            on_thread(move || vpc::readdress(&site, &told)).await?;
        }
        segment.guard.change(Change::Protect(Rules::from(told))).await?;
        self.own().insert(told.id.clone(), OwnVpc { segment, told: Some(told.clone()) });
        Ok(())
    }

    async fn protect_inner(&self, firewall: &Firewall) -> Result<()> {
        let _turn = self.telling.lock().await;
        guard::keep(&self.config.directory, firewall).map_err(kernel("keep the firewall"))?;
        for told in &firewall.vpcs {
            self.take_vpc(told).await?;
        }
        let is_told = |id: &String| firewall.vpcs.iter().any(|told| told.id == *id);
        self.own().iter_mut().filter(|(id, _)| !is_told(id)).for_each(|(_, own)| own.told = None);
        self.built_in.guard.change(Change::Protect(Rules::from(firewall))).await?;
        self.retire().await
    }

    /// Removes the VPCs that nobody tells of any more and that have no tasks left.
    async fn retire(&self) -> Result<()> {
        let lived_in: BTreeSet<String> = self.homes().values().cloned().collect();
        let is_over = |(id, own): &(&String, &OwnVpc)| own.told.is_none() && !lived_in.contains(*id);
        let over: Vec<String> = self.own().iter().filter(is_over).map(|(id, _)| id.clone()).collect();
        for id in over {
            self.remove_vpc(id).await?;
        }
        Ok(())
    }

    async fn remove_vpc(&self, id: String) -> Result<()> {
        let (config, name) = (self.config.clone(), id.clone());
        on_thread(move || vpc::remove(&config, &name)).await?;
        self.own().remove(&id);
        Ok(())
    }

    fn own(&self) -> MutexGuard<'_, BTreeMap<String, OwnVpc>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn homes(&self) -> MutexGuard<'_, BTreeMap<TaskId, String>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an endpoint of this kind goes, and for a VPC of the caller's own its subnets.
    fn segment_for(&self, kind: &NetworkKind) -> Result<(Arc<Segment>, Vec<Ipv4Net>)> {
        let own = match kind {
            NetworkKind::Awsvpc(spec) if spec.own_network => &spec.vpc_id,
            _ => return Ok((self.built_in.clone(), self.config.subnets.clone())),
        };
        let vpcs = self.own();
        let found = vpcs.get(own).and_then(|own| Some((own.segment.clone(), own.told.as_ref()?)));
        let (segment, told) = found.ok_or_else(|| Error::UnknownVpc(own.clone()))?;
        Ok((segment, told.subnets.iter().map(|subnet| subnet.network).collect()))
    }

    /// Where a task's endpoints are.
    fn segment_of(&self, task: TaskId) -> Arc<Segment> {
        let home = self.homes().get(&task).cloned();
        let own = home.and_then(|id| self.own().get(&id).map(|own| own.segment.clone()));
        own.unwrap_or_else(|| self.built_in.clone())
    }

    /// Removes every endpoint, the bridge and the rules of this instance.
    pub async fn teardown(self) -> driver::Result<()> {
        let tasks = self.list_inner().await?;
        futures_util::future::try_join_all(tasks.into_iter().map(|task| self.detach_inner(task))).await?;
        Nft::here().apply(&firewall::remove_table(&self.config.tag)).await?;
        unpass_foreign(&self.config).await?;
        let vpcs: Vec<String> = self.own().keys().cloned().collect();
        for id in vpcs {
            self.remove_vpc(id).await?;
        }
        let config = self.config.clone();
        on_thread(move || bridge::remove(&config)).await?;
        guard::forget(&self.config.directory)?;
        std::fs::remove_dir(&self.config.directory).map_err(kernel("remove the directory of network namespaces"))?;
        Ok(())
    }

    async fn attach_inner(&self, request: &NetworkRequest) -> Result<Attached> {
        let id = EndpointId { task: request.task, container: request.container };
        let turn = self.turn(request.task).await;
        let (segment, subnets) = self.segment_for(&request.kind)?;
        if let NetworkKind::Awsvpc(spec) = &request.kind
            && spec.own_network
        {
            self.homes().insert(request.task, spec.vpc_id.clone());
        }
        let address = match &request.kind {
            NetworkKind::None => None,
            NetworkKind::Awsvpc(spec) => Some(address_of(spec, &subnets)?),
            NetworkKind::Bridge { .. } => Some(self.ledger().give_address(&self.config, id)?),
        };
        let member = address.as_ref().map(|address| member(&segment.site, id, address));
        let (site, made) = (segment.site.clone(), address.clone());
        // Nothing runs in the namespace before both are there.
        let (turn, ()) = tokio::try_join!(
            self.work(turn, move || endpoint::make(&site, id, made.as_ref())),
            admit(&segment.guard, member)
        )?;
        let turn = match request.proxy_port {
            Some(port) => {
                let namespace = segment.site.namespace(id);
                self.work(turn, move || proxy::redirect(&namespace, port)).await?
            }
            None => turn,
        };
        let bindings = match (&request.kind, &address) {
            (NetworkKind::Bridge { ports }, Some(address)) => self.publish(id, address.address, ports).await?,
            _ => Vec::new(),
        };
        drop(turn);
        Ok(Attached { namespace: segment.site.namespace(id), address: address.map(|a| a.address), bindings })
    }

    async fn detach_inner(&self, task: TaskId) -> Result<()> {
        let turn = self.turn(task).await;
        self.withdraw(task).await?;
        let segment = self.segment_of(task);
        let site = segment.site.clone();
        let remove = move || {
            let found = endpoint::list(&site)?;
            let mut ids = found.into_iter().map(|found| found.id).filter(|id| id.task == task);
            ids.try_for_each(|id| endpoint::remove(&site, id))
        };
        let turn = self.work(turn, remove).await?;
        segment.guard.change(Change::Expel(task)).await?;
        self.ledger().free_addresses(task);
        let home = self.homes().remove(&task);
        drop(turn);
        if home.is_some() {
            let _turn = self.telling.lock().await;
            self.retire().await?;
        }
        Ok(())
    }

    async fn list_inner(&self) -> Result<Vec<TaskId>> {
        let site = self.built_in.site.clone();
        let found = on_thread(move || endpoint::list(&site)).await?;
        let (ledger, homes) = (self.ledger(), self.homes());
        let tasks = found.iter().map(|found| found.id.task).chain(ledger.tasks()).chain(homes.keys().copied());
        let tasks: BTreeSet<TaskId> = tasks.collect();
        Ok(tasks.into_iter().collect())
    }

    /// Publishes all ports of the endpoint in one batch, those again that are there already, and answers the bindings
    /// in order. When the batch fails the ports stay held for the next attempt, or until the task is detached.
    async fn publish(&self, id: EndpointId, address: Ipv4Addr, ports: &[PortMapping]) -> Result<Vec<NetworkBinding>> {
        let start = SmallRng::from_os_rng().random_range(self.dynamic_ports.clone());
        let published = self.ledger().reserve(id, address, ports, &self.dynamic_ports, start)?;
        if !published.is_empty() {
            Nft::here().apply(&firewall::publish(&self.config.tag, &published)).await?;
            forget_flows(&published).await?;
        }
        Ok(published.iter().map(ledger::binding).collect())
    }

    async fn withdraw(&self, task: TaskId) -> Result<()> {
        let published = self.ledger().of_task(task);
        if published.is_empty() {
            return Ok(());
        }
        Nft::here().apply(&firewall::withdraw(&self.config.tag, &published)).await?;
        forget_flows(&published).await?;
        self.ledger().free_ports(task);
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn protect(&self, firewall: &Firewall) -> driver::Result<()> {
        Ok(self.protect_inner(firewall).await?)
    }

    fn dns_servers(&self, interface: Option<&InterfaceSpec>) -> Vec<IpAddr> {
        let Some(interface) = interface.filter(|interface| interface.own_network) else {
            return vec![resolver::RESOLVER.into()];
        };
        let vpcs = self.own();
        let told = vpcs.get(&interface.vpc_id).and_then(|own| own.told.as_ref());
        vec![told.map_or(resolver::LINK_LOCAL, |told| resolver_of(told.range)).into()]
    }
}

/// The firewall of what an earlier agent was told and of the endpoints that are there, with the text that makes it.
fn rebuild(rules: Rules, site: &Site, endpoints: &[Found]) -> (Wall, String) {
    let mut wall = Wall::new(&site.tag);
    let mut text = wall.change(Change::Protect(rules));
    for found in endpoints {
        let Some(address) = found.address else { continue };
        let Ok(mac) = parse_mac(&model::network::mac_of(address)) else { continue };
        let origin = Origin { endpoint: found.id, link: site.link_name(found.id), mac };
        let member = Member { address, access: access(found.groups.as_ref()), origin: Some(origin) };
        text += &wall.change(Change::Admit(member));
    }
    (wall, text)
}

/// An address in one of the segment's subnets.
fn address_of(spec: &InterfaceSpec, subnets: &[Ipv4Net]) -> Result<Address> {
    let fits = subnets.iter().any(|subnet| {
        let fits = subnet.contains(&spec.address) && subnet.prefix_len() == spec.subnet_prefix_length;
        fits && gateway(*subnet) == spec.gateway
    });
    if !fits {
        return Err(Error::ForeignSubnet(spec.address));
    }
    Ok(Address {
        address: spec.address,
        prefix_length: spec.subnet_prefix_length,
        gateway: spec.gateway,
        mac: parse_mac(&spec.mac)?,
        reflected: false,
        groups: Some(spec.security_groups.clone()),
    })
}

async fn admit(guard: &Guard, member: Option<Member>) -> Result<()> {
    match member {
        Some(member) => guard.change(Change::Admit(member)).await,
        None => Ok(()),
    }
}

fn access(groups: Option<&Vec<String>>) -> Access {
    groups.map_or(Access::Machine, |groups| Access::Groups(groups.clone()))
}

fn member(site: &Site, id: EndpointId, address: &Address) -> Member {
    Member {
        address: address.address,
        access: access(address.groups.as_ref()),
        origin: Some(Origin { endpoint: id, link: site.link_name(id), mac: address.mac }),
    }
}

/// Puts the addresses of load balancers on this machine, exactly these: where tasks and the machine itself reach them.
///
/// # Errors
/// When the bridge is not there, or the kernel refuses.
pub async fn hold(config: &Config, addresses: BTreeSet<Ipv4Addr>) -> driver::Result<()> {
    // Published ports must not take an address's connections for a moment either.
    Nft::here().apply(&firewall::hold(&config.tag, &addresses)).await?;
    let config = config.clone();
    Ok(on_thread(move || bridge::hold(&config, &addresses)).await?)
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

/// Flows that began under other rules would go on under them.
async fn forget_flows(published: &[Published]) -> Result<()> {
    let ports: Vec<Port> = published.iter().map(|published| published.host).collect();
    if ports.iter().all(|port| port.protocol == Protocol::Tcp) {
        return Ok(());
    }
    on_thread(move || {
        for port in ports {
            if let Err(error) = conntrack::forget(port) {
                tracing::warn!(port = port.number, %error, "old flows to a published port may go astray");
            }
        }
        Ok(())
    })
    .await
}

/// Another tool's forward chain may drop what it does not know: our traffic gets a rule at its head.
async fn pass_foreign(config: &Config) -> Result<()> {
    let legacy = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    if legacy.lines().any(|table| table == "filter") {
        tracing::warn!(
            "rules of the legacy iptables are in force; where they drop forwarded packets, tasks are cut off"
        );
    }
    let Some((chain, handles)) = foreign_rules(config).await? else { return Ok(()) };
    if !handles.is_empty() {
        return Ok(());
    }
    tracing::info!(chain, "letting our traffic pass a forward chain of iptables");
    Nft::here().apply(&firewall::pass_foreign(&forwarded_links(config), chain)).await
}

async fn unpass_foreign(config: &Config) -> Result<()> {
    match foreign_rules(config).await? {
        Some((chain, handles)) if !handles.is_empty() => {
            Nft::here().apply(&firewall::unpass_foreign(chain, &handles)).await
        }
        _ => Ok(()),
    }
}

/// As rules name them.
fn forwarded_links(config: &Config) -> [String; 2] {
    [config.tag.clone(), format!("{}*", config.transit_links())]
}

async fn foreign_rules(config: &Config) -> Result<Option<(&'static str, Vec<u64>)>> {
    let chains = Nft::here().list(&["chains", "ip"]).await?.unwrap_or_default();
    let Some(chain) = firewall::foreign_chain(&chains) else { return Ok(None) };
    let rules = Nft::here().list(&["chain", "ip", "filter", chain]).await?.unwrap_or_default();
    Ok(Some((chain, firewall::foreign_handles(&rules, &forwarded_links(config)))))
}
