//! Schemas at run time, from a model in botocore's form.

use std::collections::BTreeMap;

use serde_json::Value;
use wire::schema::{Kind, Member, Schema, Spelling, TimestampFormat, XmlNamespace};

/// Recursive shapes are unrolled this many structures deep, deeper than any case nests.
const UNROLLED: usize = 8;

/// The shapes of one suite of cases. Built schemas live as long as the process.
pub struct Shapes<'a> {
    shapes: &'a Value,
    built: BTreeMap<(String, usize), &'static Schema>,
}

impl<'a> Shapes<'a> {
    pub fn new(shapes: &'a Value) -> Shapes<'a> {
        Shapes { shapes, built: BTreeMap::new() }
    }

    /// The schema behind a `{"shape": …}`; an empty structure when there is none.
    pub fn target(&mut self, reference: &Value) -> &'static Schema {
        match reference["shape"].as_str() {
            Some(name) => self.schema(name, UNROLLED),
            None => leak(Schema::structure("Nothing", &[])),
        }
    }

    fn schema(&mut self, name: &str, depth: usize) -> &'static Schema {
        let key = (name.to_owned(), depth);
        if let Some(schema) = self.built.get(&key) {
            return schema;
        }
        let schema = leak(self.build(name, depth));
        self.built.insert(key, schema);
        schema
    }

    fn build(&mut self, name: &str, depth: usize) -> Schema {
        let shape = &self.shapes[name];
        let kind = match shape["type"].as_str().unwrap_or_else(|| panic!("no shape {name}")) {
            "structure" if shape["document"] == true => Kind::Document,
            "structure" if depth == 0 => Kind::Structure(&[]),
            "structure" => Kind::Structure(self.members(shape, depth - 1)),
            "list" => Kind::List(leak(self.member("", &shape["member"], depth))),
            "map" => {
                Kind::Map(leak(self.member("", &shape["key"], depth)), leak(self.member("", &shape["value"], depth)))
            }
            "string" if shape["enum"].is_array() => Kind::Enum(&[]),
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "boolean" => Kind::Boolean,
            "timestamp" => Kind::Timestamp,
            "blob" => Kind::Blob,
            other => panic!("{name} is of unknown type {other}"),
        };
        let mut schema = Schema::new(text(name), kind).spelled(spelling(shape));
        schema.union = shape["union"] == true;
        if shape["exception"] == true {
            let error = &shape["error"];
            let fault = shape["fault"] == true;
            let code = text(error["code"].as_str().unwrap_or(name));
            let status = error["httpStatusCode"].as_u64().unwrap_or(if fault { 500 } else { 400 }) as u16;
            schema = schema.error(code, status, error["senderFault"].as_bool().unwrap_or(!fault));
        }
        schema
    }

    fn members(&mut self, shape: &Value, depth: usize) -> &'static [Member] {
        let members = shape["members"].as_object().expect("a structure has members");
        let members: Vec<Member> =
            members.iter().map(|(name, reference)| self.member(name, reference, depth)).collect();
        Box::leak(members.into_boxed_slice())
    }

    fn member(&mut self, name: &str, reference: &Value, depth: usize) -> Member {
        let target = self.schema(reference["shape"].as_str().expect("a reference"), depth);
        Member::new(text(name), target).spelled(spelling(reference))
    }
}

fn spelling(traits: &Value) -> Spelling {
    let namespace = &traits["xmlNamespace"];
    Spelling {
        name: traits["locationName"].as_str().map(text),
        query_name: traits["queryName"].as_str().map(text),
        flattened: traits["flattened"] == true,
        timestamp_format: traits["timestampFormat"].as_str().map(|format| match format {
            "unixTimestamp" => TimestampFormat::EpochSeconds,
            "iso8601" => TimestampFormat::DateTime,
            "rfc822" => TimestampFormat::HttpDate,
            other => panic!("unknown timestamp format {other}"),
        }),
        xml_namespace: namespace["uri"]
            .as_str()
            .or(namespace.as_str())
            .map(|uri| XmlNamespace { uri: text(uri), prefix: namespace["prefix"].as_str().map(text) }),
        xml_attribute: traits["xmlAttribute"] == true,
        json_value: traits["jsonvalue"] == true,
    }
}

pub fn text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
