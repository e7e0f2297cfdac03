//! What is given to be imported, read and judged: a certificate, its issuers, and the key that belongs to it.

use model::Timestamp;
use model::certificate::CertificateFacts;
use rustls::crypto::aws_lc_rs::{default_provider, sign};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// Certificates of one chain.
const CHAIN_MAX: usize = 10;
const RSA_BITS_LEAST: usize = 2048;

/// As it came.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub certificate: &'a [u8],
    pub chain: Option<&'a [u8]>,
    pub key: &'a [u8],
}

/// PEM that is as it should be, and what the certificate says.
#[derive(Debug)]
pub struct Read {
    pub certificate: String,
    pub chain: Option<String>,
    pub key: String,
    pub facts: CertificateFacts,
}

impl Given<'_> {
    /// # Errors
    /// What is wrong, in words for whoever sent it. Never anything of the key.
    pub fn read(&self, now: Timestamp) -> Result<Read, String> {
        let certificates = certificates(self.certificate).ok_or_else(|| {
            "The certificate field contains an invalid certificate. Please ensure the certificate is in PEM format."
                .to_owned()
        })?;
        let [own] = <[CertificateDer<'_>; 1]>::try_from(certificates).map_err(|_| {
            "The certificate field contains more than one certificate. You can specify only one certificate in this field."
        })?;
        let issuers = match self.chain {
            Some(chain) => certificates_of_chain(chain)?,
            None => Vec::new(),
        };
        let facts = facts(&own)?;
        if now < facts.not_before || facts.not_after < now {
            return Err("The certificate is not in its validity period.".to_owned());
        }
        check_chain(&own, &issuers)?;
        check_key(&own, self.key)?;
        Ok(Read { certificate: text(self.certificate), chain: self.chain.map(text), key: text(self.key), facts })
    }
}

/// PEM is ASCII; whatever stands around it does not matter.
fn text(pem: &[u8]) -> String {
    String::from_utf8_lossy(pem).into_owned()
}

/// `None` when there is none, or one of them is not readable.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX + 1).collect();
    read.ok().filter(|read| !read.is_empty())
}

fn certificates_of_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = certificates(pem).ok_or_else(|| {
        "The certificate chain field contains an invalid certificate. Please ensure the certificates are in PEM format."
            .to_owned()
    })?;
    if read.len() > CHAIN_MAX {
        return Err(format!("The certificate chain has more than {CHAIN_MAX} certificates."));
    }
    Ok(read)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let parsed = X509Certificate::from_der(der).map(|(_, parsed)| parsed);
    parsed.map_err(|_| "Unable to parse certificate. Please ensure the certificate is in PEM format.".to_owned())
}

/// Each one is signed by the next; a certificate that comes alone is signed by itself.
fn check_chain(own: &CertificateDer<'_>, issuers: &[CertificateDer<'_>]) -> Result<(), String> {
    let own = parse(own)?;
    if issuers.is_empty() {
        return if is_signed_by(&own, &own) {
            Ok(())
        } else {
            Err("Provided certificate is not a valid self signed. Please provide either a valid self-signed certificate \
                 or certificate chain."
                .to_owned())
        };
    }
    let mut below = own;
    for (index, der) in issuers.iter().enumerate() {
        let issuer = parse(der)?;
        if !is_signed_by(&below, &issuer) {
            return Err(format!(
                "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
                 certificate, followed by any intermediaries in order. The index within the chain of the invalid \
                 certificate is: {index}"
            ));
        }
        below = issuer;
    }
    Ok(())
}

/// By name and by signature. Which of the provider's algorithms it is follows from what verifies.
fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let key = &issuer.public_key().subject_public_key.data;
    let (message, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    let mut algorithms = default_provider().signature_verification_algorithms.all.iter();
    algorithms.any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

fn check_key(own: &CertificateDer<'_>, pem: &[u8]) -> Result<(), String> {
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err("The private key is encrypted. Provide a private key without a passphrase.".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem);
    let key = key.map_err(|_| "The private key is not in PEM format or is not supported.".to_owned())?;
    let key = sign::any_supported_type(&key).map_err(|_| "The private key is not supported.".to_owned())?;
    let matches = CertifiedKey::new(vec![own.clone().into_owned()], key).keys_match();
    matches.map_err(|_| "The private key does not match the certificate.".to_owned())
}

fn facts(own: &CertificateDer<'_>) -> Result<CertificateFacts, String> {
    let parsed = parse(own)?;
    let time = |at: x509_parser::time::ASN1Time| Timestamp(at.timestamp().saturating_mul(1000));
    Ok(CertificateFacts {
        subject: distinguished(parsed.subject()),
        issuer: short(parsed.issuer()),
        serial: parsed.raw_serial_as_string(),
        names: names(&parsed),
        not_before: time(parsed.validity().not_before),
        not_after: time(parsed.validity().not_after),
        key_algorithm: key_algorithm(&parsed)?,
        signature_algorithm: signature_algorithm(&parsed),
        key_usages: key_usages(&parsed),
        extended_key_usages: extended_key_usages(&parsed),
    })
}

/// `C=US,O=Example,CN=www.example.com`
fn distinguished(name: &X509Name<'_>) -> String {
    name.to_string().replace(", ", ",")
}

/// The organization, or the common name.
fn short(name: &X509Name<'_>) -> String {
    let mut parts = name.iter_organization().chain(name.iter_common_name());
    parts.find_map(|part| part.as_str().ok()).unwrap_or_default().to_owned()
}

/// The subject's own name first, then the alternative ones, in lower case and each once.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let own = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let alternative =
        alternative.filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
    let mut names: Vec<String> = Vec::new();
    for name in own.chain(alternative).map(str::to_ascii_lowercase).filter(|name| is_domain(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// With a dot, and with a wildcard in its first place only.
fn is_domain(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    rest.contains('.') && rest.split('.').all(is_label)
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> Result<String, String> {
    let key = certificate.public_key();
    let unsupported = || "The key algorithm of the certificate is not supported.".to_owned();
    if key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = key.parsed().map_err(|_| unsupported())?.key_size();
        let is_supported = matches!(bits, 2048 | 3072 | 4096);
        return is_supported.then(|| format!("RSA_{bits}")).ok_or_else(|| {
            format!("The private key length for key algorithm is not supported: it must have {RSA_BITS_LEAST}, 3072 or 4096 bits.")
        });
    }
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return Err(unsupported());
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curves = [(OID_EC_P256, "prime256v1"), (OID_NIST_EC_P384, "secp384r1"), (OID_NIST_EC_P521, "secp521r1")];
    let known = curves.into_iter().find(|(oid, _)| curve.as_ref() == Some(oid));
    known.map(|(_, name)| format!("EC_{name}")).ok_or_else(unsupported)
}

fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    let names = [
        (OID_PKCS1_SHA256WITHRSA, "SHA256WITHRSA"),
        (OID_PKCS1_SHA384WITHRSA, "SHA384WITHRSA"),
        (OID_PKCS1_SHA512WITHRSA, "SHA512WITHRSA"),
        (OID_SIG_ECDSA_WITH_SHA256, "SHA256WITHECDSA"),
        (OID_SIG_ECDSA_WITH_SHA384, "SHA384WITHECDSA"),
        (OID_SIG_ECDSA_WITH_SHA512, "SHA512WITHECDSA"),
    ];
    let oid = &certificate.signature_algorithm.algorithm;
    names.iter().find(|(known, _)| known == oid).map_or_else(|| oid.to_string(), |(_, name)| (*name).to_owned())
}

fn key_usages(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(usage)) = certificate.key_usage() else { return Vec::new() };
    let usage = usage.value;
    let names = [
        (usage.digital_signature(), "DIGITAL_SIGNATURE"),
        (usage.non_repudiation(), "NON_REPUDIATION"),
        (usage.key_encipherment(), "KEY_ENCIPHERMENT"),
        (usage.data_encipherment(), "DATA_ENCIPHERMENT"),
        (usage.key_agreement(), "KEY_AGREEMENT"),
        (usage.key_cert_sign(), "CERTIFICATE_SIGNING"),
        (usage.crl_sign(), "CRL_SIGNING"),
        (usage.encipher_only(), "ENCIPHER_ONLY"),
        (usage.decipher_only(), "DECIPHER_ONLY"),
    ];
    names.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect()
}

fn extended_key_usages(certificate: &X509Certificate<'_>) -> Vec<(String, String)> {
    let Ok(Some(usage)) = certificate.extended_key_usage() else { return Vec::new() };
    let usage = usage.value;
    let known = [
        (usage.any, "ANY", "2.5.29.37.0"),
        (usage.server_auth, "TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, "TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, "CODE_SIGNING", "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "EMAIL_PROTECTION", "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "TIME_STAMPING", "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "OCSP_SIGNING", "1.3.6.1.5.5.7.3.9"),
    ];
    let known = known.into_iter().filter(|(is_set, ..)| *is_set);
    let known = known.map(|(_, name, oid)| (name.to_owned(), oid.to_owned()));
    known.chain(usage.other.iter().map(|oid| ("CUSTOM".to_owned(), oid.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };

    use super::*;

    /// In the middle of the validity of what is made here.
    const NOW: Timestamp = Timestamp(1_795_251_600_000);

    struct Made {
        params: CertificateParams,
        pem: String,
        key: KeyPair,
    }

    fn params(names: &[&str], common_name: &str) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
    }

    fn self_signed(params: CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Made { params, pem, key }
    }

    fn authority(name: &str) -> Made {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self_signed(params)
    }

    fn signed_by(issuer: &Made, params: CertificateParams) -> Made {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap().pem();
        Made { params, pem, key }
    }

    fn read(certificate: &str, chain: Option<&str>, key: &str) -> Result<Read, String> {
        Given { certificate: certificate.as_bytes(), chain: chain.map(str::as_bytes), key: key.as_bytes() }.read(NOW)
    }

    #[track_caller]
    fn refused(certificate: &str, chain: Option<&str>, key: &str, expected: &str) {
        let error = read(certificate, chain, key).expect_err(expected);
        assert!(error.contains(expected), "{error:?} says {expected:?}");
    }

    #[test]
    fn what_a_certificate_says() {
        let mut params = params(&["www.example.com", "*.example.com", "127.0.0.1"], "www.example.com");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.serial_number = Some(vec![0x12, 0xab].into());
        let made = self_signed(params);
        let facts = read(&made.pem, None, &made.key.serialize_pem()).unwrap().facts;
        assert_eq!(facts.names, ["www.example.com", "*.example.com"]);
        assert!(facts.subject.contains("CN=www.example.com"), "{}", facts.subject);
        assert_eq!(facts.serial, "12:ab");
        assert_eq!(facts.key_algorithm, "EC_prime256v1");
        assert_eq!(facts.signature_algorithm, "SHA256WITHECDSA");
        assert_eq!(facts.key_usages, ["DIGITAL_SIGNATURE"]);
        assert_eq!(facts.extended_key_usages[0].0, "TLS_WEB_SERVER_AUTHENTICATION");
    }

    #[test]
    fn chains() {
        let (root, other) = (authority("root"), authority("other"));
        let mut below = params(&[], "intermediate");
        below.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let intermediate = signed_by(&root, below);
        let made = signed_by(&intermediate, params(&["a.com"], "a.com"));
        let key = made.key.serialize_pem();
        let whole = format!("{}{}", intermediate.pem, root.pem);
        assert!(read(&made.pem, Some(&whole), &key).is_ok());
        assert!(read(&made.pem, Some(&intermediate.pem), &key).is_ok());
        refused(&made.pem, None, &key, "not a valid self signed");
        refused(&made.pem, Some(&root.pem), &key, "invalid certificate is: 0");
        refused(&made.pem, Some(&format!("{}{}", intermediate.pem, other.pem)), &key, "invalid certificate is: 1");
        // Of the same name, and not the one that has signed.
        refused(&made.pem, Some(&signed_by(&root, intermediate.params.clone()).pem), &key, "invalid certificate is: 0");
        refused(&made.pem, Some("nonsense"), &key, "chain field contains an invalid certificate");
        refused(&made.pem, Some(&root.pem.repeat(CHAIN_MAX + 1)), &key, "more than 10");
    }

    #[test]
    fn what_is_no_certificate_or_not_its_key() {
        let (made, other) = (self_signed(params(&["a.com"], "a.com")), KeyPair::generate().unwrap());
        let key = made.key.serialize_pem();
        refused("nonsense", None, &key, "PEM format");
        refused(&made.pem.replace("MII", "AAA"), None, &key, "nable to parse certificate");
        refused(&made.pem.repeat(2), None, &key, "more than one certificate");
        refused(&made.pem, None, &other.serialize_pem(), "does not match");
        refused(&made.pem, None, "nonsense", "private key is not in PEM format");
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        refused(&made.pem, None, &encrypted, "encrypted");
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let unsupported = params(&["a.com"], "a.com").self_signed(&ed25519).unwrap().pem();
        refused(&unsupported, None, &ed25519.serialize_pem(), "key algorithm of the certificate is not supported");
    }

    #[test]
    fn validity() {
        let mut expired = params(&["a.com"], "a.com");
        expired.not_after = rcgen::date_time_ymd(2026, 1, 1);
        let expired = self_signed(expired);
        refused(&expired.pem, None, &expired.key.serialize_pem(), "validity period");
    }
}
