use control::ecs::task_definition::{find_active, sweep};
use model::{CpuUnits, DesiredStatus, HealthStatus, LaunchType, MemoryMib, Resources, Task, TaskId, TaskStatus};
use serde_json::{Value, json};

use crate::world::World;

/// A FARGATE task of the family and revision.
pub fn put_task(world: &mut World, id: u128, cluster: &str, family: &str, revision: u32, status: TaskStatus) -> TaskId {
    let id = TaskId(id);
    world.txn.put(Task {
        id,
        scope: world.scope(),
        cluster: cluster.to_owned(),
        family: family.to_owned(),
        revision,
        launch_type: LaunchType::Fargate,
        capacity_provider: None,
        node: None,
        container_instance: None,
        group: format!("family:{family}"),
        started_by: None,
        overrides: Default::default(),
        cpu: Some(CpuUnits(256)),
        memory: Some(MemoryMib(512)),
        last_status: status,
        desired_status: if status < TaskStatus::Stopping { DesiredStatus::Running } else { DesiredStatus::Stopped },
        health: HealthStatus::Unknown,
        containers: vec![],
        attachment: None,
        reservation: Resources::default(),
        availability_zone: None,
        platform_version: None,
        ephemeral_storage: None,
        tags: vec![],
        stop_code: None,
        stopped_reason: None,
        connected: false,
        connectivity_at: None,
        created_at: world.now,
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
    });
    id
}

/// The least that can be registered.
pub fn plain(family: &str) -> Value {
    json!({"family": family, "containerDefinitions": [{"name": "web", "image": "busybox", "memory": 64}]})
}

/// `plain` with members of the request set.
pub fn with(members: Value) -> Value {
    let mut request = plain("f");
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

/// `plain` with members of its container set.
pub fn with_container(members: Value) -> Value {
    let mut request = plain("f");
    let container = request["containerDefinitions"][0].as_object_mut().unwrap();
    container.extend(members.as_object().unwrap().clone());
    request
}

pub fn register(world: &mut World, family: &str) -> Value {
    world.call("RegisterTaskDefinition", plain(family))["taskDefinition"].clone()
}

pub fn arn(name: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{name}")
}

#[test]
fn a_revision_is_never_used_twice() {
    let mut world = World::new();
    assert_eq!(register(&mut world, "f")["revision"], 1);
    assert_eq!(register(&mut world, "f")["revision"], 2);
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:2"}));
    let latest = world.call("DescribeTaskDefinition", json!({"taskDefinition": "f"}));
    assert_eq!(latest["taskDefinition"]["revision"], 1);
    assert_eq!(register(&mut world, "f")["revision"], 3);
    let latest = world.call("DescribeTaskDefinition", json!({"taskDefinition": "f"}));
    assert_eq!(latest["taskDefinition"]["revision"], 3);
    assert_eq!(register(&mut world, "g")["revision"], 1);

    for name in ["f:1", "f:3"] {
        world.call("DeregisterTaskDefinition", json!({"taskDefinition": name}));
    }
    world.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:1", "f:2", "f:3"]}));
    sweep(&mut world.txn);
    assert_eq!(world.call("ListTaskDefinitionFamilies", json!({}))["families"], json!(["g"]));
    assert_eq!(register(&mut world, "f")["revision"], 4);
}

#[test]
fn a_definition_is_found_by_family_revision_and_arn() {
    let mut world = World::new();
    register(&mut world, "f");
    register(&mut world, "f");
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:1"}));
    for (name, revision) in [("f", 2), ("f:2", 2), ("f:1", 1), (&arn("f"), 2), (&arn("f:1"), 1)] {
        let answer = world.call("DescribeTaskDefinition", json!({"taskDefinition": name}));
        assert_eq!(answer["taskDefinition"]["revision"], revision, "{name}");
        assert_eq!(answer.get("tags"), None, "tags are shown only when asked for");
    }
    let missing = "ClientException: Unable to describe task definition.";
    world.check_refusals(
        "DescribeTaskDefinition",
        &[
            (json!({"taskDefinition": "g"}), missing),
            (json!({"taskDefinition": "f:3"}), missing),
            (json!({"taskDefinition": ""}), missing),
            (json!({"taskDefinition": "f:x"}), "InvalidParameterException: Invalid revision number. Number: x"),
            (
                json!({"taskDefinition": "arn:aws:ecs:us-east-1:111111111111:task-definition/f:1"}),
                "InvalidParameterException: AccountIDs mismatch",
            ),
            (
                json!({"taskDefinition": "arn:aws:ecs:us-east-1:000000000000:task/f:1"}),
                "InvalidParameterException: Invalid identifier: it is not the ARN of a task-definition.",
            ),
            (
                json!({"taskDefinition": "f", "include": ["COLOURS"]}),
                "InvalidParameterException: include should be one of [TAGS], not 'COLOURS'",
            ),
        ],
    );
}

#[test]
fn only_an_active_definition_can_be_run() {
    let mut world = World::new();
    register(&mut world, "f");
    register(&mut world, "f");
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:1"}));
    let scope = world.scope();
    let find = |name: &str| {
        find_active(&world.txn, &scope, name)
            .map(|row| row.revision)
            .map_err(|error| wire::error::Failure::from(error).message)
    };
    assert_eq!(find("f"), Ok(2));
    assert_eq!(find("f:2"), Ok(2));
    assert_eq!(find("f:1"), Err("TaskDefinition is inactive".to_owned()));
    assert_eq!(find("f:9"), Err("TaskDefinition not found.".to_owned()));
    assert_eq!(find("g"), Err("TaskDefinition not found.".to_owned()));
}

#[test]
fn definitions_are_listed_by_family_and_revision() {
    let mut world = World::new();
    for family in ["b", "a", "b", "ab"] {
        register(&mut world, family);
    }
    for _ in 0..8 {
        register(&mut world, "a");
    }
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "b:1"}));
    let list = |world: &mut World, request: Value| {
        let (mut names, mut token): (Vec<String>, Value) = (vec![], Value::Null);
        loop {
            let mut request = request.clone();
            request["nextToken"] = token;
            let answer = world.call("ListTaskDefinitions", request);
            let arns = answer["taskDefinitionArns"].as_array().unwrap();
            names.extend(arns.iter().map(|arn| arn.as_str().unwrap().rsplit('/').next().unwrap().to_owned()));
            token = answer["nextToken"].clone();
            if token.is_null() {
                return names;
            }
        }
    };
    let mut ascending: Vec<String> = (1..=9).map(|n| format!("a:{n}")).collect();
    ascending.extend(["ab:1".to_owned(), "b:2".to_owned()]);
    assert_eq!(list(&mut world, json!({})), ascending);
    assert_eq!(list(&mut world, json!({"maxResults": 1})), ascending);
    assert_eq!(list(&mut world, json!({"maxResults": 4})), ascending);
    let descending: Vec<String> = ascending.iter().rev().cloned().collect();
    assert_eq!(list(&mut world, json!({"sort": "DESC"})), descending);
    assert_eq!(list(&mut world, json!({"sort": "DESC", "maxResults": 3})), descending);
    assert_eq!(list(&mut world, json!({"familyPrefix": "a"})), ascending[..9], "a whole name, not a prefix");
    assert_eq!(list(&mut world, json!({"status": "INACTIVE"})), ["b:1"]);
    assert!(list(&mut world, json!({"status": "DELETE_IN_PROGRESS"})).is_empty());
    world.check_refusals(
        "ListTaskDefinitions",
        &[
            (json!({"maxResults": 101}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"nextToken": "?"}), "InvalidParameterException: Invalid token."),
            (
                json!({"status": "GONE"}),
                "InvalidParameterException: status should be one of [ACTIVE,INACTIVE,DELETE_IN_PROGRESS]",
            ),
            (json!({"sort": "UP"}), "InvalidParameterException: sort should be one of [ASC,DESC]"),
        ],
    );
}

#[test]
fn families_are_listed_by_prefix_and_status() {
    let mut world = World::new();
    for family in ["web-a", "web-b", "db", "old"] {
        register(&mut world, family);
    }
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "old:1"}));
    let mut list = |request: Value| world.call("ListTaskDefinitionFamilies", request)["families"].clone();
    assert_eq!(list(json!({})), json!(["db", "old", "web-a", "web-b"]));
    assert_eq!(list(json!({"status": "ALL"})), json!(["db", "old", "web-a", "web-b"]));
    assert_eq!(list(json!({"status": "ACTIVE"})), json!(["db", "web-a", "web-b"]));
    assert_eq!(list(json!({"status": "INACTIVE"})), json!(["old"]));
    assert_eq!(list(json!({"familyPrefix": "web-"})), json!(["web-a", "web-b"]));
    let first = world.call("ListTaskDefinitionFamilies", json!({"maxResults": 3}));
    assert_eq!(first["families"], json!(["db", "old", "web-a"]));
    let second = world.call("ListTaskDefinitionFamilies", json!({"maxResults": 3, "nextToken": first["nextToken"]}));
    assert_eq!(second, json!({"families": ["web-b"]}));
    world.check_refusals(
        "ListTaskDefinitionFamilies",
        &[(json!({"status": "GONE"}), "InvalidParameterException: status should be one of [ACTIVE,INACTIVE,ALL]")],
    );
}

#[test]
fn deregistering_makes_a_definition_inactive() {
    let mut world = World::new();
    register(&mut world, "f");
    let answer = world.call("DeregisterTaskDefinition", json!({"taskDefinition": arn("f:1")}));
    assert_eq!(answer["taskDefinition"]["status"], "INACTIVE");
    assert_eq!(answer["taskDefinition"]["deregisteredAt"], 1_700_000_000);
    let again = world.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:1"}));
    assert_eq!(again, answer);
    world.check_refusals(
        "DeregisterTaskDefinition",
        &[
            (json!({"taskDefinition": "f"}), "ClientException: Revision is missing."),
            (json!({"taskDefinition": "f:2"}), "ClientException: The specified task definition does not exist."),
            (json!({"taskDefinition": "f:x"}), "InvalidParameterException: Invalid revision number. Number: x"),
        ],
    );
}

#[test]
fn a_deleted_definition_stays_while_a_task_uses_it() {
    let mut world = World::new();
    register(&mut world, "f");
    register(&mut world, "f");
    let task = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Running);
    for name in ["f:1", "f:2"] {
        world.call("DeregisterTaskDefinition", json!({"taskDefinition": name}));
    }
    assert_eq!(sweep(&mut world.txn), 0);
    let answer = world.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:1", arn("f:2")]}));
    let statuses: Vec<&Value> =
        answer["taskDefinitions"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, ["DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS"]);
    assert_eq!(answer["taskDefinitions"][0]["deleteRequestedAt"], 1_700_000_000);
    assert_eq!(answer["failures"], json!([]));

    assert_eq!(sweep(&mut world.txn), 1);
    let used = world.call("DescribeTaskDefinition", json!({"taskDefinition": "f:1"}));
    assert_eq!(used["taskDefinition"]["status"], "DELETE_IN_PROGRESS");
    let unused = world.refused("DescribeTaskDefinition", json!({"taskDefinition": "f:2"}));
    assert_eq!(unused, "ClientException: Unable to describe task definition.");

    world.txn.update(&task, |row: &mut Task| row.last_status = TaskStatus::Stopped);
    assert_eq!(sweep(&mut world.txn), 1);
    world.refused("DescribeTaskDefinition", json!({"taskDefinition": "f:1"}));
}

#[test]
fn what_cannot_be_deleted_is_a_failure_of_its_own() {
    let mut world = World::new();
    register(&mut world, "f");
    register(&mut world, "f");
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "f:2"}));
    let answer = world.call("DeleteTaskDefinitions", json!({"taskDefinitions": ["f:1", "f:2", "f:3", "f", "f:x"]}));
    assert_eq!(answer["taskDefinitions"].as_array().unwrap().len(), 1);
    let invalid = "The specified task definition identifier is invalid. Specify a valid name or ARN and try again.";
    let active = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
    assert_eq!(
        answer["failures"],
        json!([
            {"arn": "f:1", "reason": active},
            {"arn": "f:3", "reason": "TASK_DEFINITION_NOT_FOUND"},
            {"arn": "f", "reason": invalid},
            {"arn": "f:x", "reason": invalid},
        ])
    );
    world.check_refusals(
        "DeleteTaskDefinitions",
        &[
            (
                json!({"taskDefinitions": []}),
                "InvalidParameterException: size of TaskDefinition references list must be greater than 0",
            ),
            (
                json!({"taskDefinitions": vec!["f:1"; 11]}),
                "InvalidParameterException: Size of TaskDefinition references list cannot exceed 10",
            ),
        ],
    );
}
