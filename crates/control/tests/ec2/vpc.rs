//! The built-in VPC: what is looked up about it, and that nobody can make another one.

use serde_json::{Value, json};

use crate::world::World;

#[test]
fn everything_around_the_vpc_names_it() {
    let mut world = World::new();
    let vpc = world.call("DescribeVpcs", json!({}))["Vpcs"][0].clone();
    let id = &vpc["VpcId"];
    let filters = json!({"Filters": [{"Name": "vpc-id", "Values": [id]}]});
    let table = world.call("DescribeRouteTables", filters.clone())["RouteTables"][0].clone();
    let gateway = world.call("DescribeInternetGateways", json!({}))["InternetGateways"][0].clone();
    assert_eq!(table["Associations"][0]["Main"], true);
    assert_eq!(table["Routes"][0]["DestinationCidrBlock"], "172.31.0.0/16");
    assert_eq!(table["Routes"][1]["GatewayId"], gateway["InternetGatewayId"]);
    assert_eq!(gateway["Attachments"], json!([{"State": "available", "VpcId": id}]));
    let acl = world.call("DescribeNetworkAcls", filters)["NetworkAcls"][0].clone();
    assert_eq!((acl["IsDefault"].as_bool(), acl["Associations"].as_array().unwrap().len()), (Some(true), 3));
    let options = json!({"DhcpOptionsIds": [vpc["DhcpOptionsId"]]});
    let options = world.call("DescribeDhcpOptions", options)["DhcpOptions"][0].clone();
    assert_eq!(options["DhcpConfigurations"][0]["Values"], json!([{"Value": "ec2.internal"}]));
    let account = world.call("DescribeAccountAttributes", json!({"AttributeNames": ["default-vpc"]}));
    assert_eq!(account["AccountAttributes"][0]["AttributeValues"], json!([{"AttributeValue": id}]));
    let by_destination = json!({"Filters": [{"Name": "route.destination-cidr-block", "Values": ["10.*"]}]});
    assert_eq!(world.call("DescribeRouteTables", by_destination)["RouteTables"], json!([]));
    // They are tagged as others are.
    for thing in [&table["RouteTableId"], &gateway["InternetGatewayId"], &acl["NetworkAclId"]] {
        world.call("CreateTags", json!({"Resources": [thing], "Tags": [{"Key": "Name", "Value": "main"}]}));
    }
    let by_name = json!({"Filters": [{"Name": "tag:Name", "Values": ["main"]}]});
    assert_eq!(world.call("DescribeRouteTables", by_name)["RouteTables"].as_array().unwrap().len(), 1);
}

#[test]
fn attributes_of_the_vpc_are_told_one_by_one() {
    let mut world = World::new();
    let id = world.call("DescribeVpcs", json!({}))["Vpcs"][0]["VpcId"].clone();
    let mut check = |attribute: &str, member: &str, value: bool| {
        let answer = world.call("DescribeVpcAttribute", json!({"VpcId": id, "Attribute": attribute}));
        assert_eq!(answer, json!({"VpcId": id, member: {"Value": value}}));
    };
    check("enableDnsSupport", "EnableDnsSupport", true);
    check("enableDnsHostnames", "EnableDnsHostnames", true);
    check("enableNetworkAddressUsageMetrics", "EnableNetworkAddressUsageMetrics", false);
    let refused = world.refused("DescribeVpcAttribute", json!({"VpcId": "vpc-1", "Attribute": "enableDnsSupport"}));
    assert_eq!(refused, "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist");
}

#[test]
fn networks_of_the_callers_own_are_refused_in_words() {
    let mut world = World::new();
    let requests: [(&str, Value); 4] = [
        ("CreateVpc", json!({"CidrBlock": "10.0.0.0/16"})),
        ("CreateSubnet", json!({"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"})),
        ("CreateInternetGateway", json!({})),
        ("CreateRouteTable", json!({"VpcId": "vpc-1"})),
    ];
    for (operation, request) in requests {
        let refused = world.refused(operation, request);
        let expected = format!("UnsupportedOperation: Gantry does not serve ec2:{operation} yet.");
        assert!(refused.starts_with(&expected), "{refused}");
    }
}
