//! Service Connect: the calls of tasks, taken in their own namespaces and passed on, from the same namespace, to one of
//! the tasks behind the endpoint that was called.
//!
//! ```text
//!  task's namespace                                      │ data path
//!   app ── 127.255.0.1:80 ─▶ (redirected) proxy socket ──┼─▶ accept ── route by what was called ─▶ listener ─▶ group
//!   eth0 ◀── socket of the namespace ────────────────────┼── target's connections ◀───────────────────────────┘
//! ```
//! One socket listens in each namespace, whatever can be called from it. Each caller has its own groups, and so its own
//! connections and its own view of which targets fail: a connection of one task never carries a request of another.
//!
//! Invariants
//! - What a task sends goes out of its own namespace, so that its security groups judge it.
//! - What an unchanged client and endpoint have is kept: connections, their turn, what is avoided.
//! - A target that drains gets no new call, and is told as drained when none of the clients has one under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::edge::{
    Action, Algorithm, AnswerAttributes, ConnectionAttributes, Forward, ForwardedFor, HealthCheckSpec,
    ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec, Matcher, ProtocolVersion, RuleSpec,
    TargetGroupSpec, TargetHealth, TargetProtocol, TargetReason, TargetState,
};
use model::mesh::{MeshClientSpec, MeshEndpointSpec, MeshSpec};
use model::network::EndpointId;
use model::service_connect::{ConnectProtocol, PROXY_ADDRESS};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::cookie::CookieKey;
use crate::dial::Source;
use crate::edge::Shared;
use crate::facts::TargetName;
use crate::front::Doors;
use crate::group::Group;
use crate::health;
use crate::limits::CALLS_MAX;
use crate::listener::{Call, Listener, Served};
use crate::meter::{Meter, MeterName};
use crate::namespace::{Namespace, Namespaces};
use crate::target::Target;

/// What leads where in one namespace.
pub type Routes = ArcSwap<BTreeMap<SocketAddrV4, Arc<Listener>>>;

/// What is served, kept in step with the newest snapshot.
pub struct Mesh {
    namespaces: Namespaces,
    key: CookieKey,
    workers: usize,
    shared: Arc<Shared>,
    doors: Doors,
    endpoints: BTreeMap<String, Arc<MeshEndpointSpec>>,
    clients: BTreeMap<EndpointId, Client>,
    /// Those that drain, by endpoint and address, each waited for.
    draining: BTreeMap<TargetName, AbortHandle>,
}

struct Client {
    spec: MeshClientSpec,
    namespace: Namespace,
    routes: Arc<Routes>,
    /// By endpoint.
    lines: BTreeMap<String, Line>,
    door: AbortHandle,
}

/// From one client to one endpoint.
struct Line {
    endpoint: Arc<MeshEndpointSpec>,
    listener: Arc<Listener>,
    group: Arc<Group>,
    targets: BTreeMap<SocketAddr, Arc<Target>>,
}

impl Mesh {
    /// Call it on the runtime that it is to be applied on. `None` when there is no place for namespaces, or none can be
    /// entered.
    pub fn start(
        directory: Option<PathBuf>,
        key: CookieKey,
        workers: usize,
        shared: Arc<Shared>,
        doors: Doors,
    ) -> Option<Self> {
        let namespaces = Namespaces::start(directory?);
        let namespaces = namespaces.inspect_err(|error| warn!(%error, "Service Connect is not served")).ok()?;
        let (endpoints, clients, draining) = Default::default();
        Some(Self { namespaces, key, workers, shared, doors, endpoints, clients, draining })
    }

    pub fn apply(&mut self, spec: MeshSpec) {
        let before = std::mem::take(&mut self.endpoints);
        for endpoint in spec.endpoints {
            let same = before.get(&endpoint.arn).filter(|same| ***same == endpoint).cloned();
            self.endpoints.insert(endpoint.arn.clone(), same.unwrap_or_else(|| Arc::new(endpoint)));
        }
        let wanted: BTreeSet<EndpointId> = spec.clients.iter().map(|client| client.endpoint).collect();
        self.clients.retain(|id, client| {
            let stays = wanted.contains(id);
            if !stays {
                client.end();
            }
            stays
        });
        for client in spec.clients {
            self.put_client(client);
        }
        self.drain();
        self.retain_meters();
    }

    pub fn has_draining(&self, name: &TargetName) -> bool {
        self.draining.contains_key(name)
    }

    fn put_client(&mut self, spec: MeshClientSpec) {
        let id = spec.endpoint;
        let is_elsewhere = |client: &Client| client.spec.port != spec.port;
        if self.clients.get(&id).is_some_and(is_elsewhere)
            && let Some(client) = self.clients.remove(&id)
        {
            client.end();
        }
        let client = self.clients.entry(id).or_insert_with(|| {
            let (namespace, routes) = (self.namespaces.of(id), Arc::new(Routes::default()));
            let address = SocketAddrV4::new(PROXY_ADDRESS, spec.port);
            let permits = Arc::new(Semaphore::new(CALLS_MAX));
            let door = self.doors.open_proxy(namespace.clone(), address, routes.clone(), permits);
            Client { spec: spec.clone(), namespace, routes, lines: BTreeMap::new(), door }
        });
        client.spec = spec;
        let called: BTreeSet<&String> = client.spec.routes.iter().map(|(_, arn)| arn).collect();
        let endpoints = &self.endpoints;
        client.lines.retain(|arn, line| {
            let stays = called.contains(arn) && endpoints.contains_key(arn);
            if !stays {
                line.end();
            }
            stays
        });
        for endpoint in called.into_iter().filter_map(|arn| endpoints.get(arn)) {
            let is_same = |line: &Line| Arc::ptr_eq(&line.endpoint, endpoint);
            if !client.lines.get(&endpoint.arn).is_some_and(is_same) {
                let meter = self.shared.meters.of(&meter_name(endpoint, &client.spec));
                let before = client.lines.remove(&endpoint.arn);
                let line = Line::new(before, endpoint, &client.namespace, meter, &self.key, self.workers);
                client.lines.insert(endpoint.arn.clone(), line);
            }
        }
        let listener =
            |(address, arn): &(SocketAddrV4, String)| Some((*address, client.lines.get(arn)?.listener.clone()));
        client.routes.store(Arc::new(client.spec.routes.iter().filter_map(listener).collect()));
    }

    /// Waits for each target that drains, once.
    fn drain(&mut self) {
        let draining = self.endpoints.values().flat_map(|endpoint| {
            let those = endpoint.targets.iter().filter(|target| target.draining_since.is_some());
            those.map(|target| (endpoint.arn.clone(), target.address))
        });
        let draining: BTreeSet<TargetName> = draining.collect();
        self.draining.retain(|name, waiting| {
            let stays = draining.contains(name);
            if !stays {
                waiting.abort();
            }
            stays
        });
        for name in draining {
            if self.draining.contains_key(&name) {
                continue;
            }
            let (arn, address) = &name;
            let has_requests = self.endpoints.get(arn).is_some_and(|endpoint| endpoint.protocol.has_requests());
            let lines = self.clients.values().filter_map(|client| client.lines.get(arn));
            let targets: Vec<Arc<Target>> = lines.filter_map(|line| line.targets.get(address).cloned()).collect();
            let fact = drained(arn.clone(), *address);
            let facts = self.shared.facts.clone();
            let waiting = tokio::spawn(async move {
                // A connection may be kept for days; a request ends.
                if has_requests {
                    for target in &targets {
                        target.empty().await;
                    }
                }
                facts.tell(fact);
            });
            self.draining.insert(name, waiting.abort_handle());
        }
    }

    fn retain_meters(&self) {
        let known: BTreeSet<MeterName> = self
            .clients
            .values()
            .flat_map(|client| client.lines.values().map(|line| meter_name(&line.endpoint, &client.spec)))
            .collect();
        self.shared.meters.retain(|name| known.contains(name));
    }
}

fn meter_name(endpoint: &MeshEndpointSpec, client: &MeshClientSpec) -> MeterName {
    (endpoint.discovery_name.clone(), client.cluster.clone(), client.service.clone())
}

/// Nothing is under way to that target of the endpoint any more.
pub(crate) fn drained(arn: String, address: SocketAddr) -> TargetHealth {
    let (reason, description) = health::explain(TargetReason::DeregistrationInProgress);
    TargetHealth { target_group: arn, address, state: TargetState::Draining, reason, description, drained: true }
}

impl Client {
    fn end(&self) {
        self.door.abort();
        self.lines.values().for_each(Line::end);
    }
}

impl Line {
    fn new(
        before: Option<Self>,
        endpoint: &Arc<MeshEndpointSpec>,
        namespace: &Namespace,
        meter: Arc<Meter>,
        key: &CookieKey,
        workers: usize,
    ) -> Self {
        let (present, mut known) = match before {
            Some(Self { listener, group, targets, .. }) => (Some((listener, group)), targets),
            None => (None, BTreeMap::new()),
        };
        let spec = Arc::new(group_of(endpoint));
        let source = Source::Namespace(namespace.clone());
        let mut targets = BTreeMap::new();
        for target in &endpoint.targets {
            let found = known.remove(&target.address);
            let is_draining = target.draining_since.is_some();
            // One that drains already is nothing to a client that has no call to it.
            let Some(put) = found.or_else(|| (!is_draining).then(|| new_target(target.address, workers))) else {
                continue;
            };
            match is_draining {
                true => put.drain(),
                false => {
                    put.undrain();
                    put.turn(TargetState::Healthy, None);
                }
            }
            targets.insert(target.address, put);
        }
        // What is under way to those that are gone ends with them, or with the client.
        known.into_values().for_each(|target| target.drain());
        let (present, group) = match present {
            Some((listener, group)) => (Some(listener), group),
            None => (None, Group::new(endpoint.arn.clone(), spec.clone(), source.clone())),
        };
        group.set(spec, source, targets.values().cloned().collect());
        let served =
            served(endpoint, &group, meter, key, present.as_ref().map(|listener| listener.served()).as_deref());
        let listener = match present {
            Some(listener) => {
                listener.set(served);
                listener
            }
            None => Listener::new(served),
        };
        Self { endpoint: endpoint.clone(), listener, group, targets }
    }

    fn end(&self) {
        self.listener.close();
        self.targets.values().for_each(|target| target.cut());
    }
}

/// No cookie ever leads to it.
fn new_target(address: SocketAddr, workers: usize) -> Arc<Target> {
    Target::new(address, None, String::new(), workers)
}

fn served(
    endpoint: &MeshEndpointSpec,
    group: &Arc<Group>,
    meter: Arc<Meter>,
    key: &CookieKey,
    before: Option<&Served>,
) -> Served {
    let groups = BTreeMap::from([(endpoint.arn.clone(), group.clone())]);
    let balancer = LoadBalancerSpec {
        arn: endpoint.arn.clone(),
        dns_name: String::new(),
        addresses: Vec::new(),
        zones: BTreeMap::new(),
        attributes: LoadBalancerAttributes {
            idle_timeout_seconds: or_never(endpoint.idle_timeout_seconds),
            client_keep_alive_seconds: u32::MAX,
            preserve_host_header: true,
            forwarded_for: ForwardedFor::Preserve,
            ..LoadBalancerAttributes::default()
        },
        listeners: Vec::new(),
    };
    let forward = Forward { groups: vec![(endpoint.arn.clone(), 1)], stickiness_seconds: None };
    let rule = RuleSpec { arn: endpoint.arn.clone(), conditions: Vec::new(), action: Action::Forward(forward) };
    let listener = ListenerSpec {
        arn: endpoint.arn.clone(),
        port: 0,
        protocol: if endpoint.protocol.has_requests() { ListenerProtocol::Http } else { ListenerProtocol::Tcp },
        tls: None,
        tcp_idle_timeout_seconds: or_never(endpoint.idle_timeout_seconds),
        answers: AnswerAttributes::default(),
        rules: vec![rule],
    };
    let limit = Some(endpoint.request_timeout_seconds).filter(|seconds| *seconds > 0);
    let call = Call { request_limit: limit.map(|seconds| Duration::from_secs(seconds.into())), meter };
    Served { call: Some(call), ..Served::new(&listener, &balancer, &groups, key, before) }
}

const fn or_never(seconds: u32) -> u32 {
    if seconds == 0 { u32::MAX } else { seconds }
}

fn group_of(endpoint: &MeshEndpointSpec) -> TargetGroupSpec {
    let (protocol, protocol_version) = match endpoint.protocol {
        ConnectProtocol::Tcp => (TargetProtocol::Tcp, ProtocolVersion::Http1),
        ConnectProtocol::Http => (TargetProtocol::Http, ProtocolVersion::Http1),
        ConnectProtocol::Http2 => (TargetProtocol::Http, ProtocolVersion::Http2),
        ConnectProtocol::Grpc => (TargetProtocol::Http, ProtocolVersion::Grpc),
    };
    TargetGroupSpec {
        arn: endpoint.arn.clone(),
        protocol,
        protocol_version,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        slow_start_seconds: 0,
        deregistration_delay_seconds: 0,
        connections: ConnectionAttributes::default(),
        // Nobody asks: the control plane says which tasks take calls.
        health_check: HealthCheckSpec {
            protocol: model::edge::CheckProtocol::Tcp,
            port: None,
            path: String::new(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(Vec::new()),
        },
        targets: Vec::new(),
    }
}
