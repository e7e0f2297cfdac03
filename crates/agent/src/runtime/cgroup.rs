//! Control groups of tasks, both versions: one group per task with its limits, the containers' groups below it.
//!
//! ```text
//! /sys/fs/cgroup[/<controller>]/gantry/<task id>/<container id>
//! ```
//! The containers' own groups are made and removed by runc; the task's by this module. A group outlives a killed agent
//! and is found again by its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::TaskId;

use crate::driver::TaskLimits;

const MOUNT: &str = "/sys/fs/cgroup";
/// As the ECS agent has it: ecs-semantics §5.5.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel refuses less than a millisecond.
const LEAST_QUOTA_MICROS: u64 = 1_000;
/// Controllers that a task's limits or counts need, version 2.
const DELEGATED: [&str; 5] = ["cpu", "cpuset", "memory", "io", "pids"];
/// Reads that a group's removal waits for its last process to be gone, each a scheduler's turn apart.
const REMOVE_ATTEMPTS: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy per controller, also when version 2 is mounted beside them.
    V1,
    /// One hierarchy.
    V2,
}

impl Version {
    /// As runc tells: by what is mounted at /sys/fs/cgroup.
    pub fn here() -> io::Result<Self> {
        let kind = nix::sys::statfs::statfs(MOUNT)?.filesystem_type();
        Ok(if kind == nix::sys::statfs::CGROUP2_SUPER_MAGIC { Self::V2 } else { Self::V1 })
    }
}

/// The groups below one parent. All functions block for a few writes to the cgroup file system.
#[derive(Clone, Debug)]
pub struct Groups {
    mount: PathBuf,
    version: Version,
    /// One name, `gantry`.
    parent: String,
}

impl Groups {
    pub fn new(version: Version, parent: &str) -> Self {
        Self { mount: MOUNT.into(), version, parent: parent.to_owned() }
    }

    /// For the container's `linux.cgroupsPath`.
    pub fn container_path(&self, task: TaskId, container: &str) -> String {
        format!("/{}/{task}/{container}", self.parent)
    }

    /// Taken over when it is there, with the limits set anew.
    pub fn create(&self, task: TaskId, limits: TaskLimits) -> io::Result<()> {
        match self.version {
            Version::V1 => self.create_v1(task, limits),
            Version::V2 => self.create_v2(task, limits),
        }
    }

    /// No error when it is gone. Containers' groups that runc left (it was killed) go with it when they are empty.
    pub fn remove(&self, task: TaskId) -> io::Result<()> {
        for hierarchy in self.hierarchies()? {
            remove_tree(&hierarchy.join(&self.parent).join(task.to_string()))?;
        }
        Ok(())
    }

    /// Removes the parent itself, when no task is left in it.
    pub fn remove_parent(&self) -> io::Result<()> {
        for hierarchy in self.hierarchies()? {
            match fs::remove_dir(hierarchy.join(&self.parent)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Tasks that have a group in any hierarchy.
    pub fn list(&self) -> io::Result<Vec<TaskId>> {
        let mut tasks = Vec::new();
        for hierarchy in self.hierarchies()? {
            let names = directories(&hierarchy.join(&self.parent))?;
            tasks.extend(names.iter().filter_map(|name| name.parse::<TaskId>().ok()));
        }
        tasks.sort_unstable();
        tasks.dedup();
        Ok(tasks)
    }

    /// How often the kernel killed a process in a container's group (a [`container_path`](Self::container_path)) for
    /// want of memory. `None` when the group is gone.
    pub fn out_of_memory_kills(&self, container_path: &str) -> io::Result<Option<u64>> {
        let (hierarchy, file) = match self.version {
            Version::V1 => (self.mount.join("memory"), "memory.oom_control"),
            Version::V2 => (self.mount.clone(), "memory.events"),
        };
        let path = hierarchy.join(container_path.trim_start_matches('/')).join(file);
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(counter(&text, "oom_kill"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // The group is being removed.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Where a controller's files of a container's group (a [`container_path`](Self::container_path)) are.
    pub fn directory(&self, controller: &str, container_path: &str) -> PathBuf {
        let path = container_path.trim_start_matches('/');
        match self.version {
            Version::V1 => self.mount.join(controller).join(path),
            Version::V2 => self.mount.join(path),
        }
    }

    fn create_v1(&self, task: TaskId, limits: TaskLimits) -> io::Result<()> {
        let group = |controller: &str| self.mount.join(controller).join(&self.parent).join(task.to_string());
        let cpu = group("cpu");
        fs::create_dir_all(&cpu)?;
        if let Some(quota) = quota(limits) {
            fs::write(cpu.join("cpu.cfs_period_us"), PERIOD_MICROS.to_string())?;
            fs::write(cpu.join("cpu.cfs_quota_us"), quota.to_string())?;
        }
        let memory = group("memory");
        fs::create_dir_all(&memory)?;
        // Without it the limit would not count the containers' groups below; kernels that always count them refuse it.
        let _ = fs::write(memory.join("memory.use_hierarchy"), "1");
        if let Some(limit) = limits.memory {
            fs::write(memory.join("memory.limit_in_bytes"), limit.bytes().to_string())?;
        }
        Ok(())
    }

    fn create_v2(&self, task: TaskId, limits: TaskLimits) -> io::Result<()> {
        let parent = self.mount.join(&self.parent);
        let group = parent.join(task.to_string());
        fs::create_dir_all(&group)?;
        delegate(&self.mount)?;
        delegate(&parent)?;
        delegate(&group)?;
        if let Some(quota) = quota(limits) {
            fs::write(group.join("cpu.max"), format!("{quota} {PERIOD_MICROS}"))?;
        }
        if let Some(limit) = limits.memory {
            fs::write(group.join("memory.max"), limit.bytes().to_string())?;
        }
        Ok(())
    }

    fn hierarchies(&self) -> io::Result<Vec<PathBuf>> {
        if self.version == Version::V2 {
            return Ok(vec![self.mount.clone()]);
        }
        // Controllers that are mounted together have a link beside the directory; it leads to the same groups.
        let names = directories(&self.mount)?;
        Ok(names.into_iter().map(|name| self.mount.join(name)).collect())
    }
}

/// Microseconds of processor time in each period.
fn quota(limits: TaskLimits) -> Option<u64> {
    let cpu = limits.cpu.filter(|cpu| cpu.0 > 0)?;
    Some((u64::from(cpu.0) * PERIOD_MICROS / 1024).max(LEAST_QUOTA_MICROS))
}

/// Lets groups below `group` have the controllers that it has itself.
fn delegate(group: &Path) -> io::Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers"))?;
    let enabled = fs::read_to_string(group.join("cgroup.subtree_control"))?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let missing = DELEGATED.iter().filter(|name| has(&available, name) && !has(&enabled, name));
    for name in missing {
        fs::write(group.join("cgroup.subtree_control"), format!("+{name}"))?;
    }
    Ok(())
}

fn counter(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn directories(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn remove_tree(group: &Path) -> io::Result<()> {
    for name in directories(group)? {
        remove_tree(&group.join(name))?;
    }
    for _ in 0..REMOVE_ATTEMPTS {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A killed process holds its group until it is reaped, which has no event to wait for here.
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => std::thread::yield_now(),
            Err(error) => return Err(error),
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use model::{CpuUnits, MemoryMib};

    use super::*;

    fn limits(cpu: u32, memory: u32) -> TaskLimits {
        TaskLimits { cpu: Some(CpuUnits(cpu)), memory: Some(MemoryMib(memory)) }
    }

    #[test]
    fn quotas() {
        for (cpu, expected) in [(0, None), (256, Some(25_000)), (1024, Some(100_000)), (1, Some(1_000))] {
            assert_eq!(quota(limits(cpu, 0)), expected, "{cpu}");
        }
        assert_eq!(quota(TaskLimits { cpu: None, memory: None }), None);
    }

    #[test]
    fn counters() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(text, "oom_kill"), 3);
        assert_eq!(counter("low 0\noom 2\noom_kill 1\noom_group_kill 9\n", "oom_kill"), 1);
        assert_eq!(counter("", "oom_kill"), 0);
    }

    /// Version 2's files are plain enough to be checked on a directory.
    #[test]
    fn version_2_delegates_and_limits() {
        let mount = std::env::temp_dir().join(format!("gantry-cgroup-{}", std::process::id()));
        let task = TaskId(7);
        let group = mount.join("gantry").join(task.to_string());
        fs::create_dir_all(&group).expect("directories");
        for directory in [&mount, &mount.join("gantry"), &group] {
            fs::write(directory.join("cgroup.controllers"), "cpu memory hugetlb").expect("written");
            fs::write(directory.join("cgroup.subtree_control"), "cpu").expect("written");
        }
        let groups = Groups { mount: mount.clone(), version: Version::V2, parent: "gantry".into() };
        groups.create(task, limits(512, 64)).expect("created");
        let read = |path: &Path| fs::read_to_string(path).expect("readable");
        assert_eq!(read(&group.join("cpu.max")), "50000 100000");
        assert_eq!(read(&group.join("memory.max")), "67108864");
        assert_eq!(read(&mount.join("cgroup.subtree_control")), "+memory");
        assert_eq!(groups.list().expect("listed"), [task]);
        assert_eq!(groups.container_path(task, "web"), format!("/gantry/{task}/web"));
        fs::remove_dir_all(mount).expect("removed");
    }
}
