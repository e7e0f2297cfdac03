//! AWS JSON 1.0 and 1.1: bodies to structures and back.
//!
//! Unknown members are ignored and an explicit null is an absent member, as AWS does. Everything else that does not
//! fit the schema is [`Malformed`]. The envelope (headers, `__type`) is `protocol`'s.

use std::borrow::Borrow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::constraint::{Missing, Path};
use crate::error::{Malformed, TOO_DEEP, TOO_MANY_ELEMENTS};
use crate::limits::{MAX_ELEMENTS, MAX_VIOLATIONS};
use crate::schema::{Kind, Member, TimestampFormat};
use crate::time;
use crate::value::{Document, Field, List, Map, Slot, Structure, View};

/// Reads `body` into `structure`, which should be empty, and tells which required members it lacks.
///
/// An empty body is an empty structure. Values go from the parser straight into their places: nothing is allocated
/// for what the schema does not know.
///
/// # Errors
/// When the body is not JSON, is nested too deeply, has too many elements, or a value's type does not fit.
pub fn read(body: &[u8], structure: &mut dyn Structure) -> Result<Vec<Missing>, Malformed> {
    let body = if body.is_empty() { b"{}" } else { body };
    let Ok(body) = std::str::from_utf8(body) else { return Err(Malformed::new("The request is not valid UTF-8")) };
    let mut reader = Reader::default();
    // The parser refuses more than 128 levels, and lone surrogates where a value is wanted.
    let mut parser = serde_json::Deserializer::from_str(body);
    let top = Member::of(structure.schema());
    let element = Element { reader: &mut reader, member: &top, field: &mut Whole(structure) };
    let read = element.deserialize(&mut parser).and_then(|()| parser.end());
    match (read, reader.refusal) {
        (Ok(()), _) => Ok(reader.missing),
        (Err(_), Some(refusal)) => Err(refusal),
        (Err(error), None) => Err(Malformed::new(format!("Malformed JSON: {error}"))),
    }
}

/// Like [`read`], for JSON that is parsed already.
///
/// # Errors
/// As [`read`].
pub fn read_value(value: impl Borrow<Document>, structure: &mut dyn Structure) -> Result<Vec<Missing>, Malformed> {
    read(value.borrow().to_string().as_bytes(), structure)
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
        write_name(member.wire_name(), out);
        write_view(member, view, out);
    }
}

/// Names of the models hold nothing that JSON would escape (a test asserts it), so they are copied as they are.
fn write_name(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
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

/// What is known while reading.
#[derive(Default)]
struct Reader {
    path: Path,
    missing: Vec<Missing>,
    elements: usize,
    /// Why reading stopped, in better words than the parser's.
    refusal: Option<Malformed>,
}

impl Reader {
    fn refuse<E: Error>(&mut self, what: &str) -> E {
        self.refusal = Some(Malformed::at(&self.path, what));
        E::custom(what)
    }

    fn note_missing(&mut self, member: &'static Member) {
        if self.missing.len() < MAX_VIOLATIONS {
            self.path.member(member.name);
            self.missing.push(Missing { path: self.path.to_string(), target: member.target });
            self.path.pop();
        }
    }

    /// Refuses what is nested too deeply.
    fn enter<E: Error>(&mut self) -> Result<(), E> {
        if self.path.is_too_deep() { Err(self.refuse(TOO_DEEP)) } else { Ok(()) }
    }

    /// Refuses one element or entry too many.
    fn count<E: Error>(&mut self) -> Result<(), E> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS { Err(self.refuse(TOO_MANY_ELEMENTS)) } else { Ok(()) }
    }
}

/// The structure that the whole body is, as a field.
struct Whole<'a>(&'a mut dyn Structure);

impl Field for Whole<'_> {
    fn view(&self) -> View<'_> {
        View::Structure(self.0)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Structure(self.0)
    }
}

/// Reads a member's name as its index; `None` when the schema has no such member.
struct AmongNames(&'static [Member]);

impl<'de> DeserializeSeed<'de> for AmongNames {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Option<usize>, D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for AmongNames {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|member| member.wire_name() == name))
    }
}

/// Where the next value goes.
struct Place<'a> {
    reader: &'a mut Reader,
    member: &'a Member,
    field: &'a mut dyn Field,
    /// Set when the value is an explicit null, which leaves the field alone.
    is_null: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        if let Kind::Document = self.member.target.kind
            && let Slot::Document(target) = self.field.slot()
        {
            *target = Document::deserialize(parser)?;
            *self.is_null = target.is_null();
            return Ok(());
        }
        parser.deserialize_any(self)
    }
}

/// An element of a list or a value of a map, which most often may not be null.
struct Element<'a> {
    reader: &'a mut Reader,
    member: &'a Member,
    field: &'a mut dyn Field,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        let Element { reader, member, field } = self;
        let mut is_null = false;
        Place { reader, member, field, is_null: &mut is_null }.deserialize(parser)?;
        if is_null && !field.set_null() {
            let wanted = name_of(&member.target.kind);
            return Err(reader.refuse(&format!("null can not be converted to {wanted}")));
        }
        Ok(())
    }
}

/// A list's next element, which is made only when there is one.
struct Next<'a> {
    reader: &'a mut Reader,
    element: &'a Member,
    list: &'a mut dyn List,
}

impl<'de> DeserializeSeed<'de> for Next<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
        self.reader.count()?;
        Element { reader: self.reader, member: self.element, field: self.list.push() }.deserialize(parser)
    }
}

impl Place<'_> {
    fn unexpected<E: Error>(self, found: &str) -> E {
        let wanted = name_of(&self.member.target.kind);
        self.reader.refuse(&format!("{found} can not be converted to {wanted}"))
    }

    fn number<E: Error>(self, number: Number) -> Result<(), E> {
        let fits = match (self.field.slot(), number) {
            (Slot::Integer(target), number) => {
                number.whole().and_then(|number| i32::try_from(number).ok()).map(|n| *target = n)
            }
            (Slot::Long(target), number) => number.whole().map(|number| *target = number),
            (Slot::Float(target), number) => {
                *target = number.float() as f32;
                Some(())
            }
            (Slot::Double(target), number) => {
                *target = number.float();
                Some(())
            }
            (Slot::Timestamp(target), number) if epoch_seconds(self.member) => {
                time::from_seconds(number.float()).map(|moment| *target = moment)
            }
            _ => None,
        };
        fits.ok_or_else(|| self.unexpected("NUMBER_VALUE"))
    }

    fn structure<'de, A: MapAccess<'de>>(
        reader: &mut Reader,
        structure: &mut dyn Structure,
        mut object: A,
    ) -> Result<(), A::Error> {
        let members = structure.schema().members();
        let mut seen = vec![false; members.len()];
        while let Some(found) = object.next_key_seed(AmongNames(members))? {
            let Some(index) = found else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let member = &members[index];
            reader.path.member(member.name);
            if seen[index] {
                return Err(reader.refuse("The member is given twice"));
            }
            let mut is_null = false;
            let field = structure.member_mut(index);
            object.next_value_seed(Place { reader, member, field, is_null: &mut is_null })?;
            seen[index] = !is_null;
            reader.path.pop();
        }
        for (member, _) in members.iter().zip(seen).filter(|(member, seen)| member.required && !seen) {
            reader.note_missing(member);
        }
        Ok(())
    }

    fn map<'de, A: MapAccess<'de>>(
        reader: &mut Reader,
        value_member: &Member,
        map: &mut dyn Map,
        mut object: A,
    ) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            reader.path.entry(&key);
            reader.count()?;
            object.next_value_seed(Element { reader, member: value_member, field: map.insert(key) })?;
            reader.path.pop();
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&self.member.target.kind))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        *self.is_null = true;
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.slot() {
            Slot::Boolean(target) => {
                *target = value;
                Ok(())
            }
            _ => Err(self.unexpected(if value { "TRUE_VALUE" } else { "FALSE_VALUE" })),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Number::Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(i64::try_from(value).map_or(Number::Float(value as f64), Number::Whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(Number::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let fits = match self.field.slot() {
            Slot::String(target) => {
                *target = text.to_owned();
                Some(())
            }
            Slot::Enum(target) => {
                target.set(text.to_owned());
                Some(())
            }
            Slot::Float(target) => unusual_number(text).map(|number| *target = number as f32),
            Slot::Double(target) => unusual_number(text).map(|number| *target = number),
            Slot::Blob(target) => STANDARD.decode(text).ok().map(|bytes| target.0 = bytes),
            Slot::Timestamp(target) => {
                let format = self.member.timestamp_format().filter(|format| *format != TimestampFormat::EpochSeconds);
                format.and_then(|format| time::parse(text, format)).map(|moment| *target = moment)
            }
            _ => None,
        };
        fits.ok_or_else(|| self.unexpected("STRING_VALUE"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let (Kind::List(element), Slot::List(list)) = (&self.member.target.kind, self.field.slot()) else {
            return Err(self.reader.refuse("Start of list found where not expected"));
        };
        let reader = self.reader;
        reader.enter()?;
        loop {
            reader.path.element(list.len());
            let more = values.next_element_seed(Next { reader, element, list })?;
            reader.path.pop();
            if more.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.reader.enter()?;
        match (self.field.slot(), &self.member.target.kind) {
            (Slot::Structure(structure), _) => Place::structure(self.reader, structure, object),
            (Slot::Map(map), Kind::Map(_, value_member)) => Place::map(self.reader, value_member, map, object),
            _ => Err(self.reader.refuse("Start of structure or map found where not expected.")),
        }
    }
}
pub(crate) fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Structure(_) => "a structure",
        Kind::List(_) => "a list",
        Kind::Map(..) => "a map",
        Kind::String | Kind::Enum(_) => "a String",
        Kind::Integer => "an Integer",
        Kind::Long => "a Long",
        Kind::Float => "a Float",
        Kind::Double => "a Double",
        Kind::Boolean => "a Boolean",
        Kind::Timestamp => "a Timestamp",
        Kind::Blob => "a Blob",
        Kind::Document => "a document",
    }
}

fn epoch_seconds(member: &Member) -> bool {
    matches!(member.timestamp_format(), None | Some(TimestampFormat::EpochSeconds))
}

fn unusual_number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Number {
    Whole(i64),
    Float(f64),
}

impl Number {
    /// A whole number, also when it is written with a fraction of zero.
    pub(crate) fn whole(self) -> Option<i64> {
        match self {
            Number::Whole(number) => Some(number),
            // Beyond 2^53 a float no longer says which whole number was meant.
            Number::Float(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => {
                Some(number as i64)
            }
            Number::Float(_) => None,
        }
    }

    pub(crate) fn float(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}
