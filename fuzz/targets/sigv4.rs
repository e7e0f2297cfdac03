//! Signed requests, in header and presigned form. The input is a raw request: method, path and query on the first line,
//! `name: value` lines, an empty line, the body. Whatever it is, it must not verify under a key that it cannot know;
//! signed with that key, it must.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wire::sigv4::{self, Credentials, Request, SigningKey};

/// 2015-08-30T12:36:00Z.
const NOW: i64 = 1_440_938_160;
const TIMESTAMP: &str = "20150830T123600Z";
const CREDENTIALS: Credentials<'_> = Credentials { access_key_id: "AKIDEXAMPLE", secret: "a secret that is not in the seeds" };

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
            headers.append(name, value);
        }
    }
    let body_sha256 = sigv4::hash_body(body.as_bytes());
    assert!(verify(&Request { method, path, query, headers: &headers, body_sha256: &body_sha256 }).is_err());

    if query.contains("X-Amz-") || query.contains('%') {
        return;
    }
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers.insert("x-amz-date", HeaderValue::from_static(TIMESTAMP));
    headers.remove("authorization");
    if headers.keys_len() > sigv4::SIGNED_HEADERS_MAX {
        return;
    }
    let request = Request { method, path, query, headers: &headers, body_sha256: &body_sha256 };
    let authorization = sigv4::sign(&request, CREDENTIALS, TIMESTAMP, "us-east-1", "ecs");
    let mut signed = headers.clone();
    signed.insert("authorization", authorization.parse().expect("ASCII"));
    verify(&Request { headers: &signed, ..request }).expect("what we signed");
});

fn verify(request: &Request<'_>) -> Result<sigv4::Claim, sigv4::Refusal> {
    sigv4::verify(request, NOW, |claim| Some(SigningKey::derive(CREDENTIALS.secret, &claim.scope)))
}
