//! VPCs, the built-in one and the caller's own, their subnets, and the interfaces that awsvpc tasks get (EC2;
//! ecs-semantics §1.6).
//!
//! Invariant: the subnets of a VPC lie in its range and do not overlap, and each is led by a route table of the VPC.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::route_table::{RouteTable, RouteTableAssociation};
use crate::{Scope, TaskId, Timestamp};

/// 172.31.0.0/16, as AWS's default VPC.
pub const VPC_NETWORK: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
pub const VPC_PREFIX_LENGTH: u8 = 16;
pub const SUBNET_PREFIX_LENGTH: u8 = 20;

/// A part of its VPC in one zone. The first four addresses and the last are AWS's, not the tasks'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub scope: Scope,
    /// `subnet-` and 17 hex digits.
    pub id: String,
    pub vpc_id: String,
    /// `<region>a`, `…b`, `…c`.
    pub zone: String,
    pub network: Ipv4Addr,
    pub prefix_length: u8,
    /// What EC2 instances would get; tasks ask for a public address themselves (`assignPublicIp`).
    pub map_public_ip_on_launch: bool,
    /// `None`: the VPC's main route table leads it.
    pub route_table: Option<RouteTableAssociation>,
}

impl Subnet {
    pub fn range(&self) -> Ipv4Net {
        Ipv4Net::new_assert(self.network, self.prefix_length)
    }

    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network) + 1)
    }

    pub fn size(&self) -> u32 {
        1 << (32 - self.prefix_length)
    }

    /// How many addresses a subnet keeps back: network, gateway, DNS, future use, broadcast.
    pub const RESERVED_ADDRESSES: u32 = 5;

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(u32::from(self.network));
        (4..self.size() - 1).contains(&offset)
    }
}

/// Whose network namespace it is on a node, which is kept under this name: a task's, or that of one of its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId {
    pub task: TaskId,
    pub container: Option<usize>,
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.container {
            None => write!(f, "{}", self.task),
            Some(container) => write!(f, "{}-{container}", self.task),
        }
    }
}

/// Text that is no endpoint's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint's name")]
pub struct InvalidEndpoint;

impl FromStr for EndpointId {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidEndpoint> {
        let (task, container) = match text.split_once('-') {
            None => (text, None),
            Some((task, container)) => (task, Some(container.parse().map_err(|_| InvalidEndpoint)?)),
        };
        Ok(Self { task: task.parse().map_err(|_| InvalidEndpoint)?, container })
    }
}

/// An elastic network interface. Made with its task, gone when the task has stopped; or with its load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub scope: Scope,
    /// `eni-` and 17 hex digits.
    pub id: String,
    /// Dashed UUID: `attachments[].id` of the task.
    pub attachment_id: String,
    /// Whose it is, when a task's.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// Whose it is, when a load balancer's: its ARN.
    #[serde(default)]
    pub load_balancer: Option<String>,
    /// Whose it is, when a NAT gateway's: its id.
    #[serde(default)]
    pub nat_gateway: Option<String>,
    pub subnet_id: String,
    pub vpc_id: String,
    pub zone: String,
    pub address: Ipv4Addr,
    /// `02:…`, locally administered, derived from the address, so it is unique in the VPC.
    pub mac: String,
    pub security_groups: Vec<String>,
    pub created_at: Timestamp,
}

/// Unique per address of a VPC.
pub fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:47:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// `ip-172-31-0-5.<region>.compute.internal`, or `….ec2.internal` in us-east-1, as AWS names them.
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{}", private_domain(region))
}

/// What the names of a region's private addresses end with.
pub fn private_domain(region: &str) -> String {
    if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") }
}

/// A VPC with all that lies in it. The built-in one of an account and region has no row: its ids are derived from the
/// scope, so they are the same after every restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub scope: Scope,
    /// `vpc-` and 17 hex digits.
    pub id: String,
    /// From /16 to /28. VPCs may overlap.
    pub range: Ipv4Net,
    /// The built-in one, which the node's own network is made for and nobody can change.
    pub is_default: bool,
    pub dhcp_options_id: String,
    pub cidr_association_id: String,
    pub network_acl_id: String,
    /// The default security group, `sg-…`.
    pub security_group_id: String,
    pub dns_hostnames: bool,
    /// In the order in which they were made: of the built-in one, one in each of the zones, in the zones' order.
    pub subnets: Vec<Subnet>,
    /// The main one among them.
    pub route_tables: Vec<RouteTable>,
    /// Which of the route tables is the main one.
    pub main_route_table: RouteTableAssociation,
    /// The gateway that came with the built-in VPC. Others are rows of their own.
    pub built_in_internet_gateway: Option<String>,
}

/// The letters that follow a region's name in its zones' names.
pub const ZONE_LETTERS: [char; 3] = ['a', 'b', 'c'];

impl Vpc {
    /// The built-in VPC.
    pub fn default_of(scope: &Scope) -> Self {
        let id = resource_id("vpc", scope, "default");
        let route_table = RouteTable::default_of(scope);
        let range = Ipv4Net::new_assert(VPC_NETWORK, VPC_PREFIX_LENGTH);
        Self {
            range,
            is_default: true,
            dhcp_options_id: dhcp_options_id(scope),
            cidr_association_id: resource_id("vpc-cidr-assoc", scope, "default"),
            network_acl_id: resource_id("acl", scope, "default"),
            security_group_id: resource_id("sg", scope, "default"),
            dns_hostnames: true,
            subnets: [0, 1, 2].map(|index| default_subnet(scope, &id, index)).into(),
            main_route_table: RouteTableAssociation {
                id: resource_id("rtbassoc", scope, "default"),
                route_table_id: route_table.id.clone(),
            },
            route_tables: vec![route_table],
            built_in_internet_gateway: Some(built_in_internet_gateway_id(scope)),
            scope: scope.clone(),
            id,
        }
    }

    pub fn subnet(&self, id: &str) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.id == id)
    }

    /// The subnet that the address is in.
    pub fn subnet_of(&self, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.contains(address))
    }

    pub fn route_table(&self, id: &str) -> Option<&RouteTable> {
        self.route_tables.iter().find(|table| table.id == id)
    }

    /// The one that leads the subnet: its own, else the main one.
    ///
    /// # Panics
    /// If the VPC breaks its invariant.
    pub fn route_table_of(&self, subnet: &Subnet) -> &RouteTable {
        let association = subnet.route_table.as_ref().unwrap_or(&self.main_route_table);
        self.route_table(&association.route_table_id).expect("an association names a table of the VPC")
    }

    /// Where the name server is: the VPC's network plus two, as Amazon's.
    pub fn resolver(&self) -> Ipv4Addr {
        resolver_of(self.range)
    }
}

/// The address of the name server in a VPC of this range.
pub fn resolver_of(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()) + 2)
}

/// The one set of DHCP options that an account has in a region.
pub fn dhcp_options_id(scope: &Scope) -> String {
    resource_id("dopt", scope, "default")
}

pub(crate) fn built_in_internet_gateway_id(scope: &Scope) -> String {
    resource_id("igw", scope, "default")
}

fn default_subnet(scope: &Scope, vpc_id: &str, index: u8) -> Subnet {
    let zone = format!("{}{}", scope.region, ZONE_LETTERS[usize::from(index)]);
    let offset = u32::from(index) << (32 - SUBNET_PREFIX_LENGTH);
    Subnet {
        scope: scope.clone(),
        id: resource_id("subnet", scope, &zone),
        vpc_id: vpc_id.to_owned(),
        zone,
        network: Ipv4Addr::from(u32::from(VPC_NETWORK) + offset),
        prefix_length: SUBNET_PREFIX_LENGTH,
        map_public_ip_on_launch: false,
        route_table: None,
    }
}

/// `<prefix>-` and 17 hex digits that depend on nothing but the arguments.
pub(crate) fn resource_id(prefix: &str, scope: &Scope, name: &str) -> String {
    let text = format!("{prefix}|{scope}|{name}");
    let hash = fnv1a(text.as_bytes());
    format!("{prefix}-{:017x}", (hash ^ (hash >> 68)) & ((1 << 68) - 1))
}

/// FNV-1a with 128 bits. Not against an adversary: it only spreads a handful of built-in names.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// `use1-az1` for `us-east-1a`: the id that AWS gives the zone with this index in the region.
pub fn zone_id(region: &str, index: usize) -> String {
    format!("{}-az{}", region_code(region), index + 1)
}

/// `us-east-1` → `use1`, `ap-southeast-2` → `apse2`, `us-gov-west-1` → `usgw1`.
fn region_code(region: &str) -> String {
    let mut parts = region.split('-');
    let area = parts.next().unwrap_or_default();
    parts.fold(area.to_owned(), |code, part| code + short(part))
}

fn short(part: &str) -> &str {
    match part {
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        "southwest" => "sw",
        _ if part.is_char_boundary(1) => &part[..1],
        _ => part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ_by_scope() {
        let vpc = Vpc::default_of(&Scope::new("000000000000", "us-east-1"));
        assert_eq!(vpc, Vpc::default_of(&Scope::new("000000000000", "us-east-1")));
        // Recorded once: a change here would orphan every row that names a subnet.
        assert_eq!(vpc.subnets[0].id, "subnet-2f90c2ad12c96b07c");
        let other = Vpc::default_of(&Scope::new("000000000000", "eu-west-1"));
        assert_ne!(vpc.id, other.id);
        assert_ne!(vpc.subnets[0].id, vpc.subnets[1].id);
        assert!(vpc.id.len() == "vpc-".len() + 17);
    }

    #[test]
    fn subnets_split_the_vpc_as_aws_does() {
        let vpc = Vpc::default_of(&Scope::new("000000000000", "us-east-1"));
        let shown = vpc.subnets.iter().map(|subnet| format!("{} {}", subnet.zone, subnet.range()));
        let shown: Vec<String> = shown.collect();
        assert_eq!(shown, ["us-east-1a 172.31.0.0/20", "us-east-1b 172.31.16.0/20", "us-east-1c 172.31.32.0/20"]);
    }

    #[test]
    fn zone_ids_follow_the_region() {
        let cases = [
            ("us-east-1", "use1-az1"),
            ("ap-southeast-2", "apse2-az1"),
            ("ap-south-1", "aps1-az1"),
            ("us-gov-west-1", "usgw1-az1"),
            ("eu-central-1", "euc1-az1"),
            ("", "-az1"),
        ];
        for (region, expected) in cases {
            assert_eq!(zone_id(region, 0), expected);
        }
    }
}
