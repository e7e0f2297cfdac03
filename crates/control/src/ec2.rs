//! EC2: the network that tasks live in. A built-in VPC per account and region (`model::network`), security groups, tags,
//! and the interfaces that tasks and load balancers have.
//!
//! The operations only write rows; the firewall of each node is made of them ([`plan::firewall`]).
//!
//! Not here: instances. Not built: VPCs, subnets, gateways and routes of the caller's own; what makes them is refused.

mod account_attribute;
mod convert;
mod dhcp_options;
mod filter;
mod internet_gateway;
mod network_acl;
mod network_interface;
mod resource;
mod route_table;
pub(crate) mod security_group;
mod security_group_rule;
mod select;
mod subnet;
mod tag;
mod vpc;
mod zone;

use wire::ec2::{Error, Request, Response};

use crate::{Cx, not_built};

/// Runs one operation.
///
/// # Errors
/// EC2's codes and texts.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    Ok(match request {
        Request::AuthorizeSecurityGroupEgress(request) => {
            Response::AuthorizeSecurityGroupEgress(security_group_rule::authorize_security_group_egress(cx, request)?)
        }
        Request::AuthorizeSecurityGroupIngress(request) => {
            Response::AuthorizeSecurityGroupIngress(security_group_rule::authorize_security_group_ingress(cx, request)?)
        }
        Request::CreateSecurityGroup(request) => {
            Response::CreateSecurityGroup(security_group::create_security_group(cx, request)?)
        }
        Request::CreateTags(request) => {
            tag::create_tags(cx, request)?;
            Response::CreateTags(wire::ec2::CreateTagsResponse {})
        }
        Request::DeleteSecurityGroup(request) => {
            Response::DeleteSecurityGroup(security_group::delete_security_group(cx, &request)?)
        }
        Request::DeleteTags(request) => {
            tag::delete_tags(cx, request)?;
            Response::DeleteTags(wire::ec2::DeleteTagsResponse {})
        }
        Request::DescribeAccountAttributes(request) => {
            Response::DescribeAccountAttributes(account_attribute::describe_account_attributes(cx, &request)?)
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
        Request::ModifySecurityGroupRules(request) => {
            Response::ModifySecurityGroupRules(security_group_rule::modify_security_group_rules(cx, request)?)
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
