//! What the name server (`edge::dns`) is told: the private names and where they lead. The control plane writes it.
//!
//! Rules that must hold:
//! - A snapshot is always whole. A name of one of its zones that is not in it does not exist.
//! - A snapshot below the revision that the name server has is ignored.
//! - Values are as the API has checked them; a name that cannot be one is left out by the name server.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// How many answers AWS gives at most to a name with [`Routing::Multivalue`].
pub const MULTIVALUE_ANSWERS: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with every change.
    pub revision: u64,
    pub zones: Vec<Zone>,
}

/// Everything at and below a name: what is not there is answered with "no such name", never asked elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Without the last dot.
    pub name: String,
    /// How long it may be remembered that a name does not exist.
    pub negative_ttl_seconds: u32,
    pub records: Vec<RecordSet>,
}

/// The records of one type at one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Whole, without the last dot.
    pub name: String,
    pub ttl_seconds: u32,
    pub routing: Routing,
    pub records: Records,
}

/// Which of the records a question is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Routing {
    /// All of them.
    Simple,
    /// At most [`MULTIVALUE_ANSWERS`] of them, by chance.
    Multivalue,
    /// One of them, by chance.
    Weighted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    A(Vec<Ipv4Addr>),
    Aaaa(Vec<Ipv6Addr>),
    Srv(Vec<Srv>),
}

impl Records {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::A(addresses) => addresses.is_empty(),
            Self::Aaaa(addresses) => addresses.is_empty(),
            Self::Srv(services) => services.is_empty(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// A name with addresses, without the last dot.
    pub target: String,
}
