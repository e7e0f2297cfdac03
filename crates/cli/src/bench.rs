//! `gantry bench`: the figures of docs/performance.md, each measured against a named peer in the same run.
//!
//! Every bench starts gantry instances of its own under a temporary directory and leaves nothing behind, also when it
//! fails. What it does not do: judge. A missed goal is printed as missed; only a bench that cannot run is an error.

mod burst;
mod calls;
mod docker;
mod figure;
mod idle;
mod image;
mod instance;
mod launch;
mod lb;
mod load;
mod moto;
mod process;
mod task;

use crate::args::{self, Output, What};
use crate::failure::Failure;
use crate::output;
use figure::Figure;
use instance::until_interrupted;

pub async fn run(args: &args::Bench, format: Output) -> Result<(), Failure> {
    let mut figures = Vec::new();
    for what in selected(args.what) {
        eprintln!("{}", output::dim(&format!("measuring: {what:?}")));
        figures.extend(measure(what, args).await?);
    }
    output::print(format, &figures, || figure::table(&figures));
    Ok(())
}

fn selected(what: What) -> Vec<What> {
    match what {
        What::All => vec![What::Idle, What::Reads, What::Writes, What::Launch, What::Burst, What::Lb],
        one => vec![one],
    }
}

async fn measure(what: What, args: &args::Bench) -> Result<Vec<Figure>, Failure> {
    match what {
        What::Launch => launch::measure(args.samples).await,
        What::Burst => burst::measure().await,
        What::Reads => until_interrupted(calls::measure_reads(&args.moto)).await,
        What::Writes => until_interrupted(calls::measure_writes(&args.moto)).await,
        What::Idle => idle::measure().await,
        What::Lb => until_interrupted(lb::measure()).await,
        What::All => unreachable!("all stands for the others"),
    }
}
