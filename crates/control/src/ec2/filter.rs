//! Filters of the Describe operations: names with lists of values, joined by "and"; the values of one by "or".
//! Values may hold `*` and `?`; a backslash takes the next character as it is.

use wire::ec2::{Error, Filter};

use super::refuse;

/// Over all filters of one call.
const VALUES_MAX: usize = 200;

/// Whether an item passes all `filters`; `values` gives what the item has under a filter's name.
///
/// Call [`check`] before: names that are not known match nothing here.
pub(super) fn passes(filters: &[Filter], values: impl Fn(&str) -> Vec<String>) -> bool {
    filters.iter().all(|filter| {
        let has = values(filter.name.as_deref().unwrap_or_default());
        let wanted = filter.values.as_deref().unwrap_or_default();
        wanted.iter().any(|pattern| has.iter().any(|value| matches(pattern, value)))
    })
}

/// Refuses unknown names, filters without values and too many values.
pub(super) fn check(filters: &[Filter], known: &[&str]) -> Result<(), Error> {
    let mut total = 0;
    for filter in filters {
        let name = filter.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(refuse("MissingParameter", "The request must contain the parameter Filter.Name"));
        }
        if !known.contains(&name) && name != "tag-key" && !name.starts_with("tag:") {
            return Err(refuse("InvalidParameterValue", format!("The filter '{name}' is invalid")));
        }
        let values = filter.values.as_deref().unwrap_or_default();
        if values.is_empty() {
            return Err(refuse("InvalidParameterValue", "The filter 'null' is invalid"));
        }
        total += values.len();
    }
    if total > VALUES_MAX {
        return Err(refuse(
            "FilterLimitExceeded",
            format!("The maximum number of filter values specified on a single call is {VALUES_MAX}"),
        ));
    }
    Ok(())
}

/// Takes time in proportion to the two lengths multiplied, whatever the pattern.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = parse(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut text_at) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while text_at < text.len() {
        match pattern.get(at) {
            Some(Piece::Star) => {
                retry = Some((at + 1, text_at));
                at += 1;
            }
            Some(piece) if piece.fits(text[text_at]) => {
                at += 1;
                text_at += 1;
            }
            _ => {
                let Some((after_star, skipped)) = retry else { return false };
                retry = Some((after_star, skipped + 1));
                (at, text_at) = (after_star, skipped + 1);
            }
        }
    }
    pattern[at..].iter().all(|piece| *piece == Piece::Star)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Star,
    Any,
    Exactly(char),
}

impl Piece {
    fn fits(self, character: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => true,
            Self::Exactly(wanted) => wanted == character,
        }
    }
}

fn parse(pattern: &str) -> Vec<Piece> {
    let mut characters = pattern.chars();
    let mut pieces = Vec::new();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            '*' => Piece::Star,
            '?' => Piece::Any,
            '\\' => Piece::Exactly(characters.next().unwrap_or('\\')),
            _ => Piece::Exactly(character),
        });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values() {
        let cases = [
            ("subnet-1", "subnet-1", true),
            ("subnet-1", "subnet-12", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("us-east-1?", "us-east-1a", true),
            ("us-east-1?", "us-east-1", false),
            ("*east*", "us-east-1a", true),
            ("*east*1b", "us-east-1a", false),
            ("a*b*c", "aXbYbZc", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("Us-East-1", "us-east-1", false),
            ("é?", "éà", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn many_stars_are_no_trouble() {
        assert!(!matches(&"*a".repeat(500), &"b".repeat(5000)));
    }

    #[test]
    fn filters_are_checked() {
        let filter = |name: Option<&str>, values: usize| Filter {
            name: name.map(str::to_owned),
            values: Some(vec!["x".to_owned(); values]),
        };
        let cases = [
            (filter(Some("vpc-id"), 1), Ok(())),
            (filter(Some("tag:Name"), 1), Ok(())),
            (filter(Some("nothing"), 1), Err("InvalidParameterValue")),
            (filter(None, 1), Err("MissingParameter")),
            (filter(Some("vpc-id"), 0), Err("InvalidParameterValue")),
            (filter(Some("vpc-id"), 201), Err("FilterLimitExceeded")),
        ];
        for (filter, expected) in cases {
            let code = check(&[filter], &["vpc-id"]).map_err(|Error::Other(failure)| failure.code);
            assert_eq!(code, expected.map_err(str::to_owned));
        }
    }
}
