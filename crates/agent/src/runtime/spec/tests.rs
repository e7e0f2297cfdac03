use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::task_definition::{LinuxParameters, Tmpfs, Ulimit};
use model::{ContainerDefinition, CpuUnits, MemoryMib, TaskId};

use super::*;
use crate::driver::Image;

struct Case {
    request: ContainerRequest,
    image: ImageProcess,
    identity: Identity,
    host: Host,
}

impl Case {
    fn spec(&self) -> Result<Spec, String> {
        let inputs = Inputs {
            request: &self.request,
            image: &self.image,
            identity: &self.identity,
            host: &self.host,
            cgroups_path: "/gantry/t/c",
            init: "/var/lib/gantry/init",
            devices: &[],
        };
        spec(&inputs).map_err(|refused| refused.to_string())
    }

    fn parameters(&mut self) -> &mut LinuxParameters {
        self.request.definition.linux_parameters.get_or_insert_default()
    }
}

fn case() -> Case {
    let request = ContainerRequest {
        id: "0123456789abcdef-web".to_owned(),
        image: Image { reference: "docker.io/library/web:1".into(), digest: String::new(), pulled: false },
        definition: ContainerDefinition { name: "web".into(), ..ContainerDefinition::default() },
        environment: Vec::new(),
        network_namespace: Some(PathBuf::from("/run/netns/t")),
        hostname: None,
        mounts: Vec::new(),
        task: TaskId(1),
        labels: Vec::new(),
        log_file: None,
    };
    let image = ImageProcess {
        entrypoint: Some(vec!["/entry".into()]),
        cmd: Some(vec!["serve".into()]),
        env: Some(vec!["A=image".into(), "PATH=/image".into()]),
        ..ImageProcess::default()
    };
    let host = Host {
        name: "node".into(),
        cgroups: Version::V1,
        swap_accounting: true,
        capabilities: capability::NAMES.iter().copied().filter(|name| *name != "SYS_RESOURCE").collect(),
        hard_limits: BTreeMap::from([("RLIMIT_NOFILE", 20_000)]),
        seccomp: true,
    };
    let identity = Identity { uid: 0, gid: 0, groups: vec![0, 4], home: "/root".into() };
    Case { request, image, identity, host }
}

fn names(mounts: &[document::Mount]) -> Vec<&str> {
    mounts.iter().map(|mount| mount.destination.as_str()).collect()
}

#[test]
fn the_image_says_what_the_definition_leaves_out() {
    let spec = case().spec().expect("a specification");
    assert_eq!(spec.process.args, ["/entry", "serve"]);
    assert_eq!(spec.process.env, ["PATH=/image", "HOSTNAME=0123456789ab", "A=image", "HOME=/root"]);
    assert_eq!(spec.process.cwd, "/");
    assert_eq!(spec.process.user, User { uid: 0, gid: 0, additional_gids: vec![0, 4] });
    assert_eq!(spec.process.capabilities.bounding.len(), 13);
    assert_eq!(spec.process.capabilities.effective, spec.process.capabilities.bounding);
    assert_eq!(spec.process.oom_score_adj, None);
    assert_eq!(names(&spec.mounts), ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]);
    let kinds: Vec<&str> = spec.linux.namespaces.iter().map(|namespace| namespace.kind).collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "network"]);
    assert_eq!(spec.linux.resources.cpu.shares, 2);
    assert_eq!(spec.linux.resources.memory, Memory::default());
    assert_eq!(spec.linux.resources.devices.len(), 1);
    assert!(!spec.linux.resources.devices[0].allow);
    assert!(spec.linux.seccomp.is_some() && spec.linux.masked_paths.contains(&"/proc/kcore".to_owned()));
    assert!(!spec.root.readonly && !spec.process.no_new_privileges);
}

#[test]
fn arguments_are_merged_as_docker_does() {
    let check = |entry_point: &[&str], command: &[&str], expected: Result<&[&str], &str>| {
        let mut case = case();
        case.request.definition.entry_point = entry_point.iter().map(|s| (*s).to_owned()).collect();
        case.request.definition.command = command.iter().map(|s| (*s).to_owned()).collect();
        let args = case.spec().map(|spec| spec.process.args);
        let expected = expected.map(|args| args.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(args, expected.map_err(str::to_owned), "{entry_point:?} {command:?}");
    };
    check(&[], &["x", "y"], Ok(&["/entry", "x", "y"]));
    check(&["/own"], &[], Ok(&["/own"]));
    check(&["/own", "-a"], &["x"], Ok(&["/own", "-a", "x"]));
    check(&[""], &["x"], Err("No command specified"));
    let mut bare = case();
    bare.image = ImageProcess::default();
    assert_eq!(bare.spec(), Err("No command specified".to_owned()));
}

#[test]
fn the_definition_wins_over_the_image() {
    let mut case = case();
    case.image.working_dir = Some("/image".into());
    case.request.environment = [("A", "own"), ("HOME", "/own"), ("Z", "")].map(|(k, v)| (k.into(), v.into())).to_vec();
    case.request.definition = ContainerDefinition {
        cpu: CpuUnits(512),
        memory: Some(MemoryMib(128)),
        memory_reservation: Some(MemoryMib(64)),
        working_directory: Some("/work".into()),
        readonly_root_filesystem: Some(true),
        system_controls: vec![("net.core.somaxconn".into(), "9".into())],
        ulimits: vec![Ulimit { name: "nofile".into(), soft_limit: 10, hard_limit: 20_000 }],
        ..case.request.definition
    };
    case.request.hostname = Some("ip-10-0-0-1".into());
    let spec = case.spec().expect("a specification");
    assert_eq!(spec.hostname, "ip-10-0-0-1");
    assert_eq!(spec.process.env, ["PATH=/image", "HOSTNAME=ip-10-0-0-1", "A=own", "HOME=/own", "Z="]);
    assert_eq!(spec.process.cwd, "/work");
    assert!(spec.root.readonly);
    assert_eq!(spec.linux.resources.cpu.shares, 512);
    let mib = 1 << 20;
    let memory = Memory { limit: Some(128 * mib), reservation: Some(64 * mib), swap: Some(256 * mib) };
    assert_eq!(spec.linux.resources.memory, memory);
    assert_eq!(spec.linux.sysctl["net.core.somaxconn"], "9");
    let nofile = document::Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 10, hard: 20_000 };
    assert_eq!(spec.process.rlimits, [nofile]);
}

#[test]
fn a_user_other_than_root_holds_no_capabilities() {
    let mut case = case();
    case.identity = Identity { uid: 101, gid: 102, groups: vec![102], home: "/srv".into() };
    let capabilities = case.spec().expect("a specification").process.capabilities;
    assert!(capabilities.effective.is_empty() && capabilities.permitted.is_empty());
    assert_eq!(capabilities.bounding.len(), 13);
}

#[test]
fn privileged_containers_are_not_confined() {
    let mut case = case();
    case.request.definition.privileged = Some(true);
    case.host.cgroups = Version::V2;
    let spec = case.spec().expect("a specification");
    let all: BTreeSet<String> = case.host.capabilities.iter().map(|name| format!("CAP_{name}")).collect();
    assert_eq!(spec.process.capabilities.effective, all);
    assert!(spec.linux.seccomp.is_none() && spec.linux.masked_paths.is_empty());
    assert!(spec.linux.resources.devices[0].allow);
    assert!(
        spec.mounts.iter().find(|mount| mount.destination == "/sys").expect("there").options.contains(&"rw".into())
    );
    assert!(spec.linux.namespaces.iter().all(|namespace| namespace.kind != "cgroup"));
}

#[test]
fn own_mounts_come_after_the_kernels_and_outer_before_inner() {
    let mut case = case();
    let bind = |destination: &str, read_only| BindMount {
        source: PathBuf::from("/host"),
        destination: destination.to_owned(),
        read_only,
        copy_up: false,
    };
    case.request.mounts = vec![bind("/data/inner/", true), bind("/data", false)];
    let parameters = case.parameters();
    parameters.init_process_enabled = Some(true);
    parameters.shared_memory_size = Some(128);
    parameters.tmpfs = vec![Tmpfs {
        container_path: "/tmp".into(),
        size: 16,
        mount_options: ["exec", "mode=1777", "defaults"].map(str::to_owned).to_vec(),
    }];
    let spec = case.spec().expect("a specification");
    assert_eq!(names(&spec.mounts[7..]), ["/tmp", "/data", "/data/inner", INIT_PATH]);
    assert_eq!(spec.mounts[7].options, ["nosuid", "nodev", "rprivate", "exec", "mode=1777", "size=16m"]);
    assert_eq!(spec.mounts[8].options, ["rbind", "rprivate", "rw"]);
    assert_eq!(spec.mounts[9].options, ["rbind", "rprivate", "ro"]);
    assert!(spec.mounts[6].options.contains(&"size=128m".to_owned()));
    assert_eq!(spec.process.args[..3], [INIT_PATH, "--", "/entry"]);
}

#[test]
fn what_the_node_cannot_give_is_refused() {
    let check = |change: fn(&mut Case), expected: &str| {
        let mut case = case();
        change(&mut case);
        let refused = case.spec().expect_err(expected);
        assert!(refused.contains(expected), "{refused}");
    };
    check(|case| case.request.definition.working_directory = Some("srv".into()), "needs to be an absolute path");
    check(|case| case.parameters().capabilities_add = vec!["SYS_RESOURCE".into()], "does not have it itself");
    check(|case| case.parameters().capabilities_add = vec!["FLY".into()], "unknown capability");
    check(
        |case| {
            case.request.definition.ulimits = vec![Ulimit { name: "nofile".into(), soft_limit: 1, hard_limit: 20_001 }];
        },
        "CAP_SYS_RESOURCE is missing",
    );
    check(
        |case| {
            case.request.definition.ulimits = vec![Ulimit { name: "nofile".into(), soft_limit: -1, hard_limit: 1 }];
        },
        "soft limit must be less than or equal to hard limit",
    );
    check(
        |case| {
            case.request.definition.ulimits = vec![Ulimit { name: "fun".into(), soft_limit: 1, hard_limit: 1 }];
        },
        "invalid ulimit type: fun",
    );
    check(
        |case| {
            case.request.network_namespace = None;
            case.request.definition.system_controls = vec![("net.core.somaxconn".into(), "1".into())];
        },
        "uses the host's",
    );
    let tmpfs = |path: &str, option: &str| Tmpfs {
        container_path: path.into(),
        size: 1,
        mount_options: vec![option.to_owned()],
    };
    let refused = |tmpfs: Vec<Tmpfs>| {
        let mut case = case();
        case.parameters().tmpfs = tmpfs;
        case.spec().expect_err("refused")
    };
    assert!(refused(vec![tmpfs("/a", "lowerdir=/etc")]).contains("Invalid tmpfs option"));
    assert!(refused(vec![tmpfs("a", "rw")]).contains("must be absolute"));
    assert!(refused(vec![tmpfs("/", "rw")]).contains("may not be the root"));
    assert!(refused(vec![tmpfs("/a/../..", "rw")]).contains("may not be the root or contain '..'"));
    assert!(refused(vec![tmpfs("/a", "rw"), tmpfs("/a/", "ro")]).contains("Duplicate mount point: /a"));
}

#[test]
fn the_host_network_has_the_hosts_name() {
    let mut case = case();
    case.request.network_namespace = None;
    let spec = case.spec().expect("a specification");
    assert_eq!(spec.hostname, "node");
    assert!(spec.linux.sysctl.is_empty());
    assert!(spec.linux.namespaces.iter().all(|namespace| namespace.kind != "network"));
}
