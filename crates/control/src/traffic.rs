//! What the data path serves, and what it tells of its targets.
//!
//! ```text
//! commits that change load balancing rows ─▶ Snapshot, whole ─▶ data path ─▶ TargetHealth ─┬─▶ DescribeTargetHealth
//!                                                                                          └─▶ tasks of services
//! deregistration delay over, or drained ───▶ the target's row goes
//! ```
//! Health is kept in memory only: it is what the data path sees now, and it looks again after a restart. What it means for
//! a task of a service is kept with the task ([`task_target`](crate::task_target)).

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use model::edge::{
    Algorithm, AnswerAttributes, CertificateSpec, ConnectionAttributes, ForwardedFor, ListenerSpec,
    LoadBalancerAttributes, LoadBalancerSpec, RuleSpec, Snapshot, Stickiness, TargetGroupSpec, TargetHealth,
    TargetSpec, TlsSpec,
};
use model::load_balancer::{
    Listener, ListenerSecurity, LoadBalancer, LoadBalancerKind, Target, TargetGroup, TargetKey,
};
use model::mesh::MeshCount;
use model::network::Vpc;
use model::{Certificate, TaskId, Timestamp};
use store::{Commit, CommitStream, Next, Tables};
use tokio::sync::{Notify, watch};

use crate::elbv2::{
    LOAD_BALANCER, NETWORK_LISTENER, NETWORK_LOAD_BALANCER, all, alpn, in_order, table_of_group, table_of_listener,
    value,
};
use crate::{Clock, Control, acm, mesh};

/// Before a removal that could not be written is tried again.
const REMOVE_PAUSE: Duration = Duration::from_secs(1);

/// Where Gantry's command line asks for what was counted of Service Connect.
pub const MESH_PATH: &str = "/gantry/mesh";

/// Target group's ARN and address.
pub type TargetName = (String, SocketAddr);

/// Which targets the data path has told something of. Each is there once, so there are never more than targets.
#[derive(Default)]
pub(crate) struct News {
    names: Mutex<BTreeSet<TargetName>>,
    has_some: Notify,
}

impl News {
    fn add(&self, name: TargetName) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        self.has_some.notify_one();
    }

    /// All that there are, once there are some. For one reader.
    pub async fn next(&self) -> BTreeSet<TargetName> {
        loop {
            let names = std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner));
            if !names.is_empty() {
                return names;
            }
            self.has_some.notified().await;
        }
    }
}

/// See the module's documentation.
#[derive(Default)]
pub struct Traffic {
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    health: Mutex<BTreeMap<(String, SocketAddr), TargetHealth>>,
    drained: Arc<Notify>,
    news: Arc<News>,
    counts: Mutex<Vec<MeshCount>>,
}

impl Traffic {
    /// What is to be served, now and whenever it changes; `None` before anything is known.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }

    /// Takes a fact from the data path.
    pub fn tell(&self, fact: TargetHealth) {
        let is_drained = fact.drained;
        let name = (fact.target_group.clone(), fact.address);
        let before = self.facts().insert(name.clone(), fact.clone());
        if before.as_ref() != Some(&fact) {
            self.news.add(name);
        }
        if is_drained {
            self.drained.notify_one();
        }
    }

    /// The newest fact on a target of the target group of this ARN.
    pub fn health(&self, target_group: &str, address: SocketAddr) -> Option<TargetHealth> {
        self.facts().get(&(target_group.to_owned(), address)).cloned()
    }

    pub(crate) fn news(&self) -> Arc<News> {
        self.news.clone()
    }

    /// The task that answers at this address of an endpoint of Service Connect.
    pub(crate) fn task_called_at(&self, (endpoint, address): &TargetName) -> Option<TaskId> {
        let snapshot = self.snapshot.borrow().clone();
        let endpoints = &snapshot.as_ref()?.mesh.endpoints;
        let index = endpoints.binary_search_by(|row| row.arn.as_str().cmp(endpoint)).ok()?;
        endpoints[index].targets.iter().find(|target| target.address == *address).map(|target| target.task)
    }

    /// What was counted of Service Connect, newest.
    pub fn count(&self, counts: Vec<MeshCount>) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    pub fn counts(&self) -> Vec<MeshCount> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn facts(&self) -> MutexGuard<'_, BTreeMap<(String, SocketAddr), TargetHealth>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is no target any more has no health.
    fn publish(&self, snapshot: Snapshot) {
        let groups = snapshot.target_groups.iter().map(|group| {
            let addresses: BTreeSet<SocketAddr> = group.targets.iter().map(|target| target.address).collect();
            (group.arn.as_str(), addresses)
        });
        // A target that takes calls again has none of what was said of it when it drained.
        let endpoints = snapshot.mesh.endpoints.iter().map(|endpoint| {
            let draining = endpoint.targets.iter().filter(|target| target.draining_since.is_some());
            (endpoint.arn.as_str(), draining.map(|target| target.address).collect())
        });
        let groups: BTreeMap<&str, BTreeSet<SocketAddr>> = groups.chain(endpoints).collect();
        self.facts()
            .retain(|(group, address), _| groups.get(group.as_str()).is_some_and(|targets| targets.contains(address)));
        self.snapshot.send_replace(Some(Arc::new(snapshot)));
    }
}

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    let drained = control.traffic.drained.clone();
    tokio::spawn(run(Arc::downgrade(control), control.clock.clone(), control.store.subscribe(), drained));
}

async fn run(control: Weak<Control>, clock: Clock, mut commits: CommitStream, drained: Arc<Notify>) {
    loop {
        let Some(control) = control.upgrade() else { return };
        let removed = remove_over(&control).await;
        let view = control.store.view();
        control.traffic.publish(snapshot(&view));
        let mut end = view.targets.iter().filter_map(|target| end_of(&view, target)).min();
        if let Err(error) = removed {
            tracing::warn!(%error, "targets that are drained could not be removed; it is tried again");
            end = end.map(|end| end.max(clock.now().plus(REMOVE_PAUSE)));
        }
        // Waiting must not keep the control plane alive.
        drop(control);
        if !wait(&drained, &clock, &mut commits, end).await {
            return;
        }
    }
}

/// Until there is something to do; false when the state is closed.
async fn wait(drained: &Notify, clock: &Clock, commits: &mut CommitStream, end: Option<Timestamp>) -> bool {
    let expired = async {
        match end {
            Some(end) => clock.until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(expired);
    loop {
        tokio::select! {
            biased;
            next = commits.next() => match next {
                Next::Commit(commit) if !is_about_traffic(&commit) => {}
                Next::Commit(_) | Next::Lagged => return true,
                Next::Closed => return false,
            },
            () = drained.notified() => return true,
            () = &mut expired => return true,
        }
    }
}

fn is_about_traffic(commit: &Commit) -> bool {
    let changes = &commit.changes;
    !(changes.load_balancers.is_empty()
        && changes.listeners.is_empty()
        && changes.rules.is_empty()
        && changes.target_groups.is_empty()
        && changes.targets.is_empty()
        && changes.certificates.is_empty())
        || mesh::is_changed_by(commit)
}

/// When a target that is deregistered goes.
fn end_of(tables: &Tables, target: &Target) -> Option<Timestamp> {
    let since = target.deregistered_at?;
    let group = tables.target_groups.get(&(target.scope.clone(), target.group.clone()))?;
    Some(since.plus(Duration::from_secs(number(group, "deregistration_delay.timeout_seconds").into())))
}

async fn remove_over(control: &Control) -> Result<(), store::WriteError<Infallible>> {
    let (view, now) = (control.store.view(), control.now());
    let is_over = |target: &&Arc<Target>| {
        let Some(end) = end_of(&view, target) else { return false };
        let group = view.target_groups.get(&(target.scope.clone(), target.group.clone()));
        let arn = group.map(|group| group.arn().to_string()).unwrap_or_default();
        end <= now || control.traffic.health(&arn, address_of(target)).is_some_and(|health| health.drained)
    };
    let over: Vec<TargetKey> = view.targets.iter().filter(is_over).map(|target| target.key()).collect();
    if over.is_empty() {
        return Ok(());
    }
    let removed = control.store.write(|txn| {
        for key in &over {
            // It may have been registered anew meanwhile.
            if txn.targets.get(key).is_some_and(|target| target.deregistered_at.is_some()) {
                txn.remove::<Target>(key);
            }
        }
        Ok(())
    });
    removed.await.map(|_| ())
}

/// Everything that is to be served.
pub fn snapshot(tables: &Tables) -> Snapshot {
    Snapshot {
        revision: tables.revision(),
        load_balancers: tables.load_balancers.iter().map(|row| load_balancer(tables, row)).collect(),
        target_groups: tables.target_groups.iter().map(|row| target_group(tables, row)).collect(),
        mesh: mesh::spec(tables),
    }
}

/// Only those of a load balancer whose addresses keep to their zones.
fn zones(row: &LoadBalancer) -> BTreeMap<Ipv4Addr, String> {
    if row.kind == LoadBalancerKind::Application
        || value(NETWORK_LOAD_BALANCER, &row.attributes, "load_balancing.cross_zone.enabled") == "true"
    {
        return BTreeMap::new();
    }
    row.subnets.iter().map(|subnet| (subnet.address, subnet.zone.clone())).collect()
}

fn load_balancer(tables: &Tables, row: &LoadBalancer) -> LoadBalancerSpec {
    // A network one has other attributes, and these mean nothing to its listeners.
    let attribute = |key: &str| value(LOAD_BALANCER, &row.attributes, key);
    let number = |key: &str| attribute(key).parse().expect("judged when it was set");
    LoadBalancerSpec {
        arn: row.arn().to_string(),
        dns_name: row.dns_name.clone(),
        addresses: row.subnets.iter().map(|subnet| subnet.address).collect(),
        zones: zones(row),
        attributes: LoadBalancerAttributes {
            idle_timeout_seconds: number("idle_timeout.timeout_seconds"),
            client_keep_alive_seconds: number("client_keep_alive.seconds"),
            preserve_host_header: attribute("routing.http.preserve_host_header.enabled") == "true",
            forwarded_for: match attribute("routing.http.xff_header_processing.mode") {
                "preserve" => ForwardedFor::Preserve,
                "remove" => ForwardedFor::Remove,
                _ => ForwardedFor::Append,
            },
            forwarded_for_client_port: attribute("routing.http.xff_client_port.enabled") == "true",
            drop_invalid_header_fields: attribute("routing.http.drop_invalid_header_fields.enabled") == "true",
            tls_headers: attribute("routing.http.x_amzn_tls_version_and_cipher_suite.enabled") == "true",
            http2: attribute("routing.http2.enabled") == "true",
        },
        listeners: tables.listeners_of(&row.key()).map(|row| listener(tables, row)).collect(),
    }
}

fn listener(tables: &Tables, row: &Listener) -> ListenerSpec {
    let rules = in_order(tables, row).into_iter().map(|rule| RuleSpec {
        arn: rule.arn().to_string(),
        conditions: rule.conditions.clone(),
        action: rule.action.clone(),
    });
    let default =
        RuleSpec { arn: row.default_rule_arn().to_string(), conditions: Vec::new(), action: row.action.clone() };
    ListenerSpec {
        arn: row.arn().to_string(),
        port: row.port,
        protocol: row.protocol,
        tls: row.security.as_ref().map(|security| tls(tables, row, security)),
        answers: answers(row),
        tcp_idle_timeout_seconds: value(NETWORK_LISTENER, &row.attributes, "tcp.idle_timeout.seconds")
            .parse()
            .expect("judged when it was set"),
        rules: rules.chain([default]).collect(),
    }
}

/// `routing.http.response.x_frame_options.header_value` sets `x-frame-options`.
fn answers(row: &Listener) -> AnswerAttributes {
    if row.kind() == LoadBalancerKind::Network {
        return AnswerAttributes::default();
    }
    let set = all(table_of_listener(row.kind()), &row.attributes).filter_map(|(key, value)| {
        let name = key.strip_prefix("routing.http.response.")?.strip_suffix(".header_value")?;
        (!value.is_empty()).then(|| (name.replace('_', "-"), value.to_owned()))
    });
    let server = value(table_of_listener(row.kind()), &row.attributes, "routing.http.response.server.enabled");
    AnswerAttributes { server: server == "true", headers: set.collect() }
}

fn tls(tables: &Tables, row: &Listener, security: &ListenerSecurity) -> TlsSpec {
    let certificates = security.certificates().filter_map(|arn| acm::find(tables, &row.scope, arn));
    let certificate = |certificate: &Certificate| CertificateSpec {
        names: certificate.facts.names.clone(),
        chain: certificate.whole_chain(),
        private_key: certificate.private_key.clone(),
    };
    TlsSpec {
        policy: security.policy.clone(),
        protocols: alpn_protocols(tables, row, security).iter().map(|protocol| (*protocol).to_owned()).collect(),
        certificates: certificates.map(certificate).collect(),
    }
}

/// An application load balancer says what it speaks, a network one what its policy says.
fn alpn_protocols(tables: &Tables, row: &Listener, security: &ListenerSecurity) -> &'static [&'static str] {
    if row.kind() == LoadBalancerKind::Network {
        return alpn::protocols(security.alpn_policy.as_deref());
    }
    let load_balancer = tables.load_balancers.get(&(row.scope.clone(), row.load_balancer.clone()));
    let speaks = |load_balancer: &Arc<LoadBalancer>| {
        value(LOAD_BALANCER, &load_balancer.attributes, "routing.http2.enabled") == "true"
    };
    if load_balancer.is_some_and(speaks) { &["h2", "http/1.1"] } else { &["http/1.1"] }
}

fn target_group(tables: &Tables, row: &TargetGroup) -> TargetGroupSpec {
    let attribute = |key: &str| value(table_of_group(row.protocol), &row.attributes, key);
    let vpc = Vpc::default_of(&row.scope);
    let target = |target: &Arc<Target>| TargetSpec {
        address: address_of(target),
        zone: zone_of(&vpc, target.address),
        draining_since: target.deregistered_at,
    };
    let is_http = row.protocol.is_http();
    let is_set = |key: &str| attribute(key) == "true";
    TargetGroupSpec {
        arn: row.arn().to_string(),
        protocol: row.protocol,
        protocol_version: row.protocol_version,
        algorithm: if is_http { algorithm(attribute("load_balancing.algorithm.type")) } else { Algorithm::RoundRobin },
        stickiness: is_set("stickiness.enabled").then(|| match attribute("stickiness.type") {
            "source_ip" => Stickiness::SourceIp,
            "app_cookie" => Stickiness::AppCookie {
                name: attribute("stickiness.app_cookie.cookie_name").to_owned(),
                seconds: number(row, "stickiness.app_cookie.duration_seconds"),
            },
            _ => Stickiness::LbCookie { seconds: number(row, "stickiness.lb_cookie.duration_seconds") },
        }),
        slow_start_seconds: if is_http { number(row, "slow_start.duration_seconds") } else { 0 },
        deregistration_delay_seconds: number(row, "deregistration_delay.timeout_seconds"),
        connections: if is_http {
            ConnectionAttributes::default()
        } else {
            ConnectionAttributes {
                proxy_protocol_v2: is_set("proxy_protocol_v2.enabled"),
                cut_when_deregistered: is_set("deregistration_delay.connection_termination.enabled"),
                cut_when_unhealthy: is_set("target_health_state.unhealthy.connection_termination.enabled"),
            }
        },
        health_check: row.health_check.clone(),
        targets: tables.targets_of(&row.key()).map(target).collect(),
    }
}

fn algorithm(name: &str) -> Algorithm {
    match name {
        "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
        "weighted_random" => Algorithm::WeightedRandom,
        _ => Algorithm::RoundRobin,
    }
}

/// Of the subnet that the address is in.
fn zone_of(vpc: &Vpc, address: Ipv4Addr) -> Option<String> {
    vpc.subnet_of(address).map(|subnet| subnet.zone.clone())
}

fn number(group: &TargetGroup, key: &str) -> u32 {
    value(table_of_group(group.protocol), &group.attributes, key).parse().expect("judged when it was set")
}

fn address_of(target: &Target) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(target.address), target.port)
}
