//! Proves that the simulation finds bugs: each patch in `crates/sim/planted` breaks something on purpose, in a copy of
//! the tree, and must be caught.
//!
//! A patch that does not apply any more fails, too: it is to be renewed with the code that it breaks.

use std::collections::BTreeSet;
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

/// Writes only what differs.
fn renew(from: &Path, to: &Path) -> Outcome<()> {
    let new = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(to, new)?;
    Ok(())
}

/// What is in the copy and not, or no longer, in the tree.
fn remove_others(copy: &Path, directory: &Path, files: &BTreeSet<&Path>) -> Outcome<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(copy, &path, files)?;
        } else if !files.contains(path.strip_prefix(copy)?) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn name(patch: &Path) -> String {
    patch.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A copy of the sources below `target`, which is kept from one run to the next, so that only what differs is built anew.
struct Tree {
    directory: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn copy(root: &Path) -> Outcome<Self> {
        let target = root.join("target");
        let directory = target.join("planted");
        // What git knows, and what it would know: the work at hand is to be tested, not the last commit.
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()?;
        let files = String::from_utf8(listed.stdout)?;
        let files: BTreeSet<&Path> =
            files.split_terminator('\0').map(Path::new).filter(|file| root.join(file).is_file()).collect();
        for file in &files {
            renew(&root.join(file), &directory.join(file))?;
        }
        remove_others(&directory, &directory, &files)?;
        Ok(Self { directory, target })
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
            .current_dir(&self.directory)
            // The copy lies in the repository, whose own files must stay as they are.
            .env("GIT_CEILING_DIRECTORIES", &self.target)
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
            .current_dir(&self.directory)
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
