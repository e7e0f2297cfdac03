//! What each action does with a request, over real sockets.

mod support;

use model::edge::{Algorithm, Forward, Redirect, Stickiness, TargetState};
use support::*;

#[tokio::test]
async fn a_request_is_forwarded_with_the_headers_that_tell_of_its_client() {
    let backend = Backend::start("one").await;
    let site = Site::healthy(plain(1, group("g", &[&backend]))).await;
    let port = site.address(LISTENER).await.port();
    let mut client = site.client().await;
    let answer = client.get_with("/echo?q=1", &[("x-forwarded-for", "10.0.0.1"), ("accept", "*/*")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-backend"), Some("one"));
    let mut lines: Vec<&str> = answer.body.lines().collect();
    lines.sort_unstable();
    let (traces, others): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("x-amzn-trace-id: Root=1-"));
    assert_eq!(traces.len(), 1);
    // The listener's port is the snapshot's, which is 0 here.
    assert_eq!(
        others,
        [
            "",
            "GET /echo?q=1 HTTP/1.1",
            "accept: */*",
            "host: a.example.com:0",
            "x-forwarded-for: 10.0.0.1, 127.0.0.1",
            "x-forwarded-port: 0",
            "x-forwarded-proto: http"
        ]
    );
    assert_ne!(port, 0);
}

#[tokio::test]
async fn targets_take_turns_whatever_connection_requests_come_on() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let site = Site::healthy(plain(1, group("g", &[&one, &two]))).await;
    let mut client = site.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(site.get("/").await.status, 200);
    }
    assert_eq!((one.requests(), two.requests()), (10, 10));
}

#[tokio::test]
async fn the_target_with_the_fewest_outstanding_requests_is_chosen() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let group =
        model::edge::TargetGroupSpec { algorithm: Algorithm::LeastOutstandingRequests, ..group("g", &[&one, &two]) };
    let site = Site::healthy(plain(1, group)).await;
    let mut busy = site.client().await;
    busy.send("GET /hold HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (holding, free) = tokio::select! {
        () = one.state.held.notified() => (&one, &two),
        () = two.state.held.notified() => (&two, &one),
    };
    for _ in 0..5 {
        site.get("/").await;
    }
    assert_eq!((holding.requests(), free.requests()), (1, 5));
    holding.state.release.notify_one();
    assert_eq!(busy.answer().await.body, "held");
}

#[tokio::test]
async fn rules_decide_in_order() {
    let backend = Backend::start("one").await;
    let redirect = Redirect { protocol: "HTTPS".into(), port: "443".into(), status: 301, ..Redirect::default() };
    let rules = vec![
        rule(vec![path("/fixed/*")], fixed(418, "short and stout")),
        rule(vec![path("/old/*")], model::edge::Action::Redirect(redirect)),
        rule(vec![], to(&[("g", 1)])),
    ];
    let site = Site::healthy(snapshot(1, rules, vec![group("g", &[&backend])])).await;
    let mut client = site.client().await;
    let answer = client.get("/fixed/x").await;
    assert_eq!((answer.status, answer.body.as_str()), (418, "short and stout"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("server"), Some("awselb/2.0"));
    let answer = client.get("/old/x?y=1").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.header("location"), Some("https://a.example.com:443/old/x?y=1"));
    assert_eq!(client.get("/").await.body, "one");
}

#[tokio::test]
async fn weights_split_and_no_weight_gets_nothing() {
    let (blue, green) = (Backend::start("blue").await, Backend::start("green").await);
    let rules = |weights: [u32; 2]| vec![rule(vec![], to(&[("blue", weights[0]), ("green", weights[1])]))];
    let groups = vec![group("blue", &[&blue]), group("green", &[&green])];
    let site = Site::healthy(snapshot(1, rules([1, 0]), groups.clone())).await;
    let mut client = site.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "blue");
    }
    site.apply(snapshot(2, rules([0, 1]), groups.clone())).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "green");
    }
    site.apply(snapshot(3, rules([1, 1]), groups.clone())).await;
    for _ in 0..100 {
        client.get("/").await;
    }
    // That all hundred fall on one side has a chance of one in 2^99.
    assert!(blue.requests() > 20 && green.requests() > 20);
    site.apply(snapshot(4, rules([0, 0]), groups)).await;
    assert_eq!(client.get("/").await.status, 503);
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_target() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut group = group("g", &[&one, &two]);
    group.stickiness = Some(Stickiness::LbCookie { seconds: 60 });
    let site = Site::healthy(plain(1, group)).await;
    let first = site.get("/").await;
    let cookies = first.all("set-cookie");
    assert_eq!(cookies.len(), 2);
    assert!(cookies[0].starts_with("AWSALB=") && cookies[1].starts_with("AWSALBCORS="));
    let cookie = cookies[0].split(';').next().expect("a pair").to_owned();
    assert!(!cookie.contains("127.0.0.1"));
    for _ in 0..6 {
        let again = site.client().await.get_with("/", &[("cookie", &cookie)]).await;
        assert_eq!(again.body, first.body);
    }
    let forged: Vec<String> = {
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(site.client().await.get_with("/", &[("cookie", "AWSALB=0123456789abcdef")]).await.body);
        }
        seen
    };
    assert_ne!(forged[0], forged[1], "one that is made up leads nowhere: targets take turns");
}

#[tokio::test]
async fn a_client_whose_target_is_gone_gets_another_one_and_its_cookie() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut both = group("g", &[&one, &two]);
    both.stickiness = Some(Stickiness::LbCookie { seconds: 60 });
    let site = Site::healthy(plain(1, both.clone())).await;
    let first = site.get("/").await;
    let cookie = first.all("set-cookie")[0].split(';').next().expect("a pair").to_owned();
    both.targets.retain(|target| (target.address == one.address) != (first.body == "one"));
    site.apply(plain(2, both)).await;
    let other = site.client().await.get_with("/", &[("cookie", &cookie)]).await;
    assert_ne!(other.body, first.body);
    assert!(!other.all("set-cookie")[0].starts_with(&cookie));
}

#[tokio::test]
async fn the_applications_cookie_starts_stickiness() {
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut group = group("g", &[&one, &two]);
    group.stickiness = Some(Stickiness::AppCookie { name: "SESSION".to_owned(), seconds: 60 });
    let site = Site::healthy(plain(1, group)).await;
    assert!(site.get("/").await.all("set-cookie").is_empty());
    let login = site.get("/login").await;
    let lines = login.all("set-cookie");
    assert!(lines[0].starts_with("SESSION=1") && lines[1].starts_with("AWSALBAPP-0="), "{lines:?}");
    let cookie = format!("SESSION=1; {}", lines[1].split(';').next().expect("a pair"));
    let name = login.header("x-backend").expect("a name");
    for _ in 0..6 {
        assert_eq!(site.client().await.get_with("/", &[("cookie", &cookie)]).await.body, name);
    }
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_group() {
    let (blue, green) = (Backend::start("blue").await, Backend::start("green").await);
    let groups = vec![("blue".to_owned(), 1), ("green".to_owned(), 1)];
    let forward = Forward { groups, stickiness_seconds: Some(60) };
    let rules = vec![rule(vec![], model::edge::Action::Forward(forward))];
    let site = Site::healthy(snapshot(1, rules, vec![group("blue", &[&blue]), group("green", &[&green])])).await;
    let first = site.get("/").await;
    let cookie = first.all("set-cookie")[0].split(';').next().expect("a pair").to_owned();
    assert!(cookie.starts_with("AWSALBTG="));
    for _ in 0..20 {
        let again = site.client().await.get_with("/", &[("cookie", &cookie)]).await;
        assert_eq!(again.body, first.body);
        assert!(again.all("set-cookie").is_empty());
    }
}

#[tokio::test]
async fn without_a_target_503_and_with_dead_ones_502() {
    let site = Site::start(plain(1, group("g", &[]))).await;
    let answer = site.get("/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("<h1>503 Service Temporarily Unavailable</h1>"), "{}", answer.body);
    let backend = Backend::start("one").await;
    site.apply(plain(2, group("g", &[&backend]))).await;
    site.until(backend.address, TargetState::Healthy).await;
    backend.stop();
    site.until(backend.address, TargetState::Unhealthy).await;
    assert_eq!(site.get("/").await.status, 502);
}
