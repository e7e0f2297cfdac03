//! One instance of the node's network: its name, its place and its address ranges.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use super::bridge::TASK_ENDPOINT;
use super::resolver::RESOLVER;
use super::{Error, Result};

/// A link's name has 15 characters.
const TAG_LENGTH_MAX: usize = 15;

/// One instance of the node's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Names the bridge and the table: a lowercase letter, then letters and digits; at most 15.
    pub tag: String,
    /// Where namespaces are kept. Best on a file system that is empty after a boot.
    pub directory: PathBuf,
    /// The subnets that awsvpc tasks come from. The first address of each is the gateway.
    pub subnets: Vec<Ipv4Net>,
    /// Where bridge-mode containers get their addresses. The first one is the gateway.
    pub bridge_range: Ipv4Net,
    /// Where the links between the host and VPCs of the caller's own get their addresses, four for each.
    pub transit_range: Ipv4Net,
    /// Where the server of the metadata and credentials endpoints listens, on the bridge range's gateway; tasks reach
    /// it as 169.254.170.2:80.
    pub endpoint_port: u16,
    /// Where the name server listens, on the same address; tasks reach it as [`RESOLVERS`]:53.
    pub dns_port: u16,
}

impl Config {
    /// The whole built-in VPC, and 172.30.0.0/16 for bridge mode.
    pub fn new(directory: PathBuf) -> Self {
        let [a, b, c, d] = model::network::VPC_NETWORK.octets();
        let vpc = Ipv4Net::new(Ipv4Addr::new(a, b, c, d), model::network::VPC_PREFIX_LENGTH).expect("a prefix length");
        let subnets = vpc.subnets(model::network::SUBNET_PREFIX_LENGTH).expect("longer than the VPC's");
        Self {
            tag: "gantry0".into(),
            directory,
            subnets: subnets.take(3).collect(),
            bridge_range: Ipv4Net::new(Ipv4Addr::new(172, 30, 0, 0), 16).expect("a prefix length"),
            // Link-local, so that no network that the machine reaches can be of it.
            transit_range: Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 64, 0), 18),
            endpoint_port: 51679,
            dns_port: 51653,
        }
    }

    /// The address and port on which the endpoint server of this instance has to listen.
    pub fn endpoint_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(gateway(self.bridge_range), self.endpoint_port)
    }

    /// The address and port on which the name server of this instance has to listen.
    pub fn dns_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(gateway(self.bridge_range), self.dns_port)
    }

    pub fn ranges(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        self.subnets.iter().copied().chain([self.bridge_range])
    }

    /// What the names of the host's ends of the links to VPCs begin with.
    pub(super) fn transit_links(&self) -> String {
        format!("gv{}", &hex::encode(Sha256::digest(&self.tag))[..5])
    }

    /// The bridge's own addresses with their prefix lengths.
    pub(super) fn bridge_addresses(&self) -> Vec<(Ipv4Addr, u8)> {
        let gateways = self.ranges().map(|range| (gateway(range), range.prefix_len()));
        gateways.chain([(TASK_ENDPOINT, 32), (RESOLVER, 32)]).collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        let mut letters = self.tag.bytes();
        let starts = letters.next().is_some_and(|b| b.is_ascii_lowercase());
        if !starts || !letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) || self.tag.len() > TAG_LENGTH_MAX
        {
            return Err(Error::Config(format!("'{}' cannot name a network instance", self.tag)));
        }
        if self.ranges().any(|range| range.prefix_len() > 29) {
            return Err(Error::Config("a range needs at least 8 addresses".into()));
        }
        if let Some(subnet) = self.subnets.iter().find(|subnet| overlap(**subnet, self.bridge_range)) {
            return Err(Error::Config(format!("the range {} overlaps with the subnet {subnet}", self.bridge_range)));
        }
        Ok(())
    }
}

/// The first address of a range, which is the bridge's.
pub fn gateway(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()) + 1)
}

/// Whether an address is in both.
pub fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}
