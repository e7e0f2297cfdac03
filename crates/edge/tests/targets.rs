//! Targets that come, go, fall ill, hang up and drain while requests keep coming.

mod support;

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use model::Timestamp;
use model::edge::{Matcher, ProtocolVersion, Snapshot, TargetGroupSpec, TargetReason, TargetSpec, TargetState};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(since.as_millis()).expect("before the year 292 million"))
}

/// The same group with one target deregistered now.
fn draining(group: &TargetGroupSpec, backend: &Backend) -> TargetGroupSpec {
    let drain = |target: &TargetSpec| {
        let is_it = target.address == backend.address;
        TargetSpec { draining_since: is_it.then(now), ..target.clone() }
    };
    TargetGroupSpec { targets: group.targets.iter().map(drain).collect(), ..group.clone() }
}

#[tokio::test]
async fn a_target_that_starts_to_listen_takes_traffic_at_once() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = reserved.local_addr().expect("bound");
    drop(reserved);
    let mut spec = group("g", &[]);
    spec.health_check.interval_seconds = 300;
    spec.targets = vec![target(address)];
    let site = Site::start(plain(1, spec)).await;
    let initial = site.until_health(address, |health| health.reason == Some(TargetReason::InitialHealthChecking)).await;
    assert_eq!(initial.state, TargetState::Initial);
    assert_eq!(site.get("/").await.status, 503);
    let listener = TcpListener::bind(address).await.expect("still free");
    let _backend = Backend::start_on("late", listener).await;
    // Waited for far less long than the interval; the goal of 300 ms is for machines that are not busy with other tests.
    site.until(address, TargetState::Healthy).await;
    assert_eq!(site.get("/").await.body, "late");
}

#[tokio::test]
async fn a_target_takes_traffic_as_soon_as_it_is_told_healthy() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    two.set_health(503);
    let site = Site::start(plain(1, group("g", &[&one, &two]))).await;
    site.until(one.address, TargetState::Healthy).await;
    let mut client = site.client().await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(two.requests(), 0);
    two.set_health(200);
    site.until(two.address, TargetState::Healthy).await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(two.requests(), 1);
}

#[tokio::test]
async fn an_ill_target_is_told_with_its_reason_and_gets_nothing_until_it_is_well() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let site = Site::healthy(plain(1, group("g", &[&one, &two]))).await;
    one.set_health(500);
    let ill = site.until(one.address, TargetState::Unhealthy).await;
    assert_eq!(ill.reason, Some(TargetReason::ResponseCodeMismatch));
    assert_eq!(ill.description, "Health checks failed with these codes: [500]");
    let before = one.requests();
    for _ in 0..6 {
        assert_eq!(site.get("/").await.body, "two");
    }
    assert_eq!(one.requests(), before);
    one.set_health(200);
    site.until(one.address, TargetState::Healthy).await;
    site.get("/").await;
    site.get("/").await;
    assert_eq!(one.requests(), before + 1);
}

#[tokio::test]
async fn when_all_are_ill_all_get_requests() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let site = Site::healthy(plain(1, group("g", &[&one, &two]))).await;
    one.set_health(500);
    two.set_health(500);
    site.until(one.address, TargetState::Unhealthy).await;
    site.until(two.address, TargetState::Unhealthy).await;
    let before = (one.requests(), two.requests());
    for _ in 0..4 {
        assert_eq!(site.get("/").await.status, 200);
    }
    assert_eq!((one.requests(), two.requests()), (before.0 + 2, before.1 + 2));
}

#[tokio::test]
async fn a_target_that_does_not_answer_its_checks_has_timed_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound");
    let mut spec = group("g", &[]);
    spec.health_check.unhealthy_threshold = 1;
    // Counted once per interval, which the time-out takes up.
    spec.targets = vec![target(address)];
    let site = Site::start(plain(1, spec)).await;
    let ill = site.until(address, TargetState::Unhealthy).await;
    assert_eq!((ill.reason, ill.description.as_str()), (Some(TargetReason::Timeout), "Request timed out"));
}

#[tokio::test]
async fn a_group_that_no_rule_leads_to_is_unused() {
    let backend = Backend::start("one").await;
    let spec = group("g", &[&backend]);
    let unused = |revision| snapshot(revision, vec![rule(vec![], fixed(200, ""))], vec![group("g", &[&backend])]);
    let site = Site::start(unused(1)).await;
    let told = site.until(backend.address, TargetState::Unused).await;
    assert_eq!(told.reason, Some(TargetReason::NotInUse));
    assert_eq!(backend.state.connections.load(Ordering::SeqCst), 0);
    site.apply(plain(2, spec)).await;
    site.until(backend.address, TargetState::Healthy).await;
    site.apply(unused(3)).await;
    site.until(backend.address, TargetState::Unused).await;
}

#[tokio::test]
async fn a_request_goes_on_to_another_target_when_one_takes_no_connection() {
    let (one, dead) = (Backend::start("one").await, Backend::start("dead").await);
    let mut spec = group("g", &[&one, &dead]);
    spec.health_check.interval_seconds = 300;
    let site = Site::healthy(plain(1, spec)).await;
    dead.stop();
    for _ in 0..4 {
        let mut client = site.client().await;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
        assert_eq!(client.answer().await.body, "one");
    }
}

/// Answers one request on each connection, keeps it open, and closes it when the next one is there.
async fn hang_up_on_second(listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            if matches!(stream.read(&mut buffer).await, Ok(1..)) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = stream.read(&mut buffer).await;
            }
        });
    }
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_again_when_a_connection_breaks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(hang_up_on_second(listener));
    let mut spec = group("g", &[]);
    spec.health_check.interval_seconds = 300;
    spec.targets = vec![target(address)];
    let site = Site::healthy(plain(1, spec)).await;
    let mut client = site.client().await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.body, "ok");
    }
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status, 502);
}

#[tokio::test]
async fn a_drained_target_gets_nothing_new_and_finishes_what_it_has() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let both = group("g", &[&one, &two]);
    let site = Site::healthy(plain(1, both.clone())).await;
    let mut long = site.client().await;
    long.send("GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (leaving, staying) = tokio::select! {
        () = one.state.held.notified() => (&one, &two),
        () = two.state.held.notified() => (&two, &one),
    };
    site.apply(plain(2, draining(&both, leaving))).await;
    let told = site.until(leaving.address, TargetState::Draining).await;
    assert_eq!(told.reason, Some(TargetReason::DeregistrationInProgress));
    assert!(!told.drained);
    let before = staying.requests();
    for _ in 0..6 {
        site.get("/").await;
    }
    assert_eq!((leaving.requests(), staying.requests()), (1, before + 6));
    leaving.state.release.notify_one();
    assert_eq!(long.answer().await.body, "held");
    site.until_health(leaving.address, |health| health.drained).await;
    site.apply(plain(3, group("g", &[staying]))).await;
    assert_eq!(site.get("/").await.status, 200);
}

#[tokio::test]
async fn an_idle_target_is_drained_at_once() {
    let backend = Backend::start("one").await;
    let spec = group("g", &[&backend]);
    let site = Site::healthy(plain(1, spec.clone())).await;
    site.get("/").await;
    site.apply(plain(2, draining(&spec, &backend))).await;
    site.until_health(backend.address, |health| health.drained).await;
    assert_eq!(site.get("/").await.status, 503);
    site.apply(plain(3, spec)).await;
    site.until(backend.address, TargetState::Healthy).await;
    assert_eq!(site.get("/").await.status, 200);
}

#[tokio::test]
async fn what_outlasts_the_deregistration_delay_is_cut_off() {
    let backend = Backend::start("one").await;
    let mut spec = group("g", &[&backend]);
    spec.deregistration_delay_seconds = 1;
    let site = Site::healthy(plain(1, spec.clone())).await;
    let mut waiting = site.client().await;
    waiting.send("POST /hold HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    backend.state.held.notified().await;
    let mut tunnel = site.client().await;
    tunnel.send("GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(tunnel.answer().await.status, 101);
    site.apply(plain(2, draining(&spec, &backend))).await;
    assert_eq!(waiting.answer().await.status, 502);
    assert_eq!(tunnel.rest().await, "");
    site.until_health(backend.address, |health| health.drained).await;
}

/// Until it has answered some requests more.
async fn served(target: &Backend) {
    let before = target.requests();
    let answered = async {
        while target.requests() < before + 25 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.expect("requests in time");
}

#[tokio::test]
async fn a_rolling_change_of_targets_under_load_fails_no_request() {
    let old = [Backend::start("old-1").await, Backend::start("old-2").await];
    let new = [Backend::start("new-1").await, Backend::start("new-2").await];
    let spec = |targets: Vec<TargetSpec>| TargetGroupSpec { targets, ..group("g", &[]) };
    let here = |backend: &Backend| target(backend.address);
    let leaving = |backend: &Backend| TargetSpec { draining_since: Some(now()), ..target(backend.address) };
    let site = Site::healthy(plain(1, spec(vec![here(&old[0]), here(&old[1])]))).await;
    let address = site.address(LISTENER).await;
    let done = tokio::sync::watch::Sender::new(false);
    let load: Vec<_> = (0..8)
        .map(|_| {
            let done = done.subscribe();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut bodies = Vec::new();
                while !*done.borrow() {
                    let answer = client.get("/").await;
                    assert_eq!(answer.status, 200);
                    bodies.push(answer.body);
                }
                bodies
            })
        })
        .collect();
    let mut revision = 1;
    for index in 0..2 {
        served(&old[index]).await;
        let others = |with: TargetSpec| {
            let mut targets: Vec<TargetSpec> = new[..index].iter().chain(&old[index + 1..]).map(here).collect();
            targets.extend([with, here(&new[index])]);
            targets
        };
        revision += 1;
        site.apply(plain(revision, spec(others(here(&old[index]))))).await;
        site.until(new[index].address, TargetState::Healthy).await;
        revision += 1;
        site.apply(plain(revision, spec(others(leaving(&old[index]))))).await;
        site.until_health(old[index].address, |health| health.drained).await;
        old[index].stop();
    }
    for target in &new {
        served(target).await;
    }
    done.send_replace(true);
    let mut bodies = Vec::new();
    for client in load {
        bodies.extend(client.await.expect("every request was answered with 200"));
    }
    assert!(bodies.iter().any(|body| body == "old-1") && bodies.iter().any(|body| body == "new-2"));
}

#[tokio::test]
async fn grpc_targets_are_checked_by_their_grpc_status() {
    let backend = Backend::start("one").await;
    let mut spec = group("g", &[&backend]);
    spec.protocol_version = ProtocolVersion::Grpc;
    spec.health_check.path = "/grpc".to_owned();
    spec.health_check.matcher = Matcher::GrpcCode(vec![(12, 12)]);
    let snapshot = |revision, spec: &TargetGroupSpec| -> Snapshot { plain(revision, spec.clone()) };
    let site = Site::start(snapshot(1, &spec)).await;
    let ill = site.until(backend.address, TargetState::Unhealthy).await;
    assert_eq!(ill.description, "Health checks failed with these codes: [0]");
    spec.health_check.matcher = Matcher::GrpcCode(vec![(0, 0)]);
    site.apply(snapshot(2, &spec)).await;
    site.until(backend.address, TargetState::Healthy).await;
}
