//! EC2: the network that tasks live in, as clients look it up before they run any. Read only: a built-in VPC per
//! account and region (`model::network`), and the interfaces that tasks have.
//!
//! Not here: instances, creating or changing networks.

mod filter;
mod network_interface;
mod security_group;
mod select;
mod subnet;
mod vpc;
mod zone;

use wire::ec2::{Error, Request, Response};

use crate::Cx;

/// Runs one operation. Nothing is written.
///
/// # Errors
/// EC2's codes and texts.
pub fn dispatch(cx: &Cx<'_>, request: Request) -> Result<Response, Error> {
    Ok(match request {
        Request::DescribeAvailabilityZones(request) => {
            Response::DescribeAvailabilityZones(zone::describe_availability_zones(cx, &request)?)
        }
        Request::DescribeNetworkInterfaces(request) => {
            Response::DescribeNetworkInterfaces(network_interface::describe_network_interfaces(cx, &request)?)
        }
        Request::DescribeRegions(request) => Response::DescribeRegions(zone::describe_regions(cx, &request)?),
        Request::DescribeSecurityGroups(request) => {
            Response::DescribeSecurityGroups(security_group::describe_security_groups(cx, &request)?)
        }
        Request::DescribeSubnets(request) => Response::DescribeSubnets(subnet::describe_subnets(cx, &request)?),
        Request::DescribeVpcs(request) => Response::DescribeVpcs(vpc::describe_vpcs(cx, &request)?),
    })
}

fn refuse(code: &str, message: impl Into<String>) -> Error {
    Error::other(400, code, message)
}
