//! Values that are not compared as text: versions and points in time.

use std::cmp::Ordering;
use std::fmt;

use crate::Timestamp;

/// A dotted version with an optional suffix: `1.20`, `1.20.0`, `v1.82.3-rc1`. Missing parts count as zero; a version
/// with a suffix comes before the same one without.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    parts: Vec<u64>,
    suffix: String,
}

impl Version {
    /// `None` when the text does not begin with a number, or a part exceeds 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
        let (numbers, suffix) = bare.split_at(end);
        let parts = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Self { text: text.to_owned(), parts, suffix: suffix.to_owned() })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.parts.len().max(other.parts.len());
        let part = |version: &Self, index: usize| version.parts.get(index).copied().unwrap_or(0);
        let numbers = (0..length).map(|index| part(self, index).cmp(&part(other, index)));
        let release = |version: &Self| version.suffix.is_empty();
        numbers
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| release(self).cmp(&release(other)))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `2018-06-18T22:28:28+00:00`, `…Z`, without a zone (then UTC), or a date alone (its first moment).
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(timestamp.as_millisecond()));
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let check = |lower: &str, higher: &str| {
            let (low, high) = (Version::parse(lower).unwrap(), Version::parse(higher).unwrap());
            assert!(low < high, "{lower} < {higher}");
        };
        check("1.9", "1.10");
        check("1.9.9", "1.10.0");
        check("1", "1.0.1");
        check("1.20.0-rc1", "1.20.0");
        check("v1.2", "1.3");
        assert_eq!(Version::parse("1.20"), Version::parse("1.20.0"));
        for text in ["", "v", "x1", "1..2", "1.", "99999999999999999999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_in_all_four_forms() {
        let expected = Some(Timestamp(1_529_360_908_000));
        for text in ["2018-06-18T22:28:28+00:00", "2018-06-18T22:28:28Z", "2018-06-18T22:28:28"] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        assert_eq!(parse_time("2018-06-18"), Some(Timestamp(1_529_280_000_000)));
        for text in ["", "yesterday", "2018-13-01", "2018-06-18T25:00:00"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
