//! Shims that containerd has forgotten. When the agent dies while containerd makes a container for it, containerd gives
//! up half-way: it forgets the runtime task, and may leave the shim and what that had begun behind, with nobody to end
//! them. A later container of the same id would even be put into such a shim.
//!
//! A shim listens on a socket whose name follows from the container's; so where there is no socket there is no shim,
//! and nothing else needs to be looked at.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};

/// Where containerd's shims have their sockets, whatever its own directories are.
const SOCKETS: &str = "/run/containerd/s";
/// Where runc, as shims call it, keeps what it knows of containers: below it by namespace and id.
const RUNC_STATES: &str = "/run/containerd/runc";
/// A shim's children are killed this often before it: each may have made another meanwhile.
const ROUNDS_MAX: usize = 10;

/// Whose shim it is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// containerd's socket.
    pub address: PathBuf,
    pub namespace: String,
    /// The container's.
    pub id: String,
}

impl Owner {
    /// As containerd names it.
    fn socket(&self) -> PathBuf {
        let name = self.address.join(&self.namespace).join(&self.id);
        Path::new(SOCKETS).join(hex::encode(Sha256::digest(name.as_os_str().as_encoded_bytes())))
    }

    /// Whether a command line is that of the shim.
    fn has_started(&self, command: &[u8]) -> bool {
        let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
        let has = |flag: &str, value: &[u8]| words.windows(2).any(|pair| pair == [flag.as_bytes(), value]);
        let program = words.first().copied().unwrap_or_default();
        let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name.starts_with(b"containerd-shim")
            && has("-namespace", self.namespace.as_bytes())
            && has("-id", self.id.as_bytes())
            && has("-address", self.address.as_os_str().as_encoded_bytes())
    }
}

/// Kills the shim and all that runs under it. containerd must have no task of that id any more. Blocks for a read of
/// /proc when there is a shim, and for nothing when there is none.
pub(super) fn end_forgotten(owner: &Owner) {
    let socket = owner.socket();
    if !socket.exists() {
        return;
    }
    for shim in find(owner) {
        tracing::warn!(shim, id = owner.id, "ending a shim that containerd has forgotten");
        // Held, it cannot tell of the ends of its processes: they would be taken for those of the next container.
        signal(shim, Signal::SIGSTOP);
        for _ in 0..ROUNDS_MAX {
            let under_it = descendants(shim);
            if under_it.is_empty() {
                break;
            }
            under_it.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
        }
        signal(shim, Signal::SIGKILL);
    }
    // The shim may have removed its socket itself by now, and runc its state. What stays only keeps its name taken, which
    // the next use of it tells.
    let _ = fs::remove_file(socket);
    let _ = fs::remove_dir_all(Path::new(RUNC_STATES).join(&owner.namespace).join(&owner.id));
}

fn signal(pid: i32, signal: Signal) {
    // ESRCH: it has just ended.
    let _ = kill(Pid::from_raw(pid), signal);
}

fn find(owner: &Owner) -> Vec<i32> {
    let is_shim = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| owner.has_started(&command));
    pids().filter(is_shim).collect()
}

/// The living ones: what has ended and waits to be reaped cannot be killed again.
fn descendants(of: i32) -> Vec<i32> {
    let parents: HashMap<i32, i32> = pids().filter_map(|pid| Some((pid, living_parent(pid)?))).collect();
    let is_below = |pid: i32| {
        let mut above = parents.get(&pid);
        // Process ids are reused, so that what was read may be a ring.
        for _ in 0..parents.len() {
            match above {
                Some(parent) if *parent == of => return true,
                Some(parent) => above = parents.get(parent),
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|pid| is_below(*pid)).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn living_parent(pid: i32) -> Option<i32> {
    parse_parent(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (any text) state parent …`; `None` for one that has ended.
fn parse_parent(stat: &str) -> Option<i32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner { address: "/run/containerd/containerd.sock".into(), namespace: "gantry".into(), id: "abc-0".into() }
    }

    #[test]
    fn only_its_own_shim_is_meant() {
        let check = |command: &str, expected: bool| {
            assert_eq!(owner().has_started(command.replace(' ', "\0").as_bytes()), expected, "{command}");
        };
        let rest = "-address /run/containerd/containerd.sock";
        check(&format!("/usr/bin/containerd-shim-runc-v2 -namespace gantry -id abc-0 {rest} "), true);
        check(&format!("/usr/bin/containerd-shim-runc-v2 -namespace gantry -id abc-01 {rest} "), false);
        check(&format!("/usr/bin/containerd-shim-runc-v2 -namespace other -id abc-0 {rest} "), false);
        check("/usr/bin/containerd-shim-runc-v2 -namespace gantry -id abc-0 -address /other.sock ", false);
        check(&format!("/bin/sh -namespace gantry -id abc-0 {rest} "), false);
        check("", false);
    }

    #[test]
    fn parents() {
        assert_eq!(parse_parent("7 (a (b) c) S 42 7 7 0"), Some(42));
        assert_eq!(parse_parent("7 (sh) Z 42 7 7 0"), None);
        assert_eq!(parse_parent(""), None);
    }
}
