//! PutAttributes, DeleteAttributes, ListAttributes.

use serde_json::{Value, json};

use crate::fleet::{instance_arn, one_node, put_node};
use crate::world::World;

fn attribute(instance: u128, name: &str, value: Value) -> Value {
    let mut entry = json!({"name": name, "targetId": instance_arn(instance)});
    if !value.is_null() {
        entry["value"] = value;
    }
    entry
}

fn listed(world: &mut World, mut request: Value) -> Vec<String> {
    request["targetType"] = json!("container-instance");
    let answer = world.call("ListAttributes", request);
    let show = |entry: &Value| {
        let id = entry["targetId"].as_str().unwrap().chars().last().unwrap();
        format!("{id} {}={}", entry["name"].as_str().unwrap(), entry["value"].as_str().unwrap_or("-"))
    };
    answer["attributes"].as_array().unwrap().iter().map(show).collect()
}

#[test]
fn attributes_are_put_listed_and_deleted() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    let put = json!({"attributes": [
        attribute(1, "rack", json!("r1")),
        attribute(2, "rack", json!("r2")),
        {"name": "ssd", "targetId": format!("{:032x}", 1), "targetType": "container-instance"},
    ]});
    let answer = world.call("PutAttributes", put);
    let expected = json!({
        "name": "rack", "value": "r1", "targetType": "container-instance", "targetId": instance_arn(1),
    });
    assert_eq!(answer["attributes"][0], expected);
    assert_eq!(listed(&mut world, json!({"attributeName": "rack"})), ["1 rack=r1", "2 rack=r2"]);
    assert_eq!(listed(&mut world, json!({"attributeName": "rack", "attributeValue": "r2"})), ["2 rack=r2"]);
    assert_eq!(listed(&mut world, json!({"attributeName": "ssd"})), ["1 ssd=-"]);
    assert_eq!(
        listed(&mut world, json!({"attributeName": "ecs.availability-zone"})),
        ["1 ecs.availability-zone=us-east-1a", "2 ecs.availability-zone=us-east-1a"]
    );

    world.call("PutAttributes", json!({"attributes": [attribute(1, "rack", json!("r9"))]}));
    assert_eq!(listed(&mut world, json!({"attributeName": "rack"})), ["1 rack=r9", "2 rack=r2"]);
    let filter = json!({"filter": "attribute:rack == r9 and attribute:ssd exists"});
    assert_eq!(world.call("ListContainerInstances", filter)["containerInstanceArns"], json!([instance_arn(1)]));
    let constrained = json!({
        "taskDefinition": "job", "placementConstraints": [{"type": "memberOf", "expression": "attribute:rack == r2"}],
    });
    assert_eq!(world.call("RunTask", constrained)["tasks"][0]["containerInstanceArn"], instance_arn(2));

    let delete = json!({"attributes": [
        attribute(1, "rack", json!("other")), attribute(2, "rack", Value::Null), attribute(1, "gone", Value::Null),
    ]});
    let deleted = world.call("DeleteAttributes", delete);
    assert_eq!(deleted["attributes"].as_array().unwrap().len(), 1);
    assert_eq!(deleted["attributes"][0]["targetId"], instance_arn(2));
    assert_eq!(listed(&mut world, json!({"attributeName": "rack"})), ["1 rack=r9"]);
}

#[test]
fn pages_join_to_the_whole_list() {
    let mut world = one_node();
    put_node(&mut world, 2, "us-east-1a");
    let all = listed(&mut world, json!({}));
    assert!(all.len() > 30);
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut request = json!({"targetType": "container-instance", "maxResults": 7});
        if !token.is_null() {
            request["nextToken"] = token;
        }
        let mut answer = world.call("ListAttributes", request);
        seen.extend(answer["attributes"].as_array().unwrap().iter().map(|entry| entry["name"].to_string()));
        token = answer["nextToken"].take();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), all.len());
}

#[test]
fn what_is_no_attribute_is_refused() {
    let mut world = one_node();
    let invalid_name = "InvalidParameterException: Invalid attribute name 'a b'. It must have 1 to 128 letters, digits \
                        or any of _/\\.-.";
    let invalid_value = "InvalidParameterException: Invalid value of attribute 'a'. It must have at most 128 letters, \
                         digits, inner spaces or any of _/\\.-@:.";
    let own = "InvalidParameterException: The attribute 'ecs.availability-zone' is the container agent's own.";
    let list = |entry: Value| json!({"attributes": [entry]});
    let common = [
        (json!({"attributes": []}), "InvalidParameterException: Attributes cannot be empty.".to_owned()),
        (
            json!({"attributes": vec![attribute(1, "a", Value::Null); 11]}),
            "InvalidParameterException: attributes can have at most 10 items.".to_owned(),
        ),
        (list(attribute(1, "a b", Value::Null)), invalid_name.to_owned()),
        (list(attribute(1, "a", json!(" x"))), invalid_value.to_owned()),
        (list(attribute(1, "a", json!("x".repeat(129)))), invalid_value.to_owned()),
        (list(attribute(1, "ecs.availability-zone", json!("x"))), own.to_owned()),
        (list(attribute(9, "a", Value::Null)), format!("TargetNotFoundException: Could not find {}", instance_arn(9))),
        (list(json!({"name": "a"})), "InvalidParameterException: targetId cannot be empty.".to_owned()),
        (
            list(json!({"name": "a", "targetId": format!("{:032x}", 1)})),
            "InvalidParameterException: targetType must be given with a targetId that is not an ARN.".to_owned(),
        ),
        (
            list(json!({"name": "a", "targetId": instance_arn(1), "targetType": "task"})),
            "InvalidParameterException: targetType should be one of [container-instance]".to_owned(),
        ),
        (
            json!({"cluster": "nowhere", "attributes": [attribute(1, "a", Value::Null)]}),
            "ClusterNotFoundException: Cluster not found.".to_owned(),
        ),
    ];
    let common: Vec<_> = common.iter().map(|(request, text)| (request.clone(), text.as_str())).collect();
    world.check_refusals("PutAttributes", &common);
    world.check_refusals("DeleteAttributes", &common);
    world.check_refusals(
        "ListAttributes",
        &[
            (
                json!({"targetType": "task"}),
                "InvalidParameterException: targetType should be one of [container-instance]",
            ),
            (
                json!({"targetType": "container-instance", "attributeValue": "x"}),
                "InvalidParameterException: attributeValue needs an attributeName beside it.",
            ),
            (
                json!({"targetType": "container-instance", "cluster": "nowhere"}),
                "ClusterNotFoundException: Cluster not found.",
            ),
            (
                json!({"targetType": "container-instance", "nextToken": "YWJj"}),
                "InvalidParameterException: Invalid token.",
            ),
        ],
    );
}

#[test]
fn an_instance_has_room_for_ten() {
    let mut world = one_node();
    let ten: Vec<_> = (0..10).map(|n| attribute(1, &format!("a{n}"), Value::Null)).collect();
    world.call("PutAttributes", json!({"attributes": ten}));
    world.call("PutAttributes", json!({"attributes": ten}));
    let eleventh = json!({"attributes": [attribute(1, "b", Value::Null)]});
    let refused = world.refused("PutAttributes", eleventh);
    assert_eq!(refused, "AttributeLimitExceededException: A container instance can have at most 10 custom attributes.");
}
