//! The path of every AWS call, from a whole HTTP request to the whole answer.
//!
//! ```text
//! route ─▶ authenticate ─▶ decode ─▶ throttle ─▶ operation ─▶ encode
//!   └──────────┴──────────────┴─────────┴────────────┴─▶ refusal, in the protocol of the request
//! ```
//! Rules that must hold:
//! - Who calls is settled first, also when the operation is unknown; of a stranger's body nothing is decoded but a form's
//!   parameters, which name the operation.
//! - Reads see what is durable; an answer to a write leaves only when it is.
//! - A panic ends one call, not the server, and leaves nothing of that call behind.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Request, Response, header};
use store::WriteError;
use wire::error::Failure;
use wire::protocol::{self, Answer, Call, Protocol, Refused, Routed};
use wire::{service, sigv4};

use crate::serve::http::BodyRefused;
use crate::{Auth, Caller, Control, Cx, acm, ec2, ecs, elbv2, logs, servicediscovery, sts};

impl Control {
    /// Answers one call. The `host` header must be there, since signatures cover it.
    pub async fn call(self: &Arc<Self>, request: Request<Bytes>) -> Response<Bytes> {
        let request_id = self.new_uuid();
        let (head, body) = request.into_parts();
        let answer = match self.admit(&head, &body) {
            Ok(admitted) => self.run(admitted, &request_id).await,
            Err(refused) => refused.answer(&request_id),
        };
        respond(answer)
    }

    /// Answers a request whose body was not taken in.
    pub(crate) fn refuse_body(&self, head: &Parts, refused: BodyRefused) -> Response<Bytes> {
        let protocol = match protocol::route(&call_of(head, b"", None)) {
            Ok(routed) => routed.protocol,
            Err(refused) => refused.protocol,
        };
        let failure = match refused {
            BodyRefused::TooLarge { limit } => protocol.too_large(limit),
            BodyRefused::TooSlow => Failure::new(408, "RequestTimeout", "The request body did not come in time."),
            BodyRefused::Broken => Failure::new(400, "IncompleteBody", "The request body ended too early."),
        };
        respond(Refused { service: None, protocol, failure }.answer(&self.new_uuid()))
    }

    /// Settles who calls one of gantry's own paths, which are of no AWS service.
    pub(crate) fn admit_own(&self, head: &Parts, body: &[u8]) -> Result<Caller, Failure> {
        let protocol = Protocol::Json11;
        let body_sha256 = sigv4::hash_body(body);
        let signed = signed_of(head, &body_sha256);
        self.refuse_browsers(head, protocol)?;
        let claim = sigv4::read_claim(&signed);
        self.authenticate(&signed, claim, None).map_err(|refusal| protocol.unauthenticated(&refusal))
    }

    /// Settles what is asked for, by whom, and whether it may go on.
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<Admitted, Refused> {
        let body_sha256 = sigv4::hash_body(body);
        let signed = signed_of(head, &body_sha256);
        let claim = sigv4::read_claim(&signed);
        let scope = claim.as_ref().ok().map(|claim| claim.scope.service.clone());
        let call = call_of(head, body, scope.as_deref());
        let routed = protocol::route(&call);
        let (service, protocol) = match &routed {
            Ok(routed) => (Some(routed.service), routed.protocol),
            Err(refused) => (refused.service, refused.protocol),
        };
        let refuse = |failure| Refused { service, protocol, failure };
        self.refuse_browsers(head, protocol).map_err(refuse)?;
        let caller =
            self.authenticate(&signed, claim, service).map_err(|refusal| refuse(protocol.unauthenticated(&refusal)))?;
        let routed = routed?;
        let operation = routed.operation.name;
        if self.config.throttle && !self.throttle.admit(&caller.scope, routed.service.name, operation, self.now()) {
            return Err(refuse(routed.throttled()));
        }
        let request = routed.decode(&call).map_err(refuse)?;
        Ok(Admitted { routed, caller, request })
    }

    /// Without authentication, any page that a browser shows could call us on its visitor's behalf.
    fn refuse_browsers(&self, head: &Parts, protocol: Protocol) -> Result<(), Failure> {
        if self.config.auth == Auth::Required || !head.headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let has_xml = matches!(protocol, Protocol::Query | Protocol::Ec2);
        let code = if has_xml { "AccessDenied" } else { "AccessDeniedException" };
        Err(Failure::new(403, code, "Requests from web pages are refused while authentication is off."))
    }

    async fn run(self: &Arc<Self>, admitted: Admitted, request_id: &str) -> Answer {
        let Admitted { routed, caller, request } = admitted;
        let failure = match contain(&routed, self.operate(&routed, &caller, request, request_id)).await {
            Ok(answer) => return answer,
            Err(failure) => failure,
        };
        if failure.status >= 500 {
            let (service, operation) = (routed.service.name, routed.operation.name);
            tracing::error!(
                request_id,
                service,
                operation,
                code = failure.code,
                reason = failure.message,
                "a call failed"
            );
        }
        routed.refuse(&failure, request_id)
    }

    async fn operate(
        self: &Arc<Self>,
        routed: &Routed,
        caller: &Caller,
        request: service::Request,
        request_id: &str,
    ) -> Result<Answer, Failure> {
        Ok(match request {
            service::Request::Ecs(request) => {
                routed.answer(self.call_ecs(caller, request).await?.structure(), request_id)
            }
            service::Request::Logs(request) => {
                routed.answer(logs::call(self, caller, request).await?.structure(), request_id)
            }
            service::Request::Sts(request) => routed.answer(sts::dispatch(caller, request)?.structure(), request_id),
            service::Request::Elbv2(request) => {
                routed.answer(self.call_elbv2(caller, request).await?.structure(), request_id)
            }
            service::Request::Acm(request) => {
                routed.answer(self.call_acm(caller, request).await?.structure(), request_id)
            }
            service::Request::Servicediscovery(request) => {
                routed.answer(self.call_servicediscovery(caller, request).await?.structure(), request_id)
            }
            service::Request::Ec2(request) => {
                routed.answer(self.call_ec2(caller, request).await?.structure(), request_id)
            }
        })
    }

    /// One ECS call by its types, as the HTTP path makes it after authentication.
    ///
    /// # Errors
    /// The operation's own, or `ServerException` when its changes cannot be made durable.
    pub async fn call_ecs(
        &self,
        caller: &Caller,
        request: wire::ecs::Request,
    ) -> Result<wire::ecs::Response, wire::ecs::Error> {
        let reads = is_read(request.operation());
        let operate = |cx: &mut Cx<'_>| ecs::dispatch(cx, request);
        if reads {
            return self.read(caller, operate);
        }
        self.write(caller, operate).await.map_err(|error| match error {
            WriteError::Refused(error) => error,
            WriteError::Log(error) => wire::ecs::Error::server(error.to_string()),
        })
    }

    /// As [`call_ecs`](Self::call_ecs), for Cloud Map.
    ///
    /// # Errors
    /// The operation's own, or `InternalFailure` when its changes cannot be made durable.
    pub async fn call_servicediscovery(
        &self,
        caller: &Caller,
        request: wire::servicediscovery::Request,
    ) -> Result<wire::servicediscovery::Response, wire::servicediscovery::Error> {
        let reads = is_read(request.operation());
        let operate = |cx: &mut Cx<'_>| servicediscovery::dispatch(cx, request);
        if reads {
            return self.read(caller, operate);
        }
        self.write(caller, operate).await.map_err(|error| match error {
            WriteError::Refused(error) => error,
            WriteError::Log(error) => wire::servicediscovery::Error::other(500, "InternalFailure", error.to_string()),
        })
    }

    /// As [`call_ecs`](Self::call_ecs), for Elastic Load Balancing.
    ///
    /// # Errors
    /// The operation's own, or `InternalFailure` when its changes cannot be made durable.
    pub async fn call_elbv2(
        &self,
        caller: &Caller,
        request: wire::elbv2::Request,
    ) -> Result<wire::elbv2::Response, wire::elbv2::Error> {
        let reads = is_read(request.operation());
        let operate = |cx: &mut Cx<'_>| elbv2::dispatch(cx, request);
        if reads {
            return self.read(caller, operate);
        }
        self.write(caller, operate).await.map_err(|error| match error {
            WriteError::Refused(error) => error,
            WriteError::Log(error) => wire::elbv2::Error::other(500, "InternalFailure", error.to_string()),
        })
    }

    /// As [`call_ecs`](Self::call_ecs), for AWS Certificate Manager.
    ///
    /// # Errors
    /// The operation's own, or `InternalFailure` when its changes cannot be made durable.
    pub async fn call_acm(
        &self,
        caller: &Caller,
        request: wire::acm::Request,
    ) -> Result<wire::acm::Response, wire::acm::Error> {
        let reads = is_read(request.operation());
        let operate = |cx: &mut Cx<'_>| acm::dispatch(cx, request);
        if reads {
            return self.read(caller, operate);
        }
        self.write(caller, operate).await.map_err(|error| match error {
            WriteError::Refused(error) => error,
            WriteError::Log(error) => wire::acm::Error::other(500, "InternalFailure", error.to_string()),
        })
    }

    /// As [`call_ecs`](Self::call_ecs), for EC2.
    ///
    /// # Errors
    /// The operation's own, or `InternalError` when its changes cannot be made durable.
    pub async fn call_ec2(
        &self,
        caller: &Caller,
        request: wire::ec2::Request,
    ) -> Result<wire::ec2::Response, wire::ec2::Error> {
        let reads = is_read(request.operation());
        let operate = |cx: &mut Cx<'_>| ec2::dispatch(cx, request);
        if reads {
            return self.read(caller, operate);
        }
        self.write(caller, operate).await.map_err(|error| match error {
            WriteError::Refused(error) => error,
            WriteError::Log(error) => wire::ec2::Error::other(500, "InternalError", error.to_string()),
        })
    }
}

/// A call that may go on.
struct Admitted {
    routed: Routed,
    caller: Caller,
    request: service::Request,
}

/// Makes a panic of one call that call's failure. What it had not committed is gone with its `Cx`.
async fn contain<T>(routed: &Routed, operation: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    AssertUnwindSafe(operation).catch_unwind().await.unwrap_or_else(|_panic| Err(routed.internal()))
}

fn signed_of<'a>(head: &'a Parts, body_sha256: &'a [u8; 32]) -> sigv4::Request<'a> {
    sigv4::Request {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body_sha256,
    }
}

fn call_of<'a>(head: &'a Parts, body: &'a [u8], scope: Option<&'a str>) -> Call<'a> {
    Call { path: head.uri.path(), query: head.uri.query().unwrap_or_default(), headers: &head.headers, body, scope }
}

/// AWS's names tell: what describes, lists or gets changes nothing.
fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get", "Discover"].iter().any(|verb| operation.starts_with(verb))
}

fn respond(answer: Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(answer.body));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().extend(answer.headers);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_reads() {
        let cases = [("DescribeTasks", true), ("ListTasks", true), ("GetTaskProtection", true), ("RunTask", false)];
        for (operation, expected) in cases {
            assert_eq!(is_read(operation), expected, "{operation}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_one_calls_failure() {
        let routed = Routed {
            service: &service::ECS,
            operation: service::ECS.operation("RunTask").unwrap(),
            protocol: Protocol::Json11,
        };
        let failure = contain::<()>(&routed, async { panic!("a fault of ours") }).await.unwrap_err();
        assert_eq!((failure.status, failure.code.as_str()), (500, "ServerException"));
        assert!(!failure.message.contains("a fault of ours"), "what went wrong is not the caller's business");
    }
}
