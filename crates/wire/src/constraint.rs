//! The constraints of the model (required, length, range, pattern, union), checked over any structure by one walk.
//!
//! A required member is a plain field in Rust, so a decoded structure cannot tell "absent" from "empty": the codecs
//! note what was [missing](Missing) while they read. Open enumerations are not checked here; an operation refuses
//! values it does not know in its own words.

use std::fmt;

use crate::limits::{MAX_DEPTH, MAX_QUOTED, MAX_VIOLATIONS};
use crate::schema::{Kind, Schema};
use crate::value::{Structure, View};

/// One constraint that a request does not satisfy. Displays in the words that AWS's services share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as AWS writes it: `tags.1.member.key`.
    pub path: String,
    /// The offending value; `None` when it is absent, sensitive or not printable.
    pub value: Option<String>,
    pub rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    Required,
    MinLength(i64),
    MaxLength(i64),
    Min(i64),
    Max(i64),
    Pattern(&'static str),
    /// Exactly one member of a union may be set.
    Union,
}

/// A required member that a request lacks.
#[derive(Debug, Clone)]
pub struct Missing {
    pub path: String,
    pub target: &'static Schema,
}

impl Missing {
    /// Whether an empty value of its kind says the same as its absence.
    pub fn has_empty_form(&self) -> bool {
        matches!(self.target.kind, Kind::String | Kind::Enum(_) | Kind::List(_) | Kind::Map(..))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.rule, &self.value) {
            (Rule::Required, _) => write!(f, "Value null at '{}'", self.path)?,
            (_, Some(value)) => write!(f, "Value '{value}' at '{}'", self.path)?,
            (_, None) => write!(f, "Value at '{}'", self.path)?,
        }
        f.write_str(" failed to satisfy constraint: ")?;
        match &self.rule {
            Rule::Required => f.write_str("Member must not be null"),
            Rule::MinLength(min) => write!(f, "Member must have length greater than or equal to {min}"),
            Rule::MaxLength(max) => write!(f, "Member must have length less than or equal to {max}"),
            Rule::Min(min) => write!(f, "Member must have value greater than or equal to {min}"),
            Rule::Max(max) => write!(f, "Member must have value less than or equal to {max}"),
            Rule::Pattern(pattern) => write!(f, "Member must satisfy regular expression pattern: {pattern}"),
            Rule::Union => f.write_str("Member must have exactly one of its members set"),
        }
    }
}

impl From<&Missing> for Violation {
    fn from(missing: &Missing) -> Violation {
        Violation { path: missing.path.clone(), value: None, rule: Rule::Required }
    }
}

/// The sentence for a refusal: `2 validation errors detected: …; …`.
pub fn describe(violations: &[Violation]) -> String {
    let s = if violations.len() == 1 { "" } else { "s" };
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    format!("{} validation error{s} detected: {}", violations.len(), list.join("; "))
}

/// Every violated constraint of what is present, in the order of the model, up to a bound.
pub fn check(structure: &dyn Structure) -> Vec<Violation> {
    let mut walk = Walk { path: Path::default(), violations: Vec::new() };
    walk.structure(structure);
    walk.violations
}

/// Where in a request a codec or a check stands.
#[derive(Debug, Default)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Member(&'static str),
    Element(usize),
    Entry(String),
}

impl Path {
    pub fn member(&mut self, name: &'static str) {
        self.0.push(Step::Member(name));
    }

    /// Elements count from 1 in what AWS says.
    pub fn element(&mut self, index: usize) {
        self.0.push(Step::Element(index));
    }

    pub fn entry(&mut self, key: &str) {
        self.0.push(Step::Entry(quote(key)));
    }

    pub fn pop(&mut self) {
        self.0.pop();
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_too_deep(&self) -> bool {
        self.0.len() > MAX_DEPTH
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Member(name) => f.write_str(name)?,
                Step::Element(index) => write!(f, "{}.member", index + 1)?,
                Step::Entry(key) => write!(f, "{key}.member")?,
            }
        }
        Ok(())
    }
}

struct Walk {
    path: Path,
    violations: Vec<Violation>,
}

impl Walk {
    fn structure(&mut self, structure: &dyn Structure) {
        let mut set = 0;
        for (index, member) in structure.schema().members().iter().enumerate() {
            let view = structure.member(index).view();
            if matches!(view, View::Null) {
                continue;
            }
            set += 1;
            self.path.member(member.name);
            self.value(member.target, view);
            self.path.pop();
        }
        if structure.schema().union && set != 1 {
            self.refuse(structure.schema(), View::Structure(structure), Rule::Union);
        }
    }

    fn value(&mut self, schema: &'static Schema, view: View<'_>) {
        if self.violations.len() >= MAX_VIOLATIONS || self.path.is_too_deep() {
            return;
        }
        match (view, &schema.kind) {
            (View::Structure(structure), _) => self.structure(structure),
            (View::List(list), Kind::List(element)) => {
                self.length(schema, view, list.len());
                for index in 0..list.len() {
                    self.path.element(index);
                    self.value(element.target, list.element(index).view());
                    self.path.pop();
                }
            }
            (View::Map(map), Kind::Map(key_member, value_member)) => {
                self.length(schema, view, map.entries().count());
                for (key, value) in map.entries() {
                    self.path.entry(key);
                    self.value(key_member.target, View::String(key));
                    self.value(value_member.target, value.view());
                    self.path.pop();
                }
            }
            (View::String(text), _) => {
                self.length(schema, view, text.chars().count());
                if let Some(pattern) = schema.pattern.filter(|pattern| !pattern.matches(text)) {
                    self.refuse(schema, view, Rule::Pattern(pattern.text));
                }
            }
            (View::Blob(bytes), _) => self.length(schema, view, bytes.len()),
            (View::Integer(number), _) => self.range(schema, view, f64::from(number)),
            (View::Long(number), _) => self.range(schema, view, number as f64),
            (View::Float(number), _) => self.range(schema, view, f64::from(number)),
            (View::Double(number), _) => self.range(schema, view, number),
            _ => {}
        }
    }

    fn length(&mut self, schema: &'static Schema, view: View<'_>, length: usize) {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if let Some(min) = schema.min.filter(|min| length < *min) {
            self.refuse(schema, view, Rule::MinLength(min));
        }
        if let Some(max) = schema.max.filter(|max| length > *max) {
            self.refuse(schema, view, Rule::MaxLength(max));
        }
    }

    fn range(&mut self, schema: &'static Schema, view: View<'_>, number: f64) {
        if let Some(min) = schema.min.filter(|min| number < *min as f64) {
            self.refuse(schema, view, Rule::Min(min));
        }
        if let Some(max) = schema.max.filter(|max| number > *max as f64) {
            self.refuse(schema, view, Rule::Max(max));
        }
    }

    fn refuse(&mut self, schema: &Schema, view: View<'_>, rule: Rule) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        let value = if schema.is_sensitive() { None } else { print(view) };
        self.violations.push(Violation { path: self.path.to_string(), value, rule });
    }
}

fn print(view: View<'_>) -> Option<String> {
    match view {
        View::String(text) => Some(quote(text)),
        View::Integer(number) => Some(number.to_string()),
        View::Long(number) => Some(number.to_string()),
        View::Float(number) => Some(number.to_string()),
        View::Double(number) => Some(number.to_string()),
        View::List(list) => {
            let shown: Option<Vec<String>> =
                (0..list.len().min(MAX_VIOLATIONS)).map(|i| print(list.element(i).view())).collect();
            Some(quote(&format!("[{}]", shown?.join(", "))))
        }
        _ => None,
    }
}

fn quote(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
