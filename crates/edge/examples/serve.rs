//! The smallest load balancer: `serve LISTEN WORKERS TARGET…` shares requests out among the targets until it is killed.
//! Made for profiling; `serve 127.0.0.1:8080 2 127.0.0.1:9001 127.0.0.1:9002`.

use std::net::{SocketAddr, SocketAddrV4};

use edge::{Config, CookieKey, Edge};
use model::edge::{
    Action, Algorithm, AnswerAttributes, CheckProtocol, ConnectionAttributes, Forward, HealthCheckSpec,
    ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec, Matcher, ProtocolVersion, RuleSpec,
    Snapshot, TargetGroupSpec, TargetProtocol, TargetSpec,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "serve LISTEN WORKERS TARGET…";
    let listen: SocketAddrV4 = arguments.next().ok_or(usage)?.parse()?;
    let workers = arguments.next().ok_or(usage)?.parse()?;
    let targets = arguments.map(|target| target.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    let edge = Edge::start(&Config { workers, cookie_key: CookieKey([0; 32]), namespaces: None })?;
    edge.apply(snapshot(listen, targets)).await?;
    loop {
        for health in edge.health_changes().await {
            println!("{} is {} {}", health.address, health.state.as_str(), health.description);
        }
    }
}

fn snapshot(listen: SocketAddrV4, targets: Vec<SocketAddr>) -> Snapshot {
    let forward = Forward { groups: vec![("group".to_owned(), 1)], stickiness_seconds: None };
    let rule = RuleSpec { arn: "rule".to_owned(), conditions: Vec::new(), action: Action::Forward(forward) };
    let listener = ListenerSpec {
        arn: "listener".to_owned(),
        port: listen.port(),
        protocol: ListenerProtocol::Http,
        tls: None,
        tcp_idle_timeout_seconds: 350,
        answers: AnswerAttributes::default(),
        rules: vec![rule],
    };
    let load_balancer = LoadBalancerSpec {
        arn: "load-balancer".to_owned(),
        dns_name: "lb.localhost".to_owned(),
        addresses: vec![*listen.ip()],
        zones: Default::default(),
        attributes: LoadBalancerAttributes::default(),
        listeners: vec![listener],
    };
    let group = TargetGroupSpec {
        arn: "group".to_owned(),
        protocol: TargetProtocol::Http,
        protocol_version: ProtocolVersion::Http1,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        slow_start_seconds: 0,
        deregistration_delay_seconds: 30,
        connections: ConnectionAttributes::default(),
        health_check: HealthCheckSpec {
            protocol: CheckProtocol::Http,
            port: None,
            path: "/".to_owned(),
            interval_seconds: 5,
            timeout_seconds: 2,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
            matcher: Matcher::HttpCode(vec![(200, 399)]),
        },
        targets: targets.into_iter().map(|address| TargetSpec { address, zone: None, draining_since: None }).collect(),
    };
    Snapshot { revision: 1, load_balancers: vec![load_balancer], target_groups: vec![group], ..Snapshot::default() }
}
