//! The names that are answered from memory, found by their bytes.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::Ipv4Net;
use model::dns::{RecordSet, Records, Routing, Snapshot, Zone};

use super::Config;

/// How long an address's own name may be remembered, as Amazon's resolver has it.
const ADDRESS_TTL_SECONDS: u32 = 60;
/// SOA fields that only other name servers look at; none ask this one. Seconds, as Route 53 has them.
const REFRESH: i32 = 7200;
const RETRY: i32 = 900;
const EXPIRE: i32 = 1_209_600;
/// The domain of address names in us-east-1; elsewhere `<region>.compute.internal`.
const FIRST_REGION_DOMAIN: &str = "ec2.internal";
const REGION_DOMAIN: &str = "compute.internal";
const REVERSE_DOMAIN: &str = "in-addr.arpa";

/// A name's labels with their lengths, in lower case and without the root: equal names have equal bytes, and each
/// ancestor's bytes are a suffix.
type Key = Vec<u8>;

/// One state of all names.
#[derive(Debug)]
pub struct Names {
    zones: HashMap<Key, Apex>,
    nodes: HashMap<Key, Vec<Set>>,
    addresses: Addresses,
}

#[derive(Debug)]
struct Apex {
    soa: Record,
}

#[derive(Debug)]
pub struct Set {
    pub kind: RecordType,
    pub routing: Routing,
    pub records: Vec<Record>,
}

/// What is known of a question's name.
#[derive(Debug)]
pub enum Found<'a> {
    /// It is in none of our zones.
    Foreign,
    /// No such name; the zone's SOA goes along.
    NoName(&'a Record),
    /// The name is there, if not with this type.
    Sets { sets: &'a [Set], soa: &'a Record },
    /// A name that follows from an address.
    Address(Record),
    /// A name that would follow from an address, but not with this type, or not of this network.
    NoAddress { exists: bool, soa: Record },
}

impl Names {
    pub fn new(snapshot: &Snapshot, config: &Config) -> Self {
        let addresses = Addresses { networks: config.networks.clone(), domain: config.domain.clone() };
        Self::build(snapshot, addresses)
    }

    /// The same for another snapshot.
    pub fn renewed(&self, snapshot: &Snapshot) -> Self {
        Self::build(snapshot, self.addresses.clone())
    }

    fn build(snapshot: &Snapshot, addresses: Addresses) -> Self {
        let mut names = Self { zones: HashMap::new(), nodes: HashMap::new(), addresses };
        for zone in &snapshot.zones {
            names.add_zone(zone, snapshot.revision);
        }
        names
    }

    fn add_zone(&mut self, zone: &Zone, revision: u64) {
        let Some(apex) = parse(&zone.name) else { return };
        let apex_key = key(&apex);
        // Of zones that share a name, the negative answers are the first one's.
        self.zones
            .entry(apex_key.clone())
            .or_insert_with(|| Apex { soa: soa(&apex, zone.negative_ttl_seconds, revision) });
        for set in &zone.records {
            let Some(name) = parse(&set.name).filter(|name| apex.zone_of(name)) else { continue };
            let key = key(&name);
            self.nodes.entry(key.clone()).or_default().push(compile(&name, set));
            // What has something below it exists too.
            for start in starts(&key).filter(|start| key.len() - start > apex_key.len()) {
                self.nodes.entry(key[start..].to_vec()).or_default();
            }
        }
    }

    pub fn find(&self, name: &Name, kind: RecordType) -> Found<'_> {
        let key = key(name);
        let Some((start, apex)) = starts(&key).find_map(|start| Some((start, self.zones.get(&key[start..])?))) else {
            return self.addresses.find(name, kind);
        };
        match self.nodes.get(&key) {
            Some(sets) => Found::Sets { sets, soa: &apex.soa },
            None if start == 0 => Found::Sets { sets: &[], soa: &apex.soa },
            None => Found::NoName(&apex.soa),
        }
    }
}

/// Names that follow from addresses, in both directions.
#[derive(Clone, Debug)]
struct Addresses {
    networks: Vec<Ipv4Net>,
    domain: String,
}

impl Addresses {
    fn find<'a>(&self, name: &Name, kind: RecordType) -> Found<'a> {
        let text = name.to_ascii().to_ascii_lowercase();
        let text = text.trim_end_matches('.');
        if let Some(reversed) = text.strip_suffix(REVERSE_DOMAIN) {
            return self.find_reverse(name, reversed, kind);
        }
        let Some((below, domain)) = split_address_domain(text) else { return Found::Foreign };
        match address_of(below).filter(|address| self.contains(*address)) {
            Some(address) if kind == RecordType::A => {
                Found::Address(Record::from_rdata(name.clone(), ADDRESS_TTL_SECONDS, RData::A(A(address))))
            }
            found => no_address(domain, found.is_some() || below.is_empty()),
        }
    }

    /// Of our networks only; all other addresses' names are for others to tell.
    fn find_reverse<'a>(&self, name: &Name, reversed: &str, kind: RecordType) -> Found<'a> {
        let mut octets = [0; 4];
        let mut labels = reversed.trim_end_matches('.').rsplit('.');
        for octet in &mut octets {
            match labels.next().and_then(|label| label.parse().ok()) {
                Some(value) => *octet = value,
                None => return Found::Foreign,
            }
        }
        let address = Ipv4Addr::from(octets);
        if labels.next().is_some() || !self.contains(address) {
            return Found::Foreign;
        }
        let [a, b, c, d] = octets;
        match parse(&format!("ip-{a}-{b}-{c}-{d}.{}", self.domain)) {
            Some(target) if kind == RecordType::PTR => {
                Found::Address(Record::from_rdata(name.clone(), ADDRESS_TTL_SECONDS, RData::PTR(PTR(target))))
            }
            _ => no_address(REVERSE_DOMAIN, true),
        }
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

fn no_address<'a>(domain: &str, exists: bool) -> Found<'a> {
    let apex = parse(domain).unwrap_or_else(Name::root);
    Found::NoAddress { exists, soa: soa(&apex, ADDRESS_TTL_SECONDS, 1) }
}

/// The domain of address names that a name is in, and what stands before it.
fn split_address_domain(name: &str) -> Option<(&str, &str)> {
    let start = match name.strip_suffix(REGION_DOMAIN) {
        // The region's label belongs to the domain.
        Some(before) => {
            let before = before.strip_suffix('.').filter(|before| !before.is_empty())?;
            before.rfind('.').map_or(0, |dot| dot + 1)
        }
        None => name.strip_suffix(FIRST_REGION_DOMAIN)?.len(),
    };
    match &name[..start] {
        "" => Some(("", name)),
        before => Some((before.strip_suffix('.')?, &name[start..])),
    }
}

/// `ip-172-31-0-5`.
fn address_of(label: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = label.strip_prefix("ip-")?.split('-');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// TTL and minimum are equal: a negative answer is remembered for the smaller one.
fn soa(apex: &Name, negative_ttl_seconds: u32, revision: u64) -> Record {
    let below = |label: &str| apex.prepend_label(label).unwrap_or_else(|_| apex.clone());
    let serial = revision as u32;
    let data = SOA::new(below("ns"), below("hostmaster"), serial, REFRESH, RETRY, EXPIRE, negative_ttl_seconds);
    Record::from_rdata(apex.clone(), negative_ttl_seconds, RData::SOA(data))
}

fn compile(name: &Name, set: &RecordSet) -> Set {
    let (kind, data): (RecordType, Vec<RData>) = match &set.records {
        Records::A(addresses) => (RecordType::A, addresses.iter().map(|address| RData::A(A(*address))).collect()),
        Records::Aaaa(addresses) => {
            (RecordType::AAAA, addresses.iter().map(|address| RData::AAAA(AAAA(*address))).collect())
        }
        Records::Srv(services) => {
            let data = services
                .iter()
                .filter_map(|srv| Some(RData::SRV(SRV::new(srv.priority, srv.weight, srv.port, parse(&srv.target)?))));
            (RecordType::SRV, data.collect())
        }
    };
    let record = |data| Record::from_rdata(name.clone(), set.ttl_seconds, data);
    Set { kind, routing: set.routing, records: data.into_iter().map(record).collect() }
}

/// Any bytes may stand in a label; lengths are what can be wrong.
fn parse(text: &str) -> Option<Name> {
    let labels = text.trim_end_matches('.').split('.').map(str::as_bytes);
    Name::from_labels(labels).ok()
}

fn key(name: &Name) -> Key {
    let mut key = Vec::with_capacity(name.len());
    for label in name.iter() {
        key.push(label.len() as u8);
        key.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    key
}

/// Where the name and each of its ancestors begin, the root left out.
fn starts(key: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let next = |start: &usize| Some(start + 1 + usize::from(key[*start])).filter(|next| *next < key.len());
    std::iter::successors((!key.is_empty()).then_some(0), next)
}
