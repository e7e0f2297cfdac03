//! Timestamps as the protocols spell them.

use crate::schema::TimestampFormat;
use crate::value::Timestamp;

/// What every format here can spell. The last day of the year 9999 is left out, because `jiff` leaves it out.
const FIRST: i64 = -62_135_596_800_000; // 0001-01-01T00:00:00Z
const LAST: i64 = 253_402_207_200_000; // 9999-12-30T22:00:00Z

/// The text of `time`, without quotes. Moments beyond what all formats can spell become the nearest one within.
pub fn format(time: Timestamp, format: TimestampFormat) -> String {
    let milliseconds = time.0.clamp(FIRST, LAST);
    match format {
        TimestampFormat::EpochSeconds => epoch_seconds(milliseconds),
        TimestampFormat::DateTime => moment(milliseconds).to_string(),
        TimestampFormat::HttpDate => moment(milliseconds).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    }
}

/// Reads what [`format`] writes, and what else AWS's clients are known to send. `None` when it is no such time.
pub fn parse(text: &str, format: TimestampFormat) -> Option<Timestamp> {
    let milliseconds = match format {
        TimestampFormat::EpochSeconds => return from_seconds(text.parse().ok()?),
        TimestampFormat::DateTime => text.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
        TimestampFormat::HttpDate => jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond(),
    };
    bounded(milliseconds)
}

/// Seconds since the epoch, with a fraction; the nearest millisecond.
pub fn from_seconds(seconds: f64) -> Option<Timestamp> {
    if !seconds.is_finite() {
        return None;
    }
    // The cast saturates, and what it saturates to is out of bounds.
    bounded((seconds * 1000.0).round() as i64)
}

fn bounded(milliseconds: i64) -> Option<Timestamp> {
    (FIRST..=LAST).contains(&milliseconds).then_some(Timestamp(milliseconds))
}

fn moment(milliseconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(milliseconds).expect("clamped to what jiff can hold")
}

fn epoch_seconds(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (seconds, fraction) = (milliseconds.unsigned_abs() / 1000, milliseconds.unsigned_abs() % 1000);
    if fraction == 0 {
        return format!("{sign}{seconds}");
    }
    format!("{sign}{seconds}.{fraction:03}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_inverse() {
        for (milliseconds, form, text) in [
            (1_422_172_800_000, TimestampFormat::EpochSeconds, "1422172800"),
            (1_422_172_800_120, TimestampFormat::EpochSeconds, "1422172800.12"),
            (-1500, TimestampFormat::EpochSeconds, "-1.5"),
            (1_422_172_800_000, TimestampFormat::DateTime, "2015-01-25T08:00:00Z"),
            (1_422_172_800_123, TimestampFormat::DateTime, "2015-01-25T08:00:00.123Z"),
            (1_422_172_800_000, TimestampFormat::HttpDate, "Sun, 25 Jan 2015 08:00:00 GMT"),
        ] {
            assert_eq!(format(Timestamp(milliseconds), form), text);
            assert_eq!(parse(text, form), Some(Timestamp(milliseconds)), "{text}");
        }
    }

    #[test]
    fn absurd_times_are_refused_or_clamped() {
        for text in ["NaN", "inf", "1e300", "-1e300", "", "tomorrow"] {
            for form in [TimestampFormat::EpochSeconds, TimestampFormat::DateTime, TimestampFormat::HttpDate] {
                assert_eq!(parse(text, form), None, "{text}");
            }
        }
        assert_eq!(format(Timestamp(i64::MAX), TimestampFormat::DateTime), "9999-12-30T22:00:00Z");
        assert_eq!(format(Timestamp(i64::MIN), TimestampFormat::HttpDate), "Mon, 01 Jan 0001 00:00:00 GMT");
    }
}
