//! Rows for the tests.
#![allow(dead_code)]

pub mod disk;

use std::convert::Infallible;

use model::cluster::ClusterStatus;
use model::{
    Cluster, DesiredStatus, HealthStatus, LaunchType, NodeId, Resources, Scope, Task, TaskId, TaskStatus, Timestamp,
};
use store::{Store, Tables, WriteError};

pub fn scope() -> Scope {
    Scope::new("000000000000", "us-east-1")
}

pub fn cluster(name: &str) -> Cluster {
    Cluster {
        scope: scope(),
        name: name.to_owned(),
        status: ClusterStatus::Active,
        settings: Vec::new(),
        tags: Vec::new(),
        capacity_providers: Vec::new(),
        default_strategy: Vec::new(),
        connect_namespace: None,
        created_at: Timestamp(0),
        inactive_at: None,
    }
}

pub fn task(id: u128, cluster: &str, node: u128) -> Task {
    Task {
        id: TaskId(id),
        scope: scope(),
        cluster: cluster.to_owned(),
        family: "web".to_owned(),
        revision: 1,
        launch_type: LaunchType::Fargate,
        capacity_provider: None,
        node: Some(NodeId(node)),
        container_instance: None,
        group: "family:web".to_owned(),
        started_by: None,
        overrides: Default::default(),
        cpu: None,
        memory: None,
        last_status: TaskStatus::Provisioning,
        desired_status: DesiredStatus::Running,
        health: HealthStatus::Unknown,
        containers: Vec::new(),
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

pub async fn put_cluster(store: &Store, name: &str) -> Result<((), u64), WriteError<Infallible>> {
    let row = cluster(name);
    store
        .write(move |txn| {
            txn.put(row);
            Ok(())
        })
        .await
}

pub fn names(tables: &Tables) -> Vec<String> {
    tables.clusters.iter().map(|row| row.name.clone()).collect()
}
