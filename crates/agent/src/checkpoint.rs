//! What the agent must know again after it was killed: per task its spec, written once, and its state.
//!
//! ```text
//! <directory>/<task id>/spec.json     what the control plane wants; its being there makes the task ours
//! <directory>/<task id>/state.json    task::State
//! ```
//! Writes replace whole files by rename, so a reader sees the old or the new one. They reach the page cache at once,
//! which survives the agent. Two things must survive the machine too: that a task is ours before one of its containers
//! can run ([`Checkpoints::sync_spec`]), or after a crash it would be started a second time; and how a container ended
//! before it is deleted ([`Checkpoints::sync_state`]), for then it is written nowhere else. All else the runtime's own
//! records tell.
//!
//! Specs hold environment variables: directories are 0700, files 0600.

mod memory;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use model::TaskId;
use model::link::TaskSpec;
use serde::Serialize;

use crate::task::State;

pub use memory::MemoryDisk;

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct CheckpointError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub spec: TaskSpec,
    pub state: State,
}

#[derive(Clone, Debug)]
pub enum Checkpoints {
    Directory(PathBuf),
    /// A simulated machine's disk.
    Memory(MemoryDisk),
    /// Nothing is kept: simulated nodes, whose containers die with the process.
    None,
}

impl Checkpoints {
    /// Opens the directory, making it where it lacks.
    pub fn open(directory: &Path) -> Result<Self, CheckpointError> {
        make_directory(directory)?;
        Ok(Self::Directory(directory.to_owned()))
    }

    pub fn put_spec(&self, spec: &TaskSpec) -> Result<(), CheckpointError> {
        match self {
            Self::Directory(directory) => {
                let task = directory.join(spec.id.to_string());
                make_directory(&task)?;
                replace(&task.join("spec.json"), spec)
            }
            Self::Memory(disk) => {
                disk.put_spec(spec);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    pub fn put_state(&self, id: TaskId, state: &State) -> Result<(), CheckpointError> {
        match self {
            Self::Directory(directory) => replace(&directory.join(id.to_string()).join("state.json"), state),
            Self::Memory(disk) => {
                disk.put_state(id, state);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    /// Makes the spec survive a crash of the machine. Blocks on the disk.
    pub fn sync_spec(&self, id: TaskId) -> Result<(), CheckpointError> {
        match self {
            Self::Directory(directory) => {
                let task = directory.join(id.to_string());
                sync(&task.join("spec.json"))?;
                sync(&task)?;
                sync(directory)
            }
            Self::Memory(disk) => {
                disk.sync_spec(id);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    /// Makes the state that was put last survive a crash of the machine. Blocks on the disk.
    pub fn sync_state(&self, id: TaskId) -> Result<(), CheckpointError> {
        match self {
            Self::Directory(directory) => {
                let task = directory.join(id.to_string());
                sync(&task.join("state.json"))?;
                sync(&task)
            }
            Self::Memory(disk) => {
                disk.sync_state(id);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    /// Whether syncing waits for a disk.
    pub fn blocks(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    /// Forgets the task. No error when it is not there.
    pub fn remove(&self, id: TaskId) -> Result<(), CheckpointError> {
        match self {
            Self::Directory(directory) => remove_directory(&directory.join(id.to_string())),
            Self::Memory(disk) => {
                disk.remove(id);
                Ok(())
            }
            Self::None => Ok(()),
        }
    }

    /// All tasks that were taken. What does not read as one is removed: it was never answered for, or the machine
    /// crashed while the task was taken; its containers, if any, are garbage then.
    pub fn read(&self) -> Result<Vec<Checkpoint>, CheckpointError> {
        let directory = match self {
            Self::Directory(directory) => directory,
            Self::Memory(disk) => return Ok(disk.read()),
            Self::None => return Ok(Vec::new()),
        };
        let mut checkpoints = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed("read", directory))? {
            let entry = entry.map_err(failed("read", directory))?;
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok()) else { continue };
            match read_task(&entry.path()).filter(|checkpoint| checkpoint.spec.id == id) {
                Some(checkpoint) => checkpoints.push(checkpoint),
                None => {
                    tracing::warn!(task = %id, "removing a checkpoint that cannot be read");
                    self.remove(id)?;
                }
            }
        }
        checkpoints.sort_by_key(|checkpoint| checkpoint.spec.id);
        Ok(checkpoints)
    }
}

/// A state that is missing or torn counts as one of an earlier boot: a container that the runtime then has a record of
/// may have run, and is not started again.
fn read_task(directory: &Path) -> Option<Checkpoint> {
    let spec = serde_json::from_slice(&fs::read(directory.join("spec.json")).ok()?).ok()?;
    let state = fs::read(directory.join("state.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Some(Checkpoint { spec, state: state.unwrap_or_default() })
}

fn remove_directory(task: &Path) -> Result<(), CheckpointError> {
    // The spec goes first: what is left of a removal that was cut short is no task.
    let spec = task.join("spec.json");
    match fs::remove_file(&spec) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &spec)(error)),
        _ => {}
    }
    match fs::remove_dir_all(task) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", task)(error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

fn make_directory(path: &Path) -> Result<(), CheckpointError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))
}

fn replace(path: &Path, value: &impl Serialize) -> Result<(), CheckpointError> {
    let bytes = serde_json::to_vec(value).map_err(|error| failed("encode", path)(error.into()))?;
    let new = path.with_extension("json.new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        fs::rename(&new, path)
    };
    write().map_err(failed("write", path))
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> CheckpointError + 'a {
    move |source| CheckpointError { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::task::tests::{container, spec};

    fn kept(sequence: u64) -> (tempfile::TempDir, Checkpoints, Checkpoint) {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(&directory.path().join("tasks")).unwrap();
        let checkpoint = Checkpoint {
            spec: spec(vec![container("a")]),
            state: State { sequence, boot_id: "boot".into(), ..State::default() },
        };
        checkpoints.put_spec(&checkpoint.spec).unwrap();
        checkpoints.put_state(checkpoint.spec.id, &checkpoint.state).unwrap();
        (directory, checkpoints, checkpoint)
    }

    #[test]
    fn what_is_put_is_read_until_removed() {
        let (_directory, checkpoints, checkpoint) = kept(7);
        let id = checkpoint.spec.id;
        checkpoints.sync_spec(id).unwrap();
        checkpoints.sync_state(id).unwrap();
        assert_eq!(checkpoints.read().unwrap(), [checkpoint]);
        for _ in 0..2 {
            checkpoints.remove(id).unwrap();
            assert_eq!(checkpoints.read().unwrap(), []);
        }
    }

    #[test]
    fn only_root_can_read_them() {
        let (directory, _, checkpoint) = kept(7);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let task = directory.path().join("tasks").join(checkpoint.spec.id.to_string());
        assert_eq!((mode(&task), mode(&task.join("spec.json")), mode(&task.join("state.json"))), (0o700, 0o600, 0o600));
    }

    #[test]
    fn a_torn_state_is_none_and_a_torn_spec_is_no_task() {
        let (directory, checkpoints, checkpoint) = kept(7);
        let task = directory.path().join("tasks").join(checkpoint.spec.id.to_string());
        for torn in ["", "{\"sequence\":", "[]"] {
            fs::write(task.join("state.json"), torn).unwrap();
            let read = checkpoints.read().unwrap();
            assert_eq!((read.len(), &read[0].state), (1, &State::default()), "{torn:?}");
        }
        fs::write(task.join("spec.json"), "{").unwrap();
        assert_eq!(checkpoints.read().unwrap(), []);
        assert!(!task.exists());
    }

    #[test]
    fn what_a_newer_agent_wrote_is_read_too() {
        let (directory, checkpoints, checkpoint) = kept(7);
        let path = directory.path().join("tasks").join(checkpoint.spec.id.to_string()).join("state.json");
        fs::write(path, r#"{"sequence": 9, "unheard_of": {}, "containers": [{"phase": "Running", "new": 1}]}"#)
            .unwrap();
        assert_eq!(checkpoints.read().unwrap()[0].state.sequence, 9);
    }
}
