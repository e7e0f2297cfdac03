//! Which service, operation and protocol a request means, and the bytes of its answer: the whole of what an HTTP
//! front needs. A function of headers and body; it reads no clock and checks no signature.
//!
//! ```text
//! route ──Ok──► Routed ── decode ──► Request ──(operation)──► answer │ refuse
//!   └──Err─► Refused ── answer                 Failure ──────────────┘
//! ```
//! The protocol is chosen per request: a `Smithy-Protocol` header means RPC v2 CBOR, an `X-Amz-Target` header means JSON,
//! an `Action` parameter means Query, in the dialect of the service. The service is the one in the credential scope, else
//! the one that the target or path names, else the one with the request's action and version. Requests in a protocol that is not built are refused with 4xx in the
//! nearest one that is, because SDKs repeat what fails with 5xx.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::constraint::{self, Rule, Violation};
use crate::error::{Failure, Malformed};
use crate::query::{self, Parameters};
use crate::schema::{Operation, XmlNamespace};
use crate::service::{self, Request, Service};
use crate::sigv4::{self, Refusal};
use crate::value::Structure;
use crate::{cbor, json, xml};

/// The protocols that are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Json10,
    Json11,
    RpcV2Cbor,
    Query,
    Ec2,
}

/// A request as it came, body included.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// As sent, without the query string.
    pub path: &'a str,
    /// As sent; empty when there is none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The service of the credential scope, when the request claims one.
    pub scope: Option<&'a str>,
}

/// A request that names an operation with shapes.
#[derive(Debug, Clone, Copy)]
pub struct Routed {
    pub service: &'static Service,
    pub operation: &'static Operation,
    pub protocol: Protocol,
}

/// A request that names none, and why.
#[derive(Debug, Clone)]
pub struct Refused {
    pub service: Option<&'static Service>,
    pub protocol: Protocol,
    pub failure: Failure,
}

/// What to send back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Content type and request id among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// Room for the usual answer, so that it is written without growing.
const USUAL_BODY_BYTES: usize = 4096;

const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");
const RPC_V2_CBOR: &str = "rpc-v2-cbor";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// Finds out what a request asks for.
///
/// # Errors
/// [`Refused`] when it asks for nothing that is known or nothing that is built, with a 4xx failure.
pub fn route(call: &Call<'_>) -> Result<Routed, Refused> {
    let scoped = call.scope.and_then(|scope| service::all().find(|service| service.signing_name == scope));
    if let Some(named) = call.headers.get(SMITHY_PROTOCOL) {
        return route_rpc(call, scoped, named);
    }
    if let Some(target) = call.headers.get("x-amz-target") {
        return route_target(call, scoped, &String::from_utf8_lossy(target.as_bytes()));
    }
    let parameters = match parameters(call) {
        Ok(parameters) => parameters,
        Err(error) => {
            let protocol = scoped.map_or(Protocol::Query, first_protocol);
            return Err(Refused { service: scoped, protocol, failure: protocol.malformed(&error) });
        }
    };
    match parameters.get("Action") {
        Some(action) => route_action(scoped, action, parameters.get("Version")),
        None => Err(refuse_path(call, scoped)),
    }
}

fn route_target(call: &Call<'_>, scoped: Option<&'static Service>, target: &str) -> Result<Routed, Refused> {
    let protocol = json_version(call.headers);
    let (prefix, name) = target.rsplit_once('.').unwrap_or(("", target));
    let named = service::all().find(|service| service.target_prefix == Some(prefix));
    let service = scoped.or(named).filter(|service| service.target_prefix == Some(prefix));
    let Some(service) = service else {
        return Err(Refused { service: scoped, protocol, failure: protocol.unknown_operation(target) });
    };
    find_operation(service, protocol, name)
}

fn route_action(scoped: Option<&'static Service>, action: &str, version: Option<&str>) -> Result<Routed, Refused> {
    let Some(service) = scoped.or_else(|| service_by_action(action, version)) else {
        return Err(Refused {
            service: None,
            protocol: Protocol::Query,
            failure: Protocol::Query.unknown_operation(action),
        });
    };
    let spoken = service.protocols.iter().copied().find(|protocol| matches!(protocol, Protocol::Query | Protocol::Ec2));
    let Some(protocol) = spoken else {
        let protocol = Protocol::Query;
        return Err(Refused { service: Some(service), protocol, failure: protocol.unknown_operation(action) });
    };
    find_operation(service, protocol, action)
}

/// Without a credential scope, the version tells services apart, and the action those that share one.
fn service_by_action(action: &str, version: Option<&str>) -> Option<&'static Service> {
    let speaks_query = |service: &&'static Service| !service.protocols.contains(&Protocol::Json11);
    let same_version = |service: &&'static Service| version.is_none_or(|version| service.api_version == version);
    let candidates = || service::all().filter(speaks_query).filter(same_version);
    candidates().find(|service| service.knows(action)).or_else(|| version.and_then(|_| candidates().next()))
}

fn find_operation(service: &'static Service, protocol: Protocol, name: &str) -> Result<Routed, Refused> {
    if let Some(operation) = service.operation(name) {
        return Ok(Routed { service, operation, protocol });
    }
    let failure = if !service.is_built() || service.knows(name) {
        protocol.not_built(service, name)
    } else {
        protocol.unknown_operation(name)
    };
    Err(Refused { service: Some(service), protocol, failure })
}

/// `/service/<target prefix>/operation/<name>`.
fn route_rpc(call: &Call<'_>, scoped: Option<&'static Service>, named: &HeaderValue) -> Result<Routed, Refused> {
    let protocol = Protocol::RpcV2Cbor;
    let refuse = |service, failure| Err(Refused { service, protocol, failure });
    if named != RPC_V2_CBOR {
        let message = "Of Smithy's protocols Gantry speaks rpc-v2-cbor only.";
        return refuse(scoped, Failure::new(400, protocol.not_built_code(), message));
    }
    let mut parts = call.path.trim_start_matches('/').split('/');
    let (Some("service"), Some(prefix), Some("operation"), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refuse(scoped, protocol.unknown_operation(call.path));
    };
    let found = service::all().find(|service| service.target_prefix == Some(prefix));
    let Some(service) = scoped.or(found).filter(|service| service.target_prefix == Some(prefix)) else {
        return refuse(scoped, protocol.unknown_operation(name));
    };
    if service.is_built() && !service.protocols.contains(&protocol) {
        let message = format!("{} does not speak Smithy RPC v2; use a client that speaks its JSON.", service.name);
        return refuse(Some(service), Failure::new(400, protocol.not_built_code(), message));
    }
    find_operation(service, protocol, name)
}

fn refuse_path(call: &Call<'_>, scoped: Option<&'static Service>) -> Refused {
    let protocol = scoped.map_or(Protocol::Json11, first_protocol);
    let failure = match scoped {
        Some(service) if !service.is_built() => protocol.not_built(service, call.path),
        _ => match protocol {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => protocol.unknown_operation(""),
            Protocol::Query => Failure::new(400, "MissingAction", "Missing Action"),
            Protocol::Ec2 => Failure::new(400, "MissingParameter", "The request must contain the parameter Action"),
        },
    };
    Refused { service: scoped, protocol, failure }
}

fn first_protocol(service: &'static Service) -> Protocol {
    service.protocols[0]
}

fn json_version(headers: &HeaderMap) -> Protocol {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_type.starts_with(b"application/x-amz-json-1.0") { Protocol::Json10 } else { Protocol::Json11 }
}

/// The parameters of the query string, and of the body when it is a form.
fn parameters(call: &Call<'_>) -> Result<Parameters, Malformed> {
    let mut parameters = Parameters::default();
    parameters.add(call.query.as_bytes())?;
    let content_type = call.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if content_type.starts_with(b"application/x-www-form-urlencoded") {
        parameters.add(call.body)?;
    }
    Ok(parameters)
}

impl Routed {
    /// The request, decoded and within the constraints of the model (see the crate's documentation for what that
    /// promises to an operation).
    ///
    /// # Errors
    /// A 4xx [`Failure`] to be [refused](Routed::refuse).
    pub fn decode(&self, call: &Call<'_>) -> Result<Request, Failure> {
        let mut request =
            Request::empty(self.service, self.operation.name).expect("a routed operation has generated shapes");
        let structure = request.structure_mut();
        let read = match self.protocol {
            Protocol::Json10 | Protocol::Json11 => json::read(call.body, structure),
            Protocol::RpcV2Cbor => cbor::read(call.body, structure),
            Protocol::Query => parameters(call).and_then(|given| query::read(&given, query::Dialect::Aws, structure)),
            Protocol::Ec2 => parameters(call).and_then(|given| query::read(&given, query::Dialect::Ec2, structure)),
        };
        let missing = read.map_err(|error| self.protocol.malformed(&error))?;
        let words = &self.service.words;
        let mut violations: Vec<Violation> = missing
            .iter()
            .filter(|missing| !(words.missing_reads_as_empty && missing.has_empty_form()))
            .map(Violation::from)
            .collect();
        violations.extend(constraint::check(request.structure()).into_iter().filter(|violation| {
            // What was missing stands as an empty value, which is not what is wrong with it.
            !missing.iter().any(|missing| missing.path == violation.path)
        }));
        match violations.is_empty() {
            true => Ok(request),
            false => Err(self.invalid(&violations)),
        }
    }

    /// The answer to a request that succeeded.
    pub fn answer(&self, response: &dyn Structure, request_id: &str) -> Answer {
        let body = match self.protocol {
            Protocol::Json10 | Protocol::Json11 => {
                let mut body = Vec::with_capacity(USUAL_BODY_BYTES);
                json::write(response, &mut body);
                body
            }
            Protocol::RpcV2Cbor => {
                let mut body = Vec::with_capacity(USUAL_BODY_BYTES);
                cbor::write(response, &mut body);
                body
            }
            Protocol::Query => query_body(self.service, self.operation, response, request_id),
            Protocol::Ec2 => ec2_body(self.service, self.operation, response, request_id),
        };
        Answer { status: 200, headers: headers(self.protocol, request_id), body }
    }

    /// The answer to a request that failed.
    pub fn refuse(&self, failure: &Failure, request_id: &str) -> Answer {
        failure_answer(self.protocol, Some(self.service), failure, request_id)
    }

    /// Violated constraints, in the service's words.
    pub fn invalid(&self, violations: &[Violation]) -> Failure {
        let words = &self.service.words;
        let missing = violations.iter().find(|violation| violation.rule == Rule::Required);
        match (self.protocol, missing) {
            (Protocol::Ec2, Some(missing)) => {
                let message = format!("The request must contain the parameter {}", missing.path);
                Failure::new(400, words.missing, message)
            }
            (_, Some(_)) => Failure::new(400, words.missing, constraint::describe(violations)),
            (_, None) => Failure::new(400, words.invalid, constraint::describe(violations)),
        }
    }

    /// Too many requests.
    pub fn throttled(&self) -> Failure {
        let (status, code) = self.service.words.throttled;
        let message = if self.protocol == Protocol::Ec2 { "Request limit exceeded." } else { "Rate exceeded" };
        Failure::new(status, code, message)
    }

    /// A fault of ours; what it was belongs into our log, not into the answer.
    pub fn internal(&self) -> Failure {
        Failure::new(500, self.service.words.internal, "The request processing has failed because of an unknown error.")
    }

    /// An operation whose shapes exist but that nothing answers yet.
    pub fn not_built(&self) -> Failure {
        self.protocol.not_built(self.service, self.operation.name)
    }
}

impl Refused {
    pub fn answer(&self, request_id: &str) -> Answer {
        failure_answer(self.protocol, self.service, &self.failure, request_id)
    }
}

impl Protocol {
    /// Which spelling of authentication failures its clients expect.
    pub fn dialect(self) -> sigv4::Dialect {
        match self {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => sigv4::Dialect::Json,
            Protocol::Query => sigv4::Dialect::Query,
            Protocol::Ec2 => sigv4::Dialect::Ec2,
        }
    }

    /// A request whose signature was refused.
    pub fn unauthenticated(self, refusal: &Refusal) -> Failure {
        let (code, status) = refusal.code(self.dialect());
        Failure::new(status.as_u16(), code, refusal.message(self.dialect()))
    }

    /// A body that does not decode.
    pub fn malformed(self, error: &Malformed) -> Failure {
        let code = match self {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => "SerializationException",
            Protocol::Query => "MalformedInput",
            Protocol::Ec2 => "InvalidParameterValue",
        };
        Failure::new(400, code, error.to_string())
    }

    /// A body beyond what the endpoint accepts.
    pub fn too_large(self, limit_bytes: usize) -> Failure {
        let code = match self {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => "RequestEntityTooLargeException",
            Protocol::Query | Protocol::Ec2 => "RequestEntityTooLarge",
        };
        Failure::new(413, code, format!("The request body is larger than {limit_bytes} bytes."))
    }

    /// An operation that AWS's service does not have either.
    pub fn unknown_operation(self, name: &str) -> Failure {
        let shown: String = name.chars().take(128).collect();
        match self {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor if shown.is_empty() => {
                Failure::new(400, "UnknownOperationException", "The request names no operation.")
            }
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => {
                Failure::new(400, "UnknownOperationException", format!("Unknown operation: {shown}"))
            }
            Protocol::Query | Protocol::Ec2 => {
                Failure::new(400, "InvalidAction", format!("The action {shown} is not valid for this web service."))
            }
        }
    }

    /// An operation that AWS has and this endpoint does not.
    pub fn not_built(self, service: &Service, operation: &str) -> Failure {
        let shown: String = operation.chars().take(128).collect();
        let message = format!(
            "Gantry does not serve {}:{shown} yet. docs/api-coverage.md lists the operations that it serves.",
            service.name
        );
        Failure::new(400, self.not_built_code(), message)
    }

    fn not_built_code(self) -> &'static str {
        match self {
            Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => "UnsupportedOperationException",
            Protocol::Query | Protocol::Ec2 => "UnsupportedOperation",
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Protocol::Json10 => "application/x-amz-json-1.0",
            Protocol::Json11 => "application/x-amz-json-1.1",
            Protocol::RpcV2Cbor => "application/cbor",
            Protocol::Query => "text/xml",
            Protocol::Ec2 => "text/xml;charset=UTF-8",
        })
    }
}

fn headers(protocol: Protocol, request_id: &str) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(header::CONTENT_TYPE, protocol.content_type())];
    if protocol == Protocol::RpcV2Cbor {
        headers.push((SMITHY_PROTOCOL, HeaderValue::from_static(RPC_V2_CBOR)));
    }
    headers.extend(HeaderValue::from_str(request_id).ok().map(|id| (REQUEST_ID, id)));
    headers
}

fn failure_answer(
    protocol: Protocol,
    service: Option<&'static Service>,
    failure: &Failure,
    request_id: &str,
) -> Answer {
    let mut headers = headers(protocol, request_id);
    let mut status = failure.status;
    let body = match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => {
            // The model's status is the one of the Query protocol.
            if service.is_some_and(|service| service.query_compatible) && failure.shape.is_some() {
                status = if failure.is_senders() { 400 } else { 500 };
                headers.extend(query_error(failure).map(|error| (QUERY_ERROR, error)));
            }
            if protocol == Protocol::RpcV2Cbor { cbor_failure(failure) } else { json_failure(failure) }
        }
        Protocol::Query => query_failure(service, failure, request_id),
        Protocol::Ec2 => ec2_failure(failure, request_id),
    };
    Answer { status, headers, body }
}

/// Tells clients of a service that used to speak Query the code they knew, where it is another one.
fn query_error(failure: &Failure) -> Option<HeaderValue> {
    if failure.query_code() == failure.code {
        return None;
    }
    let fault = if failure.is_senders() { "Sender" } else { "Receiver" };
    HeaderValue::from_str(&format!("{};{fault}", failure.query_code())).ok()
}

fn query_body(service: &Service, operation: &Operation, response: &dyn Structure, request_id: &str) -> Vec<u8> {
    let mut document = xml::Document::new();
    document.element(&format!("{}Response", operation.name), namespace(service), |document| {
        match operation.result_wrapper {
            Some(wrapper) => document.element(wrapper, None, |document| document.members(response)),
            None => document.members(response),
        }
        document.element("ResponseMetadata", None, |document| document.text_element("RequestId", request_id));
    });
    document.finish()
}

fn ec2_body(service: &Service, operation: &Operation, response: &dyn Structure, request_id: &str) -> Vec<u8> {
    let mut document = xml::Document::new();
    document.element(&format!("{}Response", operation.name), namespace(service), |document| {
        document.text_element("requestId", request_id);
        document.members(response);
    });
    document.finish()
}

fn namespace(service: &Service) -> Option<XmlNamespace> {
    service.xml_namespace.map(|uri| XmlNamespace { uri, prefix: None })
}

fn json_failure(failure: &Failure) -> Vec<u8> {
    let mut body = b"{\"__type\":".to_vec();
    json::write_string(&failure.code, &mut body);
    let said_by_shape = failure.shape.as_ref().is_some_and(|shape| shape.says_message());
    if !said_by_shape && !failure.message.is_empty() {
        body.extend_from_slice(b",\"message\":");
        json::write_string(&failure.message, &mut body);
    }
    if let Some(shape) = &failure.shape {
        json::write_members(shape.as_structure(), true, &mut body);
    }
    body.push(b'}');
    body
}

fn cbor_failure(failure: &Failure) -> Vec<u8> {
    let mut texts = vec![("__type", failure.code.as_str())];
    let said_by_shape = failure.shape.as_ref().is_some_and(|shape| shape.says_message());
    if !said_by_shape && !failure.message.is_empty() {
        texts.push(("message", &failure.message));
    }
    let mut body = Vec::new();
    match &failure.shape {
        Some(shape) => cbor::write_with(&texts, shape.as_structure(), &mut body),
        None => cbor::write_texts(&texts, &mut body),
    }
    body
}

fn query_failure(service: Option<&'static Service>, failure: &Failure, request_id: &str) -> Vec<u8> {
    let mut document = xml::Document::new();
    document.element("ErrorResponse", service.and_then(namespace), |document| {
        document.element("Error", None, |document| {
            document.text_element("Type", if failure.is_senders() { "Sender" } else { "Receiver" });
            error_members(document, failure);
        });
        document.text_element("RequestId", request_id);
    });
    document.finish()
}

fn ec2_failure(failure: &Failure, request_id: &str) -> Vec<u8> {
    let mut document = xml::Document::new();
    document.element("Response", None, |document| {
        document.element("Errors", None, |document| {
            document.element("Error", None, |document| error_members(document, failure));
        });
        document.text_element("RequestID", request_id);
    });
    document.finish()
}

/// `Message` is written by us: shapes spell it with a small letter, and XML clients look for the capital.
fn error_members(document: &mut xml::Document, failure: &Failure) {
    document.text_element("Code", failure.query_code());
    if !failure.message.is_empty() {
        document.text_element("Message", &failure.message);
    }
    if let Some(shape) = &failure.shape {
        document.members_except(shape.as_structure(), "message");
    }
}
