//! Which name server tasks get, and which domain they search: those of the VPC, as Amazon's resolver has them.
//!
//! The server itself is the data path's. It listens where [`Config::dns_address`](super::Config::dns_address) says, and
//! the firewall leads there what comes to the well-known addresses, so a server of the host that has port 53 on all
//! addresses does no harm, and several instances share a machine.

use std::net::Ipv4Addr;

use model::network::VPC_NETWORK;

/// The VPC's network plus two.
pub const RESOLVER: Ipv4Addr = {
    let [a, b, c, d] = VPC_NETWORK.octets();
    Ipv4Addr::new(a, b, c, d + 2)
};
/// Where programs expect it on every EC2 machine.
pub const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// All addresses that lead to it.
pub const RESOLVERS: [Ipv4Addr; 2] = [RESOLVER, LINK_LOCAL];
