//! What tasks may ask of the agent: the task metadata endpoint, versions 3 and 4, and their protection (ecs-semantics
//! §5.6). Tasks reach it as `http://169.254.170.2`, which the network driver leads to this server's address.
//!
//! ```text
//! /v{3,4}/<container id>          /v{3,4}/<container id>/task          /v{3,4}/<container id>/taskWithTags
//! /v{3,4}/<container id>/stats    /v{3,4}/<container id>/task/stats
//! /api/<container id>/task-protection/v1/state   (GET, PUT)
//! ```
//! The container's id is a random UUID in its environment: who knows it may read, and protect the task. ECS asks for a
//! task role beside it; there are no roles here to ask for. No credentials pass through.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::runtime::cgroup::Groups;

mod bucket;
mod document;
mod stats;
pub mod task_protection;

use bucket::Bucket;
pub use document::{Version, View};
use stats::Samples;
use task_protection::{BODY_BYTES_MAX, Question};

/// ECS_TASK_METADATA_RPS_LIMIT.
const REQUESTS_PER_SECOND: u32 = 40;
const REQUESTS_AT_ONCE: u32 = 60;
const CONNECTIONS_MAX: usize = 256;
/// To send a request's head, or its body, and for a whole connection's silence.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// A whole connection, however busy.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Finds a task by the id of one of its containers.
pub type Lookup = Arc<dyn Fn(&str) -> Option<View> + Send + Sync>;

/// The endpoint.
pub struct Metadata {
    lookup: Lookup,
    questions: mpsc::Sender<Question>,
    clock: Clock,
    bucket: Mutex<Bucket>,
    samples: Option<Samples>,
}

impl Metadata {
    /// `questions` go to the control plane. `groups` is where the containers' statistics are read; without, there are
    /// none.
    pub fn new(lookup: Lookup, questions: mpsc::Sender<Question>, clock: Clock, groups: Option<Groups>) -> Self {
        let bucket = Bucket::new(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE, clock.now());
        Self { lookup, questions, clock, bucket: Mutex::new(bucket), samples: groups.map(Samples::new) }
    }

    /// Answers on the listener until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let metadata = Arc::new(self);
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let permit = connections.clone().acquire_owned().await.expect("never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = serve_connection(stream, metadata.clone());
                    tokio::spawn(async move {
                        // A task that talks badly, too long or breaks off is its own concern.
                        let _ = timeout(CONNECTION_LIMIT, connection).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection of a task");
                    // Out of descriptors: others have to end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Status and document for a request.
    async fn answer(&self, request: Request<Incoming>) -> (StatusCode, Value) {
        if !self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(self.clock.now()) {
            return (StatusCode::TOO_MANY_REQUESTS, json!("too many requests"));
        }
        let path = request.uri().path().to_owned();
        match protection_of(&path) {
            Some(id) => self.protection(id, request).await,
            None => self.read(request.method(), &path),
        }
    }

    async fn protection(&self, id: &str, request: Request<Incoming>) -> (StatusCode, Value) {
        let view = (self.lookup)(id);
        let arn = view.as_ref().map(|view| view.spec.arn.as_str());
        let change = match *request.method() {
            Method::GET => None,
            Method::PUT => match task_protection::read(&body_of(request).await, arn) {
                Ok(change) => Some(change),
                Err(refusal) => return refusal,
            },
            _ => return (StatusCode::METHOD_NOT_ALLOWED, json!("405 method not allowed")),
        };
        let Some(view) = &view else { return task_protection::unknown() };
        task_protection::ask(&self.questions, (view.spec.id, &view.spec.arn), change).await
    }

    fn read(&self, method: &Method, path: &str) -> (StatusCode, Value) {
        let Some((version, id, what)) = parse(path) else {
            return (StatusCode::NOT_FOUND, json!("404 page not found"));
        };
        if method != Method::GET && method != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, json!("405 method not allowed"));
        }
        let found = (self.lookup)(id).and_then(|view| Some((position(&view, id)?, view)));
        let Some((index, view)) = found else { return (StatusCode::NOT_FOUND, json!(unknown(version, what, id))) };
        match what {
            What::Container => (StatusCode::OK, document::container(&view, index, version)),
            What::Task => (StatusCode::OK, document::task(&view, version, false)),
            What::TaskWithTags => (StatusCode::OK, document::task(&view, version, true)),
            What::Stats => (StatusCode::OK, self.stats(&view, index)),
            What::TaskStats => {
                let all = (0..view.spec.containers.len())
                    .map(|index| (view.state.runtime_id(view.spec.id, index).to_string(), self.stats(&view, index)))
                    .collect::<Map<_, _>>();
                (StatusCode::OK, Value::Object(all))
            }
        }
    }

    /// Null when the container does not run.
    fn stats(&self, view: &View, index: usize) -> Value {
        let sample = self.samples.as_ref().and_then(|samples| samples.read(view, index, self.clock.now()));
        sample.unwrap_or(Value::Null)
    }
}

fn serve_connection(stream: TcpStream, metadata: Arc<Metadata>) -> impl Future<Output = hyper::Result<()>> {
    let service = service_fn(move |request: Request<Incoming>| {
        let metadata = metadata.clone();
        async move {
            let (status, document) = metadata.answer(request).await;
            Ok::<_, Infallible>(respond(status, &document))
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        // Simple clients close their side once they have asked.
        .half_close(true)
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
}

/// Nothing, which is nothing to decode, when it is too long or does not come.
async fn body_of(request: Request<Incoming>) -> Bytes {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match timeout(HEAD_LIMIT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

fn respond(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Container,
    Task,
    TaskWithTags,
    Stats,
    TaskStats,
}

/// Version, container id and the document that is asked for.
fn parse(path: &str) -> Option<(Version, &str, What)> {
    let mut parts = path.trim_end_matches('/').split('/').skip(1);
    let version = match parts.next()? {
        "v3" => Version::V3,
        "v4" => Version::V4,
        _ => return None,
    };
    let id = parts.next().filter(|id| !id.is_empty())?;
    let what = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => What::Container,
        (Some("task"), None, _) => What::Task,
        (Some("taskWithTags"), None, _) => What::TaskWithTags,
        (Some("stats"), None, _) => What::Stats,
        (Some("task"), Some("stats"), None) => What::TaskStats,
        _ => return None,
    };
    Some((version, id, what))
}

/// The container whose task's protection is asked for.
fn protection_of(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/api/")?.strip_suffix("/task-protection/v1/state")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

fn position(view: &View, id: &str) -> Option<usize> {
    view.spec.containers.iter().position(|container| container.id == id)
}

fn unknown(version: Version, what: What, id: &str) -> String {
    let version = if version == Version::V3 { "V3" } else { "V4" };
    match what {
        What::Container => format!(
            "{version} container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: {id}"
        ),
        What::Task | What::TaskWithTags => format!(
            "{version} task metadata handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {id}"
        ),
        What::Stats => format!(
            "{version} container stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {id}"
        ),
        What::TaskStats => format!(
            "{version} task stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: {id}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_version_container_and_document() {
        let check = |path: &str, expected: Option<(Version, &str, What)>| assert_eq!(parse(path), expected, "{path}");
        check("/v4/abc", Some((Version::V4, "abc", What::Container)));
        check("/v3/abc/", Some((Version::V3, "abc", What::Container)));
        check("/v4/abc/task", Some((Version::V4, "abc", What::Task)));
        check("/v4/abc/taskWithTags", Some((Version::V4, "abc", What::TaskWithTags)));
        check("/v4/abc/stats", Some((Version::V4, "abc", What::Stats)));
        check("/v4/abc/task/stats", Some((Version::V4, "abc", What::TaskStats)));
        assert_eq!(protection_of("/api/abc/task-protection/v1/state"), Some("abc"));
        for path in ["/api//task-protection/v1/state", "/api/a/b/task-protection/v1/state", "/api/abc/task-protection"]
        {
            assert_eq!((protection_of(path), parse(path)), (None, None), "{path}");
        }
        for path in ["", "/", "/v4", "/v4/", "/v2/abc", "/v4/abc/task/stats/x", "/v4/abc/tasks", "v4/abc"] {
            check(path, None);
        }
    }
}
