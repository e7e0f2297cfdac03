//! Rows for tests, as the operations would write them.

use std::net::Ipv4Addr;

use model::network::{Vpc, mac_of};
use model::task::{Attachment, AttachmentStatus, Container, ContainerStatus};
use model::task_definition::TaskDefinitionStatus;
use model::{
    ContainerDefinition, CpuUnits, DesiredStatus, HealthStatus, LaunchType, MemoryMib, NetworkInterface, NetworkMode,
    Node, NodeId, Port, Protocol, Resources, Scope, StopCode, Task, TaskDefinition, TaskId, TaskStatus, Timestamp,
};
use store::Txn;

use super::World;

pub fn scope() -> Scope {
    Scope::new("000000000000", "us-east-1")
}

pub fn definition() -> TaskDefinition {
    TaskDefinition {
        scope: scope(),
        family: "web".to_owned(),
        revision: 1,
        status: TaskDefinitionStatus::Active,
        containers: vec![ContainerDefinition {
            name: "app".to_owned(),
            image: "busybox".to_owned(),
            essential: true,
            ..ContainerDefinition::default()
        }],
        volumes: Vec::new(),
        cpu: Some(CpuUnits(256)),
        memory: Some(MemoryMib(512)),
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

pub fn task(id: TaskId, node: NodeId) -> Task {
    let number = u16::try_from(id.0 & 0x7ff).expect("fits");
    Task {
        id,
        scope: scope(),
        cluster: "default".to_owned(),
        family: "web".to_owned(),
        revision: 1,
        launch_type: LaunchType::Fargate,
        node: Some(node),
        capacity_provider: None,
        container_instance: None,
        group: "family:web".to_owned(),
        started_by: None,
        overrides: Default::default(),
        cpu: Some(CpuUnits(256)),
        memory: Some(MemoryMib(512)),
        last_status: TaskStatus::Provisioning,
        desired_status: DesiredStatus::Running,
        health: HealthStatus::Unknown,
        containers: vec![Container {
            id: model::id::uuid(id.0),
            name: "app".to_owned(),
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
            cpu: CpuUnits(0),
            memory: None,
            memory_reservation: None,
            gpu_ids: Vec::new(),
        }],
        attachment: None,
        reservation: Resources {
            cpu: CpuUnits(256),
            memory: MemoryMib(512),
            ports: [Port { number: 1024 + number, protocol: Protocol::Tcp }].into(),
            ..Resources::default()
        },
        availability_zone: Some("us-east-1a".to_owned()),
        platform_version: None,
        ephemeral_storage: None,
        tags: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        connected: false,
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
        targets: Vec::new(),
        registrations: Vec::new(),
        connect: None,
        protected_until: None,
    }
}

/// Places a task on a node with an interface, as RunTask does: whether it fits is not asked.
pub fn place(txn: &mut Txn, id: TaskId, node: NodeId) {
    let subnet = Vpc::default_of(&scope()).subnets[0].clone();
    let address = Ipv4Addr::from(u32::from(subnet.network) + 4 + u32::try_from(id.0 & 0x7ff).expect("fits"));
    let interface = NetworkInterface {
        scope: scope(),
        id: format!("eni-{:017x}", id.0),
        attachment_id: format!("attachment-{id}"),
        task: Some(id),
        load_balancer: None,
        nat_gateway: None,
        subnet_id: subnet.id,
        vpc_id: subnet.vpc_id,
        zone: subnet.zone,
        address,
        mac: mac_of(address),
        security_groups: Vec::new(),
        created_at: Timestamp(0),
    };
    let attachment = Attachment {
        id: interface.attachment_id.clone(),
        status: AttachmentStatus::Precreated,
        interface_id: interface.id.clone(),
        subnet_id: interface.subnet_id.clone(),
        address,
        mac: interface.mac.clone(),
        private_dns_name: "ip".to_owned(),
    };
    let row = Task { attachment: Some(attachment), ..task(id, node) };
    txn.put(definition());
    txn.update(&node, |node: &mut Node| node.free.take(&row.reservation));
    txn.put(interface);
    txn.put(row);
}

impl World {
    pub async fn place(&self, id: u128, node: NodeId) -> TaskId {
        let id = TaskId(id);
        let placing = self.control.store.write::<_, ()>(|txn| {
            place(txn, id, node);
            Ok(())
        });
        placing.await.expect("placed");
        id
    }

    pub async fn stop(&self, id: TaskId) {
        let now = self.clock.now();
        let stop = |task: &mut Task| task.stop(StopCode::UserInitiated, "Task stopped by user", now);
        self.control.store.write::<_, ()>(|txn| Ok(txn.update(&id, stop))).await.expect("stopped");
    }
}
