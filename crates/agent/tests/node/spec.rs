//! Tasks to run.

use model::link::{ContainerSpec, InterfaceSpec, TaskSpec};
use model::task_definition::{Condition, Dependency, HealthCheck, LogConfiguration};
use model::{ContainerDefinition, LaunchType, NetworkMode, Scope, TaskId, Timestamp};

/// An awsvpc task with the address 172.31.0.10 plus its id.
pub fn spec(id: u128, containers: Vec<ContainerDefinition>) -> TaskSpec {
    let address = [172, 31, 0, 10 + u8::try_from(id).expect("small")].into();
    let container = |(n, definition): (usize, ContainerDefinition)| ContainerSpec {
        id: model::id::uuid(id << 8 | n as u128),
        arn: format!("arn:container/{n}"),
        definition: definition.into(),
        gpu_ids: Vec::new(),
    };
    TaskSpec {
        id: TaskId(id),
        arn: format!("arn:task/{id}"),
        scope: Scope::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        cluster_arn: "arn:cluster".into(),
        family: "web".into(),
        revision: 1,
        launch_type: LaunchType::Ec2,
        group: "family:web".into(),
        started_by: None,
        availability_zone: None,
        created_at: Timestamp(0),
        tags: Vec::new(),
        cpu: None,
        memory: None,
        network_mode: NetworkMode::Awsvpc,
        interface: Some(InterfaceSpec {
            attachment_id: "attachment".into(),
            interface_id: "eni-1".into(),
            mac: model::network::mac_of(address),
            address,
            subnet_id: "subnet-1".into(),
            subnet_prefix_length: 20,
            gateway: [172, 31, 0, 1].into(),
            vpc_id: "vpc-1".into(),
            own_network: false,
            private_dns_name: "ip-172-31-0-10.ec2.internal".into(),
            security_groups: Vec::new(),
        }),
        containers: containers.into_iter().enumerate().map(container).collect(),
        volumes: Vec::new(),
        connect: None,
    }
}

/// An essential busybox that runs a line of shell.
pub fn container(name: &str, line: &str) -> ContainerDefinition {
    ContainerDefinition {
        name: name.into(),
        image: "busybox".into(),
        command: ["sh", "-c", line].map(str::to_owned).into(),
        essential: true,
        ..ContainerDefinition::default()
    }
}

/// Its output goes to the stream `test/<name>/<task id>`.
pub fn logged(container: ContainerDefinition) -> ContainerDefinition {
    let options = [("awslogs-group", "group"), ("awslogs-region", "us-east-1"), ("awslogs-stream-prefix", "test")];
    let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    ContainerDefinition { log_configuration: Some(LogConfiguration { driver: "awslogs".into(), options }), ..container }
}

/// Checked each second by a line of shell.
pub fn checked(container: ContainerDefinition, line: &str) -> ContainerDefinition {
    let command = vec!["CMD-SHELL".into(), line.into()];
    let check = HealthCheck { command, interval: 1, timeout: 5, retries: 3, start_period: None };
    ContainerDefinition { health_check: Some(check), ..container }
}

pub fn after(container: ContainerDefinition, other: &str, condition: Condition) -> ContainerDefinition {
    let depends_on = vec![Dependency { container: other.into(), condition }];
    ContainerDefinition { depends_on, ..container }
}
