//! Load balancers on this machine: what the control plane wants served goes to the data path, and what that sees of its
//! targets comes back.
//!
//! ```text
//! Control::traffic ── Snapshot ──▶ addresses on the bridge ──▶ Edge ── TargetHealth ──▶ Control::traffic
//! API's listener ─── Host: ….elb.localhost ──────────────────▶ Edge
//! ```

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use agent::network;
use control::Control;
use control::serve::front::{BoxError, Front};
use edge::{CookieKey, Edge};
use http_body_util::{BodyExt, Full};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use model::edge::Snapshot;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::failure::{Context, Failure};

/// Where a listener is reached by its load balancer's name through the API's own listener.
const NAMED_PORT: u16 = 80;
/// Between two looks at what is counted of Service Connect.
const COUNT_PAUSE: Duration = Duration::from_secs(1);
const UNKNOWN_NAME: &str = "No load balancer of this name listens on port 80.\n";

/// The running data path, and what keeps it up to date.
pub struct Traffic {
    edge: Arc<Edge>,
    loops: [JoinHandle<()>; 3],
}

/// Begins to serve. Without a network of this machine's the nodes are simulated, and load balancers are reached by their
/// names only.
pub fn start(control: &Arc<Control>, network: Option<network::Config>) -> Result<Traffic, Failure> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let cookie_key = CookieKey(cookie_key(&control.root_key.secret_access_key));
    let namespaces = network.as_ref().map(|network| network.directory.clone());
    let edge = Edge::start(&edge::Config { workers, cookie_key, namespaces });
    let edge = Arc::new(edge.context(|| "the load balancers' data path could not be started".to_owned())?);
    // Only ever set here.
    let _ = control.front.set(front(edge.clone()));
    let loops = [
        tokio::spawn(serve(control.clone(), edge.clone(), network)),
        tokio::spawn(tell(control.clone(), edge.clone())),
        tokio::spawn(count(control.clone(), edge.clone())),
    ];
    Ok(Traffic { edge, loops })
}

impl Traffic {
    /// No new snapshot is served from now on. The data path itself ends with the process.
    pub fn stop(self) {
        self.loops.iter().for_each(JoinHandle::abort);
        drop(self.edge);
    }
}

/// Cookies of before a restart are good after it, and nobody can make one.
fn cookie_key(secret: &str) -> [u8; 32] {
    Sha256::digest(format!("load balancer cookies\n{secret}")).into()
}

async fn serve(control: Arc<Control>, edge: Arc<Edge>, network: Option<network::Config>) {
    let mut wanted = control.traffic.subscribe();
    let mut held = BTreeSet::new();
    loop {
        let mut snapshot = Snapshot::clone(&wanted.borrow_and_update());
        match &network {
            Some(network) => hold(network, &snapshot, &mut held).await,
            None => simulate(&control, &mut snapshot),
        }
        if edge.apply(snapshot).await.is_err() || wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Nobody answers at the addresses of simulated tasks: their targets are told as if somebody did, and get no requests.
fn simulate(control: &Control, snapshot: &mut Snapshot) {
    edge::simulated::facts(snapshot).into_iter().for_each(|fact| control.traffic.tell(fact));
    snapshot.load_balancers.iter_mut().for_each(|balancer| balancer.addresses.clear());
    snapshot.target_groups.iter_mut().for_each(|group| group.targets.clear());
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

async fn tell(control: Arc<Control>, edge: Arc<Edge>) {
    loop {
        edge.health_changes().await.into_iter().for_each(|fact| control.traffic.tell(fact));
    }
}

/// Counts are looked at now and then; nobody waits for them.
async fn count(control: Arc<Control>, edge: Arc<Edge>) {
    let mut pause = tokio::time::interval(COUNT_PAUSE);
    loop {
        pause.tick().await;
        control.traffic.count(edge.mesh_counts());
    }
}

fn front(edge: Arc<Edge>) -> Front {
    Box::new(move |request, client| {
        let edge = edge.clone();
        Box::pin(async move {
            match edge.find(host_of(&request), NAMED_PORT) {
                Some(listener) => {
                    let answer = edge.answer(&listener, request, client).await;
                    answer.map(|body| body.map_err(BoxError::from).boxed_unsync())
                }
                None => {
                    let body = Full::from(UNKNOWN_NAME).map_err(|never| match never {});
                    let mut answer = Response::new(body.boxed_unsync());
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                    answer
                }
            }
        })
    })
}

/// With its port, if it names one.
fn host_of<B>(request: &Request<B>) -> &str {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or_default()
}
