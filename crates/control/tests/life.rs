//! The life of a task, from the API to its node and back, with a node moved by hand.

mod support;

use model::link::ReportedStatus;
use model::{DesiredStatus, NodeId, TaskId};
use serde_json::{Value, json};
use support::World;
use support::node::{Link, report};

const NODE: NodeId = NodeId(7);

async fn register(world: &World) {
    let definition = json!({
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "busybox", "command": ["sleep", "60"]}],
    });
    world.call("RegisterTaskDefinition", definition).await;
}

fn run(world: &World) -> Value {
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    json!({
        "taskDefinition": "web",
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}},
        "overrides": {"containerOverrides": [{"name": "app", "environment": [{"name": "A", "value": "1"}]}]},
    })
}

fn id_of(task: &Value) -> TaskId {
    let arn = task["taskArn"].as_str().expect("an ARN");
    arn.rsplit('/').next().expect("an id").parse().expect("an id")
}

async fn describe(world: &World, id: TaskId) -> Value {
    world.call("DescribeTasks", json!({"tasks": [id.to_string()]})).await["tasks"][0].clone()
}

#[tokio::test]
async fn from_run_task_to_stopped() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    let answer = world.call("RunTask", run(&world)).await;
    assert_eq!(answer["failures"], json!([]));
    let id = id_of(&answer["tasks"][0]);
    assert_eq!(answer["tasks"][0]["lastStatus"], "PROVISIONING");
    world.check_ledger();

    let desired = link.desired().await;
    let spec = desired.tasks[0].spec.as_ref().unwrap();
    assert_eq!((spec.id, desired.tasks[0].desired_status), (id, DesiredStatus::Running));
    assert_eq!(spec.arn, answer["tasks"][0]["taskArn"]);
    assert_eq!(spec.containers[0].definition.environment, [("A".to_owned(), "1".to_owned())]);
    let address = spec.interface.as_ref().unwrap().address.to_string();
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    link.taken().await;
    let task = describe(&world, id).await;
    assert_eq!((&task["lastStatus"], &task["connectivity"]), (&json!("RUNNING"), &json!("CONNECTED")));
    assert_eq!(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"], address);
    let listed = world.call("ListTasks", json!({})).await;
    assert_eq!(listed["taskArns"], json!([task["taskArn"]]));

    let stopping = world.call("StopTask", json!({"task": id.to_string(), "reason": "enough"})).await;
    assert_eq!(stopping["task"]["desiredStatus"], "STOPPED");
    let desired = link.desired().await;
    assert_eq!(desired.statuses(), [(id, DesiredStatus::Stopped)].into());
    link.applied(&desired).await;
    link.report(vec![report(id, 2, ReportedStatus::Stopped)]).await;
    link.taken().await;
    let task = describe(&world, id).await;
    assert_eq!((&task["lastStatus"], &task["stoppedReason"]), (&json!("STOPPED"), &json!("enough")));
    assert_eq!((&task["stopCode"], &task["containers"][0]["exitCode"]), (&json!("UserInitiated"), &json!(0)));
    world.check_ledger();
    assert_eq!(world.node(NODE).free, world.node(NODE).total);
    assert!(link.desired().await.tasks.is_empty());
}

#[tokio::test]
async fn what_a_node_has_no_room_for_is_refused_until_a_task_has_stopped() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    // The node has 64 vCPU and 128 GiB; its tasks take a quarter of a vCPU each.
    let mut ids = Vec::new();
    loop {
        let mut request = run(&world);
        request["count"] = json!(10);
        let answer = world.call("RunTask", request).await;
        ids.extend(answer["tasks"].as_array().unwrap().iter().map(id_of));
        if let Some(failure) = answer["failures"].get(0) {
            assert!(failure["detail"].as_str().unwrap().contains("CPU"), "{failure}");
            break;
        }
    }
    assert_eq!(ids.len(), 256);
    world.check_ledger();
    world.call("StopTask", json!({"task": ids[3].to_string()})).await;
    let answer = world.call("RunTask", run(&world)).await;
    assert_eq!(answer["tasks"], json!([]), "a stopping task still holds what it has");
    link.report(vec![report(ids[3], 1, ReportedStatus::Stopped)]).await;
    while !matches!(link.hear().await, model::link::FromControl::ReportTaken { .. }) {}
    let answer = world.call("RunTask", run(&world)).await;
    assert_eq!(answer["failures"], json!([]));
    world.check_ledger();
}

#[tokio::test]
async fn a_node_that_is_gone_gets_no_new_tasks() {
    let world = World::new().await;
    let (link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    drop(link);
    world.until("the node is gone", |view| !view.nodes.get(&NODE).unwrap().connected).await;
    let answer = world.try_call("RunTask", run(&world)).await;
    let placed = answer.as_ref().map_or(0, |answer| answer["tasks"].as_array().unwrap().len());
    assert_eq!(placed, 0, "{answer:?}");
    Link::join(&world, NODE).await;
    let answer = world.call("RunTask", run(&world)).await;
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_disk_refuses_the_call_and_leaves_nothing() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    register(&world).await;
    world.disk.fail_next(1);
    let refused = world.try_call("RunTask", run(&world)).await;
    assert_eq!(refused, Err("the disk is full: the change was not made".to_owned()));
    assert!(world.view().tasks.is_empty() && world.view().interfaces.is_empty());
    world.check_ledger();
    let answer = world.call("RunTask", run(&world)).await;
    let desired = link.desired().await;
    assert_eq!(desired.tasks.len(), 1, "the node never hears of what was not written");
    assert_eq!(desired.tasks[0].id, id_of(&answer["tasks"][0]));
    world.check_ledger();
}
