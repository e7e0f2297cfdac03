//! TLS on both sides: clients' connections by a listener's policy, and connections to targets, of which nobody asks who
//! they are.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use model::edge::TlsSpec;
use model::ssl_policy::{self, SslPolicy};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, Error, ProtocolVersion, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::certificate::Certificates;
use crate::limits::HANDSHAKE_LIMIT;

const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// In AWS's words; in the words of TLS 1.2 they are OpenSSL's.
const CIPHERS: [(&str, SupportedCipherSuite); 7] = [
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
];

/// What was agreed on with a client, in AWS's words.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    pub version: &'static str,
    pub cipher: &'static str,
}

/// What a listener does with a client's first bytes.
pub fn acceptor(spec: &TlsSpec) -> TlsAcceptor {
    let policy = ssl_policy::find(&spec.policy).or_else(|| ssl_policy::find(ssl_policy::DEFAULT));
    let policy = policy.expect("the default policy is served");
    let builder = ServerConfig::builder_with_provider(Arc::new(provider(policy)));
    let builder = builder.with_protocol_versions(&versions(policy)).expect("each policy has ciphers of its versions");
    let certificates = Arc::new(Certificates::new(&spec.certificates));
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.ignore_client_order = true;
    config.alpn_protocols = spec.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    // Without one, clients that come back do a whole handshake.
    if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    TlsAcceptor::from(Arc::new(config))
}

fn versions(policy: &SslPolicy) -> Vec<&'static SupportedProtocolVersion> {
    let versions = [(policy.has_tls13, &TLS13), (policy.has_tls12, &TLS12)];
    versions.into_iter().filter(|(has, _)| *has).map(|(_, version)| version).collect()
}

fn provider(policy: &SslPolicy) -> CryptoProvider {
    let suite = |name: &str| CIPHERS.iter().find(|(known, _)| *known == name).map(|(_, suite)| *suite);
    let classic: [&'static dyn SupportedKxGroup; 3] = [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    let hybrid = policy.is_post_quantum.then_some(kx_group::X25519MLKEM768);
    CryptoProvider {
        cipher_suites: policy.ciphers().filter_map(suite).collect(),
        kx_groups: hybrid.into_iter().chain(classic).collect(),
        ..aws_lc_rs::default_provider()
    }
}

/// The client's connection once it is secured.
pub async fn accept(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
    within(HANDSHAKE_LIMIT, acceptor.accept(stream)).await
}

pub fn agreed(connection: &CommonState) -> Option<Agreed> {
    let suite = connection.negotiated_cipher_suite()?;
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let cipher = CIPHERS.iter().find(|(_, known)| *known == suite).map(|(name, _)| *name)?;
    Some(Agreed { version, cipher })
}

async fn within<T>(limit: Duration, shaking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, shaking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Secures a connection to a target for requests. Its own limit is the caller's matter.
pub async fn connect(stream: TcpStream, http2: bool) -> io::Result<client::TlsStream<TcpStream>> {
    static HTTP1_ONLY: LazyLock<TlsConnector> = LazyLock::new(|| connector(&[HTTP1]));
    static HTTP2_ONLY: LazyLock<TlsConnector> = LazyLock::new(|| connector(&[HTTP2]));
    connect_with(if http2 { &HTTP2_ONLY } else { &HTTP1_ONLY }, stream).await
}

/// The same for bytes of which nobody here knows what they mean.
pub async fn connect_raw(stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
    static RAW: LazyLock<TlsConnector> = LazyLock::new(|| connector(&[]));
    connect_with(&RAW, stream).await
}

async fn connect_with(connector: &TlsConnector, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
    let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
    connector.connect(name, stream).await
}

fn connector(protocols: &[&[u8]]) -> TlsConnector {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has ciphers of each version");
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Takes every certificate, as ELB does of targets; whoever shows one must have its key, though.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
