//! Networks under one name, which rules of security groups and routes may name (EC2 CreateManagedPrefixList).

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::Scope;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixList {
    pub scope: Scope,
    /// `pl-` and 17 hex digits.
    pub id: String,
    pub name: String,
    /// How many entries it may ever have.
    pub max_entries: usize,
    /// Rises with every change of the entries, from one on. What an earlier one had is not kept.
    pub version: i64,
    pub entries: Vec<PrefixListEntry>,
    /// Whether it was ever changed: its state tells.
    pub is_modified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixListEntry {
    /// Without bits beyond the prefix.
    pub network: Ipv4Net,
    pub description: Option<String>,
}

impl PrefixList {
    pub fn networks(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.entries.iter().map(|entry| entry.network)
    }
}
