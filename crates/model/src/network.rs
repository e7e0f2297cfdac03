//! The built-in VPC, its subnets, and the interfaces that awsvpc tasks get (EC2 Describe*; ecs-semantics §1.6).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Scope, TaskId, Timestamp};

/// 172.31.0.0/16, as AWS's default VPC.
pub const VPC_NETWORK: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
pub const VPC_PREFIX_LENGTH: u8 = 16;
pub const SUBNET_PREFIX_LENGTH: u8 = 20;

/// A /20 of the VPC in one zone. The first four addresses and the last are AWS's, not the tasks'.
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
}

impl Subnet {
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

/// An elastic network interface. Made with its task, gone when the task has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub scope: Scope,
    /// `eni-` and 17 hex digits.
    pub id: String,
    /// Dashed UUID: `attachments[].id` of the task.
    pub attachment_id: String,
    pub task: TaskId,
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
    let domain = if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") };
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}
