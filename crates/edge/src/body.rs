//! Bodies on their way through, frame by frame, trailers included. What hangs on a body's end is held by it: that a
//! target has one request less, and that its connection can be used again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::activity::Activity;
use crate::target::{Outstanding, Stream, Target};

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the target broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer took too long")]
    Late,
}

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
    limit: Option<Pin<Box<Sleep>>>,
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
        request_body: Option<Arc<Progress>>,
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
        Self(Kind::Relayed(Box::new(Relayed { incoming, ended: false, lease: Some(lease), limit: None })))
    }

    /// Breaks off at that time.
    pub(crate) fn until(mut self, end: Instant) -> Self {
        if let Kind::Relayed(relayed) = &mut self.0 {
            relayed.limit = Some(Box::pin(sleep_until(end)));
        }
        self
    }
}

impl Relayed {
    fn release(&mut self) {
        let Some(Lease { outstanding, connection }) = self.lease.take() else { return };
        // Before the request counts as over, so that what is drained then has no connection left.
        if let Connection::Http1 { sender, target, worker, request_body } = connection
            && request_body.is_none_or(|body| body.is_ended())
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
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Relayed(relayed) => {
                let Poll::Ready(frame) = Pin::new(&mut relayed.incoming).poll_frame(cx) else {
                    let limit = relayed.limit.as_mut();
                    let is_late = limit.is_some_and(|limit| limit.as_mut().poll(cx).is_ready());
                    return if is_late { Poll::Ready(Some(Err(BodyError::Late))) } else { Poll::Pending };
                };
                if frame.is_none() {
                    relayed.ended = true;
                    relayed.release();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
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
    Relayed { incoming: Incoming, progress: Arc<Progress>, activity: Arc<Activity> },
}

/// How far a request's body has come.
#[derive(Debug, Default)]
pub struct Progress {
    is_ended: AtomicBool,
    is_broken: AtomicBool,
}

impl Progress {
    /// All of it has come.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// The client broke it off, or sent what is no body.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub fn new(incoming: Incoming, activity: &Arc<Activity>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Relayed { incoming, progress: Arc::default(), activity: activity.clone() }
    }

    /// `None` when there is no body.
    pub fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Relayed { progress, .. } => Some(progress.clone()),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Relayed { incoming, progress, activity } = &mut *self else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
        activity.touch();
        match &frame {
            Some(Err(_)) => progress.is_broken.store(true, Ordering::Relaxed),
            Some(Ok(_)) if !incoming.is_end_stream() => {}
            _ => progress.is_ended.store(true, Ordering::Relaxed),
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
