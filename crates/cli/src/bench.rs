//! `gantry bench`: the figures of docs/performance.md, those with a peer measured in the same run.
//!
//! Every bench starts gantry instances of its own under a temporary directory and leaves nothing behind, also when it
//! fails. What it does not do: judge. A missed goal is printed as missed; only a bench that cannot run is an error.

mod burst;
mod calls;
mod dns;
mod docker;
mod figure;
mod idle;
mod image;
mod instance;
mod launch;
mod lb;
mod load;
mod million;
mod moto;
mod place;
mod process;
mod replace;
mod rest;
mod rollout;
mod scale;
mod service;
mod swarm;
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
        What::All => {
            let api = [What::Idle, What::Reads, What::Writes];
            let nodes = [What::Launch, What::Burst, What::Lb, What::Dns];
            let services =
                [What::Replace, What::Rollout, What::Swarm, What::Place, What::Scale, What::Million, What::Rest];
            [&api[..], &nodes, &services].concat()
        }
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
        What::Dns => until_interrupted(dns::measure()).await,
        What::Place => Ok(place::measure()),
        What::Scale => until_interrupted(scale::measure()).await,
        What::Million => until_interrupted(million::measure()).await,
        What::Rest => until_interrupted(rest::measure()).await,
        What::Replace => replace::measure().await,
        What::Rollout => rollout::measure().await,
        What::Swarm => swarm::measure().await,
        What::All => unreachable!("all stands for the others"),
    }
}
