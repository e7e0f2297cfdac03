//! `gantry`: arguments, configuration, wiring. Everything else is in the crates that it wires.

mod args;
mod bench;
mod client;
mod data_path;
mod demo;
mod detach;
mod doctor;
mod down;
mod env;
mod events;
mod failure;
mod home;
mod http;
mod identity;
mod image;
mod network;
mod output;
mod page;
mod simulated;
mod status;
mod up;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::failure::{Context, Failure};
use crate::home::Home;

/// Sessions and tasks come and go on all threads at once. With the system's allocator a quarter of the processor time of
/// a service scaled to 50,000 tasks went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let home = Home::new(&cli.data_dir);
    match run(&cli, &home) {
        Ok(code) => code,
        Err(failure) => {
            if detach::is_child() {
                detach::say_failed(&failure);
            }
            eprintln!("{} {failure}", output::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, home: &Home) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Up(up) if up.detach && !detach::is_child() => {
            let running = detach::start(home)?;
            output::print(cli.output, &running, || up::banner(home, &running));
            return Ok(ExitCode::SUCCESS);
        }
        Command::Env => return env::run(home, cli.output).map(|()| ExitCode::SUCCESS),
        Command::Doctor => return Ok(doctor::run(home, cli.output)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "gantry", &mut script);
            output::say(&String::from_utf8_lossy(&script));
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context(|| "the runtime could not start".to_owned())?;
    runtime.block_on(run_async(cli, home))
}

async fn run_async(cli: &Cli, home: &Home) -> Result<ExitCode, Failure> {
    match &cli.command {
        Command::Up(up) => serve(cli, home, up).await?,
        Command::Down(down) => down::run(home, down, cli.output).await?,
        Command::Status => return status::run(home, cli.output).await,
        Command::Events(args) => events::run(home, args, cli.output).await?,
        Command::Image(command) => image::run(home, command, cli.output).await?,
        Command::Demo => demo::run(home, cli.output).await?,
        Command::Bench(args) => bench::run(args, cli.output).await?,
        Command::Edge => {
            log_to_stderr();
            data_path::process::run(home).await?;
        }
        Command::Page { listen } => page::serve(*listen).await?,
        Command::Env | Command::Doctor | Command::Completions { .. } => unreachable!("answered without a runtime"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(cli: &Cli, home: &Home, up: &args::Up) -> Result<(), Failure> {
    if detach::is_child() {
        detach::leave_session();
    }
    log_to_stderr();
    up::run(home, up, |running| match detach::is_child() {
        true => detach::say_ready(running),
        false => output::print(cli.output, running, || up::banner(home, running)),
    })
    .await
}

/// `GANTRY_LOG` chooses what is logged, e.g. `debug` or `control=debug,agent=info`.
fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_env("GANTRY_LOG").unwrap_or_else(|_| EnvFilter::new("info,fjall=warn,lsm_tree=warn"));
    let colour = std::io::stderr().is_terminal();
    // What cannot be logged is let go: told of its own failure, the subscriber would write to stderr again and panic, and
    // a full disk under the log file would end every call that has something to say.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
}
