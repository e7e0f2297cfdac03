//! Tags of things that have a row, and of built-in ones.

use serde_json::{Value, json};

use crate::world::World;

fn tagged(world: &mut World, filters: Value) -> Vec<String> {
    let answer = world.call("DescribeTags", json!({"Filters": filters}));
    let show = |tag: &Value| format!("{} {}={}", tag["ResourceType"], tag["Key"], tag["Value"]).replace('"', "");
    answer["Tags"].as_array().unwrap().iter().map(show).collect()
}

#[test]
fn built_in_things_are_tagged_as_others_are() {
    let mut world = World::new();
    let vpc = world.call("DescribeVpcs", json!({}))["Vpcs"][0]["VpcId"].clone();
    let subnet = world.call("DescribeSubnets", json!({}))["Subnets"][0]["SubnetId"].clone();
    let tags = json!([{"Key": "Name", "Value": "main"}, {"Key": "team", "Value": "a"}]);
    world.call("CreateTags", json!({"Resources": [vpc, subnet], "Tags": tags}));
    assert_eq!(world.call("DescribeVpcs", json!({}))["Vpcs"][0]["Tags"], tags);
    let by_name = json!([{"Name": "tag:Name", "Values": ["ma*"]}]);
    let found = world.call("DescribeSubnets", json!({"Filters": by_name}))["Subnets"].clone();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["SubnetId"], subnet);
    let of_vpc = json!([{"Name": "resource-type", "Values": ["vpc"]}]);
    assert_eq!(tagged(&mut world, of_vpc.clone()), ["vpc Name=main", "vpc team=a"]);
    let other_value = json!([{"Key": "Name", "Value": "other"}]);
    world.call("DeleteTags", json!({"Resources": [vpc], "Tags": other_value}));
    assert_eq!(tagged(&mut world, of_vpc.clone()), ["vpc Name=main", "vpc team=a"]);
    world.call("DeleteTags", json!({"Resources": [vpc], "Tags": [{"Key": "Name"}]}));
    assert_eq!(tagged(&mut world, of_vpc.clone()), ["vpc team=a"]);
    world.call("DeleteTags", json!({"Resources": [vpc]}));
    assert_eq!(tagged(&mut world, of_vpc), [] as [&str; 0]);
}

#[test]
fn bad_tags_are_refused() {
    let mut world = World::new();
    let vpc = world.call("DescribeVpcs", json!({}))["Vpcs"][0]["VpcId"].clone();
    let tags = |tags: Value| json!({"Resources": [vpc], "Tags": tags});
    let many: Vec<Value> = (0..51).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect();
    world.check_refusals(
        "CreateTags",
        &[
            (
                tags(json!([{"Key": "aws:x", "Value": ""}])),
                "InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use",
            ),
            (
                tags(json!([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}])),
                "InvalidParameterValue: Duplicate tag key 'a' specified.",
            ),
            (tags(json!([{"Key": "", "Value": ""}])), "InvalidParameterValue: Tag key cannot be null or empty."),
            (tags(Value::Array(many)), "TagLimitExceeded: The maximum number of Tags for a resource has been reached."),
            (json!({"Resources": ["vpc-1"], "Tags": []}), "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist"),
            (json!({"Resources": ["x"], "Tags": []}), "InvalidID: The ID 'x' is not valid"),
        ],
    );
}
