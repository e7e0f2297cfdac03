//! The ALPN policies of TLS listeners: what may be spoken over a connection that a network load balancer secures.

/// Name, and what it allows in order of preference.
const POLICIES: [(&str, &[&str]); 5] = [
    ("None", &[]),
    ("HTTP1Only", &["http/1.1", "http/1.0"]),
    ("HTTP2Only", &["h2"]),
    ("HTTP2Optional", &["http/1.1", "http/1.0", "h2"]),
    ("HTTP2Preferred", &["h2", "http/1.1", "http/1.0"]),
];

pub fn is_known(policy: &str) -> bool {
    POLICIES.iter().any(|(name, _)| *name == policy)
}

pub fn protocols(policy: Option<&str>) -> &'static [&'static str] {
    let found = POLICIES.iter().find(|(name, _)| Some(*name) == policy);
    found.map_or(&[], |(_, protocols)| protocols)
}
