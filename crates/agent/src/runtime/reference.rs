//! Image references: from what people write (`nginx`) to what containerd calls it (`docker.io/library/nginx:latest`).
//! Pure.

use std::fmt;

/// The registry's part of an image name when none is given.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Registries cap names at this; ecs-semantics §2.3 has the same limit before a digest.
const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// A reference with all parts spelled out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`.
    pub registry: String,
    /// `library/nginx`.
    pub repository: String,
    /// Absent only when a digest is given without a tag.
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

/// Text that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {0:?}")]
pub struct InvalidReference(pub String);

impl Reference {
    /// Reads a reference as docker does: a first part with a dot, a colon, or `localhost` is a registry.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference(text.chars().take(NAME_LIMIT).collect());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = split_tag(name);
        let (registry, path) = split_registry(name);
        let is_hub = registry == DEFAULT_REGISTRY;
        let repository = if is_hub && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let well_formed = is_registry(registry)
            && is_repository(&repository)
            && registry.len() + repository.len() < NAME_LIMIT
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        if !well_formed {
            return Err(invalid());
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest: digest.map(str::to_owned) })
    }

    /// Registries on this machine are spoken to without TLS, as docker does.
    pub fn is_plain_http(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.registry,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A colon after the last slash starts a tag; one before it belongs to a port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (DEFAULT_REGISTRY, path),
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DEFAULT_REGISTRY, name),
    }
}

/// A host name or address, with or without a port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().last()];
        ends.iter().all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()))
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.split('.').all(is_label)
}

fn is_repository(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// Lower case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let allowed = text.bytes().all(|b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'));
    let ends = [text.bytes().next(), text.bytes().last()];
    let bad_run = ["..", "___", "._", "_.", "-.", ".-", "-_", "_-"].iter().any(|run| text.contains(run));
    allowed && !bad_run && ends.iter().all(|end| end.is_some_and(alphanumeric))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=TAG_LIMIT).contains(&text.len())
        && word(text.as_bytes()[0])
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// Only SHA-256: containerd's content store takes no other here, and no registry offers one.
pub fn is_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = Reference::parse(text).ok().map(|reference| reference.to_string());
        assert_eq!(parsed.as_deref(), expected, "{text:?}");
    }

    #[test]
    fn references_are_normalised_as_docker_does() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        check("busybox", Some("docker.io/library/busybox:latest"));
        check("busybox:1.36", Some("docker.io/library/busybox:1.36"));
        check("gantry/web", Some("docker.io/gantry/web:latest"));
        check("docker.io/nginx", Some("docker.io/library/nginx:latest"));
        check("index.docker.io/nginx", Some("docker.io/library/nginx:latest"));
        check("localhost/nginx", Some("localhost/nginx:latest"));
        check("localhost:5000/a/b/c:v1", Some("localhost:5000/a/b/c:v1"));
        check("127.0.0.1:5000/nginx", Some("127.0.0.1:5000/nginx:latest"));
        check("ghcr.io/a/b", Some("ghcr.io/a/b:latest"));
        check(
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:9",
            Some("123456789012.dkr.ecr.us-east-1.amazonaws.com/web:9"),
        );
        check(&format!("nginx@{digest}"), Some(&format!("docker.io/library/nginx@{digest}")));
        check(&format!("nginx:1@{digest}"), Some(&format!("docker.io/library/nginx:1@{digest}")));
        check("a__b/c-d.e_f", Some("docker.io/a__b/c-d.e_f:latest"));
        check("a--b", Some("docker.io/library/a--b:latest"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            ":",
            "nginx:",
            "NGINX",
            "nginx@sha256:12",
            "nginx@md5:0",
            "../etc/passwd",
            "a//b",
            "-a",
            "a-",
            "a b",
            "nginx:-1",
            "nginx:a/b:c d",
            "exa mple.com/a",
            "a/../b",
            "nginx\n",
            "localhost:0/a",
            "localhost:x/a",
            "[::g]:5000/a",
            "exa_mple.com/a",
            ".com/a",
        ] {
            check(text, None);
        }
        check(&format!("nginx:{}", "a".repeat(129)), None);
        check(&"a".repeat(300), None);
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (text, plain) in [
            ("localhost/a", true),
            ("localhost:5000/a", true),
            ("127.0.0.1:80/a", true),
            ("127.1.2.3/a", true),
            ("[::1]:5000/a", true),
            ("10.0.0.1:5000/a", false),
            ("localhost.example.com/a", false),
            ("nginx", false),
        ] {
            assert_eq!(Reference::parse(text).expect("a reference").is_plain_http(), plain, "{text}");
        }
    }
}
