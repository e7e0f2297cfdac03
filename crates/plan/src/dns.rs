//! Which names lead where, for those who ask the name server.

use model::dns::{RecordSet, Records, Routing, Zone};
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
