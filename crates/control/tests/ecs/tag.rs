use model::TaskStatus;
use serde_json::{Value, json};

use crate::task_definition::{put_task, register};
use crate::world::World;

const CLUSTER: &str = "arn:aws:ecs:us-east-1:000000000000:cluster/web";
const DEFINITION: &str = "arn:aws:ecs:us-east-1:000000000000:task-definition/f:1";

fn world() -> (World, [String; 3]) {
    let mut world = World::new();
    world.call("CreateCluster", json!({"clusterName": "web"}));
    register(&mut world, "f");
    let task = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Running);
    let task = format!("arn:aws:ecs:us-east-1:000000000000:task/web/{task}");
    (world, [CLUSTER.to_owned(), DEFINITION.to_owned(), task])
}

fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

#[test]
fn tags_come_and_go() {
    let (mut world, arns) = world();
    for arn in arns {
        let list = |world: &mut World| world.call("ListTagsForResource", json!({"resourceArn": arn}))["tags"].clone();
        assert_eq!(list(&mut world), json!([]));
        world.call("TagResource", json!({"resourceArn": arn, "tags": tags(&[("a", "1"), ("b", "2")])}));
        world.call("TagResource", json!({"resourceArn": arn, "tags": tags(&[("a", "3"), ("c", "")])}));
        assert_eq!(list(&mut world), tags(&[("a", "3"), ("b", "2"), ("c", "")]), "{arn}");
        world.call("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "never"]}));
        assert_eq!(list(&mut world), tags(&[("b", "2"), ("c", "")]), "{arn}");
    }
    let answer = world.call("DescribeTaskDefinition", json!({"taskDefinition": "f", "include": ["TAGS"]}));
    assert_eq!(answer["tags"], tags(&[("b", "2"), ("c", "")]));
}

#[test]
fn a_resource_has_at_most_fifty_tags() {
    let (mut world, _) = world();
    let many: Value = (0..50).map(|n| json!({"key": format!("k{n}"), "value": ""})).collect();
    world.call("TagResource", json!({"resourceArn": CLUSTER, "tags": many}));
    world.call("TagResource", json!({"resourceArn": CLUSTER, "tags": tags(&[("k0", "new")])}));
    world.check_refusals(
        "TagResource",
        &[(
            json!({"resourceArn": CLUSTER, "tags": tags(&[("one too many", "")])}),
            "LimitExceededException: The maximum number of tags for a resource is 50.",
        )],
    );
}

#[test]
fn tags_that_cannot_be_are_refused() {
    let (mut world, _) = world();
    let reserved = |key: &str| {
        format!("InvalidParameterException: Invalid tag key '{key}'. The prefix 'aws:' is reserved for AWS.")
    };
    let bad_key = |key: &str| {
        format!(
            "InvalidParameterException: Invalid tag key '{key}'. It must have 1 to 128 letters, digits, spaces or any of \
             _.:/=+-@."
        )
    };
    let bad_value = "InvalidParameterException: Invalid value of tag 'k'. It must have at most 256 letters, digits, spaces or \
                     any of _.:/=+-@.";
    let long = "k".repeat(129);
    let cases = [
        (tags(&[("aws:x", "")]), reserved("aws:x")),
        (tags(&[("AWS:x", "")]), reserved("AWS:x")),
        (tags(&[("", "x")]), bad_key("")),
        (tags(&[(&long, "x")]), bad_key(&long)),
        (tags(&[("a*b", "x")]), bad_key("a*b")),
        (tags(&[("a\nb", "x")]), bad_key("a\nb")),
        (tags(&[("k", &"v".repeat(257))]), bad_value.to_owned()),
        (tags(&[("k", "<v>")]), bad_value.to_owned()),
        (
            tags(&[("k", "1"), ("k", "2")]),
            "InvalidParameterException: The tag key 'k' is given more than once.".to_owned(),
        ),
    ];
    for (tags, expected) in cases {
        let request = json!({"resourceArn": CLUSTER, "tags": tags});
        assert_eq!(world.refused("TagResource", request), expected, "{tags}");
        let request = json!({"clusterName": "new", "tags": tags});
        assert_eq!(world.refused("CreateCluster", request), expected, "{tags}");
    }
    let accepted = tags(&[("Größe 1/2", "a+b=c@d.e:f-g_h"), ("名前", "値")]);
    world.call("TagResource", json!({"resourceArn": CLUSTER, "tags": accepted}));
    assert_eq!(
        world.refused("UntagResource", json!({"resourceArn": CLUSTER, "tagKeys": ["aws:x"]})),
        reserved("aws:x")
    );
}

#[test]
fn what_has_no_tags_is_refused() {
    let (mut world, [.., task]) = world();
    let invalid = "InvalidParameterException: Invalid ARN. Specify the long ARN of an ECS resource.";
    let stranger = "InvalidParameterException: The ARN is of another account or region.";
    let id = "0".repeat(32);
    let arn = |resource: &str| format!("arn:aws:ecs:us-east-1:000000000000:{resource}");
    let not_found = "ResourceNotFoundException: The specified resource wasn't found.";
    let cases = [
        ("web".to_owned(), invalid),
        (arn("cluster"), invalid),
        (arn("teapot/web"), invalid),
        (arn("task/not-an-id"), invalid),
        (arn("task/web/not-an-id"), invalid),
        ("arn:aws:sqs:us-east-1:000000000000:cluster/web".to_owned(), invalid),
        ("arn:aws:ecs:us-east-1:111111111111:cluster/web".to_owned(), stranger),
        ("arn:aws:ecs:eu-west-1:000000000000:cluster/web".to_owned(), stranger),
        (arn("cluster/gone"), "ClusterNotFoundException: Cluster not found."),
        (arn(&format!("task/gone/{id}")), "ClusterNotFoundException: Cluster not found."),
        (arn(&format!("task/web/{id}")), not_found),
        (arn(&format!("container-instance/web/{id}")), not_found),
        (arn("task-definition/f:2"), not_found),
        (arn("task-definition/f"), "ClientException: Revision is missing."),
        (arn("task-definition/f:x"), "InvalidParameterException: Invalid revision number. Number: x"),
        (arn("service/web/s"), not_found),
    ];
    for (arn, expected) in &cases {
        let request = json!({"resourceArn": arn, "tags": tags(&[("k", "v")]), "tagKeys": ["k"]});
        assert_eq!(world.refused("TagResource", request.clone()), *expected, "{arn}");
        assert_eq!(world.refused("UntagResource", request.clone()), *expected, "{arn}");
        let listing = expected.replace("ResourceNotFoundException", "InvalidParameterException");
        assert_eq!(world.refused("ListTagsForResource", request), listing, "{arn}");
    }

    world.call("CreateCluster", json!({"clusterName": "other"}));
    let elsewhere = task.replace("/web/", "/other/");
    let request = json!({"resourceArn": elsewhere, "tags": tags(&[("k", "v")])});
    assert_eq!(world.refused("TagResource", request), not_found, "the task is in another cluster");
}

#[test]
fn what_is_over_takes_no_tags() {
    let (mut world, [.., task]) = world();
    let id: model::TaskId = task.rsplit('/').next().unwrap().parse().unwrap();
    world.txn.update(&id, |row: &mut model::Task| row.last_status = TaskStatus::Stopped);
    let request = |arn: &str| json!({"resourceArn": arn, "tags": tags(&[("k", "v")])});
    world.check_refusals(
        "TagResource",
        &[(
            request(&task),
            "InvalidParameterException: The specified task is stopped. Specify a running task and try again.",
        )],
    );
    world.call("DeleteCluster", json!({"cluster": "web"}));
    world.check_refusals(
        "TagResource",
        &[(request(CLUSTER), "ClusterNotFoundException: The referenced cluster was inactive.")],
    );
}
