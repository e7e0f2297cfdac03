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

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::firewall::Firewall;
use model::link::InterfaceSpec;
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
mod resolver;
pub mod trial;
mod wall;

pub use config::Config;
use config::gateway;
use endpoint::{Address, EndpointId, Found, Site, parse_mac};
use firewall::{Nft, Published};
use guard::Guard;
use ledger::Ledger;
pub use resolver::RESOLVERS;
use wall::{Access, Change, Member, Origin, Wall};

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
    guard: Guard,
    dynamic_ports: std::ops::RangeInclusive<u16>,
    ledger: Mutex<Ledger>,
    locks: Vec<Arc<tokio::sync::Mutex<()>>>,
    at_once: Arc<Semaphore>,
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
        let for_bridge = config.clone();
        let (made, listing) = tokio::try_join!(on_thread(move || bridge::ensure(&for_bridge)), Nft.list(&map))?;
        let published = listing.as_ref().map(firewall::parse_published).unwrap_or_default();
        let site = Arc::new(Site {
            tag: config.tag.clone(),
            directory: config.directory.clone(),
            bridge: made.index,
            mtu: made.mtu,
        });
        let for_list = site.clone();
        let endpoints = on_thread(move || endpoint::list(&for_list)).await?;
        let (wall, held) = rebuild(&config, &site, &endpoints);
        let tables = firewall::table(&config, &published) + &held;
        tokio::try_join!(Nft.apply(&tables), pass_foreign(&config.tag))?;
        let ledger = Ledger::adopt(&config, &endpoints, published);
        let guard = Guard::start(wall, &config.directory);
        Ok(Self {
            config,
            site,
            guard,
            dynamic_ports: port::dynamic_range(),
            ledger: Mutex::new(ledger),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            at_once: Arc::new(Semaphore::new(ENDPOINTS_AT_ONCE)),
        })
    }

    /// Removes every endpoint, the bridge and the rules of this instance.
    pub async fn teardown(self) -> driver::Result<()> {
        let tasks = self.list_inner().await?;
        futures_util::future::try_join_all(tasks.into_iter().map(|task| self.detach_inner(task))).await?;
        Nft.apply(&firewall::remove_table(&self.config.tag)).await?;
        unpass_foreign(&self.config.tag).await?;
        let config = self.config.clone();
        on_thread(move || bridge::remove(&config)).await?;
        guard::forget(&self.config.directory)?;
        std::fs::remove_dir(&self.config.directory).map_err(kernel("remove the directory of network namespaces"))?;
        Ok(())
    }

    async fn attach_inner(&self, request: &NetworkRequest) -> Result<Attached> {
        let id = EndpointId { task: request.task, container: request.container };
        let turn = self.turn(request.task).await;
        let address = match &request.kind {
            NetworkKind::None => None,
            NetworkKind::Awsvpc(spec) => Some(self.address_of(spec)?),
            NetworkKind::Bridge { .. } => Some(self.ledger().give_address(&self.config, id)?),
        };
        let member = address.as_ref().map(|address| member(&self.site, id, address));
        let (site, made) = (self.site.clone(), address.clone());
        // Nothing runs in the namespace before both are there.
        let (turn, ()) =
            tokio::try_join!(self.work(turn, move || endpoint::make(&site, id, made.as_ref())), self.admit(member))?;
        let bindings = match (&request.kind, &address) {
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
        let remove = move || {
            let found = endpoint::list(&site)?;
            let mut ids = found.into_iter().map(|found| found.id).filter(|id| id.task == task);
            ids.try_for_each(|id| endpoint::remove(&site, id))
        };
        let turn = self.work(turn, remove).await?;
        self.guard.change(Change::Expel(task)).await?;
        self.ledger().free_addresses(task);
        drop(turn);
        Ok(())
    }

    async fn list_inner(&self) -> Result<Vec<TaskId>> {
        let site = self.site.clone();
        let found = on_thread(move || endpoint::list(&site)).await?;
        let ledger = self.ledger();
        let tasks: BTreeSet<TaskId> = found.iter().map(|found| found.id.task).chain(ledger.tasks()).collect();
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
            groups: Some(spec.security_groups.clone()),
        })
    }

    async fn admit(&self, member: Option<Member>) -> Result<()> {
        match member {
            Some(member) => self.guard.change(Change::Admit(member)).await,
            None => Ok(()),
        }
    }

    /// Publishes all ports of the endpoint in one batch, those again that are there already, and answers the bindings
    /// in order. When the batch fails the ports stay held for the next attempt, or until the task is detached.
    async fn publish(&self, id: EndpointId, address: Ipv4Addr, ports: &[PortMapping]) -> Result<Vec<NetworkBinding>> {
        let start = SmallRng::from_os_rng().random_range(self.dynamic_ports.clone());
        let published = self.ledger().reserve(id, address, ports, &self.dynamic_ports, start)?;
        if !published.is_empty() {
            Nft.apply(&firewall::publish(&self.config.tag, &published)).await?;
            forget_flows(&published).await?;
        }
        Ok(published.iter().map(ledger::binding).collect())
    }

    async fn withdraw(&self, task: TaskId) -> Result<()> {
        let published = self.ledger().of_task(task);
        if published.is_empty() {
            return Ok(());
        }
        Nft.apply(&firewall::withdraw(&self.config.tag, &published)).await?;
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
        Ok(self.guard.change(Change::Protect(firewall.clone())).await?)
    }

    fn dns_servers(&self) -> Vec<IpAddr> {
        vec![resolver::RESOLVER.into()]
    }
}

/// The firewall of what an earlier agent was told and of the endpoints that are there, with the text that makes it.
fn rebuild(config: &Config, site: &Site, endpoints: &[Found]) -> (Wall, String) {
    let mut wall = Wall::new(&config.tag);
    let mut text = wall.change(Change::Protect(guard::kept(&config.directory)));
    for found in endpoints {
        let Some(address) = found.address else { continue };
        let Ok(mac) = parse_mac(&model::network::mac_of(address)) else { continue };
        let origin = Origin { endpoint: found.id, link: site.link_name(found.id), mac };
        let member = Member { address, access: access(found.groups.as_ref()), origin: Some(origin) };
        text += &wall.change(Change::Admit(member));
    }
    (wall, text)
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
    Nft.apply(&firewall::hold(&config.tag, &addresses)).await?;
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
async fn pass_foreign(tag: &str) -> Result<()> {
    let legacy = std::fs::read_to_string(LEGACY_TABLES).unwrap_or_default();
    if legacy.lines().any(|table| table == "filter") {
        tracing::warn!(
            "rules of the legacy iptables are in force; where they drop forwarded packets, tasks are cut off"
        );
    }
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
