//! What a row is and how it is written: a key as ordered bytes, a value as schema version and JSON.
//!
//! A newer binary reads what an older one wrote: [`decode`] hands the JSON of an older version to [`Row::upgrade`]. A
//! row of a newer version is refused, never guessed at.

use std::fmt::Debug;
use std::net::Ipv4Addr;

use model::{ContainerInstanceId, NodeId, Scope, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::log::LogError;
use crate::table::Index;

/// A row of one table.
pub trait Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    type Key: Key;
    /// Kept up by the table on every put and remove; `()` for none.
    type Index: Index<Self>;
    /// The table's name in the log. Never changes.
    const TABLE: &'static str;
    /// The schema's version, from 1. Raised when older JSON no longer reads as this type.
    const VERSION: u16;

    fn key(&self) -> Self::Key;

    /// The JSON of version `from` (below [`VERSION`](Self::VERSION)) as JSON of today; an error says why it cannot be.
    fn upgrade(from: u16, value: Value) -> Result<Value, String> {
        let _ = value;
        Err(format!("this version of gantry cannot read version {from}"))
    }
}

/// A row's key. [`encode`](Key::encode) keeps the order: `a < b` exactly when the bytes of `a` are below those of `b`.
pub trait Key: Ord + Clone + Debug + Send + Sync + 'static {
    fn encode(&self, out: &mut Vec<u8>);

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// Text ends with 0,0 and carries 0 as 0,1: no text is a prefix of another one's bytes, and the order stays.
fn encode_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend([0, 0]);
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_text(self, out);
    }
}

impl Key for Scope {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_text(&self.account, out);
        encode_text(&self.region, out);
    }
}

impl Key for Ipv4Addr {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.octets());
    }
}

impl Key for u16 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Key for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Key for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
}

impl Key for TaskId {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_be_bytes());
    }
}

impl Key for NodeId {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_be_bytes());
    }
}

impl Key for ContainerInstanceId {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.to_be_bytes());
    }
}

impl<K: Key> Key for Option<K> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(key) = self {
            key.encode(out);
        }
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}

impl<A: Key, B: Key, C: Key, D: Key> Key for (A, B, C, D) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
        self.3.encode(out);
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
        self.2.encode(out);
    }
}

/// The value's bytes in the log: the schema's version (2 bytes, big endian), then JSON.
pub fn encode<R: Row>(row: &R) -> Vec<u8> {
    let mut out = R::VERSION.to_be_bytes().to_vec();
    serde_json::to_writer(&mut out, row).expect("rows are plain data, which always serialises");
    out
}

/// Reads a value back, upgrading it when an older version wrote it.
pub fn decode<R: Row>(key: &[u8], value: &[u8]) -> Result<R, LogError> {
    let corrupt = |reason: String| LogError::Corrupt { table: R::TABLE.to_owned(), reason };
    let Some((version, json)) = value.split_first_chunk::<2>() else {
        return Err(corrupt("a value without a version".to_owned()));
    };
    let version = u16::from_be_bytes(*version);
    if version > R::VERSION {
        return Err(LogError::Newer {
            what: format!("table {}", R::TABLE),
            found: version.into(),
            known: R::VERSION.into(),
        });
    }
    let row: R = if version == R::VERSION {
        serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?
    } else {
        let old = serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
        let new = R::upgrade(version, old).map_err(corrupt)?;
        serde_json::from_value(new).map_err(|error| corrupt(format!("after its upgrade from {version}: {error}")))?
    };
    if row.key().bytes() != key {
        return Err(corrupt(format!("the row {:?} lies under another row's key", row.key())));
    }
    Ok(row)
}
