//! A failed call, before a protocol spells it.

use std::fmt;

use crate::constraint::Path;
use crate::value::{Structure, View};

/// What a call failed with. Every service's `Error` converts into it; a protocol turns it into an answer.
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// The exception's name, or the code of the Query protocols.
    pub code: String,
    pub message: String,
    /// The modelled shape, when the failure carries more than a message.
    pub shape: Option<Box<dyn ErrorShape>>,
}

/// A structure that can stand behind a [`Failure`].
pub trait ErrorShape: Structure {
    fn boxed(&self) -> Box<dyn ErrorShape>;
    fn as_structure(&self) -> &dyn Structure;
    /// Whether the model gives it a message of its own, under whatever capitals, and it is set.
    fn says_message(&self) -> bool;
}

impl<T: Structure + Clone + 'static> ErrorShape for T {
    fn boxed(&self) -> Box<dyn ErrorShape> {
        Box::new(self.clone())
    }
    fn as_structure(&self) -> &dyn Structure {
        self
    }
    fn says_message(&self) -> bool {
        let members = self.schema().members().iter().enumerate();
        members
            .filter(|(_, member)| member.name.eq_ignore_ascii_case("message"))
            .any(|(index, _)| !matches!(self.member(index).view(), View::Null))
    }
}

impl Failure {
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { status, code: code.into(), message: message.into(), shape: None }
    }

    /// A failure whose code and status are those of its shape.
    ///
    /// # Panics
    /// If the shape is not an error shape.
    pub fn modelled(message: String, shape: Box<dyn ErrorShape>) -> Failure {
        let schema = shape.schema();
        let error = schema.error.expect("an error shape");
        Failure { status: error.status, code: schema.name.to_owned(), message, shape: Some(shape) }
    }
}

impl Failure {
    /// The code in the Query protocols, which may differ from the exception's name.
    pub fn query_code(&self) -> &str {
        match &self.shape {
            Some(shape) => shape.schema().error.map_or(&self.code, |error| error.code),
            None => &self.code,
        }
    }

    /// Whether the caller is at fault.
    pub fn is_senders(&self) -> bool {
        match self.shape.as_ref().and_then(|shape| shape.schema().error) {
            Some(error) => error.sender,
            None => self.status < 500,
        }
    }
}

impl Clone for Failure {
    fn clone(&self) -> Failure {
        Failure {
            status: self.status,
            code: self.code.clone(),
            message: self.message.clone(),
            shape: self.shape.as_ref().map(|shape| shape.boxed()),
        }
    }
}

impl PartialEq for Failure {
    fn eq(&self, other: &Failure) -> bool {
        (self.status, &self.code, &self.message) == (other.status, &other.code, &other.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

pub(crate) const TOO_DEEP: &str = "The request is nested too deeply";
pub(crate) const TOO_MANY_ELEMENTS: &str = "The request has too many elements";

/// Why bytes do not decode; the text is for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub fn new(text: impl Into<String>) -> Malformed {
        Malformed(text.into())
    }

    pub(crate) fn at(path: &Path, what: &str) -> Malformed {
        Malformed(if path.is_root() { what.to_owned() } else { format!("{what} (at '{path}')") })
    }
}
