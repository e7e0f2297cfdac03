//! What the load balancer reads of a request by itself: framing, host, headers of one hop, cookies, trace ids, the wildcards
//! of rules, where a redirect leads. The input is a request with its lines parted by line feeds; the last line is a pattern.
#![no_main]

use edge::header::{self, Hop};
use edge::pattern::{Case, Wildcard};
use edge::{cookie, framing, redirect, trace_id};
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use model::edge::LoadBalancerAttributes;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, pattern) = text.rsplit_once('\n').unwrap_or((&text, ""));
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Ok(mut request) = Request::builder().method(method).uri(target).body(()) else { return };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
            request.headers_mut().append(name, value);
        }
    }
    let (mut parts, ()) = request.into_parts();
    let is_refused = framing::refusal(&parts).is_some();
    let host = header::without_port(header::authority(&parts.uri, &parts.headers)).to_owned();
    for case in [Case::Sensitive, Case::Insensitive] {
        let wildcard = Wildcard::new(pattern, case);
        wildcard.matches(parts.uri.path());
        // Without a character that stands for others it stands for itself.
        assert!(pattern.contains(['*', '?', '\\']) || wildcard.matches(pattern));
    }
    cookie::find(&parts.headers, cookie::TARGET);
    let location = redirect::location(&model::edge::Redirect::default(), &redirect::Parts {
        protocol: "http",
        host: &host,
        port: 80,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
    });
    assert!(is_refused || HeaderValue::try_from(location).is_ok());
    let brought = parts.headers.get(header::TRACE_ID).and_then(|value| value.to_str().ok());
    assert!(HeaderValue::try_from(trace_id::value(brought, 1, 2)).is_ok());
    let attributes = LoadBalancerAttributes::default();
    let client = "203.0.113.7:4321".parse().expect("an address");
    let hop = Hop { client, port: 80, agreed: None, attributes: &attributes };
    header::to_target(&mut parts.headers, &hop, None);
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        assert!(!parts.headers.contains_key(&name), "{name} went on");
    }
});
