//! Randomness for choices and trace ids. Quick, and not for secrets.

use std::cell::RefCell;

use rand::distr::{Distribution, StandardUniform};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SOURCE: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
}

pub fn next<T>() -> T
where
    StandardUniform: Distribution<T>,
{
    SOURCE.with_borrow_mut(|source| source.random())
}
