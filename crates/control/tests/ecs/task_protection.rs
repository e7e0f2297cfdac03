//! Task protection: who can be protected, for how long, and what is refused.

use std::time::Duration;

use model::{Service, Task, TaskId};
use serde_json::{Value, json};

use crate::fleet::{id_of, in_zone_a, one_node, run};
use crate::world::World;

/// A world with a service and the ARNs of as many of its tasks, which nothing keeps here: they are RunTask's, and said
/// to be the service's.
fn with_tasks(count: usize) -> (World, Vec<String>) {
    let mut world = one_node();
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": count, "launchType": "FARGATE",
        "networkConfiguration": in_zone_a(),
    });
    let service = world.call("CreateService", request);
    let deployment = service["service"]["deployments"][0]["id"].as_str().unwrap().to_owned();
    let tasks: Vec<String> = (0..count).map(|_| task_of(&mut world, &deployment)).collect();
    (world, tasks)
}

fn task_of(world: &mut World, deployment: &str) -> String {
    let arn = run(world, json!({"taskDefinition": "job"}));
    change(world, &arn, |task| {
        task.group = "service:web".to_owned();
        task.started_by = Some(deployment.to_owned());
    });
    arn
}

fn change(world: &mut World, arn: &str, change: impl FnOnce(&mut Task)) {
    world.txn.update::<Task, _>(&id_of(arn), change).unwrap();
}

fn request(tasks: &[String], changes: Value) -> Value {
    let mut request = json!({"cluster": "default", "tasks": tasks, "protectionEnabled": true});
    request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    request
}

#[test]
fn protection_lasts_as_long_as_it_was_asked_for() {
    let (mut world, tasks) = with_tasks(1);
    let begin = world.now.as_epoch_seconds();
    let protected =
        |seconds: f64| json!({"taskArn": tasks[0], "protectionEnabled": true, "expirationDate": begin + seconds});
    let unprotected = json!({"taskArn": tasks[0], "protectionEnabled": false});
    let get = json!({"cluster": "default", "tasks": tasks});
    let check = |answer: Value, expected: &Value| {
        let fields = |value: &Value| (value["protectionEnabled"].clone(), value["expirationDate"].as_f64());
        assert_eq!(answer["failures"], json!([]));
        assert_eq!(answer["protectedTasks"][0]["taskArn"], json!(tasks[0]));
        assert_eq!(fields(&answer["protectedTasks"][0]), fields(expected));
    };
    check(world.call("GetTaskProtection", get.clone()), &unprotected);
    check(world.call("UpdateTaskProtection", request(&tasks, json!({}))), &protected(7200.0));
    check(world.call("GetTaskProtection", get.clone()), &protected(7200.0));
    check(world.call("UpdateTaskProtection", request(&tasks, json!({"expiresInMinutes": 1}))), &protected(60.0));
    world.pass(Duration::from_secs(59));
    check(world.call("GetTaskProtection", get.clone()), &protected(60.0));
    world.pass(Duration::from_secs(1));
    check(world.call("GetTaskProtection", get.clone()), &unprotected);
    check(
        world.call("UpdateTaskProtection", request(&tasks, json!({"expiresInMinutes": 2880}))),
        &protected(172_860.0),
    );
    check(world.call("UpdateTaskProtection", request(&tasks, json!({"protectionEnabled": false}))), &unprotected);
    check(world.call("GetTaskProtection", get), &unprotected);
}

#[test]
fn each_task_that_cannot_be_protected_is_a_failure_of_its_own() {
    let (mut world, mut tasks) = with_tasks(2);
    let alone = run(&mut world, json!({"taskDefinition": "job"}));
    world.call("StopTask", json!({"task": tasks[1]}));
    let none = format!("{}/{}", alone.rsplit_once('/').unwrap().0, TaskId(7));
    tasks.extend([alone, none]);
    for operation in ["UpdateTaskProtection", "GetTaskProtection"] {
        let mut request = request(&tasks, json!({}));
        if operation == "GetTaskProtection" {
            request.as_object_mut().unwrap().remove("protectionEnabled");
        }
        let answer = world.call(operation, request);
        assert_eq!(answer["protectedTasks"].as_array().unwrap().len(), 1, "{operation}");
        let failures = [(1, "TASK_NOT_VALID"), (2, "TASK_NOT_VALID"), (3, "MISSING")];
        let expected: Vec<Value> =
            failures.iter().map(|(index, reason)| json!({"arn": tasks[*index], "reason": reason})).collect();
        assert_eq!(answer["failures"], json!(expected), "{operation}");
    }
}

#[test]
fn tasks_on_their_way_out_cannot_hold_up_a_deployment_time_and_again() {
    let (mut world, tasks) = with_tasks(2);
    let (first, second) = (&tasks[..1], &tasks[1..]);
    let failures = |answer: Value| answer["failures"].as_array().unwrap().len();
    assert_eq!(failures(world.call("UpdateTaskProtection", request(first, json!({})))), 0);
    let key = world.txn.services.iter().next().unwrap().key();
    let newer = world.call("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    let newer = newer["service"]["deployments"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.txn.get::<Service>(&key).unwrap().deployments.len(), 2);
    for old in [first, second] {
        let answer = world.call("UpdateTaskProtection", request(old, json!({})));
        assert_eq!(answer["failures"], json!([{"arn": old[0], "reason": "DEPLOYMENT_BLOCKED"}]));
    }
    let new = [task_of(&mut world, &newer)];
    assert_eq!(failures(world.call("UpdateTaskProtection", request(&new, json!({})))), 0, "the new ones can be");
    assert_eq!(failures(world.call("UpdateTaskProtection", request(first, json!({"protectionEnabled": false})))), 0);
    assert_eq!(failures(world.call("UpdateTaskProtection", request(second, json!({})))), 0, "nothing is held up now");
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (mut world, tasks) = with_tasks(1);
    let range = "InvalidParameterException: expiresInMinutes must be between 1 and 2880.";
    let many = vec![tasks[0].clone(); 11];
    world.check_refusals(
        "UpdateTaskProtection",
        &[
            (request(&[], json!({})), "InvalidParameterException: Tasks cannot be empty."),
            (request(&many, json!({})), "InvalidParameterException: tasks can have at most 10 items."),
            (request(&tasks, json!({"expiresInMinutes": 0})), range),
            (request(&tasks, json!({"expiresInMinutes": 2881})), range),
            (request(&tasks, json!({"cluster": "none"})), "ClusterNotFoundException: Cluster not found."),
        ],
    );
    world.check_refusals(
        "GetTaskProtection",
        &[
            (json!({"cluster": "default"}), "InvalidParameterException: Tasks cannot be empty."),
            (json!({"cluster": "none", "tasks": tasks}), "ClusterNotFoundException: Cluster not found."),
        ],
    );
}
