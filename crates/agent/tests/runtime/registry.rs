//! A registry in the test's own process, on a port of loopback: serves the blobs of an OCI archive, wants to be
//! asked properly, and fails as told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub const USER: &str = "user";
pub const PASSWORD: &str = "pass word";
const TOKEN: &str = "a-token-of-the-service";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    None,
    Basic,
    /// A token from a service, which gives one to anybody.
    Token,
    /// A token from a service that wants basic credentials.
    TokenForUser,
}

/// What goes wrong with the requests whose path contains `path`, `times` times.
#[derive(Clone, Debug)]
pub struct Fault {
    pub path: &'static str,
    pub kind: Kind,
    pub times: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Status(u16),
    /// The connection breaks after so many bytes of the body.
    Break(usize),
    /// Another content of the same length.
    Corrupt,
}

pub struct Registry {
    /// `127.0.0.1:PORT`
    pub address: String,
    state: Arc<State>,
    server: tokio::task::JoinHandle<()>,
}

struct State {
    address: String,
    authorization: Authorization,
    /// By digest.
    blobs: HashMap<String, Bytes>,
    manifest: (String, Bytes),
    faults: Mutex<Vec<Fault>>,
    /// Paths of the requests that were answered, with the range that was asked for.
    seen: Mutex<Vec<String>>,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl Registry {
    /// Serves what `archive`, an OCI layout of one image, holds, as `test/image:1`.
    pub async fn start(archive: &Path, authorization: Authorization, faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let (blobs, manifest) = read(archive);
        let (faults, seen) = (Mutex::new(faults), Mutex::default());
        let state = Arc::new(State { address: address.clone(), authorization, blobs, manifest, faults, seen });
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(&request)) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, state, server }
    }

    pub fn image(&self) -> String {
        format!("{}/test/image:1", self.address)
    }

    pub fn digest(&self) -> String {
        self.state.manifest.0.clone()
    }

    /// How many answered requests had this in their path or range.
    pub fn count(&self, text: &str) -> usize {
        self.state.seen.lock().expect("no panic").iter().filter(|seen| seen.contains(text)).count()
    }

    pub fn largest_blob(&self) -> usize {
        self.state.blobs.values().map(Bytes::len).max().unwrap_or(0)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let range = header("range").to_owned();
        if path == "/token" {
            return self.token(header("authorization"), request.uri().query().unwrap_or_default());
        }
        if !self.is_authorized(header("authorization")) {
            return self.challenge();
        }
        self.seen.lock().expect("no panic").push(format!("{path} {range}"));
        let Some(bytes) = self.find(&path) else {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return whole(StatusCode::NOT_FOUND, Bytes::from_static(body.as_bytes()));
        };
        let from = range.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
        let status = if from.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let body = bytes.slice(from.unwrap_or(0)..);
        match self.fault(&path) {
            None => whole(status, body),
            Some(Kind::Status(code)) => whole(StatusCode::from_u16(code).expect("a status"), Bytes::new()),
            Some(Kind::Corrupt) => whole(status, body.iter().map(|byte| !byte).collect::<Vec<u8>>().into()),
            Some(Kind::Break(after)) => broken(status, &body, after),
        }
    }

    fn find(&self, path: &str) -> Option<Bytes> {
        let rest = path.strip_prefix("/v2/test/image/")?;
        if let Some(digest) = rest.strip_prefix("blobs/") {
            return self.blobs.get(digest).cloned();
        }
        let name = rest.strip_prefix("manifests/")?;
        (name == "1" || name == self.manifest.0).then(|| self.manifest.1.clone())
    }

    fn fault(&self, path: &str) -> Option<Kind> {
        let mut faults = self.faults.lock().expect("no panic");
        let fault = faults.iter_mut().find(|fault| fault.times > 0 && path.contains(fault.path))?;
        fault.times -= 1;
        Some(fault.kind)
    }

    fn is_authorized(&self, given: &str) -> bool {
        match self.authorization {
            Authorization::None => true,
            Authorization::Basic => given == basic(),
            Authorization::Token | Authorization::TokenForUser => given == format!("Bearer {TOKEN}"),
        }
    }

    fn challenge(&self) -> Answer {
        let challenge = match self.authorization {
            Authorization::Basic => "Basic realm=\"test\"".to_owned(),
            _ => format!("Bearer realm=\"http://{}/token\",service=\"test service\"", self.address),
        };
        let mut answer = whole(StatusCode::UNAUTHORIZED, Bytes::new());
        answer.headers_mut().insert("www-authenticate", challenge.parse().expect("a header"));
        answer
    }

    fn token(&self, given: &str, query: &str) -> Answer {
        let wanted = "service=test+service&scope=repository%3Atest%2Fimage%3Apull";
        let is_user = self.authorization != Authorization::TokenForUser || given == basic();
        if query != wanted || !is_user {
            return whole(
                StatusCode::UNAUTHORIZED,
                Bytes::from_static(br#"{"details":"incorrect username or password"}"#),
            );
        }
        whole(StatusCode::OK, format!("{{\"token\":\"{TOKEN}\"}}").into())
    }
}

fn basic() -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

fn whole(status: StatusCode, body: Bytes) -> Answer {
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).expect("an answer")
}

fn broken(status: StatusCode, body: &Bytes, after: usize) -> Answer {
    let begin = body.slice(..after.min(body.len()));
    let frames = vec![Ok(Frame::data(begin)), Err(std::io::Error::other("broken as told"))];
    // What was sent before is flushed while the next part is waited for.
    let stream = futures_util::stream::iter(frames).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    let stream = BodyExt::boxed(StreamBody::new(stream));
    let answer = Response::builder().status(status).header("content-length", body.len());
    answer.body(stream).expect("an answer")
}

fn read(archive: &Path) -> (HashMap<String, Bytes>, (String, Bytes)) {
    let mut tar = tar::Archive::new(std::fs::File::open(archive).expect("an archive"));
    let mut blobs: HashMap<String, Bytes> = HashMap::new();
    let mut target = String::new();
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("content");
        if let Some(hex) = path.strip_prefix("blobs/sha256/") {
            blobs.insert(format!("sha256:{hex}"), bytes.into());
        } else if path == "index.json" {
            let index: serde_json::Value = serde_json::from_slice(&bytes).expect("an index");
            target = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        }
    }
    let manifest = blobs[&target].clone();
    (blobs, (target, manifest))
}
