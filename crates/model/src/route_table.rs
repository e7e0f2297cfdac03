//! Where what leaves a subnet goes (EC2 CreateRouteTable, CreateRoute). The route within the VPC is in every table, goes
//! before all others and is not among [`RouteTable::routes`].

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::Scope;
use crate::network::{built_in_internet_gateway_id, resource_id};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// `rtb-` and 17 hex digits.
    pub id: String,
    /// No two to the same destination.
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Destination,
    pub target: RouteTarget,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// Without bits beyond the prefix.
    Cidr(Ipv4Net),
    /// The networks of the prefix list of this id.
    PrefixList(String),
}

/// The id of what the packets go through. It may be gone, or not in this VPC any more: then they are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    InternetGateway(String),
    NatGateway(String),
}

/// Which table leads a subnet, or the VPC's subnets without one of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    /// `rtbassoc-` and 17 hex digits.
    pub id: String,
    pub route_table_id: String,
}

impl RouteTable {
    /// The one of the built-in VPC: everything leads out by the built-in gateway.
    pub fn default_of(scope: &Scope) -> Self {
        let out = Route {
            destination: Destination::Cidr(Ipv4Net::default()),
            target: RouteTarget::InternetGateway(built_in_internet_gateway_id(scope)),
        };
        Self { id: resource_id("rtb", scope, "default"), routes: vec![out] }
    }
}
