//! Text to [`Query`]. One pass over the text, no tokens kept: what a word may contain depends on where it stands.

use std::str::FromStr;

use super::value::parse_time;
use super::{Comparison, Condition, Pattern, Query, TextSubject, TextTest, Version};

/// Characters of an expression (ecs-semantics §3.3).
pub const EXPRESSION_LENGTH_MAX: usize = 2000;
/// Parentheses and negations around one condition.
pub const NESTING_MAX: usize = 64;
/// Memory of one compiled regular expression, in bytes.
const PATTERN_SIZE_MAX: usize = 256 << 10;

/// Why a text is not an expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    #[error("the expression has {0} characters; at most {EXPRESSION_LENGTH_MAX} are allowed")]
    TooLong(usize),
    #[error("expected {expected} at character {position}, found {found}")]
    Unexpected { expected: &'static str, position: usize, found: String },
    #[error(
        "'{0}' is not a subject; those are agentConnected, agentVersion, attribute:<name>, ec2InstanceId, \
         registeredAt, runningTasksCount and task:group"
    )]
    UnknownSubject(String),
    #[error("'{operator}' is not an operator of '{subject}'")]
    UnsupportedOperator { subject: String, operator: String },
    #[error("'{value}' is not {expected}, which '{subject}' is compared with")]
    InvalidValue { subject: &'static str, value: String, expected: &'static str },
    #[error("'{pattern}' is not a regular expression that can be used here: {reason}")]
    InvalidPattern { pattern: String, reason: String },
    #[error("the expression is nested deeper than {NESTING_MAX}")]
    TooDeep,
}

impl FromStr for Query {
    type Err = InvalidQuery;

    fn from_str(text: &str) -> Result<Self, InvalidQuery> {
        let length = text.chars().count();
        if length > EXPRESSION_LENGTH_MAX {
            return Err(InvalidQuery::TooLong(length));
        }
        let mut parser = Parser { text, rest: text, depth: 0 };
        let query = parser.expression()?;
        match parser.peek() {
            None => Ok(query),
            Some(_) => Err(parser.unexpected("'and', 'or' or the end")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Compare(Comparison),
    Exists { negated: bool },
    In { negated: bool },
    Matches { negated: bool },
}

/// The longer sign comes before the shorter one that begins it.
const SIGNS: [(&str, Operator); 10] = [
    ("==", Operator::Compare(Comparison::Equal)),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    ("=~", Operator::Matches { negated: false }),
    ("!~", Operator::Matches { negated: true }),
    (">", Operator::Compare(Comparison::Greater)),
    ("<", Operator::Compare(Comparison::Less)),
    ("!exists", Operator::Exists { negated: true }),
    ("!in", Operator::In { negated: true }),
];

const WORDS: [(&str, Operator); 12] = [
    ("equals", Operator::Compare(Comparison::Equal)),
    ("not_equals", Operator::Compare(Comparison::NotEqual)),
    ("greater_than", Operator::Compare(Comparison::Greater)),
    ("greater_than_equal", Operator::Compare(Comparison::GreaterOrEqual)),
    ("less_than", Operator::Compare(Comparison::Less)),
    ("less_than_equal", Operator::Compare(Comparison::LessOrEqual)),
    ("exists", Operator::Exists { negated: false }),
    ("not_exists", Operator::Exists { negated: true }),
    ("in", Operator::In { negated: false }),
    ("not_in", Operator::In { negated: true }),
    ("matches", Operator::Matches { negated: false }),
    ("not_matches", Operator::Matches { negated: true }),
];

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Result<Query, InvalidQuery> {
        let mut parts = vec![self.all()?];
        while self.take_sign("||") || self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(joined(parts, Query::Any))
    }

    fn all(&mut self) -> Result<Query, InvalidQuery> {
        let mut parts = vec![self.unary()?];
        while self.take_sign("&&") || self.take_word("and") {
            parts.push(self.unary()?);
        }
        Ok(joined(parts, Query::All))
    }

    fn unary(&mut self) -> Result<Query, InvalidQuery> {
        if self.take_sign("!") || self.take_word("not") {
            return self.nested(|parser| Ok(Query::Not(Box::new(parser.unary()?))));
        }
        if self.take_sign("(") {
            return self.nested(|parser| {
                let inside = parser.expression()?;
                parser.expect(")", "'and', 'or' or ')'")?;
                Ok(inside)
            });
        }
        self.condition().map(Query::Is)
    }

    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Result<Query, InvalidQuery>) -> Result<Query, InvalidQuery> {
        if self.depth == NESTING_MAX {
            return Err(InvalidQuery::TooDeep);
        }
        self.depth += 1;
        let query = parse(self)?;
        self.depth -= 1;
        Ok(query)
    }

    fn condition(&mut self) -> Result<Condition, InvalidQuery> {
        let subject = self.word("a subject")?;
        match subject {
            "agentVersion" => {
                let (comparison, text) = self.comparison(subject)?;
                let invalid = "a version such as 1.20.0";
                let value = Version::parse(&text).ok_or_else(|| invalid_value("agentVersion", &text, invalid))?;
                Ok(Condition::Version { comparison, value })
            }
            "registeredAt" => {
                let (comparison, text) = self.comparison(subject)?;
                let invalid = "a time such as 2018-06-18T22:28:28Z or 2018-06-18";
                let value = parse_time(&text).ok_or_else(|| invalid_value("registeredAt", &text, invalid))?;
                Ok(Condition::RegisteredAt { comparison, text, value })
            }
            "runningTasksCount" => {
                let (comparison, text) = self.comparison(subject)?;
                let invalid = "a whole number";
                let value = text.parse().map_err(|_| invalid_value("runningTasksCount", &text, invalid))?;
                Ok(Condition::RunningTasksCount { comparison, value })
            }
            "agentConnected" => self.text_condition(subject, TextSubject::AgentConnected),
            "ec2InstanceId" => self.text_condition(subject, TextSubject::Ec2InstanceId),
            "task:group" => self.text_condition(subject, TextSubject::TaskGroup),
            _ => match subject.strip_prefix("attribute:") {
                Some(name) if !name.is_empty() => self.text_condition(subject, TextSubject::Attribute(name.to_owned())),
                _ => Err(InvalidQuery::UnknownSubject(subject.to_owned())),
            },
        }
    }

    /// An operator that orders or equates, and its value.
    fn comparison(&mut self, subject: &str) -> Result<(Comparison, String), InvalidQuery> {
        let (operator, spelled) = self.operator()?;
        let Operator::Compare(comparison) = operator else {
            return Err(unsupported(subject, spelled));
        };
        Ok((comparison, self.value(is_plain)?))
    }

    fn text_condition(&mut self, name: &str, subject: TextSubject) -> Result<Condition, InvalidQuery> {
        let (operator, spelled) = self.operator()?;
        let is_attribute = matches!(subject, TextSubject::Attribute(_));
        let (test, negated) = match operator {
            Operator::Compare(Comparison::NotEqual) => {
                (TextTest::Compare(Comparison::Equal, self.value(is_plain)?), true)
            }
            Operator::Compare(comparison) if is_attribute || comparison == Comparison::Equal => {
                (TextTest::Compare(comparison, self.value(is_plain)?), false)
            }
            Operator::Exists { negated } if is_attribute => (TextTest::Exists, negated),
            Operator::In { negated } => (TextTest::OneOf(self.list()?), negated),
            Operator::Matches { negated } => (TextTest::Matches(pattern(self.value(is_pattern)?)?), negated),
            _ => return Err(unsupported(name, spelled)),
        };
        Ok(Condition::Text { subject, test, negated })
    }

    fn operator(&mut self) -> Result<(Operator, &'a str), InvalidQuery> {
        self.skip_space();
        for (sign, operator) in SIGNS {
            if self.rest.starts_with(sign) {
                let (spelled, rest) = self.rest.split_at(sign.len());
                self.rest = rest;
                return Ok((operator, spelled));
            }
        }
        let before = self.rest;
        let word = self.word("an operator")?;
        match WORDS.iter().find(|(spelling, _)| word.eq_ignore_ascii_case(spelling)) {
            Some((_, operator)) => Ok((*operator, word)),
            None => {
                self.rest = before;
                Err(self.unexpected("an operator"))
            }
        }
    }

    fn list(&mut self) -> Result<Vec<String>, InvalidQuery> {
        self.expect("[", "'['")?;
        let mut values = vec![self.value(is_plain)?];
        while self.take_sign(",") {
            values.push(self.value(is_plain)?);
        }
        self.expect("]", "',' or ']'")?;
        Ok(values)
    }

    /// Quoted text, or a bare word of the characters that `accepts` takes.
    fn value(&mut self, accepts: fn(&mut usize, char) -> bool) -> Result<String, InvalidQuery> {
        self.skip_space();
        for quote in ['\'', '"'] {
            if let Some(inside) = self.rest.strip_prefix(quote) {
                let Some(end) = inside.find(quote) else {
                    return Err(self.unexpected("a closing quote after the text"));
                };
                self.rest = &inside[end + 1..];
                return Ok(inside[..end].to_owned());
            }
        }
        let mut open = 0;
        let mut end = 0;
        for (index, c) in self.rest.char_indices() {
            let joins = self.rest[index..].starts_with("&&") || self.rest[index..].starts_with("||");
            if c.is_whitespace() || c == '\'' || c == '"' || joins || !accepts(&mut open, c) {
                break;
            }
            end = index + c.len_utf8();
        }
        if end == 0 {
            return Err(self.unexpected("a value"));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word.to_owned())
    }

    /// A subject, or an operator that is spelled in letters.
    fn word(&mut self, expected: &'static str) -> Result<&'a str, InvalidQuery> {
        self.skip_space();
        let is_word = |c: char| c.is_alphanumeric() || "_-./\\:".contains(c);
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected(expected));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let before = self.rest;
        if self.word("a word").is_ok_and(|found| found.eq_ignore_ascii_case(word)) {
            return true;
        }
        self.rest = before;
        false
    }

    fn expect(&mut self, sign: &str, expected: &'static str) -> Result<(), InvalidQuery> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&mut self, expected: &'static str) -> InvalidQuery {
        self.skip_space();
        let before = &self.text[..self.text.len() - self.rest.len()];
        let found = match self.rest.split_whitespace().next() {
            Some(word) => format!("'{}'", word.chars().take(FOUND_LENGTH_MAX).collect::<String>()),
            None => "the end".to_owned(),
        };
        InvalidQuery::Unexpected { expected, position: before.chars().count() + 1, found }
    }
}

/// Characters of the offending text that an error repeats.
const FOUND_LENGTH_MAX: usize = 40;

fn joined(mut parts: Vec<Query>, join: fn(Vec<Query>) -> Query) -> Query {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

fn is_plain(_: &mut usize, c: char) -> bool {
    !"()[],".contains(c)
}

/// A bare regular expression may hold parentheses, as long as they close what it opened.
fn is_pattern(open: &mut usize, c: char) -> bool {
    match c {
        '(' => *open += 1,
        ')' if *open == 0 => return false,
        ')' => *open -= 1,
        _ => {}
    }
    true
}

fn pattern(source: String) -> Result<Pattern, InvalidQuery> {
    let compile = |text: &str| {
        regex::RegexBuilder::new(text).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build()
    };
    // On its own first: `a)|(b` would become something else inside the group.
    match compile(&source).and_then(|_| compile(&format!(r"\A(?:{source})\z"))) {
        Ok(whole) => Ok(Pattern { source, whole }),
        Err(error) => {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            Err(InvalidQuery::InvalidPattern { pattern: source, reason })
        }
    }
}

fn unsupported(subject: &str, operator: &str) -> InvalidQuery {
    InvalidQuery::UnsupportedOperator { subject: subject.to_owned(), operator: operator.to_owned() }
}

fn invalid_value(subject: &'static str, value: &str, expected: &'static str) -> InvalidQuery {
    InvalidQuery::InvalidValue { subject, value: value.to_owned(), expected }
}
