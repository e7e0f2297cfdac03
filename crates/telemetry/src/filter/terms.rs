//! Unstructured patterns: words that must occur, `-words` that must not, `?words` of which one must.

use regex::Regex;

use super::scan::Scanner;
use super::{InvalidPattern, compile, invalid};

#[derive(Clone, Debug, Default)]
pub struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Text(String),
    Regex(Regex),
}

impl Term {
    fn occurs_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

impl Terms {
    /// Optional terms count only when there is no required one, as AWS has it.
    pub fn matches(&self, message: &str) -> bool {
        if self.none.iter().any(|term| term.occurs_in(message)) {
            return false;
        }
        if !self.all.is_empty() {
            return self.all.iter().all(|term| term.occurs_in(message));
        }
        self.any.is_empty() || self.any.iter().any(|term| term.occurs_in(message))
    }
}

pub fn parse(text: &str) -> Result<Terms, InvalidPattern> {
    let mut scanner = Scanner::new(text);
    let mut terms = Terms::default();
    scanner.skip_space();
    while !scanner.is_empty() {
        let list = match scanner.peek() {
            Some('?') => &mut terms.any,
            Some('-') => &mut terms.none,
            _ => &mut terms.all,
        };
        if matches!(scanner.peek(), Some('?' | '-')) {
            let _ = scanner.take("?") || scanner.take("-");
        }
        list.push(parse_term(&mut scanner)?);
        scanner.skip_space();
    }
    Ok(terms)
}

fn parse_term(scanner: &mut Scanner<'_>) -> Result<Term, InvalidPattern> {
    if scanner.take("\"") {
        return scanner.quoted('"').map(Term::Text);
    }
    if scanner.take("%") {
        return compile(scanner.regex()?).map(Term::Regex);
    }
    let word = scanner.run(|c| !c.is_whitespace());
    if word.is_empty() {
        return Err(invalid("a term is empty"));
    }
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_plain {
        return Err(invalid(format!("'{word}' has characters other than letters, digits and '_': put it in quotes")));
    }
    Ok(Term::Text(word.to_owned()))
}
