//! What is taken on the node in bridge mode: addresses and host ports. Made from what is found after a restart.
//!
//! Invariant: an address or a host port has one owner; a port that is given is held against the host's programs too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;
use model::network::EndpointId;
use model::task::NetworkBinding;
use model::task_definition::PortMapping;
use model::{Port, TaskId};

use super::config::{Config, gateway};
use super::endpoint::{Address, Found, parse_mac};
use super::firewall::Published;
use super::{Error, Result, port};

#[derive(Debug, Default)]
pub struct Ledger {
    addresses: BTreeMap<EndpointId, Ipv4Addr>,
    /// The address that was handed out last: the next one is sought after it, so that they return late.
    last: Option<Ipv4Addr>,
    published: BTreeMap<Port, Publication>,
}

#[derive(Debug)]
struct Publication {
    published: Published,
    /// `None`: another program took the port while no agent ran. The rule works nevertheless.
    _lease: Option<port::Lease>,
}

impl Ledger {
    /// From the endpoints that are there and what is published.
    pub fn adopt(config: &Config, endpoints: &[Found], published: Vec<Published>) -> Self {
        let addresses = endpoints.iter().filter_map(|found| Some((found.id, found.address?)));
        let adopt = |published: Published| {
            let lease = port::take(published.host).ok();
            if lease.is_none() {
                tracing::warn!(port = published.host.number, task = %published.endpoint, "published port is not held");
            }
            (published.host, Publication { published, _lease: lease })
        };
        Self {
            addresses: addresses.filter(|(_, address)| config.bridge_range.contains(address)).collect(),
            last: None,
            published: published.into_iter().map(adopt).collect(),
        }
    }

    /// What is published for a task.
    pub fn of_task(&self, task: TaskId) -> Vec<Published> {
        let published = self.published.values().map(|publication| publication.published);
        published.filter(|published| published.endpoint.task == task).collect()
    }

    /// The tasks that have something published.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.published.values().map(|publication| publication.published.endpoint.task)
    }

    /// Nothing is published for the task any more: its ports are free.
    pub fn free_ports(&mut self, task: TaskId) {
        self.published.retain(|_, publication| publication.published.endpoint.task != task);
    }

    pub fn free_addresses(&mut self, task: TaskId) {
        self.addresses.retain(|id, _| id.task != task);
    }

    /// The endpoint's address in bridge mode: the one that it has, else the next free one.
    pub fn give_address(&mut self, config: &Config, id: EndpointId) -> Result<Address> {
        let range = config.bridge_range;
        let address = match self.addresses.get(&id) {
            Some(address) => *address,
            None => self.free_address(range).ok_or(Error::NoAddress)?,
        };
        self.addresses.insert(id, address);
        self.last = Some(address);
        let mac = parse_mac(&model::network::mac_of(address))?;
        Ok(Address {
            address,
            prefix_length: range.prefix_len(),
            gateway: gateway(range),
            mac,
            reflected: true,
            groups: None,
        })
    }

    fn free_address(&self, range: Ipv4Net) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> = self.addresses.values().copied().collect();
        let (low, high) = (u32::from(gateway(range)) + 1, u32::from(range.broadcast()) - 1);
        let next = self.last.map_or(low, |last| u32::from(last) + 1);
        let candidates = (next..=high).chain(low..=high).map(Ipv4Addr::from);
        candidates.take(taken.len() + high as usize - low as usize + 1).find(|address| !taken.contains(address))
    }

    /// Holds a host port for each mapping that has none yet; all of them or none.
    pub fn reserve(
        &mut self,
        id: EndpointId,
        address: Ipv4Addr,
        ports: &[PortMapping],
        dynamic: &RangeInclusive<u16>,
        start: u16,
    ) -> Result<Vec<Published>> {
        let mut answer = Vec::with_capacity(ports.len());
        let mut fresh = Vec::new();
        for mapping in ports {
            let to = SocketAddrV4::new(address, mapping.container_port);
            if let Some(existing) = self.find(id, mapping, to, &answer) {
                answer.push(existing);
                continue;
            }
            let (host, lease) = lease(mapping, dynamic, start)?;
            let published = Published { host, endpoint: id, to };
            fresh.push(Publication { published, _lease: Some(lease) });
            answer.push(published);
        }
        self.published.extend(fresh.into_iter().map(|publication| (publication.published.host, publication)));
        Ok(answer)
    }

    /// What an earlier attempt published for this mapping and no other mapping of the same container has claimed.
    fn find(
        &self,
        id: EndpointId,
        mapping: &PortMapping,
        to: SocketAddrV4,
        claimed: &[Published],
    ) -> Option<Published> {
        let ours = self.published.values().map(|publication| publication.published);
        let mut fitting = ours.filter(|published| {
            let same = published.endpoint == id && published.to == to && published.host.protocol == mapping.protocol;
            same && (mapping.host_port == 0 || mapping.host_port == published.host.number)
        });
        fitting.find(|published| !claimed.contains(published))
    }
}

fn lease(mapping: &PortMapping, dynamic: &RangeInclusive<u16>, start: u16) -> Result<(Port, port::Lease)> {
    if mapping.host_port == 0 {
        return port::take_any(mapping.protocol, dynamic.clone(), start).ok_or(Error::NoPort);
    }
    let port = Port { number: mapping.host_port, protocol: mapping.protocol };
    match port::take(port) {
        Ok(lease) => Ok((port, lease)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortTaken(port)),
        Err(source) => Err(Error::Kernel { action: "hold a host port", source }),
    }
}

/// As the API shows it.
pub fn binding(published: &Published) -> NetworkBinding {
    NetworkBinding {
        bind_ip: "0.0.0.0".into(),
        container_port: published.to.port(),
        host_port: published.host.number,
        protocol: published.host.protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { bridge_range: "10.9.8.0/29".parse().unwrap(), ..Config::new("/unused".into()) }
    }

    fn id(task: u128) -> EndpointId {
        EndpointId { task: TaskId(task), container: Some(0) }
    }

    #[test]
    fn addresses_are_given_once_return_late_and_run_out() {
        let (mut ledger, config) = (Ledger::default(), config());
        let give = |ledger: &mut Ledger, task: u128| {
            ledger.give_address(&config, id(task)).ok().map(|address| address.address.octets()[3])
        };
        assert_eq!([1, 2, 1, 3].map(|task| give(&mut ledger, task)), [Some(2), Some(3), Some(2), Some(4)]);
        ledger.free_addresses(TaskId(2));
        // The one that came free is the last to be given again; network, gateway and broadcast never are.
        assert_eq!([4, 5, 6].map(|task| give(&mut ledger, task)), [Some(5), Some(6), Some(3)]);
        assert_eq!(give(&mut ledger, 7), None);
        assert_eq!(give(&mut ledger, 6), Some(3));
    }

    #[test]
    fn what_is_adopted_is_taken() {
        let (config, taken) = (config(), Ipv4Addr::new(10, 9, 8, 2));
        let awsvpc = Ipv4Addr::new(172, 31, 0, 9);
        let found = |id, address| Found { id, address, groups: None };
        let endpoints = [found(id(1), Some(taken)), found(id(2), Some(awsvpc)), found(id(3), None)];
        let mut ledger = Ledger::adopt(&config, &endpoints, vec![]);
        assert_eq!(ledger.give_address(&config, id(4)).unwrap().address, Ipv4Addr::new(10, 9, 8, 3));
        assert_eq!(ledger.give_address(&config, id(1)).unwrap().address, taken);
    }
}
