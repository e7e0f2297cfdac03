//! What the service models say about shapes, operations and services, as static tables.
//!
//! One [`Schema`] describes one shape: its kind, its limits, and what each protocol needs to know to spell it. The
//! tables are generated (see `generated/`); tests build them at run time from a model file. Codecs are plain
//! functions over a schema and a [`View`](crate::value::View) or [`Slot`](crate::value::Slot), so no code is written
//! or generated per operation and per protocol.
//!
//! Invariants: members of a structure are sorted by model name and a member's index is its place in that order;
//! a structure's generated `member(i)` answers for the same index.

use std::fmt;
use std::sync::OnceLock;

use regex::Regex;

/// The description of one shape of a service model.
#[derive(Debug)]
pub struct Schema {
    /// The shape's name in the model.
    pub name: &'static str,
    pub kind: Kind,
    /// Least length (characters, bytes, elements, entries) or least value, by kind.
    pub min: Option<i64>,
    /// Greatest length or value, by kind.
    pub max: Option<i64>,
    pub pattern: Option<&'static Pattern>,
    /// At most one member may be set.
    pub union: bool,
    /// Never shown by `Debug`.
    pub sensitive: bool,
    /// Set on error shapes.
    pub error: Option<ErrorTrait>,
    /// How values of this shape are spelled, unless the member that targets it says otherwise.
    pub spelling: Spelling,
}

/// The kind of a shape, with what the kind needs.
#[derive(Debug)]
pub enum Kind {
    Structure(&'static [Member]),
    List(&'static Member),
    /// Keys are always strings.
    Map(&'static Member, &'static Member),
    String,
    /// The values the model knows; others are carried along.
    Enum(&'static [&'static str]),
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Timestamp,
    Blob,
    /// Any JSON.
    Document,
}

/// A reference from one shape to another: a structure's member, a list's element, a map's key or value.
#[derive(Debug)]
pub struct Member {
    /// The name in the model; empty for elements, keys and values.
    pub name: &'static str,
    pub target: &'static Schema,
    pub required: bool,
    /// A client fills it in when the caller does not.
    pub idempotency_token: bool,
    pub spelling: Spelling,
}

/// Protocol traits of a member or a shape. Everything unset means the protocol's default.
#[derive(Debug, Clone, Copy)]
pub struct Spelling {
    /// `locationName`: the name on the wire.
    pub name: Option<&'static str>,
    /// `queryName`: the name in an EC2 query, where it differs.
    pub query_name: Option<&'static str>,
    pub flattened: bool,
    pub timestamp_format: Option<TimestampFormat>,
    pub xml_namespace: Option<XmlNamespace>,
    /// Written as an attribute of the enclosing XML element.
    pub xml_attribute: bool,
    /// A string that holds JSON.
    pub json_value: bool,
}

/// An XML namespace declaration on an element.
#[derive(Debug, Clone, Copy)]
pub struct XmlNamespace {
    pub uri: &'static str,
    pub prefix: Option<&'static str>,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the epoch, with milliseconds as a fraction.
    EpochSeconds,
    /// `2015-01-25T08:00:00Z`.
    DateTime,
    /// `Sun, 25 Jan 2015 08:00:00 GMT`.
    HttpDate,
}

/// What the model says about an error shape.
#[derive(Debug, Clone, Copy)]
pub struct ErrorTrait {
    /// The code of the Query protocols and of `x-amzn-query-error`; the shape's name when the model gives none.
    pub code: &'static str,
    pub status: u16,
    /// The caller is at fault, in the words of the Query protocols.
    pub sender: bool,
}

/// A constraint on the text of a string: the whole of it must match.
pub struct Pattern {
    /// As the model has it (and as refusals quote it).
    pub text: &'static str,
    /// The same in the syntax of the `regex` crate.
    pub regex: &'static str,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    pub const fn new(text: &'static str, regex: &'static str) -> Pattern {
        Pattern { text, regex, compiled: OnceLock::new() }
    }

    /// Whether the whole of `value` matches.
    ///
    /// # Panics
    /// If the generated expression does not compile; a test compiles all of them.
    pub fn matches(&self, value: &str) -> bool {
        self.compiled
            .get_or_init(|| Regex::new(&format!("^(?:{})$", self.regex)).expect("generated patterns compile"))
            .is_match(value)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Spelling {
    pub const DEFAULT: Spelling = Spelling {
        name: None,
        query_name: None,
        flattened: false,
        timestamp_format: None,
        xml_namespace: None,
        xml_attribute: false,
        json_value: false,
    };

    pub const fn name(mut self, name: &'static str) -> Spelling {
        self.name = Some(name);
        self
    }

    pub const fn query_name(mut self, name: &'static str) -> Spelling {
        self.query_name = Some(name);
        self
    }

    pub const fn flattened(mut self) -> Spelling {
        self.flattened = true;
        self
    }

    pub const fn timestamp_format(mut self, format: TimestampFormat) -> Spelling {
        self.timestamp_format = Some(format);
        self
    }
}

impl Schema {
    pub const fn new(name: &'static str, kind: Kind) -> Schema {
        Schema {
            name,
            kind,
            min: None,
            max: None,
            pattern: None,
            union: false,
            sensitive: false,
            error: None,
            spelling: Spelling::DEFAULT,
        }
    }

    pub const fn structure(name: &'static str, members: &'static [Member]) -> Schema {
        Schema::new(name, Kind::Structure(members))
    }

    pub const fn list(name: &'static str, element: &'static Member) -> Schema {
        Schema::new(name, Kind::List(element))
    }

    pub const fn map(name: &'static str, key: &'static Member, value: &'static Member) -> Schema {
        Schema::new(name, Kind::Map(key, value))
    }

    pub const fn min(mut self, min: i64) -> Schema {
        self.min = Some(min);
        self
    }

    pub const fn max(mut self, max: i64) -> Schema {
        self.max = Some(max);
        self
    }

    pub const fn pattern(mut self, pattern: &'static Pattern) -> Schema {
        self.pattern = Some(pattern);
        self
    }

    pub const fn union(mut self) -> Schema {
        self.union = true;
        self
    }

    pub const fn sensitive(mut self) -> Schema {
        self.sensitive = true;
        self
    }

    pub const fn error(mut self, code: &'static str, status: u16, sender: bool) -> Schema {
        self.error = Some(ErrorTrait { code, status, sender });
        self
    }

    pub const fn spelled(mut self, spelling: Spelling) -> Schema {
        self.spelling = spelling;
        self
    }

    /// Whether the shape, or what it is a list or map of, must not be shown.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive
            || match self.kind {
                Kind::List(element) => element.target.sensitive,
                Kind::Map(_, value) => value.target.sensitive,
                _ => false,
            }
    }

    /// The members of a structure; none for every other kind.
    pub fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) => members,
            _ => &[],
        }
    }
}

impl Member {
    pub const fn new(name: &'static str, target: &'static Schema) -> Member {
        Member { name, target, required: false, idempotency_token: false, spelling: Spelling::DEFAULT }
    }

    /// A list's element, a map's key or value.
    pub const fn of(target: &'static Schema) -> Member {
        Member::new("", target)
    }

    pub const fn required(mut self) -> Member {
        self.required = true;
        self
    }

    pub const fn idempotency_token(mut self) -> Member {
        self.idempotency_token = true;
        self
    }

    pub const fn spelled(mut self, spelling: Spelling) -> Member {
        self.spelling = spelling;
        self
    }

    /// The name on the wire, except in an EC2 query.
    pub fn wire_name(&self) -> &'static str {
        self.spelling.name.unwrap_or(self.name)
    }

    pub fn is_flattened(&self) -> bool {
        self.spelling.flattened || self.target.spelling.flattened
    }

    pub fn timestamp_format(&self) -> Option<TimestampFormat> {
        self.spelling.timestamp_format.or(self.target.spelling.timestamp_format)
    }
}

/// One operation whose shapes are generated.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    pub input: &'static Schema,
    pub output: &'static Schema,
    /// The element around the answer of the Query protocol.
    pub result_wrapper: Option<&'static str>,
    /// The error shapes the model declares for it.
    pub errors: &'static [&'static Schema],
    /// The model marks it as changing nothing.
    pub readonly: bool,
    pub pagination: Option<Pagination>,
}

/// How an operation pages, by model member names; paths as the model writes them.
#[derive(Debug, Clone, Copy)]
pub struct Pagination {
    pub input_token: &'static [&'static str],
    pub output_token: &'static [&'static str],
    pub limit_key: Option<&'static str>,
    pub result_key: &'static [&'static str],
}
