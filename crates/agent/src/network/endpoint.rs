//! A namespace with its link to the node's bridge: how it is named, made and removed.
//!
//! ```text
//! task's namespace                 host, or the VPC's namespace
//!   lo
//!   eth0 (address, mac) ───────── gt<hash> ─── port of the bridge
//! ```
//! Invariants
//! - The kept namespace is the commit point of making: what a crash before it leaves dies with its thread.
//! - The link's alias is set when all else is done: a link without it is made anew.
//! - What is made carries: nobody in the namespace loses the first that it sends.
//! - A namespace reaches its gateway only, and everything else by it: what it sends passes the firewall.
//! - The namespace's file goes last when an endpoint is removed: as long as anything is left, [`list`] shows it.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use model::network::EndpointId;
use sha2::{Digest, Sha256};

use super::netlink::{self, LinkChanges, Mac, Netlink, VethPair};
use super::{Error, Result, kernel, namespace};

/// The interface inside.
const INSIDE: &str = "eth0";

/// Where an instance of the node keeps the endpoints of one network.
#[derive(Clone, Debug)]
pub struct Site {
    pub tag: String,
    pub directory: PathBuf,
    /// The namespace that the bridge is in; `None`: the host's.
    pub ground: Option<PathBuf>,
    /// Index of the bridge.
    pub bridge: u32,
    pub mtu: u32,
}

impl Site {
    /// Moves the calling thread to where the bridge is, for good.
    pub fn enter(&self) -> Result<()> {
        match &self.ground {
            Some(path) => namespace::enter(path).map_err(kernel("enter a VPC's network namespace")),
            None => Ok(()),
        }
    }

    pub fn namespace(&self, id: EndpointId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    /// The host's end: `gt` and 12 hex digits, since a link's name has room for 15 characters and a task's id has 32.
    pub fn link_name(&self, id: EndpointId) -> String {
        format!("gt{}", hex::encode(&self.hash(id)[..6]))
    }

    /// Given, so that no service of the host gives the link another one later.
    fn host_mac(&self, id: EndpointId) -> Mac {
        let hash = self.hash(id);
        [0x02, hash[6], hash[7], hash[8], hash[9], hash[10]]
    }

    fn hash(&self, id: EndpointId) -> [u8; 32] {
        Sha256::digest(format!("{}/{id}", self.tag)).into()
    }
}

/// What the namespace gets beside loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub gateway: Ipv4Addr,
    pub mac: Mac,
    /// It may have published ports, and call them itself.
    pub reflected: bool,
    /// Of an awsvpc task.
    pub groups: Option<Vec<String>>,
}

/// An endpoint that is there, whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub id: EndpointId,
    pub address: Option<Ipv4Addr>,
    pub groups: Option<Vec<String>>,
}

/// Makes the endpoint, or what it lacks. Changes the calling thread's namespace.
pub fn make(site: &Site, id: EndpointId, address: Option<&Address>) -> Result<()> {
    site.enter()?;
    let path = site.namespace(id);
    let kept = namespace::is_kept(&path).map_err(kernel("look for a network namespace"))?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    if kept && (address.is_none() || is_wired(&mut host, site, id, address)?) {
        return Ok(());
    }
    let changes = LinkChanges::open().map_err(kernel("open a netlink socket"))?;
    let outside = namespace::current().map_err(kernel("open the host's network namespace"))?;
    match kept {
        true => namespace::enter(&path).map_err(kernel("enter a network namespace"))?,
        false => namespace::enter_new().map_err(kernel("make a network namespace"))?,
    }
    let mut inside = Netlink::open().map_err(kernel("open a netlink socket"))?;
    let link = match address {
        Some(address) => Some(wire(&mut host, &mut inside, &outside, site, id, address)?),
        None => None,
    };
    configure(&mut inside, address).map_err(kernel("configure a network namespace"))?;
    if let (Some(link), Some(address)) = (link, address) {
        wait_until_carried(&mut host, &changes, link, site.bridge).map_err(kernel("wait for a link to carry"))?;
        host.set_alias(link, &alias(id, address)).map_err(kernel("name a link"))?;
    }
    if !kept {
        namespace::keep(&path).map_err(kernel("keep a network namespace"))?;
    }
    Ok(())
}

/// Makes the pair of links and answers the index of the host's end.
fn wire(
    host: &mut Netlink,
    inside: &mut Netlink,
    outside: &File,
    site: &Site,
    id: EndpointId,
    address: &Address,
) -> Result<u32> {
    let name = site.link_name(id);
    host.delete_link(&name).map_err(kernel("remove a stale link"))?;
    let pair = VethPair {
        name: INSIDE,
        mac: address.mac,
        peer_name: &name,
        peer_mac: site.host_mac(id),
        peer_namespace: outside.as_fd(),
        mtu: site.mtu,
    };
    inside.create_veth(&pair).map_err(kernel("make a pair of links"))?;
    let link = host.link_by_name(&name).map_err(kernel("find the link just made"))?;
    let link = link.ok_or(Error::Vanished(name))?.index;
    host.join_bridge(link, site.bridge).map_err(kernel("join the bridge"))?;
    if address.reflected {
        host.reflect(link).map_err(kernel("set up a port of the bridge"))?;
    }
    Ok(link)
}

/// In the namespace: loopback, then the address, then up, which announces it to the neighbours, then the way out.
fn configure(inside: &mut Netlink, address: Option<&Address>) -> io::Result<()> {
    inside.set_up(netlink::LOOPBACK)?;
    // As docker has it: a container's own port 80 needs no privilege.
    super::write_sysctl("ipv4/ip_unprivileged_port_start", "0")?;
    super::write_sysctl("ipv4/ping_group_range", "0 2147483647")?;
    let Some(address) = address else { return Ok(()) };
    let link = inside.link_by_name(INSIDE)?.ok_or(io::ErrorKind::NotFound)?;
    inside.add_lone_address(link.index, address.address, address.prefix_length)?;
    super::write_sysctl(&format!("ipv4/conf/{INSIDE}/arp_notify"), "1")?;
    inside.set_up(link.index)?;
    inside.add_default_route(link.index, address.gateway)
}

/// The kernel makes the port a part of the bridge some time after both ends are up, and the first port brings the bridge
/// up some time after that.
fn wait_until_carried(host: &mut Netlink, changes: &LinkChanges, port: u32, bridge: u32) -> io::Result<()> {
    host.wait_for_link(changes, port, |link| link.forwards && link.carries == Some(true))?;
    host.wait_for_link(changes, bridge, |link| link.carries != Some(false))
}

fn is_wired(host: &mut Netlink, site: &Site, id: EndpointId, address: Option<&Address>) -> Result<bool> {
    let Some(address) = address else { return Ok(true) };
    let link = host.link_by_name(&site.link_name(id)).map_err(kernel("look for a link"))?;
    let wanted = alias(id, address);
    Ok(link.is_some_and(|link| link.bridge == Some(site.bridge) && link.alias.as_deref() == Some(&wanted)))
}

/// Removes all that there is of the endpoint; what is gone is no error. Changes the calling thread's namespace.
pub fn remove(site: &Site, id: EndpointId) -> Result<()> {
    site.enter()?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    host.delete_link(&site.link_name(id)).map_err(kernel("remove a link"))?;
    namespace::release(&site.namespace(id)).map_err(kernel("release a network namespace"))
}

/// The endpoints of which anything is there, with the address of those that have one. Changes the calling thread's
/// namespace.
pub fn list(site: &Site) -> Result<Vec<Found>> {
    site.enter()?;
    let mut host = Netlink::open().map_err(kernel("open a netlink socket"))?;
    let links = host.links_of_bridge(site.bridge).map_err(kernel("list the bridge's ports"))?;
    let mut found: Vec<Found> = links.iter().filter_map(|link| parse_alias(link.alias.as_deref()?)).collect();
    for id in kept_names(&site.directory).map_err(kernel("list network namespaces"))? {
        if !found.iter().any(|other| other.id == id) {
            found.push(Found { id, address: None, groups: None });
        }
    }
    found.sort();
    Ok(found)
}

fn kept_names(directory: &Path) -> io::Result<Vec<EndpointId>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        names.extend(entry?.file_name().to_str().and_then(|name| name.parse::<EndpointId>().ok()));
    }
    Ok(names)
}

/// The link's alias, which `ip link` shows: whose it is, the address behind it, and its security groups.
fn alias(id: EndpointId, address: &Address) -> String {
    let groups = address.groups.as_ref().map(|groups| format!(" {}", groups.join(",")));
    format!("{id} {}{}", address.address, groups.unwrap_or_default())
}

fn parse_alias(alias: &str) -> Option<Found> {
    let mut words = alias.split(' ');
    let (id, address) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let named = |groups: &str| groups.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let groups = words.next().map(named);
    Some(Found { id, address: Some(address), groups })
}

/// `02:47:ac:1f:00:05`.
pub fn parse_mac(text: &str) -> Result<Mac> {
    let invalid = || Error::Mac(text.to_owned());
    let mut mac = Mac::default();
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
    }
    if parts.next().is_some() { Err(invalid()) } else { Ok(mac) }
}

#[cfg(test)]
mod tests {
    use model::TaskId;
    use model::network::InvalidEndpoint;

    use super::*;

    #[test]
    fn endpoint_names_are_read_back_and_others_are_not() {
        let task = TaskId(0x0123);
        for container in [None, Some(0), Some(17)] {
            let id = EndpointId { task, container };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "x", "0123", "00000000000000000000000000000123-", "00000000000000000000000000000123-x"] {
            assert_eq!(text.parse::<EndpointId>(), Err(InvalidEndpoint), "{text}");
        }
    }

    #[test]
    fn an_alias_fits_and_says_all_that_the_next_agent_has_to_know() {
        let id = EndpointId { task: TaskId(u128::MAX), container: None };
        let group = |n: usize| format!("sg-{n:017x}");
        for count in [None, Some(0), Some(1), Some(5)] {
            let groups = count.map(|count| (0..count).map(group).collect::<Vec<_>>());
            let address = Address {
                address: Ipv4Addr::new(172, 131, 200, 100),
                prefix_length: 20,
                gateway: Ipv4Addr::new(172, 131, 200, 1),
                mac: Mac::default(),
                reflected: false,
                groups: groups.clone(),
            };
            let alias = alias(id, &address);
            // The kernel's limit.
            assert!(alias.len() < 256, "{alias}");
            assert_eq!(parse_alias(&alias), Some(Found { id, address: Some(address.address), groups }));
        }
    }

    #[test]
    fn link_names_fit_and_differ_by_instance_and_container() {
        let site = |tag: &str| Site { tag: tag.into(), directory: PathBuf::new(), ground: None, bridge: 1, mtu: 1500 };
        let id = |container| EndpointId { task: TaskId(7), container };
        let names = [
            site("a").link_name(id(None)),
            site("b").link_name(id(None)),
            site("a").link_name(id(Some(0))),
            site("a").link_name(id(Some(1))),
        ];
        assert!(names.iter().all(|name| name.len() <= 15), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    }
}
