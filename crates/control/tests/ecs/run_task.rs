//! RunTask and StartTask: what is started, where, and what is refused.

use std::collections::BTreeSet;

use model::{InstanceStatus, Node, NodeId};
use serde_json::{Value, json};

use crate::fleet::{SUBNET_A, change_node, empty, free, id_of, in_zone_a, instance_arn, one_node, put_node, run};

const CAPACITY: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";

#[test]
fn a_fargate_task_begins_as_aws_shows_it() {
    let mut world = one_node();
    let answer = world.call(
        "RunTask",
        json!({
            "taskDefinition": "web", "launchType": "FARGATE", "startedBy": "me", "networkConfiguration": in_zone_a(),
            "tags": [{"key": "a", "value": "1"}],
        }),
    );
    assert_eq!(answer["failures"], json!([]));
    let task = &answer["tasks"][0];
    let arn = task["taskArn"].as_str().unwrap();
    let id = id_of(arn);
    assert_eq!(arn, format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"));
    let container = task["containers"][0].clone();
    let container_prefix = format!("arn:aws:ecs:us-east-1:000000000000:container/default/{id}/");
    assert!(container["containerArn"].as_str().unwrap().starts_with(&container_prefix));
    assert_eq!(
        *task,
        json!({
            "attachments": [{
                "id": task["attachments"][0]["id"], "type": "ElasticNetworkInterface", "status": "PRECREATED",
                "details": [{"name": "subnetId", "value": SUBNET_A}],
            }],
            "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
            "availabilityZone": "us-east-1a",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "containers": [{
                "containerArn": container["containerArn"], "taskArn": arn, "name": "main", "image": "busybox",
                "lastStatus": "PENDING", "healthStatus": "UNKNOWN", "cpu": "0", "networkBindings": [],
                "networkInterfaces": [],
            }],
            "cpu": "256",
            "createdAt": 1_700_000_000,
            "desiredStatus": "RUNNING",
            "enableExecuteCommand": false,
            "ephemeralStorage": {"sizeInGiB": 20},
            "fargateEphemeralStorage": {"sizeInGiB": 20},
            "group": "family:web",
            "healthStatus": "UNKNOWN",
            "inferenceAccelerators": [],
            "lastStatus": "PROVISIONING",
            "launchType": "FARGATE",
            "memory": "512",
            "overrides": {"containerOverrides": [{"name": "main"}], "inferenceAcceleratorOverrides": []},
            "platformFamily": "Linux",
            "platformVersion": "1.4.0",
            "startedBy": "me",
            "tags": [{"key": "a", "value": "1"}],
            "taskArn": arn,
            "taskDefinitionArn": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1",
            "version": 1,
        })
    );
    assert_eq!(free(&world, 1), (2048 - 256, 4096 - 512));
}

#[test]
fn an_ec2_task_takes_what_its_containers_reserve() {
    let mut world = one_node();
    let answer = world.call("RunTask", json!({"taskDefinition": "both:1", "group": "mine"}));
    let task = &answer["tasks"][0];
    let shown = ["launchType", "group", "cpu", "memory", "lastStatus", "containerInstanceArn", "platformVersion"];
    let shown: Vec<_> = shown.iter().map(|field| task[field].clone()).collect();
    let expected = [json!("EC2"), json!("mine"), json!("200"), json!("256"), json!("PENDING"), json!(instance_arn(1))];
    assert_eq!(shown[..6], expected);
    assert_eq!(shown[6], Value::Null);
    assert_eq!(task["attachments"], json!([]));
    assert_eq!(task["containers"][1]["cpu"], "100");
    assert_eq!(task["containers"][1]["memory"], "128");
    assert_eq!(free(&world, 1), (2048 - 200, 4096 - 256));

    let external = world.call("RunTask", json!({"taskDefinition": "job", "launchType": "EXTERNAL"}));
    assert_eq!(external["tasks"][0]["containerInstanceArn"], instance_arn(1));
}

#[test]
fn every_interface_has_an_address_of_its_own() {
    let mut world = one_node();
    let request = json!({
        "taskDefinition": "web", "launchType": "FARGATE", "count": 8, "networkConfiguration": in_zone_a(),
    });
    assert_eq!(world.call("RunTask", request)["tasks"].as_array().unwrap().len(), 8);
    let interfaces: Vec<_> = world.txn.interfaces_in_subnet(SUBNET_A).cloned().collect();
    let addresses: BTreeSet<_> = interfaces.iter().map(|interface| interface.address).collect();
    assert_eq!((interfaces.len(), addresses.len()), (8, 8));
    let vpc = model::network::Vpc::default_of(&world.scope());
    for interface in &interfaces {
        assert!(vpc.subnets[0].contains(interface.address));
        assert_eq!(interface.security_groups.as_slice(), std::slice::from_ref(&vpc.security_group_id));
        let task = world.txn.tasks.get(&interface.task.unwrap()).unwrap();
        let attachment = task.attachment.as_ref().unwrap();
        assert_eq!((&attachment.interface_id, attachment.address), (&interface.id, interface.address));
    }
}

#[test]
fn fargate_spreads_over_subnets_whatever_the_zone_of_its_node() {
    let mut world = one_node();
    let vpc = model::network::Vpc::default_of(&world.scope());
    let subnets: Vec<_> = vpc.subnets.iter().map(|subnet| subnet.id.clone()).collect();
    let answer = world.call(
        "RunTask",
        json!({
            "taskDefinition": "web", "launchType": "FARGATE", "count": 3,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets, "assignPublicIp": "ENABLED"}},
        }),
    );
    let zones: BTreeSet<_> = (0..3).map(|n| answer["tasks"][n]["availabilityZone"].to_string()).collect();
    assert_eq!(zones.len(), 3);
}

#[test]
fn what_does_not_fit_is_a_failure_that_says_why() {
    let mut world = one_node();
    let answer = world.call("RunTask", json!({"taskDefinition": "host", "count": 2}));
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 1);
    let failure = json!({"arn": instance_arn(1), "reason": "RESOURCE:PORTS", "detail": "host port 8080/tcp is taken"});
    assert_eq!(answer["failures"], json!([failure]));

    let fargate = json!({
        "taskDefinition": "web", "launchType": "FARGATE", "count": 10, "networkConfiguration": in_zone_a(),
    });
    let answer = world.call("RunTask", fargate.clone());
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 7);
    let detail = "node-1: the task needs 512 MiB of memory and 384 are free";
    assert_eq!(answer["failures"], json!(vec![json!({"reason": CAPACITY, "detail": detail}); 3]));

    change_node(&mut world, 1, |node| node.offers_fargate = false);
    let answer = world.call("RunTask", fargate);
    assert_eq!(answer["failures"][9]["detail"], "No node offers capacity to FARGATE.");
}

#[test]
fn failures_have_the_reasons_of_aws() {
    let check = |change: fn(&mut Node), request: Value, reason: &str| {
        let mut world = one_node();
        change_node(&mut world, 1, change);
        let answer = world.call("RunTask", request);
        assert_eq!(answer["failures"][0]["reason"], reason);
        assert_eq!(answer["tasks"], json!([]));
    };
    let job = json!({"taskDefinition": "job"});
    check(|node| node.free.cpu.0 = 99, job.clone(), "RESOURCE:CPU");
    check(|node| node.free.memory.0 = 127, job.clone(), "RESOURCE:MEMORY");
    check(|node| node.connected = false, job, "AGENT");
    let awsvpc = json!({"taskDefinition": "web", "networkConfiguration": in_zone_a()});
    check(|node| node.attributes = [].into(), awsvpc.clone(), "ATTRIBUTE");
    check(|node| node.zone = "us-east-1b".to_owned(), awsvpc, "LOCATION");
    let member = json!([{"type": "memberOf", "expression": "attribute:rack == a"}]);
    let member = json!({"taskDefinition": "job", "placementConstraints": member});
    check(|_| {}, member, "MemberOf placement constraint unsatisfied.");
}

#[test]
fn constraints_and_strategies_decide_the_instance() {
    let mut world = empty();
    for (number, zone) in [(1, "us-east-1a"), (2, "us-east-1a"), (3, "us-east-1b")] {
        put_node(&mut world, number, zone);
    }
    change_node(&mut world, 2, |node| node.free.memory.0 = 1000);
    let mut nodes = |request: Value| -> Vec<u128> {
        let mut answer = world.call("RunTask", request);
        let tasks = answer["tasks"].take();
        let arn = |task: &Value| id_of(task["taskArn"].as_str().unwrap());
        let mut on: Vec<_> = tasks
            .as_array()
            .unwrap()
            .iter()
            .map(|task| world.txn.tasks.get(&arn(task)).unwrap().node.unwrap().0)
            .collect();
        on.sort_unstable();
        on
    };
    let zone = "attribute:ecs.availability-zone";
    let distinct = json!([{"type": "distinctInstance"}]);
    assert_eq!(nodes(json!({"taskDefinition": "job", "count": 4, "placementConstraints": distinct})), [1, 2, 3]);
    let binpack = json!([{"type": "binpack", "field": "memory"}]);
    assert_eq!(nodes(json!({"taskDefinition": "job", "count": 3, "placementStrategy": binpack})), [2, 2, 2]);
    let spread = json!([{"type": "spread", "field": zone}]);
    let over_zones = nodes(json!({"taskDefinition": "job", "count": 4, "group": "g", "placementStrategy": spread}));
    assert_eq!(over_zones.iter().filter(|node| **node == 3).count(), 2);
    let member = json!([{"type": "memberOf", "expression": format!("{zone} == us-east-1b and task:group == g")}]);
    assert_eq!(nodes(json!({"taskDefinition": "job", "count": 2, "placementConstraints": member})), [3, 3]);
}

#[test]
fn tags_come_from_the_caller_the_definition_and_ecs() {
    let mut world = one_node();
    let request = json!({
        "taskDefinition": "web", "networkConfiguration": in_zone_a(), "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": true, "tags": [{"key": "both", "value": "call"}, {"key": "own", "value": "call"}],
    });
    let tags = &world.call("RunTask", request)["tasks"][0]["tags"];
    let tags: Vec<_> = tags.as_array().unwrap().iter().map(|tag| format!("{}={}", tag["key"], tag["value"])).collect();
    let expected = ["from=definition", "both=call", "own=call", "aws:ecs:clusterName=default"];
    assert_eq!(
        tags,
        expected.map(|tag| tag.split('=').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("="))
    );
}

#[test]
fn overrides_are_merged_checked_and_echoed() {
    let mut world = one_node();
    let overrides = json!({"containerOverrides": [{
        "name": "two", "command": ["sleep", "1"], "cpu": 300, "memory": 200,
        "environment": [{"name": "A", "value": "1"}],
    }]});
    let answer = world.call("RunTask", json!({"taskDefinition": "both", "overrides": overrides}));
    let task = &answer["tasks"][0];
    assert_eq!(task["overrides"]["containerOverrides"], json!([{"name": "one"}, overrides["containerOverrides"][0]]));
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("400"), &json!("328")));
    assert_eq!(task["containers"][1]["cpu"], "300");
    assert_eq!(free(&world, 1), (2048 - 400, 4096 - 328));

    let larger = json!({"cpu": ".5 vCPU", "memory": "1GB", "ephemeralStorage": {"sizeInGiB": 30}});
    let answer = world.call(
        "RunTask",
        json!({
            "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a(), "overrides": larger,
        }),
    );
    let task = &answer["tasks"][0];
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("512"), &json!("1024")));
    assert_eq!(task["ephemeralStorage"], json!({"sizeInGiB": 30}));

    let with = |overrides: Value| json!({"taskDefinition": "job", "overrides": overrides});
    let container = |fields: Value| {
        let mut entry = json!({"name": "main"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        with(json!({"containerOverrides": [entry]}))
    };
    let long = "x".repeat(8200);
    world.check_refusals(
        "RunTask",
        &[
            (
                with(json!({"containerOverrides": [{"name": "gone"}]})),
                "InvalidParameterException: Override for container named gone is not a container in the TaskDefinition.",
            ),
            (
                with(json!({"containerOverrides": [{"name": "main"}, {"name": "main"}]})),
                "InvalidParameterException: The container main is overridden more than once.",
            ),
            (
                container(json!({"command": [long]})),
                "InvalidParameterException: Container Overrides length must be at most 8192",
            ),
            (
                with(json!({"taskRoleArn": "arn:aws:iam::000000000000:role/x"})),
                "ClientException: The field 'taskRoleArn' of the overrides is not supported by Gantry yet.",
            ),
            (
                container(json!({"environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/k.env"}]})),
                "ClientException: The field 'environmentFiles' of the override of container 'main' is not supported by \
                 Gantry yet.",
            ),
            (
                container(json!({"cpu": -1})),
                "ClientException: Invalid 'cpu' setting for the override of container 'main'. It cannot be negative.",
            ),
            (
                with(json!({"cpu": "lots"})),
                "ClientException: Invalid 'cpu' setting for task. For more information, see the Troubleshooting section \
                 of the Amazon ECS Developer Guide.",
            ),
            (
                with(json!({"ephemeralStorage": {"sizeInGiB": 30}})),
                "InvalidParameterException: ephemeralStorage can be overridden for the FARGATE launch type only.",
            ),
            (
                json!({
                    "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a(),
                    "overrides": {"cpu": "1024", "memory": "1024"},
                }),
                "ClientException: No Fargate configuration exists for given values: 1024 CPU, 1024 memory. See the \
                 Amazon ECS documentation for the valid values.",
            ),
        ],
    );
}

#[test]
fn what_is_no_run_task_is_refused() {
    let mut world = one_node();
    world.call(
        "RegisterTaskDefinition",
        json!({"family": "old", "containerDefinitions": [{"name": "main", "image": "x", "memory": 9}]}),
    );
    world.call("DeregisterTaskDefinition", json!({"taskDefinition": "old:1"}));
    world.call("CreateCluster", json!({"clusterName": "gone"}));
    world.call("DeleteCluster", json!({"cluster": "gone"}));
    world.call("CreateCluster", json!({"clusterName": "bare"}));

    let with = |fields: Value| {
        let mut request = json!({"taskDefinition": "job"});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    let network =
        |fields: Value| json!({"taskDefinition": "web", "networkConfiguration": {"awsvpcConfiguration": fields}});
    let invalid = |text: &str| format!("InvalidParameterException: {text}");
    let subnets = [SUBNET_A];
    let cases = [
        (with(json!({"cluster": "nowhere"})), "ClusterNotFoundException: Cluster not found.".to_owned()),
        (with(json!({"cluster": "gone"})), "ClusterNotFoundException: The referenced cluster was inactive.".to_owned()),
        (json!({"taskDefinition": ""}), invalid("TaskDefinition can not be blank.")),
        (json!({"taskDefinition": "gone"}), "ClientException: TaskDefinition not found.".to_owned()),
        (json!({"taskDefinition": "job:9"}), "ClientException: TaskDefinition not found.".to_owned()),
        (json!({"taskDefinition": "old:1"}), "ClientException: TaskDefinition is inactive".to_owned()),
        (json!({"taskDefinition": "job:x"}), invalid("Invalid revision number. Number: x")),
        (with(json!({"count": 0})), invalid("count must be between 1 and 10.")),
        (with(json!({"count": 11})), invalid("count must be between 1 and 10.")),
        (with(json!({"launchType": "MOON"})), invalid("launch type should be one of [EC2,FARGATE,EXTERNAL]")),
        (with(json!({"launchType": "FARGATE"})), invalid("Task definition does not support launch_type FARGATE.")),
        (
            with(json!({"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]})),
            invalid(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
            ),
        ),
        (
            with(json!({"launchType": "MANAGED_INSTANCES"})),
            "UnsupportedFeatureException: The launch type MANAGED_INSTANCES is not supported by Gantry yet.".to_owned(),
        ),
        (
            with(json!({"enableExecuteCommand": true})),
            "UnsupportedFeatureException: enableExecuteCommand is not supported by Gantry yet.".to_owned(),
        ),
        (
            with(json!({"volumeConfigurations": [{"name": "data"}]})),
            "UnsupportedFeatureException: volumeConfigurations are not supported by Gantry yet.".to_owned(),
        ),
        (
            with(json!({"platformVersion": "LATEST"})),
            invalid("The platform version must be null when specifying an EC2 launch type."),
        ),
        (
            json!({"taskDefinition": "web", "launchType": "FARGATE", "platformVersion": "9.9.9"}),
            "PlatformUnknownException: The specified platform version does not exist.".to_owned(),
        ),
        (
            with(json!({"propagateTags": "SERVICE"})),
            invalid("propagateTags can be SERVICE for the tasks of services only."),
        ),
        (
            with(json!({"tags": [{"key": "aws:x", "value": "y"}]})),
            invalid("Invalid tag key 'aws:x'. The prefix 'aws:' is reserved for AWS."),
        ),
        (
            with(json!({"startedBy": "x".repeat(129)})),
            invalid("startedBy can have at most 128 letters, digits, hyphens, underscores and slashes."),
        ),
        (with(json!({"group": "x".repeat(256)})), invalid("group can have at most 255 characters.")),
        (
            with(json!({"group": "service:web"})),
            invalid("The group prefix 'service:' is kept for the tasks of services."),
        ),
        (with(json!({"cluster": "bare"})), invalid("No Container Instances were found in your cluster.")),
        (
            json!({"taskDefinition": "web"}),
            invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."),
        ),
        (
            with(json!({"networkConfiguration": in_zone_a()})),
            invalid("Network Configuration is not valid for the given networkMode of this task definition."),
        ),
        (network(json!({"subnets": []})), invalid("subnets can not be empty.")),
        (network(json!({"subnets": vec![SUBNET_A; 17]})), invalid("subnets can have at most 16 items.")),
        (
            network(json!({"subnets": ["subnet-1"]})),
            invalid(
                "Error retrieving subnet information for [subnet-1]: The subnet ID 'subnet-1' does not exist (ErrorCode: \
                 InvalidSubnetID.NotFound)",
            ),
        ),
        (
            network(json!({"subnets": subnets, "securityGroups": ["sg-1"]})),
            invalid(
                "Error retrieving security group information for [sg-1]: The security group 'sg-1' does not exist \
                 (ErrorCode: InvalidGroup.NotFound)",
            ),
        ),
        (
            network(json!({"subnets": subnets, "securityGroups": ["sg-1", "a", "b", "c", "d", "e"]})),
            invalid("securityGroups can have at most 5 items."),
        ),
        (
            network(json!({"subnets": subnets, "assignPublicIp": "ENABLED"})),
            invalid("Assign public IP is not supported for this launch type."),
        ),
        (
            with(json!({"placementConstraints": [{"type": "memberOf", "expression": "a b"}]})),
            invalid(
                "Invalid expression: 'a' is not a subject; those are agentConnected, agentVersion, attribute:<name>, \
                 ec2InstanceId, registeredAt, runningTasksCount and task:group.",
            ),
        ),
        (
            with(json!({"placementConstraints": [{"type": "memberOf"}]})),
            invalid("A placement constraint of type memberOf needs an expression."),
        ),
        (
            with(json!({"placementConstraints": [{"type": "distinctInstance", "expression": "x"}]})),
            invalid("A placement constraint of type distinctInstance takes no expression."),
        ),
        (
            with(json!({"placementConstraints": [{"type": "near"}]})),
            invalid("The type of a placement constraint should be one of [distinctInstance,memberOf]"),
        ),
        (
            with(json!({"placementConstraints": vec![json!({"type": "distinctInstance"}); 11]})),
            invalid("A task can have at most 10 placement constraints."),
        ),
        (
            with(json!({"placementStrategy": vec![json!({"type": "random"}); 6]})),
            invalid("A task can have at most 5 placement strategies."),
        ),
        (
            with(json!({"placementStrategy": [{"type": "binpack", "field": "disk"}]})),
            invalid("The field 'disk' is not one that a placement strategy of type binpack can have: cpu or memory."),
        ),
        (
            with(json!({"placementStrategy": [{"type": "spread", "field": "zone"}]})),
            invalid(
                "The field 'zone' is not one that a placement strategy of type spread can have: instanceId, host or \
                 attribute:<name>.",
            ),
        ),
        (
            json!({
                "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a(),
                "placementConstraints": [{"type": "distinctInstance"}],
            }),
            invalid("Placement constraints are not supported with FARGATE launch type."),
        ),
        (
            json!({
                "taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a(),
                "placementStrategy": [{"type": "random"}],
            }),
            invalid("Placement strategies are not supported with FARGATE launch type."),
        ),
        (
            with(json!({"clientToken": "x".repeat(65)})),
            invalid("clientToken can have at most 64 printable ASCII characters without spaces."),
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(request, expected)| (request.clone(), expected.as_str())).collect();
    world.check_refusals("RunTask", &cases);
    assert_eq!(world.txn.tasks.len(), 0);
}

#[test]
fn a_client_token_runs_its_tasks_once() {
    let mut world = one_node();
    let request = json!({"taskDefinition": "job", "count": 2, "clientToken": "once"});
    let first = world.call("RunTask", request.clone());
    let again = world.call("RunTask", request);
    assert_eq!(again, first);
    assert_eq!(world.txn.tasks.len(), 2);
    let other = world.refused("RunTask", json!({"taskDefinition": "job", "count": 1, "clientToken": "once"}));
    assert_eq!(other, "ConflictException: The clientToken was used with another request before.");
    world.call("RunTask", json!({"taskDefinition": "job", "clientToken": "twice"}));
    assert_eq!(world.txn.tasks.len(), 3);
}

#[test]
fn a_token_that_ran_nothing_may_be_tried_again() {
    let mut world = one_node();
    change_node(&mut world, 1, |node| node.connected = false);
    let request = json!({"taskDefinition": "job", "clientToken": "later"});
    assert_eq!(world.call("RunTask", request.clone())["failures"][0]["reason"], "AGENT");
    change_node(&mut world, 1, |node| node.connected = true);
    assert_eq!(world.call("RunTask", request)["tasks"].as_array().unwrap().len(), 1);
}

/// What an abandoned call had placed is not remembered.
#[test]
fn the_ledger_follows_the_tables() {
    let mut world = one_node();
    let before = world.txn.nodes.clone();
    run(&mut world, json!({"taskDefinition": "host"}));
    let placed = world.txn.nodes.get(&NodeId(1)).unwrap().clone();
    assert_ne!(before.get(&NodeId(1)), Some(&placed));
    world.txn = store::Txn::on(&rolled_back(&world, &before));
    run(&mut world, json!({"taskDefinition": "host"}));
}

fn rolled_back(world: &crate::world::World, nodes: &store::Table<Node>) -> store::Tables {
    let mut tables = store::Tables::clone(&world.txn);
    tables.nodes = nodes.clone();
    tables.tasks = store::Table::default();
    tables
}

#[test]
fn start_task_uses_the_instances_that_are_named() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    put_node(&mut world, 3, "us-east-1a");
    world.txn.update(&model::ContainerInstanceId(3), |row: &mut model::ContainerInstance| {
        row.status = InstanceStatus::Inactive;
    });
    let (one, two, unknown) = (format!("{:032x}", 1), instance_arn(2), format!("{:032x}", 9));
    let answer = world.call(
        "StartTask",
        json!({"taskDefinition": "host", "containerInstances": [one, two, two, unknown, instance_arn(3)]}),
    );
    let on: Vec<_> = (0..2).map(|n| answer["tasks"][n]["containerInstanceArn"].clone()).collect();
    assert_eq!(on, [instance_arn(1), instance_arn(2)]);
    assert_eq!(answer["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(
        answer["failures"],
        json!([
            {"arn": instance_arn(2), "reason": "RESOURCE:PORTS", "detail": "host port 8080/tcp is taken"},
            {"arn": instance_arn(9), "reason": "MISSING"},
            {"arn": instance_arn(3), "reason": "INACTIVE"},
        ])
    );

    let with = |fields: Value| {
        let mut request = json!({"taskDefinition": "job", "containerInstances": [instance_arn(1)]});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    world.check_refusals(
        "StartTask",
        &[
            (with(json!({"containerInstances": []})), "ClientException: Container Instances cannot be empty."),
            (
                with(json!({"containerInstances": vec!["a"; 11]})),
                "InvalidParameterException: containerInstances can have at most 10 items.",
            ),
            (
                with(json!({"containerInstances": ["a"]})),
                "InvalidParameterException: containerInstanceId length should be one of [32,36]",
            ),
            (with(json!({"cluster": "nowhere"})), "ClusterNotFoundException: Cluster not found."),
            (with(json!({"taskDefinition": "gone"})), "ClientException: TaskDefinition not found."),
            (
                with(json!({"startedBy": "x".repeat(37)})),
                "InvalidParameterException: startedBy can have at most 36 letters, digits, hyphens, underscores and \
                 slashes.",
            ),
            (
                with(json!({"enableExecuteCommand": true})),
                "UnsupportedFeatureException: enableExecuteCommand is not supported by Gantry yet.",
            ),
        ],
    );
}
