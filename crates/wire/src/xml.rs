//! XML from structures: the elements of the Query protocols' answers.
//!
//! What XML 1.0 cannot hold (most control characters) is replaced by U+FFFD, so that an answer always parses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

use crate::schema::{Kind, Member, TimestampFormat, XmlNamespace};
use crate::time;
use crate::value::{List, Map, Structure, View};

/// A document being written.
pub struct Document(Writer<Vec<u8>>);

impl Document {
    pub fn new() -> Document {
        Document(Writer::new(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_vec()))
    }

    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner()
    }

    /// An element with what `content` writes into it.
    pub fn element(&mut self, name: &str, namespace: Option<XmlNamespace>, content: impl FnOnce(&mut Document)) {
        let mut start = BytesStart::new(name);
        push_namespace(&mut start, namespace);
        self.within(start, content);
    }

    /// An element with text.
    pub fn text_element(&mut self, name: &str, text: &str) {
        self.within(BytesStart::new(name), |document| document.text(text));
    }

    /// One element per present member that is not an attribute.
    pub fn members(&mut self, structure: &dyn Structure) {
        self.members_except(structure, "");
    }

    /// The same, without the member called `left_out` under whatever capitals.
    pub fn members_except(&mut self, structure: &dyn Structure, left_out: &str) {
        for (index, member) in structure.schema().members().iter().enumerate() {
            if !member.spelling.xml_attribute && !member.name.eq_ignore_ascii_case(left_out) {
                self.member(member, structure.member(index).view());
            }
        }
    }

    fn member(&mut self, member: &Member, view: View<'_>) {
        match view {
            View::Null => {}
            View::List(list) if member.is_flattened() => {
                let Kind::List(element) = &member.target.kind else { unreachable!("a list has a list's schema") };
                self.elements(member.wire_name(), element, list);
            }
            View::Map(map) if member.is_flattened() => self.entries(member.wire_name(), member, map),
            view => self.value(member.wire_name(), member, view),
        }
    }

    fn value(&mut self, name: &str, member: &Member, view: View<'_>) {
        let mut start = BytesStart::new(name);
        push_namespace(&mut start, member.spelling.xml_namespace);
        match view {
            View::Structure(structure) => {
                push_attributes(&mut start, structure);
                self.within(start, |document| document.members(structure));
            }
            View::List(list) => {
                let Kind::List(element) = &member.target.kind else { unreachable!("a list has a list's schema") };
                self.within(start, |document| {
                    document.elements(element.spelling.name.unwrap_or("member"), element, list);
                });
            }
            View::Map(map) => self.within(start, |document| document.entries("entry", member, map)),
            view => self.within(start, |document| document.text(&scalar(member, view))),
        }
    }

    fn elements(&mut self, name: &str, element: &Member, list: &dyn List) {
        for index in 0..list.len() {
            self.value(name, element, list.element(index).view());
        }
    }

    fn entries(&mut self, name: &str, member: &Member, map: &dyn Map) {
        let Kind::Map(key_member, value_member) = &member.target.kind else { unreachable!("a map has a map's schema") };
        for (key, value) in map.entries() {
            let mut start = BytesStart::new(name);
            if member.is_flattened() {
                push_namespace(&mut start, member.spelling.xml_namespace);
            }
            self.within(start, |document| {
                document.value(key_member.spelling.name.unwrap_or("key"), key_member, View::String(key));
                document.value(value_member.spelling.name.unwrap_or("value"), value_member, value.view());
            });
        }
    }

    fn within(&mut self, start: BytesStart<'_>, content: impl FnOnce(&mut Document)) {
        let end = BytesEnd::from(start.name()).into_owned();
        self.event(Event::Start(start));
        content(self);
        self.event(Event::End(end));
    }

    fn text(&mut self, text: &str) {
        self.event(Event::Text(BytesText::from_escaped(escape(text))));
    }

    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("writing to memory cannot fail");
    }
}

impl Default for Document {
    fn default() -> Document {
        Document::new()
    }
}

fn push_namespace(start: &mut BytesStart<'_>, namespace: Option<XmlNamespace>) {
    let Some(XmlNamespace { uri, prefix }) = namespace else { return };
    match prefix {
        Some(prefix) => start.push_attribute((format!("xmlns:{prefix}").as_str(), uri)),
        None => start.push_attribute(("xmlns", uri)),
    }
}

fn push_attributes(start: &mut BytesStart<'_>, structure: &dyn Structure) {
    for (index, member) in structure.schema().members().iter().enumerate() {
        let view = structure.member(index).view();
        if member.spelling.xml_attribute && !matches!(view, View::Null) {
            let value = escape(&scalar(member, view));
            start.push_attribute(Attribute { key: QName(member.wire_name()), value: value.into() });
        }
    }
}

fn scalar(member: &Member, view: View<'_>) -> String {
    match view {
        View::Null => String::new(),
        View::String(text) => text.to_owned(),
        View::Integer(number) => number.to_string(),
        View::Long(number) => number.to_string(),
        View::Float(number) => float(f64::from(number), number.to_string()),
        View::Double(number) => float(number, number.to_string()),
        View::Boolean(value) => value.to_string(),
        View::Timestamp(moment) => time::format(moment, member.timestamp_format().unwrap_or(TimestampFormat::DateTime)),
        View::Blob(bytes) => STANDARD.encode(bytes),
        View::Document(document) => document.to_string(),
        View::Structure(_) | View::List(_) | View::Map(_) => unreachable!("a scalar"),
    }
}

fn float(number: f64, shown: String) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => shown,
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // A parser would turn a bare one into a line feed.
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
