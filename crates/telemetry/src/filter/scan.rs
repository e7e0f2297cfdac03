//! Reading a pattern from left to right.

use super::{Comparison, InvalidPattern, Operand, invalid};

pub(crate) struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(crate) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `token` when it comes next, after space.
    pub(crate) fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes a word of letters, whatever their case, when it comes next and ends there.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let Some(head) = self.rest.get(..word.len()) else { return false };
        let tail = &self.rest[word.len()..];
        if !head.eq_ignore_ascii_case(word) || tail.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = tail;
        true
    }

    pub(crate) fn expect(&mut self, token: &str) -> Result<(), InvalidPattern> {
        if self.take(token) {
            return Ok(());
        }
        Err(invalid(format!("expected '{token}' at '{}'", self.near())))
    }

    /// The longest run of characters that `accept` takes.
    pub(crate) fn run(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (head, tail) = self.rest.split_at(end);
        self.rest = tail;
        head
    }

    /// After the opening quote: up to the closing one, with `\` before a quote or backslash.
    pub(crate) fn quoted(&mut self, quote: char) -> Result<String, InvalidPattern> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[at + character.len_utf8()..];
                return Ok(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some((_, escaped)) if escaped == quote || escaped == '\\' => text.push(escaped),
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            }
        }
        Err(invalid("a quote is not closed"))
    }

    /// After the opening `%`: a regular expression up to the closing one.
    pub(crate) fn regex(&mut self) -> Result<&'a str, InvalidPattern> {
        let Some((pattern, rest)) = self.rest.split_once('%') else {
            return Err(invalid("a regular expression is not closed by '%'"));
        };
        self.rest = rest;
        Ok(pattern)
    }

    pub(crate) fn comparison(&mut self) -> Option<Comparison> {
        const OPERATORS: [(&str, Comparison); 6] = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        OPERATORS.iter().find(|(token, _)| self.take(token)).map(|(_, comparison)| *comparison)
    }

    /// A quoted text, a `%regex%`, a number, or a bare word.
    pub(crate) fn operand(&mut self, bare: impl Fn(char) -> bool) -> Result<Operand, InvalidPattern> {
        self.skip_space();
        if self.take("\"") {
            return Operand::text(&self.quoted('"')?);
        }
        if self.take("%") {
            return Operand::regex(self.regex()?);
        }
        let word = self.run(bare);
        if word.is_empty() {
            return Err(invalid(format!("expected a value at '{}'", self.near())));
        }
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Operand::Number(number)),
            _ => Operand::text(word),
        }
    }

    pub(crate) fn near(&self) -> String {
        self.rest.chars().take(20).collect()
    }
}
