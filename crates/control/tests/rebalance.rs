//! Services balanced over availability zones, with nodes that obey.

mod support;

use std::collections::BTreeMap;

use model::{NodeId, TaskStatus};
use plan::service::PROVING;
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::obedient::join_in;

/// Running tasks by zone.
fn running(tables: &Tables) -> BTreeMap<String, usize> {
    let mut running = BTreeMap::new();
    for task in tables.tasks.iter().filter(|task| task.last_status == TaskStatus::Running) {
        *running.entry(task.availability_zone.clone().expect("a task has a zone")).or_default() += 1;
    }
    running
}

fn zones(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(zone, count)| (format!("us-east-1{zone}"), *count)).collect()
}

async fn until_running(world: &World, counts: &[(&str, usize)]) {
    let expected = zones(counts);
    world.until(&format!("{expected:?}"), |tables| running(tables) == expected).await;
}

fn says(tables: &Tables, text: &str) -> bool {
    tables.service_events.iter().any(|row| row.message.contains(text))
}

/// A steady service of four tasks in zone a.
async fn world(changes: Value) -> World {
    let world = World::new().await;
    join_in(&world, NodeId(7), "us-east-1a").await;
    let container = json!({"name": "app", "image": "one", "memory": 64});
    world.call("RegisterTaskDefinition", json!({"family": "web", "containerDefinitions": [container]})).await;
    let mut request = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4});
    request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.call("CreateService", request).await;
    until_running(&world, &[("a", 4)]).await;
    world.clock.advance(PROVING);
    world.until("it is steady", |tables| says(tables, "has reached a steady state.")).await;
    world
}

#[tokio::test]
async fn a_zone_that_opens_gets_its_share() {
    let world = world(json!({})).await;
    join_in(&world, NodeId(8), "us-east-1b").await;
    until_running(&world, &[("a", 4), ("b", 2)]).await;
    world.clock.advance(PROVING);
    until_running(&world, &[("a", 2), ("b", 2)]).await;
    let balanced = "is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b.";
    world.until("it says so", |tables| says(tables, balanced)).await;
    let view = world.view();
    let gone = view.tasks.iter().find(|task| task.stopped_reason.is_some()).expect("two were stopped");
    let reason = gone.stopped_reason.as_deref().unwrap();
    assert!(reason.starts_with("Availability-zone rebalancing initiated by (deployment ecs-svc/"), "{reason}");
    let tasks = view.tasks.len();
    world.clock.advance(PROVING);
    world.call("UpdateService", json!({"service": "web", "healthCheckGracePeriodSeconds": 1})).await;
    world.call("DescribeServices", json!({"services": ["web"]})).await;
    assert_eq!((running(&world.view()), world.view().tasks.len()), (zones(&[("a", 2), ("b", 2)]), tasks));
    world.check_ledger();
}

#[tokio::test]
async fn a_zone_without_room_is_waited_for() {
    let world = world(json!({})).await;
    let cluster = json!({"cluster": "default"});
    assert_eq!(
        world.call("ListContainerInstances", cluster).await["containerInstanceArns"].as_array().unwrap().len(),
        1
    );
    // Whatever is in zone b does not take the service's tasks.
    let constraint = json!([{"type": "memberOf", "expression": "attribute:stack !exists"}]);
    world.call("UpdateService", json!({"service": "web", "placementConstraints": constraint})).await;
    let hold = json!({"service": "web", "availabilityZoneRebalancing": "DISABLED"});
    world.call("UpdateService", hold).await;
    join_in(&world, NodeId(8), "us-east-1b").await;
    let target = world.view().container_instance_of_node(NodeId(8)).unwrap().id.to_string();
    let attribute =
        json!([{"name": "stack", "value": "other", "targetType": "container-instance", "targetId": target}]);
    world.call("PutAttributes", json!({"attributes": attribute})).await;
    world.call("UpdateService", json!({"service": "web", "availabilityZoneRebalancing": "ENABLED"})).await;
    let text = "is unable to place a task in us-east-1b because no container instance met all of its requirements.";
    world.until("it says so", |tables| says(tables, text)).await;
    world.call("DeleteAttributes", json!({"attributes": attribute})).await;
    until_running(&world, &[("a", 4), ("b", 2)]).await;
    world.clock.advance(PROVING);
    until_running(&world, &[("a", 2), ("b", 2)]).await;
}
