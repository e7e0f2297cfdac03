//! Bodies on their way through, frame by frame, trailers included. What hangs on a body's end is held by it: that a
//! target has one request less, and that its connection can be used again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;

use crate::activity::Activity;
use crate::target::{Outstanding, Stream, Target};

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Relayed(Box<Relayed>),
}

/// From a target.
#[derive(Debug)]
struct Relayed {
    incoming: Incoming,
    ended: bool,
    lease: Option<Lease>,
}

/// What an answer holds of its target until it is through.
#[derive(Debug)]
pub struct Lease {
    pub outstanding: Outstanding,
    pub connection: Connection,
}

#[derive(Debug)]
pub enum Connection {
    /// Goes back to its target when both bodies are through.
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        target: Arc<Target>,
        worker: usize,
        request_ended: Option<Arc<AtomicBool>>,
    },
    Http2 {
        _stream: Stream,
    },
}

impl Body {
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(Kind::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    pub(crate) fn relayed(incoming: Incoming, lease: Lease) -> Self {
        Self(Kind::Relayed(Box::new(Relayed { incoming, ended: false, lease: Some(lease) })))
    }
}

impl Relayed {
    fn release(&mut self) {
        let Some(Lease { outstanding, connection }) = self.lease.take() else { return };
        // Before the request counts as over, so that what is drained then has no connection left.
        if let Connection::Http1 { sender, target, worker, request_ended } = connection
            && request_ended.is_none_or(|ended| ended.load(Ordering::Relaxed))
        {
            target.give_back(worker, sender);
        }
        drop(outstanding);
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if self.ended || self.incoming.is_end_stream() {
            self.release();
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Relayed(relayed) => {
                let frame = ready!(Pin::new(&mut relayed.incoming).poll_frame(cx));
                if frame.is_none() {
                    relayed.ended = true;
                    relayed.release();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Relayed(relayed) => relayed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Relayed(relayed) => relayed.incoming.size_hint(),
        }
    }
}

/// The body of a request on its way to a target.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    Relayed { incoming: Incoming, ended: Arc<AtomicBool>, activity: Arc<Activity> },
}

impl RequestBody {
    pub fn new(incoming: Incoming, activity: &Arc<Activity>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Relayed { incoming, ended: Arc::default(), activity: activity.clone() }
    }

    /// Set when the body is through; `None` when there is none.
    pub fn ended(&self) -> Option<Arc<AtomicBool>> {
        match self {
            Self::Empty => None,
            Self::Relayed { ended, .. } => Some(ended.clone()),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Relayed { incoming, ended, activity } = &mut *self else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        activity.touch();
        if frame.is_none() || incoming.is_end_stream() {
            ended.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Relayed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Relayed { incoming, .. } => incoming.size_hint(),
        }
    }
}
