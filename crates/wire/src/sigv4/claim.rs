//! What a request claims about its signer: read from the `Authorization` header or, when the request is presigned,
//! from the query. Nothing in a [`Claim`] is proven until [`super::verify`] says so.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::{ALGORITHM, CLOCK_SKEW_SECONDS_MAX, PRESIGNED_EXPIRES_SECONDS_MAX, Refusal, Request, SIGNED_HEADERS_MAX};

/// The last part of every credential scope.
pub(super) const TERMINATOR: &str = "aws4_request";
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";
pub(super) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
const STREAMING_PAYLOADS: [&str; 3] = [
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];
/// `20150830T123600Z`.
const TIMESTAMP_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// `<date>/<region>/<service>/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialScope {
    /// `YYYYMMDD`.
    pub date: String,
    pub region: String,
    /// The signing name, e.g. `ecs`.
    pub service: String,
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// How the body is bound to the signature. All services but S3 bind the whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPayload {
    Body,
    /// S3 only: the body is not covered.
    Unsigned,
    /// S3 only: the body comes in chunks that the receiver must check on their own. The value is the literal form.
    Streaming(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub access_key_id: String,
    pub scope: CredentialScope,
    /// Temporary credentials carry one.
    pub session_token: Option<String>,
    pub payload: SignedPayload,
    /// As it is in the string to sign: `20150830T123600Z`.
    pub(super) timestamp: String,
    /// Seconds since the epoch.
    pub(super) signed_at: i64,
    /// Seconds that a presigned request lives.
    pub(super) expires_after: Option<i64>,
    /// Lower case, in the signer's order.
    pub(super) signed_headers: Vec<String>,
    /// Hex.
    pub(super) signature: String,
}

impl Claim {
    pub(super) fn of_header(
        access_key_id: &str,
        scope: CredentialScope,
        timestamp: &str,
        signed_headers: Vec<String>,
    ) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            scope,
            session_token: None,
            payload: SignedPayload::Body,
            timestamp: timestamp.to_owned(),
            signed_at: 0,
            expires_after: None,
            signed_headers,
            signature: String::new(),
        }
    }

    pub(super) fn signs(&self, header: &str) -> bool {
        self.signed_headers.iter().any(|name| name == header)
    }

    pub(super) fn is_s3(&self) -> bool {
        is_s3(&self.scope.service)
    }

    /// The clock skew for header signatures, the stated life for presigned ones.
    pub(super) fn check_times(&self, now: i64) -> Result<(), Refusal> {
        if self.signed_at > now.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(Refusal::TooNew {
                signed: self.timestamp.clone(),
                latest: format_time(now.saturating_add(CLOCK_SKEW_SECONDS_MAX)),
                now: format_time(now),
            });
        }
        let age = now.saturating_sub(self.signed_at);
        match self.expires_after {
            Some(life) if age > life => Err(Refusal::PresignedExpired),
            Some(_) => Ok(()),
            None if age > CLOCK_SKEW_SECONDS_MAX => Err(Refusal::TooOld {
                signed: self.timestamp.clone(),
                earliest: format_time(now.saturating_sub(CLOCK_SKEW_SECONDS_MAX)),
                now: format_time(now),
            }),
            None => Ok(()),
        }
    }
}

fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3-object-lambda" | "s3express")
}

/// The claim of a request, unproven.
///
/// # Errors
/// [`Refusal::Missing`] when nothing is signed, [`Refusal::Incomplete`] for what cannot be read, [`Refusal::Scope`]
/// for a credential scope whose date or last part is wrong.
pub fn read(request: &Request<'_>) -> Result<Claim, Refusal> {
    let is_presigned =
        has_parameter(request.query, SIGNATURE_PARAMETER) || has_parameter(request.query, "X-Amz-Algorithm");
    match (request.headers.get(http::header::AUTHORIZATION), is_presigned) {
        (Some(_), true) => Err(Refusal::Incomplete(
            "Only one of the 'Authorization' header and the 'X-Amz-Algorithm' query-string parameter may be given."
                .to_owned(),
        )),
        (Some(header), false) => read_header(request, header.as_bytes()),
        (None, true) => read_query(request),
        (None, false) => Err(Refusal::Missing),
    }
}

fn read_header(request: &Request<'_>, header: &[u8]) -> Result<Claim, Refusal> {
    let text = std::str::from_utf8(header).map_err(|_| Refusal::Missing)?.trim();
    let (algorithm, parameters) = text.split_once(' ').unwrap_or((text, ""));
    check_algorithm(algorithm)?;
    let parameters = split_parameters(parameters, text)?;
    let find = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let (credential, signed_headers, signature) = (find("Credential"), find("SignedHeaders"), find("Signature"));
    let date = header_text(request, "x-amz-date").or_else(|| header_text(request, "date"));
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (credential, signed_headers, signature, date)
    else {
        let missing = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)];
        return Err(incomplete_header(&missing, date.is_none(), text));
    };
    let (timestamp, signed_at) = parse_time(date)?;
    let (access_key_id, scope) = parse_credential(credential, &timestamp)?;
    Ok(Claim {
        payload: payload(request, &scope.service, false),
        session_token: header_text(request, "x-amz-security-token").map(str::to_owned),
        expires_after: None,
        signed_headers: split_signed_headers(signed_headers)?,
        signature: signature.to_owned(),
        access_key_id,
        scope,
        timestamp,
        signed_at,
    })
}

fn read_query(request: &Request<'_>) -> Result<Claim, Refusal> {
    let find = |name| parameter(request.query, name);
    let names = ["X-Amz-Algorithm", "X-Amz-Credential", SIGNATURE_PARAMETER, "X-Amz-SignedHeaders", "X-Amz-Date"];
    let [Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date)] = names.map(find) else {
        let missing = names.into_iter().filter(|name| find(name).is_none());
        let lines: String =
            missing.map(|name| format!("AWS query-string parameters must include '{name}'. ")).collect();
        return Err(Refusal::Incomplete(format!("{lines}Re-examine the query-string parameters.")));
    };
    check_algorithm(&algorithm)?;
    let (timestamp, signed_at) = parse_time(&date)?;
    let (access_key_id, scope) = parse_credential(&credential, &timestamp)?;
    Ok(Claim {
        payload: payload(request, &scope.service, true),
        session_token: find("X-Amz-Security-Token").map(Cow::into_owned),
        expires_after: find("X-Amz-Expires").map(|text| parse_expires(&text)).transpose()?,
        signed_headers: split_signed_headers(&signed_headers)?,
        signature: signature.into_owned(),
        access_key_id,
        scope,
        timestamp,
        signed_at,
    })
}

fn check_algorithm(algorithm: &str) -> Result<(), Refusal> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    // Another scheme altogether (Basic, Bearer) is no AWS signature at all.
    if !algorithm.starts_with("AWS") {
        return Err(Refusal::Missing);
    }
    Err(Refusal::Incomplete(format!("Unsupported AWS 'algorithm': '{}'.", shown(algorithm))))
}

fn split_parameters<'a>(parameters: &'a str, header: &str) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let parts = parameters.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            part.split_once('=').ok_or_else(|| {
                Refusal::Incomplete(format!(
                    "'{}' not a valid key=value pair (missing equal-sign) in Authorization header {}.",
                    shown(part),
                    fingerprint(header)
                ))
            })
        })
        .collect()
}

fn incomplete_header(parameters: &[(&str, Option<&str>)], lacks_date: bool, header: &str) -> Refusal {
    let mut text: String = parameters
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("Authorization header requires '{name}' parameter. "))
        .collect();
    if lacks_date {
        text.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
    }
    Refusal::Incomplete(format!("{text}{}", fingerprint(header)))
}

/// The header in a form that helps to compare but cannot be replayed.
fn fingerprint(header: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(header.as_bytes()));
    format!("(Hashed with SHA-256 and encoded with Base64) Authorization={hash}")
}

fn parse_credential(credential: &str, timestamp: &str) -> Result<(String, CredentialScope), Refusal> {
    let parts: Vec<&str> = credential.split('/').collect();
    let [access_key_id, date, region, service, terminator] = parts[..] else {
        return Err(Refusal::Incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
            shown(credential)
        )));
    };
    if terminator != TERMINATOR {
        return Err(Refusal::Scope(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            shown(terminator)
        )));
    }
    if !timestamp.starts_with(date) || date.len() != 8 {
        return Err(Refusal::Scope(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', \
             from '{timestamp}'.",
            shown(date),
            &timestamp[..8],
        )));
    }
    let scope = CredentialScope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() };
    Ok((access_key_id.to_owned(), scope))
}

fn split_signed_headers(text: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = text.split(';').map(str::to_ascii_lowercase).collect();
    if names.len() > SIGNED_HEADERS_MAX || !names.is_sorted() {
        return Err(Refusal::Incomplete(format!(
            "SignedHeaders must be at most {SIGNED_HEADERS_MAX} lower-case names in alphabetical order."
        )));
    }
    Ok(names)
}

fn parse_expires(text: &str) -> Result<i64, Refusal> {
    let refuse = |why: &str| Err(Refusal::Incomplete(why.to_owned()));
    match text.parse::<i64>() {
        Err(_) => refuse("X-Amz-Expires should be a number"),
        Ok(seconds) if seconds < 0 => refuse("X-Amz-Expires must be non-negative"),
        Ok(seconds) if seconds > PRESIGNED_EXPIRES_SECONDS_MAX => refuse(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ),
        Ok(seconds) => Ok(seconds),
    }
}

/// ISO 8601 basic, or the HTTP form in a `Date` header. Gives the basic form and the seconds since the epoch.
fn parse_time(text: &str) -> Result<(String, i64), Refusal> {
    let text = text.trim();
    if let Some(seconds) = parse_basic_time(text) {
        return Ok((text.to_owned(), seconds));
    }
    match jiff::fmt::rfc2822::parse(text) {
        Ok(time) => Ok((format_time(time.timestamp().as_second()), time.timestamp().as_second())),
        Err(_) => Err(Refusal::Incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
            shown(text)
        ))),
    }
}

fn parse_basic_time(text: &str) -> Option<i64> {
    if text.len() != 16 {
        return None;
    }
    let time = DateTime::strptime(TIMESTAMP_FORMAT, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

pub(super) fn format_time(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime(TIMESTAMP_FORMAT).to_string(),
        Err(_) => seconds.to_string(),
    }
}

fn payload(request: &Request<'_>, service: &str, is_presigned: bool) -> SignedPayload {
    if !is_s3(service) {
        return SignedPayload::Body;
    }
    match header_text(request, "x-amz-content-sha256") {
        Some(UNSIGNED_PAYLOAD) => SignedPayload::Unsigned,
        Some(form) if STREAMING_PAYLOADS.contains(&form) => SignedPayload::Streaming(form.to_owned()),
        None if is_presigned => SignedPayload::Unsigned,
        _ => SignedPayload::Body,
    }
}

fn header_text<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn has_parameter(query: &str, name: &str) -> bool {
    parameter(query, name).is_some()
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query
        .split('&')
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .find(|(key, _)| percent_encoding::percent_decode_str(key).eq(name.bytes()))?
        .1;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy())
}

/// What a refusal repeats of the caller's own words is bounded.
fn shown(text: &str) -> &str {
    const SHOWN_BYTES_MAX: usize = 200;
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= SHOWN_BYTES_MAX).last().unwrap_or(0);
    if text.len() <= SHOWN_BYTES_MAX { text } else { &text[..end] }
}
