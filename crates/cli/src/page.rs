//! The demo's container: a page that shows the task it runs in, from the task metadata endpoint, and the same in a few
//! words for who asks often.
//!
//! It runs inside a container, so it trusts nothing that it is sent and shows only what the endpoint says of itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;

use crate::failure::{Context, Failure};
use crate::{demo, http, output};

/// Where it says only which task it is.
pub const TASK_PATH: &str = "/task";
/// What it calls itself there.
pub const VERSION_VARIABLE: &str = "PAGE_VERSION";
const METADATA_VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// Open connections; a further one waits.
const CONNECTIONS_MAX: usize = 256;

pub async fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await.context(|| format!("{listen} could not be listened on"))?;
    let since_millis = now_millis();
    output::say(&format!("serving the page on {listen}"));
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context(|| "SIGTERM could not be waited for".to_owned())?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminated.recv() => {
                output::say("asked to stop; goodbye");
                return Ok(());
            }
        };
        let Ok((stream, peer)) = accepted else { continue };
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, peer, since_millis));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

/// Since 1970.
pub fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    since_millis: i64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == TASK_PATH {
        let text = serde_json::to_string(&identity(since_millis).await).expect("plain data");
        return Ok(Response::new(Full::new(Bytes::from(text))));
    }
    output::say(&format!("{} {} {}", peer.ip(), request.method(), request.uri().path()));
    let (task, container) = tokio::join!(metadata("/task"), metadata(""));
    let page = render(task.as_ref(), container.as_ref());
    let mut response = Response::new(Full::new(Bytes::from(page)));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// Never another one, so it is asked for once; without metadata it has no name.
async fn identity(listening_since_millis: i64) -> demo::Answer {
    static TASK: OnceCell<String> = OnceCell::const_new();
    let task = TASK.get_or_try_init(|| async {
        let task = metadata("/task").await.ok_or(())?;
        let arn = task["TaskARN"].as_str().ok_or(())?;
        Ok::<_, ()>(arn.rsplit('/').next().unwrap_or_default().to_owned())
    });
    let task = task.await.cloned().unwrap_or_default();
    demo::Answer { task, version: version().unwrap_or_default(), listening_since_millis }
}

fn version() -> Option<String> {
    std::env::var(VERSION_VARIABLE).ok()
}

async fn metadata(path: &str) -> Option<Value> {
    let base = std::env::var(METADATA_VARIABLE).ok()?;
    let answer = http::get(&format!("{base}{path}")).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

fn render(task: Option<&Value>, container: Option<&Value>) -> String {
    let text = |value: Option<&Value>, pointer: &str| {
        value.and_then(|value| value.pointer(pointer)).map(|found| match found {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let rows = [
        ("Task", text(task, "/TaskARN")),
        ("Version", task.and_then(|_| version())),
        ("Cluster", text(task, "/Cluster")),
        ("Task definition", text(task, "/Family").zip(text(task, "/Revision")).map(|(f, r)| format!("{f}:{r}"))),
        ("Launch type", text(task, "/LaunchType")),
        ("Availability zone", text(task, "/AvailabilityZone")),
        ("Container", text(container, "/Name")),
        ("Image", text(container, "/Image")),
        ("Address", text(container, "/Networks/0/IPv4Addresses/0")),
        (
            "CPU and memory",
            text(task, "/Limits/CPU").zip(text(task, "/Limits/Memory")).map(|(c, m)| format!("{c} vCPU, {m} MiB")),
        ),
        ("Started", text(container, "/StartedAt")),
    ];
    let rows: String = rows
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("<tr><th>{name}<td>{}\n", escape(&value))))
        .collect();
    let rows = if rows.is_empty() {
        format!("<tr><td>This process has no task metadata ({METADATA_VARIABLE} is not set or did not answer).\n")
    } else {
        rows
    };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Gantry: a task</title><style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:4rem auto;padding:0 1rem;color:#16202c}}\
         h1{{font-size:1.6rem}}table{{border-collapse:collapse;width:100%}}\
         th,td{{text-align:left;padding:.5rem .75rem;border-bottom:1px solid #d8dee6;vertical-align:top}}\
         th{{white-space:nowrap;font-weight:600}}td{{overflow-wrap:anywhere;font-family:ui-monospace,monospace}}\
         </style><h1>This page is served by an ECS task on your own machine</h1>\n<table>\n{rows}</table>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_task_and_escapes_what_it_shows() {
        let task = serde_json::json!({"TaskARN": "arn:aws:ecs:x", "Family": "<b>", "Revision": "3"});
        let page = render(Some(&task), None);
        assert!(page.contains("arn:aws:ecs:x") && page.contains("&lt;b&gt;:3"), "{page}");
        assert!(render(None, None).contains("no task metadata"));
    }
}
