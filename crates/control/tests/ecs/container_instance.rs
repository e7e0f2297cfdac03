//! ListContainerInstances, DescribeContainerInstances, DeregisterContainerInstance, UpdateContainerInstancesState.

use std::time::Duration;

use control::ecs::container_instance::{INACTIVE_RETENTION, sweep};
use model::link::ReportedStatus;
use model::{Attribute, ContainerInstance, ContainerInstanceId, NodeId, Resources, Tag};
use serde_json::{Value, json};

use crate::fleet::{change_node, empty, free, in_zone_a, instance_arn, one_node, put_node, report, run};
use crate::world::World;

#[test]
fn an_instance_shows_its_node() {
    let mut world = one_node();
    let running = run(&mut world, json!({"taskDefinition": "host"}));
    report(&mut world, &running, ReportedStatus::Running);
    run(&mut world, json!({"taskDefinition": "job"}));
    world.txn.update(&ContainerInstanceId(1), |row: &mut ContainerInstance| {
        row.tags = vec![Tag { key: "a".to_owned(), value: "1".to_owned() }];
        row.custom_attributes = vec![Attribute { name: "rack".to_owned(), value: Some("r1".to_owned()) }];
    });
    let request = json!({"containerInstances": [instance_arn(1)], "include": ["TAGS", "CONTAINER_INSTANCE_HEALTH"]});
    let instance = world.call("DescribeContainerInstances", request)["containerInstances"][0].take();

    let integer = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value, "doubleValue": 0, "longValue": 0});
    let set = |name: &str, values: &[&str]| json!({"name": name, "type": "STRINGSET", "stringSetValue": values, "integerValue": 0, "doubleValue": 0, "longValue": 0});
    let resources = |cpu, memory, ports: &[&str]| {
        json!([integer("CPU", cpu), integer("MEMORY", memory), set("PORTS", ports), set("PORTS_UDP", &[])])
    };
    assert_eq!(
        instance,
        json!({
            "agentConnected": true,
            "attachments": [],
            "attributes": instance["attributes"],
            "containerInstanceArn": instance_arn(1),
            "ec2InstanceId": "i-00000000000000001",
            "healthStatus": {"overallStatus": "OK", "details": [{"type": "AGENT_CONNECTIVITY", "status": "OK"}]},
            "pendingTasksCount": 1,
            "registeredAt": 1_700_000_000,
            "registeredResources": resources(2048, 4096, &["22"]),
            "remainingResources": resources(1948, 3840, &["22", "8080"]),
            "runningTasksCount": 1,
            "status": "ACTIVE",
            "tags": [{"key": "a", "value": "1"}],
            "version": 3,
            "versionInfo": {"agentVersion": "1.2.3", "dockerVersion": "containerd: 1.6.20"},
        })
    );
    let value = |name: &str| {
        let attributes = instance["attributes"].as_array().unwrap();
        attributes.iter().find(|attribute| attribute["name"] == name).map(|attribute| attribute["value"].clone())
    };
    assert_eq!(value("ecs.availability-zone"), Some(json!("us-east-1a")));
    assert_eq!(value("ecs.cpu-architecture"), Some(json!("x86_64")));
    assert_eq!(value("ecs.subnet-id"), Some(json!(crate::fleet::SUBNET_A)));
    assert_eq!(value("ecs.capability.task-eni"), Some(Value::Null));
    assert_eq!(value("rack"), Some(json!("r1")));
}

#[test]
fn describe_tells_what_is_missing() {
    let mut world = one_node();
    let short = format!("{:032x}", 1);
    let answer =
        world.call("DescribeContainerInstances", json!({"containerInstances": [short, format!("{:032x}", 9)]}));
    assert_eq!(answer["containerInstances"][0]["tags"], json!([]));
    assert_eq!(answer["containerInstances"][0]["healthStatus"], Value::Null);
    assert_eq!(answer["failures"], json!([{"arn": instance_arn(9), "reason": "MISSING"}]));
    world.check_refusals(
        "DescribeContainerInstances",
        &[
            (json!({"containerInstances": []}), "ClientException: Container Instances cannot be empty."),
            (
                json!({"containerInstances": vec![instance_arn(1); 101]}),
                "InvalidParameterException: containerInstances can have at most 100 items.",
            ),
            (
                json!({"containerInstances": ["x"]}),
                "InvalidParameterException: containerInstanceId length should be one of [32,36]",
            ),
            (
                json!({"containerInstances": [instance_arn(1)], "include": ["ALL"]}),
                "InvalidParameterException: include should be one of [TAGS,CONTAINER_INSTANCE_HEALTH], not 'ALL'",
            ),
            (
                json!({"containerInstances": [instance_arn(1)], "cluster": "nowhere"}),
                "ClusterNotFoundException: Cluster not found.",
            ),
        ],
    );
}

fn listed(world: &mut World, request: Value) -> Vec<u128> {
    let answer = world.call("ListContainerInstances", request);
    let arns = answer["containerInstanceArns"].as_array().unwrap().clone();
    let id = |arn: &Value| arn.as_str().unwrap().rsplit('/').next().unwrap().parse::<ContainerInstanceId>().unwrap().0;
    arns.iter().map(id).collect()
}

#[test]
fn list_has_status_filter_and_pages() {
    let mut world = empty();
    for number in 1..=5 {
        put_node(&mut world, number, if number == 3 { "us-east-1b" } else { "us-east-1a" });
    }
    change_node(&mut world, 4, |node| node.connected = false);
    world.call("UpdateContainerInstancesState", json!({"containerInstances": [instance_arn(2)], "status": "DRAINING"}));
    world.call("DeregisterContainerInstance", json!({"containerInstance": instance_arn(5)}));
    let start = json!({"taskDefinition": "job", "group": "g", "containerInstances": [instance_arn(1)]});
    world.call("StartTask", start);

    assert_eq!(listed(&mut world, json!({})), [1, 2, 3, 4]);
    assert_eq!(listed(&mut world, json!({"status": "ACTIVE"})), [1, 3, 4]);
    assert_eq!(listed(&mut world, json!({"status": "DRAINING"})), [2]);
    assert_eq!(listed(&mut world, json!({"status": "REGISTERING"})), Vec::<u128>::new());
    let zone = "attribute:ecs.availability-zone == us-east-1b";
    assert_eq!(listed(&mut world, json!({"filter": zone})), [3]);
    assert_eq!(listed(&mut world, json!({"filter": "task:group == g or agentConnected == false"})), [1, 4]);
    assert_eq!(listed(&mut world, json!({"filter": "ec2InstanceId =~ i-0+2"})), [2]);
    assert_eq!(listed(&mut world, json!({"filter": "agentVersion >= 1.3"})), Vec::<u128>::new());

    let first = world.call("ListContainerInstances", json!({"maxResults": 3}));
    let second = listed(&mut world, json!({"maxResults": 3, "nextToken": first["nextToken"]}));
    assert_eq!(second, [4]);

    world.check_refusals(
        "ListContainerInstances",
        &[
            (json!({"cluster": "nowhere"}), "ClusterNotFoundException: Cluster not found."),
            (
                json!({"filter": "zone == a"}),
                "InvalidParameterException: Invalid filter: 'zone' is not a subject; those are agentConnected, \
                 agentVersion, attribute:<name>, ec2InstanceId, registeredAt, runningTasksCount and task:group.",
            ),
            (
                json!({"status": "BROKEN"}),
                "InvalidParameterException: status should be one of \
                 [ACTIVE,DRAINING,REGISTERING,DEREGISTERING,REGISTRATION_FAILED]",
            ),
            (json!({"maxResults": 101}), "InvalidParameterException: maxResults must be between 1 and 100."),
            (json!({"nextToken": "YWJj"}), "InvalidParameterException: Invalid token."),
        ],
    );
}

#[test]
fn a_draining_instance_takes_no_task() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    let drain = json!({"containerInstances": [instance_arn(1), format!("{:032x}", 9)], "status": "DRAINING"});
    let answer = world.call("UpdateContainerInstancesState", drain);
    let instance = &answer["containerInstances"][0];
    assert_eq!((&instance["status"], &instance["version"]), (&json!("DRAINING"), &json!(2)));
    assert_eq!(answer["failures"], json!([{"arn": instance_arn(9), "reason": "MISSING"}]));
    let tasks = world.call("RunTask", json!({"taskDefinition": "job", "count": 5}))["tasks"].take();
    assert!(tasks.as_array().unwrap().iter().all(|task| task["containerInstanceArn"] == instance_arn(2)));

    let undo = json!({"containerInstances": [instance_arn(1)], "status": "ACTIVE"});
    assert_eq!(world.call("UpdateContainerInstancesState", undo)["containerInstances"][0]["status"], "ACTIVE");
    world.call(
        "UpdateContainerInstancesState",
        json!({
            "containerInstances": [instance_arn(1), instance_arn(2)], "status": "DRAINING",
        }),
    );
    let none = world.refused("RunTask", json!({"taskDefinition": "job"}));
    assert_eq!(none, "InvalidParameterException: No Container Instances were found in your cluster.");

    let fargate = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a()});
    let detail = world.call("RunTask", fargate)["failures"][0]["detail"].take();
    let draining = "the container instance is DRAINING";
    assert_eq!(detail, format!("node-1: {draining}; node-2: {draining}"));

    let status = "InvalidParameterException: Container instance status should be one of [ACTIVE, DRAINING]";
    world.check_refusals(
        "UpdateContainerInstancesState",
        &[
            (json!({"containerInstances": [instance_arn(1)], "status": "INACTIVE"}), status),
            (json!({"containerInstances": [instance_arn(1)], "status": "REGISTERING"}), status),
            (
                json!({"containerInstances": [], "status": "ACTIVE"}),
                "ClientException: Container Instances cannot be empty.",
            ),
            (
                json!({"containerInstances": vec![instance_arn(1); 11], "status": "ACTIVE"}),
                "InvalidParameterException: containerInstances can have at most 10 items.",
            ),
        ],
    );
}

#[test]
fn an_instance_with_tasks_leaves_only_by_force() {
    let mut world = one_node();
    let ec2 = run(&mut world, json!({"taskDefinition": "web", "networkConfiguration": in_zone_a()}));
    let fargate = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a()});
    let fargate = run(&mut world, fargate);
    let request = json!({"containerInstance": instance_arn(1)});
    let refused = world.refused("DeregisterContainerInstance", request);
    assert_eq!(refused, "InvalidParameterException: Found running tasks on the instance.");

    let request = json!({"containerInstance": instance_arn(1), "force": true});
    let instance = world.call("DeregisterContainerInstance", request.clone())["containerInstance"].take();
    assert_eq!((&instance["status"], &instance["agentConnected"]), (&json!("INACTIVE"), &json!(false)));
    let tasks = world.call("DescribeTasks", json!({"tasks": [ec2, fargate]}))["tasks"].take();
    let shown = ["lastStatus", "stopCode", "stoppedReason"].map(|field| tasks[0][field].clone());
    let reason = "Container instance deregistration forced by user";
    assert_eq!(shown, ["STOPPED", "ServiceSchedulerInitiated", reason]);
    assert_eq!(tasks[1]["desiredStatus"], "RUNNING", "FARGATE tasks are not the instance's");

    let node = world.txn.nodes.get(&NodeId(1)).unwrap().clone();
    assert_eq!((free(&world, 1), node.container_instance), ((2048 - 256, 4096 - 512), None));
    assert_eq!(world.txn.interfaces.len(), 2, "the node has the stopped task's still");
    let held = world.txn.tasks_on_node(NodeId(1)).map(|task| &task.reservation);
    assert_eq!(plan::node::free(&node.total, held), Resources { ..node.free.clone() });

    let not_found = "InvalidParameterException: The referenced container instance was not found.";
    world.check_refusals(
        "DeregisterContainerInstance",
        &[
            (request, not_found),
            (json!({"containerInstance": format!("{:032x}", 9)}), not_found),
            (
                json!({"containerInstance": ""}),
                "InvalidParameterException: containerInstanceId length should be one of [32,36]",
            ),
            (
                json!({"containerInstance": instance_arn(1), "cluster": "nowhere"}),
                "ClusterNotFoundException: Cluster not found.",
            ),
        ],
    );
    let described = world.call("DescribeContainerInstances", json!({"containerInstances": [instance_arn(1)]}));
    assert_eq!(described["containerInstances"][0]["status"], "INACTIVE");
    let answer = world
        .call("UpdateContainerInstancesState", json!({"containerInstances": [instance_arn(1)], "status": "ACTIVE"}));
    assert_eq!(answer["failures"], json!([{"arn": instance_arn(1), "reason": "INACTIVE"}]));
}

#[test]
fn the_version_rises_with_what_is_taken_and_outlives_the_membership() {
    let mut world = one_node();
    let version = |world: &mut World| {
        let answer = world.call("DescribeContainerInstances", json!({"containerInstances": [instance_arn(1)]}));
        answer["containerInstances"][0]["version"].as_u64().unwrap()
    };
    assert_eq!(version(&mut world), 1);
    world.call("RunTask", json!({"taskDefinition": "job", "count": 3}));
    assert_eq!(version(&mut world), 2, "one change of resources, however many tasks");
    let wanted = json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a()});
    run(&mut world, wanted);
    assert_eq!(version(&mut world), 3, "FARGATE tasks take from the same node");
    world.call("PutAttributes", json!({"attributes": [{"name": "a", "targetId": instance_arn(1)}]}));
    assert_eq!(version(&mut world), 4);
    world.call("DeregisterContainerInstance", json!({"containerInstance": instance_arn(1), "force": true}));
    assert_eq!(version(&mut world), 5);
    change_node(&mut world, 1, |node| node.changes += 7);
    assert_eq!(version(&mut world), 5, "what becomes of the node is no longer its concern");
}

#[test]
fn a_deregistered_instance_is_described_until_its_retention_is_over() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    world.pass(INACTIVE_RETENTION);
    world.call("DeregisterContainerInstance", json!({"containerInstance": instance_arn(1)}));
    let short_of = INACTIVE_RETENTION - Duration::from_millis(1);
    assert_eq!(sweep(&mut world.txn, world.now.plus(short_of)), 0);
    assert_eq!(sweep(&mut world.txn, world.now.plus(INACTIVE_RETENTION)), 1);
    let wanted = json!({"containerInstances": [instance_arn(1), instance_arn(2)]});
    let answer = world.call("DescribeContainerInstances", wanted);
    assert_eq!(answer["failures"], json!([{"arn": instance_arn(1), "reason": "MISSING"}]));
    assert_eq!(answer["containerInstances"][0]["status"], "ACTIVE");
}
