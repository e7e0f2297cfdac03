//! The options of the `awslogs` driver (ecs-semantics §2.7).

use model::task_definition::LogConfiguration;
use regex::RegexBuilder;

use super::{Verdict, refuse};

const REQUIRED: [&str; 2] = ["awslogs-group", "awslogs-region"];
const OPTIONS: [&str; 8] = [
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
];
const MULTILINE_PATTERN_LENGTH_MAX: usize = 1024;
/// Once compiled; the node has the same bound.
const MULTILINE_PATTERN_BYTES_MAX: usize = 1 << 20;

pub(super) fn check(logs: &LogConfiguration) -> Verdict {
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| logs.option(name).is_none_or(str::is_empty)).collect();
    if !missing.is_empty() {
        return refuse(format!("Log driver {} requires options: {}", logs.driver, missing.join(", ")));
    }
    let unknown: Vec<&str> =
        logs.options.iter().map(|(name, _)| name.as_str()).filter(|name| !OPTIONS.contains(name)).collect();
    if !unknown.is_empty() {
        return refuse(format!("Log driver {} disallows options: {}", logs.driver, unknown.join(", ")));
    }
    check_value(logs, "awslogs-group", "a log group name", is_group_name)?;
    check_value(logs, "awslogs-region", "a region", is_region)?;
    check_value(logs, "awslogs-stream-prefix", "a log stream name", is_stream_prefix)?;
    check_value(logs, "awslogs-create-group", "true or false", |value| ["true", "false"].contains(&value))?;
    check_value(logs, "awslogs-multiline-pattern", "a regular expression", is_pattern)?;
    check_value(logs, "mode", "blocking or non-blocking", |value| ["blocking", "non-blocking"].contains(&value))?;
    check_value(logs, "max-buffer-size", "a number of bytes with an optional unit k, m or g", is_size)?;
    check_exclusions(logs)
}

fn check_value(logs: &LogConfiguration, option: &str, expected: &str, is_valid: impl Fn(&str) -> bool) -> Verdict {
    match logs.option(option) {
        Some(value) if !is_valid(value) => {
            refuse(format!("Invalid value '{value}' for log option '{option}'. It must be {expected}."))
        }
        _ => Ok(()),
    }
}

fn check_exclusions(logs: &LogConfiguration) -> Verdict {
    if logs.option("awslogs-datetime-format").is_some() && logs.option("awslogs-multiline-pattern").is_some() {
        return refuse("The log options 'awslogs-datetime-format' and 'awslogs-multiline-pattern' exclude each other.");
    }
    if logs.option("mode") == Some("blocking") && logs.option("max-buffer-size").is_some() {
        return refuse("The log option 'max-buffer-size' is only supported with mode 'non-blocking'.");
    }
    Ok(())
}

fn is_group_name(name: &str) -> bool {
    (1..=512).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/#".contains(&b))
}

fn is_region(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Room is left for `/<container>/<task>` in the 512 characters of a stream's name.
fn is_stream_prefix(prefix: &str) -> bool {
    prefix.len() <= 200 && !prefix.contains([':', '*'])
}

fn is_pattern(pattern: &str) -> bool {
    pattern.len() <= MULTILINE_PATTERN_LENGTH_MAX
        && RegexBuilder::new(pattern).size_limit(MULTILINE_PATTERN_BYTES_MAX).build().is_ok()
}

/// As docker reads sizes: `25m`, `1g`, `4096`, `10mb`, `10MiB`.
fn is_size(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &lower[digits.len()..];
    let is_number = digits.parse::<u64>().is_ok_and(|number| number > 0);
    is_number && ["", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib"].contains(&unit)
}
