//! What becomes of headers on their way: those of one hop are dropped, those that tell of the client are added.

use std::net::{IpAddr, SocketAddr};

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, SERVER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use model::edge::{AnswerAttributes, ForwardedFor, LoadBalancerAttributes};

use crate::tls::Agreed;

pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const TLS_VERSION: HeaderName = HeaderName::from_static("x-amzn-tls-version");
const TLS_CIPHER: HeaderName = HeaderName::from_static("x-amzn-tls-cipher-suite");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What `Connection` cannot take away: the message would be another one.
const END_TO_END: [HeaderName; 5] = [CONTENT_LENGTH, HOST, COOKIE, TRAILER, TE];

/// Of one hop, whether `Connection` names them or not.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == HTTP2_SETTINGS
}

/// Where a request came in.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    pub client: SocketAddr,
    pub port: u16,
    /// How the client's connection is secured, if it is.
    pub agreed: Option<Agreed>,
    pub attributes: &'a LoadBalancerAttributes,
}

/// The protocol that the client asks to change to, if it is one that may pass: `h2c` would hide requests from rules.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(CONNECTION).iter().any(|line| tokens(line).any(|token| is(token, "upgrade")));
    let wanted = headers.get(UPGRADE).filter(|_| asks)?;
    let hides =
        tokens(wanted).any(|protocol| is(protocol, "h2c") || protocol.to_ascii_uppercase().starts_with("HTTP/"));
    (!hides).then(|| wanted.clone())
}

/// Drops what belongs to one hop, both of requests and of answers. Looks all names through once, since most messages
/// have none of these.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let lines = headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = lines.flat_map(tokens).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().filter(|name| !END_TO_END.contains(name)) {
        headers.remove(name);
    }
    let own: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Makes a request's headers those that a target of a load balancer gets. `Host` is [`host`]'s matter.
pub fn to_target(headers: &mut HeaderMap, hop: &Hop, upgrade: Option<HeaderValue>) {
    pass_on(headers, upgrade);
    if hop.attributes.drop_invalid_header_fields {
        drop_invalid(headers);
    }
    add_forwarded(headers, hop);
}

/// Makes a request's headers those of the next hop, and adds nothing to them.
pub fn pass_on(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    drop_hop_by_hop(headers);
    if headers.keys().any(|name| *name == EXPECT || *name == TE || *name == COOKIE) {
        // The client has been told to continue here.
        headers.remove(EXPECT);
        keep_only_trailers(headers);
        join_cookies(headers);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// `TE: trailers` is what gRPC needs; every other transfer coding is of one hop.
fn keep_only_trailers(headers: &mut HeaderMap) {
    if headers.remove(TE).is_some_and(|te| tokens(&te).any(|token| is(token, "trailers"))) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Names other than letters, digits and hyphens.
fn drop_invalid(headers: &mut HeaderMap) {
    let is_valid = |name: &HeaderName| name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let invalid: Vec<HeaderName> = headers.keys().filter(|name| !is_valid(name)).cloned().collect();
    for name in invalid {
        headers.remove(name);
    }
}

/// HTTP/2 may send cookies apart; HTTP/1 has one line.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn add_forwarded(headers: &mut HeaderMap, hop: &Hop) {
    match hop.attributes.forwarded_for {
        ForwardedFor::Append => append_forwarded_for(headers, hop),
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => drop(headers.remove(FORWARDED_FOR)),
    }
    let protocol = if hop.agreed.is_some() { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(protocol));
    headers.insert(FORWARDED_PORT, HeaderValue::from(hop.port));
    if hop.attributes.tls_headers {
        add_tls(headers, hop.agreed);
    }
}

/// What the client itself says of it does not go on.
fn add_tls(headers: &mut HeaderMap, agreed: Option<Agreed>) {
    headers.remove(TLS_VERSION);
    headers.remove(TLS_CIPHER);
    if let Some(Agreed { version, cipher }) = agreed {
        headers.insert(TLS_VERSION, HeaderValue::from_static(version));
        headers.insert(TLS_CIPHER, HeaderValue::from_static(cipher));
    }
}

fn append_forwarded_for(headers: &mut HeaderMap, hop: &Hop) {
    let ip = hop.client.ip().to_canonical();
    let mut client = match ip {
        IpAddr::V6(ip) if hop.attributes.forwarded_for_client_port => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    if hop.attributes.forwarded_for_client_port {
        client = format!("{client}:{}", hop.client.port());
    }
    let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let value = match lines.as_slice() {
        [] => HeaderValue::try_from(client),
        brought => HeaderValue::from_bytes(&[&brought.join(&b", "[..]), client.as_bytes()].join(&b", "[..])),
    };
    headers.insert(FORWARDED_FOR, value.expect("made of values and an address"));
}

/// What every answer of a listener gets, whoever has answered.
#[derive(Debug, Default)]
pub struct AnswerHeaders {
    hides_server: bool,
    set: Vec<(HeaderName, HeaderValue)>,
}

impl AnswerHeaders {
    /// What is no header is left out.
    pub fn new(attributes: &AnswerAttributes) -> Self {
        let header = |(name, value): &(String, String)| Some((name.parse().ok()?, value.parse().ok()?));
        Self { hides_server: !attributes.server, set: attributes.headers.iter().filter_map(header).collect() }
    }

    pub fn put(&self, headers: &mut HeaderMap) {
        if self.hides_server {
            headers.remove(SERVER);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// The host that a request is for, with its port as it came; empty when HTTP/1.0 names none.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
    }
}

/// Without the port.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    }
}

/// `Host` as the target gets it: unless it is to be preserved, with the listener's port when that is not HTTP's own,
/// and without one when it is.
pub fn host(authority: &str, hop: &Hop) -> String {
    if hop.attributes.preserve_host_header || authority.is_empty() {
        return authority.to_owned();
    }
    let host = without_port(authority);
    match hop.port {
        80 | 443 => host.to_owned(),
        _ if host.len() < authority.len() => authority.to_owned(),
        port => format!("{host}:{port}"),
    }
}

fn tokens(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(|token| token.split(';').next().unwrap_or_default().trim())
}

fn is(token: &str, name: &str) -> bool {
    token.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        lines.iter().map(line).collect()
    }

    fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().expect("text").to_owned());
        let mut texts: Vec<_> = headers.iter().map(text).collect();
        texts.sort();
        texts
    }

    fn hop(attributes: &LoadBalancerAttributes) -> Hop<'_> {
        Hop { client: "203.0.113.7:4321".parse().expect("an address"), port: 8080, agreed: None, attributes }
    }

    #[track_caller]
    fn check(attributes: &LoadBalancerAttributes, lines: &[(&'static str, &str)], expected: &[(&str, &str)]) {
        let mut given = headers(lines);
        let upgrade = upgrade(&given);
        to_target(&mut given, &hop(attributes), upgrade);
        given.remove(FORWARDED_PROTO);
        given.remove(FORWARDED_PORT);
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(texts(&given), expected, "{lines:?}");
    }

    /// Everything but X-Forwarded-For.
    #[track_caller]
    fn check_others(lines: &[(&'static str, &str)], expected: &[(&str, &str)]) {
        let attributes =
            LoadBalancerAttributes { forwarded_for: ForwardedFor::Preserve, ..LoadBalancerAttributes::default() };
        check(&attributes, lines, expected);
    }

    #[test]
    fn headers_of_one_hop_are_dropped() {
        check_others(
            &[("connection", "close, X-Mine"), ("x-mine", "1"), ("keep-alive", "5"), ("accept", "*/*")],
            &[("accept", "*/*")],
        );
        check_others(&[("transfer-encoding", "chunked"), ("proxy-connection", "x"), ("expect", "100-continue")], &[]);
        check_others(&[("connection", "content-length"), ("content-length", "3")], &[("content-length", "3")]);
        check_others(&[("te", "gzip, trailers")], &[("te", "trailers")]);
        check_others(&[("te", "gzip")], &[]);
        check_others(&[("cookie", "a=1"), ("cookie", "b=2")], &[("cookie", "a=1; b=2")]);
    }

    #[test]
    fn upgrades_pass_but_for_http() {
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        check_others(&websocket, &[("connection", "upgrade"), ("upgrade", "websocket")]);
        check_others(&[("upgrade", "websocket")], &[]);
        let h2c = [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMA")];
        check_others(&h2c, &[]);
        check_others(&[("connection", "upgrade"), ("upgrade", "websocket, h2c")], &[]);
        check_others(&[("connection", "upgrade"), ("upgrade", "HTTP/2.0")], &[]);
    }

    #[test]
    fn forwarded_for() {
        let with = |forwarded_for, forwarded_for_client_port| LoadBalancerAttributes {
            forwarded_for,
            forwarded_for_client_port,
            ..LoadBalancerAttributes::default()
        };
        let name = "x-forwarded-for";
        check(&with(ForwardedFor::Append, false), &[], &[(name, "203.0.113.7")]);
        check(&with(ForwardedFor::Append, true), &[], &[(name, "203.0.113.7:4321")]);
        let brought = [(name, "10.0.0.1"), (name, "10.0.0.2")];
        check(&with(ForwardedFor::Append, false), &brought, &[(name, "10.0.0.1, 10.0.0.2, 203.0.113.7")]);
        check(&with(ForwardedFor::Preserve, true), &[(name, "x")], &[(name, "x")]);
        check(&with(ForwardedFor::Remove, true), &[(name, "x")], &[]);
    }

    #[test]
    fn a_client_cannot_have_the_forwarded_headers_dropped_or_forged() {
        let mut given = headers(&[
            ("connection", "x-forwarded-for, x-forwarded-proto"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
        ]);
        to_target(&mut given, &hop(&LoadBalancerAttributes::default()), None);
        let expected =
            [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-port", "8080"), ("x-forwarded-proto", "http")];
        assert_eq!(texts(&given), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn invalid_names_are_dropped_where_asked() {
        let attributes = LoadBalancerAttributes {
            drop_invalid_header_fields: true,
            forwarded_for: ForwardedFor::Remove,
            ..LoadBalancerAttributes::default()
        };
        check(&attributes, &[("a_b", "1"), ("a-b", "2")], &[("a-b", "2")]);
        check_others(&[("a_b", "1"), ("a-b", "2")], &[("a-b", "2"), ("a_b", "1")]);
    }

    #[test]
    fn hosts() {
        let attributes =
            |preserve_host_header| LoadBalancerAttributes { preserve_host_header, ..LoadBalancerAttributes::default() };
        let check = |preserve, port, authority: &str, expected: &str| {
            let attributes = attributes(preserve);
            assert_eq!(host(authority, &Hop { port, ..hop(&attributes) }), expected, "{preserve} {port} {authority}");
        };
        check(false, 8080, "a.com", "a.com:8080");
        check(false, 8080, "a.com:9", "a.com:9");
        check(false, 80, "a.com:80", "a.com");
        check(false, 80, "a.com", "a.com");
        check(false, 80, "[::1]:80", "[::1]");
        check(false, 80, "[::1]", "[::1]");
        check(true, 8080, "a.com", "a.com");
        check(true, 80, "a.com:80", "a.com:80");
        check(false, 8080, "", "");
    }
}
