//! Why a request was not authenticated, in AWS's words, spelled as each family of services spells it.

use http::StatusCode;

/// The families of services that name and number the same refusal differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON and CBOR services: `…Exception`, always 400.
    Json,
    /// Query and REST services.
    Query,
    Ec2,
}

/// `Display` is the text for JSON and Query; EC2 words some of them on its own, see [`Refusal::message`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Request is missing Authentication Token")]
    Missing,
    /// The text names all that is missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    )]
    SignatureMismatch,
    #[error("Signature expired: {signed} is now earlier than {earliest} ({now} - 15 min.)")]
    TooOld { signed: String, earliest: String, now: String },
    #[error("Signature not yet current: {signed} is still later than {latest} ({now} + 15 min.)")]
    TooNew { signed: String, latest: String, now: String },
    #[error("Request has expired.")]
    PresignedExpired,
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    #[error("'{0}' must be a 'SignedHeader' in the AWS Authorization.")]
    HeaderNotSigned(String),
    /// The credential scope is not one that could be ours: its date, region, service or terminator.
    #[error("{0}")]
    Scope(String),
}

impl Refusal {
    /// The error code and HTTP status in the words of `dialect`.
    pub fn code(&self, dialect: Dialect) -> (&'static str, StatusCode) {
        let (json, query, ec2) = self.codes();
        match dialect {
            Dialect::Json => (json, StatusCode::BAD_REQUEST),
            Dialect::Query => query,
            Dialect::Ec2 => ec2,
        }
    }

    /// The text in the words of `dialect`.
    pub fn message(&self, dialect: Dialect) -> String {
        let is_vague = matches!(self, Self::UnknownAccessKey | Self::SignatureMismatch);
        match (dialect, self) {
            (Dialect::Ec2, _) if is_vague => "AWS was not able to validate the provided access credentials".to_owned(),
            (Dialect::Ec2, Self::Missing) => "The request must contain the parameter AWSAccessKeyId".to_owned(),
            (Dialect::Ec2, Self::TooOld { .. }) => "Request has expired.".to_owned(),
            (Dialect::Json, Self::Missing) => "Missing Authentication Token".to_owned(),
            _ => self.to_string(),
        }
    }

    fn codes(&self) -> (&'static str, (&'static str, StatusCode), (&'static str, StatusCode)) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const AUTH_FAILURE: (&str, StatusCode) = ("AuthFailure", StatusCode::UNAUTHORIZED);
        match self {
            Self::Missing => (
                "MissingAuthenticationTokenException",
                ("MissingAuthenticationToken", FORBIDDEN),
                ("MissingParameter", BAD),
            ),
            Self::Incomplete(_) => {
                ("IncompleteSignatureException", ("IncompleteSignature", BAD), ("IncompleteSignature", BAD))
            }
            Self::UnknownAccessKey => {
                ("UnrecognizedClientException", ("InvalidClientTokenId", FORBIDDEN), AUTH_FAILURE)
            }
            Self::PresignedExpired => ("RequestExpired", ("RequestExpired", BAD), ("RequestExpired", BAD)),
            Self::TooOld { .. } => {
                ("InvalidSignatureException", ("SignatureDoesNotMatch", FORBIDDEN), ("RequestExpired", BAD))
            }
            Self::SignatureMismatch
            | Self::TooNew { .. }
            | Self::HostNotSigned
            | Self::HeaderNotSigned(_)
            | Self::Scope(_) => ("InvalidSignatureException", ("SignatureDoesNotMatch", FORBIDDEN), AUTH_FAILURE),
        }
    }
}
