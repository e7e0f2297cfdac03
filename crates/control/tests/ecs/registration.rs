//! RegisterTaskDefinition: what it fills in and what it refuses.

use serde_json::{Value, json};

use crate::task_definition::{arn, plain, register, with, with_container};
use crate::world::World;

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
