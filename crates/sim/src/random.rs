//! Randomness from the seed: a generator of its own for each part, so that what one part draws, or a step that is left
//! out, changes nothing for the others.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

pub fn fork(seed: u64, part: &str) -> StdRng {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(part.as_bytes());
    StdRng::from_seed(hash.finalize().into())
}
