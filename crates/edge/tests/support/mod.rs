//! An edge with small backends, all in this process, on ports of the loopback that the kernel chooses.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod backend;
pub mod client;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use edge::{Config, CookieKey, Edge};
use model::edge::{
    Action, Algorithm, AnswerAttributes, CheckProtocol, Condition, ConnectionAttributes, Forward, HealthCheckSpec,
    ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec, Matcher, Pattern, ProtocolVersion,
    RuleSpec, Snapshot, TargetGroupSpec, TargetHealth, TargetProtocol, TargetSpec, TargetState,
};
use tokio::time::timeout;

pub use backend::Backend;
pub use client::{Answer, Client};

/// For whatever a test waits for.
pub const LIMIT: Duration = Duration::from_secs(60);
pub const LISTENER: &str = "listener/a";

pub fn group(arn: &str, backends: &[&Backend]) -> TargetGroupSpec {
    TargetGroupSpec {
        arn: arn.to_owned(),
        protocol: TargetProtocol::Http,
        protocol_version: ProtocolVersion::Http1,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        slow_start_seconds: 0,
        deregistration_delay_seconds: 300,
        connections: ConnectionAttributes::default(),
        health_check: HealthCheckSpec {
            protocol: CheckProtocol::Http,
            port: None,
            path: "/health".to_owned(),
            interval_seconds: 1,
            timeout_seconds: 1,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(vec![(200, 200)]),
        },
        targets: backends.iter().map(|backend| target(backend.address)).collect(),
    }
}

pub fn target(address: SocketAddr) -> TargetSpec {
    TargetSpec { address, zone: None, draining_since: None }
}

pub fn to(groups: &[(&str, u32)]) -> Action {
    let groups = groups.iter().map(|(arn, weight)| ((*arn).to_owned(), *weight)).collect();
    Action::Forward(Forward { groups, stickiness_seconds: None })
}

pub fn fixed(status: u16, body: &str) -> Action {
    Action::FixedResponse { status, content_type: None, body: body.to_owned() }
}

pub fn rule(conditions: Vec<Condition>, action: Action) -> RuleSpec {
    RuleSpec { arn: "rule/a".to_owned(), conditions, action }
}

pub fn path(pattern: &str) -> Condition {
    Condition::PathPattern(vec![Pattern::Wildcard(pattern.to_owned())])
}

pub fn listener(arn: &str, rules: Vec<RuleSpec>) -> ListenerSpec {
    ListenerSpec {
        arn: arn.to_owned(),
        port: 0,
        protocol: ListenerProtocol::Http,
        tls: None,
        tcp_idle_timeout_seconds: 350,
        answers: AnswerAttributes::default(),
        rules,
    }
}

pub fn load_balancer(listeners: Vec<ListenerSpec>) -> LoadBalancerSpec {
    LoadBalancerSpec {
        arn: "loadbalancer/a".to_owned(),
        dns_name: "a.elb.localhost".to_owned(),
        addresses: vec![Ipv4Addr::LOCALHOST],
        zones: BTreeMap::new(),
        attributes: LoadBalancerAttributes::default(),
        listeners,
    }
}

/// One listener on one load balancer.
pub fn snapshot(revision: u64, rules: Vec<RuleSpec>, target_groups: Vec<TargetGroupSpec>) -> Snapshot {
    Snapshot {
        revision,
        load_balancers: vec![load_balancer(vec![listener(LISTENER, rules)])],
        target_groups,
        ..Snapshot::default()
    }
}

/// One listener that sends everything to one group.
pub fn plain(revision: u64, group: TargetGroupSpec) -> Snapshot {
    snapshot(revision, vec![rule(vec![], to(&[(&group.arn.clone(), 1)]))], vec![group])
}

pub struct Site {
    pub edge: Edge,
    known: Mutex<BTreeMap<(String, SocketAddr), TargetHealth>>,
}

impl Site {
    pub async fn start(snapshot: Snapshot) -> Self {
        let config = Config { workers: 2, cookie_key: CookieKey([7; 32]), namespaces: None };
        let edge = Edge::start(&config).expect("threads");
        edge.apply(snapshot).await.expect("it runs");
        Self { edge, known: Mutex::default() }
    }

    /// Started, and every target of the snapshot healthy.
    pub async fn healthy(snapshot: Snapshot) -> Self {
        let addresses: Vec<_> = snapshot.target_groups.iter().flat_map(|group| &group.targets).collect();
        let addresses: Vec<SocketAddr> = addresses.iter().map(|target| target.address).collect();
        let site = Self::start(snapshot).await;
        for address in addresses {
            site.until(address, TargetState::Healthy).await;
        }
        site
    }

    pub async fn apply(&self, snapshot: Snapshot) {
        self.edge.apply(snapshot).await.expect("it runs");
    }

    /// Where a listener listens.
    pub async fn address(&self, arn: &str) -> SocketAddr {
        let mut bound = self.edge.bound();
        let bound = bound.wait_for(|bound| bound.get(arn).is_some_and(|addresses| !addresses.is_empty()));
        let bound = timeout(LIMIT, bound).await.expect("in time").expect("it runs");
        *bound[arn].values().next().expect("one address")
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address(LISTENER).await).await
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.client().await.get(path).await
    }

    /// Waits for a fact on a target.
    pub async fn until_health(&self, address: SocketAddr, holds: impl Fn(&TargetHealth) -> bool) -> TargetHealth {
        let waiting = async {
            loop {
                let known = self.known.lock().expect("unpoisoned").clone();
                let found = known.values().find(|health| health.address == address && holds(health));
                if let Some(found) = found {
                    return found.clone();
                }
                let news = self.edge.health_changes().await;
                let keyed = news.into_iter().map(|health| ((health.target_group.clone(), health.address), health));
                self.known.lock().expect("unpoisoned").extend(keyed);
            }
        };
        timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("no such health of {address}: {:?}", self.known))
    }

    pub async fn until(&self, address: SocketAddr, state: TargetState) -> TargetHealth {
        self.until_health(address, |health| health.state == state).await
    }
}
