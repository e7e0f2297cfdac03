//! Service deployments and revisions: what the operations answer and refuse. Nothing carries the deployments out here;
//! where they go is set by hand.

use std::time::Duration;

use model::ServiceDeployment;
use model::service_deployment::{HookRun, HookStatus, ServiceDeploymentStatus as Status};
use serde_json::{Value, json};

use crate::fleet::{in_zone_a, one_node};
use crate::world::World;

fn created(configuration: Value) -> World {
    let mut world = one_node();
    world.call(
        "CreateService",
        json!({
            "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "launchType": "FARGATE",
            "networkConfiguration": in_zone_a(), "deploymentConfiguration": configuration,
        }),
    );
    world
}

fn service(world: &mut World) -> Value {
    world.call("DescribeServices", json!({"services": ["web"]}))["services"][0].clone()
}

fn current(world: &mut World) -> String {
    service(world)["currentServiceDeployment"].as_str().expect("a deployment").to_owned()
}

fn described(world: &mut World, arn: &str) -> Value {
    let answer = world.call("DescribeServiceDeployments", json!({"serviceDeploymentArns": [arn]}));
    assert_eq!(answer["failures"], json!([]));
    answer["serviceDeployments"][0].clone()
}

fn change(world: &mut World, change: impl FnOnce(&mut ServiceDeployment)) {
    let service = world.txn.services.iter().next().expect("a service");
    let (scope, cluster, name) = service.key();
    let id = service.service_deployment.clone().expect("a deployment");
    world.txn.update::<ServiceDeployment, _>(&(scope, cluster, name, id), change).expect("its row");
}

fn deploy(world: &mut World) -> String {
    world.pass(Duration::from_secs(1));
    world.call("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    current(world)
}

const ARN: &str = "arn:aws:ecs:us-east-1:000000000000:";

#[test]
fn a_new_deployment_is_shown_with_its_revision() {
    let mut world = created(json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}}));
    let arn = current(&mut world);
    let shown = described(&mut world, &arn);
    let revision = shown["targetServiceRevision"]["arn"].clone();
    assert_eq!(
        shown,
        json!({
            "clusterArn": format!("{ARN}cluster/default"),
            "createdAt": 1_700_000_000,
            "deploymentCircuitBreaker": {"failureCount": 0, "status": "MONITORING", "threshold": 3},
            "deploymentConfiguration": {
                "bakeTimeInMinutes": 0,
                "deploymentCircuitBreaker": {
                    "enable": true, "resetOnHealthyTask": true, "rollback": true,
                    "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 50},
                },
                "maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": "ROLLING",
            },
            "serviceArn": format!("{ARN}service/default/web"),
            "serviceDeploymentArn": arn,
            "sourceServiceRevisions": [],
            "status": "PENDING",
            "targetServiceRevision": {
                "arn": revision, "pendingTaskCount": 0, "requestedTaskCount": 2, "runningTaskCount": 0,
            },
            "updatedAt": 1_700_000_000,
        })
    );
    let revisions = world.call("DescribeServiceRevisions", json!({"serviceRevisionArns": [revision]}));
    assert_eq!(
        revisions["serviceRevisions"],
        json!([{
            "clusterArn": format!("{ARN}cluster/default"),
            "containerImages": [{"containerName": "main", "image": "busybox"}],
            "createdAt": 1_700_000_000,
            "guardDutyEnabled": false,
            "launchType": "FARGATE",
            "loadBalancers": [],
            "networkConfiguration": service(&mut world)["networkConfiguration"],
            "platformFamily": "Linux",
            "platformVersion": "1.4.0",
            "serviceArn": format!("{ARN}service/default/web"),
            "serviceRegistries": [],
            "serviceRevisionArn": revision,
            "taskDefinition": format!("{ARN}task-definition/web:1"),
        }])
    );
}

#[test]
fn a_newer_deployment_stops_the_one_before() {
    let mut world = created(json!({}));
    let first = current(&mut world);
    let second = deploy(&mut world);
    let stopped = described(&mut world, &first);
    assert_eq!(
        [&stopped["status"], &stopped["statusReason"], &stopped["stoppedAt"], &stopped["finishedAt"]],
        [
            &json!("STOPPED"),
            &json!("Service deployment stopped because a new service deployment was started."),
            &json!(1_700_000_001),
            &json!(1_700_000_001),
        ]
    );
    let begun = described(&mut world, &second);
    let source = &begun["sourceServiceRevisions"][0];
    assert_eq!(source["arn"], stopped["targetServiceRevision"]["arn"]);
    assert_eq!(source["requestedTaskCount"], 0, "it gives way");
    let revisions = service(&mut world)["currentServiceRevisions"].clone();
    assert_eq!(revisions.as_array().map(Vec::len), Some(2));
}

#[test]
fn what_changes_in_place_begins_no_deployment() {
    let mut world = created(json!({}));
    let first = current(&mut world);
    for change in [
        json!({"desiredCount": 3}),
        json!({"deploymentConfiguration": {"maximumPercent": 150}}),
        json!({"healthCheckGracePeriodSeconds": 5}),
        json!({"enableECSManagedTags": true}),
        json!({"propagateTags": "SERVICE"}),
        json!({"taskDefinition": "web:1"}),
        json!({"networkConfiguration": in_zone_a(), "platformVersion": "LATEST"}),
    ] {
        let mut request = json!({"service": "web"});
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        world.call("UpdateService", request);
        assert_eq!(current(&mut world), first, "{change}");
    }
    assert_ne!(deploy(&mut world), first);
}

#[test]
fn strategies_are_shown_as_they_are_meant() {
    let hook = json!({
        "targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP", "PRE_PRODUCTION_TRAFFIC_SHIFT"],
        "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "CONTINUE"},
    });
    let cases = [
        (
            json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": [hook]}),
            json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5, "lifecycleHooks": [hook]}),
        ),
        (
            json!({"strategy": "LINEAR"}),
            json!({
                "strategy": "LINEAR", "bakeTimeInMinutes": 0,
                "linearConfiguration": {"stepPercent": 10, "stepBakeTimeInMinutes": 6},
            }),
        ),
        (
            json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 3.3, "stepBakeTimeInMinutes": 0}}),
            json!({
                "strategy": "LINEAR", "bakeTimeInMinutes": 0,
                "linearConfiguration": {"stepPercent": 3.3, "stepBakeTimeInMinutes": 0},
            }),
        ),
        (
            json!({"strategy": "CANARY", "bakeTimeInMinutes": 1440}),
            json!({
                "strategy": "CANARY", "bakeTimeInMinutes": 1440,
                "canaryConfiguration": {"canaryPercent": 5, "canaryBakeTimeInMinutes": 10},
            }),
        ),
    ];
    for (given, expected) in cases {
        let mut world = created(given);
        let mut shown = service(&mut world)["deploymentConfiguration"].clone();
        let percents = shown.as_object_mut().unwrap();
        percents.remove("maximumPercent");
        percents.remove("minimumHealthyPercent");
        assert_eq!(shown, expected);
    }
}

#[test]
fn an_update_changes_what_it_says_of_the_strategy() {
    let canary = json!({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 1}, "bakeTimeInMinutes": 7});
    let mut world = created(canary);
    let mut update = |configuration: Value| {
        world.call("UpdateService", json!({"service": "web", "deploymentConfiguration": configuration}))["service"]
            ["deploymentConfiguration"]
            .clone()
    };
    let same = update(json!({"maximumPercent": 150}));
    assert_eq!(same["canaryConfiguration"], json!({"canaryPercent": 1, "canaryBakeTimeInMinutes": 10}));
    assert_eq!(same["bakeTimeInMinutes"], 7);
    let green = update(json!({"strategy": "BLUE_GREEN"}));
    assert_eq!((&green["canaryConfiguration"], &green["bakeTimeInMinutes"]), (&Value::Null, &json!(7)));
    let rolling = update(json!({"strategy": "ROLLING"}));
    assert_eq!((&rolling["strategy"], &rolling["bakeTimeInMinutes"]), (&json!("ROLLING"), &json!(0)));
}

#[test]
fn what_no_strategy_can_be_is_refused() {
    let hook = |fields: Value| {
        let mut hook = json!({"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]});
        hook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [hook]})
    };
    let pause_stage = "InvalidParameterException: Invalid lifecycle stage provided for Pause Hook";
    let cases = [
        (
            json!({"strategy": "BLUE_GREEN"}),
            "InvalidParameterException: bakeTimeInMinutes is required when the deployment strategy is BLUE_GREEN.",
        ),
        (
            json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1441}),
            "InvalidParameterException: bakeTimeInMinutes must be between 0 and 1440.",
        ),
        (
            json!({"bakeTimeInMinutes": 1}),
            "InvalidParameterException: bakeTimeInMinutes can only be specified with the deployment strategies \
             [BLUE_GREEN,LINEAR,CANARY].",
        ),
        (
            json!({"strategy": "ALL_AT_ONCE"}),
            "InvalidParameterException: strategy should be one of [ROLLING,BLUE_GREEN,LINEAR,CANARY]",
        ),
        (
            json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 2.9}}),
            "InvalidParameterException: stepPercent must be a multiple of 0.1 between 3.0 and 100.0.",
        ),
        (
            json!({"strategy": "LINEAR", "linearConfiguration": {"stepPercent": 33.33}}),
            "InvalidParameterException: stepPercent must be a multiple of 0.1 between 3.0 and 100.0.",
        ),
        (
            json!({"strategy": "LINEAR", "linearConfiguration": {"stepBakeTimeInMinutes": -1}}),
            "InvalidParameterException: stepBakeTimeInMinutes must be between 0 and 1440.",
        ),
        (
            json!({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 100.1}}),
            "InvalidParameterException: canaryPercent must be a multiple of 0.1 between 0.1 and 100.0.",
        ),
        (
            json!({"strategy": "CANARY", "linearConfiguration": {}}),
            "InvalidParameterException: linearConfiguration can only be specified with the deployment strategy LINEAR.",
        ),
        (
            json!({"canaryConfiguration": {}}),
            "InvalidParameterException: canaryConfiguration can only be specified with the deployment strategy CANARY.",
        ),
        (
            hook(json!({"targetType": "SHELL"})),
            "InvalidParameterException: Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE",
        ),
        (
            hook(
                json!({"targetType": "AWS_LAMBDA", "hookTargetArn": "arn:aws:lambda:us-east-1:000000000000:function:f"}),
            ),
            "UnsupportedFeatureException: Lifecycle hooks with the target type AWS_LAMBDA are not supported by Gantry \
             yet: it has no functions to call. Those with PAUSE are.",
        ),
        (hook(json!({"lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"]})), pause_stage),
        (hook(json!({"lifecycleStages": ["TEST_TRAFFIC_SHIFT"]})), pause_stage),
        (hook(json!({"lifecycleStages": ["BAKE_TIME"]})), pause_stage),
        (hook(json!({"lifecycleStages": []})), "InvalidParameterException: lifecycleStages cannot be empty."),
        (
            hook(json!({"timeoutConfiguration": {"timeoutInMinutes": 20160, "action": "WAIT"}})),
            "InvalidParameterException: action should be one of [ROLLBACK,CONTINUE]",
        ),
        (
            hook(json!({"hookTargetArn": "arn:x"})),
            "InvalidParameterException: hookTargetArn cannot be specified for a hook of target type PAUSE.",
        ),
        (
            json!({"lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}),
            "InvalidParameterException: lifecycleHooks can only be specified with the deployment strategies \
             [BLUE_GREEN,LINEAR,CANARY].",
        ),
        (
            json!({"deploymentCircuitBreaker": {
                "enable": true, "rollback": true, "thresholdConfiguration": {"type": "BOUNDED_PERCENT", "value": 101},
            }}),
            "InvalidParameterException: thresholdConfiguration.value must be between 1 and 100.",
        ),
        (
            json!({"deploymentCircuitBreaker": {
                "enable": true, "rollback": true, "thresholdConfiguration": {"type": "HALF", "value": 1},
            }}),
            "InvalidParameterException: thresholdConfiguration.type should be one of \
             [COUNT,BOUNDED_PERCENT,UNBOUNDED_PERCENT]",
        ),
    ];
    let mut world = created(json!({}));
    for (configuration, expected) in cases {
        let request = json!({"service": "web", "deploymentConfiguration": configuration});
        assert_eq!(world.refused("UpdateService", request), expected, "{configuration}");
    }
}

#[test]
fn they_are_listed_by_time_and_status() {
    let mut world = created(json!({}));
    let first = current(&mut world);
    let second = deploy(&mut world);
    let third = deploy(&mut world);
    let mut list = |fields: Value| {
        let mut request = json!({"service": "web"});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = world.call("ListServiceDeployments", request);
        let rows = answer["serviceDeployments"].as_array().unwrap().iter();
        let arns: Vec<_> = rows.map(|row| row["serviceDeploymentArn"].as_str().unwrap().to_owned()).collect();
        (arns, answer["nextToken"].clone())
    };
    let all = |arns: &[&String]| (arns.iter().map(|arn| (*arn).clone()).collect::<Vec<_>>(), Value::Null);
    assert_eq!(list(json!({})), all(&[&third, &second, &first]));
    assert_eq!(list(json!({"status": ["PENDING"]})), all(&[&third]));
    assert_eq!(list(json!({"status": ["STOPPED", "SUCCESSFUL"]})), all(&[&second, &first]));
    assert_eq!(list(json!({"createdAt": {"after": 1_700_000_000}})), all(&[&third, &second]));
    assert_eq!(
        list(json!({"createdAt": {"after": 1_700_000_000, "before": 1_700_000_002}})),
        all(&[&second]),
        "both ends are left out"
    );
    let (page, token) = list(json!({"maxResults": 2}));
    assert_eq!(page, [third, second]);
    assert_eq!(list(json!({"maxResults": 2, "nextToken": token})), all(&[&first]));
    world.check_refusals(
        "ListServiceDeployments",
        &[
            (json!({"service": "none"}), "ServiceNotFoundException: Service not found."),
            (json!({"service": "web", "cluster": "none"}), "ClusterNotFoundException: Cluster not found."),
            (
                json!({"service": "web", "maxResults": 101}),
                "InvalidParameterException: maxResults must be between 1 and 100.",
            ),
            (
                json!({"service": "web", "status": ["DONE"]}),
                "InvalidParameterException: status should be one of [PENDING,IN_PROGRESS,STOP_REQUESTED,STOPPED,\
                 SUCCESSFUL,ROLLBACK_REQUESTED,ROLLBACK_IN_PROGRESS,ROLLBACK_SUCCESSFUL,ROLLBACK_FAILED]",
            ),
        ],
    );
}

#[test]
fn what_is_not_there_is_a_failure_or_refused() {
    let mut world = created(json!({}));
    let deployment = format!("{ARN}service-deployment/default/web/aaaaaaaaaaaaaaaaaaaaa");
    let revision = format!("{ARN}service-revision/default/web/0000000000000000000");
    for (operation, field, arn) in [
        ("DescribeServiceDeployments", "serviceDeploymentArns", &deployment),
        ("DescribeServiceRevisions", "serviceRevisionArns", &revision),
    ] {
        let answer = world.call(operation, json!({field: [arn]}));
        assert_eq!(answer["failures"], json!([{"arn": arn, "reason": "MISSING"}]), "{operation}");
        let empty = format!("InvalidParameterException: {field} cannot be empty.");
        let many = format!("InvalidParameterException: {field} can have at most 20 items.");
        world.check_refusals(operation, &[(json!({field: []}), &*empty), (json!({field: vec![arn; 21]}), &*many)]);
    }
    let not_found = "ServiceDeploymentNotFoundException: The service deployment does not exist.";
    let foreign = deployment.replace("000000000000", "111111111111");
    let mismatch = "InvalidParameterException: AccountIDs mismatch";
    world.check_refusals(
        "StopServiceDeployment",
        &[
            (json!({"serviceDeploymentArn": deployment}), not_found),
            (json!({"serviceDeploymentArn": foreign}), mismatch),
            (json!({"serviceDeploymentArn": ""}), "InvalidParameterException: serviceDeploymentArn can not be blank."),
        ],
    );
    let answer = |arn: &str| json!({"serviceDeploymentArn": arn, "hookId": "ecs-pause-a-1"});
    world
        .check_refusals("ContinueServiceDeployment", &[(answer(&deployment), not_found), (answer(&foreign), mismatch)]);
}

#[test]
fn stopping_is_asked_for_once() {
    let mut world = created(json!({}));
    let arn = current(&mut world);
    let mut stop = |kind: Value, from: Status, expected: &str| {
        change(&mut world, |row| row.status = from);
        let request = json!({"serviceDeploymentArn": arn, "stopType": kind});
        match world.try_call("StopServiceDeployment", request) {
            Ok(answer) => {
                assert_eq!(answer, json!({"serviceDeploymentArn": arn}));
                assert_eq!(described(&mut world, &arn)["status"], expected, "{kind} {from:?}");
            }
            Err(refusal) => assert_eq!(refusal, expected, "{kind} {from:?}"),
        }
    };
    stop(Value::Null, Status::InProgress, "ROLLBACK_REQUESTED");
    stop(json!("ROLLBACK"), Status::Pending, "ROLLBACK_REQUESTED");
    stop(json!("ROLLBACK"), Status::RollbackInProgress, "ROLLBACK_IN_PROGRESS");
    stop(json!("ROLLBACK"), Status::StopRequested, "ROLLBACK_REQUESTED");
    stop(json!("ABORT"), Status::InProgress, "STOP_REQUESTED");
    stop(
        json!("ABORT"),
        Status::RollbackInProgress,
        "ConflictException: The service deployment is being rolled back and cannot be aborted.",
    );
    for status in [Status::Stopped, Status::Successful, Status::RollbackSuccessful, Status::RollbackFailed] {
        let over = "ConflictException: Stopping a service deployment is not allowed for service deployment in terminal states.";
        stop(json!("ABORT"), status, over);
        stop(json!("ROLLBACK"), status, over);
    }
    stop(json!("LATER"), Status::InProgress, "InvalidParameterException: stopType should be one of [ABORT,ROLLBACK]");
}

#[test]
fn a_hook_is_answered_once() {
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]});
    let mut world = created(json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [hook]}));
    let arn = current(&mut world);
    let expires_at = world.now.plus(Duration::from_secs(60));
    change(&mut world, |row| {
        let run = HookRun {
            id: "ecs-pause-x-1".to_owned(),
            hook: 0,
            status: HookStatus::AwaitingAction,
            failure: None,
            expires_at,
        };
        row.progress.as_mut().expect("a deployment with stages").hooks = vec![run];
    });
    let shown = described(&mut world, &arn);
    assert_eq!(
        shown["lifecycleHookDetails"],
        json!([{
            "expiresAt": 1_700_000_060, "hookId": "ecs-pause-x-1", "status": "AWAITING_ACTION", "targetType": "PAUSE",
            "timeoutAction": "ROLLBACK",
        }])
    );
    assert_eq!(shown["lifecycleStage"], "PRE_SCALE_UP");
    let answer = |hook: &str, action: &str| json!({"serviceDeploymentArn": arn, "hookId": hook, "action": action});
    let unavailable = "InvalidParameterException: Provided hookId is either completed, unavailable, or not associated \
                       with the given Resource ARN";
    let no_id = "InvalidParameterException: Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}";
    world.check_refusals(
        "ContinueServiceDeployment",
        &[
            (answer("pause", "CONTINUE"), no_id),
            (answer("ecs-pause-", "CONTINUE"), no_id),
            (answer("ecs-pause-x-2", "CONTINUE"), unavailable),
            (answer("ecs-pause-x-1", "WAIT"), "InvalidParameterException: action should be one of [ROLLBACK,CONTINUE]"),
        ],
    );
    let answered = world.call("ContinueServiceDeployment", answer("ecs-pause-x-1", "CONTINUE"));
    assert_eq!(answered, json!({"serviceDeploymentArn": arn}));
    assert_eq!(described(&mut world, &arn)["lifecycleHookDetails"][0]["status"], "SUCCEEDED");
    world.check_refusals("ContinueServiceDeployment", &[(answer("ecs-pause-x-1", "ROLLBACK"), unavailable)]);
    change(&mut world, |row| row.status = Status::Stopped);
    let over = "InvalidParameterException: Continuing a service deployment is not allowed for service deployment in \
                terminal states.";
    world.check_refusals("ContinueServiceDeployment", &[(answer("ecs-pause-x-1", "CONTINUE"), over)]);
}

#[test]
fn old_ones_go_and_their_revisions_with_them() {
    let mut world = created(json!({}));
    let first = current(&mut world);
    let revision = described(&mut world, &first)["targetServiceRevision"]["arn"].clone();
    // Drained deployments leave the service; here nothing drains them.
    for _ in 0..100 {
        let key = world.txn.services.iter().next().expect("a service").key();
        world.txn.update::<model::Service, _>(&key, |row| row.deployments.truncate(1));
        deploy(&mut world);
    }
    assert_eq!((world.txn.service_deployments.len(), world.txn.service_revisions.len()), (100, 101));
    deploy(&mut world);
    let gone = world.call("DescribeServiceDeployments", json!({"serviceDeploymentArns": [first]}));
    assert_eq!(gone["failures"][0]["reason"], "MISSING");
    let gone = world.call("DescribeServiceRevisions", json!({"serviceRevisionArns": [revision]}));
    assert_eq!(gone["failures"][0]["reason"], "MISSING");
}
