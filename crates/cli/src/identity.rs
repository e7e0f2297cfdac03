//! Who this machine's nodes are: an id made once and kept in the data directory.

use agent::host;
use model::NodeId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::failure::{Advice, Context, Failure};
use crate::home::Home;

pub fn node_id(home: &Home) -> Result<NodeId, Failure> {
    host::node_id(&home.path("node-id"), StdRng::from_os_rng().random())
        .context(|| "this node does not know who it is".to_owned())
        .advice("Mend that file or its disk. Removed, it makes this another node, and what ran on the old one is lost.")
}
