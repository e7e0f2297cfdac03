//! The canonical form of a request, over which both sides compute the signature.
//!
//! The path of every service but S3 is normalised (`//`, `.` and `..` resolved) and encoded once more than it was on
//! the wire; S3 keys are taken as they are.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Request;
use super::claim::{Claim, SIGNATURE_PARAMETER, SignedPayload};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Room for the usual request, so that the text is built without growing.
const USUAL_LENGTH: usize = 768;

pub(super) fn request(request: &Request<'_>, claim: &Claim) -> String {
    let mut text = String::with_capacity(USUAL_LENGTH);
    text.push_str(request.method);
    text.push('\n');
    push_path(&mut text, request.path, claim.is_s3());
    text.push('\n');
    push_query(&mut text, request.query);
    text.push('\n');
    for name in &claim.signed_headers {
        text.push_str(name);
        text.push(':');
        push_header_values(&mut text, request, name);
        text.push('\n');
    }
    text.push('\n');
    push_joined(&mut text, &claim.signed_headers, ";");
    text.push('\n');
    push_payload(&mut text, request, &claim.payload);
    text
}

fn push_payload(text: &mut String, request: &Request<'_>, payload: &SignedPayload) {
    match payload {
        SignedPayload::Body => text.push_str(&hex::encode(request.body_sha256)),
        SignedPayload::Unsigned => text.push_str(super::claim::UNSIGNED_PAYLOAD),
        SignedPayload::Streaming(form) => text.push_str(form),
    }
}

fn push_joined(text: &mut String, parts: &[String], separator: &str) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        text.push_str(part);
    }
}

fn push_path(text: &mut String, path: &str, is_s3: bool) {
    if is_s3 {
        return push_segments(text, path.strip_prefix('/').unwrap_or(path).split('/').map(decode));
    }
    if path == "/" || path.is_empty() {
        return text.push('/');
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let is_directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if is_directory && !segments.is_empty() {
        segments.push("");
    }
    push_segments(text, segments.into_iter().map(|segment| segment.as_bytes().into()));
}

fn push_segments<'a>(text: &mut String, segments: impl Iterator<Item = std::borrow::Cow<'a, [u8]>>) {
    let start = text.len();
    for segment in segments {
        text.push('/');
        push_encoded(text, &segment);
    }
    if text.len() == start {
        text.push('/');
    }
}

/// Parameters decoded, encoded in the one canonical way, and sorted by name, then value. The signature is not signed.
fn push_query(text: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (recode(name), recode(value)))
        .filter(|(name, _)| name != SIGNATURE_PARAMETER)
        .collect();
    parameters.sort_unstable();
    for (index, (name, value)) in parameters.iter().enumerate() {
        let separator = if index == 0 { "" } else { "&" };
        let _ = write!(text, "{separator}{name}={value}");
    }
}

fn recode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, &decode(&text.replace('+', " ")));
    out
}

fn decode(text: &str) -> std::borrow::Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

fn push_encoded(text: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(valid) => text.extend(utf8_percent_encode(valid, ENCODED)),
        Err(_) => text.extend(percent_encoding::percent_encode(bytes, ENCODED)),
    }
}

/// Values of one name joined by commas, each trimmed and with inner runs of white space folded to one space.
fn push_header_values(text: &mut String, request: &Request<'_>, name: &str) {
    for (index, value) in request.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_folded(text, &String::from_utf8_lossy(value.as_bytes()));
    }
}

fn push_folded(text: &mut String, value: &str) {
    for (index, word) in value.split([' ', '\t']).filter(|word| !word.is_empty()).enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}
