//! What two bodies have in common when a client cannot tell them apart.

use std::collections::BTreeMap;

use minicbor::Decoder;
use minicbor::data::Type;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;

/// JSON with numbers as floats and error types without their namespace.
pub fn json(body: &str) -> String {
    let value: Value = serde_json::from_str(if body.is_empty() { "{}" } else { body }).expect("a body is JSON");
    plain(value).to_string()
}

fn plain(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .map(|(key, value)| {
                let value = match (key.as_str(), &value) {
                    ("__type", Value::String(name)) => name.rsplit('#').next().into(),
                    _ => plain(value),
                };
                (key, value)
            })
            .collect(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other,
    }
}

/// CBOR as JSON, with lengths, widths of numbers and the namespaces of error types forgotten. An answer without members
/// may have no body.
pub fn cbor(body: &[u8]) -> String {
    if body.is_empty() {
        return "{}".to_owned();
    }
    let mut decoder = Decoder::new(body);
    let value = cbor_value(&mut decoder);
    assert_eq!(decoder.position(), body.len(), "something follows");
    plain(value).to_string()
}

fn cbor_value(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::Bool => decoder.bool().unwrap().into(),
        Type::Null | Type::Undefined => {
            decoder.skip().unwrap();
            Value::Null
        }
        Type::F16 | Type::F32 => number(decoder.f32().unwrap().into()),
        Type::F64 => number(decoder.f64().unwrap()),
        Type::String | Type::StringIndef => decoder.str_iter().unwrap().collect::<Result<String, _>>().unwrap().into(),
        Type::Bytes | Type::BytesIndef => {
            let chunks: Vec<&[u8]> = decoder.bytes_iter().unwrap().collect::<Result<_, _>>().unwrap();
            format!("bytes {:?}", chunks.concat()).into()
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array().unwrap();
            let mut values = Vec::new();
            while more(decoder, length, values.len()) {
                values.push(cbor_value(decoder));
            }
            values.into()
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map().unwrap();
            let mut values = serde_json::Map::new();
            while more(decoder, length, values.len()) {
                let Value::String(key) = cbor_value(decoder) else { panic!("a key is text") };
                values.insert(key, cbor_value(decoder));
            }
            values.into()
        }
        Type::Tag => {
            let tag = decoder.tag().unwrap().as_u64();
            serde_json::json!({"tag": tag, "value": cbor_value(decoder)})
        }
        _ => number(i128::from(decoder.int().unwrap()) as f64),
    }
}

/// What JSON has no number for is a text.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}

fn more(decoder: &mut Decoder<'_>, length: Option<u64>, taken: usize) -> bool {
    match length {
        Some(length) => (taken as u64) < length,
        None if decoder.datatype().unwrap() == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            false
        }
        None => true,
    }
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Element>,
    text: String,
}

/// Elements in the order of their names, without indentation, request ids and the spelling of numbers. `unordered`
/// also forgets the order of like-named siblings: maps have none.
pub fn xml(body: &str, unordered: bool) -> String {
    let mut reader = Reader::from_str(body);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().expect("a body is XML") {
            Event::Start(start) => open.push(element(&start)),
            Event::Empty(start) => {
                let element = element(&start);
                open.last_mut().unwrap().children.push(element);
            }
            Event::End(_) => {
                let closed = open.pop().unwrap();
                open.last_mut().unwrap().children.push(closed);
            }
            Event::Text(text) => open.last_mut().unwrap().text.push_str(&text.xml10_content()),
            Event::CData(text) => open.last_mut().unwrap().text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let target = &mut open.last_mut().unwrap().text;
                match reference.resolve_char_ref().unwrap() {
                    Some(c) => target.push(c),
                    None => target.push_str(match &*reference.xml10_content() {
                        "lt" => "<",
                        "gt" => ">",
                        "amp" => "&",
                        "quot" => "\"",
                        "apos" => "'",
                        other => panic!("&{other};"),
                    }),
                }
            }
            Event::Eof => return open.pop().unwrap().canonical(unordered),
            _ => {}
        }
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.unwrap();
        (attribute.key.0.to_owned(), attribute.value.into_owned())
    });
    Element { name: start.name().0.to_owned(), attributes: attributes.collect(), ..Default::default() }
}

impl Element {
    fn canonical(self, unordered: bool) -> String {
        let is_layout = self.text.trim().is_empty() || !self.children.is_empty();
        let text = if is_layout { self.text.trim() } else { self.text.as_str() };
        let text = text.parse::<f64>().map_or(text.to_owned(), |number| number.to_string());
        let mut children: Vec<(String, String)> = self
            .children
            .into_iter()
            .filter(|child| !["ResponseMetadata", "requestId", "RequestID", "RequestId"].contains(&child.name.as_str()))
            .map(|child| (child.name.clone(), child.canonical(unordered)))
            .collect();
        if unordered {
            children.sort();
        } else {
            children.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let children: String = children.into_iter().map(|(_, child)| child).collect();
        format!("<{}{:?}>{text}{children}</>", self.name, self.attributes)
    }
}
