//! Services: what the operations answer and refuse. Nothing keeps the services here.

use serde_json::{Value, json};

use crate::fleet::{in_zone_a, one_node};
use crate::world::World;

fn request(changes: Value) -> Value {
    let mut request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "launchType": "FARGATE",
        "networkConfiguration": in_zone_a(),
    });
    let fields = request.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    request
}

fn created() -> World {
    let mut world = one_node();
    world.call("CreateService", request(json!({})));
    world
}

#[test]
fn a_new_service_is_shown_as_aws_shows_it() {
    let mut world = one_node();
    let answer = world.call("CreateService", request(json!({"tags": [{"key": "a", "value": "1"}]})));
    let service = &answer["service"];
    let id = service["deployments"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.strip_prefix("ecs-svc/").is_some_and(|number| number.len() == 19), "{id}");
    let revision = service["currentServiceRevisions"][0]["arn"].as_str().unwrap().to_owned();
    let deployment = service["currentServiceDeployment"].as_str().unwrap().to_owned();
    let prefix = "arn:aws:ecs:us-east-1:000000000000:service-";
    let id_of = |arn: &str, kind: &str| {
        arn.strip_prefix(&format!("{prefix}{kind}/default/web/")).unwrap_or_else(|| panic!("{arn}")).to_owned()
    };
    let is_number = |id: String| id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |id: String| {
        id.len() == 21 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    assert!(is_number(id_of(&revision, "revision")), "{revision}");
    assert!(is_word(id_of(&deployment, "deployment")), "{deployment}");
    let network = json!({"awsvpcConfiguration": {
        "assignPublicIp": "DISABLED", "securityGroups": [], "subnets": [crate::fleet::SUBNET_A],
    }});
    let definition = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1";
    assert_eq!(
        *service,
        json!({
            "availabilityZoneRebalancing": "ENABLED",
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default",
            "createdAt": 1_700_000_000,
            "createdBy": "arn:aws:iam::000000000000:root",
            "currentServiceDeployment": deployment,
            "currentServiceRevisions": [
                {"arn": revision, "pendingTaskCount": 0, "requestedTaskCount": 2, "runningTaskCount": 0},
            ],
            "deploymentConfiguration": {
                "bakeTimeInMinutes": 0, "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
            },
            "deployments": [{
                "createdAt": 1_700_000_000, "desiredCount": 2, "failedTasks": 0, "id": id, "launchType": "FARGATE",
                "networkConfiguration": network, "pendingCount": 0, "platformFamily": "Linux",
                "platformVersion": "1.4.0", "rolloutState": "IN_PROGRESS",
                "rolloutStateReason": format!("ECS deployment {id} in progress."), "runningCount": 0,
                "status": "PRIMARY", "taskDefinition": definition, "updatedAt": 1_700_000_000,
            }],
            "desiredCount": 2,
            "enableECSManagedTags": false,
            "enableExecuteCommand": false,
            "events": [],
            "healthCheckGracePeriodSeconds": 0,
            "launchType": "FARGATE",
            "loadBalancers": [],
            "networkConfiguration": network,
            "pendingCount": 0,
            "placementConstraints": [],
            "placementStrategy": [],
            "platformFamily": "Linux",
            "platformVersion": "1.4.0",
            "propagateTags": "NONE",
            "runningCount": 0,
            "schedulingStrategy": "REPLICA",
            "serviceArn": "arn:aws:ecs:us-east-1:000000000000:service/default/web",
            "serviceName": "web",
            "serviceRegistries": [],
            "status": "ACTIVE",
            "tags": [{"key": "a", "value": "1"}],
            "taskDefinition": definition,
        })
    );
    let cluster = &world.call("DescribeClusters", json!({}))["clusters"][0];
    assert_eq!(cluster["activeServicesCount"], 1);
}

#[test]
fn optional_structures_are_left_out() {
    let mut world = one_node();
    let ec2 = json!({"serviceName": "job", "taskDefinition": "job", "desiredCount": 0});
    let service = world.call("CreateService", ec2)["service"].clone();
    for absent in ["networkConfiguration", "deploymentController", "taskSets", "capacityProviderStrategy", "roleArn"] {
        assert_eq!(service[absent], Value::Null, "{absent}");
    }
    assert_eq!((&service["launchType"], &service["availabilityZoneRebalancing"]), (&json!("EC2"), &json!("ENABLED")));
}

#[test]
fn creating_it_again_changes_nothing_or_is_refused() {
    let mut world = created();
    let again = world.call("CreateService", request(json!({"clientToken": "t"})));
    let present = world.call("DescribeServices", json!({"services": ["web"]}));
    assert_eq!(again["service"]["deployments"], present["services"][0]["deployments"]);
    world.check_refusals(
        "CreateService",
        &[(request(json!({"desiredCount": 3})), "InvalidParameterException: Creation of service was not idempotent.")],
    );
}

#[test]
fn what_cannot_be_created_is_refused() {
    let mut world = one_node();
    let unbuilt =
        |field: &str| format!("ClientException: The field '{field}' of the service is not supported by Gantry yet.");
    let fields = [
        ("enableExecuteCommand", json!(true)),
        ("volumeConfigurations", json!([{"name": "v"}])),
        ("vpcLatticeConfigurations", json!([{"roleArn": "a", "targetGroupArn": "b", "portName": "c"}])),
    ];
    for (field, value) in fields {
        assert_eq!(world.refused("CreateService", request(json!({field: value}))), unbuilt(field), "{field}");
    }
    let cases = [
        (json!({"cluster": "none"}), "ClusterNotFoundException: Cluster not found."),
        (json!({"taskDefinition": "none"}), "ClientException: TaskDefinition not found."),
        (
            json!({"taskDefinition": "job"}),
            "InvalidParameterException: Task definition does not support launch_type FARGATE.",
        ),
        (
            json!({"networkConfiguration": null}),
            "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            json!({"deploymentController": {"type": "CODE_DEPLOY"}}),
            "ClientException: The deployment controller CODE_DEPLOY is not supported by Gantry: it has no CodeDeploy that \
             could deploy the service.",
        ),
        (json!({"desiredCount": null}), "InvalidParameterException: desiredCount is required."),
        (json!({"desiredCount": -1}), "InvalidParameterException: desiredCount must be between 0 and 5000."),
        (
            json!({"serviceName": "a b"}),
            "InvalidParameterException: Invalid service name. It must have 1 to 255 letters, digits, underscores or \
             hyphens.",
        ),
        (
            json!({"deploymentConfiguration": {"minimumHealthyPercent": 101}}),
            "InvalidParameterException: minimumHealthyPercent must be between 0 and 100.",
        ),
        (
            json!({"deploymentConfiguration": {"alarms": {"alarmNames": ["slow"], "enable": true, "rollback": true}}}),
            "ClientException: The field 'alarms' of the deployment configuration is not supported by Gantry yet.",
        ),
        (
            json!({"placementStrategy": [{"type": "random"}]}),
            "InvalidParameterException: Placement strategies are not supported with FARGATE launch type.",
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(world.refused("CreateService", request(changes.clone())), expected, "{changes}");
    }
    assert_eq!(world.call("ListServices", json!({}))["serviceArns"], json!([]));
}

#[test]
fn what_is_not_there_or_is_over_is_refused() {
    let mut world = created();
    let not_found = "ServiceNotFoundException: Service not found.";
    world.check_refusals("UpdateService", &[(json!({"service": "none"}), not_found)]);
    world.check_refusals("ListTasks", &[(json!({"serviceName": "none"}), not_found)]);
    world.check_refusals(
        "DeleteService",
        &[
            (json!({"service": "none"}), not_found),
            (
                json!({"service": "web"}),
                "InvalidParameterException: The service cannot be stopped while it is scaled above 0.",
            ),
        ],
    );
    world.check_refusals(
        "DeleteCluster",
        &[(json!({"cluster": "lone"}), "ClusterNotFoundException: Cluster not found.")],
    );
    let answer = world.call("DescribeServices", json!({"services": ["web", "none"]}));
    assert_eq!(
        answer["failures"],
        json!([{"arn": "arn:aws:ecs:us-east-1:000000000000:service/default/none", "reason": "MISSING"}])
    );
    world.call("DeleteService", json!({"service": "web", "force": true}));
    let not_active = "ServiceNotActiveException: Service was not ACTIVE.";
    world.check_refusals("UpdateService", &[(json!({"service": "web", "desiredCount": 1}), not_active)]);
    assert_eq!(world.call("ListServices", json!({}))["serviceArns"], json!([]));
}

#[test]
fn an_empty_cluster_with_a_service_stays() {
    let mut world = one_node();
    world.call("CreateCluster", json!({"clusterName": "other"}));
    world.call("CreateService", request(json!({"cluster": "other", "desiredCount": 0})));
    world.check_refusals(
        "DeleteCluster",
        &[(
            json!({"cluster": "other"}),
            "ClusterContainsServicesException: The Cluster cannot be deleted while Services are active.",
        )],
    );
}

#[test]
fn services_have_tags_and_pages() {
    let mut world = created();
    let arn = "arn:aws:ecs:us-east-1:000000000000:service/default/web";
    world.call("TagResource", json!({"resourceArn": arn, "tags": [{"key": "a", "value": "1"}]}));
    let described = world.call("DescribeServices", json!({"services": [arn], "include": ["TAGS"]}));
    assert_eq!(described["services"][0]["tags"], json!([{"key": "a", "value": "1"}]));
    world.call("CreateService", request(json!({"serviceName": "other"})));
    let first = world.call("ListServices", json!({"maxResults": 1}));
    let second = world.call("ListServices", json!({"maxResults": 1, "nextToken": first["nextToken"]}));
    assert_eq!(first["serviceArns"], json!(["arn:aws:ecs:us-east-1:000000000000:service/default/other"]));
    assert_eq!((&second["serviceArns"], &second["nextToken"]), (&json!([arn]), &Value::Null));
    assert_eq!(world.call("ListServices", json!({"launchType": "EC2"}))["serviceArns"], json!([]));
}

#[test]
fn a_daemon_refuses_what_it_cannot_have() {
    let mut world = one_node();
    let request = |changes: Value| {
        let mut request = json!({"serviceName": "agent", "taskDefinition": "job", "schedulingStrategy": "DAEMON"});
        request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        request
    };
    let count = "InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. \
                 Remove the desired count value and try again";
    let percent = "InvalidParameterException: The daemon scheduling strategy does not support values above 100 for \
                   maximumPercent on a deployment configuration. Change the maximumPercent value to 100, and try again";
    let strategy = "InvalidParameterException: The daemon scheduling strategy does not support placement strategies. \
                    Remove the placement strategy and try again";
    let capacity = "InvalidParameterException: Specifying a capacity provider strategy is not supported when you create \
                    a service using the DAEMON scheduling strategy.";
    let fargate = "InvalidParameterException: The daemon scheduling strategy does not support the FARGATE launch type.";
    let stages =
        "InvalidParameterException: The daemon scheduling strategy supports the deployment strategy ROLLING only.";
    let random = json!({"placementStrategy": [{"type": "random"}]});
    let above = json!({"deploymentConfiguration": {"maximumPercent": 200}});
    let staged = json!({"deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}});
    world.check_refusals(
        "CreateService",
        &[
            (request(json!({"desiredCount": 1})), count),
            (request(above.clone()), percent),
            (request(random.clone()), strategy),
            (request(staged.clone()), stages),
            (
                request(json!({"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": in_zone_a()})),
                fargate,
            ),
            (
                request(json!({"schedulingStrategy": "OTHER"})),
                "InvalidParameterException: schedulingStrategy should be one of [REPLICA,DAEMON]",
            ),
        ],
    );
    world.call(
        "PutClusterCapacityProviders",
        json!({
            "cluster": "default", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": [],
        }),
    );
    let on_fargate = json!({
        "taskDefinition": "web", "networkConfiguration": in_zone_a(),
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}],
    });
    world.check_refusals("CreateService", &[(request(on_fargate), capacity)]);

    let created = world.call("CreateService", request(json!({})));
    assert_eq!(
        (&created["service"]["schedulingStrategy"], &created["service"]["desiredCount"]),
        (&json!("DAEMON"), &json!(0))
    );
    world.call("CreateService", request(json!({})));
    let update = |changes: Value| {
        let mut request = json!({"service": "agent"});
        request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        request
    };
    world.check_refusals(
        "UpdateService",
        &[
            (update(json!({"desiredCount": 1})), count),
            (update(above), percent),
            (update(random), strategy),
            (update(staged), stages),
        ],
    );
    let listed = |world: &mut World, strategy: &str| {
        world.call("ListServices", json!({"schedulingStrategy": strategy}))["serviceArns"].as_array().unwrap().len()
    };
    assert_eq!((listed(&mut world, "DAEMON"), listed(&mut world, "REPLICA")), (1, 0));
    world.call("DeleteService", json!({"service": "agent"}));
}

#[test]
fn services_are_balanced_over_zones_where_that_can_be() {
    let mut world = one_node();
    let create = |world: &mut World, name: &str, changes: Value| {
        let mut request = json!({"serviceName": name, "taskDefinition": "job", "desiredCount": 0});
        request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        world.try_call("CreateService", request).map(|answer| answer["service"]["availabilityZoneRebalancing"].clone())
    };
    let full = json!({"deploymentConfiguration": {"maximumPercent": 100}});
    let packed = json!({"placementStrategy": [{"type": "binpack", "field": "cpu"}]});
    let zones = json!({"placementStrategy": [{"type": "spread", "field": "attribute:ecs.availability-zone"}]});
    let tied = json!({"placementConstraints": [
        {"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1a"},
    ]});
    let daemon = json!({"schedulingStrategy": "DAEMON", "desiredCount": null});
    for (index, (changes, expected)) in [
        (json!({}), "ENABLED"),
        (zones, "ENABLED"),
        (full.clone(), "DISABLED"),
        (packed, "DISABLED"),
        (tied, "DISABLED"),
        (daemon, "DISABLED"),
        (json!({"availabilityZoneRebalancing": "DISABLED"}), "DISABLED"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(create(&mut world, &format!("s{index}"), changes.clone()), Ok(json!(expected)), "{changes}");
    }
    let refused = "InvalidParameterException: Availability Zone rebalancing is for REPLICA services";
    let asked = json!({"availabilityZoneRebalancing": "ENABLED", "deploymentConfiguration": {"maximumPercent": 100}});
    assert!(create(&mut world, "t", asked).unwrap_err().starts_with(refused));
    let mut update = json!({"service": "s0"});
    update.as_object_mut().unwrap().extend(full.as_object().unwrap().clone());
    assert!(world.refused("UpdateService", update.clone()).starts_with(refused), "what is there stays");
    update["availabilityZoneRebalancing"] = json!("DISABLED");
    world.call("UpdateService", update);
}
