//! Patterns over messages of fields that are parted by spaces: `[ip, user, ..., status = 4*, bytes > 1000]`.

use super::scan::Scanner;
use super::{Comparison, InvalidPattern, NESTING_MAX, Operand, invalid};

#[derive(Clone, Debug)]
pub struct Fields {
    before: Vec<Field>,
    /// What follows an ellipsis, matched from the end of the message.
    after: Option<Vec<Field>>,
}

/// A field's conditions: any of the inner lists in full. Empty: anything.
#[derive(Clone, Debug)]
struct Field(Vec<Vec<(Comparison, Operand)>>);

impl Field {
    fn matches(&self, text: &str) -> bool {
        let holds = |all: &Vec<(Comparison, Operand)>| all.iter().all(|(op, value)| value.compare(*op, text));
        self.0.is_empty() || self.0.iter().any(holds)
    }
}

impl Fields {
    pub fn matches(&self, message: &str) -> bool {
        let words = split(message);
        let pairs =
            |fields: &[Field], words: &[&str]| fields.iter().zip(words).all(|(field, word)| field.matches(word));
        let Some(after) = &self.after else {
            return words.len() == self.before.len() && pairs(&self.before, &words);
        };
        let fixed = self.before.len() + after.len();
        words.len() >= fixed && pairs(&self.before, &words) && pairs(after, &words[words.len() - after.len()..])
    }
}

/// Words by spaces; what stands in `[…]` or `"…"` is one word without them.
fn split(message: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = message.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '[' => rest[1..].find(']'),
            '"' => rest[1..].find('"'),
            _ => None,
        };
        let (word, tail) = match close {
            Some(at) => (&rest[1..at + 1], &rest[at + 2..]),
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

pub fn parse(text: &str) -> Result<Fields, InvalidPattern> {
    let mut scanner = Scanner::new(text);
    scanner.expect("[")?;
    let mut before = Vec::new();
    let mut after: Option<Vec<Field>> = None;
    loop {
        if scanner.take("...") {
            if after.replace(Vec::new()).is_some() {
                return Err(invalid("a pattern has at most one '...'"));
            }
        } else {
            let field = parse_field(&mut scanner)?;
            after.as_mut().unwrap_or(&mut before).push(field);
        }
        if scanner.take("]") {
            break;
        }
        scanner.expect(",")?;
    }
    scanner.skip_space();
    if !scanner.is_empty() {
        return Err(invalid(format!("unexpected '{}' after ']'", scanner.near())));
    }
    Ok(Fields { before, after })
}

/// `name`, `name op value`, or several joined by `&&` and `||`, `&&` binding closer.
fn parse_field(scanner: &mut Scanner<'_>) -> Result<Field, InvalidPattern> {
    let mut any = Vec::new();
    let mut all = Vec::new();
    for _ in 0..NESTING_MAX {
        parse_name(scanner)?;
        if let Some(comparison) = scanner.comparison() {
            all.push((comparison, scanner.operand(|c| !c.is_whitespace() && !",]&|\"".contains(c))?));
        }
        if scanner.take("&&") {
            continue;
        }
        if scanner.take("||") {
            any.push(std::mem::take(&mut all));
            continue;
        }
        if !all.is_empty() {
            any.push(all);
        }
        return Ok(Field(any));
    }
    Err(invalid("a field has too many conditions"))
}

fn parse_name(scanner: &mut Scanner<'_>) -> Result<(), InvalidPattern> {
    scanner.skip_space();
    let name = scanner.run(|c| c.is_alphanumeric() || "_-*$.".contains(c));
    if name.is_empty() {
        return Err(invalid(format!("expected a field's name at '{}'", scanner.near())));
    }
    Ok(())
}
