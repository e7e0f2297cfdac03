//! Things by their ids alone: what kind an id is of, and whether there is such a thing.

use model::network::dhcp_options_id;
use rand::Rng;
use wire::ec2::{Error, ResourceType};

use super::{address, internet_gateway, nat_gateway, prefix_list, refuse, route_table, security_group, subnet, vpc};
use crate::Cx;

/// `<prefix>-` and 17 hex digits.
pub(super) fn new_id(cx: &mut Cx<'_>, prefix: &str) -> String {
    let digits = cx.random.random::<u128>() & ((1 << 68) - 1);
    format!("{prefix}-{digits:017x}")
}

/// The kind that an id says.
pub(super) fn kind_by_id(id: &str) -> Option<ResourceType> {
    Some(match id.rsplit_once('-')?.0 {
        "acl" => ResourceType::NetworkAcl,
        "dopt" => ResourceType::DhcpOptions,
        "eipalloc" => ResourceType::ElasticIp,
        "eni" => ResourceType::NetworkInterface,
        "igw" => ResourceType::InternetGateway,
        "nat" => ResourceType::Natgateway,
        "pl" => ResourceType::PrefixList,
        "rtb" => ResourceType::RouteTable,
        "sg" => ResourceType::SecurityGroup,
        "sgr" => ResourceType::SecurityGroupRule,
        "subnet" => ResourceType::Subnet,
        "vpc" => ResourceType::Vpc,
        _ => return None,
    })
}

/// The kind of a thing that is there.
///
/// # Errors
/// `Invalid….NotFound`, as the thing's own operations have it; `InvalidID` for what is no id.
pub(super) fn kind_of(cx: &Cx<'_>, id: &str) -> Result<ResourceType, Error> {
    let kind = kind_by_id(id).ok_or_else(|| refuse("InvalidID", format!("The ID '{id}' is not valid")))?;
    let vpcs = vpc::all(cx.txn, cx.scope());
    let (is_there, code, label) = match kind {
        ResourceType::DhcpOptions => {
            (dhcp_options_id(cx.scope()) == id, "InvalidDhcpOptionID.NotFound", "dhcpOption ID")
        }
        ResourceType::ElasticIp => return address::locate(cx, id).map(|_| kind),
        ResourceType::InternetGateway => return internet_gateway::locate(cx, id).map(|_| kind),
        ResourceType::Natgateway => return nat_gateway::locate(cx, id).map(|_| kind),
        ResourceType::PrefixList => return prefix_list::locate(cx, id).map(|_| kind),
        ResourceType::RouteTable => return route_table::locate(cx, id).map(|_| kind),
        ResourceType::Subnet => return subnet::locate(cx, id).map(|_| kind),
        ResourceType::NetworkAcl => {
            (vpcs.iter().any(|vpc| vpc.network_acl_id == id), "InvalidNetworkAclID.NotFound", "networkAcl ID")
        }
        ResourceType::NetworkInterface => {
            let interface = cx.txn.interfaces.get(&id.to_owned());
            let is_there = interface.is_some_and(|row| row.scope == *cx.scope());
            (is_there, "InvalidNetworkInterfaceID.NotFound", "networkInterface ID")
        }
        ResourceType::SecurityGroup => {
            let is_there = security_group::find(cx.txn, cx.scope(), id).is_some();
            (is_there, "InvalidGroup.NotFound", "security group")
        }
        ResourceType::SecurityGroupRule => {
            let is_there = security_group::all(cx.txn, cx.scope()).iter().any(|group| group.rule(id).is_some());
            (is_there, "InvalidSecurityGroupRuleId.NotFound", "security group rule ID")
        }
        _ => return vpc::locate(cx, id).map(|_| kind),
    };
    if is_there { Ok(kind) } else { Err(refuse(code, format!("The {label} '{id}' does not exist"))) }
}
