//! VPCs: the built-in one, and those of the caller's own with all that lies in them.

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

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn create_vpc(world: &mut World, range: &str) -> String {
    text(&world.call("CreateVpc", json!({"CidrBlock": range}))["Vpc"]["VpcId"])
}

fn create_subnet(world: &mut World, vpc: &str, range: &str) -> String {
    text(&world.call("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": range}))["Subnet"]["SubnetId"])
}

fn create_gateway(world: &mut World, vpc: &str) -> String {
    let id = text(&world.call("CreateInternetGateway", json!({}))["InternetGateway"]["InternetGatewayId"]);
    world.call("AttachInternetGateway", json!({"InternetGatewayId": id, "VpcId": vpc}));
    id
}

fn by_vpc(vpc: &str) -> Value {
    json!({"Filters": [{"Name": "vpc-id", "Values": [vpc]}]})
}

/// Of the main table: destination, target, state.
fn routes(world: &mut World, table: &str) -> Vec<String> {
    let answer = world.call("DescribeRouteTables", json!({"RouteTableIds": [table]}));
    let show = |route: &Value| {
        let first = |names: [&str; 2]| names.iter().find_map(|name| route[*name].as_str()).unwrap().to_owned();
        let destination = first(["DestinationCidrBlock", "DestinationPrefixListId"]);
        format!("{destination} {} {}", first(["GatewayId", "NatGatewayId"]), route["State"].as_str().unwrap())
    };
    answer["RouteTables"][0]["Routes"].as_array().unwrap().iter().map(show).collect()
}

#[test]
fn a_new_vpc_comes_with_its_group_table_and_access_list_and_goes_with_them() {
    let mut world = World::new();
    let tags = json!([{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "main"}]}]);
    let made = world.call("CreateVpc", json!({"CidrBlock": "10.0.7.1/16", "TagSpecifications": tags}))["Vpc"].clone();
    assert_eq!((&made["State"], &made["CidrBlock"]), (&json!("pending"), &json!("10.0.0.0/16")));
    let id = text(&made["VpcId"]);
    // Another one may have the same range.
    create_vpc(&mut world, "10.0.0.0/16");
    let shown = world.call("DescribeVpcs", json!({"VpcIds": [id]}))["Vpcs"][0].clone();
    assert_eq!((&shown["State"], &shown["IsDefault"]), (&json!("available"), &json!(false)));
    assert_eq!(shown["Tags"], json!([{"Key": "Name", "Value": "main"}]));
    let table = world.call("DescribeRouteTables", by_vpc(&id))["RouteTables"][0].clone();
    assert_eq!(table["Associations"][0]["Main"], true);
    assert_eq!(routes(&mut world, table["RouteTableId"].as_str().unwrap()), ["10.0.0.0/16 local active"]);
    let acl = world.call("DescribeNetworkAcls", by_vpc(&id))["NetworkAcls"][0].clone();
    assert_eq!((&acl["IsDefault"], &acl["Associations"]), (&json!(true), &json!([])));
    let group = world.call("DescribeSecurityGroups", by_vpc(&id))["SecurityGroups"][0].clone();
    assert_eq!(group["GroupName"], "default");
    // A name is one's own in each VPC.
    for vpc in [Some(&id), None] {
        let mut request = json!({"GroupName": "web", "Description": "of a test"});
        if let Some(vpc) = vpc {
            request["VpcId"] = json!(vpc);
        }
        world.call("CreateSecurityGroup", request);
    }
    let subnet = create_subnet(&mut world, &id, "10.0.1.0/24");
    let shown = world.call("DescribeSubnets", by_vpc(&id))["Subnets"][0].clone();
    assert_eq!((&shown["AvailableIpAddressCount"], &shown["DefaultForAz"]), (&json!(251), &json!(false)));
    let delete = json!({"VpcId": id});
    let in_use = format!("DependencyViolation: The vpc '{id}' has dependencies and cannot be deleted.");
    assert_eq!(world.refused("DeleteVpc", delete.clone()), in_use);
    world.call("DeleteSubnet", json!({"SubnetId": subnet}));
    assert_eq!(world.refused("DeleteVpc", delete.clone()), in_use);
    let of_vpc = json!({"Filters": [{"Name": "vpc-id", "Values": [id]}, {"Name": "group-name", "Values": ["web"]}]});
    let web = world.call("DescribeSecurityGroups", of_vpc)["SecurityGroups"][0]["GroupId"].clone();
    world.call("DeleteSecurityGroup", json!({"GroupId": web}));
    world.call("DeleteVpc", delete.clone());
    assert_eq!(world.refused("DeleteVpc", delete), format!("InvalidVpcID.NotFound: The vpc ID '{id}' does not exist"));
    assert_eq!(world.call("DescribeSecurityGroups", by_vpc(&id))["SecurityGroups"], json!([]));
    assert_eq!(world.call("DescribeTags", json!({}))["Tags"], json!([]));
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let mut world = World::new();
    let invalid = |text: &str| format!("InvalidVpc.Range: The CIDR '{text}' is invalid.");
    for range in ["10.0.0.0/8", "10.0.0.0/29", "127.0.0.0/16", "169.254.0.0/20", "240.0.0.0/16"] {
        assert_eq!(world.refused("CreateVpc", json!({"CidrBlock": range})), invalid(range));
    }
    world.check_refusals(
        "CreateVpc",
        &[
            (json!({}), "MissingParameter: Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided."),
            (
                json!({"CidrBlock": "ten"}),
                "InvalidParameterValue: Value (ten) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            ),
            (
                json!({"CidrBlock": "10.0.0.0/16", "AmazonProvidedIpv6CidrBlock": true}),
                "UnsupportedOperation: IPv6 ranges of VPCs are not supported by Gantry yet.",
            ),
            (
                json!({"CidrBlock": "10.0.0.0/16", "InstanceTenancy": "dedicated"}),
                "UnsupportedOperation: Tenancies other than 'default' are not supported by Gantry yet.",
            ),
        ],
    );
    let vpc = create_vpc(&mut world, "10.0.0.0/16");
    create_subnet(&mut world, &vpc, "10.0.1.0/24");
    let subnet = |range: &str| json!({"VpcId": vpc, "CidrBlock": range});
    world.check_refusals(
        "CreateSubnet",
        &[
            (subnet("10.1.0.0/24"), "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."),
            (subnet("10.0.0.0/29"), "InvalidSubnet.Range: The CIDR '10.0.0.0/29' is invalid."),
            (subnet("10.0.0.0/20"), "InvalidSubnet.Conflict: The CIDR '10.0.0.0/20' conflicts with another subnet"),
            (
                json!({"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"}),
                "InvalidVpcID.NotFound: The vpc ID 'vpc-1' does not exist",
            ),
            (
                json!({"VpcId": vpc, "CidrBlock": "10.0.2.0/24", "AvailabilityZone": "us-east-1z"}),
                "InvalidParameterValue: Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can \
                 currently only be created in the following availability zones: us-east-1a, us-east-1b, us-east-1c.",
            ),
        ],
    );
}

#[test]
fn the_built_in_vpc_stays_as_it_is() {
    let mut world = World::new();
    let vpc = text(&world.call("DescribeVpcs", json!({}))["Vpcs"][0]["VpcId"]);
    let subnet = world.call("DescribeSubnets", json!({}))["Subnets"][0]["SubnetId"].clone();
    let requests: [(&str, Value); 5] = [
        ("DeleteVpc", json!({"VpcId": vpc})),
        ("CreateSubnet", json!({"VpcId": vpc, "CidrBlock": "172.31.48.0/20"})),
        ("CreateRouteTable", json!({"VpcId": vpc})),
        ("DeleteSubnet", json!({"SubnetId": subnet})),
        ("ModifySubnetAttribute", json!({"SubnetId": subnet, "MapPublicIpOnLaunch": {"Value": true}})),
    ];
    for (operation, request) in requests {
        let expected = "UnsupportedOperation: Changes to the built-in VPC and to what lies in it are not supported by \
                        Gantry yet.";
        assert_eq!(world.refused(operation, request), expected, "{operation}");
    }
    // What it has already is no change.
    world.call("ModifyVpcAttribute", json!({"VpcId": vpc, "EnableDnsHostnames": {"Value": true}}));
}

#[test]
fn attributes_are_changed_one_by_one() {
    let mut world = World::new();
    let vpc = create_vpc(&mut world, "10.0.0.0/16");
    let subnet = create_subnet(&mut world, &vpc, "10.0.1.0/24");
    world.call("ModifyVpcAttribute", json!({"VpcId": vpc, "EnableDnsHostnames": {"Value": true}}));
    let told = world.call("DescribeVpcAttribute", json!({"VpcId": vpc, "Attribute": "enableDnsHostnames"}));
    assert_eq!(told["EnableDnsHostnames"]["Value"], true);
    world.call("ModifySubnetAttribute", json!({"SubnetId": subnet, "MapPublicIpOnLaunch": {"Value": true}}));
    let shown = world.call("DescribeSubnets", json!({"SubnetIds": [subnet]}))["Subnets"][0].clone();
    assert_eq!(shown["MapPublicIpOnLaunch"], true);
    assert_eq!(
        world.refused("ModifyVpcAttribute", json!({"VpcId": vpc, "EnableDnsSupport": {"Value": false}})),
        "UnsupportedOperation: VPCs without a name server are not supported by Gantry yet.",
    );
}

#[test]
fn routes_lead_out_by_gateways_and_are_black_holes_without() {
    let mut world = World::new();
    let vpc = create_vpc(&mut world, "10.0.0.0/16");
    let (public, private) =
        (create_subnet(&mut world, &vpc, "10.0.1.0/24"), create_subnet(&mut world, &vpc, "10.0.2.0/24"));
    let gateway = create_gateway(&mut world, &vpc);
    let mut table = || text(&world.call("CreateRouteTable", json!({"VpcId": vpc}))["RouteTable"]["RouteTableId"]);
    let (out, inner) = (table(), table());
    let mut associate = |table: &str, subnet: &str| {
        let request = json!({"RouteTableId": table, "SubnetId": subnet});
        text(&world.call("AssociateRouteTable", request)["AssociationId"])
    };
    let (out_association, _) = (associate(&out, &public), associate(&inner, &private));
    let by_igw = json!({"RouteTableId": out, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway});
    world.call("CreateRoute", by_igw.clone());
    let address = world.call("AllocateAddress", json!({"Domain": "vpc"}));
    let (allocation, public_ip) = (text(&address["AllocationId"]), text(&address["PublicIp"]));
    assert!(public_ip.starts_with("198.18."), "{public_ip}");
    let request = json!({"SubnetId": public, "AllocationId": allocation});
    let nat = text(&world.call("CreateNatGateway", request.clone())["NatGateway"]["NatGatewayId"]);
    let shown = world.call("DescribeNatGateways", json!({"NatGatewayIds": [nat]}))["NatGateways"][0].clone();
    assert_eq!(shown["State"], "available");
    assert_eq!(shown["NatGatewayAddresses"][0]["PublicIp"], public_ip.as_str());
    let by_nat = json!({"RouteTableId": inner, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": nat});
    world.call("CreateRoute", by_nat.clone());
    assert_eq!(routes(&mut world, &inner), ["10.0.0.0/16 local active".to_owned(), format!("0.0.0.0/0 {nat} active")]);

    let message = format!(
        "InvalidParameterValue: route table {out} and network gateway {} belong to different networks",
        world.call("DescribeInternetGateways", json!({}))["InternetGateways"]
            .as_array()
            .unwrap()
            .iter()
            .map(|other| text(&other["InternetGatewayId"]))
            .find(|other| *other != gateway)
            .unwrap(),
    );
    let foreign = message.split(' ').nth(7).unwrap().to_owned();
    let cases: Vec<(&str, Value, String)> = vec![
        ("CreateRoute", by_igw, "RouteAlreadyExists: The route identified by 0.0.0.0/0 already exists.".to_owned()),
        (
            "CreateRoute",
            json!({"RouteTableId": out, "DestinationCidrBlock": "192.0.2.0/24", "GatewayId": foreign}),
            message,
        ),
        (
            "CreateRoute",
            json!({"RouteTableId": out, "DestinationCidrBlock": "10.0.3.0/24", "GatewayId": gateway}),
            "InvalidParameterValue: The destination CIDR block 10.0.3.0/24 is equal to or more specific than one of this \
             VPC's CIDR blocks. This route can target only an interface or an instance."
                .to_owned(),
        ),
        (
            "DeleteRoute",
            json!({"RouteTableId": out, "DestinationCidrBlock": "192.0.2.0/24"}),
            format!(
                "InvalidRoute.NotFound: no route with destination-cidr-block 192.0.2.0/24 in route table {out}"
            ),
        ),
        (
            "AssociateRouteTable",
            json!({"RouteTableId": inner, "SubnetId": public}),
            format!(
                "Resource.AlreadyAssociated: the specified association for route table {inner} conflicts with an \
                 existing association"
            ),
        ),
        (
            "DeleteRouteTable",
            json!({"RouteTableId": out}),
            format!("DependencyViolation: The routeTable '{out}' has dependencies and cannot be deleted."),
        ),
        (
            "DetachInternetGateway",
            json!({"InternetGatewayId": gateway, "VpcId": vpc}),
            format!(
                "DependencyViolation: Network {vpc} has some mapped public address(es). Please unmap those public \
                 address(es) before detaching the gateway."
            ),
        ),
        (
            "DeleteInternetGateway",
            json!({"InternetGatewayId": gateway}),
            format!("DependencyViolation: The internetGateway '{gateway}' has dependencies and cannot be deleted."),
        ),
        (
            "ReleaseAddress",
            json!({"AllocationId": allocation}),
            format!("InvalidIPAddress.InUse: Address {public_ip} is in use."),
        ),
        (
            "DeleteSubnet",
            json!({"SubnetId": public}),
            format!("DependencyViolation: The subnet '{public}' has dependencies and cannot be deleted."),
        ),
        (
            "CreateNatGateway",
            request,
            format!(
                "Resource.AlreadyAssociated: resource {allocation} is already associated with another resource"
            ),
        ),
    ];
    for (operation, request, expected) in cases {
        assert_eq!(world.refused(operation, request), expected, "{operation}");
    }

    world.call("DeleteNatGateway", json!({"NatGatewayId": nat}));
    let shown = world.call("DescribeNatGateways", json!({"NatGatewayIds": [nat]}))["NatGateways"][0].clone();
    assert_eq!(shown["State"], "deleted");
    assert_eq!(routes(&mut world, &inner)[1], format!("0.0.0.0/0 {nat} blackhole"));
    world.call("ReleaseAddress", json!({"AllocationId": allocation}));
    world.call("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc}));
    assert_eq!(
        world.refused("DetachInternetGateway", json!({"InternetGatewayId": gateway, "VpcId": vpc})),
        format!("Gateway.NotAttached: resource {gateway} is not attached to network {vpc}"),
    );
    assert_eq!(routes(&mut world, &out)[1], format!("0.0.0.0/0 {gateway} blackhole"));
    world.call("DisassociateRouteTable", json!({"AssociationId": out_association}));
    world.call("DeleteRouteTable", json!({"RouteTableId": out}));
    // Another table as the main one.
    let main = world.call(
        "DescribeRouteTables",
        json!({"Filters": [
        {"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]}),
    );
    let main = main["RouteTables"][0]["Associations"][0]["RouteTableAssociationId"].clone();
    let replaced = world.call("ReplaceRouteTableAssociation", json!({"AssociationId": main, "RouteTableId": inner}));
    let shown = world.call(
        "DescribeRouteTables",
        json!({"Filters": [
        {"Name": "association.route-table-association-id", "Values": [replaced["NewAssociationId"]]}]}),
    );
    assert_eq!(shown["RouteTables"][0]["RouteTableId"], inner.as_str());
}

#[test]
fn a_nat_gateway_without_a_way_out_fails() {
    let mut world = World::new();
    let vpc = create_vpc(&mut world, "10.0.0.0/16");
    let subnet = create_subnet(&mut world, &vpc, "10.0.1.0/24");
    let allocation = world.call("AllocateAddress", json!({}))["AllocationId"].clone();
    let request = json!({"SubnetId": subnet, "AllocationId": allocation});
    let id = world.call("CreateNatGateway", request)["NatGateway"]["NatGatewayId"].clone();
    let shown = world.call("DescribeNatGateways", json!({"NatGatewayIds": [id]}))["NatGateways"][0].clone();
    assert_eq!((&shown["State"], &shown["FailureCode"]), (&json!("failed"), &json!("Gateway.NotAttached")));
    // It holds nothing.
    world.call("ReleaseAddress", json!({"AllocationId": allocation}));
    world.call("DeleteSubnet", json!({"SubnetId": subnet}));
}

#[test]
fn a_prefix_list_is_changed_by_who_knows_its_version_and_stays_while_it_is_named() {
    let mut world = World::new();
    let entries = json!([{"Cidr": "192.0.2.0/24", "Description": "office"}]);
    let request = json!({"PrefixListName": "offices", "AddressFamily": "IPv4", "MaxEntries": 2, "Entries": entries});
    let id = text(&world.call("CreateManagedPrefixList", request)["PrefixList"]["PrefixListId"]);
    let add = |version: i64, cidr: &str| json!({"PrefixListId": id, "CurrentVersion": version, "AddEntries": [{"Cidr": cidr}]});
    world.call("ModifyManagedPrefixList", add(1, "198.51.100.0/24"));
    assert_eq!(
        world.refused("ModifyManagedPrefixList", add(1, "203.0.113.0/24")),
        "PrefixListVersionMismatch: The prefix list has the incorrect version number; the current version is 2.",
    );
    assert!(world.refused("ModifyManagedPrefixList", add(2, "203.0.113.0/24")).starts_with("PrefixListMaxEntries"));
    let shown = world.call("DescribeManagedPrefixLists", json!({}))["PrefixLists"][0].clone();
    assert_eq!((&shown["State"], &shown["Version"]), (&json!("modify-complete"), &json!(2)));
    let entries = world.call("GetManagedPrefixListEntries", json!({"PrefixListId": id}))["Entries"].clone();
    assert_eq!(entries[0], json!({"Cidr": "192.0.2.0/24", "Description": "office"}));
    let group = world.call("DescribeSecurityGroups", json!({}))["SecurityGroups"][0]["GroupId"].clone();
    let rule =
        json!({"GroupId": group, "IpPermissions": [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": id}]}]});
    world.call("AuthorizeSecurityGroupIngress", rule.clone());
    assert_eq!(
        world.refused("DeleteManagedPrefixList", json!({"PrefixListId": id})),
        format!("DependencyViolation: The prefixList '{id}' has dependencies and cannot be deleted."),
    );
    world.call("RevokeSecurityGroupIngress", rule);
    world.call("DeleteManagedPrefixList", json!({"PrefixListId": id}));
    assert_eq!(world.call("DescribeManagedPrefixLists", json!({}))["PrefixLists"], json!([]));
}
