//! Task sets: what the operations answer and refuse. Nothing keeps the services here.

use serde_json::{Value, json};

use crate::fleet::{in_zone_a, one_node};
use crate::world::World;

const NOT_FOUND: &str = "TaskSetNotFoundException: The specified task set does not exist.";

fn external(desired: u32) -> World {
    let mut world = one_node();
    let request = json!({
        "serviceName": "web", "desiredCount": desired, "deploymentController": {"type": "EXTERNAL"},
    });
    world.call("CreateService", request);
    world
}

fn request(changes: Value) -> Value {
    let mut request = json!({
        "service": "web", "cluster": "default", "taskDefinition": "web", "launchType": "FARGATE",
        "networkConfiguration": in_zone_a(), "scale": {"unit": "PERCENT", "value": 20}
    });
    request.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    request
}

fn of(set: &Value) -> Value {
    json!({"cluster": "default", "service": "web", "taskSet": set["id"]})
}

fn described(world: &mut World) -> Value {
    world.call("DescribeServices", json!({"services": ["web"]}))["services"][0].clone()
}

#[test]
fn a_service_of_task_sets_begins_without_any() {
    let mut world = external(6);
    let service = described(&mut world);
    assert_eq!(service["deploymentController"], json!({"type": "EXTERNAL"}));
    assert_eq!((&service["taskSets"], &service["deployments"]), (&json!([]), &json!([])));
    assert_eq!((&service["launchType"], &service["taskDefinition"]), (&Value::Null, &Value::Null));
    let again = json!({"serviceName": "web", "desiredCount": 6, "deploymentController": {"type": "EXTERNAL"}});
    world.call("CreateService", again);
    let ecs = json!({"serviceName": "job", "taskDefinition": "job", "desiredCount": 0});
    assert_eq!(world.call("CreateService", ecs)["service"]["taskSets"], Value::Null);
}

#[test]
fn a_task_set_is_shown_as_aws_shows_it() {
    let mut world = external(6);
    let tags = json!([{"key": "a", "value": "1"}]);
    let set = world.call("CreateTaskSet", request(json!({"externalId": "release-7", "tags": tags})))["taskSet"].clone();
    let id = set["id"].as_str().unwrap().to_owned();
    assert!(id.strip_prefix("ecs-svc/").is_some_and(|number| number.len() == 19), "{id}");
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-set/default/web/{id}");
    assert_eq!(
        set,
        json!({
            "clusterArn": "arn:aws:ecs:us-east-1:000000000000:cluster/default", "computedDesiredCount": 2,
            "createdAt": 1_700_000_000, "externalId": "release-7", "id": id, "launchType": "FARGATE",
            "loadBalancers": [],
            "networkConfiguration": {"awsvpcConfiguration": {
                "assignPublicIp": "DISABLED", "securityGroups": [], "subnets": [crate::fleet::SUBNET_A],
            }},
            "pendingCount": 0, "platformFamily": "Linux", "platformVersion": "1.4.0", "runningCount": 0,
            "scale": {"unit": "PERCENT", "value": 20},
            "serviceArn": "arn:aws:ecs:us-east-1:000000000000:service/default/web", "serviceRegistries": [],
            "stabilityStatus": "STABILIZING", "stabilityStatusAt": 1_700_000_000, "status": "ACTIVE", "tags": tags,
            "taskDefinition": "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1", "taskSetArn": arn,
            "updatedAt": 1_700_000_000,
        })
    );
    assert_eq!(described(&mut world)["taskSets"][0]["id"], id);
    world.call("TagResource", json!({"resourceArn": arn, "tags": [{"key": "a", "value": "2"}]}));
    let all = world.call(
        "DescribeTaskSets",
        json!({"cluster": "default", "service": "web", "taskSets": [arn, "ecs-svc/0"], "include": ["TAGS"]}),
    );
    assert_eq!(all["taskSets"][0]["tags"], json!([{"key": "a", "value": "2"}]));
    let missing = "arn:aws:ecs:us-east-1:000000000000:task-set/default/web/ecs-svc/0";
    assert_eq!(all["failures"], json!([{"arn": missing, "reason": "MISSING"}]));
}

#[test]
fn the_primary_sets_parameters_are_the_services() {
    let mut world = external(4);
    let first = world.call("CreateTaskSet", request(json!({})))["taskSet"].clone();
    let second = world.call(
        "CreateTaskSet",
        request(json!({
            "taskDefinition": "job", "launchType": "EC2", "networkConfiguration": null,
        })),
    )["taskSet"]
        .clone();
    let make_primary = |world: &mut World, set: &Value| {
        let request = json!({"cluster": "default", "service": "web", "primaryTaskSet": set["taskSetArn"]});
        world.call("UpdateServicePrimaryTaskSet", request)["taskSet"]["status"].clone()
    };
    assert_eq!(make_primary(&mut world, &first), "PRIMARY");
    let service = described(&mut world);
    assert_eq!((&service["launchType"], &service["platformVersion"]), (&json!("FARGATE"), &json!("1.4.0")));
    assert_eq!(make_primary(&mut world, &second), "PRIMARY");
    let service = described(&mut world);
    assert_eq!((&service["launchType"], &service["platformVersion"]), (&json!("EC2"), &Value::Null));
    assert_eq!(service["taskDefinition"], "arn:aws:ecs:us-east-1:000000000000:task-definition/job:1");
    let statuses: Vec<_> = service["taskSets"].as_array().unwrap().iter().map(|set| set["status"].clone()).collect();
    assert_eq!(statuses, ["ACTIVE", "PRIMARY"]);
    let again = json!({"serviceName": "web", "desiredCount": 4, "deploymentController": {"type": "EXTERNAL"}});
    world.call("CreateService", again);
}

#[test]
fn a_set_is_scaled_and_deleted() {
    let mut world = external(6);
    let set = world.call("CreateTaskSet", request(json!({"scale": null})))["taskSet"].clone();
    assert_eq!((&set["computedDesiredCount"], &set["scale"]["value"]), (&json!(6), &json!(100)));
    let mut scale = of(&set);
    scale["scale"] = json!({"unit": "PERCENT", "value": 0});
    world.check_refusals(
        "DeleteTaskSet",
        &[(
            of(&set),
            "InvalidParameterException: The task set cannot be deleted while it is scaled above 0. Scale it to 0, or use \
             force.",
        )],
    );
    assert_eq!(world.call("UpdateTaskSet", scale.clone())["taskSet"]["computedDesiredCount"], 0);
    assert_eq!(world.call("DeleteTaskSet", of(&set))["taskSet"]["status"], "DRAINING");
    let over = "InvalidParameterException: The specified task set is being deleted.";
    world.check_refusals("UpdateTaskSet", &[(scale, over)]);
    let other = world.call("CreateTaskSet", request(json!({})))["taskSet"].clone();
    let mut force = of(&other);
    force["force"] = json!(true);
    assert_eq!(world.call("DeleteTaskSet", force)["taskSet"]["computedDesiredCount"], 0);
}

#[test]
fn a_client_token_makes_one_set() {
    let mut world = external(2);
    let with_token = |changes: Value| {
        let mut request = request(changes);
        request["clientToken"] = json!("t");
        request
    };
    let first = world.call("CreateTaskSet", with_token(json!({})));
    assert_eq!(world.call("CreateTaskSet", with_token(json!({}))), first);
    world.check_refusals(
        "CreateTaskSet",
        &[(
            with_token(json!({"externalId": "x"})),
            "InvalidParameterException: The clientToken was used with another request before.",
        )],
    );
    for _ in 0..4 {
        world.call("CreateTaskSet", request(json!({})));
    }
    world.check_refusals(
        "CreateTaskSet",
        &[(request(json!({})), "InvalidParameterException: A service can have at most 5 task sets.")],
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let mut world = external(2);
    let ecs = json!({"serviceName": "job", "taskDefinition": "job", "desiredCount": 0});
    world.call("CreateService", ecs);
    let unbuilt =
        |field: &str| format!("ClientException: The field '{field}' of the task set is not supported by Gantry yet.");
    let invalid = |text: &str| format!("InvalidParameterException: {text}");
    let cases = [
        (json!({"service": "none"}), "ServiceNotFoundException: Service not found.".to_owned()),
        (
            json!({"service": "job"}),
            invalid("Task sets are those of services with an EXTERNAL deployment controller; this service's is ECS."),
        ),
        (json!({"taskDefinition": "none"}), "ClientException: TaskDefinition not found.".to_owned()),
        (json!({"taskDefinition": "job"}), invalid("Task definition does not support launch_type FARGATE.")),
        (json!({"scale": {"value": 101}}), invalid("The value of a scale must be between 0 and 100.")),
        (
            json!({"externalId": "a b"}),
            invalid("Invalid externalId. It must have 1 to 255 letters, digits, underscores or hyphens."),
        ),
        (json!({"loadBalancers": [{"containerName": "main", "containerPort": 80}]}), unbuilt("loadBalancers")),
        (json!({"serviceRegistries": [{"registryArn": "a"}]}), unbuilt("serviceRegistries")),
    ];
    for (changes, expected) in cases {
        assert_eq!(world.refused("CreateTaskSet", request(changes.clone())), expected, "{changes}");
    }
    let set = json!({"id": "ecs-svc/1"});
    world.check_refusals("DeleteTaskSet", &[(of(&set), NOT_FOUND)]);
    let of_task_sets = |field: &str| {
        invalid(&format!(
            "The field '{field}' cannot be given for a service with an EXTERNAL deployment controller: it is its task \
             sets'."
        ))
    };
    let updates = [
        ("taskDefinition", json!("web")),
        ("forceNewDeployment", json!(true)),
        ("networkConfiguration", in_zone_a()),
        ("deploymentConfiguration", json!({"maximumPercent": 150})),
    ];
    for (field, value) in updates {
        let request = json!({"service": "web", field: value});
        assert_eq!(world.refused("UpdateService", request), of_task_sets(field), "{field}");
    }
    let create = json!({
        "serviceName": "new", "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}, "launchType": "FARGATE",
    });
    assert_eq!(world.refused("CreateService", create), of_task_sets("launchType"));
    assert_eq!(world.call("UpdateService", json!({"service": "web", "desiredCount": 3}))["service"]["desiredCount"], 3);
}
