//! Stopping: order, signals, time limits, letting go (ecs-semantics §1.4, §8).

use model::link::ReportedStatus;
use model::task_definition::Condition::{Start, Success};

use super::{Built as _, Rig, container, spec};

#[test]
fn stop_signal_then_exit() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[
        ("until ready", ""),
        ("desired STOPPED", "stop a"),
        ("desired STOPPED", ""),
        ("stop a", ""),
        ("exit a 143", "delete a"),
        ("delete a", "detach, ungroup, unfile"),
        ("let go", ""),
    ]);
    assert_eq!(rig.report().containers[0].exit_code, Some(143));
    assert_eq!(rig.report().failure, None);
}

#[test]
fn sigkill_after_the_stop_timeout() {
    for (definition, seconds) in
        [(container("a"), 30), (container("a").stop_timeout(2), 2), (container("a").stop_timeout(0), 30)]
    {
        let mut rig = Rig::new(spec(vec![definition]));
        let (before, after) = (format!("+{} s", seconds - 1), "+1 s");
        rig.check(&[("until ready", ""), ("desired STOPPED", "stop a"), ("stop a", "")]);
        rig.check(&[(&before, ""), (after, "kill a"), ("kill a", ""), ("exit a 137", "delete a"), ("let go", "")]);
        assert_eq!(rig.report().containers[0].exit_code, Some(137));
    }
}

#[test]
fn the_stop_timeout_goes_on_over_a_restart() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("until ready", ""), ("desired STOPPED", "stop a"), ("stop a", ""), ("+20 s", "")]);
    let found = [Some(crate::driver::FoundStatus::Running { pid: 1 })];
    let (mut rig, asked) = Rig::adopt(&rig.task, &found, super::BOOT, rig.now);
    assert_eq!(asked, "stop a", "it may not have been sent");
    rig.check(&[("stop a", ""), ("+9 s", ""), ("+1 s", "kill a")]);
}

/// Worked example of §8: B depends on A: B has stopped fully before A gets its signal.
#[test]
fn the_reverse_of_the_start_order() {
    let mut rig =
        Rig::new(spec(vec![container("a"), container("b").after("a", Start), container("c").after("b", Start)]));
    rig.check(&[("until ready", ""), ("desired STOPPED", "stop c"), ("stop c", ""), ("exit c 0", "stop b, delete c")]);
    rig.check(&[
        ("stop b", ""),
        ("delete c", ""),
        ("exit b 0", "stop a, delete b"),
        ("stop a", ""),
        ("exit a 0", "delete a"),
    ]);
}

#[test]
fn each_stop_timeout_counts_from_its_own_signal() {
    let mut rig =
        Rig::new(spec(vec![container("a").stop_timeout(5), container("b").after("a", Start).stop_timeout(5)]));
    rig.check(&[("until ready", ""), ("desired STOPPED", "stop b"), ("stop b", ""), ("+5 s", "kill b")]);
    rig.check(&[("kill b", ""), ("exit b 137", "stop a, delete b"), ("stop a", ""), ("+4 s", ""), ("+1 s", "kill a")]);
}

#[test]
fn containers_without_order_stop_at_once() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b")]));
    rig.check(&[("until ready", ""), ("exit a 1", "stop b, delete a")]);
}

#[test]
fn a_stop_before_anything_was_made() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "group, attach, image a"), ("desired STOPPED", "abandon a, unfile")]);
    rig.check(&[("group", "ungroup"), ("attach", "detach"), ("ungroup", ""), ("unfile", ""), ("detach", "")]);
    let report = rig.report();
    assert_eq!((report.status, &report.failure), (ReportedStatus::Stopped, &None));
    assert_eq!((report.containers[0].exit_code, &report.containers[0].reason), (None, &None));
    rig.check(&[("image a", "")]);
}

#[test]
fn a_stop_while_the_container_is_made() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("group", "create a")]);
    rig.check(&[("desired STOPPED", ""), ("create a", "delete a"), ("let go", "")]);
    assert_eq!(rig.report().containers[0].exit_code, None);
}

#[test]
fn a_stop_while_the_container_is_started() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("group", "create a"), ("create a", "start a")]);
    rig.check(&[("desired STOPPED", ""), ("start a", "stop a"), ("stop a", ""), ("exit a 143", "delete a")]);
}

#[test]
fn dependents_that_have_not_started_never_do() {
    let mut rig = Rig::new(spec(vec![container("a").optional(), container("b").after("a", Success)]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image a", ""), ("image b", ""), ("group", "create a")]);
    rig.check(&[("create a", "start a"), ("start a", ""), ("desired STOPPED", "stop a"), ("exit a 0", "")]);
    rig.check(&[("stop a", "delete a"), ("delete a", "detach, ungroup, unfile")]);
    assert_eq!(rig.report().failure, None);
}

#[test]
fn letting_go_is_tried_again_with_growing_pauses() {
    let mut rig = Rig::new(spec(vec![container("a")]));
    rig.check(&[("until ready", ""), ("exit a 0", "delete a"), ("delete a fails", ""), ("+1 s", "delete a")]);
    rig.check(&[("delete a fails", ""), ("+1 s", ""), ("+1 s", "delete a"), ("delete a fails", ""), ("+3 s", "")]);
    rig.check(&[("+1 s", "delete a"), ("delete a", "detach, ungroup, unfile"), ("detach fails", ""), ("ungroup", "")]);
    rig.check(&[("unfile", ""), ("+1 s", "detach")]);
    assert_ne!(rig.report().status, ReportedStatus::Stopped);
    rig.check(&[("detach", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Stopped);
}

#[test]
fn what_became_of_a_killed_container_is_asked_when_no_exit_comes() {
    let mut rig = Rig::new(spec(vec![container("a").stop_timeout(2)]));
    rig.check(&[
        ("until ready", ""),
        ("desired STOPPED", "stop a"),
        ("stop a", ""),
        ("+2 s", "kill a"),
        ("kill a", ""),
    ]);
    rig.check(&[("+9 s", ""), ("+1 s", "look a"), ("look a running", "kill a"), ("kill a", ""), ("+10 s", "look a")]);
    rig.check(&[("look a 137", "delete a")]);
    assert_eq!(rig.report().containers[0].exit_code, Some(137));
}

#[test]
fn a_container_that_cannot_be_killed_is_deleted_with_force() {
    let mut rig = Rig::new(spec(vec![container("a").stop_timeout(2)]));
    rig.check(&[("until ready", ""), ("desired STOPPED", "stop a"), ("stop a fails", ""), ("+2 s", "kill a")]);
    for _ in 0..4 {
        rig.check(&[("kill a fails", ""), ("+30 s", "kill a")]);
    }
    rig.check(&[("kill a fails", "delete a"), ("let go", "")]);
    assert_eq!(rig.report().containers[0].reason.as_deref(), Some("CannotStopContainerError: no luck"));
}
