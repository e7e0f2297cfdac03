//! Capacity providers: what they show, what a cluster has, and where the tasks of a strategy go.

use serde_json::{Value, json};

use crate::fleet::{empty, in_zone_a, instance_arn, one_node, put_node};
use crate::world::World;

const NOT_FOUND: &str = "InvalidParameterException: The specified capacity provider was not found. Specify a valid \
                         capacity provider and try again.";

fn group(name: &str) -> Value {
    json!({"autoScalingGroupArn": format!("arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1:autoScalingGroupName/{name}")})
}

fn create(world: &mut World, name: &str) -> Value {
    let request = json!({"name": name, "autoScalingGroupProvider": group(name)});
    world.call("CreateCapacityProvider", request)["capacityProvider"].clone()
}

fn associate(world: &mut World, providers: Value, default: Value) -> Value {
    let request = json!({
        "cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": default,
    });
    world.call("PutClusterCapacityProviders", request)["cluster"].clone()
}

/// Container instance `number` stands for the provider.
fn join(world: &mut World, number: u128, provider: &str) {
    let attribute = json!({"name": "gantry.capacity-provider", "value": provider, "targetId": instance_arn(number)});
    world.call("PutAttributes", json!({"attributes": [attribute]}));
}

/// `a` with the instances 1 and 2, `b` with 3; instance 4 is nobody's.
fn two_providers() -> World {
    let mut world = empty();
    for (number, provider) in [(1, Some("a")), (2, Some("a")), (3, Some("b")), (4, None)] {
        put_node(&mut world, number, "us-east-1a");
        if let Some(provider) = provider {
            join(&mut world, number, provider);
        }
    }
    create(&mut world, "a");
    create(&mut world, "b");
    associate(&mut world, json!(["a", "b", "FARGATE", "FARGATE_SPOT"]), json!([]));
    world
}

fn item(provider: &str, base: i32, weight: i32) -> Value {
    json!({"capacityProvider": provider, "base": base, "weight": weight})
}

fn by_provider(tasks: &Value) -> Vec<(&str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for task in tasks.as_array().unwrap() {
        let name = task["capacityProviderName"].as_str().unwrap_or("-");
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts
}

#[test]
fn a_provider_is_created_changed_and_deleted() {
    let mut world = World::new();
    let tags = json!([{"key": "team", "value": "x"}]);
    let request = json!({"name": "one", "autoScalingGroupProvider": group("one"), "tags": tags});
    let created = world.call("CreateCapacityProvider", request)["capacityProvider"].clone();
    let arn = "arn:aws:ecs:us-east-1:000000000000:capacity-provider/one";
    assert_eq!(
        created,
        json!({
            "capacityProviderArn": arn, "name": "one", "status": "ACTIVE", "type": "EC2_AUTOSCALING",
            "updateStatus": "CREATE_COMPLETE", "tags": tags,
            "autoScalingGroupProvider": {
                "autoScalingGroupArn": group("one")["autoScalingGroupArn"], "managedDraining": "DISABLED",
                "managedScaling": {
                    "instanceWarmupPeriod": 300, "maximumScalingStepSize": 10000, "minimumScalingStepSize": 1,
                    "status": "DISABLED", "targetCapacity": 100,
                },
                "managedTerminationProtection": "DISABLED",
            },
        })
    );
    let change = json!({"name": "one", "autoScalingGroupProvider": {"managedScaling": {"targetCapacity": 80}}});
    let changed = world.call("UpdateCapacityProvider", change)["capacityProvider"].clone();
    assert_eq!(changed["autoScalingGroupProvider"]["managedScaling"]["targetCapacity"], 80);
    assert_eq!(changed["updateStatus"], "UPDATE_COMPLETE");
    world.call("TagResource", json!({"resourceArn": arn, "tags": [{"key": "team", "value": "y"}]}));
    let named = json!({"capacityProviders": [arn], "include": ["TAGS"]});
    let shown = world.call("DescribeCapacityProviders", named)["capacityProviders"].clone();
    assert_eq!(shown[0]["tags"], json!([{"key": "team", "value": "y"}]));
    let gone = world.call("DeleteCapacityProvider", json!({"capacityProvider": "one"}));
    assert_eq!(gone["capacityProvider"]["status"], "INACTIVE");
    let answer = world.call("DescribeCapacityProviders", json!({"capacityProviders": ["one", "FARGATE"]}));
    assert_eq!(answer["failures"], json!([{"arn": arn, "reason": "MISSING"}]));
    assert_eq!(answer["capacityProviders"][0]["type"], "FARGATE");
}

#[test]
fn all_are_described_in_pages_or_those_of_a_cluster() {
    let mut world = two_providers();
    let names = |answer: &Value| {
        let rows = answer["capacityProviders"].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = world.call("DescribeCapacityProviders", json!({"maxResults": 3}));
    assert_eq!(names(&first), ["FARGATE", "FARGATE_SPOT", "a"]);
    let second = world.call("DescribeCapacityProviders", json!({"maxResults": 3, "nextToken": first["nextToken"]}));
    assert_eq!((names(&second), &second["nextToken"]), (vec!["b".to_owned()], &Value::Null));
    world.call("CreateCluster", json!({"clusterName": "other", "capacityProviders": ["b"]}));
    let of_cluster = world.call("DescribeCapacityProviders", json!({"cluster": "other"}));
    assert_eq!(names(&of_cluster), ["b"]);
}

#[test]
fn what_cannot_be_a_provider_is_refused() {
    let mut world = World::new();
    create(&mut world, "one");
    let with = |name: &str, extra: Value| {
        let mut provider = group("new");
        provider.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"name": name, "autoScalingGroupProvider": provider})
    };
    let name = "InvalidParameterException: Invalid capacity provider name. It must have 1 to 255 letters, digits, \
                underscores or hyphens and cannot begin with aws, ecs or fargate.";
    let nothing_scales = |field: &str| {
        format!(
            "ClientException: The value ENABLED of '{field}' is not supported by Gantry: it has no Auto Scaling that \
             could add or end container instances. Leave it out, or use DISABLED."
        )
    };
    world.check_refusals(
        "CreateCapacityProvider",
        &[
            (with("a b", json!({})), name),
            (with("Fargate2", json!({})), name),
            (json!({"name": "two"}), "InvalidParameterException: autoScalingGroupProvider is required."),
            (with("two", json!({"managedScaling": {"status": "ENABLED"}})), &nothing_scales("managedScaling")),
            (with("two", json!({"managedDraining": "ENABLED"})), &nothing_scales("managedDraining")),
            (
                with("two", json!({"managedTerminationProtection": "ENABLED"})),
                &nothing_scales("managedTerminationProtection"),
            ),
            (
                with("two", json!({"managedScaling": {"targetCapacity": 101}})),
                "InvalidParameterException: targetCapacity must be between 1 and 100.",
            ),
            (
                with("one", json!({})),
                "ClientException: The specified capacity provider already exists. To change the configuration of an \
                 existing capacity provider, update the capacity provider.",
            ),
            (
                json!({"name": "two", "autoScalingGroupProvider": group("one")}),
                "ClientException: The specified Auto Scaling group ARN is already being used by another capacity \
                 provider. Specify a unique Auto Scaling group ARN and try again.",
            ),
            (
                json!({"name": "two", "cluster": "default", "autoScalingGroupProvider": group("two")}),
                "UnsupportedFeatureException: Capacity providers of one cluster, for Managed Instances, are not \
                 supported by Gantry yet.",
            ),
        ],
    );
    world.check_refusals(
        "DeleteCapacityProvider",
        &[
            (json!({"capacityProvider": "none"}), NOT_FOUND),
            (
                json!({"capacityProvider": "FARGATE"}),
                "InvalidParameterException: The capacity provider FARGATE cannot be changed or deleted.",
            ),
        ],
    );
}

#[test]
fn a_cluster_has_providers_and_a_default_strategy() {
    let mut world = one_node();
    create(&mut world, "a");
    let cluster = associate(&mut world, json!(["a", "FARGATE"]), json!([item("FARGATE", 1, 2)]));
    assert_eq!(cluster["capacityProviders"], json!(["a", "FARGATE"]));
    assert_eq!(cluster["defaultCapacityProviderStrategy"], json!([item("FARGATE", 1, 2)]));
    world.check_refusals(
        "DeleteCapacityProvider",
        &[(
            json!({"capacityProvider": "a"}),
            "ClientException: The capacity provider cannot be deleted because it is associated with cluster: default. \
             Remove the capacity provider from the cluster and try again.",
        )],
    );
    let answer = world.call("RunTask", json!({"taskDefinition": "web", "networkConfiguration": in_zone_a()}));
    assert_eq!(by_provider(&answer["tasks"]), [("FARGATE", 1)]);
    assert_eq!(answer["tasks"][0]["launchType"], "FARGATE");
    let put = |providers: Value, default: Value| json!({"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": default});
    let many: Vec<String> = (0..21).map(|number| format!("p{number}")).collect();
    for name in &many {
        create(&mut world, name);
    }
    world.check_refusals(
        "PutClusterCapacityProviders",
        &[
            (
                put(json!(["a"]), json!([])),
                "ResourceInUseException: The specified capacity provider is in use and cannot be removed.",
            ),
            (put(json!(["none"]), json!([])), NOT_FOUND),
            (
                put(json!(many), json!([])),
                "InvalidParameterException: The maximum number of capacity providers per cluster has been exceeded.",
            ),
        ],
    );
    world.check_refusals(
        "CreateCluster",
        &[(
            json!({"capacityProviders": ["a"]}),
            "InvalidParameterException: Arguments on this idempotent request are inconsistent with arguments used in \
             previous request(s).",
        )],
    );
    assert_eq!(world.call("CreateCluster", json!({}))["cluster"]["capacityProviders"], json!(["a", "FARGATE"]));
}

#[test]
fn a_strategy_shares_the_tasks_of_one_call_out() {
    let mut world = two_providers();
    let run = |strategy: Value, count: i32| json!({"taskDefinition": "job", "count": count, "capacityProviderStrategy": strategy});
    let answer = world.call("RunTask", run(json!([item("a", 2, 1), item("b", 0, 3)]), 10));
    assert_eq!(by_provider(&answer["tasks"]), [("a", 4), ("b", 6)]);
    for task in answer["tasks"].as_array().unwrap() {
        let expected: &[u128] = if task["capacityProviderName"] == "a" { &[1, 2] } else { &[3] };
        let instance = task["containerInstanceArn"].as_str().unwrap();
        assert!(expected.iter().any(|number| instance == instance_arn(*number)), "{instance}");
        assert_eq!(task["launchType"], "EC2");
    }
    let shown =
        world.call("DescribeContainerInstances", json!({"containerInstances": [instance_arn(3), instance_arn(4)]}));
    assert_eq!(shown["containerInstances"][0]["capacityProviderName"], "b");
    assert_eq!(shown["containerInstances"][1]["capacityProviderName"], Value::Null);
    // Without one, the instances of all providers are taken.
    let plain = world.call(
        "RunTask",
        json!({"taskDefinition": "job", "placementConstraints": [{
            "type": "memberOf", "expression": "attribute:gantry.capacity-provider == b",
        }]}),
    );
    assert_eq!(by_provider(&plain["tasks"]), [("-", 1)]);
}

#[test]
fn what_a_strategy_cannot_say_is_refused() {
    let mut world = two_providers();
    create(&mut world, "lone");
    let run = |strategy: Value| json!({"taskDefinition": "job", "capacityProviderStrategy": strategy});
    let invalid = |text: &str| format!("InvalidParameterException: {text}");
    let cases = [
        (
            run(json!([item("a", 0, 0), item("b", 0, 0)])),
            invalid("At least one capacity provider of a strategy must have a weight greater than 0."),
        ),
        (
            run(json!([item("a", 1, 1), item("b", 1, 1)])),
            invalid("Only one capacity provider of a strategy can have a base."),
        ),
        (
            run(json!([item("a", 0, 1), item("FARGATE", 0, 1)])),
            invalid(
                "A capacity provider strategy cannot contain both Fargate and Auto Scaling group capacity providers.",
            ),
        ),
        (
            run(json!([item("a", 0, 1), item("a", 0, 1)])),
            invalid("A capacity provider strategy cannot contain a capacity provider more than once."),
        ),
        (
            run(json!([item("lone", 0, 1)])),
            invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated \
                 with the cluster. Associate the capacity provider with the cluster or specify a valid capacity \
                 provider and try again.",
            ),
        ),
        (run(json!([item("none", 0, 1)])), NOT_FOUND.to_owned()),
        (run(json!([item("a", 0, 1001)])), invalid("weight must be between 0 and 1000.")),
        (run(json!([item("a", 100_001, 1)])), invalid("base must be between 0 and 100000.")),
    ];
    for (request, expected) in &cases {
        assert_eq!(world.refused("RunTask", request.clone()), *expected, "{request}");
    }
}

#[test]
fn a_provider_without_an_instance_has_no_room() {
    let mut world = two_providers();
    let empty = "No Container Instances were found in your capacity provider.";
    world.call(
        "DeleteAttributes",
        json!({"attributes": [
            {"name": "gantry.capacity-provider", "targetId": instance_arn(3)},
        ]}),
    );
    let run = |strategy: Value| json!({"taskDefinition": "job", "count": 2, "capacityProviderStrategy": strategy});
    world.check_refusals("RunTask", &[(run(json!([item("b", 0, 1)])), &format!("InvalidParameterException: {empty}"))]);
    let answer = world.call("RunTask", run(json!([item("a", 0, 1), item("b", 0, 1)])));
    assert_eq!(by_provider(&answer["tasks"]), [("a", 1)]);
    let arn = "arn:aws:ecs:us-east-1:000000000000:capacity-provider/b";
    assert_eq!(answer["failures"], json!([{"arn": arn, "reason": empty}]));
}

#[test]
fn a_service_shows_its_strategy_or_its_launch_type() {
    let mut world = two_providers();
    let strategy = json!([item("FARGATE", 1, 1), item("FARGATE_SPOT", 0, 3)]);
    let request = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 0, "networkConfiguration": in_zone_a(),
        "capacityProviderStrategy": strategy,
    });
    let service = world.call("CreateService", request.clone())["service"].clone();
    assert_eq!((&service["capacityProviderStrategy"], &service["launchType"]), (&strategy, &Value::Null));
    assert_eq!(service["deployments"][0]["capacityProviderStrategy"], strategy);
    assert_eq!(service["platformVersion"], "1.4.0");
    assert_eq!(world.call("CreateService", request)["service"]["deployments"], service["deployments"]);

    let update = |strategy: Value, force: bool| json!({"service": "web", "capacityProviderStrategy": strategy, "forceNewDeployment": force});
    let forced = "InvalidParameterException: When switching from launch type to capacity provider strategy on an \
                  existing service, or making a change to a capacity provider strategy on a service that is already \
                  using one, you must force a new deployment.";
    world.check_refusals("UpdateService", &[(update(json!([]), false), forced)]);
    let same = world.call("UpdateService", update(strategy.clone(), false))["service"].clone();
    assert_eq!(same["deployments"].as_array().unwrap().len(), 1);
    let back = world.call("UpdateService", update(json!([]), true))["service"].clone();
    assert_eq!((&back["launchType"], &back["capacityProviderStrategy"]), (&json!("FARGATE"), &Value::Null));
    assert_eq!(back["deployments"][0]["launchType"], "FARGATE");
    assert_eq!(
        back["deployments"][1]["capacityProviderStrategy"], strategy,
        "the one before keeps what it was made of"
    );
    let moved = world.call("UpdateService", update(json!([item("a", 0, 1)]), true))["service"].clone();
    assert_eq!(
        (&moved["capacityProviderStrategy"], &moved["platformVersion"]),
        (&json!([item("a", 0, 1)]), &Value::Null)
    );
    world.check_refusals(
        "PutClusterCapacityProviders",
        &[(
            json!({"cluster": "default", "capacityProviders": ["b"], "defaultCapacityProviderStrategy": []}),
            "ResourceInUseException: The specified capacity provider is in use and cannot be removed.",
        )],
    );
}

#[test]
fn a_service_without_either_takes_the_clusters_default() {
    let mut world = two_providers();
    associate(&mut world, json!(["a", "b"]), json!([item("b", 0, 1)]));
    let request = json!({"serviceName": "job", "taskDefinition": "job", "desiredCount": 0});
    let service = world.call("CreateService", request)["service"].clone();
    assert_eq!(service["capacityProviderStrategy"], json!([item("b", 0, 1)]));
    let request = json!({"serviceName": "plain", "taskDefinition": "job", "desiredCount": 0, "launchType": "EC2"});
    assert_eq!(world.call("CreateService", request)["service"]["launchType"], "EC2");
}
