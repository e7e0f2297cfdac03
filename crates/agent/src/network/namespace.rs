//! Network namespaces that are kept alive by a mount over a file, so that they outlive the agent and runc can join
//! them by path.
//!
//! [`enter_new`] and [`enter`] change the calling thread for good: call them only on a thread that ends afterwards,
//! never on a worker of the async runtime.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};

/// The calling thread's own namespace, whichever that is at the time.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// A handle on the calling thread's namespace.
pub fn current() -> io::Result<File> {
    File::open(CURRENT)
}

/// Moves the calling thread into a namespace of its own.
pub fn enter_new() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNET)?)
}

/// Moves the calling thread into the namespace that is kept at `path`.
pub fn enter(path: &Path) -> io::Result<()> {
    Ok(setns(File::open(path)?.as_fd(), CloneFlags::CLONE_NEWNET)?)
}

/// Keeps the calling thread's namespace at `path` beyond the thread's end.
pub fn keep(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    Ok(mount(Some(CURRENT), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// Whether a namespace is kept at `path`: the bare file that a crash or a reboot leaves is none.
pub fn is_kept(path: &Path) -> io::Result<bool> {
    match statfs(path) {
        Ok(status) => Ok(status.filesystem_type() == NSFS_MAGIC),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lets go of the namespace at `path` and removes the file. Processes that are still in it keep it alive.
pub fn release(path: &Path) -> io::Result<()> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH) {
            // There may be several mounts over one another after a crash.
            Ok(()) => continue,
            Err(Errno::EINVAL | Errno::ENOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
