//! One request: refused, or answered as its rule says.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::activity::Activity;
use crate::body::{Body, RequestBody};
use crate::clock;
use crate::forward::Forward;
use crate::framing;
use crate::header::{self, Hop};
use crate::listener::{Forwarding, Listener, Route, Served};
use crate::page::{self, page};
use crate::rule::Subject;
use crate::tls::Agreed;
use crate::{random, redirect, trace_id};

/// Where requests come from.
#[derive(Debug)]
pub struct Origin {
    pub worker: usize,
    pub listener: Arc<Listener>,
    pub client: SocketAddr,
    pub agreed: Option<Agreed>,
    pub activity: Arc<Activity>,
}

pub async fn answer(origin: Arc<Origin>, request: Request<Incoming>) -> Response<Body> {
    let _waiting = origin.activity.request(request.version() == Version::HTTP_2);
    let (parts, incoming) = request.into_parts();
    if let Some(status) = framing::refusal(&parts) {
        return if parts.version < Version::HTTP_2 { page::refusal(status) } else { page(status) };
    }
    let request = Request::from_parts(parts, incoming);
    let served = origin.listener.served();
    let mut response = act(&origin, &served, request).await;
    served.headers.put(response.headers_mut());
    response
}

async fn act(origin: &Origin, served: &Served, request: Request<Incoming>) -> Response<Body> {
    match find(served, &request, origin.client) {
        Some(Route::Forward(forwarding)) => forward(origin, served, forwarding, request).await,
        Some(Route::Redirect(to)) => {
            page::redirect(to.status, &location(to, served, &request, origin.agreed.is_some()))
        }
        Some(Route::FixedResponse { status, content_type, body }) => {
            page::fixed(*status, content_type.as_deref(), body)
        }
        // The default rule has no conditions, so only a listener without rules comes here.
        None => page(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn find<'a>(served: &'a Served, request: &Request<Incoming>, client: SocketAddr) -> Option<&'a Route> {
    let host = header::without_port(header::authority(request.uri(), request.headers())).to_ascii_lowercase();
    let subject = Subject {
        host: &host,
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        method: request.method().as_str(),
        headers: request.headers(),
        source: client.ip().to_canonical(),
    };
    served.rules.find(&subject).map(|index| &served.routes[index])
}

fn location(to: &model::edge::Redirect, served: &Served, request: &Request<Incoming>, is_secured: bool) -> String {
    let parts = redirect::Parts {
        protocol: if is_secured { "https" } else { "http" },
        host: header::without_port(header::authority(request.uri(), request.headers())),
        port: served.spec.port,
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
    };
    redirect::location(to, &parts)
}

async fn forward(
    origin: &Origin,
    served: &Served,
    forwarding: &Forwarding,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let protocol = header::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
    let upgrade = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, incoming) = request.into_parts();
    // What belongs to the client's connection does not go on.
    parts.extensions.clear();
    let hop =
        Hop { client: origin.client, port: served.spec.port, agreed: origin.agreed, attributes: &served.attributes };
    let host = header::host(header::authority(&parts.uri, &parts.headers), &hop);
    match served.call {
        Some(_) => header::pass_on(&mut parts.headers, protocol),
        None => {
            header::to_target(&mut parts.headers, &hop, protocol);
            put_trace_id(&mut parts.headers);
        }
    }
    if let Ok(host) = HeaderValue::try_from(host) {
        parts.headers.insert(HOST, host);
    }
    let request = Request::from_parts(parts, RequestBody::new(incoming, &origin.activity));
    Forward { worker: origin.worker, served, forwarding, activity: &origin.activity, upgrade }.send(request).await
}

fn put_trace_id(headers: &mut HeaderMap) {
    let brought = headers.get(header::TRACE_ID).and_then(|value| value.to_str().ok());
    let seconds = u32::try_from(clock::now().as_millis() / 1000).unwrap_or_default();
    let trace_id = trace_id::value(brought, seconds, random::next());
    if let Ok(trace_id) = HeaderValue::try_from(trace_id) {
        headers.insert(header::TRACE_ID, trace_id);
    }
}
