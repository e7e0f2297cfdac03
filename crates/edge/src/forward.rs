//! A request forwarded: to a group by weight or cookie, to a target by cookie or algorithm, and to another target when
//! that one does not take it.
//!
//! What is tried again, at most [`ATTEMPTS_MAX`] times:
//! - a request of which nothing was sent: the target took no connection, or closed an idle one just then;
//! - a GET, HEAD or OPTIONS without a body whose connection broke before anything was answered.
//!
//! Anything else might be done twice, and is answered with 502.

use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use model::edge::{ProtocolVersion, Stickiness};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::activity::Activity;
use crate::body::{Body, Lease, Progress, RequestBody};
use crate::clock;
use crate::cookie;
use crate::group::{Group, Members};
use crate::header;
use crate::limits::ATTEMPTS_MAX;
use crate::listener::{Call, Choice, Forwarding};
use crate::page::page;
use crate::target::Target;
use crate::tunnel;
use crate::upstream::{self, Link, Lost, Way};
use crate::{balance, listener::Served, random};

/// The target's protocol version and the client's do not go together.
const INCOMPATIBLE: u16 = 464;

pub struct Forward<'a> {
    pub worker: usize,
    pub served: &'a Served,
    pub forwarding: &'a Forwarding,
    pub activity: &'a Arc<Activity>,
    /// The client's connection, when it asks for another protocol on it.
    pub upgrade: Option<OnUpgrade>,
}

impl Forward<'_> {
    /// `request` has the headers that targets get.
    pub async fn send(self, request: Request<RequestBody>) -> Response<Body> {
        let forwarding = self.forwarding;
        let Some((choice, is_new)) = choose_group(forwarding, request.headers()) else {
            return page(StatusCode::SERVICE_UNAVAILABLE);
        };
        let members = choice.group.members();
        if self.served.call.is_none() && !is_compatible(members.spec.protocol_version, &request) {
            return page(StatusCode::from_u16(INCOMPATIBLE).expect("three digits"));
        }
        let answered = match self.served.call.as_ref() {
            Some(call) => self.call(call, &choice.group, &members, request).await,
            None => self.exchange(&choice.group, &members, request).await,
        };
        let (mut response, target) = match answered {
            Ok(answered) => answered,
            Err(status) => return page(status),
        };
        set_target_cookie(response.headers_mut(), &members, &target);
        if let Some(seconds) = forwarding.stickiness_seconds.filter(|_| is_new) {
            cookie::set(response.headers_mut(), cookie::GROUP, &choice.tag, seconds, clock::now());
        }
        response
    }

    /// Counted, and with the limit of the call's time: what it leaves is the answer's body's.
    async fn call(
        self,
        call: &Call,
        group: &Group,
        members: &Members,
        request: Request<RequestBody>,
    ) -> Result<(Response<Body>, Arc<Target>), StatusCode> {
        let begun = Instant::now();
        call.meter.request(is_grpc(request.headers()));
        let Some(limit) = call.request_limit else {
            let (response, target) = self.exchange(group, members, request).await?;
            call.meter.answer(response.status(), begun.elapsed());
            return Ok((response, target));
        };
        let exchanged = timeout_at(begun + limit, self.exchange(group, members, request)).await;
        let (response, target) = exchanged.map_err(|_| StatusCode::GATEWAY_TIMEOUT)??;
        call.meter.answer(response.status(), begun.elapsed());
        let is_tunnel = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let response = if is_tunnel { response } else { response.map(|body| body.until(begun + limit)) };
        Ok((response, target))
    }

    /// The answer and the target that gave it, or the status that says why there is none.
    async fn exchange(
        self,
        group: &Group,
        members: &Members,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Body>, Arc<Target>), StatusCode> {
        let way = members.way();
        let mut preferred = sticky_target(members, request.headers()).cloned();
        address(&mut request, way.version);
        let repeat = copy_of_repeatable(&request);
        let mut tried = Vec::new();
        let mut failure = StatusCode::SERVICE_UNAVAILABLE;
        let mut may_reuse = true;
        for _ in 0..ATTEMPTS_MAX {
            let chosen = preferred.take().or_else(|| group.choose(members, &tried, random::next(), clock::now));
            let Some(target) = chosen else { break };
            let lost = match self.attempt(&target, &way, request, may_reuse).await {
                Attempt::Answered(response, lease) => return Ok((self.answer(response, &target, lease), target)),
                Attempt::TimedOut(status) => return Err(status),
                Attempt::Lost(lost) => lost,
            };
            failure = lost.status;
            request = lost.unsent.or_else(|| repeat.as_ref().map(copy)).ok_or(failure)?;
            if lost.was_reused {
                // It may have closed an idle connection just then, so it gets one more chance, on a new one.
                may_reuse = false;
                preferred = Some(target);
            } else {
                tried.push(target);
            }
        }
        Err(failure)
    }

    async fn attempt(
        &self,
        target: &Arc<Target>,
        way: &Way,
        request: Request<RequestBody>,
        may_reuse: bool,
    ) -> Attempt {
        let outstanding = target.begin();
        let reused = if may_reuse { Link::reuse(target, way.version, self.worker) } else { None };
        let was_reused = reused.is_some();
        let opened = match reused {
            Some(link) => Ok(link),
            // Apart, since it is rare and large: what is not boxed here makes every request's future larger.
            None => Box::pin(Link::open(target, way, self.worker)).await,
        };
        let mut link = match opened {
            Ok(link) => link,
            Err(error) => {
                debug!(target = %target.address, %error, "no connection");
                if self.served.call.is_some() {
                    target.fail(clock::now());
                }
                let status = status_of(&error);
                return Attempt::Lost(Failed { status, unsent: Some(request), was_reused });
            }
        };
        let progress = request.body().progress();
        let Some(sent) = self.wait_for(link.send(request)).await else {
            return Attempt::TimedOut(timed_out(progress.as_deref()));
        };
        match sent {
            Ok(response) => {
                let connection = link.into_connection(target, self.worker, progress);
                Attempt::Answered(response, Lease { outstanding, connection })
            }
            Err(Lost { request: unsent, source }) => {
                debug!(target = %target.address, error = %source, "lost");
                let is_clients_fault = progress.is_some_and(|progress| progress.is_broken());
                let status = if is_clients_fault { StatusCode::BAD_REQUEST } else { StatusCode::BAD_GATEWAY };
                Attempt::Lost(Failed { status, unsent, was_reused })
            }
        }
    }

    /// `None` when nothing has happened for the idle time-out.
    async fn wait_for<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        self.activity.touch();
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = self.activity.idled(self.served.idle_limit()) => None,
        }
    }

    fn answer(self, mut response: Response<Incoming>, target: &Arc<Target>, lease: Lease) -> Response<Body> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = self.upgrade else { return page(StatusCode::BAD_GATEWAY) };
            let server = hyper::upgrade::on(&mut response);
            let limit = self.served.idle_limit();
            let tunnel = tokio::spawn(tunnel::run(client, server, lease, self.activity.clone(), limit));
            target.add_task(self.worker, tunnel.abort_handle());
            *response.version_mut() = Version::HTTP_11;
            return response.map(|_| Body::whole(""));
        }
        header::drop_hop_by_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        response.map(|incoming| Body::relayed(incoming, lease))
    }
}

/// How one attempt on one target ended.
enum Attempt {
    Answered(Response<Incoming>, Lease),
    TimedOut(StatusCode),
    Lost(Failed),
}

struct Failed {
    status: StatusCode,
    /// When the target has got nothing of it.
    unsent: Option<Request<RequestBody>>,
    was_reused: bool,
}

/// The group that a cookie names, or one by weight; whether it is chosen anew.
fn choose_group<'a>(forwarding: &'a Forwarding, headers: &HeaderMap) -> Option<(&'a Choice, bool)> {
    let choices = &forwarding.choices;
    if forwarding.stickiness_seconds.is_some()
        && let Some(tag) = cookie::find(headers, cookie::GROUP)
        && let Some(choice) = choices.iter().find(|choice| choice.tag == tag && choice.weight > 0)
    {
        return Some((choice, false));
    }
    let index = balance::group(choices.iter().map(|choice| choice.weight), random::next())?;
    Some((&choices[index], true))
}

/// The client's fault when its body is not through.
fn timed_out(progress: Option<&Progress>) -> StatusCode {
    match progress {
        Some(progress) if !progress.is_ended() => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// HTTP/2 and gRPC groups take HTTP/2 requests only, HTTP/1 groups no gRPC, gRPC groups nothing but POST.
fn is_compatible(version: ProtocolVersion, request: &Request<RequestBody>) -> bool {
    let is_http2 = request.version() == Version::HTTP_2;
    match version {
        ProtocolVersion::Http1 => !(is_http2 && is_grpc(request.headers())),
        ProtocolVersion::Http2 => is_http2,
        ProtocolVersion::Grpc => is_http2 && request.method() == Method::POST,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

fn sticky_target<'a>(members: &'a Members, headers: &HeaderMap) -> Option<&'a Arc<Target>> {
    let tag = match members.spec.stickiness.as_ref()? {
        Stickiness::LbCookie { .. } => cookie::find(headers, cookie::TARGET)?,
        Stickiness::AppCookie { name, .. } => {
            cookie::find(headers, name)?;
            cookie::find(headers, cookie::APPLICATION)?
        }
        Stickiness::SourceIp => return None,
    };
    members.tagged(tag)
}

fn set_target_cookie(headers: &mut HeaderMap, members: &Members, target: &Target) {
    match &members.spec.stickiness {
        Some(Stickiness::LbCookie { seconds }) => {
            cookie::set(headers, cookie::TARGET, &target.tag, *seconds, clock::now());
        }
        Some(Stickiness::AppCookie { name, seconds }) if cookie::is_set(headers, name) => {
            cookie::set(headers, cookie::APPLICATION, &target.tag, *seconds, clock::now());
        }
        _ => {}
    }
}

/// Makes the request's target and version those of the protocol. HTTP/2 has the host in the target.
fn address(request: &mut Request<RequestBody>, version: ProtocolVersion) {
    if version == ProtocolVersion::Http1 && request.uri().authority().is_none() {
        *request.version_mut() = Version::HTTP_11;
        return;
    }
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let mut parts = uri::Parts::default();
    match version {
        ProtocolVersion::Http1 => *request.version_mut() = Version::HTTP_11,
        ProtocolVersion::Http2 | ProtocolVersion::Grpc => {
            let host = request.headers_mut().remove(HOST);
            parts.scheme = Some(uri::Scheme::HTTP);
            parts.authority = host.and_then(|host| uri::Authority::try_from(host.as_bytes()).ok());
            parts.authority.get_or_insert_with(|| uri::Authority::from_static("localhost"));
            *request.version_mut() = Version::HTTP_2;
        }
    }
    parts.path_and_query = Some(path);
    *request.uri_mut() = Uri::from_parts(parts).expect("a path, with scheme and authority or without both");
}

/// Its head, when doing it twice does what doing it once does.
fn copy_of_repeatable(request: &Request<RequestBody>) -> Option<Request<()>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_repeatable = is_safe && matches!(request.body(), RequestBody::Empty);
    is_repeatable.then(|| head_of(request))
}

fn copy(head: &Request<()>) -> Request<RequestBody> {
    head_of(head).map(|()| RequestBody::Empty)
}

fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    head
}

fn status_of(error: &upstream::Error) -> StatusCode {
    match error {
        upstream::Error::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        upstream::Error::Refused(_) | upstream::Error::Handshake(_) => StatusCode::BAD_GATEWAY,
    }
}
