//! What a node's firewall has to know beside the interfaces of its tasks, which bring their own groups along
//! ([`link::InterfaceSpec`](crate::link::InterfaceSpec)). Always whole, never as differences.
//!
//! Invariant: it says nothing of tasks, so that placing one changes nothing here.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::security_group::Traffic;

/// Of the built-in VPC in the node's account and region, and of the caller's own beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// By id.
    pub groups: Vec<Group>,
    /// By address.
    pub load_balancers: Vec<LoadBalancerAddress>,
    /// By id. Each has a network of its own on the node: their ranges may overlap.
    #[serde(default)]
    pub vpcs: Vec<VpcNetwork>,
}

/// A VPC of the caller's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcNetwork {
    /// `vpc-` and 17 hex digits.
    pub id: String,
    pub range: Ipv4Net,
    /// By network.
    pub subnets: Vec<SubnetNetwork>,
    /// By id.
    pub groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetNetwork {
    pub network: Ipv4Net,
    /// Where its route table leads beyond the VPC; everything else out there is out of its reach. None is part of
    /// another one.
    pub outside: Vec<Ipv4Net>,
}

/// A security group, its references resolved as far as the node cannot do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: String,
    pub ingress: Vec<Rule>,
    pub egress: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub traffic: Traffic,
    pub peer: Peer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// At least one.
    Networks(Vec<Ipv4Net>),
    /// All interfaces that have the group.
    Group(String),
}

/// An address of this machine that a load balancer listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerAddress {
    pub address: Ipv4Addr,
    /// Without any it takes everybody: a network load balancer may have none.
    pub groups: Vec<String>,
}
