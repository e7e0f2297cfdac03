//! The Query protocols' requests: `Name.member.1.Key=value` pairs to structures.
//!
//! Both dialects share the pairs and differ in how members are named and lists are laid out. Pairs become a tree of
//! the parts of their names; lists take their elements in the order of their numbers, whatever those are, so a number
//! never decides how much is allocated. Parameters that the schema does not know are ignored, as AWS does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode;

use crate::constraint::{Missing, Path};
use crate::error::{Malformed, TOO_DEEP};
use crate::limits::{MAX_QUERY_NAME_DEPTH, MAX_QUERY_NAME_PARTS, MAX_QUERY_PARAMETERS, MAX_VIOLATIONS};
use crate::schema::{Kind, Member, TimestampFormat};
use crate::time;
use crate::value::{List, Map, Slot, Structure};

/// Which of the two Query protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Aws,
    Ec2,
}

/// The decoded parameters of a request, as a tree over the parts of their names.
#[derive(Debug, Default)]
pub struct Parameters {
    root: Node,
    count: usize,
    name_parts: usize,
}

#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    parts: BTreeMap<String, Node>,
}

impl Parameters {
    /// Parses form-encoded text, from a query string or a body, and adds it to what is here.
    ///
    /// # Errors
    /// When it is not UTF-8 once decoded, or has more parameters than the limits allow.
    pub fn add(&mut self, form: &[u8]) -> Result<(), Malformed> {
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..at])?;
            let value = decode(pair.get(at + 1..).unwrap_or_default())?;
            self.count += 1;
            let depth = 1 + name.matches('.').count();
            if depth > MAX_QUERY_NAME_DEPTH {
                return Err(Malformed::new(TOO_DEEP));
            }
            self.name_parts += depth;
            if self.count > MAX_QUERY_PARAMETERS || self.name_parts > MAX_QUERY_NAME_PARTS {
                return Err(Malformed::new("The request has too many parameters"));
            }
            self.root.insert(&name, value);
        }
        Ok(())
    }

    /// The value of a parameter whose name has no dots.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.root.parts.get(name)?.value.as_deref()
    }
}

impl Node {
    fn insert(&mut self, name: &str, value: String) {
        let mut node = self;
        for part in name.split('.') {
            node = node.parts.entry(part.to_owned()).or_default();
        }
        node.value = Some(value);
    }

    /// The children whose names are numbers, in their order.
    fn numbered(&self) -> Result<Vec<&Node>, &str> {
        let mut children: Vec<(u64, &Node)> = Vec::with_capacity(self.parts.len());
        for (name, node) in &self.parts {
            children.push((name.parse().map_err(|_| name.as_str())?, node));
        }
        children.sort_by_key(|(number, _)| *number);
        Ok(children.into_iter().map(|(_, node)| node).collect())
    }
}

fn decode(text: &[u8]) -> Result<String, Malformed> {
    let spaced: Cow<[u8]> = if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<u8>>().into()
    } else {
        text.into()
    };
    match percent_decode(&spaced).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Malformed::new("The request is not valid UTF-8")),
    }
}

/// Reads the parameters into `structure`, which should be empty, and tells which required members it lacks.
///
/// # Errors
/// When a value does not fit its member's type.
pub fn read(
    parameters: &Parameters,
    dialect: Dialect,
    structure: &mut dyn Structure,
) -> Result<Vec<Missing>, Malformed> {
    let mut reader = Reader { dialect, path: Path::default(), missing: Vec::new() };
    reader.structure(&parameters.root, structure)?;
    Ok(reader.missing)
}

struct Reader {
    dialect: Dialect,
    path: Path,
    missing: Vec<Missing>,
}

impl Reader {
    fn structure(&mut self, node: &Node, structure: &mut dyn Structure) -> Result<(), Malformed> {
        for (index, member) in structure.schema().members().iter().enumerate() {
            self.path.member(member.name);
            match node.parts.get(self.member_name(member).as_ref()) {
                Some(node) => self.value(member, node, structure.member_mut(index).slot())?,
                None if member.required && self.missing.len() < MAX_VIOLATIONS => {
                    self.missing.push(Missing { path: self.path.to_string(), target: member.target });
                }
                None => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    fn member_name(&self, member: &Member) -> Cow<'static, str> {
        match self.dialect {
            Dialect::Aws => member.wire_name().into(),
            Dialect::Ec2 => ec2_name(member),
        }
    }

    fn value(&mut self, member: &Member, node: &Node, slot: Slot<'_>) -> Result<(), Malformed> {
        if self.path.is_too_deep() {
            return Err(Malformed::new(TOO_DEEP));
        }
        match slot {
            Slot::Structure(structure) => return self.structure(node, structure),
            Slot::List(list) => return self.list(member, node, list),
            Slot::Map(map) => return self.map(member, node, map),
            _ => {}
        }
        let Some(text) = node.value.as_deref() else { return Err(self.invalid("A single value is expected")) };
        self.scalar(member, text, slot)
    }

    fn scalar(&self, member: &Member, text: &str, slot: Slot<'_>) -> Result<(), Malformed> {
        match slot {
            Slot::String(target) => *target = text.to_owned(),
            Slot::Enum(target) => target.set(text.to_owned()),
            Slot::Integer(target) => *target = self.parse(text, "an Integer")?,
            Slot::Long(target) => *target = self.parse(text, "a Long")?,
            Slot::Float(target) => *target = self.parse(text, "a Float")?,
            Slot::Double(target) => *target = self.parse(text, "a Double")?,
            Slot::Boolean(target) => *target = self.parse(&text.to_ascii_lowercase(), "a Boolean")?,
            Slot::Timestamp(target) => {
                let format = member.timestamp_format().unwrap_or(TimestampFormat::DateTime);
                *target = time::parse(text, format).ok_or_else(|| self.unfit(text, "a Timestamp"))?;
            }
            Slot::Blob(target) => target.0 = STANDARD.decode(text).map_err(|_| self.unfit(text, "a Blob"))?,
            Slot::Document(target) => *target = text.into(),
            Slot::Structure(_) | Slot::List(_) | Slot::Map(_) => unreachable!("a scalar"),
        }
        Ok(())
    }

    fn parse<T: std::str::FromStr>(&self, text: &str, kind: &str) -> Result<T, Malformed> {
        text.parse().map_err(|_| self.unfit(text, kind))
    }

    fn list(&mut self, member: &Member, node: &Node, list: &mut dyn List) -> Result<(), Malformed> {
        let Kind::List(element) = &member.target.kind else { unreachable!("a list has a list's schema") };
        let flat = self.dialect == Dialect::Ec2 || member.is_flattened();
        let Some(node) = (if flat { Some(node) } else { node.parts.get(element.spelling.name.unwrap_or("member")) })
        else {
            return Ok(());
        };
        for (index, node) in self.numbered(node)?.into_iter().enumerate() {
            self.path.element(index);
            self.value(element, node, list.push().slot())?;
            self.path.pop();
        }
        Ok(())
    }

    fn map(&mut self, member: &Member, node: &Node, map: &mut dyn Map) -> Result<(), Malformed> {
        let Kind::Map(key_member, value_member) = &member.target.kind else { unreachable!("a map has a map's schema") };
        let Some(node) = (if member.is_flattened() { Some(node) } else { node.parts.get("entry") }) else {
            return Ok(());
        };
        for node in self.numbered(node)? {
            let key = node.parts.get(key_member.spelling.name.unwrap_or("key")).and_then(|key| key.value.clone());
            let Some(key) = key else { return Err(self.invalid("An entry has no key")) };
            let Some(value) = node.parts.get(value_member.spelling.name.unwrap_or("value")) else {
                return Err(self.invalid("An entry has no value"));
            };
            self.path.entry(&key);
            self.value(value_member, value, map.insert(key).slot())?;
            self.path.pop();
        }
        Ok(())
    }

    fn numbered<'a>(&self, node: &'a Node) -> Result<Vec<&'a Node>, Malformed> {
        node.numbered().map_err(|name| self.unfit(name, "a position in a list"))
    }

    fn unfit(&self, text: &str, kind: &str) -> Malformed {
        let shown: String = text.chars().take(64).collect();
        self.invalid(&format!("'{shown}' is not {kind}"))
    }

    fn invalid(&self, what: &str) -> Malformed {
        Malformed::at(&self.path, what)
    }
}

/// EC2 names a member by its query name, else by its wire name with a capital.
fn ec2_name(member: &Member) -> Cow<'static, str> {
    if let Some(name) = member.spelling.query_name {
        return name.into();
    }
    let name = member.wire_name();
    if name.starts_with(|first: char| !first.is_ascii_lowercase()) {
        return name.into();
    }
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect::<String>().into()
}
