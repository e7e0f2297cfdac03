//! Smithy RPC v2 CBOR: bodies to structures and back.
//!
//! As with JSON, unknown members are ignored and an explicit null is an absent member. Lengths may be left open, and
//! numbers come in any width that their value needs. Everything else that does not fit the schema is [`Malformed`]. The
//! envelope (headers, `__type`) is `protocol`'s.

use std::convert::Infallible;

use minicbor::data::{IanaTag, Tag, Type};
use minicbor::{Decoder, Encoder, decode, encode};

use crate::constraint::{Missing, Path};
use crate::error::{Malformed, TOO_DEEP, TOO_MANY_ELEMENTS};
use crate::json::{Number, name_of};
use crate::limits::{MAX_ELEMENTS, MAX_VIOLATIONS};
use crate::schema::{Kind, Member};
use crate::time;
use crate::value::{Field, List, Map, Slot, Structure, Timestamp, View};

/// Reads `body` into `structure`, which should be empty, and tells which required members it lacks. An empty body is an
/// empty structure.
///
/// # Errors
/// When the body is not CBOR, is nested too deeply, has too many elements, or a value's type does not fit.
pub fn read(body: &[u8], structure: &mut dyn Structure) -> Result<Vec<Missing>, Malformed> {
    let body = if body.is_empty() { EMPTY_MAP } else { body };
    let mut reader = Reader { decoder: Decoder::new(body), path: Path::default(), missing: Vec::new(), elements: 0 };
    if !matches!(reader.kind()?, Type::Map | Type::MapIndef) {
        return Err(Malformed::new("The request is not a CBOR map"));
    }
    reader.structure(structure)?;
    if reader.decoder.position() < body.len() {
        return Err(Malformed::new("Malformed CBOR: something follows the request"));
    }
    Ok(reader.missing)
}

const EMPTY_MAP: &[u8] = &[0xa0];

struct Reader<'b> {
    decoder: Decoder<'b>,
    path: Path,
    missing: Vec<Missing>,
    elements: usize,
}

impl Reader<'_> {
    fn kind(&self) -> Result<Type, Malformed> {
        self.decoder.datatype().map_err(broken)
    }

    fn refuse(&self, what: &str) -> Malformed {
        Malformed::at(&self.path, what)
    }

    /// Refuses what is nested too deeply.
    fn enter(&self) -> Result<(), Malformed> {
        if self.path.is_too_deep() { Err(self.refuse(TOO_DEEP)) } else { Ok(()) }
    }

    /// Refuses one element or entry too many.
    fn count(&mut self) -> Result<(), Malformed> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS { Err(self.refuse(TOO_MANY_ELEMENTS)) } else { Ok(()) }
    }

    /// Whether there is one more of a list or map of `length`, `taken` of which were read; takes its end if that is
    /// open.
    fn more(&mut self, length: Option<u64>, taken: u64) -> Result<bool, Malformed> {
        match length {
            Some(length) => Ok(taken < length),
            None if self.kind()? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn structure(&mut self, structure: &mut dyn Structure) -> Result<(), Malformed> {
        self.enter()?;
        let members = structure.schema().members();
        let mut seen = vec![false; members.len()];
        let length = self.decoder.map().map_err(broken)?;
        let mut taken = 0;
        while self.more(length, taken)? {
            taken += 1;
            let name = self.text()?;
            let Some(index) = members.iter().position(|member| member.wire_name() == name) else {
                self.decoder.skip().map_err(broken)?;
                continue;
            };
            let member = &members[index];
            self.path.member(member.name);
            if seen[index] {
                return Err(self.refuse("The member is given twice"));
            }
            seen[index] = self.value(member, structure.member_mut(index))?;
            self.path.pop();
        }
        for (member, _) in members.iter().zip(seen).filter(|(member, seen)| member.required && !seen) {
            self.note_missing(member);
        }
        Ok(())
    }

    fn note_missing(&mut self, member: &'static Member) {
        if self.missing.len() < MAX_VIOLATIONS {
            self.path.member(member.name);
            self.missing.push(Missing { path: self.path.to_string(), target: member.target });
            self.path.pop();
        }
    }

    /// Fills the field; false for an explicit null, which leaves it alone.
    fn value(&mut self, member: &Member, field: &mut dyn Field) -> Result<bool, Malformed> {
        let kind = self.kind()?;
        match kind {
            Type::Null | Type::Undefined => {
                self.decoder.skip().map_err(broken)?;
                return Ok(false);
            }
            Type::Bool => self.boolean(member, field)?,
            Type::String | Type::StringIndef => self.string(member, field)?,
            Type::Bytes | Type::BytesIndef => self.blob(member, field)?,
            Type::Array | Type::ArrayIndef => self.list(member, field)?,
            Type::Map | Type::MapIndef => self.object(member, field)?,
            Type::Tag => self.timestamp(member, field)?,
            _ => {
                let number = self.number(kind)?;
                self.fill_number(number, member, field)?;
            }
        }
        Ok(true)
    }

    /// An element of a list or a value of a map, which most often may not be null.
    fn element(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        if self.value(member, field)? || field.set_null() {
            return Ok(());
        }
        Err(self.unexpected("null", member))
    }

    fn unexpected(&self, found: &str, member: &Member) -> Malformed {
        self.refuse(&format!("{found} can not be converted to {}", name_of(&member.target.kind)))
    }

    fn boolean(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let value = self.decoder.bool().map_err(broken)?;
        let Slot::Boolean(target) = field.slot() else { return Err(self.unexpected("a boolean", member)) };
        *target = value;
        Ok(())
    }

    fn string(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let text = self.text()?;
        match field.slot() {
            Slot::String(target) => *target = text,
            Slot::Enum(target) => target.set(text),
            _ => return Err(self.unexpected("a string", member)),
        }
        Ok(())
    }

    fn text(&mut self) -> Result<String, Malformed> {
        self.decoder.str_iter().and_then(Iterator::collect).map_err(broken)
    }

    fn blob(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let chunks: Vec<&[u8]> = self.decoder.bytes_iter().and_then(Iterator::collect).map_err(broken)?;
        let Slot::Blob(target) = field.slot() else { return Err(self.unexpected("a byte string", member)) };
        target.0 = chunks.concat();
        Ok(())
    }

    fn list(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let (Kind::List(element), Slot::List(list)) = (&member.target.kind, field.slot()) else {
            return Err(self.unexpected("a list", member));
        };
        self.enter()?;
        let length = self.decoder.array().map_err(broken)?;
        let mut taken = 0;
        while self.more(length, taken)? {
            taken += 1;
            self.count()?;
            self.path.element(list.len());
            self.element(element, list.push())?;
            self.path.pop();
        }
        Ok(())
    }

    fn object(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        match (field.slot(), &member.target.kind) {
            (Slot::Structure(structure), _) => self.structure(structure),
            (Slot::Map(map), Kind::Map(_, value)) => self.map(value, map),
            _ => Err(self.unexpected("a map", member)),
        }
    }

    fn map(&mut self, value: &Member, map: &mut dyn Map) -> Result<(), Malformed> {
        self.enter()?;
        let length = self.decoder.map().map_err(broken)?;
        let mut taken = 0;
        while self.more(length, taken)? {
            taken += 1;
            self.count()?;
            let key = self.text()?;
            self.path.entry(&key);
            self.element(value, map.insert(key))?;
            self.path.pop();
        }
        Ok(())
    }

    /// Seconds since the epoch. No other tag stands for anything that a model can say.
    fn timestamp(&mut self, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let tag = self.decoder.tag().map_err(broken)?;
        if tag != Tag::from(IanaTag::Timestamp) {
            return Err(self.refuse("Tags other than that of a timestamp are not known"));
        }
        let kind = self.kind()?;
        let seconds = self.number(kind)?.float();
        let Slot::Timestamp(target) = field.slot() else { return Err(self.unexpected("a timestamp", member)) };
        *target = time::from_seconds(seconds).ok_or_else(|| self.unexpected("a number", member))?;
        Ok(())
    }

    fn number(&mut self, kind: Type) -> Result<Number, Malformed> {
        match kind {
            Type::F16 | Type::F32 => self.decoder.f32().map(|number| Number::Float(number.into())).map_err(broken),
            Type::F64 => self.decoder.f64().map(Number::Float).map_err(broken),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => {
                let whole = i128::from(self.decoder.int().map_err(broken)?);
                Ok(i64::try_from(whole).map_or(Number::Float(whole as f64), Number::Whole))
            }
            other => Err(self.refuse(&format!("Malformed CBOR: {other} stands where a value is expected"))),
        }
    }

    fn fill_number(&self, number: Number, member: &Member, field: &mut dyn Field) -> Result<(), Malformed> {
        let fits = match field.slot() {
            Slot::Integer(target) => {
                number.whole().and_then(|number| i32::try_from(number).ok()).map(|number| *target = number)
            }
            Slot::Long(target) => number.whole().map(|number| *target = number),
            Slot::Float(target) => {
                *target = number.float() as f32;
                Some(())
            }
            Slot::Double(target) => {
                *target = number.float();
                Some(())
            }
            _ => None,
        };
        fits.ok_or_else(|| self.unexpected("a number", member))
    }
}

fn broken(error: decode::Error) -> Malformed {
    Malformed::new(format!("Malformed CBOR: {error}"))
}

/// Writes `structure` as a CBOR map.
pub fn write(structure: &dyn Structure, out: &mut Vec<u8>) {
    write_with(&[], structure, out);
}

/// As [`write`], with texts before the structure's own members.
pub(crate) fn write_with(texts: &[(&str, &str)], structure: &dyn Structure, out: &mut Vec<u8>) {
    let written = Writer { encoder: Encoder::new(out) }.structure(texts, structure);
    // Memory takes everything.
    written.unwrap_or_else(|error| unreachable!("{error}"));
}

/// Writes texts by name.
pub(crate) fn write_texts(texts: &[(&str, &str)], out: &mut Vec<u8>) {
    let mut writer = Writer { encoder: Encoder::new(out) };
    let written = writer.begin(texts.len()).and_then(|()| writer.texts(texts));
    written.unwrap_or_else(|error| unreachable!("{error}"));
}

type Written = Result<(), encode::Error<Infallible>>;

struct Writer<'a> {
    encoder: Encoder<&'a mut Vec<u8>>,
}

impl Writer<'_> {
    fn begin(&mut self, entries: usize) -> Written {
        self.encoder.map(entries as u64).map(drop)
    }

    fn texts(&mut self, texts: &[(&str, &str)]) -> Written {
        texts.iter().try_for_each(|(name, text)| self.encoder.str(name)?.str(text).map(drop))
    }

    fn structure(&mut self, texts: &[(&str, &str)], structure: &dyn Structure) -> Written {
        let members = structure.schema().members().iter().enumerate();
        let present: Vec<(&Member, View<'_>)> = members
            .map(|(index, member)| (member, structure.member(index).view()))
            .filter(|(_, view)| !matches!(view, View::Null))
            .collect();
        self.begin(texts.len() + present.len())?;
        self.texts(texts)?;
        for (member, view) in present {
            self.encoder.str(member.wire_name())?;
            self.view(view)?;
        }
        Ok(())
    }

    fn view(&mut self, view: View<'_>) -> Written {
        match view {
            View::Structure(structure) => return self.structure(&[], structure),
            View::List(list) => return self.list(list),
            View::Map(map) => return self.map(map),
            View::Timestamp(moment) => return self.timestamp(moment),
            View::Null => self.encoder.null(),
            View::String(text) => self.encoder.str(text),
            View::Integer(number) => self.encoder.i32(number),
            View::Long(number) => self.encoder.i64(number),
            View::Float(number) => self.encoder.f32(number),
            View::Double(number) => self.encoder.f64(number),
            View::Boolean(value) => self.encoder.bool(value),
            View::Blob(bytes) => self.encoder.bytes(bytes),
            // The protocol has no form for one, and no model of it has one.
            View::Document(document) => self.encoder.str(&document.to_string()),
        }
        .map(drop)
    }

    fn list(&mut self, list: &dyn List) -> Written {
        self.encoder.array(list.len() as u64)?;
        (0..list.len()).try_for_each(|index| self.view(list.element(index).view()))
    }

    fn map(&mut self, map: &dyn Map) -> Written {
        self.begin(map.entries().count())?;
        for (key, value) in map.entries() {
            self.encoder.str(key)?;
            self.view(value.view())?;
        }
        Ok(())
    }

    fn timestamp(&mut self, moment: Timestamp) -> Written {
        self.encoder.tag(IanaTag::Timestamp)?;
        match moment.0 % 1000 {
            0 => self.encoder.i64(moment.0 / 1000),
            _ => self.encoder.f64(moment.0 as f64 / 1000.0),
        }
        .map(drop)
    }
}
