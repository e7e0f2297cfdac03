//! A machine of a test's own: network and mount namespaces, a containerd in them, a directory. Needs root, containerd,
//! runc and nft.

use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent::clock::Clock;
use agent::driver::{FoundStatus, Runtime as _};
use agent::host::Host;
use agent::network::{self, Linux};
use agent::runtime::{Containerd, Settings, daemon};
use agent::{Agent, Config, Data, Endpoint};
use model::NodeId;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::assemble::{self, Form};
use crate::link::{Control, LIMIT, Link};

const REMOVALS_MAX: u32 = 100;

pub struct Machine {
    directory: PathBuf,
    settings: Settings,
    pub control: Control,
    /// What was there before the first agent.
    before: Vec<String>,
    snapshots_before: usize,
}

/// Runs a test on a machine of its own: a thread with a new network and mount namespace, and all that it starts.
pub fn on_machine<F: Future<Output = Machine>>(test: impl FnOnce(Machine) -> F + Send + 'static) {
    let machine = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("these tests need root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        run("ip", &["link", "set", "lo", "up"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { test(Machine::start().await).await.end().await });
    });
    if let Err(panic) = machine.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Machine {
    async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("gantry-node-").tempdir().unwrap().keep();
        let daemon = daemon::find_or_start_private(&directory).await.expect("containerd (package containerd) starts");
        let mut settings = Settings::new(daemon.address, directory.join("scratch"));
        settings.cgroup_parent = directory.file_name().unwrap().to_string_lossy().into_owned();
        // runc keeps the containers of all containerds of a host in one place, by namespace.
        settings.namespace.clone_from(&settings.cgroup_parent);
        let control = Control::start().await;
        let mut machine = Self { directory, settings, control, before: Vec::new(), snapshots_before: 0 };
        let archive = machine.directory.join("busybox.tar");
        let busybox = assemble::busybox("busybox").expect("/bin/busybox (package busybox-static)");
        busybox.write(&archive, Form::Docker).unwrap();
        machine.containerd().await.import(&archive, None).await.unwrap();
        machine.before = machine.holdings();
        machine.snapshots_before = machine.snapshots();
        machine
    }

    async fn containerd(&self) -> Containerd {
        Containerd::connect(self.settings.clone()).await.expect("containerd answers")
    }

    /// An agent on this machine, and the session that it opens.
    pub async fn agent(&self) -> (Agent, Link) {
        let network = network::Config { tag: "test0".into(), ..network::Config::new(self.directory.join("run")) };
        let endpoint =
            Endpoint { address: network.endpoint_address().into(), cgroup_parent: self.settings.cgroup_parent.clone() };
        let network = Linux::open(network).await.expect("the network opens (package nftables)");
        let config = Config {
            data: Data::Directory(self.directory.clone()),
            node: NodeId(7),
            host: Host::read().unwrap(),
            clock: Clock::System,
            endpoint: Some(endpoint),
        };
        let agent = Agent::start(config, self.control.dial(), self.containerd().await, network)
            .await
            .expect("the agent starts");
        (agent, self.control.welcome().await)
    }

    /// Until the process of a container has ended.
    pub async fn wait_until_ended(&self, runtime_id: &str) {
        let runtime = self.containerd().await;
        let ended = async {
            loop {
                let found = runtime.list().await.unwrap();
                let status = &found.iter().find(|found| found.id == runtime_id).expect("it is kept").status;
                if matches!(status, FoundStatus::Stopped { .. }) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, ended).await.expect("it ends");
    }

    /// Until the machine holds nothing that it did not hold at first.
    pub async fn wait_until_clean(&self) {
        let clean = async {
            while !self.is_clean() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(LIMIT, clean).await.is_err() {
            let snapshots = (self.snapshots(), self.snapshots_before);
            panic!("left over: {:#?}\nat first: {:#?}\nsnapshots: {snapshots:?}", self.holdings(), self.before);
        }
    }

    /// containerd removes the files of what it needed for unpacking an image a little later than their names, so there
    /// may also be fewer than at first.
    fn snapshots(&self) -> usize {
        names(&self.directory.join("containerd/root/io.containerd.snapshotter.v1.overlayfs/snapshots")).count()
    }

    fn is_clean(&self) -> bool {
        self.holdings() == self.before && self.snapshots() <= self.snapshots_before
    }

    /// What tasks could leave behind beside snapshots: namespaces, mounts, interfaces, cgroups, shims, files.
    fn holdings(&self) -> Vec<String> {
        let ours = self.directory.to_string_lossy().into_owned();
        let mut found = Vec::new();
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned));
        let links = run("ip", &["-o", "link"]);
        let veths = links.lines().filter(|line| line.contains("veth") || line.contains("@if"));
        found.extend(veths.map(str::to_owned));
        found.extend(shims(&ours));
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let parent = hierarchy.path().join(&self.settings.cgroup_parent);
            found.extend(names(&parent).filter(|name| name.parse::<model::TaskId>().is_ok()));
        }
        for directory in ["tasks", "volumes", "logs"] {
            found.extend(names(&self.directory.join("agent").join(directory)));
        }
        found
    }

    async fn end(self) {
        daemon::stop_private(&self.directory).await.unwrap();
    }
}

impl Drop for Machine {
    /// Also after a failure: ends what still runs and removes what it had.
    fn drop(&mut self) {
        let ours = format!("{}/", self.directory.display());
        processes().filter(|(_, command)| command.contains(&ours)).for_each(|(pid, _)| end_process(pid));
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&ours)) {
            let _ = umount2(point, MntFlags::MNT_DETACH);
        }
        for hierarchy in names(Path::new("/sys/fs/cgroup")) {
            remove_groups(&Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.settings.cgroup_parent));
        }
        let _ = std::fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.settings.namespace));
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whatever has ended by itself meanwhile is fine.
fn end_process(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

fn remove_groups(group: &Path) {
    let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|line| line.parse().ok()).for_each(end_process);
    names(group).map(|name| group.join(name)).filter(|path| path.is_dir()).for_each(|path| remove_groups(&path));
    // A killed process holds its group until the kernel is done with it.
    for _ in 0..REMOVALS_MAX {
        match std::fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn names(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn processes() -> impl Iterator<Item = (i32, String)> {
    names(Path::new("/proc")).filter_map(|name| name.parse().ok()).map(|pid: i32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&command).replace('\0', " "))
    })
}

fn shims(directory: &str) -> Vec<String> {
    let commands = processes().map(|(_, command)| command);
    commands.filter(|command| command.contains("containerd-shim") && command.contains(directory)).collect()
}
