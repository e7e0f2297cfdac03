//! HTTPS: which certificate a client gets, what it may speak, what targets are told; and targets behind TLS.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::certificate::PrivateKey;
use model::edge::{
    CertificateSpec, CheckProtocol, ListenerProtocol, ListenerSpec, LoadBalancerSpec, ProtocolVersion, RuleSpec,
    Snapshot, TargetProtocol, TargetState, TlsSpec,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use support::{Backend, LIMIT, LISTENER, Site, fixed, group, listener, load_balancer, plain, rule, to};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

fn certificate_with(names: &[&str], algorithm: &'static SignatureAlgorithm) -> CertificateSpec {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let made = CertificateParams::new(names.clone()).expect("names").self_signed(&key).expect("signed");
    CertificateSpec { names, chain: made.pem(), private_key: PrivateKey(key.serialize_pem()) }
}

fn certificate(names: &[&str]) -> CertificateSpec {
    certificate_with(names, &PKCS_ECDSA_P256_SHA256)
}

fn der(certificate: &CertificateSpec) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(certificate.chain.as_bytes()).expect("PEM")
}

fn secured(policy: &str, certificates: &[&CertificateSpec], rules: Vec<RuleSpec>) -> ListenerSpec {
    let certificates = certificates.iter().copied().cloned().collect();
    ListenerSpec {
        protocol: ListenerProtocol::Https,
        tls: Some(TlsSpec {
            policy: policy.to_owned(),
            protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            certificates,
        }),
        ..listener(LISTENER, rules)
    }
}

fn snapshot_of(load_balancer: LoadBalancerSpec) -> Snapshot {
    Snapshot { revision: 1, load_balancers: vec![load_balancer], target_groups: Vec::new(), ..Snapshot::default() }
}

/// One listener that answers itself.
fn answering(policy: &str, certificates: &[&CertificateSpec]) -> Snapshot {
    snapshot_of(load_balancer(vec![secured(policy, certificates, vec![rule(vec![], fixed(200, "secured"))])]))
}

/// What a client offers.
struct Offer<'a> {
    host: &'a str,
    trusted: &'a [&'a CertificateSpec],
    versions: &'a [&'static SupportedProtocolVersion],
    protocols: &'a [&'a str],
}

impl<'a> Offer<'a> {
    fn to(host: &'a str, trusted: &'a [&'a CertificateSpec]) -> Self {
        Self { host, trusted, versions: rustls::ALL_VERSIONS, protocols: &[] }
    }

    async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.trusted {
            roots.add(der(certificate)).expect("a certificate");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(self.versions).expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(self.host.to_owned()).expect("a host");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        timeout(LIMIT, connecting).await.expect("in time")
    }
}

async fn get(stream: TlsStream<TcpStream>, path: &str) -> String {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "a.com").body(Empty::<bytes::Bytes>::new()).expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_host_that_it_names() {
    let (default, exact, wild) = (certificate(&["a.com"]), certificate(&["x.b.com"]), certificate(&["*.b.com"]));
    let site = Site::start(answering(POLICY, &[&default, &exact, &wild])).await;
    let address = site.address(LISTENER).await;
    for (host, expected) in [
        ("a.com", &default),
        ("x.b.com", &exact),
        ("y.b.com", &wild),
        ("unknown.com", &default),
        ("127.0.0.1", &default),
    ] {
        let all = [&default, &exact, &wild];
        let shown = match Offer::to(host, &all).connect(address).await {
            Ok(stream) => stream.get_ref().1.peer_certificates().expect("shown")[0].clone(),
            // It is for another host, which is what the client says of it.
            Err(error) => {
                assert!(error.to_string().contains("not valid for name"), "{host}: {error}");
                assert_eq!(expected.names, default.names, "{host}");
                continue;
            }
        };
        assert_eq!(shown, der(expected), "{host}");
    }
}

#[tokio::test]
async fn of_two_certificates_for_a_host_the_client_gets_one_that_it_can_check() {
    let (rsa, ec) = (certificate_with(&["a.com"], &PKCS_RSA_SHA256), certificate(&["a.com"]));
    let site = Site::start(answering(POLICY, &[&rsa, &ec])).await;
    let stream = Offer::to("a.com", &[&rsa, &ec]).connect(site.address(LISTENER).await).await.expect("secured");
    assert_eq!(stream.get_ref().1.peer_certificates().expect("shown")[0], der(&ec));
}

#[tokio::test]
async fn a_policy_decides_what_may_be_spoken() {
    let own = certificate(&["a.com"]);
    let check = async |policy: &str, version: &'static SupportedProtocolVersion, is_taken: bool| {
        let site = Site::start(answering(policy, &[&own])).await;
        let address = site.address(LISTENER).await;
        let trusted = [&own];
        let offer = Offer { versions: &[version], ..Offer::to("a.com", &trusted) };
        let connected = offer.connect(address).await;
        assert_eq!(connected.is_ok(), is_taken, "{policy} {version:?}: {connected:?}");
        if let Ok(stream) = connected {
            assert_eq!(get(stream, "/").await, "secured");
        }
    };
    check(POLICY, &version::TLS12, true).await;
    check(POLICY, &version::TLS13, true).await;
    check("ELBSecurityPolicy-TLS13-1-3-2021-06", &version::TLS12, false).await;
    check("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", &version::TLS13, true).await;
    check("ELBSecurityPolicy-TLS-1-2-2017-01", &version::TLS13, false).await;
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_agreed_on_and_allowed() {
    let own = certificate(&["a.com"]);
    let check = async |is_allowed: bool, offered: &[&str], expected: Option<&str>| {
        let mut snapshot = answering(POLICY, &[&own]);
        if !is_allowed {
            let tls = snapshot.load_balancers[0].listeners[0].tls.as_mut().expect("it is secured");
            tls.protocols = vec!["http/1.1".to_owned()];
        }
        let site = Site::start(snapshot).await;
        let trusted = [&own];
        let offer = Offer { protocols: offered, ..Offer::to("a.com", &trusted) };
        let stream = offer.connect(site.address(LISTENER).await).await.expect("secured");
        let agreed = stream.get_ref().1.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        assert_eq!(agreed.as_deref(), expected, "{is_allowed} {offered:?}");
        if agreed.as_deref() != Some("h2") {
            return assert_eq!(get(stream, "/").await, "secured");
        }
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = Request::get("https://a.com/").body(Empty::<bytes::Bytes>::new()).expect("a request");
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), 200);
    };
    check(true, &["h2", "http/1.1"], Some("h2")).await;
    check(true, &["http/1.1"], Some("http/1.1")).await;
    check(false, &["h2", "http/1.1"], Some("http/1.1")).await;
    check(true, &[], None).await;
}

#[tokio::test]
async fn targets_are_told_and_redirects_know() {
    let (own, backend) = (certificate(&["a.com"]), Backend::start("a").await);
    let mut snapshot = plain(1, group("group/a", &[&backend]));
    snapshot.load_balancers[0].attributes.tls_headers = true;
    let rules = snapshot.load_balancers[0].listeners[0].rules.clone();
    snapshot.load_balancers[0].listeners[0] = secured(POLICY, &[&own], rules);
    let site = Site::healthy(snapshot).await;
    let stream = Offer::to("a.com", &[&own]).connect(site.address(LISTENER).await).await.expect("secured");
    let echoed = get(stream, "/echo").await;
    for line in
        ["x-forwarded-proto: https", "x-amzn-tls-version: TLSv1.3", "x-amzn-tls-cipher-suite: TLS_AES_128_GCM_SHA256"]
    {
        assert!(echoed.contains(line), "{line} in {echoed}");
    }
}

#[tokio::test]
async fn without_tls_nothing_is_answered_and_others_are_served() {
    let own = certificate(&["a.com"]);
    let site = Site::start(answering(POLICY, &[&own])).await;
    let address = site.address(LISTENER).await;
    let mut plain = support::Client::connect(address).await;
    plain.send("GET / HTTP/1.1\r\nhost: a.com\r\n\r\n").await;
    let mut bytes = Vec::new();
    let _ = timeout(LIMIT, plain.stream.read_to_end(&mut bytes)).await.expect("it is closed");
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    // One that says nothing holds nobody else up.
    let _silent = TcpStream::connect(address).await.expect("it listens");
    let stream = Offer::to("a.com", &[&own]).connect(address).await.expect("secured");
    assert_eq!(get(stream, "/").await, "secured");
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_given_up() {
    let own = certificate(&["a.com"]);
    let site = Site::start(answering(POLICY, &[&own])).await;
    let mut half = support::Client::connect(site.address(LISTENER).await).await;
    // The head of a ClientHello that announces 500 bytes.
    half.send([0x16, 3, 1, 1, 0xf4, 1, 0, 1, 0xf0, 3, 3]).await;
    let mut bytes = Vec::new();
    let closed = timeout(LIMIT, half.stream.read_to_end(&mut bytes)).await;
    assert!(closed.is_ok(), "it is still waited for");
}

#[tokio::test]
async fn what_is_agreed_on_can_be_resumed_after_rules_have_changed() {
    let own = certificate(&["a.com"]);
    let site = Site::start(answering(POLICY, &[&own])).await;
    let address = site.address(LISTENER).await;
    let mut roots = RootCertStore::empty();
    roots.add(der(&own)).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let connect = async || {
        let stream = TcpStream::connect(address).await.expect("it listens");
        connector.connect(ServerName::try_from("a.com").expect("a host"), stream).await.expect("secured")
    };
    // Tickets come with the first answer.
    let first = connect().await;
    assert_eq!(first.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    assert_eq!(get(first, "/").await, "secured");
    let rules = vec![rule(vec![], fixed(200, "changed"))];
    let mut changed = snapshot_of(load_balancer(vec![secured(POLICY, &[&own], rules)]));
    changed.revision = 2;
    site.apply(changed).await;
    let second = connect().await;
    assert_eq!(second.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    assert_eq!(get(second, "/").await, "changed");
}

/// A server behind TLS that passes bytes on to a backend.
async fn tunnel_to(backend: SocketAddr, own: &CertificateSpec, protocol: &str) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(own.private_key.0.as_bytes()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let mut config = builder.with_single_cert(vec![der(own)], key).expect("they belong together");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(stream).await else { return };
                let Ok(mut far) = TcpStream::connect(backend).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn targets_may_be_secured_by_certificates_that_nobody_knows() {
    let (backend, own) = (Backend::start("a").await, certificate(&["whatever.com"]));
    let check = async |version: ProtocolVersion, protocol: &str| {
        let mut spec = group("group/a", &[]);
        spec.protocol = TargetProtocol::Https;
        spec.protocol_version = version;
        spec.health_check.protocol = CheckProtocol::Https;
        let address = tunnel_to(backend.address, &own, protocol).await;
        spec.targets = vec![support::target(address)];
        let site = Site::healthy(plain(1, spec)).await;
        site.until(address, TargetState::Healthy).await;
        let answer = site.get("/").await;
        // An HTTP/2 group takes HTTP/2 requests only; its health check has shown that it is spoken to.
        let expected = if version == ProtocolVersion::Http1 { 200 } else { 464 };
        assert_eq!(answer.status, expected, "{version:?}");
    };
    check(ProtocolVersion::Http1, "http/1.1").await;
    check(ProtocolVersion::Http2, "h2").await;
}

#[tokio::test]
async fn targets_see_the_load_balancers_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut spec = group("group/a", &[]);
    spec.targets = vec![support::target(listener.local_addr().expect("bound"))];
    let mut snapshot =
        snapshot_of(load_balancer(vec![support::listener(LISTENER, vec![rule(vec![], to(&[("group/a", 1)]))])]));
    snapshot.load_balancers[0].addresses = vec!["127.0.0.77".parse().expect("an address")];
    snapshot.target_groups = vec![spec];
    let _site = Site::start(snapshot).await;
    let (_, from) = timeout(LIMIT, listener.accept()).await.expect("in time").expect("a health check");
    assert_eq!(from.ip().to_string(), "127.0.0.77");
}
