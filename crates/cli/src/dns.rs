//! Names on this machine: what the control plane wants answered goes to the data path's name server.
//!
//! ```text
//! Control::dns ── Snapshot ──▶ Dns ◀── tasks, by the VPC's resolver address; the host, if asked for
//!                               └────▶ this machine's resolvers
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent::network::{self, RESOLVERS};
use control::Control;
use edge::dns::{Config, Dns, Upstreams};
use ipnet::{IpNet, Ipv4Net};
use model::dns::Snapshot;
use model::network::{VPC_NETWORK, VPC_PREFIX_LENGTH, private_domain};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::failure::{Context, Failure};

/// Its addresses are there, so it listens at once unless somebody else does.
const LISTEN_LIMIT: Duration = Duration::from_secs(2);

/// The running name server, and what keeps it up to date.
pub struct Names {
    dns: Arc<Dns>,
    feed: JoinHandle<()>,
}

/// Begins to serve: to the tasks of `network`, and on `host`, an address of the loopback. `None` when there is neither.
/// Returns once it listens; where it cannot for now, it goes on trying.
pub async fn start(
    control: &Arc<Control>,
    network: Option<&network::Config>,
    host: Option<SocketAddr>,
) -> Result<Option<Names>, Failure> {
    let listen: Vec<SocketAddr> = network.map(|network| network.dns_address().into()).into_iter().chain(host).collect();
    if listen.is_empty() {
        return Ok(None);
    }
    let mut wanted = control.dns.subscribe();
    // The control plane tells at once, and always of one zone at least.
    let first = wanted.wait_for(|snapshot| !snapshot.zones.is_empty()).await;
    let first = first.context(|| "the control plane has ended".to_owned())?.clone();
    let addresses = listen.len();
    let dns = dns(control, network, listen, &first).context(|| "the name server could not be started".to_owned())?;
    let mut bound = dns.bound();
    // What stands in its way is told by its log.
    let _ = timeout(LISTEN_LIMIT, bound.wait_for(|bound| bound.len() == addresses)).await;
    let dns = Arc::new(dns);
    let feed = tokio::spawn(feed(control.clone(), dns.clone()));
    Ok(Some(Names { dns, feed }))
}

fn dns(
    control: &Control,
    network: Option<&network::Config>,
    listen: Vec<SocketAddr>,
    snapshot: &Snapshot,
) -> io::Result<Dns> {
    let vpc = Ipv4Net::new(VPC_NETWORK, VPC_PREFIX_LENGTH).expect("a prefix length");
    let loopback: IpNet = "127.0.0.0/8".parse().expect("a network");
    // Tasks in VPCs of the caller's own ask by the address of their VPC's link to the host.
    let ranges = network.into_iter().flat_map(|network| network.ranges().chain([network.transit_range]));
    let tasks = ranges.map(IpNet::from);
    let ours = RESOLVERS.map(IpAddr::from).into_iter().chain(listen.iter().map(SocketAddr::ip));
    let config = Config {
        clients: [loopback].into_iter().chain(tasks).collect(),
        networks: vec![vpc],
        domain: private_domain(&control.config.region),
        upstreams: Upstreams::Machine { except: ours.collect() },
        listen,
    };
    Dns::start(config, snapshot)
}

async fn feed(control: Arc<Control>, dns: Arc<Dns>) {
    let mut wanted = control.dns.subscribe();
    loop {
        let snapshot = wanted.borrow_and_update().clone();
        dns.apply(&snapshot);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

impl Names {
    /// No new snapshot is served from now on.
    pub fn stop(self) {
        self.feed.abort();
        drop(self.dns);
    }
}
