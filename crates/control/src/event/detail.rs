//! Answers of the API as the details of events: the same members, with times as ISO 8601 text.

use model::Timestamp;
use serde_json::{Map, Value};
use wire::schema::TimestampFormat;
use wire::time;
use wire::value::{Field, Structure, View};

/// The members that are present.
pub(super) fn of(structure: &dyn Structure) -> Map<String, Value> {
    let members = structure.schema().members().iter().enumerate();
    let present = members.filter_map(|(index, member)| match structure.member(index).view() {
        View::Null => None,
        view => Some((member.wire_name().to_owned(), value(view))),
    });
    present.collect()
}

fn value(view: View<'_>) -> Value {
    match view {
        View::Null => Value::Null,
        View::Structure(structure) => Value::Object(of(structure)),
        View::List(list) => (0..list.len()).map(|index| value(list.element(index).view())).collect(),
        View::Map(map) => {
            let entries = map.entries().map(|(key, field): (&str, &dyn Field)| (key.to_owned(), value(field.view())));
            Value::Object(entries.collect())
        }
        View::String(text) => text.into(),
        View::Integer(number) => number.into(),
        View::Long(number) => number.into(),
        View::Float(number) => f64::from(number).into(),
        View::Double(number) => number.into(),
        View::Boolean(flag) => flag.into(),
        View::Timestamp(at) => time::format(at, TimestampFormat::DateTime).into(),
        View::Blob(_) => unreachable!("nothing that ECS describes has bytes"),
        View::Document(document) => document.clone(),
    }
}

/// To the millisecond, as in a detail.
pub(super) fn moment(at: Timestamp) -> String {
    time::format(wire::value::Timestamp(at.as_millis()), TimestampFormat::DateTime)
}

/// To the second, as in an envelope.
pub(super) fn seconds(at: Timestamp) -> String {
    moment(Timestamp(at.as_millis().div_euclid(1000) * 1000))
}
