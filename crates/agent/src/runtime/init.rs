//! The init program that containers may ask for, carried in our own binary: see `init/init.rs`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Puts the program into `directory`, unless it is there. Running containers keep the file that they were made with.
pub fn install(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("init");
    if fs::read(&path).is_ok_and(|bytes| bytes == PROGRAM) {
        return Ok(path);
    }
    let new = directory.join(format!("init-{}", super::unique()));
    fs::write(&new, PROGRAM)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(&new, &path)?;
    Ok(path)
}
