//! The network of a VPC of the caller's own: a namespace with its bridge, so that VPCs may overlap with one another and
//! with the networks of the machine.
//!
//! ```text
//! VPC's namespace                                        host
//!   bridge (gateways of the subnets) ─ tasks' links
//!   uplink ─────── 169.254.64.2/30 ─── .1/30 ── gv… ─── masquerade ── the host's uplink
//!                                                 └──── resolver, task metadata endpoint
//! ```
//! Invariants
//! - The kept namespace is the commit point of making: what a crash before it leaves dies with its thread.
//! - The directory of a VPC is made first and goes last: what is there is found by it.
//! - The host knows no route into a VPC: it sees the transit address, whoever sends.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use model::firewall::VpcNetwork;
use model::network::resolver_of;
use sha2::{Digest, Sha256};

use super::config::gateway;
use super::endpoint::{Found, Site};
use super::firewall::Nft;
use super::netlink::{self, LinkChanges, Netlink, VethPair};
use super::resolver::LINK_LOCAL;
use super::wall::Wall;
use super::{Config, Error, Result, bridge, endpoint, firewall, kernel, namespace, rebuild, write_sysctl};

/// The VPC's end of the link to the host.
pub const UPLINK: &str = "uplink";
const ID_PREFIX: &str = "vpc-";
const ID_DIGITS: usize = 17;
/// Of the transit range, for one VPC: its network, the host's end, the VPC's end.
const TRANSIT_PREFIX_LENGTH: u8 = 30;

/// Where a VPC is on this machine.
#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
    namespace: PathBuf,
    /// The host's end of the link to it.
    link: String,
}

impl Place {
    /// # Errors
    /// When the id is none: it becomes a path.
    fn of(config: &Config, id: &str) -> Result<Self> {
        if !is_id(id) {
            return Err(Error::VpcId(id.to_owned()));
        }
        let directory = config.directory.join(id);
        let hash = hex::encode(Sha256::digest(format!("{}/{id}", config.tag)));
        Ok(Self {
            namespace: directory.join("network"),
            directory,
            link: format!("{}{}", config.transit_links(), &hash[..8]),
        })
    }
}

fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix(ID_PREFIX).unwrap_or_default();
    digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The VPCs of which anything is there.
pub fn list(config: &Config) -> Result<BTreeSet<String>> {
    let read = || -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in std::fs::read_dir(&config.directory)? {
            ids.extend(entry?.file_name().to_str().filter(|name| is_id(name)).map(str::to_owned));
        }
        Ok(ids)
    };
    read().map_err(kernel("list the networks of VPCs"))
}

/// A VPC's network that is there, with its firewall and the endpoints in it.
#[derive(Debug)]
pub struct Made {
    pub site: Site,
    pub wall: Wall,
    pub endpoints: Vec<Found>,
    pub nft: Nft,
}

/// Makes the network, or what it lacks, with its rules. Of one that nobody told of, what is there stays as it is and is
/// shut. Changes the calling thread's namespace.
pub fn ensure(config: &Config, id: &str, told: Option<&VpcNetwork>) -> Result<Made> {
    let place = Place::of(config, id)?;
    std::fs::create_dir_all(&place.directory).map_err(kernel("make the directory of a VPC"))?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    let changes = LinkChanges::open().map_err(kernel("open a netlink socket"))?;
    let outside = namespace::current().map_err(kernel("open the host's network namespace"))?;
    let mtu = bridge::mtu(&mut host)?;
    let kept = namespace::is_kept(&place.namespace).map_err(kernel("look for a VPC's network namespace"))?;
    match kept {
        true => namespace::enter(&place.namespace).map_err(kernel("enter a VPC's network namespace"))?,
        false => namespace::enter_new().map_err(kernel("make a VPC's network namespace"))?,
    }
    let mut inside = Netlink::open().map_err(kernel("open a netlink socket"))?;
    inside.set_up(netlink::LOOPBACK).map_err(kernel("bring the loopback up"))?;
    let (link, transit) = connect(config, &mut host, &mut inside, &outside, &place, mtu)?;
    host.wait_for_link(&changes, link, |link| link.carries == Some(true))
        .map_err(kernel("wait for the link to a VPC to carry"))?;
    let link = bridge::find_or_create(&mut inside, &config.tag, mtu)?;
    configure(&config.tag).map_err(kernel("configure a VPC's bridge"))?;
    inside.set_up(link.index).map_err(kernel("bring a VPC's bridge up"))?;
    if let Some(told) = told {
        bridge::set_addresses(&mut inside, link.index, &gateways(told)).map_err(kernel("set a VPC's gateways"))?;
    }
    let ground = Some(place.namespace.clone());
    let site = Site { tag: config.tag.clone(), directory: place.directory, ground, bridge: link.index, mtu };
    let endpoints = if kept { endpoint::list(&site)? } else { Vec::new() };
    let rules = told.map(Into::into).unwrap_or_default();
    let (wall, held) = rebuild(rules, &site, &endpoints);
    let resolvers: Vec<Ipv4Addr> = told.map(|told| resolver_of(told.range)).into_iter().chain([LINK_LOCAL]).collect();
    Nft::apply_blocking(&(firewall::vpc_table(config, transit, &resolvers) + &held))?;
    if !kept {
        namespace::keep(&place.namespace).map_err(kernel("keep a VPC's network namespace"))?;
    }
    Ok(Made { site, wall, endpoints, nft: Nft::within(place.namespace) })
}

/// The link to the host, by which everything leaves that is not of the VPC. Answers the host's end and its address.
fn connect(
    config: &Config,
    host: &mut Netlink,
    inside: &mut Netlink,
    outside: &File,
    place: &Place,
    mtu: u32,
) -> Result<(u32, Ipv4Addr)> {
    let failed = kernel("link a VPC to the host");
    if inside.link_by_name(UPLINK).map_err(&failed)?.is_none() {
        // Of a namespace that a crash left behind, which the kernel has not cleared away yet.
        host.delete_link(&place.link).map_err(&failed)?;
        let hash = Sha256::digest(&place.link);
        let mac = |which: u8| [0x02, hash[0], hash[1], hash[2], hash[3], which];
        let pair = VethPair {
            name: UPLINK,
            mac: mac(2),
            peer_name: &place.link,
            peer_mac: mac(1),
            peer_namespace: outside.as_fd(),
            mtu,
        };
        inside.create_veth(&pair).map_err(&failed)?;
    }
    let far = host.link_by_name(&place.link).map_err(&failed)?.ok_or_else(|| Error::Vanished(place.link.clone()))?;
    let near = inside.link_by_name(UPLINK).map_err(&failed)?.ok_or_else(|| Error::Vanished(UPLINK.to_owned()))?;
    let network = transit_of(config, host, far.index)?;
    let (host_end, vpc_end) = (gateway(network), Ipv4Addr::from(u32::from(network.network()) + 2));
    host.add_address(far.index, host_end, TRANSIT_PREFIX_LENGTH).map_err(&failed)?;
    host.set_up(far.index).map_err(&failed)?;
    inside.add_address(near.index, vpc_end, TRANSIT_PREFIX_LENGTH).map_err(&failed)?;
    inside.set_up(near.index).map_err(&failed)?;
    inside.add_default_route(near.index, host_end).map_err(&failed)?;
    Ok((far.index, host_end))
}

/// The four addresses that the link has, or the first that no other link of the host has.
fn transit_of(config: &Config, host: &mut Netlink, link: u32) -> Result<Ipv4Net> {
    let addresses = host.addresses().map_err(kernel("list the machine's addresses"))?;
    let network = |address| Ipv4Net::new_assert(address, TRANSIT_PREFIX_LENGTH).trunc();
    if let Some((_, address, _)) = addresses.iter().find(|(index, ..)| *index == link) {
        return Ok(network(*address));
    }
    let mut all = config.transit_range.subnets(TRANSIT_PREFIX_LENGTH).expect("a range of many");
    let is_free = |network: &Ipv4Net| !addresses.iter().any(|(_, address, _)| network.contains(address));
    all.find(is_free).ok_or(Error::NoAddress)
}

fn gateways(told: &VpcNetwork) -> Vec<(Ipv4Addr, u8)> {
    told.subnets.iter().map(|subnet| (gateway(subnet.network), subnet.network.prefix_len())).collect()
}

fn configure(bridge: &str) -> io::Result<()> {
    write_sysctl("ipv4/ip_forward", "1")?;
    // All subnets are on the bridge, so a gateway would send tasks past itself.
    write_sysctl(&format!("ipv4/conf/{bridge}/send_redirects"), "0")
}

/// The gateways of its subnets are exactly those that are told. Changes the calling thread's namespace.
pub fn readdress(site: &Site, told: &VpcNetwork) -> Result<()> {
    site.enter()?;
    let mut netlink = Netlink::open().map_err(kernel("open a netlink socket"))?;
    bridge::set_addresses(&mut netlink, site.bridge, &gateways(told)).map_err(kernel("set a VPC's gateways"))
}

/// Removes all that there is of the VPC, which has no endpoints any more; what is gone is no error.
pub fn remove(config: &Config, id: &str) -> Result<()> {
    let place = Place::of(config, id)?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    host.delete_link(&place.link).map_err(kernel("remove the link to a VPC"))?;
    namespace::release(&place.namespace).map_err(kernel("release a VPC's network namespace"))?;
    match std::fs::remove_dir(&place.directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(kernel("remove the directory of a VPC")(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_become_paths_and_links_have_names_that_fit() {
        let config = Config::new("/unused".into());
        let place = Place::of(&config, "vpc-0123456789abcdef0").unwrap();
        assert_eq!(place.directory, PathBuf::from("/unused/vpc-0123456789abcdef0"));
        assert_eq!(place.link.len(), 15);
        for text in ["", "vpc-", "vpc-1", "vpc-0123456789abcdefg", "vpc-../../../../../etc", "0123456789abcdef01234"] {
            assert!(Place::of(&config, text).is_err(), "{text}");
        }
    }
}
