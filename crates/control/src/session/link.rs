//! The WebSocket upgrade of `GET /gantry/link`, for those who have the node key.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{connection, run};
use crate::Control;

/// Answers the request and, when it may, runs the session beside.
pub fn upgrade<B>(control: &Arc<Control>, mut request: Request<B>) -> Response<Full<Bytes>> {
    let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if !control.node_key.opens(authorization) {
        return refuse(StatusCode::UNAUTHORIZED, "the node key is missing or wrong\n");
    }
    let Some(accept) = accept_key(request.method(), request.headers()) else {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this path speaks WebSocket, version 13\n");
    };
    let control = control.clone();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(stream) => {
                let socket = connection::over(TokioIo::new(stream)).await;
                run(control, socket).await;
            }
            Err(error) => tracing::debug!(%error, "a link was not upgraded"),
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The answer to the challenge of a proper WebSocket handshake (RFC 6455 §4.2).
fn accept_key(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let names = |header: HeaderName, token: &str| {
        let value = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    let is_handshake = method == Method::GET
        && names(CONNECTION, "upgrade")
        && names(UPGRADE, "websocket")
        && names(SEC_WEBSOCKET_VERSION, "13");
    if !is_handshake {
        return None;
    }
    let accept = derive_accept_key(headers.get(SEC_WEBSOCKET_KEY)?.as_bytes());
    HeaderValue::from_str(&accept).ok()
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if status == StatusCode::UPGRADE_REQUIRED {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
