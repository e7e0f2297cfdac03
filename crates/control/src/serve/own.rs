//! Gantry's own paths: for its command line, signed with the root key like every AWS call, and of no AWS service.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde::Serialize;
use wire::error::Failure;

use super::Answer;
use super::events::{self, EVENTS_PATH};
use crate::Control;
use crate::shutdown::{STOP_TASKS_PATH, STOP_TASKS_WAIT};
use crate::traffic::MESH_PATH;

/// What all of them begin with; AWS has nothing below it.
pub const OWN_PREFIX: &str = "/gantry/";

/// Answers a call of one of them.
pub(crate) async fn answer(control: &Arc<Control>, head: &Parts, body: &[u8]) -> Response<Answer> {
    match operate(control, head, body).await {
        Ok(response) => response,
        Err(failure) => json(
            StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            &serde_json::json!({"__type": failure.code, "message": failure.message}),
        ),
    }
}

async fn operate(control: &Arc<Control>, head: &Parts, body: &[u8]) -> Result<Response<Answer>, Failure> {
    let caller = control.admit_own(head, body)?;
    match (&head.method, head.uri.path()) {
        (&Method::POST, STOP_TASKS_PATH) => {
            let stopped = control.stop_tasks(STOP_TASKS_WAIT).await;
            let stopped = stopped.map_err(|error| Failure::new(500, "ServerException", error.to_string()))?;
            Ok(json(StatusCode::OK, &stopped))
        }
        (&Method::POST, MESH_PATH) => Ok(json(StatusCode::OK, &control.traffic.counts())),
        (&Method::POST, EVENTS_PATH) => events::answer(control, &caller, body),
        _ => Err(Failure::new(404, "UnknownOperationException", "Gantry has no such path.")),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Answer> {
    let body = Full::new(serde_json::to_vec(body).expect("plain data").into());
    let mut response = Response::new(Either::Left(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
