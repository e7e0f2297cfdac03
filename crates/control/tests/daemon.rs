//! DAEMON services kept by the loop, with nodes that obey.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use model::link::ReportedStatus;
use model::service::Rollout;
use model::{DesiredStatus, NodeId, Service, TaskStatus};
use plan::service::PROVING;
use serde_json::{Value, json};
use store::Tables;
use support::World;
use support::node::{Desired, Link, report};
use support::obedient::{Registry, join, serve};

const NODES: [NodeId; 2] = [NodeId(7), NodeId(8)];

async fn register(world: &World, image: &str) {
    let container = json!({"name": "app", "image": image, "memory": 64, "portMappings": [
        {"containerPort": 80, "hostPort": 8080},
    ]});
    world.call("RegisterTaskDefinition", json!({"family": "agent", "containerDefinitions": [container]})).await;
}

/// A world with a daemon on these nodes.
async fn world(nodes: &[NodeId]) -> World {
    let world = World::new().await;
    for node in nodes {
        join(&world, *node).await;
    }
    register(&world, "one").await;
    world.call("CreateCluster", json!({})).await;
    let request = json!({"serviceName": "agent", "taskDefinition": "agent", "schedulingStrategy": "DAEMON"});
    world.call("CreateService", request).await;
    steady(&world, nodes).await;
    world
}

fn service(tables: &Tables) -> Service {
    Service::clone(tables.services.iter().find(|row| row.name == "agent").expect("the service is there"))
}

/// Running tasks of the daemon by node.
fn running(tables: &Tables) -> BTreeMap<NodeId, usize> {
    let mut running = BTreeMap::new();
    for task in tables.tasks.iter().filter(|task| task.group == "service:agent") {
        if task.last_status == TaskStatus::Running {
            *running.entry(task.node.expect("a task has a node")).or_default() += 1;
        }
    }
    running
}

async fn runs_on(world: &World, nodes: &[NodeId]) {
    let expected: BTreeMap<NodeId, usize> = nodes.iter().map(|node| (*node, 1)).collect();
    world.until("one runs on each", |tables| running(tables) == expected).await;
}

async fn steady(world: &World, nodes: &[NodeId]) {
    runs_on(world, nodes).await;
    world.clock.advance(PROVING);
    let is_steady = |tables: &Tables| {
        let row = service(tables);
        row.steady_at.is_some() && row.deployments[0].rollout == Rollout::Completed && row.deployments.len() == 1
    };
    world.until("it is steady", is_steady).await;
    let shown = described(world).await;
    assert_eq!((&shown["desiredCount"], &shown["runningCount"]), (&json!(nodes.len()), &json!(nodes.len())));
    world.check_ledger();
}

async fn described(world: &World) -> Value {
    world.call("DescribeServices", json!({"services": ["agent"]})).await["services"][0].clone()
}

fn instance(world: &World, node: NodeId) -> String {
    world.view().container_instance_of_node(node).unwrap().id.to_string()
}

#[tokio::test]
async fn a_daemon_is_on_every_instance_also_on_new_ones() {
    let world = world(&NODES[..1]).await;
    let shown = described(&world).await;
    assert_eq!(shown["schedulingStrategy"], "DAEMON");
    let configuration = &shown["deploymentConfiguration"];
    assert_eq!((&configuration["minimumHealthyPercent"], &configuration["maximumPercent"]), (&json!(0), &json!(100)));
    join(&world, NODES[1]).await;
    steady(&world, &NODES).await;

    let gone = json!({"containerInstance": instance(&world, NODES[1]), "force": true});
    world.call("DeregisterContainerInstance", gone).await;
    world.until("it counts one instance", |tables| service(tables).desired_count == 1).await;
    runs_on(&world, &NODES[..1]).await;
    let deleted = world.call("DeleteService", json!({"service": "agent"})).await;
    assert_eq!(deleted["service"]["status"], "DRAINING", "a daemon needs no force");
    runs_on(&world, &[]).await;
}

#[tokio::test]
async fn a_new_revision_takes_over_the_port_when_the_old_task_has_stopped() {
    let world = world(&NODES).await;
    register(&world, "two").await;
    world.call("UpdateService", json!({"service": "agent", "taskDefinition": "agent"})).await;
    let is_new = |tables: &Tables| {
        let mut running = tables.tasks.iter().filter(|task| task.last_status == TaskStatus::Running);
        running.all(|task| task.revision == 2)
    };
    world.until("the new ones run", |tables| running(tables).len() == 2 && is_new(tables)).await;
    steady(&world, &NODES).await;
}

#[tokio::test]
async fn constraints_hold_all_the_time() {
    let world = world(&NODES).await;
    let constraint = json!([{"type": "memberOf", "expression": "attribute:stack == prod"}]);
    let attribute = |value: &str| {
        let target = instance(&world, NODES[0]);
        json!({"attributes": [{"name": "stack", "value": value, "targetType": "container-instance", "targetId": target}]})
    };
    world.call("PutAttributes", attribute("prod")).await;
    world.call("UpdateService", json!({"service": "agent", "placementConstraints": constraint})).await;
    runs_on(&world, &NODES[..1]).await;
    let violated = "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED";
    let told = |tables: &Tables| {
        tables.service_events.iter().any(|row| row.action.as_ref().is_some_and(|act| act.name.as_str() == violated))
    };
    assert!(told(&world.view()));
    world.call("PutAttributes", attribute("test")).await;
    runs_on(&world, &[]).await;
    world.call("PutAttributes", attribute("prod")).await;
    steady(&world, &NODES[..1]).await;
}

#[tokio::test]
async fn a_draining_instance_keeps_its_daemon_for_its_other_tasks() {
    let world = world(&NODES).await;
    world
        .call(
            "RegisterTaskDefinition",
            json!({"family": "job", "containerDefinitions": [
                {"name": "app", "image": "one", "memory": 64},
            ]}),
        )
        .await;
    let target = instance(&world, NODES[0]);
    let started = world.call("StartTask", json!({"taskDefinition": "job", "containerInstances": [target]})).await;
    let job = started["tasks"][0]["taskArn"].clone();
    let drain = json!({"containerInstances": [target], "status": "DRAINING"});
    world.call("UpdateContainerInstancesState", drain).await;
    steady(&world, &NODES).await;
    world.call("StopTask", json!({"task": job})).await;
    runs_on(&world, &NODES[1..]).await;
    let back = json!({"containerInstances": [target], "status": "ACTIVE"});
    world.call("UpdateContainerInstancesState", back).await;
    steady(&world, &NODES).await;
}

#[tokio::test]
async fn a_node_that_comes_back_gets_its_daemon_again() {
    let world = World::new().await;
    let link = join(&world, NODES[0]).await;
    register(&world, "one").await;
    let request = json!({"serviceName": "agent", "taskDefinition": "agent", "schedulingStrategy": "DAEMON"});
    world.call("CreateService", request).await;
    steady(&world, &NODES[..1]).await;
    link.abort();
    world.until("it is gone", |tables| tables.nodes.get(&NODES[0]).is_some_and(|node| !node.connected)).await;
    assert_eq!(service(&world.view()).desired_count, 1, "it keeps its task for a while");
    world.clock.advance(control::config::NODE_LOST_AFTER);
    world.until("it is lost", |tables| service(tables).desired_count == 0).await;
    let (mut back, told) = Link::join(&world, NODES[0]).await;
    let lost = told.tasks[0].id;
    assert_eq!(told.statuses(), BTreeMap::from([(lost, DesiredStatus::Stopped)]), "nothing new beside the old one");
    back.report(vec![report(lost, 9, ReportedStatus::Stopped)]).await;
    serve(back, Desired { tasks: Vec::new(), ..told }, &Registry::default());
    steady(&world, &NODES[..1]).await;
    assert_eq!(world.view().tasks.len(), 2);
}

#[tokio::test]
async fn an_instance_without_room_waits_for_it() {
    let world = World::new().await;
    join(&world, NODES[0]).await;
    register(&world, "one").await;
    let other = json!({"family": "web", "containerDefinitions": [
        {"name": "app", "image": "one", "memory": 64, "portMappings": [{"containerPort": 80, "hostPort": 8080}]},
    ]});
    world.call("RegisterTaskDefinition", other).await;
    let taken = world.call("RunTask", json!({"taskDefinition": "web"})).await["tasks"][0]["taskArn"].clone();
    let request = json!({"serviceName": "agent", "taskDefinition": "agent", "schedulingStrategy": "DAEMON"});
    world.call("CreateService", request).await;
    let text = "is already using a port required by your task";
    world.until("it says so", |tables| tables.service_events.iter().any(|row| row.message.contains(text))).await;
    world.clock.advance(Duration::from_secs(1));
    world.call("StopTask", json!({"task": taken})).await;
    steady(&world, &NODES[..1]).await;
}

/// One whose name comes first, and who waits for longer.
#[tokio::test]
async fn a_new_instance_is_its_daemons_before_services_get_what_they_wait_for() {
    let world = world(&NODES[..1]).await;
    let other = json!({"family": "web", "containerDefinitions": [
        {"name": "app", "image": "one", "memory": 64, "portMappings": [{"containerPort": 80, "hostPort": 8080}]},
    ]});
    world.call("RegisterTaskDefinition", other).await;
    world.call("CreateService", json!({"serviceName": "a", "taskDefinition": "web", "desiredCount": 1})).await;
    let text = "is already using a port required by your task";
    world.until("it waits", |tables| tables.service_events.iter().any(|row| row.message.contains(text))).await;
    join(&world, NODES[1]).await;
    steady(&world, &NODES).await;
    assert!(world.view().tasks.iter().all(|task| task.group == "service:agent"));
}
