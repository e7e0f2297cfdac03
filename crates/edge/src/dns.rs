//! The name server of tasks: it answers for the names of the snapshot and for the machine's own address names from
//! memory, and asks the machine's resolvers for all others.
//!
//! ```text
//!                     Snapshot
//!                        ▼
//!  UDP, TCP ─ server ─ answer (names) ── answer, "no such name", refusal
//!                        └ none of ours ─ forward ── upstream's answer, or SERVFAIL
//! ```
//! Pure, with randomness passed in: `names`, `answer`, `resolv_conf`. One thread with a runtime of its own does the
//! rest.
//!
//! What it does not do: recursion of its own, caching of what upstreams answer, DNSSEC, zone transfers, updates.
//!
//! Invariants
//! - Only clients of the configured networks are answered: it is never an open resolver.
//! - A name of one of the zones is never asked upstream.
//! - What an upstream answers goes only to whoever asked that question.
//! - No packet, however malformed, ends more than its own exchange.

pub mod answer;
mod forward;
mod limits;
pub mod names;
pub mod resolv_conf;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv4Net};
use model::dns::Snapshot;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use names::Names;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Addresses and ports, each for UDP and TCP. Those that are not there yet are tried again and again.
    pub listen: Vec<SocketAddr>,
    /// Who is answered.
    pub clients: Vec<IpNet>,
    /// Whose addresses have names of their own: `ip-172-31-0-5.ec2.internal`.
    pub networks: Vec<Ipv4Net>,
    /// What these names end with: where an address is asked for its name.
    pub domain: String,
    pub upstreams: Upstreams,
}

/// Who is asked for names that are none of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upstreams {
    /// Those of the machine, but for these addresses, which are our own.
    Machine {
        except: Vec<IpAddr>,
    },
    These(Vec<SocketAddr>),
}

/// A running name server. It ends when this is dropped.
#[derive(Debug)]
pub struct Dns {
    names: Arc<ArcSwap<Names>>,
    bound: watch::Receiver<Bound>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where it listens, by the address that was asked for (they differ for port 0).
pub type Bound = Vec<(SocketAddr, SocketAddr)>;

impl Dns {
    /// Listens only now that there is something to answer by: "no such name" would be remembered.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(config: Config, snapshot: &Snapshot) -> io::Result<Self> {
        let names = Arc::new(ArcSwap::from_pointee(Names::new(snapshot, &config)));
        let (bound_sender, bound) = watch::channel(Bound::new());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = server::run(config, names.clone(), bound_sender, stopped);
        let run = move || runtime.block_on(serving);
        let thread = std::thread::Builder::new().name("dns".to_owned()).spawn(run)?;
        Ok(Self { names, bound, stop: Some(stop), thread: Some(thread) })
    }

    /// Answers by this snapshot from now on.
    pub fn apply(&self, snapshot: &Snapshot) {
        self.names.store(Arc::new(self.names.load().renewed(snapshot)));
    }

    pub fn bound(&self) -> watch::Receiver<Bound> {
        self.bound.clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop = None;
        // A panic of the thread was told already, by the panic's own message.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
