//! The cluster query language (ecs-semantics §3.3): which container instances does an expression mean? Used by
//! `memberOf` placement constraints and by ListContainerInstances' `filter`.
//!
//! ```text
//! expression  := all (("or" | "||") all)*
//! all         := unary (("and" | "&&") unary)*
//! unary       := ("not" | "!") unary | "(" expression ")" | subject operator [argument]
//! subject     := agentConnected | agentVersion | attribute:<name> | ec2InstanceId | registeredAt
//!              | runningTasksCount | task:group
//! argument    := bare word | 'quoted' | "quoted" | "[" argument ("," argument)* "]"
//! ```
//! Settled where the reference is silent:
//! - A negative operator is the plain opposite of its positive one: `attribute:x != a` also holds for an instance
//!   that has no attribute `x`, and `task:group != g` means that no task of `g` is there.
//! - Quoted text has no escapes, so a regular expression needs no doubled backslashes.
//! - Regular expressions are those of the `regex` crate: Java's look-around and back-references are refused.
//!
//! Invariant: what [`Display`](fmt::Display) prints parses to the same expression.

mod parse;
mod value;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

pub use parse::{EXPRESSION_LENGTH_MAX, InvalidQuery, NESTING_MAX};
pub use value::Version;

use crate::{Attribute, Timestamp};

/// The facts about one container instance that an expression can ask for.
#[derive(Clone, Copy, Debug)]
pub struct InstanceView<'a> {
    pub agent_connected: bool,
    pub agent_version: &'a str,
    /// All that DescribeContainerInstances shows, built-in ones too.
    pub attributes: &'a [Attribute],
    pub ec2_instance_id: &'a str,
    pub registered_at: Timestamp,
    /// Tasks in the RUNNING state.
    pub running_tasks: u32,
    /// Group of each task that is not stopped, and how many of them are here.
    pub task_groups: &'a BTreeMap<String, u32>,
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// One of two or more.
    Any(Vec<Query>),
    /// All of two or more.
    All(Vec<Query>),
    Not(Box<Query>),
    Is(Condition),
}

/// One subject, one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// On the text that the subject has. `negated` turns the answer round.
    Text {
        subject: TextSubject,
        test: TextTest,
        negated: bool,
    },
    Version {
        comparison: Comparison,
        value: Version,
    },
    /// The text as it was given, and its meaning.
    RegisteredAt {
        comparison: Comparison,
        text: String,
        value: Timestamp,
    },
    RunningTasksCount {
        comparison: Comparison,
        value: u32,
    },
}

/// The subjects whose values are compared as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextSubject {
    AgentConnected,
    Attribute(String),
    Ec2InstanceId,
    /// Has as many values as the instance has groups of tasks.
    TaskGroup,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextTest {
    Exists,
    /// `!=` is the negated `Equal`.
    Compare(Comparison, String),
    OneOf(Vec<String>),
    Matches(Pattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// A regular expression that must match the whole text. Equal when the source is.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    whole: regex::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Query {
    /// Whether the instance is one of those that the expression means.
    pub fn matches(&self, instance: &InstanceView<'_>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.matches(instance)),
            Self::All(parts) => parts.iter().all(|part| part.matches(instance)),
            Self::Not(part) => !part.matches(instance),
            Self::Is(condition) => condition.holds(instance),
        }
    }

    /// Whether the answer for an instance may change with the tasks on it.
    pub fn reads_tasks(&self) -> bool {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().any(Self::reads_tasks),
            Self::Not(part) => part.reads_tasks(),
            Self::Is(condition) => condition.reads_tasks(),
        }
    }
}

impl Condition {
    const fn reads_tasks(&self) -> bool {
        matches!(self, Self::Text { subject: TextSubject::TaskGroup, .. } | Self::RunningTasksCount { .. })
    }

    fn holds(&self, instance: &InstanceView<'_>) -> bool {
        match self {
            Self::Text { subject, test, negated } => subject.has(instance, test) != *negated,
            Self::Version { comparison, value } => {
                Version::parse(instance.agent_version).is_some_and(|version| comparison.holds(version.cmp(value)))
            }
            Self::RegisteredAt { comparison, value, .. } => comparison.holds(instance.registered_at.cmp(value)),
            Self::RunningTasksCount { comparison, value } => comparison.holds(instance.running_tasks.cmp(value)),
        }
    }
}

impl TextSubject {
    fn has(&self, instance: &InstanceView<'_>, test: &TextTest) -> bool {
        match self {
            Self::AgentConnected => test.passes(if instance.agent_connected { "true" } else { "false" }),
            Self::Ec2InstanceId => test.passes(instance.ec2_instance_id),
            Self::TaskGroup => instance.task_groups.keys().any(|group| test.passes(group)),
            Self::Attribute(name) => {
                let mut named = instance.attributes.iter().filter(|attribute| attribute.name == *name);
                named.any(|attribute| test.passes(attribute.value.as_deref().unwrap_or_default()))
            }
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Compare(comparison, value) => comparison.holds(text.cmp(value.as_str())),
            Self::OneOf(values) => values.iter().any(|value| value == text),
            Self::Matches(pattern) => pattern.whole.is_match(text),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(parts) => write_joined(f, parts, " or ", |part| matches!(part, Self::Any(_))),
            Self::All(parts) => write_joined(f, parts, " and ", Self::is_joined),
            Self::Not(part) if part.is_joined() => write!(f, "not ({part})"),
            Self::Not(part) => write!(f, "not {part}"),
            Self::Is(condition) => condition.fmt(f),
        }
    }
}

impl Query {
    fn is_joined(&self) -> bool {
        matches!(self, Self::Any(_) | Self::All(_))
    }
}

/// Parentheses only where they are needed, so that printing never nests deeper than what was parsed.
fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Query], word: &str, nests: fn(&Query) -> bool) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { word })?;
        if nests(part) {
            write!(f, "({part})")?;
        } else {
            write!(f, "{part}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { subject, test, negated } => write!(f, "{subject} {}", Negatable(test, *negated)),
            Self::Version { comparison, value } => write!(f, "agentVersion {} {value}", comparison.as_str()),
            Self::RegisteredAt { comparison, text, .. } => {
                write!(f, "registeredAt {} {}", comparison.as_str(), Quoted(text))
            }
            Self::RunningTasksCount { comparison, value } => {
                write!(f, "runningTasksCount {} {value}", comparison.as_str())
            }
        }
    }
}

impl fmt::Display for TextSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentConnected => f.write_str("agentConnected"),
            Self::Attribute(name) => write!(f, "attribute:{name}"),
            Self::Ec2InstanceId => f.write_str("ec2InstanceId"),
            Self::TaskGroup => f.write_str("task:group"),
        }
    }
}

struct Negatable<'a>(&'a TextTest, bool);

impl fmt::Display for Negatable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (TextTest::Exists, false) => f.write_str("exists"),
            (TextTest::Exists, true) => f.write_str("!exists"),
            (TextTest::Compare(Comparison::Equal, value), true) => write!(f, "!= {}", Quoted(value)),
            (TextTest::Compare(comparison, value), _) => write!(f, "{} {}", comparison.as_str(), Quoted(value)),
            (TextTest::OneOf(values), negated) => {
                let listed: Vec<_> = values.iter().map(|value| Quoted(value).to_string()).collect();
                write!(f, "{} [{}]", if negated { "!in" } else { "in" }, listed.join(", "))
            }
            (TextTest::Matches(pattern), negated) => {
                write!(f, "{} {}", if negated { "!~" } else { "=~" }, Quoted(&pattern.source))
            }
        }
    }
}

/// Text never holds both kinds of quote: the grammar cannot spell it.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('\'') { '"' } else { '\'' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}
