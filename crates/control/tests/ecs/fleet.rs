//! A world with the cluster `default`, a few definitions and nodes, for the tests of tasks and container instances.

use std::collections::BTreeSet;

use model::link::{ContainerReport, ReportedStatus, TaskReport};
use model::task::ContainerStatus;
use model::{
    Attribute, ContainerInstance, ContainerInstanceId, CpuUnits, HealthStatus, InstanceStatus, MemoryMib, Node, NodeId,
    Port, Protocol, Resources, Task, TaskId, TaskStatus, capability,
};
use serde_json::{Value, json};

use crate::world::World;

pub const SUBNET_A: &str = "subnet-2f90c2ad12c96b07c";

/// A world with the definitions of [`register`] and no node.
pub fn empty() -> World {
    let mut world = World::new();
    world.call("CreateCluster", json!({}));
    register(&mut world);
    world
}

/// As [`empty`], with one node in zone a, which is the container instance 1.
pub fn one_node() -> World {
    let mut world = empty();
    put_node(&mut world, 1, "us-east-1a");
    world
}

/// `web` (awsvpc, for FARGATE too), `job` (bridge), `host` (fixed host port 8080), `both` (two containers).
fn register(world: &mut World) {
    let container = |name: &str| json!({"name": name, "image": "busybox", "cpu": 100, "memory": 128});
    let with_port = json!({
        "name": "main", "image": "busybox", "memory": 128, "portMappings": [{"containerPort": 80, "hostPort": 8080}],
    });
    let definitions = [
        json!({
            "family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["EC2", "FARGATE"], "containerDefinitions": [{"name": "main", "image": "busybox"}],
            "tags": [{"key": "from", "value": "definition"}, {"key": "both", "value": "definition"}],
        }),
        json!({"family": "job", "containerDefinitions": [container("main")]}),
        json!({"family": "host", "containerDefinitions": [with_port]}),
        json!({"family": "both", "containerDefinitions": [container("one"), container("two")]}),
    ];
    for definition in definitions {
        world.call("RegisterTaskDefinition", definition);
    }
}

/// A connected node of 2 vCPU and 4 GiB that offers FARGATE, and its ACTIVE container instance with the same number.
pub fn put_node(world: &mut World, number: u128, zone: &str) {
    let total = Resources {
        cpu: CpuUnits(2048),
        memory: MemoryMib(4096),
        ports: BTreeSet::from([Port { number: 22, protocol: Protocol::Tcp }]),
        ..Resources::default()
    };
    let named = capability::ALL.map(|name| Attribute { name: name.to_owned(), value: None });
    let architecture = Attribute { name: "ecs.cpu-architecture".to_owned(), value: Some("x86_64".to_owned()) };
    let scope = world.scope();
    world.txn.put(Node {
        id: NodeId(number),
        scope: scope.clone(),
        name: format!("node-{number}"),
        zone: zone.to_owned(),
        offers_fargate: true,
        free: total.clone(),
        total,
        attributes: named.into_iter().chain([architecture]).collect(),
        address: None,
        agent_version: "1.2.3".to_owned(),
        runtime_version: "containerd: 1.6.20".to_owned(),
        connected: true,
        disconnected_at: None,
        boot_id: "boot".to_owned(),
        container_instance: Some(ContainerInstanceId(number)),
        registered_at: world.now,
        changes: 0,
    });
    world.txn.put(ContainerInstance {
        id: ContainerInstanceId(number),
        scope,
        cluster: "default".to_owned(),
        node: NodeId(number),
        ec2_instance_id: format!("i-{number:017x}"),
        status: InstanceStatus::Active,
        status_reason: None,
        custom_attributes: vec![],
        tags: vec![],
        registered_at: world.now,
        inactive_at: None,
        version: 1,
    });
}

pub fn change_node(world: &mut World, number: u128, change: impl FnOnce(&mut Node)) {
    world.txn.update(&NodeId(number), change).unwrap();
}

pub fn instance_arn(number: u128) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:container-instance/default/{number:032x}")
}

/// `awsvpcConfiguration` with the subnet of zone a.
pub fn in_zone_a() -> Value {
    json!({"awsvpcConfiguration": {"subnets": [SUBNET_A]}})
}

/// Runs one task and answers its ARN.
#[track_caller]
pub fn run(world: &mut World, request: Value) -> String {
    let answer = world.call("RunTask", request);
    assert_eq!(answer["failures"], json!([]));
    answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
}

pub fn id_of(arn: &str) -> TaskId {
    arn.rsplit('/').next().unwrap().parse().unwrap()
}

/// The task's node says that the task is RUNNING, or STOPPED.
pub fn report(world: &mut World, arn: &str, status: ReportedStatus) {
    let now = world.now;
    world.txn.update(&id_of(arn), |task: &mut Task| {
        let containers = task.containers.iter().map(|container| ContainerReport {
            name: container.name.clone(),
            runtime_id: Some("runtime".to_owned()),
            image_digest: None,
            status: if status == ReportedStatus::Stopped { ContainerStatus::Stopped } else { ContainerStatus::Running },
            exit_code: (status == ReportedStatus::Stopped).then_some(3),
            reason: None,
            health: HealthStatus::Unknown,
            network_bindings: vec![],
        });
        let report = TaskReport {
            task: task.id,
            sequence: task.report_sequence + 1,
            status,
            containers: containers.collect(),
            started_at: Some(now),
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            interface_attached: true,
            failure: None,
        };
        assert!(model::task::advance(task, &report, now));
    });
    assert!(world.txn.tasks.get(&id_of(arn)).is_some_and(|task| task.last_status >= TaskStatus::Running));
}

/// What the node has left.
pub fn free(world: &World, number: u128) -> (u32, u32) {
    let free = &world.txn.nodes.get(&NodeId(number)).unwrap().free;
    (free.cpu.0, free.memory.0)
}
