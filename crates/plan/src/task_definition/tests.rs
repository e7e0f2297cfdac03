use model::task_definition::*;
use model::{Attribute, CpuUnits, LaunchType, MemoryMib, NetworkMode, Protocol, Scope, Timestamp, capability};

use super::*;

mod fargate;
mod linux;
mod properties;

type Edit = fn(&mut TaskDefinition);

/// One essential container `web` with 128 MiB, bridge.
fn definition() -> TaskDefinition {
    TaskDefinition {
        scope: Scope::new("000000000000", "us-east-1"),
        family: "web".to_owned(),
        revision: 1,
        status: TaskDefinitionStatus::Active,
        containers: vec![container("web")],
        volumes: vec![],
        cpu: None,
        memory: None,
        network_mode: NetworkMode::Bridge,
        network_mode_given: false,
        requires_compatibilities: vec![],
        compatibilities: vec![],
        execution_role_arn: None,
        placement_constraints: vec![],
        runtime_platform: None,
        ephemeral_storage: None,
        requires_attributes: vec![],
        tags: vec![],
        registered_at: Timestamp(0),
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
    }
}

/// The smallest one that FARGATE takes.
fn fargate() -> TaskDefinition {
    TaskDefinition {
        network_mode: NetworkMode::Awsvpc,
        cpu: Some(CpuUnits(256)),
        memory: Some(MemoryMib(512)),
        requires_compatibilities: vec![LaunchType::Fargate],
        ..definition()
    }
}

fn container(name: &str) -> ContainerDefinition {
    ContainerDefinition {
        name: name.to_owned(),
        image: "busybox".to_owned(),
        memory: Some(MemoryMib(128)),
        essential: true,
        ..ContainerDefinition::default()
    }
}

fn helper(name: &str) -> ContainerDefinition {
    ContainerDefinition { essential: false, ..container(name) }
}

fn mapping(container_port: u16, host_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping { container_port, host_port, protocol, name: None, app_protocol: None }
}

fn named_mapping(port: u16, name: &str) -> PortMapping {
    PortMapping { name: Some(name.to_owned()), ..mapping(port, 0, Protocol::Tcp) }
}

fn depend(on: &str, condition: Condition) -> Dependency {
    Dependency { container: on.to_owned(), condition }
}

fn health(command: &[&str]) -> HealthCheck {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    HealthCheck { command, interval: 30, timeout: 5, retries: 3, start_period: None }
}

fn ulimit(name: &str, soft_limit: i64, hard_limit: i64) -> Ulimit {
    Ulimit { name: name.to_owned(), soft_limit, hard_limit }
}

fn volume(name: &str, host_path: Option<&str>) -> Volume {
    Volume { name: name.to_owned(), host_path: host_path.map(str::to_owned), host_given: host_path.is_some() }
}

fn mount(volume: &str, path: &str) -> MountPoint {
    MountPoint { source_volume: volume.to_owned(), container_path: path.to_owned(), read_only: None }
}

fn from(container: &str) -> VolumeFrom {
    VolumeFrom { source_container: container.to_owned(), read_only: None }
}

fn awslogs(more: &[(&str, &str)]) -> Option<LogConfiguration> {
    let base = [("awslogs-group", "/ecs/web"), ("awslogs-region", "us-east-1")];
    let options = base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Some(LogConfiguration { driver: "awslogs".to_owned(), options })
}

fn linux(edit: fn(&mut LinuxParameters)) -> Option<LinuxParameters> {
    let mut parameters = LinuxParameters::default();
    edit(&mut parameters);
    Some(parameters)
}

/// Each edit of `base` is refused with a text that has these words, or with none is not refused.
#[track_caller]
fn check_edits(base: fn() -> TaskDefinition, cases: &[(Edit, &str)]) {
    for (index, (edit, expected)) in cases.iter().enumerate() {
        let mut definition = base();
        edit(&mut definition);
        match (check(&definition), expected.is_empty()) {
            (Ok(()), true) => {}
            (Err(refusal), false) if refusal.0.contains(expected) => {}
            (verdict, _) => panic!("case {index}: expected {expected:?}, got {verdict:?}"),
        }
    }
}

#[test]
fn the_plain_definitions_pass() {
    check_edits(definition, &[(|_| {}, "")]);
    check_edits(fargate, &[(|_| {}, "")]);
}

#[test]
fn cpu_is_read_in_units_and_virtual_cpus() {
    let cases = [
        ("1 vCPU", Some(1024)),
        (".5 vcpu", Some(512)),
        (".25 vcpu", Some(256)),
        ("0.25vCPU", Some(256)),
        ("1. vCPU", Some(1024)),
        ("1024", Some(1024)),
        ("128", Some(128)),
        ("196608", Some(196_608)),
        ("192 vcpu", Some(196_608)),
        ("127", None),
        ("196609", None),
        (".3 vcpu", None),
        ("", None),
        ("vcpu", None),
        (". vcpu", None),
        ("-1 vcpu", None),
        ("+1024", None),
        ("1e3", None),
        ("1.5", None),
        ("1 cpu", None),
        ("99999999999999999999 vcpu", None),
        ("0.00000000000000000001 vcpu", None),
        ("1.\u{663}5 vcpu", None),
    ];
    for (text, units) in cases {
        assert_eq!(parse_cpu(text).ok(), units.map(CpuUnits), "{text:?}");
    }
    let refusal = parse_cpu("lots").unwrap_err();
    assert_eq!(
        refusal.0,
        "Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS \
         Developer Guide."
    );
}

#[test]
fn memory_is_read_in_mib_and_gigabytes() {
    let cases = [
        ("0.5GB", Some(512)),
        ("2 GB", Some(2048)),
        ("1gb", Some(1024)),
        ("512", Some(512)),
        ("0", None),
        ("GB", None),
        ("1 TB", None),
        ("4294967296", None),
        ("4194304 GB", None),
    ];
    for (text, mib) in cases {
        assert_eq!(parse_memory(text).ok(), mib.map(MemoryMib), "{text:?}");
    }
}

#[test]
fn names_and_counts() {
    check_edits(
        definition,
        &[
            (|d| d.family.clear(), "Family should not be null or empty."),
            (|d| d.family = "a b".into(), "Family contains invalid characters."),
            (|d| d.family = "a".repeat(255), ""),
            (|d| d.family = "a".repeat(256), "Family length"),
            (|d| d.containers.clear(), "Container list cannot be empty."),
            (|d| d.containers[0].essential = false, "must be essential"),
            (|d| d.containers.push(container("web")), "Container names must be unique"),
            (|d| d.containers.extend((0..9).map(|i| helper(&format!("c{i}")))), ""),
            (|d| d.containers.extend((0..10).map(|i| helper(&format!("c{i}")))), "more than 10"),
            (|d| d.containers[0].name.clear(), "Container.name should not be null or empty."),
            (|d| d.containers[0].name = "a.b".into(), "Container.name contains invalid characters."),
            (|d| d.containers[0].name = "a".repeat(256), "Container.name length"),
            (|d| d.placement_constraints = vec!["attribute:a exists".into(); 10], ""),
            (|d| d.placement_constraints = vec!["attribute:a exists".into(); 11], "more than 10 placement constraints"),
            (|d| d.placement_constraints = vec!["attribute:".into()], "Invalid placement constraint expression"),
        ],
    );
}

#[test]
fn images() {
    let digest = format!("@sha256:{}", "0a".repeat(32));
    let long = "a".repeat(255);
    let cases = [
        ("", "Container.image should not be null or empty."),
        ("nginx:1.27", ""),
        ("registry.local:5000/a/b_c-d:latest", ""),
        ("nginx latest", "Container.image contains invalid characters."),
        ("nginx$", "Container.image contains invalid characters."),
        ("nginx@sha256:1234", "Container.image contains invalid characters."),
        (&format!("nginx{digest}"), ""),
        (&format!("nginx:1{digest}"), ""),
        (&format!("{long}{digest}"), ""),
        (&digest, "Container.image repository length must be between 1 and 255 characters"),
        (&long, ""),
        (&format!("{long}a"), "Container.image repository length must be between 1 and 255 characters"),
    ];
    for (image, expected) in cases {
        let mut definition = definition();
        definition.containers[0].image = image.to_owned();
        let text = check(&definition).err().map(|refusal| refusal.0).unwrap_or_default();
        assert_eq!(text, expected, "{image:?}");
    }
}

#[test]
fn container_sizes() {
    check_edits(
        definition,
        &[
            (
                |d| d.containers[0].memory = None,
                "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified.",
            ),
            (
                |d| {
                    d.containers[0].memory = None;
                    d.containers[0].memory_reservation = Some(MemoryMib(64));
                },
                "",
            ),
            (
                |d| {
                    d.containers[0].memory = None;
                    d.memory = Some(MemoryMib(64));
                },
                "",
            ),
            (|d| d.containers[0].memory_reservation = Some(MemoryMib(127)), ""),
            (|d| d.containers[0].memory_reservation = Some(MemoryMib(128)), "'memory' must be greater than"),
            (|d| d.containers[0].memory = Some(MemoryMib(3)), "'memory' must be at least 4"),
            (|d| d.memory = Some(MemoryMib(128)), ""),
            (|d| d.memory = Some(MemoryMib(127)), "The 'memory' setting for container is greater than for the task."),
            (
                |d| {
                    d.containers.push(container("two"));
                    d.memory = Some(MemoryMib(255));
                },
                "total 'memory'",
            ),
            (
                |d| {
                    d.containers[0].cpu = CpuUnits(129);
                    d.cpu = Some(CpuUnits(128));
                },
                "total 'cpu'",
            ),
        ],
    );
}

#[test]
fn ports() {
    check_edits(
        definition,
        &[
            (
                |d| d.containers[0].port_mappings = vec![mapping(80, 0, Protocol::Tcp), mapping(81, 0, Protocol::Tcp)],
                "",
            ),
            (|d| d.containers[0].port_mappings = vec![mapping(0, 0, Protocol::Tcp)], "between 1 and 65535"),
            (
                |d| d.containers[0].port_mappings = vec![mapping(53, 0, Protocol::Tcp), mapping(53, 0, Protocol::Udp)],
                "more than one protocol",
            ),
            (
                |d| {
                    d.containers[0].port_mappings =
                        vec![mapping(80, 8080, Protocol::Tcp), mapping(81, 8080, Protocol::Tcp)]
                },
                "The port 8080 (tcp) is mapped more than once",
            ),
            (
                |d| {
                    d.containers[0].port_mappings =
                        vec![mapping(80, 8080, Protocol::Tcp), mapping(81, 8080, Protocol::Udp)]
                },
                "",
            ),
            (
                |d| {
                    d.network_mode = NetworkMode::None;
                    d.containers[0].port_mappings = vec![mapping(80, 0, Protocol::Tcp)];
                },
                "networkMode=none",
            ),
            (
                |d| {
                    d.network_mode = NetworkMode::Awsvpc;
                    d.containers[0].port_mappings = vec![mapping(80, 80, Protocol::Tcp)];
                    d.containers.push(helper("two"));
                    d.containers[1].port_mappings = vec![mapping(80, 80, Protocol::Tcp)];
                },
                "mapped more than once",
            ),
            (|d| d.containers[0].port_mappings = vec![named_mapping(80, "http-1_a")], ""),
            (|d| d.containers[0].port_mappings = vec![named_mapping(80, "-http")], "Invalid port mapping name '-http'"),
            (|d| d.containers[0].port_mappings = vec![named_mapping(80, "Http")], "Invalid port mapping name"),
            (
                |d| d.containers[0].port_mappings = vec![named_mapping(80, "a"), named_mapping(81, "a")],
                "Port mapping names must be unique",
            ),
            (|d| d.containers[0].port_mappings = vec![mapping(80, 0, Protocol::Tcp); 101], "more than 100"),
        ],
    );
}

#[test]
fn host_ports_follow_the_network_mode() {
    use NetworkMode::{Awsvpc, Bridge, Host};
    let cases = [
        (Bridge, None, Some(0)),
        (Bridge, Some(0), Some(0)),
        (Bridge, Some(8080), Some(8080)),
        (Awsvpc, None, Some(80)),
        (Awsvpc, Some(80), Some(80)),
        (Awsvpc, Some(0), None),
        (Awsvpc, Some(8080), None),
        (Host, None, Some(80)),
        (Host, Some(8080), None),
    ];
    for (mode, given, expected) in cases {
        assert_eq!(host_port(mode, 80, given).ok(), expected, "{mode:?} {given:?}");
    }
    assert_eq!(
        host_port(Awsvpc, 80, Some(8080)).unwrap_err().0,
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
    );
}

#[test]
fn dependencies() {
    check_edits(
        || TaskDefinition { containers: vec![container("web"), helper("init"), helper("side")], ..definition() },
        &[
            (|d| d.containers[0].depends_on = vec![depend("init", Condition::Start)], ""),
            (|d| d.containers[0].depends_on = vec![depend("init", Condition::Success)], ""),
            (|d| d.containers[1].depends_on = vec![depend("web", Condition::Start)], ""),
            (|d| d.containers[1].depends_on = vec![depend("web", Condition::Complete)], "an essential container"),
            (|d| d.containers[1].depends_on = vec![depend("web", Condition::Success)], "an essential container"),
            (|d| d.containers[1].depends_on = vec![depend("web", Condition::Healthy)], "it has no health check"),
            (
                |d| {
                    d.containers[0].health_check = Some(health(&["CMD-SHELL", "true"]));
                    d.containers[1].depends_on = vec![depend("web", Condition::Healthy)];
                },
                "",
            ),
            (|d| d.containers[0].depends_on = vec![depend("web", Condition::Start)], "cannot depend on itself"),
            (|d| d.containers[0].depends_on = vec![depend("gone", Condition::Start)], "not in the task definition"),
            (
                |d| {
                    d.containers[0].depends_on =
                        vec![depend("init", Condition::Start), depend("init", Condition::Complete)];
                },
                "more than once",
            ),
            (
                |d| {
                    d.containers[0].depends_on = vec![depend("init", Condition::Start)];
                    d.containers[1].depends_on = vec![depend("side", Condition::Start)];
                    d.containers[2].depends_on = vec![depend("web", Condition::Start)];
                },
                "form a cycle: web, init, side.",
            ),
            (
                |d| {
                    d.containers[0].depends_on =
                        vec![depend("init", Condition::Start), depend("side", Condition::Start)];
                    d.containers[1].depends_on = vec![depend("side", Condition::Start)];
                },
                "",
            ),
            (|d| d.containers[0].volumes_from = vec![from("init")], ""),
            (|d| d.containers[0].volumes_from = vec![from("web")], "from itself"),
            (|d| d.containers[0].volumes_from = vec![from("gone")], "not in the task definition"),
            (
                |d| {
                    d.containers[0].volumes_from = vec![from("init")];
                    d.containers[1].depends_on = vec![depend("web", Condition::Start)];
                },
                "form a cycle: web, init.",
            ),
        ],
    );
}

#[test]
fn health_checks() {
    check_edits(
        definition,
        &[
            (|d| d.containers[0].health_check = Some(health(&["CMD-SHELL", "true"])), ""),
            (|d| d.containers[0].health_check = Some(health(&["true"])), ""),
            (|d| d.containers[0].health_check = Some(health(&[])), "It has no command."),
            (|d| d.containers[0].health_check = Some(health(&["CMD"])), "It has no command."),
            (|d| d.containers[0].health_check = Some(health(&["NONE"])), "'NONE' is not supported"),
            (
                |d| d.containers[0].health_check = Some(HealthCheck { interval: 4, ..health(&["CMD", "true"]) }),
                "'interval' must be between 5 and 300",
            ),
            (
                |d| d.containers[0].health_check = Some(HealthCheck { interval: 301, ..health(&["CMD", "true"]) }),
                "'interval' must be between 5 and 300",
            ),
            (
                |d| d.containers[0].health_check = Some(HealthCheck { timeout: 1, ..health(&["CMD", "true"]) }),
                "'timeout' must be between 2 and 60",
            ),
            (
                |d| d.containers[0].health_check = Some(HealthCheck { retries: 11, ..health(&["CMD", "true"]) }),
                "'retries' must be between 1 and 10",
            ),
            (
                |d| {
                    d.containers[0].health_check =
                        Some(HealthCheck { start_period: Some(301), ..health(&["CMD", "true"]) })
                },
                "'startPeriod' must be between 0 and 300",
            ),
        ],
    );
}

#[test]
fn volumes() {
    check_edits(
        || TaskDefinition { volumes: vec![volume("data", None), volume("etc", Some("/srv/etc"))], ..definition() },
        &[
            (|d| d.containers[0].mount_points = vec![mount("data", "/data"), mount("etc", "/etc/app")], ""),
            (|d| d.containers[0].mount_points = vec![mount("gone", "/data")], "Unknown volume 'gone'."),
            (|d| d.containers[0].mount_points = vec![mount("data", "data")], "must be an absolute path"),
            (
                |d| d.containers[0].mount_points = vec![mount("data", "/a"), mount("etc", "/a")],
                "mounted more than once",
            ),
            (|d| d.volumes.push(volume("data", None)), "Volume names must be unique"),
            (|d| d.volumes.push(volume("", None)), "Volume.name should not be null or empty."),
            (|d| d.volumes.push(volume("a/b", None)), "Volume.name contains invalid characters."),
            (|d| d.volumes.push(volume("other", Some("srv"))), "'sourcePath'"),
            (|d| d.volumes.push(volume("other", Some("/srv/../etc"))), "'sourcePath'"),
        ],
    );
}

#[test]
fn log_options() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], ""),
        (&[("awslogs-stream-prefix", "web"), ("awslogs-create-group", "true")], ""),
        (&[("awslogs-create-group", "yes")], "Invalid value 'yes' for log option 'awslogs-create-group'"),
        (&[("mode", "non-blocking"), ("max-buffer-size", "25m")], ""),
        (&[("max-buffer-size", "25m")], ""),
        (&[("max-buffer-size", "lots")], "'max-buffer-size'"),
        (&[("max-buffer-size", "0")], "'max-buffer-size'"),
        (&[("mode", "blocking"), ("max-buffer-size", "25m")], "only supported with mode 'non-blocking'"),
        (&[("mode", "sometimes")], "Invalid value 'sometimes' for log option 'mode'"),
        (&[("awslogs-multiline-pattern", "^\\d{4}-")], ""),
        (&[("awslogs-multiline-pattern", "(")], "a regular expression"),
        (&[("awslogs-multiline-pattern", "(a{1000}){1000}")], "a regular expression"),
        (&[("awslogs-multiline-pattern", "^a"), ("awslogs-datetime-format", "%Y")], "exclude each other"),
        (&[("tag", "x"), ("labels", "y")], "Log driver awslogs disallows options: tag, labels"),
    ];
    for (options, expected) in cases {
        let mut definition = definition();
        definition.containers[0].log_configuration = awslogs(options);
        let text = check(&definition).err().map(|refusal| refusal.0).unwrap_or_default();
        assert!(if expected.is_empty() { text.is_empty() } else { text.contains(expected) }, "{options:?}: {text}");
    }
    check_edits(
        definition,
        &[(
            |d| {
                d.containers[0].log_configuration = Some(LogConfiguration { driver: "awslogs".into(), options: vec![] })
            },
            "Log driver awslogs requires options: awslogs-group, awslogs-region",
        )],
    );
}

#[test]
fn attributes_follow_from_the_fields() {
    let cases: [(Edit, &[&str]); 8] = [
        (|_| {}, &[]),
        (|d| d.network_mode = NetworkMode::Awsvpc, &[capability::REMOTE_API_1_18, capability::TASK_ENI]),
        (|d| d.cpu = Some(CpuUnits(256)), &[capability::TASK_CPU_MEM_LIMIT]),
        (
            |d| d.containers[0].log_configuration = awslogs(&[]),
            &[capability::REMOTE_API_1_19, capability::LOGGING_DRIVER_AWSLOGS],
        ),
        (
            |d| {
                d.execution_role_arn = Some("role".into());
                d.containers[0].image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web:1".into();
            },
            &[capability::ECR_AUTH, capability::EXECUTION_ROLE_ECR_PULL],
        ),
        (
            |d| d.containers[0].health_check = Some(health(&["CMD", "true"])),
            &[capability::REMOTE_API_1_24, capability::CONTAINER_HEALTH_CHECK],
        ),
        (|d| d.containers[0].stop_timeout = Some(5), &[capability::CONTAINER_ORDERING]),
        (
            |d| {
                d.containers[0].privileged = Some(true);
                d.containers[0].linux_parameters = linux(|l| l.init_process_enabled = Some(true));
            },
            &[capability::REMOTE_API_1_25, capability::PRIVILEGED_CONTAINER],
        ),
    ];
    for (edit, expected) in cases {
        let mut definition = definition();
        edit(&mut definition);
        let attributes = requires_attributes(&definition);
        let names: Vec<&str> = attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        assert_eq!(names, expected);
        assert!(names.iter().all(|name| capability::ALL.contains(name)), "{names:?}");
    }
    let mut arm = definition();
    arm.runtime_platform =
        Some(RuntimePlatform { cpu_architecture: Some("ARM64".into()), operating_system_family: None });
    let expected = Attribute { name: capability::CPU_ARCHITECTURE.into(), value: Some("arm64".into()) };
    assert_eq!(requires_attributes(&arm), [expected]);
}

/// Ecs-semantics §1.8, §8.
#[test]
fn a_task_takes_its_own_size_or_what_its_containers_reserve() {
    let of = |cpu, memory, memory_reservation| ContainerDefinition {
        cpu: CpuUnits(cpu),
        memory: Some(MemoryMib(memory)),
        memory_reservation,
        ..container("web")
    };
    let containers = vec![of(10, 300, Some(MemoryMib(128))), of(20, 64, None)];
    let check = |definition: TaskDefinition, cpu, memory| {
        let reserved = definition.reservation();
        assert_eq!((reserved.cpu, reserved.memory), (CpuUnits(cpu), MemoryMib(memory)));
    };
    check(TaskDefinition { containers: containers.clone(), ..definition() }, 30, 192);
    check(TaskDefinition { containers, ..fargate() }, 256, 512);
}
