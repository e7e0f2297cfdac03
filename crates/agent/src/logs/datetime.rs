//! `awslogs-datetime-format`: a regular expression in which `%` and a letter stand for a part of a date or time.

/// The pattern that such a format means.
///
/// # Errors
/// Answers the part that is not known.
pub fn pattern(format: &str) -> Result<String, String> {
    let mut pattern = String::new();
    let mut rest = format.chars();
    while let Some(letter) = rest.next() {
        if letter != '%' {
            pattern.push(letter);
            continue;
        }
        let directive = rest.next().ok_or("%")?;
        pattern.push_str(part(directive).ok_or_else(|| format!("%{directive}"))?);
    }
    Ok(pattern)
}

fn part(directive: char) -> Option<&'static str> {
    Some(match directive {
        'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
        'A' => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
        'w' => "[0-6]",
        'd' => "(?:0[1-9]|[12][0-9]|3[01])",
        'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
        'B' => "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
        'm' => "(?:0[1-9]|1[0-2])",
        'Y' => r"\d{4}",
        'y' => r"\d{2}",
        'H' => "(?:[01][0-9]|2[0-3])",
        'I' => "(?:0[1-9]|1[0-2])",
        'p' => "[AP]M",
        'M' | 'S' => "[0-5][0-9]",
        'f' => r"\d{6}",
        'L' => r"\.\d{3}",
        'z' => r"[+-]\d{4}",
        'Z' => "[A-Z]{1,4}T",
        'j' => "(?:00[1-9]|0[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-6])",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn formats_match_what_they_describe() {
        let check = |format: &str, text: &str, expected: bool| {
            let regex = Regex::new(&pattern(format).unwrap()).unwrap();
            assert_eq!(regex.is_match(text), expected, "{format}: {text}");
        };
        check(r"\[%b %d, %Y %H:%M:%S\]", "[May 01, 2026 19:00:01] A message", true);
        check(r"\[%b %d, %Y %H:%M:%S\]", "\tat com.example.Main", false);
        check("%Y-%m-%dT%H:%M:%S%L%z", "2026-11-21T09:00:00.123+0000 x", true);
        check("%Y-%m-%d", "2026-13-01", false);
        check("%H:%M", "24:00", false);
        check("^%I:%M %p", "09:30 PM", true);
        check("%j %A %y %B %a %w %f %Z", "060 Monday 26 March Mon 1 123456 CEST", true);
    }

    #[test]
    fn unknown_parts_are_named() {
        assert_eq!(pattern("%Y %q"), Err("%q".into()));
        assert_eq!(pattern("100%"), Err("%".into()));
    }
}
