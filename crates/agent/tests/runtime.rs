//! The runtime against a real containerd: a private one in a directory of its own, started and ended by each test.
//! Needs root, containerd and runc; fails without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::assemble::{self, Form};
use agent::driver::{ContainerRequest, Exit, FoundStatus, Image, Runtime, RuntimeEvent, TaskLimits};
use agent::runtime::{Containerd, Settings, daemon};
use model::{ContainerDefinition, CpuUnits, MemoryMib, TaskId};
use tokio::sync::mpsc;

const WAIT: Duration = Duration::from_secs(30);

/// A containerd of the test's own. [`end`](Self::end) checks that nothing is left and removes it.
struct Fixture {
    directory: PathBuf,
    runtime: Containerd,
    events: mpsc::Receiver<RuntimeEvent>,
    image: Image,
    cgroup: String,
}

impl Fixture {
    async fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make containers and need root");
        let directory = tempfile::Builder::new().prefix("gantry-rt-").tempdir().expect("a directory").keep();
        let daemon = daemon::find_or_start_private(&directory).await.expect("containerd (package containerd) starts");
        let cgroup = directory.file_name().expect("a name").to_string_lossy().into_owned();
        let mut settings = Settings::new(daemon.address, directory.join("scratch"));
        settings.cgroup_parent = cgroup.clone();
        let runtime = Containerd::connect(settings).await.expect("containerd answers");
        let archive = directory.join("busybox.tar");
        let busybox = assemble::busybox("busybox").expect("/bin/busybox (package busybox-static)");
        busybox.write(&archive, Form::Docker).expect("written");
        let image = runtime.import(&archive, None).await.expect("imported").remove(0);
        let mut events = runtime.events();
        let first = tokio::time::timeout(WAIT, events.recv()).await.expect("the stream begins");
        assert_eq!(first, Some(RuntimeEvent::Gap));
        Self { directory, runtime, events, image, cgroup }
    }

    fn request(&self, name: &str, command: &[&str]) -> ContainerRequest {
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

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{name}.log"))
    }

    fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.log(name)).expect("a log")
    }

    async fn exit(&mut self, id: &str) -> Exit {
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

    /// Makes, runs to its end and deletes; answers the exit and the output.
    async fn run(&mut self, request: ContainerRequest) -> (Exit, String) {
        self.runtime.create(&request).await.expect("created");
        self.runtime.start(&request.id).await.expect("started");
        let exit = self.exit(&request.id).await;
        self.runtime.delete(&request.id).await.expect("deleted");
        (exit, self.output(&request.id))
    }

    async fn end(self) {
        for task in self.runtime.task_groups().await.expect("listed") {
            self.runtime.remove_task_group(task).await.expect("removed");
        }
        assert_eq!(self.runtime.list().await.expect("listed"), []);
        // containerd removes files of snapshots a little later than their names.
        let deadline = tokio::time::Instant::now() + WAIT;
        let mut leftovers = leftovers(&self.directory, &self.cgroup);
        while !leftovers.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            leftovers = self::leftovers(&self.directory, &self.cgroup);
        }
        daemon::stop_private(&self.directory).await.expect("ended");
        remove_cgroups(&self.cgroup);
        std::fs::remove_dir_all(&self.directory).expect("removed");
        assert_eq!(leftovers, Vec::<String>::new());
    }
}

/// Mounts, processes and groups that belong to a containerd in `directory`.
fn leftovers(directory: &Path, cgroup: &str) -> Vec<String> {
    let ours = directory.to_string_lossy().into_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let mut found: Vec<String> = mounts.lines().filter(|line| line.contains(&ours)).map(str::to_owned).collect();
    for entry in std::fs::read_dir("/proc").expect("readable").flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains("containerd-shim") && command.contains(&ours) {
            found.push(command);
        }
    }
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("readable").flatten() {
        let groups = std::fs::read_dir(hierarchy.path().join(cgroup)).into_iter().flatten().flatten();
        found.extend(groups.filter(|group| group.path().is_dir()).map(|group| group.path().display().to_string()));
    }
    let snapshots = directory.join("containerd/root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    let count = std::fs::read_dir(snapshots).map_or(0, Iterator::count);
    if count > 1 {
        found.push(format!("{count} snapshots, the image has 1"));
    }
    found
}

fn remove_cgroups(cgroup: &str) {
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("readable").flatten() {
        let _ = std::fs::remove_dir(hierarchy.path().join(cgroup));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_lives_and_leaves_nothing() {
    let mut fixture = Fixture::new().await;
    let limits = TaskLimits { cpu: Some(CpuUnits(256)), memory: Some(MemoryMib(128)) };
    fixture.runtime.create_task_group(TaskId(1), limits).await.expect("made");
    assert_eq!(fixture.runtime.task_groups().await.expect("listed"), [TaskId(1)]);
    let script = "echo out; echo err >&2; echo $GIVEN $IMAGE; hostname; exit 3";
    let request = fixture.request("first", &["sh", "-c", script]);
    fixture.runtime.create(&request).await.expect("created");
    let found = fixture.runtime.list().await.expect("listed");
    assert_eq!(found[0].status, FoundStatus::Created);
    assert_eq!(found[0].labels, request.labels);
    assert!(fixture.runtime.start("first").await.expect("started") > 1);
    let exit = fixture.exit("first").await;
    assert_eq!((exit.exit_code, exit.out_of_memory), (3, false));
    let found = fixture.runtime.list().await.expect("listed");
    assert_eq!(found[0].status, FoundStatus::Stopped { exit_code: 3, at: exit.at, out_of_memory: false });
    fixture.runtime.delete("first").await.expect("deleted");
    fixture.runtime.delete("first").await.expect("deleted twice");
    // The two streams are two pipes: each keeps its order, they do not wait for each other.
    let output = fixture.output("first");
    assert!(output.contains("err\n"), "{output}");
    assert_eq!(output.replace("err\n", ""), "out\nyes busybox\nbox\n");
    fixture.end().await;
}
