//! The protocol cases of botocore's source distribution (see `golden/NOTICE`), run from the server's side: what the
//! client serialised is decoded and compared with its parameters, and what it parsed is encoded and compared with the
//! answer. Shapes are those of each case, built at run time; the codecs are the ones that serve.

#[path = "golden/canon.rs"]
mod canon;
#[path = "golden/dynamic.rs"]
mod dynamic;
#[path = "golden/model.rs"]
mod model;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dynamic::Dynamic;
use model::{Shapes, leak, text};
use serde_json::Value;
use wire::error::Failure;
use wire::protocol::{Answer, Protocol, Routed};
use wire::query::{self, Parameters};
use wire::schema::{Operation, Schema};
use wire::service::{STS, Service};
use wire::{cbor, json};

const COMPRESSED: &str = "the case has no body: the client compresses it, and the HTTP front would inflate it";
const FILLED_IN: &str = "the client makes the token up, so what is sent is not what was given";
const NOT_SENT: &str = "an empty list or map is not sent at all";
const OFFSET: &str = "a client must read offsets, a server writes UTC";
const LENIENT: &str = "a client must overlook it, a server never writes it";
const ELSEWHERE: &str = "one of the places in which a client must look for the type; a server writes it into `__type`";
const UNNAMED: &str = "the answer has a message that the case's parameters do not have";

/// Cases that a server cannot be held to, and why.
const NOT_A_SERVERS: &[(&str, &str)] = &[
    ("SDKAppliedContentEncoding_awsJson1_0", COMPRESSED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0", COMPRESSED),
    ("SDKAppliedContentEncoding_awsJson1_1", COMPRESSED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1", COMPRESSED),
    ("SDKAppliedContentEncoding_awsQuery", COMPRESSED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery", COMPRESSED),
    ("SDKAppliedContentEncoding_ec2Query", COMPRESSED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_ec2Query", COMPRESSED),
    ("QueryProtocolIdempotencyTokenAutoFill", FILLED_IN),
    ("Ec2ProtocolIdempotencyTokenAutoFill", FILLED_IN),
    ("QueryEmptyQueryMaps", NOT_SENT),
    ("Ec2EmptyQueryLists", NOT_SENT),
    ("AwsJson11DateTimeWithNegativeOffset", OFFSET),
    ("AwsJson11DateTimeWithPositiveOffset", OFFSET),
    ("AwsQueryDateTimeWithNegativeOffset", OFFSET),
    ("AwsQueryDateTimeWithPositiveOffset", OFFSET),
    ("Ec2QueryDateTimeWithNegativeOffset", OFFSET),
    ("Ec2QueryDateTimeWithPositiveOffset", OFFSET),
    ("handles_unexpected_json_output", LENIENT),
    ("AwsJson10HandlesUnexpectedJsonOutput", LENIENT),
    ("AwsJson11DeserializeIgnoreType", LENIENT),
    ("AwsJson10DeserializeIgnoreType", LENIENT),
    ("AwsJson11StructuresDontDeserializeNullValues", LENIENT),
    ("AwsJson10DeserializeAllowNulls", LENIENT),
    ("AwsJson11FooErrorUsingXAmznErrorType", ELSEWHERE),
    ("AwsJson11FooErrorUsingXAmznErrorTypeWithUri", ELSEWHERE),
    ("AwsJson11FooErrorUsingXAmznErrorTypeWithUriAndNamespace", ELSEWHERE),
    ("AwsJson11FooErrorUsingCode", ELSEWHERE),
    ("AwsJson11FooErrorUsingCodeAndNamespace", ELSEWHERE),
    ("AwsJson11FooErrorUsingCodeUriAndNamespace", ELSEWHERE),
    ("AwsJson10FooErrorUsingXAmznErrorType", ELSEWHERE),
    ("AwsJson10FooErrorUsingXAmznErrorTypeWithUri", ELSEWHERE),
    ("AwsJson10FooErrorUsingXAmznErrorTypeWithUriAndNamespace", ELSEWHERE),
    ("AwsJson10FooErrorUsingCode", ELSEWHERE),
    ("AwsJson10FooErrorUsingCodeAndNamespace", ELSEWHERE),
    ("AwsJson10FooErrorUsingCodeUriAndNamespace", ELSEWHERE),
    ("AwsJson11FooErrorWithDunderTypeUriAndNamespace", ELSEWHERE),
    ("AwsJson10FooErrorWithDunderTypeUriAndNamespace", ELSEWHERE),
    ("Ec2ComplexError", UNNAMED),
    ("RpcV2CborDeserializesDenseSetMapAndSkipsNull", LENIENT),
    ("RpcV2CborClientDoesntDeserializeNullStructureValues", LENIENT),
    ("RpcV2CborExtraFieldsInTheBodyShouldBeSkippedByClients", LENIENT),
    ("RpcV2CborPayloadWithUnsetUnion", LENIENT),
];

const FILES: [&str; 8] = [
    "json",
    "json_1_0",
    "json_1_0-query-compatible",
    "query",
    "ec2",
    "smithy-rpc-v2-cbor",
    "smithy-rpc-v2-cbor-query-compatible",
    "smithy-rpc-v2-cbor-non-query-compatible",
];

struct Suite {
    protocol: Protocol,
    model: Value,
}

fn suites(direction: &str, file: &str) -> Vec<Suite> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(direction).join(format!("{file}.json"));
    let suites: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let protocol =
        |model: &Value| match (model["metadata"]["protocol"].as_str(), model["metadata"]["jsonVersion"].as_str()) {
            (Some("json"), Some("1.0")) => Protocol::Json10,
            (Some("json"), _) => Protocol::Json11,
            (Some("smithy-rpc-v2-cbor"), _) => Protocol::RpcV2Cbor,
            (Some("query"), _) => Protocol::Query,
            (Some("ec2"), _) => Protocol::Ec2,
            other => panic!("unknown protocol {other:?}"),
        };
    suites.as_array().unwrap().iter().map(|model| Suite { protocol: protocol(model), model: model.clone() }).collect()
}

fn input(suite: &Suite, case: &Value) -> (String, String) {
    let mut shapes = Shapes::new(&suite.model["shapes"]);
    let schema = shapes.target(&case["given"]["input"]);
    let mut request = Dynamic::new(schema);
    let body = &body(suite, &case["serialized"]);
    let read = match suite.protocol {
        Protocol::Json10 | Protocol::Json11 => json::read(body, &mut request),
        Protocol::RpcV2Cbor => cbor::read(body, &mut request),
        Protocol::Query => query::read(&form(body), query::Dialect::Aws, &mut request),
        Protocol::Ec2 => query::read(&form(body), query::Dialect::Ec2, &mut request),
    };
    let found = match read {
        Ok(_) => request.shown(),
        Err(error) => error.to_string(),
    };
    (found, Dynamic::from_params(schema, &case["params"]).shown())
}

/// Bodies that are no text stand there as base64.
fn body(suite: &Suite, message: &Value) -> Vec<u8> {
    let text = message["body"].as_str().unwrap_or_default();
    match suite.protocol {
        Protocol::RpcV2Cbor => STANDARD.decode(text).expect("a body is base64"),
        _ => text.as_bytes().to_vec(),
    }
}

fn form(body: &[u8]) -> Parameters {
    let mut parameters = Parameters::default();
    parameters.add(body).unwrap();
    parameters
}

fn output(suite: &Suite, case: &Value) -> (String, String) {
    let mut shapes = Shapes::new(&suite.model["shapes"]);
    let routed = routed(suite, case, &mut shapes);
    let answer = if case["error"].is_object() {
        routed.refuse(&failure(case, &mut shapes), "requestid")
    } else {
        routed.answer(&Dynamic::from_params(routed.operation.output, &case["result"]), "requestid")
    };
    let expected = &case["response"];
    let body = &body(suite, expected);
    let canon = |found: &[u8]| match suite.protocol {
        Protocol::Json10 | Protocol::Json11 => canon::json(str(found)),
        Protocol::RpcV2Cbor => canon::cbor(found),
        // Clients do not look at the body of an answer without members, so these cases have none.
        Protocol::Query | Protocol::Ec2 if body.is_empty() => String::new(),
        Protocol::Query | Protocol::Ec2 => canon::xml(str(found), has_maps(&suite.model)),
    };
    let found = format!("{} {} {}", answer.status, query_error(&answer), canon(&answer.body));
    let query_error = expected["headers"]["x-amzn-query-error"].as_str().unwrap_or_default();
    (found, format!("{} {query_error} {}", expected["status_code"], canon(body)))
}

fn routed(suite: &Suite, case: &Value, shapes: &mut Shapes<'_>) -> Routed {
    let metadata = &suite.model["metadata"];
    let name = text(case["given"]["name"].as_str().unwrap());
    let operation: &'static Operation = leak(Operation {
        name,
        input: leak(Schema::structure("Nothing", &[])),
        output: shapes.target(&case["given"]["output"]),
        // The cases leave it to the runner to say so.
        result_wrapper: case["given"]["output"].is_object().then(|| text(&format!("{name}Result"))),
        errors: &[],
        readonly: true,
        pagination: None,
    });
    let service: &'static Service = leak(Service {
        // The cases' error documents stand in no namespace.
        xml_namespace: (!case["error"].is_object()).then_some("https://example.com/"),
        query_compatible: metadata["awsQueryCompatible"].is_object(),
        operations: &[],
        ..STS
    });
    Routed { service, operation, protocol: suite.protocol }
}

fn failure(case: &Value, shapes: &mut Shapes<'_>) -> Failure {
    let shape = Dynamic::from_params(shapes.target(&case["given"]["errors"][0]), &case["error"]);
    Failure::modelled(case["errorMessage"].as_str().unwrap_or_default().to_owned(), Box::new(shape))
}

fn query_error(answer: &Answer) -> &str {
    let header = answer.headers.iter().find(|(name, _)| name == "x-amzn-query-error");
    header.map(|(_, value)| value.to_str().unwrap()).unwrap_or_default()
}

fn has_maps(model: &Value) -> bool {
    model["shapes"].as_object().unwrap().values().any(|shape| shape["type"] == "map")
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs every case of a direction and asserts how many there are that a server can be held to, and how many
/// it cannot.
fn check(direction: &str, expected: (usize, usize), run: impl Fn(&Suite, &Value) -> (String, String)) {
    let mut held = 0;
    let mut failed = Vec::new();
    let mut skipped = 0;
    for suite in FILES.iter().flat_map(|file| suites(direction, file)) {
        for case in suite.model["cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            if NOT_A_SERVERS.iter().any(|(name, _)| *name == id) {
                skipped += 1;
                continue;
            }
            let (found, expected) = run(&suite, case);
            held += 1;
            if found != expected {
                failed.push(format!("{id}\n   found: {found}\nexpected: {expected}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {held} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!((held, skipped), expected, "another number of cases than was counted");
}

#[test]
fn requests_are_decoded() {
    check("input", (148, 12), input);
}

#[test]
fn answers_are_encoded() {
    check("output", (165, 31), output);
}
