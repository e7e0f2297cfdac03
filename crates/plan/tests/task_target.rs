//! A task's places in target groups: tables of what is done when.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::edge::{TargetHealth, TargetState};
use model::link::{ReportedStatus, TaskReport};
use model::resources::{CpuUnits, Resources};
use model::task::{Attachment, AttachmentStatus, Container, ContainerStatus, NetworkBinding, advance as report};
use model::task_registration::{ConnectPlace, TaskRegistration, TaskRegistrationStatus};
use model::task_target::{Place, TaskTarget, TaskTargetStatus as Status};
use model::{
    DesiredStatus, HealthStatus, LaunchType, Protocol, Scope, ServiceRegistry, StopCode, Task, TaskId, TaskStatus,
    Timestamp,
};
use plan::task_registration::{RegistrySight, RegistryStep};
use plan::task_target::{Move, Sight, Step, TargetSight, advance, is_open, wake_at};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 9);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NOW: Timestamp = Timestamp(7_000);

fn task(groups: usize, last_status: TaskStatus) -> Task {
    Task {
        id: TaskId(1),
        scope: Scope::new("000000000000", "us-east-1"),
        cluster: "default".to_owned(),
        family: "web".to_owned(),
        revision: 1,
        launch_type: LaunchType::Fargate,
        capacity_provider: None,
        node: None,
        container_instance: None,
        group: "service:web".to_owned(),
        started_by: Some("ecs-svc/1".to_owned()),
        overrides: Default::default(),
        cpu: None,
        memory: None,
        last_status,
        desired_status: DesiredStatus::Running,
        health: HealthStatus::Unknown,
        containers: vec![container()],
        attachment: Some(Attachment {
            id: String::new(),
            status: AttachmentStatus::Attached,
            interface_id: String::new(),
            subnet_id: String::new(),
            address: ADDRESS,
            mac: String::new(),
            private_dns_name: String::new(),
        }),
        reservation: Resources::default(),
        availability_zone: None,
        platform_version: None,
        ephemeral_storage: None,
        tags: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        connected: true,
        connectivity_at: None,
        created_at: Timestamp(0),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        execution_stopped_at: None,
        stopping_at: None,
        stopped_at: None,
        version: 1,
        report_sequence: 0,
        counted: false,
        targets: (0..groups).map(|number| TaskTarget::waiting(&format!("group-{number}"), "app", 80)).collect(),
        registrations: Vec::new(),
        connect: None,
        protected_until: None,
    }
}

fn container() -> Container {
    Container {
        id: String::new(),
        name: "app".to_owned(),
        image: String::new(),
        essential: true,
        has_health_check: false,
        image_digest: None,
        is_pinned: false,
        runtime_id: None,
        last_status: ContainerStatus::Running,
        exit_code: None,
        reason: None,
        health: HealthStatus::Unknown,
        network_bindings: Vec::new(),
        cpu: CpuUnits(0),
        memory: None,
        memory_reservation: None,
        gpu_ids: Vec::new(),
    }
}

fn absent() -> Sight {
    Sight { has_group: true, ..Sight::default() }
}

fn there(target: TargetSight) -> Sight {
    Sight { target: Some(target), ..absent() }
}

fn told(state: TargetState, description: &str) -> Sight {
    let health = TargetHealth {
        target_group: "group-0".to_owned(),
        address: (ADDRESS, 80).into(),
        state,
        reason: None,
        description: description.to_owned(),
        drained: false,
    };
    Sight { health: Some(health), ..there(TargetSight::Registered) }
}

/// A task that was registered, and found to be so.
fn known(status: Status) -> Task {
    let mut task = task(1, TaskStatus::Running);
    task.targets[0].place = Some(Place { address: ADDRESS, port: 80 });
    task.targets[0].status = status;
    task
}

fn stopped(mut task: Task) -> Task {
    task.stop(StopCode::UserInitiated, "why", Timestamp(5_000));
    task
}

/// What becomes of the task's status and of its place, and what is to be written.
#[track_caller]
fn check(task: &Task, sight: &Sight, expected: Option<(TaskStatus, Status, &[Step])>) -> Option<Task> {
    let moved = advance(task, std::slice::from_ref(sight), &[], None, NOW);
    let shown = moved.as_ref().map(|Move { task, steps }| (task.last_status, task.targets[0].status, &**steps));
    assert_eq!(shown, expected);
    let Move { task, steps } = moved?;
    if steps.is_empty() {
        assert_eq!(advance(&task, std::slice::from_ref(sight), &[], None, NOW), None, "what is done is done once");
    }
    Some(task)
}

#[test]
fn a_task_is_registered_once_its_containers_run() {
    let place = Place { address: ADDRESS, port: 80 };
    let registered: &[Step] = &[Step::Register(0, place)];
    for status in [TaskStatus::Provisioning, TaskStatus::Pending] {
        check(&task(1, status), &absent(), None);
    }
    let row = check(&task(1, TaskStatus::Running), &absent(), Some((TaskStatus::Running, Status::Initial, registered)));
    assert_eq!(row.unwrap().targets[0].place, Some(place));
    check(&task(1, TaskStatus::Running), &Sight::default(), None);
    check(&stopped(task(1, TaskStatus::Running)), &absent(), None);
    check(&task(1, TaskStatus::Stopped), &absent(), None);
}

#[test]
fn health_is_what_was_said_last() {
    let fails = "Health checks failed with these codes: [503]";
    let check_health = |before: Status, sight: Sight, expected: Option<(Status, &str)>| {
        let after = advance(&known(before), std::slice::from_ref(&sight), &[], None, NOW)
            .map(|moved| moved.task.targets[0].clone());
        let shown = after.as_ref().map(|target| (target.status, target.reason.as_str()));
        assert_eq!(shown, expected, "{before:?} {sight:?}");
    };
    check_health(Status::Initial, there(TargetSight::Registered), None);
    check_health(Status::Initial, told(TargetState::Initial, ""), None);
    check_health(Status::Initial, told(TargetState::Healthy, ""), Some((Status::Healthy, "")));
    check_health(Status::Initial, told(TargetState::Unhealthy, fails), Some((Status::Unhealthy, fails)));
    check_health(Status::Healthy, told(TargetState::Unhealthy, fails), Some((Status::Unhealthy, fails)));
    check_health(Status::Unhealthy, told(TargetState::Healthy, ""), Some((Status::Healthy, "")));
    // The data path has begun anew, and has not looked yet.
    check_health(Status::Healthy, there(TargetSight::Registered), None);
    check_health(Status::Healthy, told(TargetState::Initial, ""), None);
    check_health(Status::Unhealthy, told(TargetState::Initial, ""), None);
    // Nobody looks any more.
    check_health(Status::Healthy, told(TargetState::Unused, ""), Some((Status::Initial, "")));
    // Somebody else took it out.
    check_health(Status::Healthy, absent(), Some((Status::Missing, "TARGET IS NOT FOUND.")));
    check_health(Status::Healthy, there(TargetSight::Draining), Some((Status::Missing, "TARGET IS NOT FOUND.")));
    check_health(Status::Healthy, Sight::default(), Some((Status::Missing, "TARGET GROUP IS NOT FOUND.")));
    check_health(Status::Missing, told(TargetState::Healthy, ""), Some((Status::Healthy, "")));
}

#[test]
fn a_task_that_is_to_stop_runs_until_nobody_sends_it_anything() {
    let deregistered: &[Step] = &[Step::Deregister(0, Place { address: ADDRESS, port: 80 })];
    for status in [Status::Initial, Status::Healthy, Status::Unhealthy] {
        let task = stopped(known(status));
        assert_eq!((task.last_status, task.desired_on_node()), (TaskStatus::Deactivating, DesiredStatus::Running));
        let expected = Some((TaskStatus::Deactivating, Status::Draining, deregistered));
        let task = check(&task, &there(TargetSight::Registered), expected).unwrap();
        check(&task, &there(TargetSight::Draining), None);
        let task = check(&task, &absent(), Some((TaskStatus::Stopping, Status::Gone, &[]))).unwrap();
        assert_eq!((task.desired_on_node(), task.stopping_at), (DesiredStatus::Stopped, Some(Timestamp(5_000))));
        assert!(!is_open(&task));
    }
    check(&stopped(known(Status::Missing)), &absent(), Some((TaskStatus::Stopping, Status::Gone, &[])));
    assert_eq!(stopped(task(1, TaskStatus::Running)).last_status, TaskStatus::Stopping, "it was in no group");
}

#[test]
fn a_task_that_died_is_taken_out() {
    let deregistered: &[Step] = &[Step::Deregister(0, Place { address: ADDRESS, port: 80 })];
    let over = |mut task: Task| {
        task.last_status = TaskStatus::Stopped;
        task.desired_status = DesiredStatus::Stopped;
        task
    };
    let task = over(known(Status::Healthy));
    let task =
        check(&task, &there(TargetSight::Registered), Some((TaskStatus::Stopped, Status::Draining, deregistered)));
    check(&task.unwrap(), &absent(), Some((TaskStatus::Stopped, Status::Gone, &[])));
}

/// Its node says that its containers run.
fn running(task: &mut Task, sequence: u64) {
    let started = TaskReport {
        task: task.id,
        sequence,
        status: ReportedStatus::Running,
        containers: Vec::new(),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: Some(Timestamp(3_000)),
        execution_stopped_at: None,
        interface_attached: true,
        failure: None,
    };
    report(task, &started, Timestamp(4_000));
}

#[test]
fn in_several_groups_it_is_running_once_it_is_in_all() {
    let mut one = task(1, TaskStatus::Pending);
    running(&mut one, 1);
    assert_eq!((one.last_status, one.started_at), (TaskStatus::Running, Some(Timestamp(3_000))));
    let mut two = task(2, TaskStatus::Pending);
    running(&mut two, 1);
    assert_eq!((two.last_status, two.started_at), (TaskStatus::Activating, None));

    let half = advance(&two, &[absent(), Sight::default()], &[], None, NOW).unwrap();
    assert_eq!((half.task.last_status, half.steps.len()), (TaskStatus::Activating, 1));
    let all = advance(&half.task, &[there(TargetSight::Registered), absent()], &[], None, NOW).unwrap();
    assert_eq!((all.task.last_status, all.task.started_at, all.steps.len()), (TaskStatus::Running, Some(NOW), 1));
    let mut task = all.task;
    running(&mut task, 2);
    assert_eq!((task.last_status, task.started_at), (TaskStatus::Running, Some(NOW)));
}

#[test]
fn published_ports_are_those_of_the_node() {
    let mut task = Task { attachment: None, ..task(1, TaskStatus::Running) };
    assert_eq!(advance(&task, &[absent()], &[], Some(HOST), NOW), None, "not published yet");
    task.containers[0].network_bindings = vec![NetworkBinding {
        bind_ip: "0.0.0.0".to_owned(),
        container_port: 80,
        host_port: 32_768,
        protocol: Protocol::Tcp,
    }];
    let steps = advance(&task, &[absent()], &[], Some(HOST), NOW).unwrap().steps;
    assert_eq!(steps, [Step::Register(0, Place { address: HOST, port: 32_768 })]);
    assert_eq!(advance(&task, &[absent()], &[], None, NOW), None);
}

fn in_cloud_map(status: TaskRegistrationStatus, last_status: TaskStatus) -> Task {
    let registry =
        ServiceRegistry { registry: "registry".to_owned(), container: None, container_port: None, port: None };
    Task { registrations: vec![TaskRegistration { registry, status, connect: None }], ..task(0, last_status) }
}

/// What becomes of the task's status and of its registration, and what is to be written.
#[track_caller]
fn check_registry(
    task: &Task,
    sight: RegistrySight,
    expected: Option<(TaskStatus, TaskRegistrationStatus, Option<RegistryStep>)>,
) {
    let moved = advance(task, &[], &[sight], None, NOW);
    let shown = moved.as_ref().map(|Move { task, steps }| {
        let step = steps.first().map(|step| match step {
            Step::Registry(0, step) => *step,
            other => panic!("{other:?}"),
        });
        (task.last_status, task.registrations[0].status, step)
    });
    assert_eq!(shown, expected, "{:?} {sight:?}", task.registrations);
    if let Some(Move { task, .. }) = moved {
        let after = RegistrySight { instance: Some(true).filter(|_| task.registrations[0].is_in()), ..sight };
        assert!(advance(&task, &[], &[after], None, NOW).is_none_or(|next| next.task == task), "once is enough");
    }
}

#[test]
fn a_task_is_in_cloud_map_while_it_is_meant_to_run() {
    use TaskRegistrationStatus::{Gone, Registered, Waiting};
    use TaskStatus::{Activating, Deactivating, Pending, Running, Stopped, Stopping};
    let absent = RegistrySight { has_service: true, ..RegistrySight::default() };
    let there = RegistrySight { instance: Some(true), ..absent };
    let register = Some(RegistryStep::Register { is_healthy: true });
    check_registry(&in_cloud_map(Waiting, Pending), absent, None);
    check_registry(&in_cloud_map(Waiting, Activating), absent, Some((Running, Registered, register)));
    // Nobody's service: the task runs all the same.
    check_registry(&in_cloud_map(Waiting, Activating), RegistrySight::default(), Some((Running, Registered, None)));
    check_registry(&in_cloud_map(Registered, Running), there, None);
    // Somebody else took it out.
    check_registry(&in_cloud_map(Registered, Running), absent, None);
    // Where its port is published is not known yet.
    let mut published = Task { attachment: None, ..in_cloud_map(Waiting, Activating) };
    published.registrations[0].registry.container = Some("app".to_owned());
    published.registrations[0].registry.container_port = Some(80);
    check_registry(&published, absent, None);
    let leaving = stopped(in_cloud_map(Registered, Running));
    assert_eq!(leaving.last_status, Deactivating);
    check_registry(&leaving, there, Some((Stopping, Gone, Some(RegistryStep::Deregister))));
    check_registry(&leaving, absent, Some((Stopping, Gone, None)));
    check_registry(&in_cloud_map(Registered, Stopped), there, Some((Stopped, Gone, Some(RegistryStep::Deregister))));
    assert!(is_open(&in_cloud_map(Registered, Stopped)) && !is_open(&in_cloud_map(Waiting, Stopped)));
    assert!(!is_open(&in_cloud_map(Gone, Stopped)));
}

#[test]
fn a_task_with_health_checks_is_told_healthy_once_it_is() {
    use TaskRegistrationStatus::{Registered, Waiting};
    use TaskStatus::{Activating, Running};
    let sight = |instance| RegistrySight { has_service: true, has_health: true, instance, is_drained: false };
    let with_check = |status, last_status, health| {
        let mut task = Task { health, ..in_cloud_map(status, last_status) };
        task.containers[0].has_health_check = true;
        task
    };
    let unknown = with_check(Waiting, Activating, HealthStatus::Unknown);
    let register = Some(RegistryStep::Register { is_healthy: false });
    check_registry(&unknown, sight(None), Some((Running, Registered, register)));
    let mark = |is_healthy| Some((Running, Registered, Some(RegistryStep::Mark { is_healthy })));
    check_registry(&with_check(Registered, Running, HealthStatus::Healthy), sight(Some(false)), mark(true));
    check_registry(&with_check(Registered, Running, HealthStatus::Unhealthy), sight(Some(true)), mark(false));
    check_registry(&with_check(Registered, Running, HealthStatus::Healthy), sight(Some(true)), None);
}

fn called(status: TaskRegistrationStatus, last_status: TaskStatus, since: Option<Timestamp>) -> Task {
    let mut task = in_cloud_map(status, last_status);
    task.registrations[0].connect = Some(ConnectPlace { hold_seconds: 60, drain_seconds: 15, since });
    task
}

fn seconds_ago(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp(NOW.as_millis() - i64::try_from(seconds).unwrap() * 1000))
}

#[test]
fn a_task_is_called_once_it_is_healthy_or_has_been_waited_for() {
    use TaskRegistrationStatus::{Registered, Waiting};
    use TaskStatus::{Activating, Running};
    let sight = RegistrySight { has_service: true, ..RegistrySight::default() };
    let in_now = Some((Running, Registered, Some(RegistryStep::Register { is_healthy: true })));
    let check = |health, since, expected| {
        let mut task = Task { health, ..called(Waiting, Activating, since) };
        task.containers[0].has_health_check = true;
        check_registry(&task, sight, expected);
        wake_at(&task)
    };
    check_registry(&called(Waiting, Activating, None), sight, in_now);
    check(HealthStatus::Healthy, None, in_now);
    assert_eq!(check(HealthStatus::Unknown, None, Some((Activating, Waiting, None))), None);
    assert_eq!(check(HealthStatus::Unknown, seconds_ago(59), None), Some(NOW.plus(Duration::from_secs(1))));
    check(HealthStatus::Unknown, seconds_ago(60), in_now);
    assert_eq!(check(HealthStatus::Unhealthy, seconds_ago(60), None), Some(NOW.plus(Duration::from_secs(420))));
    check(HealthStatus::Unhealthy, seconds_ago(480), in_now);
}

#[test]
fn a_task_that_is_called_runs_on_until_nothing_is_under_way_to_it() {
    use TaskRegistrationStatus::{Draining, Gone, Registered};
    use TaskStatus::{Deactivating, Running, Stopped, Stopping};
    let there = RegistrySight { has_service: true, instance: Some(true), ..RegistrySight::default() };
    let gone = RegistrySight { instance: None, ..there };
    let leaving = stopped(called(Registered, Running, None));
    check_registry(&leaving, there, Some((Deactivating, Draining, Some(RegistryStep::Deregister))));
    let draining = |since| stopped(called(Draining, Running, seconds_ago(since)));
    check_registry(&draining(14), gone, None);
    check_registry(&draining(1), RegistrySight { is_drained: true, ..gone }, Some((Stopping, Gone, None)));
    check_registry(&draining(15), gone, Some((Stopping, Gone, None)));
    assert_eq!(wake_at(&draining(14)), Some(NOW.plus(Duration::from_secs(1))));
    // It is over anyway.
    check_registry(&called(Registered, Stopped, None), there, Some((Stopped, Gone, Some(RegistryStep::Deregister))));
    check_registry(&called(Draining, Stopped, seconds_ago(1)), gone, Some((Stopped, Gone, None)));
}

#[test]
fn a_task_that_waits_for_cloud_map_is_activating() {
    let mut task = in_cloud_map(TaskRegistrationStatus::Waiting, TaskStatus::Pending);
    running(&mut task, 1);
    assert_eq!((task.last_status, task.started_at), (TaskStatus::Activating, None));
}
