//! Many seeds, on several threads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::keys;
use crate::script::Script;
use crate::simulation::{self, Outcome};

/// The outcomes of those that violate something, by seed. `told` hears of each run.
pub fn run(seeds: Range<u64>, threads: usize, told: impl Fn(u64, &Outcome) + Sync) -> Vec<(u64, Outcome)> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let keys = keys::make();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = simulation::run(&Script::of(seed), keys.path());
                    told(seed, &outcome);
                    if outcome.violation.is_some() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((seed, outcome));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(seed, _)| *seed);
    failed
}
