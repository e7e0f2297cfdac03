//! EC2: the networks that tasks live in. A built-in VPC per account and region (`model::network`) and those of the
//! caller's own, with their subnets, routes and gateways; security groups, prefix lists, elastic addresses, tags; and the
//! interfaces that tasks, load balancers and NAT gateways have.
//!
//! The operations only write rows; networks and firewall of each node are made of them ([`plan::firewall`]).
//!
//! Not here: instances. Not built: network ACLs of the caller's own, and changes to the built-in VPC.

mod account_attribute;
mod address;
mod convert;
mod dhcp_options;
mod filter;
mod internet_gateway;
pub(crate) mod nat_gateway;
mod network_acl;
mod network_interface;
mod prefix_list;
mod resource;
mod route;
mod route_table;
pub(crate) mod security_group;
mod security_group_rule;
mod select;
pub(crate) mod subnet;
mod tag;
pub(crate) mod vpc;
mod zone;

use wire::ec2::{Error, Request, Response};

use crate::{Cx, not_built};

/// Runs one operation.
///
/// # Errors
/// EC2's codes and texts.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    Ok(match request {
        Request::AllocateAddress(request) => Response::AllocateAddress(address::allocate_address(cx, request)?),
        Request::AssociateAddress(request) => Response::AssociateAddress(address::associate_address(cx, &request)?),
        Request::AssociateRouteTable(request) => {
            Response::AssociateRouteTable(route_table::associate_route_table(cx, request)?)
        }
        Request::AttachInternetGateway(request) => {
            internet_gateway::attach_internet_gateway(cx, &request)?;
            Response::AttachInternetGateway(wire::ec2::AttachInternetGatewayResponse {})
        }
        Request::AuthorizeSecurityGroupEgress(request) => {
            Response::AuthorizeSecurityGroupEgress(security_group_rule::authorize_security_group_egress(cx, request)?)
        }
        Request::AuthorizeSecurityGroupIngress(request) => {
            Response::AuthorizeSecurityGroupIngress(security_group_rule::authorize_security_group_ingress(cx, request)?)
        }
        Request::CreateInternetGateway(request) => {
            Response::CreateInternetGateway(internet_gateway::create_internet_gateway(cx, request)?)
        }
        Request::CreateManagedPrefixList(request) => {
            Response::CreateManagedPrefixList(prefix_list::create_managed_prefix_list(cx, request)?)
        }
        Request::CreateNatGateway(request) => Response::CreateNatGateway(nat_gateway::create_nat_gateway(cx, request)?),
        Request::CreateRoute(request) => Response::CreateRoute(route::create_route(cx, &request)?),
        Request::CreateRouteTable(request) => Response::CreateRouteTable(route_table::create_route_table(cx, request)?),
        Request::CreateSecurityGroup(request) => {
            Response::CreateSecurityGroup(security_group::create_security_group(cx, request)?)
        }
        Request::CreateSubnet(request) => Response::CreateSubnet(subnet::create_subnet(cx, request)?),
        Request::CreateTags(request) => {
            tag::create_tags(cx, request)?;
            Response::CreateTags(wire::ec2::CreateTagsResponse {})
        }
        Request::CreateVpc(request) => Response::CreateVpc(vpc::create_vpc(cx, request)?),
        Request::DeleteInternetGateway(request) => {
            internet_gateway::delete_internet_gateway(cx, &request)?;
            Response::DeleteInternetGateway(wire::ec2::DeleteInternetGatewayResponse {})
        }
        Request::DeleteManagedPrefixList(request) => {
            Response::DeleteManagedPrefixList(prefix_list::delete_managed_prefix_list(cx, &request)?)
        }
        Request::DeleteNatGateway(request) => {
            Response::DeleteNatGateway(nat_gateway::delete_nat_gateway(cx, &request)?)
        }
        Request::DeleteRoute(request) => {
            route::delete_route(cx, &request)?;
            Response::DeleteRoute(wire::ec2::DeleteRouteResponse {})
        }
        Request::DeleteRouteTable(request) => {
            route_table::delete_route_table(cx, &request)?;
            Response::DeleteRouteTable(wire::ec2::DeleteRouteTableResponse {})
        }
        Request::DeleteSecurityGroup(request) => {
            Response::DeleteSecurityGroup(security_group::delete_security_group(cx, &request)?)
        }
        Request::DeleteSubnet(request) => {
            subnet::delete_subnet(cx, &request)?;
            Response::DeleteSubnet(wire::ec2::DeleteSubnetResponse {})
        }
        Request::DeleteTags(request) => {
            tag::delete_tags(cx, request)?;
            Response::DeleteTags(wire::ec2::DeleteTagsResponse {})
        }
        Request::DeleteVpc(request) => {
            vpc::delete_vpc(cx, &request)?;
            Response::DeleteVpc(wire::ec2::DeleteVpcResponse {})
        }
        Request::DescribeAccountAttributes(request) => {
            Response::DescribeAccountAttributes(account_attribute::describe_account_attributes(cx, &request)?)
        }
        Request::DescribeAddresses(request) => Response::DescribeAddresses(address::describe_addresses(cx, &request)?),
        Request::DescribeAddressesAttribute(request) => {
            Response::DescribeAddressesAttribute(address::describe_addresses_attribute(cx, &request)?)
        }
        Request::DescribeAvailabilityZones(request) => {
            Response::DescribeAvailabilityZones(zone::describe_availability_zones(cx, &request)?)
        }
        Request::DescribeDhcpOptions(request) => {
            Response::DescribeDhcpOptions(dhcp_options::describe_dhcp_options(cx, &request)?)
        }
        Request::DescribeInternetGateways(request) => {
            Response::DescribeInternetGateways(internet_gateway::describe_internet_gateways(cx, &request)?)
        }
        Request::DescribeManagedPrefixLists(request) => {
            Response::DescribeManagedPrefixLists(prefix_list::describe_managed_prefix_lists(cx, &request)?)
        }
        Request::DescribeNatGateways(request) => {
            Response::DescribeNatGateways(nat_gateway::describe_nat_gateways(cx, &request)?)
        }
        Request::DescribeNetworkAcls(request) => {
            Response::DescribeNetworkAcls(network_acl::describe_network_acls(cx, &request)?)
        }
        Request::DescribeNetworkInterfaces(request) => {
            Response::DescribeNetworkInterfaces(network_interface::describe_network_interfaces(cx, &request)?)
        }
        Request::DescribeRegions(request) => Response::DescribeRegions(zone::describe_regions(cx, &request)?),
        Request::DescribeRouteTables(request) => {
            Response::DescribeRouteTables(route_table::describe_route_tables(cx, &request)?)
        }
        Request::DescribeSecurityGroupRules(request) => {
            Response::DescribeSecurityGroupRules(security_group_rule::describe_security_group_rules(cx, &request)?)
        }
        Request::DescribeSecurityGroups(request) => {
            Response::DescribeSecurityGroups(security_group::describe_security_groups(cx, &request)?)
        }
        Request::DescribeSubnets(request) => Response::DescribeSubnets(subnet::describe_subnets(cx, &request)?),
        Request::DescribeTags(request) => Response::DescribeTags(tag::describe_tags(cx, &request)?),
        Request::DescribeVpcAttribute(request) => {
            Response::DescribeVpcAttribute(vpc::describe_vpc_attribute(cx, &request)?)
        }
        Request::DescribeVpcs(request) => Response::DescribeVpcs(vpc::describe_vpcs(cx, &request)?),
        Request::DetachInternetGateway(request) => {
            internet_gateway::detach_internet_gateway(cx, &request)?;
            Response::DetachInternetGateway(wire::ec2::DetachInternetGatewayResponse {})
        }
        Request::DisassociateAddress(request) => {
            address::disassociate_address(cx, &request)?;
            Response::DisassociateAddress(wire::ec2::DisassociateAddressResponse {})
        }
        Request::DisassociateRouteTable(request) => {
            route_table::disassociate_route_table(cx, &request)?;
            Response::DisassociateRouteTable(wire::ec2::DisassociateRouteTableResponse {})
        }
        Request::GetManagedPrefixListEntries(request) => {
            Response::GetManagedPrefixListEntries(prefix_list::get_managed_prefix_list_entries(cx, &request)?)
        }
        Request::ModifyManagedPrefixList(request) => {
            Response::ModifyManagedPrefixList(prefix_list::modify_managed_prefix_list(cx, request)?)
        }
        Request::ModifySecurityGroupRules(request) => {
            Response::ModifySecurityGroupRules(security_group_rule::modify_security_group_rules(cx, request)?)
        }
        Request::ModifySubnetAttribute(request) => {
            subnet::modify_subnet_attribute(cx, request)?;
            Response::ModifySubnetAttribute(wire::ec2::ModifySubnetAttributeResponse {})
        }
        Request::ModifyVpcAttribute(request) => {
            vpc::modify_vpc_attribute(cx, request)?;
            Response::ModifyVpcAttribute(wire::ec2::ModifyVpcAttributeResponse {})
        }
        Request::ReleaseAddress(request) => {
            address::release_address(cx, &request)?;
            Response::ReleaseAddress(wire::ec2::ReleaseAddressResponse {})
        }
        Request::ReplaceRoute(request) => {
            route::replace_route(cx, &request)?;
            Response::ReplaceRoute(wire::ec2::ReplaceRouteResponse {})
        }
        Request::ReplaceRouteTableAssociation(request) => {
            Response::ReplaceRouteTableAssociation(route_table::replace_route_table_association(cx, &request)?)
        }
        Request::RevokeSecurityGroupEgress(request) => {
            Response::RevokeSecurityGroupEgress(security_group_rule::revoke_security_group_egress(cx, request)?)
        }
        Request::RevokeSecurityGroupIngress(request) => {
            Response::RevokeSecurityGroupIngress(security_group_rule::revoke_security_group_ingress(cx, request)?)
        }
        Request::UpdateSecurityGroupRuleDescriptionsEgress(request) => {
            Response::UpdateSecurityGroupRuleDescriptionsEgress(
                security_group_rule::update_security_group_rule_descriptions_egress(cx, request)?,
            )
        }
        Request::UpdateSecurityGroupRuleDescriptionsIngress(request) => {
            Response::UpdateSecurityGroupRuleDescriptionsIngress(
                security_group_rule::update_security_group_rule_descriptions_ingress(cx, request)?,
            )
        }
        other => return Err(not_built::refuse("ec2", other.operation()).into()),
    })
}

fn refuse(code: &str, message: impl Into<String>) -> Error {
    Error::other(400, code, message)
}

/// What AWS has and Gantry does not.
fn unbuilt(what: &str) -> Error {
    refuse("UnsupportedOperation", format!("{what} not supported by Gantry yet."))
}

/// Of what is to be deleted.
fn in_use(kind: &str, id: &str) -> Error {
    refuse("DependencyViolation", format!("The {kind} '{id}' has dependencies and cannot be deleted."))
}
