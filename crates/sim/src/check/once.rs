//! No container is started twice, whatever died meanwhile: a task is replaced, never repeated.

use std::collections::BTreeMap;

use super::{Check, End};

pub struct Once;

impl Check for Once {
    fn invariant(&self) -> &'static str {
        "no container is started twice"
    }

    fn look_at_end(&self, end: &End<'_>) -> Result<(), String> {
        let mut starts: BTreeMap<&str, u32> = BTreeMap::new();
        for (id, times) in end.machines.values().flat_map(|inventory| &inventory.starts) {
            *starts.entry(container_of(id)).or_default() += times;
        }
        match starts.iter().find(|(_, times)| **times > 1) {
            Some((container, times)) => Err(format!("container {container} was started {times} times")),
            None => Ok(()),
        }
    }
}

/// `<task>-<container>`, without the number of the attempt at making it.
fn container_of(id: &str) -> &str {
    let mut dashes = id.match_indices('-').map(|(at, _)| at);
    dashes.nth(1).map_or(id, |end| &id[..end])
}
