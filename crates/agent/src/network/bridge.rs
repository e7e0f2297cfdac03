//! The node's bridge: every task's link ends in it, and it is their gateway.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use super::config::{gateway, overlap};
use super::netlink::{Link, Mac, Netlink};
use super::{Config, Error, Result, kernel, write_sysctl};

/// The link-local address at which tasks find the metadata and credentials endpoints (ecs-semantics §5.6).
pub const TASK_ENDPOINT: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// When the host has no way out.
const MTU_DEFAULT: u32 = 1500;

/// Index and MTU of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub index: u32,
    pub mtu: u32,
}

/// Makes the bridge, or what it lacks: its addresses are exactly the gateways, [`TASK_ENDPOINT`] and the resolver's.
pub fn ensure(config: &Config) -> Result<Bridge> {
    let mut netlink = Netlink::open().map_err(kernel("open a netlink socket"))?;
    let mtu = mtu(&mut netlink)?;
    let neighbours = find_neighbours(&mut netlink, config)?;
    let link = find_or_create(&mut netlink, &config.tag, mtu)?;
    set_addresses(&mut netlink, link.index, &config.bridge_addresses())
        .map_err(kernel("set the bridge's addresses"))?;
    configure(&config.tag).map_err(kernel("configure the bridge"))?;
    netlink.set_up(link.index).map_err(kernel("bring the bridge up"))?;
    if !neighbours.is_empty() {
        tracing::warn!(
            ?neighbours,
            "another instance has the same address ranges: the host now reaches this one's tasks"
        );
        prefer(&mut netlink, link.index, config).map_err(kernel("route to the bridge"))?;
    }
    Ok(Bridge { index: link.index, mtu })
}

/// What the machine's way out takes.
pub fn mtu(netlink: &mut Netlink) -> Result<u32> {
    let uplink = netlink.uplink().map_err(kernel("find the way out"))?;
    Ok(uplink.map_or(MTU_DEFAULT, |link| link.mtu))
}

/// The other instances of the machine that have some of our addresses, by their bridges.
///
/// # Errors
/// When any other link is in one of our ranges: routes to the bridge would cut the machine off from that network.
pub fn find_neighbours(netlink: &mut Netlink, config: &Config) -> Result<Vec<String>> {
    let ours = netlink.link_by_name(&config.tag).map_err(kernel("look for the bridge"))?.map(|link| link.index);
    let addresses = netlink.addresses().map_err(kernel("list the machine's addresses"))?;
    let mut neighbours = BTreeSet::new();
    for (index, address, length) in addresses.iter().copied().filter(|(index, ..)| Some(*index) != ours) {
        let Ok(network) = Ipv4Net::new(address, length) else { continue };
        let Some(range) = config.ranges().find(|range| overlap(*range, network)) else { continue };
        let link = netlink.link_by_index(index).map_err(kernel("look for a link"))?;
        let Some(link) = link else { continue };
        if !addresses.contains(&(index, TASK_ENDPOINT, 32)) {
            return Err(Error::RangeInUse { range, link: link.name, address });
        }
        neighbours.insert(link.name);
    }
    Ok(neighbours.into_iter().collect())
}

fn prefer(netlink: &mut Netlink, index: u32, config: &Config) -> io::Result<()> {
    config
        .ranges()
        .try_for_each(|range| netlink.prefer_link(index, range.network(), range.prefix_len(), gateway(range)))
}

/// Sets the bridge's addresses: its own, and these of load balancers.
pub fn hold(config: &Config, addresses: &BTreeSet<Ipv4Addr>) -> Result<()> {
    let mut netlink = Netlink::open().map_err(kernel("open a netlink socket"))?;
    let link = netlink.link_by_name(&config.tag).map_err(kernel("look for the bridge"))?;
    let link = link.ok_or_else(|| Error::Vanished(config.tag.clone()))?;
    let mut wanted = config.bridge_addresses().to_vec();
    wanted.extend(addresses.iter().map(|address| (*address, 32)));
    set_addresses(&mut netlink, link.index, &wanted).map_err(kernel("set the bridge's addresses"))
}

/// No error when it is gone.
pub fn remove(config: &Config) -> Result<()> {
    let mut netlink = Netlink::open().map_err(kernel("open a netlink socket"))?;
    netlink.delete_link(&config.tag).map_err(kernel("remove the bridge"))
}

/// The MAC of the bridge of this name.
pub fn mac(name: &str) -> Mac {
    let hash = Sha256::digest(name);
    [0x02, hash[0], hash[1], hash[2], hash[3], hash[4]]
}

pub fn find_or_create(netlink: &mut Netlink, name: &str, mtu: u32) -> Result<Link> {
    if let Some(link) = netlink.link_by_name(name).map_err(kernel("look for the bridge"))? {
        netlink.set_mtu(link.index, mtu).map_err(kernel("set the bridge's MTU"))?;
        return Ok(link);
    }
    netlink.create_bridge(name, mac(name), mtu).map_err(kernel("make the bridge"))?;
    let link = netlink.link_by_name(name).map_err(kernel("find the bridge just made"))?;
    link.ok_or_else(|| Error::Vanished(name.to_owned()))
}

pub fn set_addresses(netlink: &mut Netlink, index: u32, wanted: &[(Ipv4Addr, u8)]) -> io::Result<()> {
    let here = netlink.addresses()?.into_iter().filter(|(link, ..)| *link == index);
    for (_, address, prefix_length) in here {
        if !wanted.contains(&(address, prefix_length)) {
            netlink.delete_address(index, address, prefix_length)?;
        }
    }
    for (address, prefix_length) in wanted {
        netlink.add_address(index, *address, *prefix_length)?;
    }
    Ok(())
}

fn configure(name: &str) -> io::Result<()> {
    write_sysctl("ipv4/ip_forward", "1")?;
    // Published ports answer on 127.0.0.1 too; the firewall keeps tasks from reaching the host's loopback by it.
    write_sysctl(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    // All subnets are on the bridge, so a gateway would send tasks past itself.
    write_sysctl(&format!("ipv4/conf/{name}/send_redirects"), "0")
}
