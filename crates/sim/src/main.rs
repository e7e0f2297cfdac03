//! `sim`: runs seeds and says what broke. Called by `cargo xtask sim`.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use sim::script::Script;
use sim::simulation::Outcome;
use sim::{keys, seeds, shrink};

/// Failures of many seeds that are shrunk and shown whole.
const SHOWN_MAX: usize = 3;
/// Lines of a trace before the violation that are shown.
const LINES_MAX: usize = 60;

#[derive(Parser)]
struct Arguments {
    /// Seeds to run, `A..B`, or a single one.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Threads; all processors by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// Show the whole trace of each failure, or of the single seed.
    #[arg(long)]
    trace: bool,
    /// End with the first failure, and do not show it.
    #[arg(long)]
    until_failure: bool,
    /// Show failures as they are.
    #[arg(long)]
    no_shrink: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let count = arguments.seeds.end.saturating_sub(arguments.seeds.start);
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let begun = Instant::now();
    let done = AtomicU64::new(0);
    let failed = seeds::run(arguments.seeds, jobs, |seed, outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(violation) = &outcome.violation {
            println!("seed {seed} fails: {violation}");
            if arguments.until_failure {
                std::process::exit(1);
            }
        } else if count == 1 && arguments.trace {
            outcome.trace.iter().for_each(|line| println!("{line}"));
            println!("hash {}", outcome.hash);
        }
        if done.is_multiple_of(500) {
            println!("{done} of {count} seeds, {:.0} s", begun.elapsed().as_secs_f64());
        }
    });
    let elapsed = begun.elapsed();
    for (seed, outcome) in failed.iter().take(SHOWN_MAX) {
        let script = Script::of(*seed);
        let (script, outcome) = match arguments.no_shrink {
            true => (script, outcome.clone()),
            false => shrink::shrink(&script, outcome.clone(), keys::make().path()),
        };
        show(&script, &outcome, arguments.trace);
    }
    let each = elapsed.as_secs_f64() * 1000.0 * jobs as f64 / count.max(1) as f64;
    println!(
        "{count} seeds, {} failed, {:.1} s on {jobs} threads, {each:.0} ms each",
        failed.len(),
        elapsed.as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(script: &Script, outcome: &Outcome, is_whole: bool) {
    println!("\nseed {}, with {} of its steps:", script.seed, script.steps.len());
    if script.skews.iter().any(|skew| *skew != 0) {
        println!("            nodes' clocks are ahead by {:?} ms", script.skews);
    }
    for (time, step) in &script.steps {
        println!("  {:>8.3}  {step}", time.as_secs_f64());
    }
    let skipped = if is_whole { 0 } else { outcome.trace.len().saturating_sub(LINES_MAX) };
    println!("its trace{}:", if skipped > 0 { format!(", without the first {skipped} lines") } else { String::new() });
    outcome.trace.iter().skip(skipped).for_each(|line| println!("  {line}"));
    println!("run it again: cargo xtask sim --seeds {}", script.seed);
}
