//! Values of any shape, shaped at run time: they go through the same codecs as the generated structures do.

use std::collections::BTreeMap;

use serde_json::Value;
use wire::schema::{Kind, Member, Schema};
use wire::value::{Blob, Document, Field, List, Map, OpenEnum, Slot, Structure, Timestamp, View};

/// A structure by its schema.
#[derive(Debug, Clone)]
pub struct Dynamic {
    schema: &'static Schema,
    members: Vec<Cell>,
}

/// A member, element or entry, absent or of the kind its schema says.
#[derive(Clone)]
pub struct Cell {
    member: &'static Member,
    value: Option<Datum>,
}

#[derive(Debug, Clone)]
enum Datum {
    Structure(Dynamic),
    List(Elements),
    Map(Entries),
    String(String),
    Enum(Word),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Timestamp(Timestamp),
    Blob(Blob),
    Document(Document),
}

#[derive(Debug, Clone)]
struct Elements(&'static Member, Vec<Cell>);

#[derive(Debug, Clone)]
struct Entries(&'static Member, BTreeMap<String, Cell>);

#[derive(Debug, Clone)]
struct Word(String);

impl Dynamic {
    pub fn new(schema: &'static Schema) -> Dynamic {
        let members = schema.members().iter().map(|member| Cell { member, value: None }).collect();
        Dynamic { schema, members }
    }

    /// From the form in which the cases write parameters and results: timestamps as seconds, blobs as text.
    pub fn from_params(schema: &'static Schema, params: &Value) -> Dynamic {
        let mut structure = Dynamic::new(schema);
        for (name, value) in params.as_object().expect("parameters are an object") {
            let cell = structure.members.iter_mut().find(|cell| cell.member.name == name);
            cell.unwrap_or_else(|| panic!("{} has no {name}", schema.name)).fill(value);
        }
        structure
    }

    /// What two equal values have in common, also when they hold NaN.
    pub fn shown(&self) -> String {
        format!("{:?}", self.members)
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            None => Ok(()),
            Some(value) => write!(f, "{}={value:?}", self.member.name),
        }
    }
}

impl Cell {
    fn empty(&self) -> Datum {
        match &self.member.target.kind {
            Kind::Structure(_) => Datum::Structure(Dynamic::new(self.member.target)),
            Kind::List(element) => Datum::List(Elements(element, Vec::new())),
            Kind::Map(_, value) => Datum::Map(Entries(value, BTreeMap::new())),
            Kind::String => Datum::String(String::new()),
            Kind::Enum(_) => Datum::Enum(Word(String::new())),
            Kind::Integer => Datum::Integer(0),
            Kind::Long => Datum::Long(0),
            Kind::Float => Datum::Float(0.0),
            Kind::Double => Datum::Double(0.0),
            Kind::Boolean => Datum::Boolean(false),
            Kind::Timestamp => Datum::Timestamp(Timestamp(0)),
            Kind::Blob => Datum::Blob(Blob::default()),
            Kind::Document => Datum::Document(Document::Null),
        }
    }

    fn fill(&mut self, value: &Value) {
        if value.is_null() {
            return;
        }
        let text = value.as_str().unwrap_or_default();
        match self.slot() {
            Slot::Structure(_) => self.value = Some(Datum::Structure(Dynamic::from_params(self.member.target, value))),
            Slot::List(_) | Slot::Map(_) => self.fill_many(value),
            Slot::String(target) => *target = text.to_owned(),
            Slot::Enum(target) => target.set(text.to_owned()),
            Slot::Integer(target) => *target = value.as_i64().unwrap() as i32,
            Slot::Long(target) => *target = value.as_i64().unwrap(),
            Slot::Float(target) => *target = number(value) as f32,
            Slot::Double(target) => *target = number(value),
            Slot::Boolean(target) => *target = value.as_bool().unwrap(),
            Slot::Timestamp(target) => target.0 = (value.as_f64().unwrap() * 1000.0).round() as i64,
            Slot::Blob(target) => target.0 = text.as_bytes().to_vec(),
            Slot::Document(target) => *target = value.clone(),
        }
    }

    fn fill_many(&mut self, value: &Value) {
        match self.value.as_mut().expect("just made") {
            Datum::List(Elements(member, cells)) => cells.extend(value.as_array().unwrap().iter().map(|value| {
                let mut cell = Cell { member, value: None };
                cell.fill(value);
                cell
            })),
            Datum::Map(Entries(member, cells)) => {
                cells.extend(value.as_object().unwrap().iter().map(|(key, value)| {
                    let mut cell = Cell { member, value: None };
                    cell.fill(value);
                    (key.clone(), cell)
                }));
            }
            _ => unreachable!("a list or a map"),
        }
    }
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        Some("NaN") => f64::NAN,
        _ => value.as_f64().unwrap(),
    }
}

impl Structure for Dynamic {
    fn schema(&self) -> &'static Schema {
        self.schema
    }
    fn member(&self, index: usize) -> &dyn Field {
        &self.members[index]
    }
    fn member_mut(&mut self, index: usize) -> &mut dyn Field {
        &mut self.members[index]
    }
}

impl Field for Cell {
    fn view(&self) -> View<'_> {
        match &self.value {
            None => View::Null,
            Some(Datum::Structure(value)) => View::Structure(value),
            Some(Datum::List(value)) => View::List(value),
            Some(Datum::Map(value)) => View::Map(value),
            Some(Datum::String(value)) => View::String(value),
            Some(Datum::Enum(value)) => View::String(&value.0),
            Some(Datum::Integer(value)) => View::Integer(*value),
            Some(Datum::Long(value)) => View::Long(*value),
            Some(Datum::Float(value)) => View::Float(*value),
            Some(Datum::Double(value)) => View::Double(*value),
            Some(Datum::Boolean(value)) => View::Boolean(*value),
            Some(Datum::Timestamp(value)) => View::Timestamp(*value),
            Some(Datum::Blob(value)) => View::Blob(&value.0),
            Some(Datum::Document(value)) => View::Document(value),
        }
    }

    fn slot(&mut self) -> Slot<'_> {
        let empty = self.empty();
        match self.value.get_or_insert(empty) {
            Datum::Structure(value) => Slot::Structure(value),
            Datum::List(value) => Slot::List(value),
            Datum::Map(value) => Slot::Map(value),
            Datum::String(value) => Slot::String(value),
            Datum::Enum(value) => Slot::Enum(value),
            Datum::Integer(value) => Slot::Integer(value),
            Datum::Long(value) => Slot::Long(value),
            Datum::Float(value) => Slot::Float(value),
            Datum::Double(value) => Slot::Double(value),
            Datum::Boolean(value) => Slot::Boolean(value),
            Datum::Timestamp(value) => Slot::Timestamp(value),
            Datum::Blob(value) => Slot::Blob(value),
            Datum::Document(value) => Slot::Document(value),
        }
    }

    fn set_null(&mut self) -> bool {
        self.value = None;
        true
    }
}

impl List for Elements {
    fn len(&self) -> usize {
        self.1.len()
    }
    fn element(&self, index: usize) -> &dyn Field {
        &self.1[index]
    }
    fn push(&mut self) -> &mut dyn Field {
        self.1.push(Cell { member: self.0, value: None });
        self.1.last_mut().expect("just pushed")
    }
}

impl Map for Entries {
    fn entries(&self) -> Box<dyn Iterator<Item = (&str, &dyn Field)> + '_> {
        Box::new(self.1.iter().map(|(key, cell)| (key.as_str(), cell as &dyn Field)))
    }
    fn insert(&mut self, key: String) -> &mut dyn Field {
        let cell = Cell { member: self.0, value: None };
        self.1.entry(key).insert_entry(cell).into_mut()
    }
}

impl OpenEnum for Word {
    fn as_str(&self) -> &str {
        &self.0
    }
    fn set(&mut self, value: String) {
        self.0 = value;
    }
}
