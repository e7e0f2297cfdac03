//! Containers of one image: their life, their confinement, their end.

use std::path::PathBuf;
use std::time::Duration;

use agent::driver::{BindMount, FoundStatus, Runtime, TaskLimits};
use model::task_definition::{LinuxParameters, Tmpfs, Ulimit};
use model::{CpuUnits, MemoryMib, TaskId};

use crate::support::{Fixture, WAIT};

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
    fixture.wait_for_output("first", "err\n").await;
    assert_eq!(fixture.output("first").replace("err\n", ""), "out\nyes busybox\nbox\n");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_leaves_the_other_open() {
    let mut fixture = Fixture::new().await;
    for (name, ended, other) in [("without-stdout", "1", "2"), ("without-stderr", "2", "1")] {
        let script = format!("exec {ended}>&-; sleep 0.3; echo late >&{other}; head -c 200000 /dev/zero >&{other}");
        let (exit, output) = fixture.run(fixture.request(name, &["sh", "-c", &script])).await;
        assert_eq!(exit.exit_code, 0);
        assert!(output.starts_with("late\n"), "{name}");
        assert_eq!(output.len(), 200_005, "{name}");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definition_is_what_the_process_finds() {
    let mut fixture = Fixture::new().await;
    let script = "id; touch /no 2>/dev/null || echo read-only; touch /tmp/yes && echo tmpfs; ulimit -n; \
                  df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; grep -E 'Seccomp:|CapEff' /proc/self/status; pwd; \
                  echo $HOME; cat /data/file; touch /data/new && echo written";
    let mut request = fixture.request("fields", &["sh", "-c", script]);
    let data = fixture.directory.join("data");
    std::fs::create_dir(&data).expect("a directory");
    std::fs::write(data.join("file"), "bound\n").expect("a file");
    std::os::unix::fs::chown(&data, Some(1000), None).expect("owned");
    request.mounts =
        vec![BindMount { source: data.clone(), destination: "/data".into(), read_only: false, copy_up: false }];
    let definition = &mut request.definition;
    definition.user = Some("web".into());
    definition.readonly_root_filesystem = Some(true);
    definition.working_directory = Some("/made/for/it".into());
    definition.ulimits = vec![Ulimit { name: "nofile".into(), soft_limit: 99, hard_limit: 100 }];
    definition.linux_parameters = Some(LinuxParameters {
        shared_memory_size: Some(8),
        tmpfs: vec![Tmpfs { container_path: "/tmp".into(), size: 1, mount_options: vec!["mode=1777".into()] }],
        ..LinuxParameters::default()
    });
    let (exit, output) = fixture.run(request).await;
    assert_eq!(exit.exit_code, 0, "{output}");
    let expected = [
        "uid=1000(web) gid=1000(web) groups=4(adm),1000(web)",
        "read-only",
        "tmpfs",
        "99",
        "8192",
        "CapEff:\t0000000000000000",
        "Seccomp:\t2",
        "/made/for/it",
        "/srv",
        "bound",
        "written",
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    assert!(data.join("new").exists());
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_volume_has_what_the_image_has() {
    let mut fixture = Fixture::new().await;
    let volume = fixture.directory.join("volume");
    std::fs::create_dir(&volume).expect("a directory");
    let mut request = fixture.request("volume", &["sh", "-c", "cat /etc/group | head -1; echo more >> /etc/group"]);
    let mount = |read_only| BindMount { source: volume.clone(), destination: "/etc".into(), read_only, copy_up: true };
    request.mounts = vec![mount(false)];
    let (exit, output) = fixture.run(request).await;
    assert_eq!((exit.exit_code, output.as_str()), (0, "root:x:0:\n"));
    let mut request = fixture
        .request("again", &["sh", "-c", "tail -1 /etc/group; (echo no >> /etc/group) 2>/dev/null || echo refused"]);
    request.mounts = vec![mount(true)];
    let (_, output) = fixture.run(request).await;
    assert_eq!(output, "more\nrefused\n");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_in_running_containers() {
    let fixture = Fixture::new().await;
    let runtime = fixture.runtime.clone();
    runtime.create(&fixture.request("host", &["sleep", "1000"])).await.expect("created");
    runtime.start("host").await.expect("started");
    let exec = |script: &'static str, limit| {
        let command = ["sh", "-c", script].map(str::to_owned);
        let runtime = runtime.clone();
        async move { runtime.exec("host", &command, limit).await.expect("run") }
    };
    let result = exec("echo $GIVEN; echo oops >&2; exit 4", WAIT).await;
    assert_eq!(result.exit_code, Some(4));
    assert!(result.output.contains("yes\n") && result.output.contains("oops\n"), "{}", result.output);
    let result = exec("yes | head -c 100000; echo end", WAIT).await;
    assert_eq!((result.exit_code, result.output.len()), (Some(0), 4096));
    assert!(result.output.ends_with("end\n"));
    // What it wrote until then is not lost. A busy machine takes its time to begin.
    let mut limit = Duration::from_millis(300);
    let cut_off = loop {
        let result = exec("echo begun; sleep 1000", limit).await;
        if !result.output.is_empty() || limit > WAIT {
            break result;
        }
        limit *= 2;
    };
    assert_eq!((cut_off.exit_code, cut_off.output.as_str()), (None, "begun\n"));
    let missing = runtime.exec("host", &["/none".to_owned()], WAIT).await.expect("answered");
    assert_eq!(missing.exit_code, Some(126));
    assert!(missing.output.contains("/none"), "{}", missing.output);
    let failed = runtime.exec("nobody", &["true".to_owned()], WAIT).await.expect_err("no such container");
    assert!(failed.message.contains("not found"), "{failed}");
    assert!(matches!(runtime.list().await.expect("listed")[0].status, FoundStatus::Running { .. }));
    runtime.delete("host").await.expect("deleted while it runs");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn want_of_memory_is_told_from_a_kill() {
    let mut fixture = Fixture::new().await;
    let mut request = fixture.request("greedy", &["sh", "-c", "tail /dev/zero"]);
    request.definition.memory = Some(MemoryMib(16));
    fixture.runtime.create(&request).await.expect("created");
    fixture.runtime.start("greedy").await.expect("started");
    let exit = fixture.exit("greedy").await;
    assert_eq!((exit.exit_code, exit.out_of_memory), (137, true));
    let status = fixture.runtime.list().await.expect("listed")[0].status.clone();
    assert_eq!(status, FoundStatus::Stopped { exit_code: 137, at: exit.at, out_of_memory: true });
    fixture.runtime.delete("greedy").await.expect("deleted");
    // The task's limit counts as well as the container's own.
    let limits = TaskLimits { cpu: None, memory: Some(MemoryMib(16)) };
    fixture.runtime.create_task_group(TaskId(1), limits).await.expect("made");
    fixture.runtime.create(&fixture.request("within", &["tail", "/dev/zero"])).await.expect("created");
    fixture.runtime.start("within").await.expect("started");
    let exit = fixture.exit("within").await;
    assert_eq!((exit.exit_code, exit.out_of_memory), (137, true));
    fixture.runtime.delete("within").await.expect("deleted");
    fixture.runtime.remove_task_group(TaskId(1)).await.expect("removed");
    fixture.runtime.create(&fixture.request("killed", &["sleep", "1000"])).await.expect("created");
    fixture.runtime.start("killed").await.expect("started");
    fixture.runtime.kill("killed", 9, false).await.expect("killed");
    let exit = fixture.exit("killed").await;
    assert_eq!((exit.exit_code, exit.out_of_memory), (137, false));
    fixture.runtime.kill("killed", 15, true).await.expect("nothing to kill");
    fixture.runtime.delete("killed").await.expect("deleted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_process() {
    let mut fixture = Fixture::new().await;
    let script = "trap 'echo caught; exit 7' TERM; echo ready; while true; do sleep 0.05; done";
    fixture.runtime.create(&fixture.request("trap", &["sh", "-c", script])).await.expect("created");
    fixture.runtime.start("trap").await.expect("started");
    fixture.wait_for_output("trap", "ready").await;
    assert_eq!(fixture.runtime.stop_signal(&fixture.image).await.expect("known"), 15);
    fixture.runtime.kill("trap", 15, false).await.expect("killed");
    let exit = fixture.exit("trap").await;
    fixture.runtime.delete("trap").await.expect("deleted");
    assert_eq!((exit.exit_code, fixture.output("trap").as_str()), (7, "ready\ncaught\n"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_init_process_reaps_and_passes_signals_on() {
    let mut fixture = Fixture::new().await;
    let mut request = fixture.request("init", &["sleep", "1000"]);
    let parameters = LinuxParameters { init_process_enabled: Some(true), ..LinuxParameters::default() };
    request.definition.linux_parameters = Some(parameters);
    request.definition.readonly_root_filesystem = Some(true);
    fixture.runtime.create(&request).await.expect("created");
    fixture.runtime.start("init").await.expect("started");
    let orphans = "for n in 1 2 3; do (true &); done; cat /proc/1/comm; \
                   while grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.02; done; echo reaped";
    let command = ["sh", "-c", orphans].map(str::to_owned);
    let result = fixture.runtime.exec("init", &command, WAIT).await.expect("run");
    assert_eq!(result.exit_code, Some(0), "{}", result.output);
    assert!(result.output.starts_with("init\n") && result.output.ends_with("reaped\n"), "{}", result.output);
    // As the first process, sleep would not hear a signal that it does not handle.
    fixture.runtime.kill("init", 15, false).await.expect("killed");
    assert_eq!(fixture.exit("init").await.exit_code, 143);
    fixture.runtime.delete("init").await.expect("deleted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    let runtime = &fixture.runtime;
    let check = async |change: fn(&mut model::ContainerDefinition), name: &str, text: &str| {
        let mut request = fixture.request("bad", &["true"]);
        change(&mut request.definition);
        let error = match runtime.create(&request).await {
            Err(error) => error,
            Ok(()) => runtime.start("bad").await.expect_err(text),
        };
        assert_eq!(error.name, name, "{error}");
        assert!(error.message.contains(text), "{error}");
        runtime.delete("bad").await.expect("deleted");
        assert_eq!(runtime.list().await.expect("listed"), []);
    };
    let start = "CannotStartContainerError";
    let create = "CannotCreateContainerError";
    check(|d| d.command = vec!["no-such-program".into()], start, "executable file not found").await;
    check(|d| d.command = vec!["/etc/passwd".into()], start, "permission denied").await;
    check(|d| d.user = Some("nobody".into()), create, "unable to find user nobody").await;
    check(|d| d.working_directory = Some("relative".into()), create, "absolute path").await;
    check(|d| d.system_controls = vec![("kernel.none".into(), "1".into())], start, "kernel.none").await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_begins_anew() {
    let mut fixture = Fixture::new().await;
    let request = fixture.request("twice", &["sh", "-c", "echo once"]);
    fixture.runtime.create(&request).await.expect("created");
    fixture.runtime.create(&request).await.expect("created anew");
    fixture.runtime.start("twice").await.expect("started");
    fixture.exit("twice").await;
    fixture.runtime.delete("twice").await.expect("deleted");
    assert_eq!(fixture.output("twice"), "once\n");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_containerd_forgot_goes_with_its_container() {
    let mut fixture = Fixture::new().await;
    for name in ["remade", "deleted"] {
        fixture.runtime.create(&fixture.request(name, &["sh", "-c", "sleep 12345"])).await.expect("created");
        fixture.runtime.start(name).await.expect("started");
    }
    fixture.kill_containerd().await;
    for name in ["remade", "deleted"] {
        fixture.forget(name);
    }
    fixture.start_containerd().await;
    fixture.gap().await;
    let found = fixture.runtime.list().await.expect("listed");
    assert!(found.iter().all(|found| found.status == FoundStatus::Lost), "{found:?}");
    fixture.runtime.delete("deleted").await.expect("deleted");
    let (exit, output) = fixture.run(fixture.request("remade", &["sh", "-c", "echo anew"])).await;
    assert_eq!((exit.exit_code, output.as_str()), (0, "anew\n"));
    fixture.gone_process("sleep 12345").await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exits_are_known_though_containerd_was_away() {
    let mut fixture = Fixture::new().await;
    for (name, script) in [("stays", "sleep 1000"), ("goes", "sleep 0.5; exit 5")] {
        fixture.runtime.create(&fixture.request(name, &["sh", "-c", script])).await.expect("created");
        fixture.runtime.start(name).await.expect("started");
    }
    fixture.kill_containerd().await;
    fixture.gone_process("sleep 0.5").await;
    fixture.start_containerd().await;
    fixture.gap().await;
    // The shim may learn of the exit a little after the process is gone.
    let goes = fixture.settled("goes", |status| !matches!(status, FoundStatus::Running { .. })).await;
    assert!(matches!(goes, FoundStatus::Stopped { exit_code: 5, .. }), "{goes:?}");
    let stays = fixture.settled("stays", |_| true).await;
    assert!(matches!(stays, FoundStatus::Running { .. }), "{stays:?}");
    fixture.runtime.kill("stays", 9, false).await.expect("killed");
    assert_eq!(fixture.exit("stays").await.exit_code, 137);
    for name in ["stays", "goes"] {
        fixture.runtime.delete(name).await.expect("deleted");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shim_takes_its_container_and_is_told() {
    let mut fixture = Fixture::new().await;
    fixture.runtime.create(&fixture.request("orphan", &["sleep", "1000"])).await.expect("created");
    fixture.runtime.start("orphan").await.expect("started");
    fixture.kill_shims();
    assert_eq!(fixture.exit("orphan").await.exit_code, 137);
    let found = fixture.runtime.list().await.expect("listed");
    assert_eq!(found[0].status, FoundStatus::Lost);
    fixture.runtime.delete("orphan").await.expect("deleted");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_overlay_mounts_containers_run_on_copies() {
    // Overlay mounts on an overlay mount are refused by the kernel: the case of a machine that is a container itself.
    let outer = tempfile::Builder::new().prefix("gantry-rt-outer-").tempdir().expect("a directory");
    let parts = ["lower", "upper", "work", "merged"].map(|part| outer.path().join(part));
    for part in &parts {
        std::fs::create_dir(part).expect("a directory");
    }
    let show = |path: &PathBuf| path.display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", show(&parts[0]), show(&parts[1]), show(&parts[2]));
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("overlay"), &parts[3], Some("overlay"), flags, Some(options.as_str())).expect("mounted");
    let directory = parts[3].join("gantry-rt-native");
    std::fs::create_dir(&directory).expect("a directory");
    let mut fixture = Fixture::in_directory(directory, |_| {}).await;
    let (exit, output) = fixture.run(fixture.request("copy", &["sh", "-c", "echo hello > /file; cat /file"])).await;
    assert_eq!((exit.exit_code, output.as_str()), (0, "hello\n"));
    let used = fixture.directory.join("containerd/root/io.containerd.snapshotter.v1.native/snapshots");
    assert!(used.exists(), "the native snapshotter was meant to be used");
    fixture.end().await;
    nix::mount::umount(&parts[3]).expect("unmounted");
}
