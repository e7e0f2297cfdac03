//! Who this node is: an id made once and kept in the data directory.

use std::io::ErrorKind;
use std::path::Path;

use model::NodeId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::failure::{Context, Failure};
use crate::home::Home;

pub fn node_id(home: &Home) -> Result<NodeId, Failure> {
    kept(&home.path("node-id"))
}

/// Simulated nodes keep their ids too, so that a restart finds the same nodes.
pub fn simulated_node_id(home: &Home, number: u32) -> Result<NodeId, Failure> {
    Ok(NodeId(node_id(home)?.0.wrapping_add(u128::from(number))))
}

fn kept(path: &Path) -> Result<NodeId, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().context(|| format!("{} holds no node id", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(error).context(|| format!("{} could not be read", path.display())),
    }
}

fn make(path: &Path) -> Result<NodeId, Failure> {
    let id = NodeId(StdRng::from_os_rng().random());
    let new = path.with_extension("new");
    let write = || {
        std::fs::write(&new, format!("{id}\n"))?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().context(|| format!("{} could not be written", path.display()))?;
    Ok(id)
}
