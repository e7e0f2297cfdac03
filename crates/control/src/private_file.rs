//! Small files that only their owner may read: keys. Written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FILE_MODE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    #[error("cannot use the key in {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} may be read by others (mode {mode:o}); its mode must be 600")]
    Exposed { path: PathBuf, mode: u32 },
}

impl PrivateFileError {
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The file's content.
///
/// # Errors
/// When there is none, or others could have read or changed it.
pub fn read(path: &Path) -> Result<Vec<u8>, PrivateFileError> {
    let failed = |source| PrivateFileError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Exposed { path: path.to_owned(), mode });
    }
    fs::read(path).map_err(failed)
}

/// Writes a new file beside and renames it, so that a crash leaves either none or a whole one.
///
/// # Errors
/// When the directory cannot be written.
pub fn write(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let fresh = path.with_extension("new");
    let write = || {
        fs::create_dir_all(directory)?;
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| PrivateFileError::File { path: path.to_owned(), source })
}
