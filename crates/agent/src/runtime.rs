//! The container runtime: containerd by its gRPC API, with runc below it.
//!
//! ```text
//! Containerd -+- image      what is on the node; pull, import        (content, snapshot, manifest, reference, archive)
//!             +- container  record, snapshot, process; exec           (spec: what runc is told)
//!             +- event      exits, as they happen
//!             +- cgroup     the groups of tasks
//! daemon          the containerd process itself: the system's or a private one
//! ```
//! Keeps no state that containerd or the kernel do not have: what it remembers are copies that a restart reads again.
//! Knows nothing of tasks' life cycles; [`crate::driver::Runtime`] says what may be asked.

pub mod account;
#[allow(clippy::all, dead_code, rustdoc::all)]
mod api;
pub mod archive;
pub mod cgroup;
pub mod client;
mod container;
mod content;
pub mod daemon;
mod device;
mod event;
mod exec;
pub mod host;
mod image;
mod init;
pub mod keyring;
mod manifest;
mod pull;
pub mod reference;
mod registry;
mod shim;
mod snapshot;
pub mod spec;
mod view;
mod volume;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{TaskId, Timestamp};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::sync::{mpsc, watch};

use self::account::Accounts;
use self::api::containerd::types::Mount;
use self::cgroup::Groups;
use self::client::{Client, Failure, RECORD_LIMIT};
use self::host::Host;
pub use self::image::Listed;
use self::image::{Facts, Images};
use self::keyring::Keyring;
use self::pull::Pulls;
pub use self::pull::{Progress, Retry};
use self::reference::Reference;
use crate::driver::{
    ContainerRequest, DriverError, ExecResult, Found, Image, Result, Runtime, RuntimeEvent, TaskLimits,
};

const CANNOT_PULL: &str = "CannotPullContainerError";
const CANNOT_STOP: &str = "CannotStopContainerError";
const CANNOT_REMOVE: &str = "CannotRemoveContainerError";
const CANNOT_INSPECT: &str = "CannotInspectContainerError";
const RESOURCE: &str = "ResourceInitializationError";
/// An image's /etc/passwd and /etc/group are read up to this.
const ACCOUNTS_LIMIT: u64 = 1 << 20;
const SIGTERM: i32 = 15;

/// How this node uses containerd.
#[derive(Clone, Debug)]
pub struct Settings {
    /// containerd's socket.
    pub address: PathBuf,
    /// Keeps our containers and images apart from others' of the same containerd.
    pub namespace: String,
    /// Name of the cgroup that holds all tasks' groups. Two agents of one machine need two names.
    pub cgroup_parent: String,
    /// A directory of ours for what is in passing; made when missing.
    pub scratch: PathBuf,
    /// Credentials for registries.
    pub keyring: Keyring,
    pub retry: Retry,
}

impl Settings {
    /// As `gantry up` has them by default.
    pub fn new(address: PathBuf, scratch: PathBuf) -> Self {
        Self {
            address,
            namespace: "gantry".to_owned(),
            cgroup_parent: "gantry".to_owned(),
            scratch,
            keyring: Keyring::default(),
            retry: Retry::default(),
        }
    }
}

/// Cheap to clone; clones are the same runtime.
#[derive(Clone, Debug)]
pub struct Containerd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    snapshotter: &'static str,
    images: Images,
    pulls: Pulls,
    groups: Groups,
    host: Host,
    scratch: PathBuf,
    /// The init program, for containers that want one.
    init: PathBuf,
}

impl Containerd {
    /// Connects, and reads what this machine can do.
    ///
    /// # Errors
    /// When containerd does not answer or lacks what we need, or `scratch` cannot be made.
    pub async fn connect(settings: Settings) -> client::Result<Self> {
        let scratch = settings.scratch;
        let point = scratch.join("view");
        std::fs::create_dir_all(&point).map_err(|error| Failure::io(point.display(), error))?;
        let init = init::install(&scratch).map_err(|error| Failure::io(scratch.display(), error))?;
        let client = Client::new(&settings.address, &settings.namespace);
        let host = Host::read().map_err(|error| Failure::io("reading /proc and /sys", error))?;
        let snapshotter = snapshot::choose(&client, &point).await?;
        let groups = Groups::new(host.cgroups, &settings.cgroup_parent);
        let images = Images::new(client.clone(), snapshotter);
        let pulls = Pulls::new(settings.keyring, settings.retry);
        tracing::info!(address = %settings.address.display(), snapshotter, cgroups = ?host.cgroups, "containerd answers");
        Ok(Self { shared: Arc::new(Shared { client, snapshotter, images, pulls, groups, host, scratch, init }) })
    }

    /// Images under their names, sorted.
    pub async fn list_images(&self) -> client::Result<Vec<Listed>> {
        self.images().list().await
    }

    /// Takes in an image archive (an OCI layout or `docker save`, in a tar that may be gzip) and answers its images.
    /// `name` replaces the names that the archive has.
    ///
    /// # Errors
    /// When the archive is not whole, not true to its digests or hostile, or for another platform.
    pub async fn import(&self, file: &Path, name: Option<&str>) -> client::Result<Vec<Image>> {
        self.images().import(file, &self.shared.scratch, name).await
    }

    /// The pulls that are under way, by reference.
    pub fn pulls(&self) -> watch::Receiver<BTreeMap<String, Progress>> {
        self.shared.pulls.progress()
    }

    fn client(&self) -> &Client {
        &self.shared.client
    }

    fn snapshotter(&self) -> &'static str {
        self.shared.snapshotter
    }

    fn images(&self) -> &Images {
        &self.shared.images
    }

    fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// The kernel may take its time for changes to groups, so they are made where waiting holds up nobody.
    async fn with_groups<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Groups) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let groups = self.shared.groups.clone();
        let working = tokio::task::spawn_blocking(move || work(&groups)).await;
        let worked = working.unwrap_or_else(|error| Err(io::Error::other(error)));
        worked.map_err(|error| DriverError::new(RESOURCE, format!("cannot {what}: {error}")))
    }

    fn host(&self) -> &Host {
        &self.shared.host
    }

    fn init(&self) -> &Path {
        &self.shared.init
    }

    /// Whom the image knows. Read once per image.
    async fn accounts<'a>(&self, facts: &'a Facts) -> client::Result<&'a Accounts> {
        facts.accounts.get_or_try_init(|| self.read_accounts(facts)).await
    }

    async fn read_accounts(&self, facts: &Facts) -> client::Result<Accounts> {
        let text = |view: &view::View, path: &str| -> io::Result<String> {
            let bytes = view.read(path, ACCOUNTS_LIMIT)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let read = move |view: &view::View| Ok(Accounts::parse(&text(view, "etc/passwd")?, &text(view, "etc/group")?));
        self.look(facts, read).await
    }

    /// Fills the new volumes of a container.
    async fn copy_up(&self, request: &ContainerRequest, facts: &Facts) -> client::Result<()> {
        let wanted = request.mounts.iter().filter(|mount| mount.copy_up);
        let wanted: Vec<(String, PathBuf)> =
            wanted.map(|mount| (mount.destination.clone(), mount.source.clone())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let fill =
            move |view: &view::View| wanted.iter().try_for_each(|(inside, volume)| volume::fill(view, inside, volume));
        self.look(facts, fill).await
    }

    /// Runs `look` on the image's files.
    async fn look<T: Send + 'static>(
        &self,
        facts: &Facts,
        look: impl FnOnce(&view::View) -> io::Result<T> + Send + 'static,
    ) -> client::Result<T> {
        let layers: Vec<Mount> = snapshot::layers(self.client(), self.snapshotter(), &facts.chain_id).await?;
        let point = self.shared.scratch.join("view");
        let looking = tokio::task::spawn_blocking(move || view::look(&layers, &point, look));
        let looked = looking.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        looked.map_err(|error| Failure::io("reading the image's files", error))
    }
}

impl Runtime for Containerd {
    async fn version(&self) -> Result<String> {
        let client = self.client();
        let answer = client.call("version.Version", RECORD_LIMIT, client.version().version(())).await;
        let version = answer.map_err(|failure| DriverError::new(CANNOT_INSPECT, failure))?.version;
        Ok(format!("containerd {version}"))
    }

    async fn ensure_image(&self, image: &str) -> Result<Image> {
        let reference = Reference::parse(image).map_err(|error| DriverError::new(CANNOT_PULL, error))?;
        let found = self.images().find(&reference).await;
        match found.map_err(|failure| DriverError::new(CANNOT_PULL, failure))? {
            Some(image) => Ok(image),
            None => self.shared.pulls.pull(self.images(), &reference).await,
        }
    }

    async fn create_task_group(&self, task: TaskId, limits: TaskLimits) -> Result<()> {
        self.with_groups(format!("make the cgroup of task {task}"), move |groups| groups.create(task, limits)).await
    }

    async fn remove_task_group(&self, task: TaskId) -> Result<()> {
        self.with_groups(format!("remove the cgroup of task {task}"), move |groups| groups.remove(task)).await
    }

    async fn task_groups(&self) -> Result<Vec<TaskId>> {
        self.with_groups("list cgroups".to_owned(), Groups::list).await
    }

    async fn create(&self, request: &ContainerRequest) -> Result<()> {
        self.create_container(request).await
    }

    async fn start(&self, id: &str) -> Result<u32> {
        self.start_container(id).await
    }

    async fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        let signal = u32::try_from(signal).map_err(|_| DriverError::new(CANNOT_STOP, format!("signal {signal}")))?;
        self.kill_container(id, signal, all).await.map_err(|failure| DriverError::new(CANNOT_STOP, failure))
    }

    async fn stop_signal(&self, image: &Image) -> Result<i32> {
        let facts = self.images().facts(&image.digest).await;
        let facts = facts.map_err(|failure| DriverError::new(CANNOT_INSPECT, failure))?;
        let named = facts.configuration.process().stop_signal.filter(|name| !name.is_empty());
        let Some(name) = named else { return Ok(SIGTERM) };
        signal(&name).ok_or_else(|| DriverError::new(CANNOT_STOP, format!("Invalid signal: {name}")))
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.delete_container(id).await.map_err(|failure| DriverError::new(CANNOT_REMOVE, failure))
    }

    async fn exec(&self, id: &str, command: &[String], limit: Duration) -> Result<ExecResult> {
        self.exec_in_container(id, command, limit).await
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.list_containers().await.map_err(|failure| DriverError::new(CANNOT_INSPECT, failure))
    }

    fn events(&self) -> mpsc::Receiver<RuntimeEvent> {
        let (sender, receiver) = mpsc::channel(event::QUEUE);
        tokio::spawn(event::forward(self.clone(), sender));
        receiver
    }
}

/// For names that nobody else has.
fn unique() -> String {
    let random = OsRng.try_next_u64().expect("the kernel has random numbers");
    format!("{random:016x}")
}

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
fn signal(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = bare.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    if let Some(offset) = bare.strip_prefix("RTMAX") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('-')?.parse::<i32>().ok()? };
        return (0..=30).contains(&offset).then_some(64 - offset);
    }
    let signal: nix::sys::signal::Signal = format!("SIG{bare}").parse().ok()?;
    Some(signal as i32)
}

/// containerd's times; the epoch when it says none.
fn timestamp(time: Option<&prost_types::Timestamp>) -> Timestamp {
    let millis = time.map(|time| time.seconds.saturating_mul(1000) + i64::from(time.nanos) / 1_000_000);
    Timestamp(millis.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn stop_signals_are_read_as_docker_reads_them() {
        for (name, expected) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("SIGWINCH", Some(28)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-1", Some(63)),
            ("0", None),
            ("65", None),
            ("SIGNONE", None),
            ("SIGRTMIN+31", None),
            ("", None),
        ] {
            assert_eq!(signal(name), expected, "{name}");
        }
    }
}
