//! Proves that the simulation finds bugs: each patch in `crates/sim/planted` breaks something on purpose, in a copy of
//! the tree, and must be caught.
//!
//! A patch that does not apply any more fails, too: it is to be renewed with the code that it breaks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

const PATCHES: &str = "crates/sim/planted";
/// A fault must show within so many seeds.
const SEEDS: &str = "0..300";

/// All of them, or those that are named.
pub fn catch_all(root: &Path, names: &[&str]) -> Outcome<()> {
    let mut patches: Vec<PathBuf> = std::fs::read_dir(root.join(PATCHES))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.retain(|path| names.is_empty() || names.contains(&name(path).as_str()));
    patches.sort();
    if patches.is_empty() {
        return Err("there is no such planted fault".into());
    }
    let tree = Tree::copy(root)?;
    let mut missed = Vec::new();
    for patch in &patches {
        let caught = tree.with(patch, || tree.simulate())?;
        println!("{}: {}", name(patch), if caught { "caught" } else { "MISSED" });
        if !caught {
            missed.push(name(patch));
        }
    }
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("the simulation missed {}", missed.join(", ")).into()),
    }
}

fn name(patch: &Path) -> String {
    patch.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A copy of the sources, with a target directory that is kept from one run to the next.
struct Tree {
    directory: tempfile::TempDir,
    target: PathBuf,
}

impl Tree {
    fn copy(root: &Path) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        // What git knows, and what it would know: the work at hand is to be tested, not the last commit.
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()?;
        let files = String::from_utf8(listed.stdout)?;
        for file in files.split_terminator('\0').filter(|file| root.join(file).is_file()) {
            let to = directory.path().join(file);
            std::fs::create_dir_all(to.parent().unwrap_or(directory.path()))?;
            std::fs::copy(root.join(file), to)?;
        }
        Ok(Self { directory, target: root.join("target/planted") })
    }

    /// Does the work with the fault in, and takes it out again.
    fn with(&self, patch: &Path, work: impl FnOnce() -> Outcome<bool>) -> Outcome<bool> {
        self.patch(patch, &[])?;
        let done = work();
        self.patch(patch, &["--reverse"])?;
        done
    }

    fn patch(&self, patch: &Path, arguments: &[&str]) -> Outcome<()> {
        let status = Command::new("git")
            .args(["apply", "-C1"])
            .args(arguments)
            .arg(patch)
            .current_dir(self.directory.path())
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{} does not apply any more: renew it", patch.display()).into()),
        }
    }

    /// Whether the simulation finds something.
    fn simulate(&self) -> Outcome<bool> {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--profile", "sim", "--package", "sim"])
            .current_dir(self.directory.path())
            .env("CARGO_TARGET_DIR", &self.target)
            .status()?;
        if !built.success() {
            return Err("a planted fault must compile".into());
        }
        let found = Command::new(self.target.join("sim/sim"))
            .args(["--seeds", SEEDS, "--until-failure"])
            .stdout(Stdio::null())
            .status()?;
        Ok(!found.success())
    }
}
