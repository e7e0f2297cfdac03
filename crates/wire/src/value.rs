//! How codecs see values: borrowed views for writing, slots for reading.
//!
//! Generated structures implement [`Structure`]; everything that can stand in a member implements [`Field`]. A codec
//! asks a field for its [`View`] and matches on it, or asks for its [`Slot`] and fills it. Neither allocates by
//! itself. Asking a field for its slot makes it present; a codec does so only when it has something to put in.

use std::collections::BTreeMap;
use std::fmt;

use crate::schema::Schema;

/// A moment as AWS's wire has it: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Bytes that the wire may have to encode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

/// Any JSON, carried through as it is.
pub type Document = serde_json::Value;

/// A value as a codec reads it for writing.
#[derive(Clone, Copy)]
pub enum View<'a> {
    Null,
    Structure(&'a dyn Structure),
    List(&'a dyn List),
    Map(&'a dyn Map),
    String(&'a str),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Timestamp(Timestamp),
    Blob(&'a [u8]),
    Document(&'a Document),
}

/// A place that a codec fills.
pub enum Slot<'a> {
    Structure(&'a mut dyn Structure),
    List(&'a mut dyn List),
    Map(&'a mut dyn Map),
    String(&'a mut String),
    Enum(&'a mut dyn OpenEnum),
    Integer(&'a mut i32),
    Long(&'a mut i64),
    Float(&'a mut f32),
    Double(&'a mut f64),
    Boolean(&'a mut bool),
    Timestamp(&'a mut Timestamp),
    Blob(&'a mut Blob),
    Document(&'a mut Document),
}

/// Anything that can stand in a member, a list or a map.
pub trait Field {
    fn view(&self) -> View<'_>;
    /// The place to fill; makes the field present.
    fn slot(&mut self) -> Slot<'_>;
    /// Takes an explicit null; false when the field cannot be null.
    fn set_null(&mut self) -> bool {
        false
    }
}

/// A structure of the model. Indexes are those of `schema().members()`.
pub trait Structure: fmt::Debug + Send + Sync {
    fn schema(&self) -> &'static Schema;
    fn member(&self, index: usize) -> &dyn Field;
    fn member_mut(&mut self, index: usize) -> &mut dyn Field;
}

/// A list whose elements are fields.
pub trait List {
    fn len(&self) -> usize;
    fn element(&self, index: usize) -> &dyn Field;
    /// Appends an empty element and gives it to be filled.
    fn push(&mut self) -> &mut dyn Field;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map from strings to fields.
pub trait Map {
    fn entries(&self) -> Box<dyn Iterator<Item = (&str, &dyn Field)> + '_>;
    /// Inserts an empty value and gives it to be filled.
    fn insert(&mut self, key: String) -> &mut dyn Field;
}

/// An enumeration that keeps values the model does not know.
pub trait OpenEnum {
    fn as_str(&self) -> &str;
    fn set(&mut self, value: String);
}

macro_rules! scalar {
    ($type:ty, $variant:ident) => {
        impl Field for $type {
            fn view(&self) -> View<'_> {
                View::$variant(*self)
            }
            fn slot(&mut self) -> Slot<'_> {
                Slot::$variant(self)
            }
        }
    };
}

scalar!(i32, Integer);
scalar!(i64, Long);
scalar!(f32, Float);
scalar!(f64, Double);
scalar!(bool, Boolean);
scalar!(Timestamp, Timestamp);

impl Field for String {
    fn view(&self) -> View<'_> {
        View::String(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::String(self)
    }
}

impl Field for Blob {
    fn view(&self) -> View<'_> {
        View::Blob(&self.0)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Blob(self)
    }
}

impl Field for Document {
    fn view(&self) -> View<'_> {
        View::Document(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Document(self)
    }
}

impl<T: Structure> Field for T {
    fn view(&self) -> View<'_> {
        View::Structure(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Structure(self)
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn view(&self) -> View<'_> {
        self.as_ref().map_or(View::Null, Field::view)
    }
    fn slot(&mut self) -> Slot<'_> {
        self.get_or_insert_default().slot()
    }
    fn set_null(&mut self) -> bool {
        *self = None;
        true
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn view(&self) -> View<'_> {
        View::List(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::List(self)
    }
}

impl<T: Field + Default> List for Vec<T> {
    fn len(&self) -> usize {
        self.len()
    }
    fn element(&self, index: usize) -> &dyn Field {
        &self[index]
    }
    fn push(&mut self) -> &mut dyn Field {
        self.push(T::default());
        self.last_mut().expect("just pushed")
    }
}

impl<T: Field + Default> Field for BTreeMap<String, T> {
    fn view(&self) -> View<'_> {
        View::Map(self)
    }
    fn slot(&mut self) -> Slot<'_> {
        Slot::Map(self)
    }
}

impl<T: Field + Default> Map for BTreeMap<String, T> {
    fn entries(&self) -> Box<dyn Iterator<Item = (&str, &dyn Field)> + '_> {
        Box::new(self.iter().map(|(key, value)| (key.as_str(), value as &dyn Field)))
    }
    fn insert(&mut self, key: String) -> &mut dyn Field {
        self.entry(key).insert_entry(T::default()).into_mut()
    }
}

/// The `Debug` form of every generated structure: absent members are left out and sensitive ones are not shown, so
/// that a request can be traced without leaking what it carries.
pub fn debug_structure(structure: &dyn Structure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let schema = structure.schema();
    let mut out = f.debug_struct(schema.name);
    for (index, member) in schema.members().iter().enumerate() {
        match structure.member(index).view() {
            View::Null => {}
            _ if schema.sensitive || member.target.is_sensitive() => {
                out.field(member.name, &format_args!("<sensitive>"));
            }
            view => {
                out.field(member.name, &view);
            }
        }
    }
    out.finish()
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            View::Null => f.write_str("null"),
            View::Structure(structure) => structure.fmt(f),
            View::List(list) => f.debug_list().entries((0..list.len()).map(|i| list.element(i).view())).finish(),
            View::Map(map) => f.debug_map().entries(map.entries().map(|(k, v)| (k, v.view()))).finish(),
            View::String(value) => value.fmt(f),
            View::Integer(value) => value.fmt(f),
            View::Long(value) => value.fmt(f),
            View::Float(value) => value.fmt(f),
            View::Double(value) => value.fmt(f),
            View::Boolean(value) => value.fmt(f),
            View::Timestamp(value) => value.0.fmt(f),
            View::Blob(value) => write!(f, "<{} bytes>", value.len()),
            View::Document(value) => value.fmt(f),
        }
    }
}
