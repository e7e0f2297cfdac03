//! The events as lines of JSON, one event a line, for whoever has the root key: those of the commits that are kept, and
//! with `{"follow": true}` those that come, until the reader or the server ends.
//!
//! What was lost to a reader is a line too: `detail-type` "Gantry Events Lost", with the `count` where it is known.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Either;
use hyper::body::{Body, Frame};
use model::Scope;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use wire::error::Failure;

use super::Answer;
use crate::event::{Event, Next, READERS_MAX, Reader};
use crate::{Caller, Control};

pub const EVENTS_PATH: &str = "/gantry/events";
/// Lines on their way to one reader.
const LINES_WAITING_MAX: usize = 64;
/// A reader that takes no line for this long is let go.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    follow: bool,
}

/// Answers with the events of the caller's own account and region.
///
/// # Errors
/// When the body is no such request, or there are too many readers.
pub(super) fn answer(control: &Arc<Control>, caller: &Caller, body: &[u8]) -> Result<Response<Answer>, Failure> {
    let request: Request = match body {
        b"" => Request::default(),
        body => serde_json::from_slice(body)
            .map_err(|error| Failure::new(400, "SerializationException", error.to_string()))?,
    };
    let reader = control.events.read().ok_or_else(|| {
        Failure::new(503, "ServiceUnavailable", format!("Events have at most {READERS_MAX} readers at once."))
    })?;
    let (lines, waiting) = mpsc::channel(LINES_WAITING_MAX);
    tokio::spawn(pump(reader, caller.scope.clone(), request.follow, lines));
    let mut response = Response::new(Either::Right(Lines(waiting)));
    let kind = header::HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A body that ends with its sender.
pub(crate) struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

async fn pump(mut reader: Reader, scope: Scope, follow: bool, lines: mpsc::Sender<Bytes>) {
    let past: VecDeque<Arc<Event>> = std::iter::from_fn(|| reader.past()).collect();
    for event in past {
        if !send(&lines, &scope, &Next::Event(event)).await {
            return;
        }
    }
    if !follow {
        return;
    }
    loop {
        let next = tokio::select! {
            next = reader.next() => next,
            () = lines.closed() => return,
        };
        if matches!(next, Next::Closed) || !send(&lines, &scope, &next).await {
            return;
        }
    }
}

/// Whether the reader is still there.
async fn send(lines: &mpsc::Sender<Bytes>, scope: &Scope, next: &Next) -> bool {
    let value = match next {
        Next::Event(event) if event.scope == *scope => event.to_json(),
        Next::Event(_) | Next::Closed => return true,
        Next::Lost(count) => lost(*count),
    };
    let line = format!("{value}\n").into();
    matches!(timeout(SEND_TIMEOUT, lines.send(line)).await, Ok(Ok(())))
}

fn lost(count: Option<u64>) -> Value {
    json!({"detail-type": "Gantry Events Lost", "source": "gantry", "detail": {"count": count}})
}
