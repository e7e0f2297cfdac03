//! What a node is told of a task.

use std::net::Ipv4Addr;

use model::network::Vpc;
use model::task::{Container, ContainerOverride, ContainerStatus, TaskOverride};
use model::task_definition::{LogConfiguration, TaskDefinitionStatus};
use model::{
    ContainerDefinition, CpuUnits, DesiredStatus, HealthStatus, LaunchType, MemoryMib, NetworkInterface, NetworkMode,
    NodeId, Port, Protocol, Resources, Scope, Task, TaskDefinition, TaskId, TaskStatus, Timestamp,
};
use plan::node::{TaskRows, free, spec};

fn scope() -> Scope {
    Scope::new("000000000000", "us-east-1")
}

fn container(name: &str) -> ContainerDefinition {
    ContainerDefinition {
        name: name.to_owned(),
        image: "busybox".to_owned(),
        command: vec!["sleep".to_owned()],
        environment: vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())],
        cpu: CpuUnits(64),
        memory: Some(MemoryMib(128)),
        log_configuration: Some(LogConfiguration { driver: "awslogs".to_owned(), options: Vec::new() }),
        essential: true,
        ..ContainerDefinition::default()
    }
}

fn definition() -> TaskDefinition {
    TaskDefinition {
        scope: scope(),
        family: "web".to_owned(),
        revision: 3,
        status: TaskDefinitionStatus::Active,
        containers: vec![container("app"), container("side")],
        volumes: Vec::new(),
        cpu: None,
        memory: None,
        network_mode: NetworkMode::Awsvpc,
        network_mode_given: true,
        requires_compatibilities: Vec::new(),
        compatibilities: Vec::new(),
        execution_role_arn: None,
        placement_constraints: Vec::new(),
        runtime_platform: None,
        ephemeral_storage: None,
        requires_attributes: Vec::new(),
        tags: Vec::new(),
        registered_at: Timestamp(0),
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
    }
}

fn row(name: &str) -> Container {
    Container {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        image: "busybox".to_owned(),
        essential: true,
        has_health_check: false,
        image_digest: None,
        is_pinned: false,
        runtime_id: None,
        last_status: ContainerStatus::Pending,
        exit_code: None,
        reason: None,
        health: HealthStatus::Unknown,
        network_bindings: Vec::new(),
        cpu: CpuUnits(64),
        memory: None,
        memory_reservation: None,
        gpu_ids: Vec::new(),
    }
}

fn task(id: u128) -> Task {
    Task {
        id: TaskId(id),
        scope: scope(),
        cluster: "default".to_owned(),
        family: "web".to_owned(),
        revision: 3,
        launch_type: LaunchType::Fargate,
        capacity_provider: None,
        node: Some(NodeId(1)),
        container_instance: None,
        group: "family:web".to_owned(),
        started_by: None,
        overrides: TaskOverride::default(),
        cpu: Some(CpuUnits(256)),
        memory: Some(MemoryMib(512)),
        last_status: TaskStatus::Provisioning,
        desired_status: DesiredStatus::Running,
        health: HealthStatus::Unknown,
        containers: vec![row("app"), row("side")],
        attachment: None,
        reservation: Resources::default(),
        availability_zone: None,
        platform_version: None,
        ephemeral_storage: None,
        tags: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        connected: false,
        connectivity_at: None,
        created_at: Timestamp(5),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        execution_stopped_at: None,
        stopping_at: None,
        stopped_at: None,
        version: 1,
        report_sequence: 0,
        counted: false,
        targets: Vec::new(),
        registrations: Vec::new(),
        connect: None,
        protected_until: None,
    }
}

/// The first container's definition under an override of that container, and the second one's.
fn resolve(overrides: TaskOverride) -> [ContainerDefinition; 2] {
    let task = Task { overrides, ..task(1) };
    let spec = spec(TaskRows { task: &task, definition: &definition(), interface: None });
    let [app, side] = <[_; 2]>::try_from(spec.containers).unwrap();
    [app, side].map(|container| ContainerDefinition::clone(&container.definition))
}

fn of_app(change: ContainerOverride) -> TaskOverride {
    let change = ContainerOverride { name: "app".to_owned(), ..change };
    TaskOverride { containers: vec![change], ..TaskOverride::default() }
}

#[test]
fn overrides_change_their_container_and_no_other() {
    let check = |change: ContainerOverride, expected: ContainerDefinition| {
        assert_eq!(resolve(of_app(change)), [expected, container("side")]);
    };
    let text = str::to_owned;
    check(ContainerOverride::default(), container("app"));
    check(
        ContainerOverride { command: Some(vec![text("ls"), text("/")]), ..Default::default() },
        ContainerDefinition { command: vec![text("ls"), text("/")], ..container("app") },
    );
    check(
        ContainerOverride { command: Some(Vec::new()), ..Default::default() },
        ContainerDefinition { command: Vec::new(), ..container("app") },
    );
    check(
        ContainerOverride { environment: vec![(text("B"), text("9")), (text("C"), text("3"))], ..Default::default() },
        ContainerDefinition {
            environment: vec![(text("A"), text("1")), (text("B"), text("9")), (text("C"), text("3"))],
            ..container("app")
        },
    );
    check(
        ContainerOverride {
            cpu: Some(CpuUnits(1)),
            memory: Some(MemoryMib(2)),
            memory_reservation: Some(MemoryMib(3)),
            ..Default::default()
        },
        ContainerDefinition {
            cpu: CpuUnits(1),
            memory: Some(MemoryMib(2)),
            memory_reservation: Some(MemoryMib(3)),
            ..container("app")
        },
    );
}

#[test]
fn the_accounts_log_mode_stands_in_for_a_missing_one() {
    let overrides = TaskOverride { log_driver_mode: Some("non-blocking".to_owned()), ..TaskOverride::default() };
    let [app, _] = resolve(overrides.clone());
    assert_eq!(app.log_configuration.unwrap().option("mode"), Some("non-blocking"));

    let mut definition = definition();
    let log = definition.containers[0].log_configuration.as_mut().unwrap();
    log.options.push(("mode".to_owned(), "blocking".to_owned()));
    let task = Task { overrides, ..task(1) };
    let given = spec(TaskRows { task: &task, definition: &definition, interface: None });
    let log = given.containers[0].definition.log_configuration.as_ref().unwrap();
    assert_eq!(log.options, [("mode".to_owned(), "blocking".to_owned())]);
}

#[test]
fn a_pinned_container_runs_exactly_its_digest() {
    let check = |image: &str, is_pinned: bool, expected: &str| {
        let mut task = task(1);
        let row =
            Container { image: image.to_owned(), image_digest: Some("sha256:1".to_owned()), is_pinned, ..row("app") };
        task.containers = vec![row];
        let mut definition = definition();
        definition.containers[0].image = image.to_owned();
        let spec = spec(TaskRows { task: &task, definition: &definition, interface: None });
        assert_eq!(spec.containers[0].definition.image, expected);
    };
    check("web", true, "web@sha256:1");
    check("registry:5000/web:2", true, "registry:5000/web:2@sha256:1");
    check("web:2", false, "web:2");
}

#[test]
fn a_node_learns_names_and_addresses_in_full() {
    let vpc = Vpc::default_of(&scope());
    let interface = NetworkInterface {
        scope: scope(),
        id: "eni-1".to_owned(),
        attachment_id: "a-1".to_owned(),
        task: Some(TaskId(1)),
        load_balancer: None,
        nat_gateway: None,
        subnet_id: vpc.subnets[1].id.clone(),
        vpc_id: vpc.id.clone(),
        zone: vpc.subnets[1].zone.clone(),
        address: Ipv4Addr::new(172, 31, 16, 9),
        mac: "02:47:ac:1f:10:09".to_owned(),
        security_groups: Vec::new(),
        created_at: Timestamp(0),
    };
    let rows = TaskRows { task: &task(1), definition: &definition(), interface: Some((&interface, &vpc)) };
    let spec = spec(rows);
    let id = "00000000000000000000000000000001";
    assert_eq!(spec.arn, format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"));
    let container_arn = format!("arn:aws:ecs:us-east-1:000000000000:container/default/{id}/id-of-app");
    assert_eq!(spec.containers[0].arn, container_arn);
    assert_eq!(spec.cluster_arn, "arn:aws:ecs:us-east-1:000000000000:cluster/default");
    let interface = spec.interface.as_ref().unwrap();
    assert_eq!((interface.gateway, interface.subnet_prefix_length), (Ipv4Addr::new(172, 31, 16, 1), 20));
    assert_eq!(interface.private_dns_name, "ip-172-31-16-9.ec2.internal");
}

#[test]
fn what_is_free_is_what_no_task_holds() {
    let port = |number| Port { number, protocol: Protocol::Tcp };
    let total = Resources {
        cpu: CpuUnits(1024),
        memory: MemoryMib(1000),
        ports: [port(22)].into(),
        gpus: ["g0".to_owned(), "g1".to_owned()].into(),
        gpu_count: 0,
    };
    let held = [
        Resources { cpu: CpuUnits(256), memory: MemoryMib(100), ports: [port(80)].into(), ..Resources::default() },
        Resources { cpu: CpuUnits(256), gpus: ["g1".to_owned()].into(), gpu_count: 1, ..Resources::default() },
    ];
    let expected = Resources {
        cpu: CpuUnits(512),
        memory: MemoryMib(900),
        ports: [port(22), port(80)].into(),
        gpus: ["g0".to_owned()].into(),
        gpu_count: 0,
    };
    assert_eq!(free(&total, &held), expected);
}
