//! The front door without sockets: what is let in, what is refused and in which words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{Auth, Clock, Config, Control};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use model::Timestamp;
use store::log::memory::MemoryDisk;
use wire::sigv4::{self, Credentials};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
const JSON: &str = "application/x-amz-json-1.1";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// 2026-11-21T09:00:00Z.
const START: Timestamp = Timestamp(1_795_251_600_000);
const START_TEXT: &str = "20261121T090000Z";

/// A control plane in memory, at a fixed time.
struct Front {
    control: Arc<Control>,
    disk: MemoryDisk,
    _directory: tempfile::TempDir,
}

impl Front {
    async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config { seed: Some(1), ..Config::new(directory.path()) };
        change(&mut config);
        let disk = MemoryDisk::new();
        let control = Control::open_with(config, disk.log(), Clock::manual(START)).await.unwrap();
        Self { control, disk, _directory: directory }
    }

    /// Signs `request` for a service in a region, as a client does.
    fn sign(&self, request: &mut Request<Bytes>, region: &str, service: &str) {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost:4566"));
        request.headers_mut().insert("x-amz-date", HeaderValue::from_static(START_TEXT));
        let signed = sigv4::Request {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            body_sha256: &sigv4::hash_body(request.body()),
        };
        let key = &self.control.root_key;
        let credentials = Credentials { access_key_id: &key.access_key_id, secret: &key.secret_access_key };
        let authorization = sigv4::sign(&signed, credentials, START_TEXT, region, service);
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
    }

    async fn send(&self, request: Request<Bytes>) -> Answered {
        Answered::from(self.control.call(request).await)
    }

    async fn ecs(&self, operation: &str, body: impl Into<Bytes>) -> Answered {
        let mut request = json(&format!("{TARGET}.{operation}"), body);
        self.sign(&mut request, "us-east-1", "ecs");
        self.send(request).await
    }

    async fn form(&self, service: &str, body: &str) -> Answered {
        let mut request = form(body);
        self.sign(&mut request, "us-east-1", service);
        self.send(request).await
    }
}

fn json(target: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(header::CONTENT_TYPE, JSON)
        .header("x-amz-target", target)
        .body(body.into())
        .unwrap()
}

fn form(body: &str) -> Request<Bytes> {
    Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(header::CONTENT_TYPE, FORM)
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

#[derive(Debug)]
struct Answered {
    status: StatusCode,
    request_id: String,
    content_type: String,
    body: String,
}

impl From<Response<Bytes>> for Answered {
    fn from(response: Response<Bytes>) -> Self {
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Self {
            status: response.status(),
            request_id: header("x-amzn-requestid").expect("every answer has a request id"),
            content_type: header("content-type").unwrap_or_default(),
            body: String::from_utf8(response.body().to_vec()).expect("answers are UTF-8"),
        }
    }
}

impl Answered {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    #[track_caller]
    fn assert_refused(&self, status: u16, code: &str, text: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        let is_json = self.content_type.starts_with("application/x-amz-json");
        let expected = if is_json { format!("\"__type\":\"{code}\"") } else { format!("<Code>{code}</Code>") };
        assert!(self.body.contains(&expected), "no {expected} in {}", self.body);
        assert!(self.body.contains(text), "no {text} in {}", self.body);
    }
}

#[tokio::test]
async fn a_signed_caller_learns_who_it_is() {
    let front = Front::open(|config| config.account_id = "123456789012".into()).await;
    let answer = front.form("sts", "Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.content_type.starts_with("text/xml"), "{}", answer.content_type);
    for part in [
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>",
        "<Arn>arn:aws:iam::123456789012:root</Arn>",
        "<UserId>123456789012</UserId>",
        "<Account>123456789012</Account>",
        &format!("<RequestId>{}</RequestId>", answer.request_id),
    ] {
        assert!(answer.body.contains(part), "no {part} in {}", answer.body);
    }
}

#[tokio::test]
async fn a_presigned_get_is_answered_for_as_long_as_it_lives() {
    let front = Front::open(|_| {}).await;
    let key = front.control.root_key.clone();
    let query = format!(
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F20261121\
         %2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date={START_TEXT}&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
        key.access_key_id
    );
    let request = |query: &str| {
        let uri = format!("/?{query}");
        Request::builder().uri(uri).header(header::HOST, "localhost:4566").body(Bytes::new()).unwrap()
    };
    let unsigned = request(&query);
    let signed = sigv4::Request {
        method: "GET",
        path: "/",
        query: unsigned.uri().query().unwrap(),
        headers: unsigned.headers(),
        body_sha256: &sigv4::hash_body(b""),
    };
    let credentials = Credentials { access_key_id: &key.access_key_id, secret: &key.secret_access_key };
    let authorization = sigv4::sign(&signed, credentials, START_TEXT, "us-east-1", "sts");
    let signature = authorization.rsplit_once("Signature=").unwrap().1.to_owned();
    let presigned = format!("{query}&X-Amz-Signature={signature}");

    let answer = front.send(request(&presigned)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    front.control.clock.advance(Duration::from_secs(61));
    front.send(request(&presigned)).await.assert_refused(400, "RequestExpired", "Request has expired.");
}

#[tokio::test]
async fn strangers_are_refused_in_the_words_of_the_protocol() {
    let front = Front::open(|_| {}).await;
    let list = || json(&format!("{TARGET}.ListClusters"), "{}");
    front.send(list()).await.assert_refused(400, "MissingAuthenticationTokenException", "Missing Authentication Token");
    // Not even an unknown operation is told apart.
    let unknown = json(&format!("{TARGET}.NoSuchThing"), "{}");
    front.send(unknown).await.assert_refused(400, "MissingAuthenticationTokenException", "");
    let sts = form("Action=GetCallerIdentity&Version=2011-06-15");
    front.send(sts).await.assert_refused(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    let ec2 = form("Action=DescribeVpcs&Version=2016-11-15");
    front.send(ec2).await.assert_refused(400, "MissingParameter", "AWSAccessKeyId");

    let mut other_key = list();
    front.sign(&mut other_key, "us-east-1", "ecs");
    let authorization = other_key.headers()["authorization"].to_str().unwrap();
    let forged = authorization.replace(&front.control.root_key.access_key_id, "AKIAIOSFODNN7EXAMPLE");
    other_key.headers_mut().insert("authorization", forged.parse().unwrap());
    let text = "The security token included in the request is invalid.";
    front.send(other_key).await.assert_refused(400, "UnrecognizedClientException", text);

    let mut with_token = list();
    with_token.headers_mut().insert("x-amz-security-token", HeaderValue::from_static("anything"));
    front.sign(&mut with_token, "us-east-1", "ecs");
    front.send(with_token).await.assert_refused(400, "UnrecognizedClientException", text);

    let mut changed = list();
    front.sign(&mut changed, "us-east-1", "ecs");
    *changed.body_mut() = Bytes::from_static(b"{\"maxResults\":1}");
    front.send(changed).await.assert_refused(400, "InvalidSignatureException", "The request signature we calculated");

    let mut late = list();
    front.sign(&mut late, "us-east-1", "ecs");
    front.control.clock.advance(Duration::from_secs(901));
    let text = "Signature expired: 20261121T090000Z is now earlier than 20261121T090001Z (20261121T091501Z - 15 min.)";
    front.send(late).await.assert_refused(400, "InvalidSignatureException", text);
}

#[tokio::test]
async fn the_scope_of_the_signature_must_fit() {
    let front = Front::open(|_| {}).await;
    let mut nowhere = json(&format!("{TARGET}.ListClusters"), "{}");
    front.sign(&mut nowhere, "nowhere", "ecs");
    front.send(nowhere).await.assert_refused(
        400,
        "InvalidSignatureException",
        "Credential should be scoped to a valid region.",
    );
    let mut other_service = form("Action=GetCallerIdentity&Version=2011-06-15");
    front.sign(&mut other_service, "us-east-1", "ecs");
    let answer = front.send(other_service).await;
    assert!(answer.status.is_client_error(), "{}", answer.body);
}

#[tokio::test]
async fn bad_bodies_are_refused_and_nothing_breaks() {
    let front = Front::open(|_| {}).await;
    let deep = format!("{{\"clusters\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: &[(&str, &[u8])] = &[
        ("SerializationException", b"{"),
        ("SerializationException", b"[]"),
        ("SerializationException", b"null"),
        ("SerializationException", b"\xff\xfe"),
        ("SerializationException", b"{\"clusters\":\"\xff\"}"),
        ("SerializationException", b"{\"clusters\":\"one\"}"),
        ("SerializationException", b"{\"clusters\":[1]}"),
        ("SerializationException", b"{\"clusters\":[\"\\ud800\"]}"),
        ("SerializationException", deep.as_bytes()),
    ];
    for (code, body) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = front.ecs("DescribeClusters", Bytes::copy_from_slice(body)).await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.body);
        assert!(answer.body.contains(code), "{shown}: {}", answer.body);
    }
    let long_name = format!("Filter.1.{}=x", "Value.1.".repeat(5000));
    let many = "&VpcId.1=x".repeat(20_000);
    for strange in [
        "VpcId.x=1",
        "%zz&=&&a",
        "VpcId.18446744073709551616=vpc-1",
        "VpcId.4294967295=vpc-1",
        "VpcId.0=vpc-1",
        "VpcId=1&VpcId.1=1&VpcId.1.1=1",
        "Filter.1=a&Filter.1.Name=b",
        "MaxResults=99999999999999999999",
        "DryRun=perhaps",
        "%ff=%fe",
        &long_name,
        &many,
    ] {
        let body = format!("Action=DescribeVpcs&Version=2016-11-15&{strange}");
        let body = body.as_str();
        let answer = front.form("ec2", body).await;
        assert!(!answer.status.is_server_error(), "{}: {}", &body[..body.len().min(80)], answer.body);
    }
    let unknown = front.ecs("NoSuchOperation", "{}").await;
    unknown.assert_refused(400, "UnknownOperationException", "NoSuchOperation");
    front.ecs("ListDaemons", "{}").await.assert_refused(400, "UnsupportedOperationException", "ecs:ListDaemons");
    front.form("sts", "Action=AssumeRole&Version=2011-06-15").await.assert_refused(
        400,
        "UnsupportedOperation",
        "sts:AssumeRole",
    );
    front.form("ec2", "Action=RunInstances&Version=2016-11-15").await.assert_refused(
        400,
        "UnsupportedOperation",
        "ec2:RunInstances",
    );
}

#[tokio::test]
async fn without_authentication_anyone_is_root_but_no_web_page_is() {
    let front = Front::open(|config| config.auth = Auth::Off).await;
    let identity = || form("Action=GetCallerIdentity&Version=2011-06-15");
    let answer = front.send(identity()).await;
    assert!(answer.body.contains("<Arn>arn:aws:iam::000000000000:root</Arn>"), "{}", answer.body);
    let mut from_page = identity();
    from_page.headers_mut().insert(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
    front.send(from_page).await.assert_refused(403, "AccessDenied", "web pages");
    // The region is still the one that the client signs for.
    let mut elsewhere = form("Action=DescribeAvailabilityZones&Version=2016-11-15");
    front.sign(&mut elsewhere, "eu-west-1", "ec2");
    assert!(front.send(elsewhere).await.body.contains("<zoneName>eu-west-1c</zoneName>"));
}

#[tokio::test]
async fn rates_are_limited_only_when_asked() {
    let front = Front::open(|config| config.throttle = true).await;
    for call in 0..50 {
        let answer = front.ecs("DescribeClusters", "{}").await;
        assert_eq!(answer.status, 200, "call {call}: {}", answer.body);
    }
    front.ecs("DescribeClusters", "{}").await.assert_refused(400, "ThrottlingException", "Rate exceeded");
    front.control.clock.advance(Duration::from_secs(1));
    assert_eq!(front.ecs("DescribeClusters", "{}").await.status, 200);

    let unlimited = Front::open(|_| {}).await;
    for _ in 0..60 {
        assert_eq!(unlimited.ecs("DescribeClusters", "{}").await.status, 200);
    }
}

#[tokio::test]
async fn regions_are_strangers_to_each_other() {
    let front = Front::open(|_| {}).await;
    let create = |region: &'static str| {
        let mut request = json(&format!("{TARGET}.CreateCluster"), "{\"clusterName\":\"one\"}");
        front.sign(&mut request, region, "ecs");
        request
    };
    assert_eq!(front.send(create("us-east-1")).await.status, 200);
    let mut elsewhere = json(&format!("{TARGET}.DescribeClusters"), "{\"clusters\":[\"one\"]}");
    front.sign(&mut elsewhere, "eu-west-1", "ecs");
    let answer = front.send(elsewhere).await.json();
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    let here = front.ecs("DescribeClusters", "{\"clusters\":[\"one\"]}").await.json();
    assert_eq!(here["clusters"][0]["clusterArn"], "arn:aws:ecs:us-east-1:000000000000:cluster/one");
}

#[tokio::test]
async fn a_disk_that_fails_loses_nothing_that_was_acknowledged() {
    let front = Front::open(|_| {}).await;
    assert_eq!(front.ecs("CreateCluster", "{\"clusterName\":\"kept\"}").await.status, 200);
    front.disk.fail_next(1);
    let refused = front.ecs("CreateCluster", "{\"clusterName\":\"lost\"}").await;
    refused.assert_refused(500, "ServerException", "disk");
    let seen = front.ecs("DescribeClusters", "{\"clusters\":[\"kept\",\"lost\"]}").await.json();
    assert_eq!(seen["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(seen["failures"][0]["reason"], "MISSING");
    assert_eq!(front.ecs("CreateCluster", "{\"clusterName\":\"lost\"}").await.status, 200, "space is free again");
}
