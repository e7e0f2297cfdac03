//! Which certificate a client is shown: one for the host that it names, else the default one.
//!
//! A name that is given whole comes before a wildcard. Of several for the same name the client gets the first that its
//! signature schemes allow, those with elliptic curves first, as they cost less.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::edge::CertificateSpec;
use rustls::SignatureAlgorithm;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Positions by name; a wildcard is kept without its star: `.example.com`.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, Vec<usize>>);

impl Names {
    pub fn new<'a>(certificates: impl IntoIterator<Item = &'a [String]>) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, names) in certificates.into_iter().enumerate() {
            for name in names {
                let key = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
                by_name.entry(key).or_default().push(index);
            }
        }
        Self(by_name)
    }

    /// Those for the host, the best ones first. A wildcard stands for one label.
    pub fn find(&self, host: &str) -> &[usize] {
        let host = host.to_ascii_lowercase();
        let wildcard = || self.0.get(host.get(host.find('.')?..)?);
        self.0.get(&host).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

/// The certificates of a listener. Without any, no handshake succeeds.
pub struct Certificates {
    names: Names,
    /// The first one is the default.
    keys: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    /// What is not readable is left out: it has been judged where it was imported.
    pub fn new(specs: &[CertificateSpec]) -> Self {
        let read = specs.iter().filter_map(|spec| Some((spec.names.as_slice(), key(spec)?)));
        let (names, keys): (Vec<_>, Vec<_>) = read.unzip();
        Self { names: Names::new(names), keys }
    }

    fn choose(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let suits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let named = self.names.find(host.unwrap_or_default()).iter().map(|index| &self.keys[*index]).filter(suits);
        named.min_by_key(|key| key.key.algorithm() == SignatureAlgorithm::RSA).or(self.keys.first())
    }
}

fn key(spec: &CertificateSpec) -> Option<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_slice_iter(spec.chain.as_bytes()).collect::<Result<Vec<_>, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_slice(spec.private_key.0.as_bytes()).ok()?;
    let key = any_supported_type(&key).ok()?;
    (!chain.is_empty()).then(|| Arc::new(CertifiedKey::new(chain, key)))
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let certificates = [names(&["a.com"]), names(&["*.a.com", "b.com"]), names(&["x.a.com"]), names(&["A.com"])];
        let known = Names::new(certificates.iter().map(Vec::as_slice));
        let check = |host, expected: &[usize]| assert_eq!(known.find(host), expected, "{host}");
        check("a.com", &[0, 3]);
        check("A.COM", &[0, 3]);
        check("b.com", &[1]);
        check("y.a.com", &[1]);
        check("x.a.com", &[2]);
        check("z.y.a.com", &[]);
        check("com", &[]);
        check("", &[]);
        check(".", &[]);
    }
}
