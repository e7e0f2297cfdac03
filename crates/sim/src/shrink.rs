//! Makes a failing script shorter: leaves steps out as long as it still fails in the same way.

use std::path::Path;

use crate::script::{NODES, Script};
use crate::simulation::{self, Outcome};

/// Runs that shrinking may take.
const RUNS_MAX: usize = 300;

/// The shortest script found that violates the same invariant, and how it goes.
pub fn shrink(script: &Script, outcome: Outcome, directory: &Path) -> (Script, Outcome) {
    let invariant = |outcome: &Outcome| outcome.violation.as_ref().map(|violation| violation.invariant.clone());
    let wanted = invariant(&outcome);
    let mut best = (script.clone(), outcome);
    let mut runs = 1;
    let agreeing = Script { skews: [0; NODES], ..script.clone() };
    let outcome = simulation::run(&agreeing, directory);
    if invariant(&outcome) == wanted {
        best = (agreeing, outcome);
    }
    let mut length = best.0.steps.len() / 2;
    while length > 0 {
        let mut start = 0;
        while start < best.0.steps.len() && runs < RUNS_MAX {
            let shorter = without(&best.0, start, length);
            runs += 1;
            let outcome = simulation::run(&shorter, directory);
            if invariant(&outcome) == wanted {
                best = (shorter, outcome);
            } else {
                start += length;
            }
        }
        length /= 2;
    }
    best
}

fn without(script: &Script, start: usize, length: usize) -> Script {
    let mut steps = script.steps.clone();
    steps.drain(start..(start + length).min(steps.len()));
    Script { steps, ..script.clone() }
}
