use std::collections::BTreeSet;

use control::ecs::task_definition::{find_active, sweep};
use model::{CpuUnits, DesiredStatus, HealthStatus, LaunchType, MemoryMib, Resources, Task, TaskId, TaskStatus};
use serde_json::{Value, json};
use wire::schema::{Kind, Schema};

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
    });
    id
}

/// The least that can be registered.
fn plain(family: &str) -> Value {
    json!({"family": family, "containerDefinitions": [{"name": "web", "image": "busybox", "memory": 64}]})
}

/// `plain` with members of the request set.
fn with(members: Value) -> Value {
    let mut request = plain("f");
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

/// `plain` with members of its container set.
fn with_container(members: Value) -> Value {
    let mut request = plain("f");
    let container = request["containerDefinitions"][0].as_object_mut().unwrap();
    container.extend(members.as_object().unwrap().clone());
    request
}

pub fn register(world: &mut World, family: &str) -> Value {
    world.call("RegisterTaskDefinition", plain(family))["taskDefinition"].clone()
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{name}")
}

#[test]
fn defaults_are_filled_in() {
    let mut world = World::new();
    let answer = world.call("RegisterTaskDefinition", plain("f"));
    assert_eq!(
        answer,
        json!({"taskDefinition": {
            "taskDefinitionArn": arn("f:1"),
            "containerDefinitions": [{
                "name": "web",
                "image": "busybox",
                "cpu": 0,
                "memory": 64,
                "essential": true,
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
                "portMappings": [],
                "systemControls": [],
            }],
            "family": "f",
            "revision": 1,
            "volumes": [],
            "placementConstraints": [],
            "status": "ACTIVE",
            "requiresAttributes": [],
            "compatibilities": ["EC2", "EXTERNAL"],
            "registeredAt": 1_700_000_000,
            "registeredBy": "arn:aws:iam::000000000000:root",
        }})
    );

    let request = with_container(json!({
        "portMappings": [{"containerPort": 80}],
        "healthCheck": {"command": ["CMD-SHELL", "true"]},
    }));
    let container = world.call("RegisterTaskDefinition", request)["taskDefinition"]["containerDefinitions"][0].clone();
    assert_eq!(container["portMappings"], json!([{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]));
    assert_eq!(
        container["healthCheck"],
        json!({"command": ["CMD-SHELL", "true"], "interval": 30, "timeout": 5, "retries": 3})
    );
    for mode in ["host", "awsvpc"] {
        let mut request = with_container(json!({"portMappings": [{"containerPort": 80, "protocol": "udp"}]}));
        request["networkMode"] = json!(mode);
        let answer = world.call("RegisterTaskDefinition", request);
        assert_eq!(answer["taskDefinition"]["networkMode"], mode);
        let ports = &answer["taskDefinition"]["containerDefinitions"][0]["portMappings"];
        assert_eq!(*ports, json!([{"containerPort": 80, "hostPort": 80, "protocol": "udp"}]), "{mode}");
    }
}

#[test]
fn sizes_are_shown_in_units_and_mib() {
    let mut world = World::new();
    let request = with(
        json!({"cpu": ".5 vCPU", "memory": "1 GB", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}),
    );
    let definition = world.call("RegisterTaskDefinition", request)["taskDefinition"].clone();
    assert_eq!(definition["cpu"], "512");
    assert_eq!(definition["memory"], "1024");
    assert_eq!(definition["compatibilities"], json!(["EC2", "FARGATE"]));
    assert_eq!(definition["requiresCompatibilities"], json!(["FARGATE"]));
    assert!(definition["requiresAttributes"].as_array().unwrap().contains(&json!({"name": "ecs.capability.task-eni"})));
}

/// Every member that is built, with a value that says something.
fn full() -> Value {
    serde_json::from_str(include_str!("task_definition_full.json")).unwrap()
}

/// Every member that is not built, with a request that gives it. Nothing below one of these is looked at.
fn unbuilt() -> Vec<(&'static str, Value)> {
    let of_container = |member: &str, value: Value| with_container(json!({member: value}));
    let of_linux = |member: &str| with_container(json!({"linuxParameters": {member: 1}}));
    let of_volume = |member: &str, value: Value| with(json!({"volumes": [{"name": "v", member: value}]}));
    let fsx = json!({
        "fileSystemId": "f", "rootDirectory": "/", "authorizationConfig": {"credentialsParameter": "c", "domain": "d"},
    });
    let logs = json!({
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g", "awslogs-region": "r"},
        "secretOptions": [{"name": "n", "valueFrom": "v"}],
    });
    let shared_gpu = json!([{"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}]);
    vec![
        ("taskRoleArn", with(json!({"taskRoleArn": "arn:aws:iam::000000000000:role/task"}))),
        ("pidMode", with(json!({"pidMode": "task"}))),
        ("ipcMode", with(json!({"ipcMode": "task"}))),
        ("proxyConfiguration", with(json!({"proxyConfiguration": {"containerName": "web"}}))),
        ("inferenceAccelerators", with(json!({"inferenceAccelerators": [{"deviceName": "d", "deviceType": "t"}]}))),
        ("enableFaultInjection", with(json!({"enableFaultInjection": true}))),
        ("trustedExecutionConfiguration", with(json!({"trustedExecutionConfiguration": {"isolationMode": "SHARED"}}))),
        ("containerDefinitions[].credentialSpecs", of_container("credentialSpecs", json!(["credentialspec:x"]))),
        ("containerDefinitions[].disableNetworking", of_container("disableNetworking", json!(true))),
        (
            "containerDefinitions[].dockerSecurityOptions",
            of_container("dockerSecurityOptions", json!(["no-new-privileges"])),
        ),
        (
            "containerDefinitions[].environmentFiles",
            of_container("environmentFiles", json!([{"type": "s3", "value": "arn:aws:s3:::b/a.env"}])),
        ),
        (
            "containerDefinitions[].firelensConfiguration",
            of_container("firelensConfiguration", json!({"type": "fluentbit"})),
        ),
        ("containerDefinitions[].interactive", of_container("interactive", json!(true))),
        ("containerDefinitions[].links", of_container("links", json!(["db"]))),
        ("containerDefinitions[].linuxParameters.maxSwap", of_linux("maxSwap")),
        ("containerDefinitions[].linuxParameters.swappiness", of_linux("swappiness")),
        ("containerDefinitions[].logConfiguration.secretOptions", of_container("logConfiguration", logs)),
        (
            "containerDefinitions[].portMappings[].containerPortRange",
            of_container("portMappings", json!([{"containerPortRange": "80-90"}])),
        ),
        ("containerDefinitions[].pseudoTerminal", of_container("pseudoTerminal", json!(true))),
        (
            "containerDefinitions[].repositoryCredentials",
            of_container("repositoryCredentials", json!({"credentialsParameter": "p"})),
        ),
        (
            "containerDefinitions[].resourceRequirements[].sharingStrategy",
            of_container("resourceRequirements", shared_gpu),
        ),
        ("containerDefinitions[].restartPolicy", of_container("restartPolicy", json!({"enabled": true}))),
        ("containerDefinitions[].secrets", of_container("secrets", json!([{"name": "n", "valueFrom": "v"}]))),
        ("volumes[].configuredAtLaunch", of_volume("configuredAtLaunch", json!(true))),
        ("volumes[].dockerVolumeConfiguration", of_volume("dockerVolumeConfiguration", json!({"scope": "task"}))),
        ("volumes[].efsVolumeConfiguration", of_volume("efsVolumeConfiguration", json!({"fileSystemId": "fs-1"}))),
        (
            "volumes[].fsxWindowsFileServerVolumeConfiguration",
            of_volume("fsxWindowsFileServerVolumeConfiguration", fsx),
        ),
        (
            "volumes[].s3filesVolumeConfiguration",
            of_volume("s3filesVolumeConfiguration", json!({"fileSystemArn": "a"})),
        ),
    ]
}

/// The paths of the members that have no members of their own; those in `ends` count as such.
fn schema_leaves(schema: &'static Schema, path: &str, ends: &BTreeSet<String>, leaves: &mut BTreeSet<String>) {
    for member in schema.members() {
        let path = if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
        if ends.contains(&path) {
            leaves.insert(path);
            continue;
        }
        match &member.target.kind {
            Kind::Structure(_) => schema_leaves(member.target, &path, ends, leaves),
            Kind::List(element) if matches!(element.target.kind, Kind::Structure(_)) => {
                schema_leaves(element.target, &format!("{path}[]"), ends, leaves);
            }
            _ => {
                leaves.insert(path);
            }
        }
    }
}

/// The same paths of a request. Maps have keys of the caller's own and are taken whole.
fn request_leaves(value: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !path.ends_with("dockerLabels") && !path.ends_with(".options") => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                request_leaves(member, &path, leaves);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_object) => {
            items.iter().for_each(|item| request_leaves(item, &format!("{path}[]"), leaves));
        }
        _ => {
            leaves.insert(path.to_owned());
        }
    }
}

#[test]
fn every_member_of_the_model_is_either_built_or_refused() {
    let refused: BTreeSet<String> = unbuilt().iter().map(|(path, _)| (*path).to_owned()).collect();
    let (mut built, mut all) = (BTreeSet::new(), BTreeSet::new());
    request_leaves(&full(), "", &mut built);
    schema_leaves(
        wire::ecs::Request::empty("RegisterTaskDefinition").unwrap().structure().schema(),
        "",
        &refused,
        &mut all,
    );

    let in_both: Vec<&String> = built.intersection(&refused).collect();
    assert!(in_both.is_empty(), "built and refused: {in_both:?}");
    let listed: BTreeSet<String> = built.union(&refused).cloned().collect();
    assert_eq!(listed, all);
}

/// All that `part` has is in `whole`; lists have the same length.
fn assert_has(whole: &Value, part: &Value, path: &str) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                assert_has(&whole[name], member, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(whole.as_array().map(Vec::len), Some(items.len()), "{path}");
            for (index, item) in items.iter().enumerate() {
                assert_has(&whole[index], item, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(whole, part, "{path}"),
    }
}

#[test]
fn every_built_member_comes_back_as_it_went_in() {
    let mut world = World::new();
    world.call("RegisterTaskDefinition", full());
    let answer = world.call("DescribeTaskDefinition", json!({"taskDefinition": "full", "include": ["TAGS"]}));
    let mut definition = answer["taskDefinition"].clone();
    definition["tags"] = answer["tags"].clone();
    assert_has(&definition, &full(), "");
}

#[test]
fn every_unbuilt_member_is_refused_by_name() {
    let mut world = World::new();
    for (path, request) in unbuilt() {
        let member = path.rsplit('.').next().unwrap();
        let refusal = world.refused("RegisterTaskDefinition", request);
        assert!(refusal.starts_with(&format!("ClientException: The field '{member}'")), "{path}: {refusal}");
        assert!(refusal.ends_with(" is not supported by Gantry yet."), "{path}: {refusal}");
    }
    assert_eq!(world.call("ListTaskDefinitionFamilies", json!({}))["families"], json!([]));
}

#[test]
fn an_unbuilt_member_that_says_nothing_is_fine() {
    let mut world = World::new();
    let container = json!({
        "credentialSpecs": [], "disableNetworking": false, "dockerSecurityOptions": [], "environmentFiles": [],
        "interactive": false, "links": [], "pseudoTerminal": false, "restartPolicy": {"enabled": false}, "secrets": [],
        "resourceRequirements": [], "systemControls": [], "volumesFrom": [], "user": "", "command": null,
    });
    let mut request = with_container(container);
    let members = json!({
        "taskRoleArn": "", "executionRoleArn": "", "inferenceAccelerators": [], "enableFaultInjection": false,
        "volumes": [{"name": "v", "host": {}, "configuredAtLaunch": false}], "tags": [], "requiresCompatibilities": [],
    });
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let definition = world.call("RegisterTaskDefinition", request)["taskDefinition"].clone();
    let container = &definition["containerDefinitions"][0];
    assert_eq!(container["interactive"], false);
    assert_eq!(container["pseudoTerminal"], false);
    assert_eq!(container["disableNetworking"], false);
    assert_eq!(definition["volumes"], json!([{"name": "v", "host": {}}]));
    assert_eq!(definition.get("executionRoleArn"), None);
}

#[test]
fn registrations_that_aws_refuses_are_refused_in_its_words() {
    let fargate = |members: Value| {
        let mut request = with(json!({
            "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        }));
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        request
    };
    let sized = |cpu: &str, memory: &str| fargate(json!({"cpu": cpu, "memory": memory}));
    let setting = |field: &str| {
        format!(
            "ClientException: Invalid '{field}' setting for task. For more information, see the Troubleshooting section of \
             the Amazon ECS Developer Guide."
        )
    };
    let no_size = |cpu: u32, memory: u32| {
        format!(
            "ClientException: No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon \
             ECS documentation for the valid values."
        )
    };
    let mut world = World::new();
    world.check_refusals(
        "RegisterTaskDefinition",
        &[
            (json!({"family": "", "containerDefinitions": []}), "ClientException: Family should not be null or empty."),
            (json!({"family": "f", "containerDefinitions": []}), "ClientException: Container list cannot be empty."),
            (with_container(json!({"name": ""})), "ClientException: Container.name should not be null or empty."),
            (with_container(json!({"name": null})), "ClientException: Container.name should not be null or empty."),
            (with_container(json!({"image": null})), "ClientException: Container.image should not be null or empty."),
            (with_container(json!({"image": "a b"})), "ClientException: Container.image contains invalid characters."),
            (
                with_container(json!({"image": "a".repeat(256)})),
                "ClientException: Container.image repository length must be between 1 and 255 characters",
            ),
            (
                with_container(json!({"memory": null})),
                "ClientException: Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must \
                 be specified.",
            ),
            (
                with_container(json!({"memory": -1})),
                "ClientException: Invalid 'memory' setting for container 'web'. It cannot be negative.",
            ),
            (with(json!({"cpu": "lots"})), &setting("cpu")),
            (with(json!({"cpu": "64"})), &setting("cpu")),
            (with(json!({"memory": "1 TB"})), &setting("memory")),
            (sized("1024", "1024"), &no_size(1024, 1024)),
            (sized("2048", "17408"), &no_size(2048, 17408)),
            (sized("8 vCPU", "18 GB"), &no_size(8192, 18432)),
            (sized("16384", "33792"), &no_size(16384, 33792)),
            (sized("32768", "65536"), &no_size(32768, 65536)),
            (fargate(json!({"networkMode": "bridge"})), "ClientException: Fargate only supports network mode ‘awsvpc’."),
            (fargate(json!({"networkMode": null})), "ClientException: Fargate only supports network mode ‘awsvpc’."),
            (fargate(json!({"cpu": null})), "ClientException: Fargate requires that 'cpu' be defined at the task level."),
            (fargate(json!({"memory": null})), "ClientException: Fargate requires that 'memory' be defined at the task level."),
            (fargate(json!({"ephemeralStorage": {"sizeInGiB": 20}})), "ClientException: EphemeralStorage size should be at least 21."),
            (fargate(json!({"ephemeralStorage": {"sizeInGiB": 201}})), "ClientException: EphemeralStorage size should be at most 200."),
            (fargate(json!({"ephemeralStorage": {"sizeInGiB": -5}})), "ClientException: EphemeralStorage size should be at least 21."),
            (
                with(json!({"networkMode": "awsvpc", "containerDefinitions": [
                    {"name": "web", "image": "i", "memory": 8, "portMappings": [{"containerPort": 80, "hostPort": 8080}]},
                ]})),
                "ClientException: When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
            ),
            (
                with_container(json!({"portMappings": [{"containerPort": 65536}]})),
                "ClientException: Invalid 'containerPort' setting for container 'web'. It must be between 0 and 65535.",
            ),
            (
                with_container(json!({"portMappings": [{"hostPort": 80}]})),
                "ClientException: Invalid 'portMappings' setting for container 'web'. 'containerPort' must be specified.",
            ),
            (
                with_container(json!({"portMappings": [{"containerPort": 80, "protocol": "sctp"}]})),
                "ClientException: Invalid 'protocol' setting for container 'web'. It must be tcp or udp, not 'sctp'.",
            ),
            (
                with(json!({"memory": "32"})),
                "ClientException: The 'memory' setting for container is greater than for the task.",
            ),
            (
                with(json!({"requiresCompatibilities": ["LAMBDA"]})),
                "ClientException: launch type should be one of [EC2,FARGATE,EXTERNAL]",
            ),
            (
                with(json!({"requiresCompatibilities": ["MANAGED_INSTANCES"]})),
                "ClientException: The launch type 'MANAGED_INSTANCES' is not supported by Gantry yet.",
            ),
            (
                with(json!({"networkMode": "mesh"})),
                "ClientException: network mode should be one of [bridge,host,awsvpc,none], not 'mesh'",
            ),
            (
                with(json!({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}})),
                "ClientException: The operating system family 'WINDOWS_SERVER_2022_CORE' is not supported by Gantry: only \
                 LINUX is.",
            ),
            (
                with_container(json!({"logConfiguration": {"logDriver": "splunk"}})),
                "ClientException: The log driver 'splunk' of container 'web' is not supported by Gantry yet: only awslogs is.",
            ),
            (
                with_container(json!({"resourceRequirements": [{"type": "InferenceAccelerator", "value": "a"}]})),
                "ClientException: The type 'InferenceAccelerator' in the resourceRequirements of container 'web' is not \
                 supported by Gantry yet.",
            ),
            (
                with_container(json!({"resourceRequirements": [{"type": "GPU", "value": "0"}]})),
                "ClientException: Invalid GPU value in the resourceRequirements of container 'web'. It must be a number \
                 greater than 0.",
            ),
            (
                with_container(json!({"dependsOn": [{"containerName": "web", "condition": "LATER"}]})),
                "ClientException: container condition should be one of [START,COMPLETE,SUCCESS,HEALTHY], not 'LATER'",
            ),
            (
                with_container(json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]})),
                "ClientException: Unknown volume 'v'.",
            ),
            (
                with(json!({"placementConstraints": [{"type": "distinctInstance"}]})),
                "ClientException: A placement constraint of a task definition must be of type 'memberOf'.",
            ),
            (
                with(json!({"tags": [{"key": "aws:x", "value": ""}]})),
                "InvalidParameterException: Invalid tag key 'aws:x'. The prefix 'aws:' is reserved for AWS.",
            ),
        ],
    );
    assert_eq!(register(&mut world, "f")["revision"], 1, "a refused registration takes no revision");
}

#[test]
fn a_definition_has_at_most_64_kib() {
    let mut world = World::new();
    let request = |length: usize| with_container(json!({"command": ["x".repeat(length)]}));
    let frame = request(0).to_string().len();
    world.call("RegisterTaskDefinition", request(65_536 - frame));
    assert_eq!(
        world.refused("RegisterTaskDefinition", request(65_537 - frame)),
        "ClientException: Actual length: '65537'. Max allowed length is '65536' bytes."
    );
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
