//! CloudWatch Logs filter patterns, as FilterLogEvents takes them, in all three forms:
//!
//! - terms: `ERROR "out of memory" -debug ?a ?b %regex%`
//! - JSON: `{ ($.level = "error" || $.code >= 500) && $.user NOT EXISTS }`
//! - space-delimited: `[ip, user, ..., status = 4*, bytes > 1000]`
//!
//! Parsing is bounded ([`PATTERN_CHARS_MAX`], [`NESTING_MAX`]); matching has no state and no failure.

pub mod json;
mod scan;
pub mod space;
pub mod terms;

use regex::{Regex, RegexBuilder};

/// AWS's bound on a pattern.
pub const PATTERN_CHARS_MAX: usize = 1024;
pub(crate) const NESTING_MAX: usize = 32;
const REGEX_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
pub enum Pattern {
    /// The empty pattern.
    Everything,
    Terms(terms::Terms),
    Json(json::Condition),
    Space(space::Fields),
}

/// Why a pattern was refused. Shown to the caller as `InvalidParameterException: Invalid filter pattern`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(pub String);

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.chars().count() > PATTERN_CHARS_MAX {
            return Err(invalid(format!("a filter pattern has at most {PATTERN_CHARS_MAX} characters")));
        }
        let text = text.trim();
        match text.as_bytes() {
            [] => Ok(Self::Everything),
            [b'{', ..] => json::parse(text).map(Self::Json),
            [b'[', ..] => space::parse(text).map(Self::Space),
            _ => terms::parse(text).map(Self::Terms),
        }
    }

    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Terms(terms) => terms.matches(message),
            Self::Json(condition) => serde_json::from_str(message).is_ok_and(|value| condition.matches(&value)),
            Self::Space(fields) => fields.matches(message),
        }
    }
}

pub(crate) fn invalid(text: impl Into<String>) -> InvalidPattern {
    InvalidPattern(text.into())
}

fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|_| invalid(format!("'{pattern}' is not a regular expression")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// The right side of a comparison: a number, a text with `*` as wildcard, or a regular expression.
#[derive(Clone, Debug)]
pub enum Operand {
    Number(f64),
    Text(String),
    Wildcard(Regex),
    Regex(Regex),
}

impl Operand {
    pub(crate) fn text(text: &str) -> Result<Self, InvalidPattern> {
        if !text.contains('*') {
            return Ok(Self::Text(text.to_owned()));
        }
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        compile(&format!("(?s)^{}$", parts.join(".*"))).map(Self::Wildcard)
    }

    pub(crate) fn regex(pattern: &str) -> Result<Self, InvalidPattern> {
        compile(pattern).map(Self::Regex)
    }

    /// A text is compared for (in)equality only; a number also by order, when the field reads as one.
    pub(crate) fn compare(&self, comparison: Comparison, field: &str) -> bool {
        let equal = match self {
            Self::Number(number) => {
                return match field.parse::<f64>() {
                    Ok(value) => comparison.holds(value, *number),
                    Err(_) => comparison == Comparison::NotEqual,
                };
            }
            Self::Text(text) => text == field,
            Self::Wildcard(regex) | Self::Regex(regex) => regex.is_match(field),
        };
        match comparison {
            Comparison::Equal => equal,
            Comparison::NotEqual => !equal,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
