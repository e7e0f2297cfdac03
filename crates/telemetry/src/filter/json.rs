//! Patterns over messages that are JSON: conditions on selectors, joined by `&&`, `||` and parentheses.

use serde_json::Value;

use super::scan::Scanner;
use super::{Comparison, InvalidPattern, NESTING_MAX, Operand, invalid};

#[derive(Clone, Debug)]
pub enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Compare(Selector, Comparison, Operand),
    Is(Selector, Constant),
    NotExists(Selector),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    Null,
    True,
    False,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(usize),
    /// `[*]` or `.*`.
    Each,
}

impl Condition {
    pub fn matches(&self, message: &Value) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.matches(message)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(message)),
            Self::Compare(selector, comparison, operand) => {
                selector.select(message).iter().any(|value| compare(value, *comparison, operand))
            }
            Self::Is(selector, constant) => selector.select(message).iter().any(|value| is(value, *constant)),
            Self::NotExists(selector) => selector.select(message).is_empty(),
        }
    }
}

fn compare(value: &Value, comparison: Comparison, operand: &Operand) -> bool {
    match value {
        Value::String(text) => operand.compare(comparison, text),
        Value::Number(number) => operand.compare(comparison, &number.to_string()),
        Value::Bool(flag) => operand.compare(comparison, if *flag { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn is(value: &Value, constant: Constant) -> bool {
    match constant {
        Constant::Null => value.is_null(),
        Constant::True => *value == Value::Bool(true),
        Constant::False => *value == Value::Bool(false),
    }
}

impl Selector {
    fn select<'v>(&self, message: &'v Value) -> Vec<&'v Value> {
        let mut values = vec![message];
        for step in &self.0 {
            values = values.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        values
    }
}

impl Step {
    fn apply<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => items.get(*index).into_iter().collect(),
            (Self::Each, Value::Array(items)) => items.iter().collect(),
            (Self::Each, Value::Object(members)) => members.values().collect(),
            _ => Vec::new(),
        }
    }
}

pub fn parse(text: &str) -> Result<Condition, InvalidPattern> {
    let mut scanner = Scanner::new(text);
    scanner.expect("{")?;
    let condition = parse_any(&mut scanner, 0)?;
    scanner.expect("}")?;
    scanner.skip_space();
    if !scanner.is_empty() {
        return Err(invalid(format!("unexpected '{}' after '}}'", scanner.near())));
    }
    Ok(condition)
}

fn parse_any(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition, InvalidPattern> {
    let mut conditions = vec![parse_all(scanner, depth)?];
    while scanner.take("||") {
        conditions.push(parse_all(scanner, depth)?);
    }
    Ok(single_or(conditions, Condition::Any))
}

fn parse_all(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition, InvalidPattern> {
    let mut conditions = vec![parse_one(scanner, depth)?];
    while scanner.take("&&") {
        conditions.push(parse_one(scanner, depth)?);
    }
    Ok(single_or(conditions, Condition::All))
}

fn single_or(mut conditions: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => join(conditions),
    }
}

fn parse_one(scanner: &mut Scanner<'_>, depth: usize) -> Result<Condition, InvalidPattern> {
    if depth >= NESTING_MAX {
        return Err(invalid("parentheses are nested too deep"));
    }
    if scanner.take("(") {
        let condition = parse_any(scanner, depth + 1)?;
        scanner.expect(")")?;
        return Ok(condition);
    }
    let selector = parse_selector(scanner)?;
    if scanner.take_word("IS") {
        return parse_constant(scanner).map(|constant| Condition::Is(selector, constant));
    }
    if scanner.take_word("NOT") {
        if scanner.take_word("EXISTS") {
            return Ok(Condition::NotExists(selector));
        }
        return Err(invalid("expected EXISTS after NOT"));
    }
    let Some(comparison) = scanner.comparison() else {
        return Err(invalid(format!("expected an operator at '{}'", scanner.near())));
    };
    let operand = scanner.operand(|c| !c.is_whitespace() && !"(){}&|\"".contains(c))?;
    Ok(Condition::Compare(selector, comparison, operand))
}

fn parse_constant(scanner: &mut Scanner<'_>) -> Result<Constant, InvalidPattern> {
    const CONSTANTS: [(&str, Constant); 3] =
        [("NULL", Constant::Null), ("TRUE", Constant::True), ("FALSE", Constant::False)];
    let found = CONSTANTS.iter().find(|(word, _)| scanner.take_word(word));
    found.map(|(_, constant)| *constant).ok_or_else(|| invalid("expected NULL, TRUE or FALSE after IS"))
}

fn parse_selector(scanner: &mut Scanner<'_>) -> Result<Selector, InvalidPattern> {
    scanner.skip_space();
    scanner.expect("$")?;
    let mut steps = Vec::new();
    loop {
        match scanner.peek() {
            Some('.') => steps.push(parse_member(scanner)?),
            Some('[') => steps.push(parse_bracket(scanner)?),
            _ if steps.is_empty() => return Err(invalid("a selector names a member, as in $.name")),
            _ => return Ok(Selector(steps)),
        }
    }
}

fn parse_member(scanner: &mut Scanner<'_>) -> Result<Step, InvalidPattern> {
    scanner.expect(".")?;
    if scanner.peek() == Some('*') {
        scanner.expect("*")?;
        return Ok(Step::Each);
    }
    let name = scanner.run(|c| c.is_alphanumeric() || "_-@#:$".contains(c));
    if name.is_empty() {
        return Err(invalid("a member's name is missing after '.'"));
    }
    Ok(Step::Member(name.to_owned()))
}

fn parse_bracket(scanner: &mut Scanner<'_>) -> Result<Step, InvalidPattern> {
    scanner.expect("[")?;
    scanner.skip_space();
    let step = match scanner.peek() {
        Some('*') => {
            scanner.expect("*")?;
            Step::Each
        }
        Some(quote @ ('\'' | '"')) => {
            scanner.expect(if quote == '"' { "\"" } else { "'" })?;
            Step::Member(scanner.quoted(quote)?)
        }
        _ => {
            let digits = scanner.run(|c| c.is_ascii_digit());
            Step::Index(digits.parse().map_err(|_| invalid("an array index is a number"))?)
        }
    };
    scanner.expect("]")?;
    Ok(step)
}
