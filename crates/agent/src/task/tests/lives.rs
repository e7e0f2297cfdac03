//! From the first step to RUNNING, health, and ends that nobody asked for.

use model::link::ReportedStatus;
use model::task::ContainerStatus;
use model::task_definition::PortMapping;
use model::{HealthStatus, NetworkMode, Protocol, Timestamp};

use super::{BOOT, Built as _, Rig, container, spec};
use crate::driver::FoundStatus;

#[test]
fn image_network_and_group_are_had_at_once_then_the_container() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[
        ("begin", "group, attach, image a"),
        ("attach", ""),
        ("image a", ""),
        ("group", "create a"),
        ("create a", "start a"),
        ("start a", ""),
    ]);
    let report = rig.report();
    assert_eq!(report.status, ReportedStatus::Running);
    assert_eq!(report.containers[0].status, ContainerStatus::Running);
    assert_eq!(report.containers[0].runtime_id.as_deref(), Some("00000000000000000000000000000001-0"));
    assert_eq!(report.containers[0].image_digest.as_deref(), Some("sha256:00"));
    assert_eq!(report.started_at, Some(rig.now));
    assert!(report.interface_attached && report.pull_started_at.is_none() && report.failure.is_none());
    assert_eq!(report.containers[0].network_bindings, []);
}

#[test]
fn the_first_report_says_pending_and_sequences_rise() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("until ready", ""), ("exit a 0", "*"), ("let go", "")]);
    assert_eq!(rig.reports[0].status, ReportedStatus::Pending);
    assert!(rig.reports.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert!(rig.reports.windows(2).all(|pair| pair[0].status <= pair[1].status));
}

#[test]
fn pull_times_are_those_of_what_was_fetched() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b"), container("c")]));
    rig.check(&[("begin", "*"), ("image a", "")]);
    let began = rig.now;
    rig.check(&[("+5 s", ""), ("pull b", "")]);
    assert_eq!(rig.report().pull_stopped_at, None, "c is still being fetched");
    rig.check(&[("+5 s", ""), ("pull c", "")]);
    let report = rig.report();
    assert!(report.pull_started_at.unwrap() <= began && report.pull_stopped_at == Some(rig.now));
}

#[test]
fn ports_are_reported_as_the_network_mode_has_them() {
    let mapping =
        PortMapping { container_port: 80, host_port: 0, protocol: Protocol::Tcp, name: None, app_protocol: None };
    for (network_mode, host_port) in [(NetworkMode::Bridge, 32768), (NetworkMode::Host, 80)] {
        let definition = container("a").with(|c| c.port_mappings.push(mapping.clone()));
        let mut rig = Rig::new(model::link::TaskSpec { network_mode, interface: None, ..spec(vec![definition]) });
        rig.check(&[("until ready", "")]);
        let bindings = &rig.report().containers[0].network_bindings;
        assert_eq!(bindings.iter().map(|b| b.host_port).collect::<Vec<_>>(), [host_port], "{network_mode:?}");
    }
}

#[test]
fn bridge_has_a_namespace_per_container_and_host_none() {
    let bridge = spec(vec![container("a"), container("b")]);
    let mut rig = Rig::new(model::link::TaskSpec { network_mode: NetworkMode::Bridge, interface: None, ..bridge });
    rig.check(&[
        ("begin", "group, attach a, image a, attach b, image b"),
        ("image a", ""),
        ("group", ""),
        ("attach b", ""),
        ("attach a", "create a"),
    ]);
    let host = model::link::TaskSpec { network_mode: NetworkMode::Host, interface: None, ..spec(vec![container("a")]) };
    let mut rig = Rig::new(host);
    rig.check(&[
        ("begin", "group, image a"),
        ("until ready", ""),
        ("exit a 0", "delete a"),
        ("delete a", "ungroup, unfile"),
    ]);
}

#[test]
fn failures_name_their_cause_and_nothing_is_left() {
    for told in ["group fails", "attach fails", "image a fails", "refused"] {
        let mut rig = Rig::new(spec(vec![container("a")]));
        rig.check(&[("begin", "*"), (told, "*"), ("let go", "")]);
        let report = rig.report();
        assert_eq!(report.failure.as_deref(), Some("SomeError: no luck"), "{told}");
        assert_eq!(report.containers[0].reason.as_deref(), Some("SomeError: no luck"), "{told}");
        assert_eq!(report.status, ReportedStatus::Stopped, "{told}");
        assert_eq!((report.containers[0].exit_code, &report.containers[0].runtime_id), (None, &None), "{told}");
    }
}

#[test]
fn what_failed_half_way_is_deleted() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[
        ("begin", "*"),
        ("attach", ""),
        ("image a", ""),
        ("group", "create a"),
        ("create a fails", "delete a"),
        ("delete a", "detach, ungroup, unfile"),
        ("detach", ""),
        ("ungroup", ""),
    ]);
    assert_ne!(rig.report().status, ReportedStatus::Stopped);
    rig.check(&[("unfile", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Stopped);
    assert_eq!(rig.report().failure.as_deref(), Some("SomeError: no luck"));
}

#[test]
fn a_failed_optional_container_leaves_the_others() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b").optional()]));
    rig.check(&[("begin", "*"), ("image b fails", ""), ("attach", ""), ("group", ""), ("image a", "create a")]);
    rig.check(&[("create a", "start a"), ("start a", "")]);
    assert_eq!(rig.report().containers[1].reason.as_deref(), Some("SomeError: no luck"));
    assert_eq!((rig.report().failure.as_ref(), rig.report().containers[0].status), (None, ContainerStatus::Running));
}

#[test]
fn an_essential_exit_stops_the_task() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b").optional()]));
    rig.check(&[("until ready", ""), ("exit b 0", "delete b"), ("delete b", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Running);
    let exited_at = rig.now;
    rig.check(&[("exit a 3", "delete a"), ("delete a", "detach, ungroup, unfile"), ("let go", "")]);
    let report = rig.report();
    assert_eq!(report.containers.iter().map(|c| c.exit_code).collect::<Vec<_>>(), [Some(3), Some(0)]);
    assert_eq!((report.execution_stopped_at, &report.failure), (Some(exited_at), &None));
}

#[test]
fn an_exit_that_overtakes_its_start_is_taken_as_both() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("group", "create a"), ("create a", "start a")]);
    rig.check(&[("exit a 0", ""), ("start a", "delete a"), ("let go", "")]);
    assert_eq!(rig.report().containers[0].exit_code, Some(0));
    assert!(rig.report().started_at.is_some() && rig.report().failure.is_none());
}

#[test]
fn an_out_of_memory_kill_is_called_so() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("until ready", ""), ("oom a", "delete a")]);
    assert_eq!(
        rig.report().containers[0].reason.as_deref(),
        Some("OutOfMemoryError: Container killed due to memory usage")
    );
    assert_eq!(rig.report().containers[0].exit_code, Some(137));
}

#[test]
fn health_is_checked_one_interval_after_start_and_after_each_check() {
    let mut rig = Rig::new(spec(vec![container("a").checked()]));
    let health = |rig: &Rig| rig.report().containers[0].health;
    rig.check(&[("until ready", ""), ("+9 s", ""), ("+1 s", "check a"), ("+60 s", ""), ("check a 0", "")]);
    assert_eq!(health(&rig), HealthStatus::Healthy);
    rig.check(&[("+9 s", ""), ("+1 s", "check a"), ("check a hangs", "")]);
    assert_eq!(health(&rig), HealthStatus::Healthy);
    rig.check(&[("+10 s", "check a"), ("check a fails", "")]);
    assert_eq!(health(&rig), HealthStatus::Unhealthy);
    assert_eq!(rig.report().status, ReportedStatus::Running, "only a service replaces what is unhealthy");
    rig.check(&[("+10 s", "check a"), ("exit a 1", "delete a"), ("check a 0", "")]);
    assert_eq!(health(&rig), HealthStatus::Unhealthy, "what has stopped is not judged any more");
}

#[test]
fn the_deadline_is_the_next_thing_due() {
    let mut rig = Rig::new(spec(vec![container("a").checked().stop_timeout(7)]));
    rig.check(&[("until ready", "")]);
    assert_eq!(rig.task.deadline().map(|at| at.since(rig.now).as_secs()), Some(10));
    rig.check(&[("desired STOPPED", "stop a"), ("stop a", "")]);
    assert_eq!(rig.task.deadline().map(|at| at.since(rig.now).as_millis()), Some(6999));
}

#[test]
fn logs_are_followed_and_their_end_is_waited_for_within_a_grace() {
    let mut rig = Rig::new(spec(vec![container("a").logged()]));
    rig.check(&[("until ready", ""), ("exit a 0", "delete a"), ("delete a", "finish a, detach, ungroup, unfile")]);
    rig.check(&[("detach", ""), ("ungroup", ""), ("unfile", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Running);
    rig.check(&[("+5 s", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Stopped);
    assert!(!rig.task.is_done(), "its lines are still here");
    rig.check(&[("finish a", "")]);
    assert!(rig.task.is_done());
}

#[test]
fn running_containers_are_adopted_as_they_are() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b").optional()]));
    rig.check(&[("until ready", "")]);
    let at = Timestamp(rig.now.0 + 5000);
    let found =
        [Some(FoundStatus::Running { pid: 42 }), Some(FoundStatus::Stopped { exit_code: 9, at, out_of_memory: false })];
    let (mut rig, asked) = Rig::adopt(&rig.task, &found, BOOT, Timestamp(rig.now.0 + 9000));
    assert_eq!(asked, "attach, delete b");
    assert_eq!(rig.report().containers[1].exit_code, Some(9));
    rig.check(&[("attach fails", ""), ("delete b", ""), ("exit a 0", "delete a"), ("let go", "")]);
    assert_eq!(rig.report().failure, None);
}

#[test]
fn what_was_made_but_not_started_is_made_again_and_started_once() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("group", "create a"), ("create a", "start a")]);
    let (mut adopted, asked) = Rig::adopt(&rig.task, &[Some(FoundStatus::Created)], BOOT, rig.now);
    assert_eq!(asked, "group, attach");
    adopted.check(&[("group", ""), ("attach", "create a"), ("create a", "start a"), ("start a", "")]);
    // The runtime may still be at the first one.
    let id = adopted.report().containers[0].runtime_id.clone();
    assert_eq!(id.as_deref(), Some("00000000000000000000000000000001-0-1"));
    // The start was carried out, only its answer was lost.
    let (rig, asked) = Rig::adopt(&rig.task, &[Some(FoundStatus::Running { pid: 1 })], BOOT, rig.now);
    assert_eq!(asked, "attach");
    assert_eq!(rig.report().status, ReportedStatus::Running);
    assert_eq!(rig.report().containers[0].runtime_id.as_deref(), Some("00000000000000000000000000000001-0"));
}

#[test]
fn what_was_not_begun_is_no_second_attempt() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", "")]);
    let (mut adopted, _) = Rig::adopt(&rig.task, &[None], BOOT, rig.now);
    adopted.check(&[("group", ""), ("attach", "create a"), ("create a", "start a"), ("start a", "")]);
    assert_eq!(adopted.report().containers[0].runtime_id.as_deref(), Some("00000000000000000000000000000001-0"));
}

#[test]
fn the_end_of_a_container_that_was_never_to_start_is_none_of_the_tasks() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("group", "create a")]);
    // The agent died while it was made, and the runtime gave it up.
    let stopped = FoundStatus::Stopped { exit_code: 137, at: rig.now, out_of_memory: false };
    let (mut adopted, asked) = Rig::adopt(&rig.task, &[Some(stopped)], BOOT, rig.now);
    assert_eq!(asked, "group, attach");
    adopted.check(&[("exit a 137", ""), ("group", ""), ("attach", "create a"), ("create a", "start a")]);
    adopted.check(&[("start a", "")]);
    assert_eq!(adopted.report().status, ReportedStatus::Running);
    assert_eq!(adopted.report().containers[0].exit_code, None);
}

#[test]
fn a_container_that_may_have_run_and_is_gone_has_vanished() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("until ready", "")]);
    let created = [Some(FoundStatus::Created)];
    for (found, boot) in [(&[None], BOOT), (&[None], "boot-2"), (&created, "boot-2")] {
        let (mut adopted, asked) = Rig::adopt(&rig.task, found, boot, rig.now);
        assert_eq!(asked, "delete a", "{boot}");
        adopted.check(&[("let go", "")]);
        let report = adopted.report();
        let reason = "ContainerVanishedError: No container matching saved ID found";
        assert_eq!(report.containers[0].reason.as_deref(), Some(reason));
        assert_eq!((report.containers[0].exit_code, &report.failure), (None, &None));
    }
}

#[test]
fn a_boot_before_anything_ran_changes_nothing() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "group, attach, image a"), ("image a", "")]);
    let (_, asked) = Rig::adopt(&rig.task, &[None], "boot-2", rig.now);
    assert_eq!(asked, "group, attach");
}

#[test]
fn a_released_task_asks_for_nothing_after_a_restart() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("until ready", ""), ("exit a 0", "*"), ("let go", "")]);
    let (adopted, asked) = Rig::adopt(&rig.task, &[None], "boot-2", rig.now);
    assert_eq!((asked.as_str(), adopted.reports.len()), ("", 0));
    assert!(adopted.task.is_done());
    assert_eq!(adopted.task.report(), rig.task.report());
}
