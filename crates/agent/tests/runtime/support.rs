//! A containerd of a test's own, and what it takes to make containers in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent::driver::{ContainerRequest, Exit, FoundStatus, Image, Runtime, RuntimeEvent};
use agent::runtime::{Containerd, Settings, daemon};
use model::{ContainerDefinition, TaskId};
use tokio::sync::mpsc;

use crate::assemble::{self, Form};

pub const WAIT: Duration = Duration::from_secs(120);

/// A containerd of the test's own. [`end`](Self::end) checks that nothing is left and removes it.
pub struct Fixture {
    pub directory: PathBuf,
    pub runtime: Containerd,
    pub events: mpsc::Receiver<RuntimeEvent>,
    /// busybox
    pub image: Image,
    cgroup: String,
    /// How often containerd was killed. Each time it may leave the files of a snapshot that it had removed by name only.
    kills: AtomicUsize,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// As `change` makes the settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::Builder::new().prefix("gantry-rt-").tempdir().expect("a directory").keep();
        Self::in_directory(directory, change).await
    }

    pub async fn in_directory(directory: PathBuf, change: impl FnOnce(&mut Settings)) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make containers and need root");
        let daemon = daemon::find_or_start_private(&directory).await.expect("containerd (package containerd) starts");
        let cgroup = directory.file_name().expect("a name").to_string_lossy().into_owned();
        let mut settings = Settings::new(daemon.address, directory.join("scratch"));
        settings.cgroup_parent = cgroup.clone();
        change(&mut settings);
        let runtime = Containerd::connect(settings).await.expect("containerd answers");
        let archive = directory.join("busybox.tar");
        let busybox = assemble::busybox("busybox").expect("/bin/busybox (package busybox-static)");
        busybox.write(&archive, Form::Docker).expect("written");
        let image = runtime.import(&archive, None).await.expect("imported").remove(0);
        let mut events = runtime.events();
        let first = tokio::time::timeout(WAIT, events.recv()).await.expect("the stream begins");
        assert_eq!(first, Some(RuntimeEvent::Gap));
        Self { directory, runtime, events, image, cgroup, kills: AtomicUsize::new(0) }
    }

    pub fn request(&self, name: &str, command: &[&str]) -> ContainerRequest {
        ContainerRequest {
            id: name.to_owned(),
            image: self.image.clone(),
            definition: ContainerDefinition {
                name: name.to_owned(),
                command: command.iter().map(|part| (*part).to_owned()).collect(),
                ..ContainerDefinition::default()
            },
            environment: vec![("GIVEN".to_owned(), "yes".to_owned())],
            network_namespace: None,
            hostname: Some("box".to_owned()),
            mounts: Vec::new(),
            task: TaskId(1),
            labels: vec![("com.amazonaws.ecs.container-name".to_owned(), name.to_owned())],
            log_file: Some(self.log(name)),
        }
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{name}.log"))
    }

    pub fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).expect("a log")
    }

    pub async fn wait_for_output(&self, name: &str, text: &str) {
        let waiting = async {
            while !std::fs::read_to_string(self.log(name)).is_ok_and(|output| output.contains(text)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, waiting).await.expect("output");
    }

    /// What the runtime says of a container, once that is what is waited for.
    pub async fn settled(&self, id: &str, is_settled: impl Fn(&FoundStatus) -> bool) -> FoundStatus {
        let waiting = async {
            loop {
                let found = self.runtime.list().await.expect("listed");
                let found = found.into_iter().find(|found| found.id == id).expect("kept");
                if is_settled(&found.status) {
                    return found.status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, waiting).await.expect("a status")
    }

    /// Until no process of this machine has these words in its command line.
    pub async fn gone_process(&self, words: &str) {
        let waiting = async {
            while processes().iter().any(|(_, command)| command.contains(words)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT, waiting).await.expect("an end");
    }

    /// Without a chance to say goodbye.
    pub async fn kill_containerd(&self) {
        let pid = std::fs::read_to_string(self.directory.join("containerd/containerd.pid")).expect("a pid");
        kill(pid.parse().expect("a pid"));
        self.kills.fetch_add(1, Ordering::Relaxed);
        self.gone_process(&self.directory.join("containerd/config.toml").display().to_string()).await;
        // A dying process still takes connections for a moment after its command line is gone.
        let socket = self.directory.join("containerd/containerd.sock");
        let refused = async {
            while tokio::net::UnixStream::connect(&socket).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(WAIT, refused).await.expect("containerd's socket is closed");
    }

    pub async fn start_containerd(&self) {
        daemon::find_or_start_private(&self.directory).await.expect("containerd starts again");
    }

    /// Removes what containerd, which is down, knows of a container's process; the process goes on.
    pub fn forget(&self, id: &str) {
        let bundle = self.directory.join("containerd/state/io.containerd.runtime.v2.task/gantry").join(id);
        nix::mount::umount2(&bundle.join("rootfs"), nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
        std::fs::remove_dir_all(bundle).expect("removed");
    }

    pub fn kill_shims(&self) {
        shims(&self.directory).into_iter().for_each(|(pid, _)| kill(pid));
    }

    pub async fn exit(&mut self, id: &str) -> Exit {
        let waiting = async {
            loop {
                match self.events.recv().await.expect("the stream goes on") {
                    RuntimeEvent::Exited(exit) if exit.id == id => return exit,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(WAIT, waiting).await.expect("an exit")
    }

    pub async fn gap(&mut self) {
        let waiting = async { while self.events.recv().await.expect("the stream goes on") != RuntimeEvent::Gap {} };
        tokio::time::timeout(WAIT, waiting).await.expect("a gap is told");
    }

    /// Makes, runs to its end and deletes; answers the exit and the output.
    pub async fn run(&mut self, request: ContainerRequest) -> (Exit, String) {
        self.runtime.create(&request).await.expect("created");
        self.runtime.start(&request.id).await.expect("started");
        let exit = self.exit(&request.id).await;
        self.runtime.delete(&request.id).await.expect("deleted");
        (exit, self.output(&request.id))
    }

    /// Another runtime on the same containerd.
    pub async fn again(&self, change: impl FnOnce(&mut Settings)) -> Containerd {
        let mut settings = self.settings();
        change(&mut settings);
        Containerd::connect(settings).await.expect("containerd answers")
    }

    fn settings(&self) -> Settings {
        let mut settings =
            Settings::new(self.directory.join("containerd/containerd.sock"), self.directory.join("scratch"));
        settings.cgroup_parent = self.cgroup.clone();
        settings
    }

    pub async fn end(self) {
        self.end_with_images(1).await;
    }

    /// With so many image layers more than none.
    pub async fn end_with_images(self, layers: usize) {
        let layers = layers + self.kills.load(Ordering::Relaxed);
        for task in self.runtime.task_groups().await.expect("listed") {
            self.runtime.remove_task_group(task).await.expect("removed");
        }
        assert_eq!(self.runtime.list().await.expect("listed"), []);
        // containerd removes files of snapshots a little later than their names.
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut leftovers = leftovers(&self.directory, &self.cgroup, layers);
        while !leftovers.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            leftovers = self::leftovers(&self.directory, &self.cgroup, layers);
        }
        daemon::stop_private(&self.directory).await.expect("ended");
        remove_cgroups(&self.cgroup);
        std::fs::remove_dir_all(&self.directory).expect("removed");
        assert_eq!(leftovers, Vec::<String>::new());
    }
}

/// Mounts, processes and groups that belong to a containerd in `directory`.
fn leftovers(directory: &Path, cgroup: &str, layers: usize) -> Vec<String> {
    let ours = directory.to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let mut found: Vec<String> = mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned).collect();
    found.extend(shims(directory).into_iter().map(|(_, command)| command));
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("readable").flatten() {
        let groups = std::fs::read_dir(hierarchy.path().join(cgroup)).into_iter().flatten().flatten();
        found.extend(groups.filter(|group| group.path().is_dir()).map(|group| group.path().display().to_string()));
    }
    let snapshots = directory.join("containerd/root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    let count = std::fs::read_dir(snapshots).map_or(0, Iterator::count);
    if count > layers {
        found.push(format!("{count} snapshots, the images have {layers}"));
    }
    found
}

fn shims(directory: &Path) -> Vec<(i32, String)> {
    let ours = format!("{}/", directory.display());
    let is_ours = |command: &str| command.contains("containerd-shim") && command.contains(&ours);
    processes().into_iter().filter(|(_, command)| is_ours(command)).collect()
}

/// Of the whole machine: pids and command lines.
fn processes() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").expect("readable").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    let with_command = pids.map(|pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&command).replace('\0', " "))
    });
    with_command.collect()
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
}

fn remove_cgroups(cgroup: &str) {
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("readable").flatten() {
        let _ = std::fs::remove_dir(hierarchy.path().join(cgroup));
    }
}
