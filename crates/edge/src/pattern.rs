//! The patterns of rule conditions: wildcards as ELBv2 documents them, and regular expressions.

use model::edge::Pattern;
use regex::{Regex, RegexBuilder};

use crate::limits::REGEX_BYTES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    Insensitive,
}

#[derive(Debug)]
pub enum Matcher {
    Wildcard(Wildcard),
    Regex(Regex),
    /// An expression that is none. The API has refused it; it must not match by mistake.
    Never,
}

impl Matcher {
    pub fn new(pattern: &Pattern, case: Case) -> Self {
        match pattern {
            Pattern::Wildcard(text) => Self::Wildcard(Wildcard::new(text, case)),
            Pattern::Regex(text) => RegexBuilder::new(text)
                .case_insensitive(case == Case::Insensitive)
                .size_limit(REGEX_BYTES_MAX)
                .build()
                .map_or(Self::Never, Self::Regex),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Wildcard(wildcard) => wildcard.matches(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Any,
}

/// `*` stands for any text, `?` for one character, `\` before either for itself.
#[derive(Debug)]
pub struct Wildcard {
    tokens: Vec<Token>,
    case: Case,
}

impl Wildcard {
    pub fn new(text: &str, case: Case) -> Self {
        let mut tokens = Vec::with_capacity(text.len());
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'*' => Token::Any,
                b'?' => Token::One,
                b'\\' => match bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\')) {
                    Some(escaped) => Token::Byte(escaped),
                    None => Token::Byte(b'\\'),
                },
                byte if case == Case::Insensitive => Token::Byte(byte.to_ascii_lowercase()),
                byte => Token::Byte(byte),
            });
        }
        tokens.dedup_by(|next, before| *next == Token::Any && *before == Token::Any);
        Self { tokens, case }
    }

    /// What every text that matches begins with.
    pub fn literal_start(&self) -> Vec<u8> {
        self.tokens.iter().map_while(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
    }

    /// It stands for one text only.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Byte(_)))
    }

    /// Only the last `*` is ever reconsidered, so it takes at most text times pattern.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut at, mut token) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    star = Some((token + 1, at));
                    token += 1;
                }
                Some(one) if self.fits(*one, text[at]) => {
                    at += 1;
                    token += 1;
                }
                _ => {
                    let Some((after, from)) = star else { return false };
                    star = Some((after, from + 1));
                    at = from + 1;
                    token = after;
                }
            }
        }
        self.tokens[token..].iter().all(|rest| *rest == Token::Any)
    }

    fn fits(&self, token: Token, byte: u8) -> bool {
        match token {
            Token::Byte(expected) if self.case == Case::Insensitive => expected == byte.to_ascii_lowercase(),
            Token::Byte(expected) => expected == byte,
            Token::One => true,
            Token::Any => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, case: Case, matching: &[&str], others: &[&str]) {
        let wildcard = Wildcard::new(pattern, case);
        for text in matching {
            assert!(wildcard.matches(text), "{pattern} matches {text}");
        }
        for text in others {
            assert!(!wildcard.matches(text), "{pattern} does not match {text}");
        }
    }

    #[test]
    fn wildcards() {
        use Case::{Insensitive, Sensitive};
        check("/img/*", Sensitive, &["/img/", "/img/a", "/img/a/b"], &["/img", "/IMG/a", "/a/img/"]);
        check("/img/*/pics", Sensitive, &["/img/a/pics", "/img//pics", "/img/a/b/pics"], &["/img/pics", "/img/a/pic"]);
        check("/a?c", Sensitive, &["/abc", "/a?c"], &["/ac", "/abbc"]);
        check("*.example.com", Insensitive, &["a.example.com", "A.B.EXAMPLE.COM"], &["example.com", "a.example.org"]);
        check("*", Sensitive, &["", "/", "anything"], &[]);
        check("", Sensitive, &[""], &["a"]);
        check("**a**", Sensitive, &["a", "bab"], &["", "b"]);
        check(r"a\*b", Sensitive, &["a*b"], &["axb", r"a\*b"]);
        check(r"a\?", Sensitive, &["a?"], &["ab"]);
        check(r"a\b", Sensitive, &[r"a\b"], &["ab"]);
        check("*ab*ab", Sensitive, &["abab", "xabyab", "aabaab"], &["ab", "abba"]);
    }

    #[test]
    fn a_pattern_of_stars_takes_no_exponential_time() {
        let wildcard = Wildcard::new(&"*a".repeat(60), Case::Sensitive);
        assert!(!wildcard.matches(&("a".repeat(16_000) + "b")));
    }

    #[test]
    fn what_texts_begin_with() {
        let start = |text| String::from_utf8(Wildcard::new(text, Case::Sensitive).literal_start());
        assert_eq!(start("/api/*").as_deref(), Ok("/api/"));
        assert_eq!(start("/a?b").as_deref(), Ok("/a"));
        assert_eq!(start("*").as_deref(), Ok(""));
        assert!(Wildcard::new("/exact", Case::Sensitive).is_literal());
        assert!(!Wildcard::new("/exact*", Case::Sensitive).is_literal());
    }

    #[test]
    fn regular_expressions() {
        let matcher = |text: &str, case| Matcher::new(&Pattern::Regex(text.to_owned()), case);
        assert!(matcher("^/v[12]/", Case::Sensitive).matches("/v2/x"));
        assert!(!matcher("^/v[12]/", Case::Sensitive).matches("/V2/x"));
        assert!(matcher("^/v[12]/", Case::Insensitive).matches("/V2/x"));
        assert!(!matcher("(", Case::Sensitive).matches("("));
    }
}
