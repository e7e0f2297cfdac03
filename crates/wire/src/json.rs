//! AWS JSON 1.0 and 1.1: bodies to structures and back.
//!
//! Unknown members are ignored and an explicit null is an absent member, as AWS does. Everything else that does not
//! fit the schema is [`Malformed`]. The envelope (headers, `__type`) is `protocol`'s.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::constraint::{Missing, Path};
use crate::error::Malformed;
use crate::schema::{Kind, Member, TimestampFormat};
use crate::time;
use crate::value::{List, Map, Slot, Structure, View};

/// Reads `body` into `structure`, which should be empty, and tells which required members it lacks.
///
/// An empty body is an empty structure.
///
/// # Errors
/// When the body is not JSON, is nested too deeply, or a value's type does not fit.
pub fn read(body: &[u8], structure: &mut dyn Structure) -> Result<Vec<Missing>, Malformed> {
    if body.is_empty() {
        return read_value(Value::Object(serde_json::Map::new()), structure);
    }
    // The parser refuses invalid UTF-8, lone surrogates and more than 128 levels.
    let value = serde_json::from_slice(body).map_err(|error| Malformed::new(format!("Malformed JSON: {error}")))?;
    read_value(value, structure)
}

/// Like [`read`], for JSON that is parsed already.
pub fn read_value(value: Value, structure: &mut dyn Structure) -> Result<Vec<Missing>, Malformed> {
    let mut reader = Reader { path: Path::default(), missing: Vec::new() };
    let Value::Object(object) = value else { return Err(reader.unexpected(&value, "a structure")) };
    reader.structure(object, structure)?;
    Ok(reader.missing)
}

/// Writes `structure` as a JSON object.
pub fn write(structure: &dyn Structure, out: &mut Vec<u8>) {
    out.push(b'{');
    write_members(structure, false, out);
    out.push(b'}');
}

/// Writes `"name":value` for every present member; a comma before the first when `follows`.
pub(crate) fn write_members(structure: &dyn Structure, mut follows: bool, out: &mut Vec<u8>) {
    for (index, member) in structure.schema().members().iter().enumerate() {
        let view = structure.member(index).view();
        if matches!(view, View::Null) {
            continue;
        }
        if std::mem::replace(&mut follows, true) {
            out.push(b',');
        }
        write_string(member.wire_name(), out);
        out.push(b':');
        write_view(member, view, out);
    }
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string is always JSON");
}

fn write_view(member: &Member, view: View<'_>, out: &mut Vec<u8>) {
    match view {
        View::Null => out.extend_from_slice(b"null"),
        View::Structure(structure) => write(structure, out),
        View::List(list) => write_list(member, list, out),
        View::Map(map) => write_map(member, map, out),
        View::String(text) => write_string(text, out),
        View::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        View::Long(number) => out.extend_from_slice(number.to_string().as_bytes()),
        View::Float(number) => write_number(f64::from(number), number.to_string(), out),
        View::Double(number) => write_number(number, number.to_string(), out),
        View::Boolean(true) => out.extend_from_slice(b"true"),
        View::Boolean(false) => out.extend_from_slice(b"false"),
        View::Timestamp(moment) => match member.timestamp_format().unwrap_or(TimestampFormat::EpochSeconds) {
            TimestampFormat::EpochSeconds => {
                out.extend_from_slice(time::format(moment, TimestampFormat::EpochSeconds).as_bytes());
            }
            other => write_string(&time::format(moment, other), out),
        },
        View::Blob(bytes) => write_string(&STANDARD.encode(bytes), out),
        View::Document(document) => serde_json::to_writer(out, document).expect("a document is always JSON"),
    }
}

fn write_list(member: &Member, list: &dyn List, out: &mut Vec<u8>) {
    let Kind::List(element) = &member.target.kind else { unreachable!("a list has a list's schema") };
    out.push(b'[');
    for index in 0..list.len() {
        if index > 0 {
            out.push(b',');
        }
        write_view(element, list.element(index).view(), out);
    }
    out.push(b']');
}

fn write_map(member: &Member, map: &dyn Map, out: &mut Vec<u8>) {
    let Kind::Map(_, value_member) = &member.target.kind else { unreachable!("a map has a map's schema") };
    out.push(b'{');
    for (index, (key, value)) in map.entries().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write_view(value_member, value.view(), out);
    }
    out.push(b'}');
}

/// `shown` is the number in the fewest digits of its own width; JSON has no words for what is not finite.
fn write_number(number: f64, shown: String, out: &mut Vec<u8>) {
    match number {
        _ if number.is_nan() => out.extend_from_slice(b"\"NaN\""),
        f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
        f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
        _ => out.extend_from_slice(shown.as_bytes()),
    }
}

struct Reader {
    path: Path,
    missing: Vec<Missing>,
}

impl Reader {
    fn structure(
        &mut self,
        mut object: serde_json::Map<String, Value>,
        structure: &mut dyn Structure,
    ) -> Result<(), Malformed> {
        for (index, member) in structure.schema().members().iter().enumerate() {
            self.path.member(member.name);
            match object.remove(member.wire_name()) {
                None | Some(Value::Null) => self.note_missing(member),
                Some(value) => self.value(member, value, structure.member_mut(index).slot())?,
            }
            self.path.pop();
        }
        Ok(())
    }

    fn note_missing(&mut self, member: &Member) {
        if member.required {
            self.missing.push(Missing { path: self.path.to_string(), target: member.target });
        }
    }

    fn value(&mut self, member: &Member, value: Value, slot: Slot<'_>) -> Result<(), Malformed> {
        if self.path.is_too_deep() {
            return Err(Malformed::too_deep());
        }
        match (slot, value) {
            (Slot::Structure(structure), Value::Object(object)) => self.structure(object, structure)?,
            (Slot::List(list), Value::Array(values)) => self.list(member, values, list)?,
            (Slot::Map(map), Value::Object(object)) => self.map(member, object, map)?,
            (Slot::String(target), Value::String(text)) => *target = text,
            (Slot::Enum(target), Value::String(text)) => target.set(text),
            (Slot::Boolean(target), Value::Bool(value)) => *target = value,
            (Slot::Document(target), value) => *target = value,
            (Slot::Integer(target), value) => {
                *target = whole(&value)
                    .and_then(|number| i32::try_from(number).ok())
                    .ok_or_else(|| self.unexpected(&value, "an Integer"))?;
            }
            (Slot::Long(target), value) => {
                *target = whole(&value).ok_or_else(|| self.unexpected(&value, "a Long"))?;
            }
            (Slot::Float(target), value) => {
                *target = number(&value).ok_or_else(|| self.unexpected(&value, "a Float"))? as f32;
            }
            (Slot::Double(target), value) => {
                *target = number(&value).ok_or_else(|| self.unexpected(&value, "a Double"))?;
            }
            (Slot::Timestamp(target), value) => {
                *target = timestamp(member, &value).ok_or_else(|| self.unexpected(&value, "a Timestamp"))?;
            }
            (Slot::Blob(target), Value::String(text)) => {
                target.0 = STANDARD.decode(&text).map_err(|_| self.invalid("Invalid base64"))?;
            }
            (slot, value) => return Err(self.unexpected(&value, name_of(&slot))),
        }
        Ok(())
    }

    fn list(&mut self, member: &Member, values: Vec<Value>, list: &mut dyn List) -> Result<(), Malformed> {
        let Kind::List(element) = &member.target.kind else { unreachable!("a list has a list's schema") };
        for (index, value) in values.into_iter().enumerate() {
            self.path.element(index);
            let field = list.push();
            if value.is_null() {
                if !field.set_null() {
                    return Err(self.unexpected(&value, name_of(&field.slot())));
                }
            } else {
                self.value(element, value, field.slot())?;
            }
            self.path.pop();
        }
        Ok(())
    }

    fn map(
        &mut self,
        member: &Member,
        object: serde_json::Map<String, Value>,
        map: &mut dyn Map,
    ) -> Result<(), Malformed> {
        let Kind::Map(_, value_member) = &member.target.kind else { unreachable!("a map has a map's schema") };
        for (key, value) in object {
            self.path.entry(&key);
            let field = map.insert(key);
            if value.is_null() {
                if !field.set_null() {
                    return Err(self.unexpected(&value, name_of(&field.slot())));
                }
            } else {
                self.value(value_member, value, field.slot())?;
            }
            self.path.pop();
        }
        Ok(())
    }

    fn unexpected(&self, value: &Value, wanted: &str) -> Malformed {
        self.invalid(&match value {
            Value::Null => format!("null can not be converted to {wanted}"),
            Value::Bool(true) => format!("TRUE_VALUE can not be converted to {wanted}"),
            Value::Bool(false) => format!("FALSE_VALUE can not be converted to {wanted}"),
            Value::Number(_) => format!("NUMBER_VALUE can not be converted to {wanted}"),
            Value::String(_) => format!("STRING_VALUE can not be converted to {wanted}"),
            Value::Array(_) => "Start of list found where not expected".to_owned(),
            Value::Object(_) => "Start of structure or map found where not expected.".to_owned(),
        })
    }

    fn invalid(&self, what: &str) -> Malformed {
        Malformed::at(&self.path, what)
    }
}

fn name_of(slot: &Slot<'_>) -> &'static str {
    match slot {
        Slot::Structure(_) => "a structure",
        Slot::List(_) => "a list",
        Slot::Map(_) => "a map",
        Slot::String(_) | Slot::Enum(_) => "a String",
        Slot::Integer(_) => "an Integer",
        Slot::Long(_) => "a Long",
        Slot::Float(_) => "a Float",
        Slot::Double(_) => "a Double",
        Slot::Boolean(_) => "a Boolean",
        Slot::Timestamp(_) => "a Timestamp",
        Slot::Blob(_) => "a Blob",
        Slot::Document(_) => "a document",
    }
}

/// A whole number, also when it is written with a fraction of zero.
fn whole(value: &Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    // Beyond 2^53 a float no longer says which whole number was meant.
    value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).map(|n| n as i64)
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

fn timestamp(member: &Member, value: &Value) -> Option<crate::value::Timestamp> {
    match member.timestamp_format().unwrap_or(TimestampFormat::EpochSeconds) {
        TimestampFormat::EpochSeconds => time::from_seconds(value.as_f64()?),
        format => time::parse(value.as_str()?, format),
    }
}
