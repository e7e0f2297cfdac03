//! Chores of the repository that are more than one command: `cargo xtask <chore>`.
//!
//! `codegen` writes `crates/wire/src/generated/` from the committed models in `crates/wire/models/`; with `--check` it
//! only compares. `codegen --fetch` first renews the models and the golden protocol cases from the pinned botocore
//! release on PyPI.
//!
//! `sim --seeds A..B` runs simulations of the whole system (docs/simulation.md); `sim --planted [N]` requires that each
//! planted fault is caught within N seeds.

mod codegen;
mod emit;
mod fetch;
mod names;
mod planted;
mod service_list;
mod sim;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["codegen"] => codegen::write(&root()),
        ["codegen", "--check"] => codegen::check(&root()),
        ["codegen", "--fetch"] => fetch::renew(&root()).and_then(|()| codegen::write(&root())),
        ["sim", "--planted", rest @ ..] => planted::catch_all(&root(), rest),
        ["sim", arguments @ ..] => sim::run(&root(), arguments),
        _ => Err("usage: cargo xtask codegen [--check | --fetch]\n       \
                  cargo xtask sim --seeds A..B [--jobs N] [--trace] [--no-shrink] | --planted [NAME…]"
            .into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}
