//! Runs the simulation's binary, built as it is run thousands of times.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

pub fn run(root: &Path, arguments: &[&str]) -> Outcome<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--profile", "sim", "--package", "sim", "--"])
        .args(arguments)
        .current_dir(root)
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err("the simulation found what must not happen".into()),
    }
}
