//! What a task is, by its containers (ecs-semantics §1.5, §8).

use model::task::{Container, ContainerStatus, health_of};
use model::{CpuUnits, HealthStatus};

/// Essential or not, and what its check says, if it has one.
fn container(essential: bool, check: Option<HealthStatus>) -> Container {
    Container {
        id: String::new(),
        name: "app".to_owned(),
        image: String::new(),
        essential,
        has_health_check: check.is_some(),
        image_digest: None,
        is_pinned: false,
        runtime_id: None,
        last_status: ContainerStatus::Running,
        exit_code: None,
        reason: None,
        health: check.unwrap_or(HealthStatus::Unknown),
        network_bindings: Vec::new(),
        cpu: CpuUnits(0),
        memory: None,
        memory_reservation: None,
        gpu_ids: Vec::new(),
    }
}

#[test]
fn a_task_is_as_healthy_as_the_worst_of_its_essential_containers() {
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    let check = |containers: &[(bool, Option<HealthStatus>)], expected| {
        let containers: Vec<_> = containers.iter().map(|(essential, check)| container(*essential, *check)).collect();
        assert_eq!(health_of(&containers), expected, "{containers:?}");
    };
    check(&[(true, Some(Unhealthy)), (true, Some(Unknown))], Unhealthy);
    check(&[(true, Some(Unhealthy)), (true, Some(Healthy))], Unhealthy);
    check(&[(true, Some(Healthy)), (true, Some(Unknown))], Unknown);
    check(&[(true, Some(Healthy)), (true, Some(Healthy))], Healthy);
    check(&[(true, Some(Healthy)), (false, Some(Unhealthy))], Healthy);
    check(&[(true, Some(Healthy)), (true, None)], Healthy);
    check(&[(true, None), (false, Some(Healthy))], Unknown);
    check(&[], Unknown);
}
