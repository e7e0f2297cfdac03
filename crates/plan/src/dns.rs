//! Which names lead where, for those who ask the name server.

use model::discovery::{DiscoveryInstance, DiscoveryService, DnsRecord, DnsRecordKind};
use model::dns::{RecordSet, Records, Routing, Srv, Zone};
use model::load_balancer::LoadBalancer;

/// As Amazon's load balancers' names have it.
const LOAD_BALANCER_TTL_SECONDS: u32 = 60;

/// The load balancers' names, all of which end with `domain`. Each leads to all of its addresses.
pub fn load_balancers<'a>(domain: &str, rows: impl Iterator<Item = &'a LoadBalancer>) -> Zone {
    let record = |row: &LoadBalancer| RecordSet {
        name: row.dns_name.clone(),
        ttl_seconds: LOAD_BALANCER_TTL_SECONDS,
        routing: Routing::Simple,
        records: Records::A(row.subnets.iter().map(|subnet| subnet.address).collect()),
    };
    Zone {
        name: domain.to_owned(),
        negative_ttl_seconds: LOAD_BALANCER_TTL_SECONDS,
        records: rows.map(record).collect(),
    }
}

/// The names of a private namespace: those of its services, and of the instances that an SRV record leads to.
///
/// Of a service with a custom health check only healthy instances count, unless none is: then all of them do, as Route 53
/// has it.
pub fn namespace<'a>(
    name: &str,
    negative_ttl_seconds: u32,
    services: impl Iterator<Item = (&'a DiscoveryService, Vec<&'a DiscoveryInstance>)>,
) -> Zone {
    let records = services.flat_map(|(service, instances)| service_records(name, service, &instances));
    Zone { name: name.to_owned(), negative_ttl_seconds, records: records.collect() }
}

fn service_records(namespace: &str, service: &DiscoveryService, instances: &[&DiscoveryInstance]) -> Vec<RecordSet> {
    let Some(dns) = &service.dns else { return Vec::new() };
    let name = format!("{}.{namespace}", service.name);
    let chosen = serving(service, instances);
    let mut sets = Vec::new();
    for DnsRecord { kind, ttl_seconds } in dns.records.iter().copied() {
        let records = match kind {
            DnsRecordKind::A => Records::A(chosen.iter().filter_map(|instance| instance.address()).collect()),
            DnsRecordKind::Aaaa => Records::Aaaa(chosen.iter().filter_map(|instance| instance.address_v6()).collect()),
            DnsRecordKind::Srv => {
                // What the records lead to has an address whether it is healthy or not.
                sets.extend(instances.iter().flat_map(|instance| instance_records(&name, ttl_seconds, instance)));
                Records::Srv(chosen.iter().filter_map(|instance| srv(&name, instance)).collect())
            }
        };
        if !records.is_empty() {
            sets.push(RecordSet { name: name.clone(), ttl_seconds, routing: dns.routing, records });
        }
    }
    sets
}

fn serving<'a>(service: &DiscoveryService, instances: &[&'a DiscoveryInstance]) -> Vec<&'a DiscoveryInstance> {
    let healthy: Vec<&DiscoveryInstance> = instances.iter().copied().filter(|instance| instance.is_healthy).collect();
    if service.custom_health.is_none() || healthy.is_empty() { instances.to_vec() } else { healthy }
}

/// Priority and weight are the same for all, as Cloud Map has it.
fn srv(service: &str, instance: &DiscoveryInstance) -> Option<Srv> {
    Some(Srv { priority: 1, weight: 1, port: instance.port()?, target: format!("{}.{service}", instance.id) })
}

fn instance_records(service: &str, ttl_seconds: u32, instance: &DiscoveryInstance) -> Vec<RecordSet> {
    let a = instance.address().map(|address| Records::A(vec![address]));
    let aaaa = instance.address_v6().map(|address| Records::Aaaa(vec![address]));
    let set = |records| RecordSet {
        name: format!("{}.{service}", instance.id),
        ttl_seconds,
        routing: Routing::Simple,
        records,
    };
    a.into_iter().chain(aaaa).map(set).collect()
}
