//! A task asks for its own protection: its node carries the question over the link, and the API's answer back.

mod support;

use std::time::Duration;

use model::link::{FromAgent, FromControl, ProtectionChange, ProtectionOutcome, ProtectionQuestion};
use model::{NodeId, TaskId};
use serde_json::json;
use support::World;
use support::node::Link;

const NODE: NodeId = NodeId(7);

async fn ask(link: &mut Link, number: u64, task: TaskId, change: Option<(bool, Option<i64>)>) -> ProtectionOutcome {
    let change = change.map(|(enabled, expires_in_minutes)| ProtectionChange { enabled, expires_in_minutes });
    link.say(&FromAgent::TaskProtection(ProtectionQuestion { number, task, change })).await;
    let FromControl::TaskProtection { question, outcome } = link.hear().await else { panic!("another answer") };
    assert_eq!(question, number);
    outcome
}

/// A node with the one task that is to run on it.
async fn with_task(world: &World, operation: &str, request: serde_json::Value) -> (Link, TaskId) {
    let (mut link, _) = Link::join(world, NODE).await;
    let definition = json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "one"}],
    });
    world.call("RegisterTaskDefinition", definition).await;
    let subnet = model::network::Vpc::default_of(&world.scope()).subnets[0].id.clone();
    let mut request = request;
    request["taskDefinition"] = json!("web");
    request["launchType"] = json!("FARGATE");
    request["networkConfiguration"] = json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    world.call(operation, request).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    (link, desired.tasks[0].id)
}

#[tokio::test]
async fn a_task_of_a_service_protects_itself_and_is_told() {
    let world = World::new().await;
    let (mut link, task) = with_task(&world, "CreateService", json!({"serviceName": "web", "desiredCount": 1})).await;
    let until = |minutes: u64| ProtectionOutcome::Protection {
        until: Some(world.clock.now().plus(Duration::from_secs(minutes * 60))),
    };
    let unprotected = ProtectionOutcome::Protection { until: None };
    assert_eq!(ask(&mut link, 1, task, None).await, unprotected);
    assert_eq!(ask(&mut link, 2, task, Some((true, Some(5)))).await, until(5));
    assert_eq!(world.task(task).protected_until, Some(world.clock.now().plus(Duration::from_secs(300))), "durable");
    assert_eq!(ask(&mut link, 3, task, None).await, until(5));
    assert_eq!(ask(&mut link, 4, task, Some((true, None))).await, until(120));
    assert_eq!(ask(&mut link, 5, task, Some((false, None))).await, unprotected);
    for minutes in [0, -4, 2881, i64::MAX, i64::MIN] {
        let outcome = ask(&mut link, 6, task, Some((true, Some(minutes)))).await;
        let ProtectionOutcome::Error { status, code, request_id, .. } = outcome else {
            panic!("{minutes}: {outcome:?}")
        };
        assert_eq!((status, code.as_str(), request_id.len()), (400, "InvalidParameterException", 36), "{minutes}");
    }
}

#[tokio::test]
async fn others_are_not_protected() {
    let world = World::new().await;
    let (mut link, task) = with_task(&world, "RunTask", json!({})).await;
    let failure = |reason: &str| ProtectionOutcome::Failure { reason: reason.to_owned(), detail: None };
    assert_eq!(ask(&mut link, 1, task, Some((true, None))).await, failure("TASK_NOT_VALID"), "it is of no service");
    assert_eq!(ask(&mut link, 2, TaskId(4711), None).await, failure("MISSING"));
    let (mut other, _) = Link::join(&world, NodeId(8)).await;
    assert_eq!(ask(&mut other, 1, task, Some((true, None))).await, failure("MISSING"), "it is another node's");
}
