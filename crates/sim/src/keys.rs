//! The control plane's keys, made before a run, so that no run waits for a real disk or draws them from its seed.

use control::access_key::AccessKey;
use control::node_key::NodeKey;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;

/// A directory for [`run`](crate::simulation::run).
pub fn make() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut random = StdRng::seed_from_u64(0);
    AccessKey::load_or_create(directory.path(), &crate::plane::scope().account, &mut random).expect("a key");
    NodeKey::load_or_create(directory.path(), &mut random).expect("a key");
    directory
}
