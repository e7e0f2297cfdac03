//! Bytes from outside never panic a decoder, never keep it long, and never make it allocate out of proportion.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use wire::limits::{MAX_ELEMENTS, MAX_QUERY_NAME_PARTS};
use wire::protocol::{Call, route};
use wire::query::{Dialect, Parameters};
use wire::service::{BUILT, Request, Service};
use wire::{cbor, json, query};

/// Counts what the thread at hand holds, so that tests running beside it do not matter.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: everything is the system's allocator; only sizes are noted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` held at most, beyond what was held before.
fn peak_bytes(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    (PEAK.get() - before) as usize
}

fn operations() -> impl Iterator<Item = (&'static Service, &'static str)> {
    BUILT.into_iter().flat_map(|service| service.operations.iter().map(move |operation| (service, operation.name)))
}

fn read_as_json(service: &Service, operation: &str, body: &[u8]) {
    let mut request = Request::empty(service, operation).unwrap();
    if json::read(body, request.structure_mut()).is_ok() {
        wire::constraint::check(request.structure());
        // What was read can be written and read again, to the same value.
        let mut written = Vec::new();
        json::write(request.structure(), &mut written);
        let mut again = Request::empty(service, operation).unwrap();
        json::read(&written, again.structure_mut()).unwrap();
        assert_eq!(again, request);
    }
}

fn read_as_cbor(service: &Service, operation: &str, body: &[u8]) {
    let mut request = Request::empty(service, operation).unwrap();
    if cbor::read(body, request.structure_mut()).is_ok() {
        wire::constraint::check(request.structure());
        let mut written = Vec::new();
        cbor::write(request.structure(), &mut written);
        let mut again = Request::empty(service, operation).unwrap();
        cbor::read(&written, again.structure_mut()).unwrap();
        // Numbers that are none are equal to nothing, but written alike.
        let mut twice = Vec::new();
        cbor::write(again.structure(), &mut twice);
        assert_eq!(written, twice);
    }
}

fn read_as_query(service: &Service, operation: &str, body: &[u8], dialect: Dialect) {
    let mut parameters = Parameters::default();
    let mut request = Request::empty(service, operation).unwrap();
    if parameters.add(body).is_ok() && query::read(&parameters, dialect, request.structure_mut()).is_ok() {
        wire::constraint::check(request.structure());
    }
}

/// Valid requests to start mutations from.
const SEEDS: [(&str, &str, &str); 4] = [
    (
        "ecs",
        "RegisterTaskDefinition",
        r#"{"family":"web","containerDefinitions":[{"name":"a","image":"nginx","cpu":10,"essential":true,
            "environment":[{"name":"A","value":"\u00fc\ud83d\ude00"}],"dockerLabels":{"k":"v"},
            "portMappings":[{"containerPort":80,"protocol":"tcp"}]}],"volumes":[],"cpu":null,"tags":[{"key":"k"}]}"#,
    ),
    (
        "logs",
        "PutLogEvents",
        r#"{"logGroupName":"g","logStreamName":"s","logEvents":[{"timestamp":1.0e3,"message":"m"}]}"#,
    ),
    (
        "ec2",
        "DescribeVpcs",
        "Action=DescribeVpcs&Filter.1.Name=vpc-id&Filter.1.Value.2=b&Filter.1.Value.1=a+%20&VpcId.7=x&DryRun=true",
    ),
    ("sts", "GetCallerIdentity", "Action=GetCallerIdentity&Version=2011-06-15"),
];

fn mutated() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let splice = (any::<prop::sample::Index>(), 0..4usize, prop::collection::vec(noise(), 0..4));
    (0..SEEDS.len(), prop::collection::vec(splice, 1..4)).prop_map(|(seed, splices)| {
        let mut body = SEEDS[seed].2.as_bytes().to_vec();
        for (at, removed, inserted) in splices {
            let at = at.index(body.len() + 1);
            let end = (at + removed).min(body.len());
            body.splice(at..end, inserted);
        }
        (seed, body)
    })
}

/// Bytes that mean something to some decoder, and bytes that mean nothing.
fn noise() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(b"{}[]\",:\\u0.%&=+-eE1d8\0\xff\xc3".to_vec()), any::<u8>()]
}

/// A whole request, in CBOR, to start mutations from.
fn seed_in_cbor() -> Vec<u8> {
    let mut request = Request::empty(&wire::service::SERVICEDISCOVERY, "RegisterInstance").unwrap();
    let body = br#"{"ServiceId":"srv-1","InstanceId":"i","Attributes":{"AWS_INSTANCE_IPV4":"10.0.0.1","a":"b"}}"#;
    json::read(body, request.structure_mut()).unwrap();
    let mut written = Vec::new();
    cbor::write(request.structure(), &mut written);
    written
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nearly_valid_cbor_is_decoded_or_refused(
        splices in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, prop::collection::vec(any::<u8>(), 0..4)), 1..4),
    ) {
        let mut body = seed_in_cbor();
        for (at, removed, inserted) in splices {
            let at = at.index(body.len() + 1);
            let end = (at + removed).min(body.len());
            body.splice(at..end, inserted);
        }
        read_as_cbor(&wire::service::SERVICEDISCOVERY, "RegisterInstance", &body);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(noise(), 0..200), pick in any::<prop::sample::Index>()) {
        let all: Vec<_> = operations().collect();
        let (service, operation) = all[pick.index(all.len())];
        read_as_json(service, operation, &body);
        read_as_cbor(service, operation, &body);
        read_as_query(service, operation, &body, Dialect::Aws);
        read_as_query(service, operation, &body, Dialect::Ec2);
    }

    #[test]
    fn nearly_valid_requests_are_decoded_or_refused((seed, body) in mutated()) {
        let (name, operation, _) = SEEDS[seed];
        let service = BUILT.into_iter().find(|service| service.name == name).unwrap();
        read_as_json(service, operation, &body);
        read_as_cbor(service, operation, &body);
        read_as_query(service, operation, &body, Dialect::Aws);
        read_as_query(service, operation, &body, Dialect::Ec2);
    }

    #[test]
    fn any_call_is_routed_or_refused_with_4xx(
        target in prop::collection::vec(noise(), 0..60),
        query in ".{0,40}",
        path in "/.{0,40}",
        form in any::<bool>(),
        body in prop::collection::vec(noise(), 0..100),
        scope in prop::option::of("(ecs|ec2|sts|logs|s3|.{0,5})"),
    ) {
        let mut headers = HeaderMap::new();
        if let Ok(target) = HeaderValue::from_bytes(&target) {
            headers.insert("x-amz-target", target);
        }
        if form {
            headers.remove("x-amz-target");
            headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        let call = Call { path: &path, query: &query, headers: &headers, body: &body, scope: scope.as_deref() };
        match route(&call) {
            Ok(routed) => drop(routed.decode(&call)),
            Err(refused) => prop_assert!((400..500).contains(&refused.answer("id").status)),
        }
    }
}

type Work = Box<dyn FnOnce()>;

#[test]
fn hostile_bodies_cost_neither_memory_nor_time() {
    const MIB: usize = 1 << 20;
    let service = |name: &str| BUILT.into_iter().find(|service| service.name == name).unwrap();
    let json = |operation: &'static str, body: String| move || read_as_json(service("ecs"), operation, body.as_bytes());
    let form = |body: String| move || read_as_query(service("ec2"), "DescribeVpcs", body.as_bytes(), Dialect::Ec2);
    let packed = |body: Vec<u8>| move || read_as_cbor(&wire::service::SERVICEDISCOVERY, "CreateService", &body);
    let repeat = |unit: &str| unit.repeat(MIB / unit.len());
    let cases: Vec<(&str, Work)> = vec![
        (
            "many empty structures",
            Box::new(json("RegisterTaskDefinition", format!(r#"{{"containerDefinitions":[{}{{}}]}}"#, repeat("{},")))),
        ),
        ("an unknown deep list", Box::new(json("RunTask", format!(r#"{{"x":{}}}"#, repeat("["))))),
        ("a deep document", Box::new(json("RunTask", repeat(r#"{"overrides":"#)))),
        ("many unknown members", Box::new(json("RunTask", format!("{{{}\"x\":0}}", repeat("\"x\":{\"y\":[0]},"))))),
        ("a long number", Box::new(json("RunTask", format!("{{\"count\":{}}}", repeat("9"))))),
        ("one long string", Box::new(json("RunTask", format!("{{\"taskDefinition\":\"{}\"}}", repeat("a"))))),
        ("a deep CBOR list", Box::new(packed([&[0xa1, 0x61, b'x'][..], &[0x9f; MIB]].concat()))),
        ("many CBOR maps", Box::new(packed([&[0xa1, 0x64][..], b"Tags", &[0x9f], &[0xa0; MIB], &[0xff]].concat()))),
        ("a CBOR text of an absurd length", Box::new(packed(vec![0xa1, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]))),
        ("an absurd position", Box::new(form("VpcId.18446744073709551615=a&VpcId.1000000000=b".into()))),
        ("many parameters", Box::new(form(repeat("VpcId.1=a&")))),
        ("many parts of a name", Box::new(form(repeat("a.")))),
        ("many empty pairs", Box::new(form(repeat("&")))),
        ("many escapes", Box::new(form(format!("VpcId.1={}", repeat("%41"))))),
    ];
    for (what, work) in cases {
        let started = Instant::now();
        let peak = peak_bytes(work);
        assert!(peak < 64 * MIB, "{what} took {} MiB", peak / MIB);
        assert!(started.elapsed() < Duration::from_secs(60), "{what} took {:?}", started.elapsed());
    }
    // The limits are what keeps the first and the ninth case small.
    const { assert!(MAX_ELEMENTS * 2048 < 64 * MIB && MAX_QUERY_NAME_PARTS * 1024 < 64 * MIB) };
}

#[test]
fn patterns_of_the_models_compile_and_names_need_no_escapes() {
    fn visit(schema: &'static wire::schema::Schema, seen: &mut Vec<*const wire::schema::Schema>) -> usize {
        if seen.contains(&std::ptr::from_ref(schema)) {
            return 0;
        }
        seen.push(schema);
        let own = schema.pattern.map_or(0, |pattern| {
            pattern.matches("");
            1
        });
        for member in schema.members() {
            let name = member.wire_name();
            assert_eq!(serde_json::to_string(name).unwrap(), format!("\"{name}\""), "in {}", schema.name);
        }
        let within: usize = match schema.kind {
            wire::schema::Kind::Structure(members) => members.iter().map(|member| visit(member.target, seen)).sum(),
            wire::schema::Kind::List(element) => visit(element.target, seen),
            wire::schema::Kind::Map(key, value) => visit(key.target, seen) + visit(value.target, seen),
            _ => 0,
        };
        own + within
    }
    let mut seen = Vec::new();
    let patterns: usize = BUILT
        .into_iter()
        .flat_map(|service| service.operations)
        .map(|operation| visit(operation.input, &mut seen) + visit(operation.output, &mut seen))
        .sum();
    assert!(patterns >= 10, "only {patterns} patterns were found");
}
