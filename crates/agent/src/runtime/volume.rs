//! New volumes: filled with what the image has at their place, as docker does.
//!
//! The image's files are a stranger's: links are copied, never followed; devices and sockets are left out.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::view::View;

/// Files that one volume may be filled with.
const LIMIT: usize = 1_000_000;

/// Copies the image's directory at `inside` into `volume`, when `volume` is empty and the image has one. Blocking.
pub fn fill(image: &View, inside: &str, volume: &Path) -> io::Result<()> {
    if fs::read_dir(volume)?.next().is_some() {
        return Ok(());
    }
    let Some(directory) = image.open(inside, OFlag::O_PATH | OFlag::O_DIRECTORY)? else { return Ok(()) };
    // Names the open directory, wherever the image is mounted.
    let source = PathBuf::from(format!("/proc/thread-self/fd/{}", directory.as_raw_fd()));
    copy_ownership(&directory.metadata()?, volume)?;
    let mut pending = vec![(source, volume.to_owned())];
    let mut count = 0;
    while let Some((from, to)) = pending.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            count += 1;
            if count > LIMIT {
                return Err(io::Error::other(format!("the image has more than {LIMIT} files at {inside}")));
            }
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if copy_entry(&from, &to)? {
                pending.push((from, to));
            }
        }
    }
    Ok(())
}

/// Whether it is a directory, whose entries are to follow.
fn copy_entry(from: &Path, to: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(from)?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
        return Ok(false);
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
    } else if kind.is_file() {
        fs::copy(from, to)?;
    } else {
        return Ok(false);
    }
    copy_ownership(&metadata, to)?;
    Ok(kind.is_dir())
}

/// The owner first: a change of owner clears the set-user-id bit.
fn copy_ownership(metadata: &Metadata, to: &Path) -> io::Result<()> {
    lchown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, Permissions::from_mode(metadata.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_volume_takes_what_the_image_has() {
        let root = std::env::temp_dir().join(format!("gantry-volume-{}", std::process::id()));
        let (image, volume) = (root.join("image"), root.join("volume"));
        fs::create_dir_all(image.join("srv/sub")).expect("directories");
        fs::create_dir_all(&volume).expect("a directory");
        fs::write(image.join("srv/sub/page"), "page").expect("a file");
        symlink("/etc/passwd", image.join("srv/link")).expect("a link");
        fs::set_permissions(image.join("srv"), Permissions::from_mode(0o1777)).expect("permissions");
        let view = View::of(&image).expect("a view");
        fill(&view, "/none", &volume).expect("nothing to do");
        fill(&view, "/srv/sub/page", &volume).expect("nothing to do");
        assert!(fs::read_dir(&volume).expect("readable").next().is_none());
        fill(&view, "/srv", &volume).expect("filled");
        assert_eq!(fs::read_to_string(volume.join("sub/page")).expect("copied"), "page");
        assert_eq!(fs::read_link(volume.join("link")).expect("copied"), Path::new("/etc/passwd"));
        assert_eq!(fs::metadata(&volume).expect("there").mode() & 0o7777, 0o1777);
        fs::write(image.join("srv/late"), "").expect("a file");
        fill(&view, "/srv", &volume).expect("nothing to do");
        assert!(!volume.join("late").exists());
        fs::remove_dir_all(root).expect("removed");
    }
}
