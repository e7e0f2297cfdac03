//! AWS Signature Version 4: verification of requests, in header and presigned form, and signing for our own clients.
//!
//! Pure: the time and the secrets are passed in. What this module does not do: decide which access keys exist, check
//! the signatures of the chunks of a streamed body, or compare the signed region with where a service runs.
//!
//! ```text
//! Request ── claim::read ──▶ Claim ── caller's lookup ──▶ SigningKey ── verify ──▶ Ok(Claim) | Refusal
//! ```
//! Rules that must hold:
//! - Nothing of the request is trusted before [`verify`] has answered `Ok`.
//! - Signatures are compared in constant time, and an unknown key is reported before any signature is computed.
//! - `host` and every `x-amz-*` header but the session token must be signed, or a header could be swapped on the way.

mod canonical;
mod claim;
mod refusal;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use claim::{Claim, CredentialScope, SignedPayload, read as read_claim};
pub use refusal::{Dialect, Refusal};

/// The one algorithm that is served.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the signer's clock may be from ours, either way.
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 15 * 60;
/// The longest life of a presigned request: seven days.
pub const PRESIGNED_EXPIRES_SECONDS_MAX: i64 = 604_800;
/// Headers that one signature may cover; more are refused before any work is done on them.
pub const SIGNED_HEADERS_MAX: usize = 128;

/// A request as it came in, before any decoding.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// Percent-encoded, as on the request line, without the query.
    pub path: &'a str,
    /// What follows `?`, or empty.
    pub query: &'a str,
    /// `host` must be among them (from `:authority` for HTTP/2).
    pub headers: &'a HeaderMap,
    /// SHA-256 of the body as received.
    pub body_sha256: &'a [u8; 32],
}

/// The key that signs for one day, region and service; derived from a secret access key.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    pub fn derive(secret: &str, scope: &CredentialScope) -> Self {
        let date = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
        let region = hmac(&date, scope.region.as_bytes());
        let service = hmac(&region, scope.service.as_bytes());
        Self(hmac(&service, claim::TERMINATOR.as_bytes()))
    }

    fn sign(&self, text: &str) -> [u8; 32] {
        hmac(&self.0, text.as_bytes())
    }
}

/// What `access_key_id` and `secret` are to a client.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub access_key_id: &'a str,
    pub secret: &'a str,
}

/// SHA-256 of a body, for [`Request::body_sha256`].
pub fn hash_body(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Checks the signature of `request`. `now` is in seconds since the epoch; `lookup` gives the signing key of a claim,
/// or `None` when its access key (or its session token) is not known.
///
/// # Errors
/// A [`Refusal`] for whatever AWS refuses; [`Refusal::code`] spells it for each protocol.
pub fn verify(
    request: &Request<'_>,
    now: i64,
    lookup: impl FnOnce(&Claim) -> Option<SigningKey>,
) -> Result<Claim, Refusal> {
    let claim = claim::read(request)?;
    verify_claim(request, &claim, now, lookup)?;
    Ok(claim)
}

/// As [`verify`], for a claim that was read from this request before.
///
/// # Errors
/// As `verify`.
pub fn verify_claim(
    request: &Request<'_>,
    claim: &Claim,
    now: i64,
    lookup: impl FnOnce(&Claim) -> Option<SigningKey>,
) -> Result<(), Refusal> {
    claim.check_times(now)?;
    let key = lookup(claim).ok_or(Refusal::UnknownAccessKey)?;
    check_coverage(request, claim)?;
    let expected = hex::encode(key.sign(&string_to_sign(request, claim)));
    if expected.as_bytes().ct_eq(claim.signature.as_bytes()).unwrap_u8() != 1 {
        return Err(Refusal::SignatureMismatch);
    }
    Ok(())
}

/// Every header that changes what a request means must be under the signature.
fn check_coverage(request: &Request<'_>, claim: &Claim) -> Result<(), Refusal> {
    if !claim.signs("host") {
        return Err(Refusal::HostNotSigned);
    }
    let uncovered = request.headers.keys().find(|name| {
        let name = name.as_str();
        name.starts_with("x-amz-") && name != "x-amz-security-token" && !claim.signs(name)
    });
    match uncovered {
        Some(name) => Err(Refusal::HeaderNotSigned(name.to_string())),
        None => Ok(()),
    }
}

fn string_to_sign(request: &Request<'_>, claim: &Claim) -> String {
    let canonical = canonical::request(request, claim);
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    format!("{ALGORITHM}\n{}\n{}\n{hash}", claim.timestamp, claim.scope)
}

/// The headers that a signature leaves out, because proxies and HTTP libraries change them.
const UNSIGNED_HEADERS: [&str; 7] =
    ["authorization", "connection", "expect", "te", "transfer-encoding", "user-agent", "x-amzn-trace-id"];

/// The `Authorization` header for a request whose headers already hold `host` and `x-amz-date` (`timestamp`, in the
/// form `20150830T123600Z`). Covers every header but those that travel badly.
pub fn sign(
    request: &Request<'_>,
    credentials: Credentials<'_>,
    timestamp: &str,
    region: &str,
    service: &str,
) -> String {
    let mut signed_headers: Vec<String> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
    signed_headers.retain(|name| !UNSIGNED_HEADERS.contains(&name.as_str()));
    signed_headers.sort_unstable();
    let scope = CredentialScope {
        date: timestamp.split('T').next().unwrap_or_default().to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
    };
    let claim = Claim::of_header(credentials.access_key_id, scope, timestamp, signed_headers);
    let signature =
        hex::encode(SigningKey::derive(credentials.secret, &claim.scope).sign(&string_to_sign(request, &claim)));
    format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
        credentials.access_key_id,
        claim.scope,
        claim.signed_headers.join(";"),
    )
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}
