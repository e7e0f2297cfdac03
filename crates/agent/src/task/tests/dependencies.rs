//! `dependsOn` and `volumesFrom` (ecs-semantics §2.4, §8).

use model::link::ReportedStatus;
use model::task_definition::Condition::{Complete, Healthy, Start, Success};

use super::{Built as _, Rig, container, spec};

const UNRESOLVED: &str = "TaskDependencyError: Task dependencies cannot be resolved, taskArn: arn:task/1";

/// A task whose a is up to its start and whose b waits for it.
fn begin(a: model::ContainerDefinition, b: model::ContainerDefinition) -> Rig {
    let mut rig = Rig::new(spec(vec![a, b]));
    rig.check(&[
        ("begin", "group, attach, image a, image b"),
        ("attach", ""),
        ("image b", ""),
        ("image a", ""),
        ("group", "create a"),
        ("create a", "start a"),
    ]);
    rig
}

#[test]
fn start_holds_once_it_runs() {
    let mut rig = begin(container("a"), container("b").after("a", Start));
    rig.check(&[("start a", "create b"), ("create b", "start b")]);
}

#[test]
fn start_holds_for_what_has_run_and_ended() {
    let mut rig = begin(container("a").optional(), container("b").after("a", Start));
    rig.check(&[("exit a 1", "create b")]);
}

#[test]
fn complete_holds_with_any_exit_code() {
    let mut rig = begin(container("a").optional(), container("b").after("a", Complete));
    rig.check(&[("start a", ""), ("exit a 3", "create b, delete a")]);
}

#[test]
fn success_holds_with_exit_code_0() {
    let mut rig = begin(container("a").optional(), container("b").after("a", Success));
    rig.check(&[("start a", ""), ("exit a 0", "create b, delete a"), ("create b", "start b"), ("start b", "")]);
    assert_eq!(rig.report().status, ReportedStatus::Running);
}

#[test]
fn healthy_holds_once_healthy() {
    let mut rig = begin(container("a").checked(), container("b").after("a", Healthy));
    rig.check(&[
        ("start a", ""),
        ("+10 s", "check a"),
        ("check a 1", ""),
        ("+10 s", "check a"),
        ("check a 0", "create b"),
    ]);
}

/// Worked example of §8: B needs SUCCESS of A, A exits 3: B never starts, the task stops.
#[test]
fn success_fails_for_good_with_another_exit_code() {
    let mut rig = begin(container("a").optional(), container("b").after("a", Success));
    rig.check(&[("start a", ""), ("exit a 3", "delete a"), ("delete a", "detach, ungroup, unfile"), ("let go", "")]);
    let report = rig.report();
    assert_eq!(report.failure.as_deref(), Some(UNRESOLVED));
    assert_eq!(report.containers[1].reason.as_deref(), Some(UNRESOLVED));
    assert_eq!((report.containers[0].exit_code, report.containers[1].exit_code), (Some(3), None));
}

#[test]
fn what_never_ran_meets_no_condition() {
    for condition in [Start, Complete, Success, Healthy] {
        let mut rig = Rig::new(spec(vec![container("a").optional().checked(), container("b").after("a", condition)]));
        rig.check(&[("begin", "*"), ("image a fails", "abandon b, unfile"), ("let go", "")]);
        assert_eq!(rig.report().failure.as_deref(), Some(UNRESOLVED), "{condition:?}");
    }
}

#[test]
fn the_start_timeout_counts_from_the_start_of_what_is_depended_on() {
    for condition in [Complete, Success, Healthy] {
        let a = container("a").optional().checked().start_timeout(5);
        let mut rig = begin(a, container("b").after("a", condition));
        rig.check(&[("+60 s", ""), ("start a", "")]);
        assert_eq!(rig.task.deadline().map(|at| at.since(rig.now).as_secs()), Some(5), "{condition:?}");
        rig.check(&[("+4 s", ""), ("+1 s", "stop a"), ("stop a", ""), ("exit a 143", "delete a"), ("let go", "")]);
        assert_eq!(rig.task.state().failure.as_deref(), Some(UNRESOLVED), "{condition:?}");
        assert_eq!(rig.report().containers[1].reason.as_deref(), Some(UNRESOLVED), "{condition:?}");
    }
}

#[test]
fn the_start_timeout_does_not_count_for_start() {
    let mut rig = begin(container("a").start_timeout(5), container("b").after("a", Start));
    rig.check(&[("+60 s", ""), ("start a", "create b")]);
}

#[test]
fn volumes_from_holds_once_made() {
    let mut rig = Rig::new(spec(vec![container("a"), container("b").volumes_from("a")]));
    rig.check(&[("begin", "*"), ("attach", ""), ("image b", ""), ("image a", ""), ("group", "create a")]);
    rig.check(&[("create a", "start a, create b")]);
}

#[test]
fn chains_start_in_order() {
    let c = container("c").after("b", Start).after("a", Start);
    let mut rig = Rig::new(spec(vec![c, container("b").after("a", Start), container("a")]));
    rig.check(&[
        ("begin", "*"),
        ("attach", ""),
        ("group", ""),
        ("image c", ""),
        ("image b", ""),
        ("image a", "create a"),
    ]);
    rig.check(&[("create a", "start a"), ("start a", "create b"), ("create b", "start b"), ("start b", "create c")]);
}

#[test]
fn rings_and_unknown_names_are_refused_at_once() {
    let ring = spec(vec![container("a").after("b", Start), container("b").after("a", Start)]);
    let unknown = spec(vec![container("a").after("x", Start)]);
    for spec in [ring, unknown] {
        let mut rig = Rig::new(spec);
        rig.check(&[("begin", "detach, ungroup, unfile"), ("let go", "")]);
        assert_eq!(rig.report().failure.as_deref(), Some(UNRESOLVED));
    }
}
