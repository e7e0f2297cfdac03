//! Snapshots that follow one another: what changes, and what must not notice.

mod support;

use model::edge::{LoadBalancerAttributes, Snapshot, TargetState};
use support::*;

fn with_listeners(revision: u64, arns: &[&str]) -> Snapshot {
    let one = |arn: &&str| listener(arn, vec![rule(vec![], fixed(200, arn))]);
    Snapshot { revision, load_balancers: vec![load_balancer(arns.iter().map(one).collect())], ..Snapshot::default() }
}

#[tokio::test]
async fn listeners_come_and_go_and_others_keep_their_connections() {
    let site = Site::start(with_listeners(1, &["a", "b"])).await;
    let (a, b) = (site.address("a").await, site.address("b").await);
    let (mut on_a, mut on_b) = (Client::connect(a).await, Client::connect(b).await);
    assert_eq!(on_a.get("/").await.body, "a");
    assert_eq!(on_b.get("/").await.body, "b");
    site.apply(with_listeners(2, &["a", "c"])).await;
    assert_eq!(on_a.get("/").await.body, "a");
    assert_eq!(on_b.rest().await, "", "an idle connection to a listener that is gone is closed");
    let c = site.address("c").await;
    assert_eq!(Client::connect(c).await.get("/").await.body, "c");
    assert_eq!(site.address("a").await, a);
    assert!(tokio::net::TcpStream::connect(b).await.is_err());
}

#[tokio::test]
async fn a_request_under_way_outlives_its_listener() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(plain(1, group("g", &[&backend]))).await;
    let mut client = site.client().await;
    client.send("GET /halves HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await, "first");
    let gone = Snapshot { target_groups: vec![group("g", &[&backend])], ..with_listeners(2, &[]) };
    site.apply(gone).await;
    backend.state.release.notify_one();
    assert_eq!(client.chunks().await, "second");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn rules_change_under_open_connections() {
    let text = |revision, text: &str| snapshot(revision, vec![rule(vec![], fixed(200, text))], vec![]);
    let site = Site::start(text(1, "before")).await;
    let mut client = site.client().await;
    assert_eq!(client.get("/").await.body, "before");
    site.apply(text(2, "after")).await;
    assert_eq!(client.get("/").await.body, "after");
}

#[tokio::test]
async fn a_change_elsewhere_keeps_targets_healthy_and_connections_to_them_open() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let rules = || vec![rule(vec![], to(&[("g", 1)]))];
    let site = Site::healthy(snapshot(1, rules(), vec![group("g", &[&one])])).await;
    // Two workers, each with a connection of its own.
    let (mut client, mut other) = (site.client().await, site.client().await);
    client.get("/").await;
    other.get("/").await;
    let mut check_changed = group("g", &[&one]);
    check_changed.health_check.interval_seconds = 300;
    check_changed.deregistration_delay_seconds = 5;
    site.apply(snapshot(2, rules(), vec![check_changed.clone(), group("h", &[&two])])).await;
    site.until(two.address, TargetState::Unused).await;
    assert_eq!(client.get("/").await.body, "one");
    let before = one.state.connections.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..10 {
        client.get("/").await;
        other.get("/").await;
    }
    let after = one.state.connections.load(std::sync::atomic::Ordering::SeqCst);
    // One health check may have been under way.
    assert!(after <= before + 1, "{before} connections became {after}");
}

#[tokio::test]
async fn a_rule_may_lead_to_a_group_that_comes_later() {
    let backend = Backend::start("one").await;
    let rules = || vec![rule(vec![], to(&[("g", 1)]))];
    let site = Site::start(snapshot(1, rules(), vec![])).await;
    assert_eq!(site.get("/").await.status, 503);
    site.apply(snapshot(2, rules(), vec![group("g", &[&backend])])).await;
    site.until(backend.address, TargetState::Healthy).await;
    assert_eq!(site.get("/").await.body, "one");
    site.apply(snapshot(3, rules(), vec![])).await;
    assert_eq!(site.get("/").await.status, 503);
}

#[tokio::test]
async fn attributes_change_what_targets_see() {
    let backend = Backend::start("one").await;
    let with = |revision, attributes: LoadBalancerAttributes| {
        let mut snapshot = plain(revision, group("g", &[&backend]));
        snapshot.load_balancers[0].attributes = attributes;
        snapshot
    };
    let site = Site::healthy(with(1, LoadBalancerAttributes::default())).await;
    let mut client = site.client().await;
    assert!(client.get("/echo").await.body.contains("host: a.example.com:0\n"));
    let preserved = LoadBalancerAttributes { preserve_host_header: true, ..LoadBalancerAttributes::default() };
    site.apply(with(2, preserved)).await;
    assert!(client.get("/echo").await.body.contains("host: a.example.com\n"));
}

#[tokio::test]
async fn it_goes_on_when_nobody_feeds_it_and_ends_when_told() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(plain(1, group("g", &[&backend]))).await;
    let mut client = site.client().await;
    let address = site.address(LISTENER).await;
    client.send("GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await;
    backend.state.held.notified().await;
    let ending = tokio::spawn(site.edge.shutdown());
    backend.state.release.notify_one();
    assert_eq!(client.answer().await.body, "held", "a request under way is answered");
    ending.await.expect("no thread panicked");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
