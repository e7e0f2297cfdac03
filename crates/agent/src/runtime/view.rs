//! Looks into an image's files without a trace: mounted in a mount namespace that only one short-lived thread has, so
//! that nothing of it outlives even a killed agent.
//!
//! Paths are resolved inside the image: no link in it leads to a file of the host.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use super::api::containerd::types::Mount;

/// A root directory; paths are worked out below it.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
}

impl View {
    pub fn of(directory: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { root: nix::fcntl::open(directory, flags, Mode::empty())? })
    }

    /// At most `limit` bytes of a file; `None` when there is none, or it is no regular file.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)? else { return Ok(None) };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// `None` when nothing is there.
    pub fn open(&self, path: &str, flags: OFlag) -> io::Result<Option<File>> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        match openat2(self.root.as_fd(), path, how) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP | nix::Error::ENXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Mounts a snapshot read-only on `point`, an empty directory, where only `look` sees it, and runs `look`. Blocking.
///
/// # Errors
/// When the mount is refused, or `look` fails.
pub fn look<T: Send>(
    mounts: &[Mount],
    point: &Path,
    look: impl FnOnce(&View) -> io::Result<T> + Send,
) -> io::Result<T> {
    let layers = layers(mounts)?;
    apart(|| {
        mount_layers(&layers, point)?;
        look(&View::of(point)?)
    })
}

/// Whether the kernel takes an overlay mount whose writable layer is where this snapshot (one without a parent) lies.
/// It does not, for one, where that is an overlay mount itself. Blocking.
pub fn takes_overlay(mounts: &[Mount], point: &Path) -> io::Result<bool> {
    let upper = layers(mounts)?.remove(0);
    let work = Path::new(&upper).with_file_name("work");
    let options = format!("lowerdir={},upperdir={upper},workdir={}", point.display(), work.display());
    apart(|| {
        let mounted = mount(Some("overlay"), point, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
        Ok(mounted.is_ok())
    })
}

/// Runs `work` on a thread with a mount namespace of its own.
fn apart<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let working = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        work()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("image-view".to_owned()).spawn_scoped(scope, working)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The directories of a snapshot, highest first, without the container's own writable one.
fn layers(mounts: &[Mount]) -> io::Result<Vec<String>> {
    let odd = |what: &str| io::Error::other(format!("a snapshot that is {what}"));
    let [mount] = mounts else { return Err(odd("not one mount")) };
    match mount.r#type.as_str() {
        "bind" => Ok(vec![mount.source.clone()]),
        "overlay" => {
            let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
            let lower = lower.ok_or_else(|| odd("an overlay of nothing"))?;
            Ok(lower.split(':').map(str::to_owned).collect())
        }
        other => Err(odd(other)),
    }
}

fn mount_layers(layers: &[String], point: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    if let [layer] = layers {
        mount(Some(layer.as_str()), point, none, MsFlags::MS_BIND, none)?;
        return Ok(());
    }
    // The kernel takes one page of options: names relative to a common directory keep many layers within it.
    let (base, names) = split_common(layers);
    nix::unistd::chdir(base).map_err(io::Error::from)?;
    let options = format!("lowerdir={}", names.join(":"));
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(Some("overlay"), point, Some("overlay"), flags, Some(options.as_str()))?;
    Ok(())
}

/// The longest directory that all paths share, and the paths below it.
fn split_common(paths: &[String]) -> (&str, Vec<&str>) {
    let first = paths[0].as_str();
    let shared = paths.iter().fold(first.len(), |shared, path| {
        let equal = first.bytes().zip(path.bytes()).take(shared).take_while(|(a, b)| a == b);
        equal.count()
    });
    let end = first[..shared].rfind('/').map_or(0, |slash| slash + 1);
    (&first[..end], paths.iter().map(|path| &path[end..]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_from_what_they_share() {
        let paths = ["/v/snapshots/12/fs", "/v/snapshots/1/fs", "/v/snapshots/3/fs"].map(str::to_owned);
        assert_eq!(split_common(&paths), ("/v/snapshots/", vec!["12/fs", "1/fs", "3/fs"]));
        let paths = ["/a/b".to_owned(), "/c".to_owned()];
        assert_eq!(split_common(&paths), ("/", vec!["a/b", "c"]));
    }

    #[test]
    fn the_writable_layer_is_left_out() {
        let options = ["workdir=/w", "upperdir=/u", "lowerdir=/b:/a"].map(str::to_owned).to_vec();
        let overlay = Mount { r#type: "overlay".into(), source: "overlay".into(), target: String::new(), options };
        assert_eq!(layers(&[overlay]).expect("an overlay"), ["/b", "/a"]);
        let bind = Mount { r#type: "bind".into(), source: "/s".into(), ..Mount::default() };
        assert_eq!(layers(&[bind]).expect("a bind"), ["/s"]);
        assert!(layers(&[]).is_err());
    }

    #[test]
    fn links_do_not_lead_out() {
        let root = std::env::temp_dir().join(format!("gantry-view-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).expect("a directory");
        std::fs::write(root.join("etc/real"), "inside").expect("a file");
        std::os::unix::fs::symlink("/etc/real", root.join("etc/absolute")).expect("a link");
        std::os::unix::fs::symlink("../../../../etc/real", root.join("etc/climbing")).expect("a link");
        std::os::unix::fs::symlink("/etc/hostname", root.join("etc/missing")).expect("a link");
        std::os::unix::fs::symlink("loop", root.join("etc/loop")).expect("a link");
        let view = View::of(&root).expect("a view");
        let read = |path: &str| view.read(path, 100).expect("readable").map(String::from_utf8);
        let inside = Some(Ok("inside".to_owned()));
        assert_eq!(read("etc/real"), inside);
        assert_eq!(read("/etc/absolute"), inside);
        assert_eq!(read("etc/climbing"), inside);
        for path in ["etc/missing", "etc/loop", "etc", "etc/real/x", "../../etc/hostname"] {
            assert_eq!(read(path), None, "{path}");
        }
        std::fs::remove_dir_all(root).expect("removed");
    }
}
