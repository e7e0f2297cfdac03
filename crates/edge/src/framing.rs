//! What is refused of a request before any rule is asked: whatever two servers could read differently, and what is
//! beyond the limits.
//!
//! hyper has already refused what does not parse: wrong chunks, Content-Lengths that differ, a Transfer-Encoding that
//! does not end in `chunked` or comes with HTTP/1.0, blanks before a colon, folded lines. It reads a request with both
//! Content-Length and Transfer-Encoding by the latter, drops the former, and closes the connection after its answer;
//! targets get one framing only, made anew.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::limits::{FORWARDED_FOR_MAX, HEADER_BYTES_MAX, URI_BYTES_MAX};

/// More addresses in X-Forwarded-For than ELB takes.
pub const TOO_MANY_FORWARDED: u16 = 463;

/// The status that the request is refused with.
pub fn refusal(parts: &Parts) -> Option<StatusCode> {
    if parts.method == Method::TRACE {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let is_wrong = parts.method == Method::CONNECT || !has_one_host(parts) || !has_one_framing(&parts.headers);
    if is_wrong {
        return Some(StatusCode::BAD_REQUEST);
    }
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > URI_BYTES_MAX) {
        return Some(StatusCode::URI_TOO_LONG);
    }
    if parts.headers.iter().any(|(name, value)| name.as_str().len() + value.len() > HEADER_BYTES_MAX) {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    if forwarded_addresses(&parts.headers) > FORWARDED_FOR_MAX {
        return Some(StatusCode::from_u16(TOO_MANY_FORWARDED).expect("three digits"));
    }
    None
}

/// HTTP/1.0 may go without a host. A target in absolute form or an HTTP/2 `:authority` names it as well, and must not
/// name another one.
fn has_one_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return false;
    }
    let Some(authority) = parts.uri.authority() else {
        return first.map_or(parts.version < Version::HTTP_11, |host| is_authority(host.as_bytes()));
    };
    let same = |host: &http::HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    is_authority(authority.as_str().as_bytes()) && first.is_none_or(same)
}

/// Letters, digits and what else names and addresses with ports are written with. No user, no path.
fn is_authority(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte))
}

/// `chunked` is the only coding, and said once.
fn has_one_framing(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
        && !headers.contains_key(CONTENT_LENGTH)
}

fn forwarded_addresses(headers: &HeaderMap) -> usize {
    let lines = headers.get_all("x-forwarded-for").iter();
    lines.map(|line| 1 + line.as_bytes().iter().filter(|byte| **byte == b',').count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[track_caller]
    fn check(method: &str, uri: &str, headers: &[(&str, &str)], expected: Option<u16>) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        assert_eq!(refusal(&parts).map(|status| status.as_u16()), expected, "{method} {uri} {headers:?}");
    }

    #[test]
    fn hosts() {
        let host = ("host", "a.com");
        check("GET", "/", &[host], None);
        check("GET", "/", &[("host", "[::1]:80")], None);
        check("GET", "/", &[], Some(400));
        check("GET", "/", &[host, host], Some(400));
        check("GET", "http://a.com/", &[("host", "A.com")], None);
        check("GET", "http://a.com/", &[], None);
        check("GET", "http://a.com/", &[("host", "b.com")], Some(400));
        check("GET", "http://user@a.com/", &[], Some(400));
        check("GET", "/", &[("host", "a.com/b")], Some(400));
        check("GET", "/", &[("host", "a.com b.com")], Some(400));
    }

    #[test]
    fn methods() {
        check("TRACE", "/", &[("host", "a.com")], Some(405));
        check("CONNECT", "a.com:80", &[("host", "a.com:80")], Some(400));
        check("PURGE", "/", &[("host", "a.com")], None);
    }

    #[test]
    fn framings() {
        let check = |headers: &[(&str, &str)], expected| {
            check("POST", "/", &[&[("host", "a.com")], headers].concat(), expected);
        };
        check(&[("transfer-encoding", "chunked")], None);
        check(&[("transfer-encoding", "Chunked")], None);
        check(&[("content-length", "3")], None);
        check(&[("transfer-encoding", "gzip, chunked")], Some(400));
        check(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Some(400));
        check(&[("transfer-encoding", "chunked"), ("content-length", "3")], Some(400));
    }

    #[test]
    fn sizes() {
        let host = ("host", "a.com");
        check("GET", &format!("/{}", "a".repeat(URI_BYTES_MAX - 1)), &[host], None);
        check("GET", &format!("/{}", "a".repeat(URI_BYTES_MAX)), &[host], Some(414));
        check("GET", "/", &[host, ("a", &"b".repeat(HEADER_BYTES_MAX - 1))], None);
        check("GET", "/", &[host, ("a", &"b".repeat(HEADER_BYTES_MAX))], Some(431));
        check("GET", "/", &[host, ("x-forwarded-for", &["1.1.1.1"; 30].join(","))], None);
        check("GET", "/", &[host, ("x-forwarded-for", &["1.1.1.1"; 31].join(","))], Some(463));
    }
}
