//! Runs of the whole system from seeds: that a run is the same each time, and that nothing breaks in 200 of them.

use std::ops::Range;

use sim::script::Script;
use sim::{keys, seeds, simulation};

const SEEDS: Range<u64> = 0..200;

#[test]
fn a_seed_runs_the_same_each_time() {
    let keys = keys::make();
    for seed in [3, 4] {
        let script = Script::of(seed);
        let first = simulation::run(&script, keys.path());
        let second = simulation::run(&script, keys::make().path());
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}: the durable bytes differ");
        assert!(first.trace.len() > 20, "seed {seed} did something");
    }
}

#[test]
fn seeds_differ() {
    let keys = keys::make();
    let hash = |seed| simulation::run(&Script::of(seed), keys.path()).hash;
    assert_ne!(hash(3), hash(4));
}

#[test]
fn nothing_breaks() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = seeds::run(SEEDS, threads, |_, _| {});
    let told: Vec<String> = failed
        .iter()
        .filter_map(|(seed, outcome)| Some(format!("seed {seed}: {}", outcome.violation.as_ref()?)))
        .collect();
    assert!(told.is_empty(), "see docs/simulation.md; run `cargo xtask sim --seeds SEED`:\n{}", told.join("\n"));
}
