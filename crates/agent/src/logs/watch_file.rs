//! Tells when a file has grown: one inotify instance for all files.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

type Watched = Mutex<HashMap<WatchDescriptor, Arc<Notify>>>;

pub struct Watch {
    instance: Arc<AsyncFd<Instance>>,
    watched: Arc<Watched>,
    reader: JoinHandle<()>,
}

impl Watch {
    pub fn start() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // SAFETY: the instance owns its descriptor, always answers the same one, and closes it only when dropped.
        let instance = unsafe { AsyncFd::register_with_interest(Instance(inotify), Interest::READABLE) }?;
        let instance = Arc::new(instance);
        let watched = Arc::new(Watched::default());
        let reader = tokio::spawn(read(instance.clone(), watched.clone()));
        Ok(Self { instance, watched, reader })
    }

    /// `grown` is notified whenever the file is written to, until it is removed.
    pub fn add(&self, file: &Path, grown: Arc<Notify>) -> io::Result<()> {
        let mut watched = lock(&self.watched);
        let descriptor = self.instance.get_ref().0.add_watch(file, AddWatchFlags::IN_MODIFY)?;
        watched.insert(descriptor, grown);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn lock(watched: &Watched) -> MutexGuard<'_, HashMap<WatchDescriptor, Arc<Notify>>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(instance: Arc<AsyncFd<Instance>>, watched: Arc<Watched>) {
    loop {
        let Ok(mut ready) = instance.readable().await else { return };
        match instance.get_ref().0.read_events() {
            Ok(events) => {
                let mut watched = lock(&watched);
                for event in events {
                    if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                        watched.remove(&event.wd);
                    } else if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                        // Any file may have grown.
                        watched.values().for_each(|grown| grown.notify_one());
                    } else if let Some(grown) = watched.get(&event.wd) {
                        grown.notify_one();
                    }
                }
            }
            Err(Errno::EAGAIN) => ready.clear_ready(),
            Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot watch container output any more");
                return;
            }
        }
    }
}
