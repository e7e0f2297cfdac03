//! Which connection or datagram belongs together, and which target has it.
//!
//! Targets are chosen by the highest of the hashes of flow and target, so that a flow, or with stickiness a client, keeps
//! its target as long as that serves, whoever else comes and goes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// What a flow is recognized by. `by_source`: all of a client's are one.
pub fn key(client: SocketAddr, local: SocketAddr, by_source: bool) -> u64 {
    let ip = client.ip().to_canonical();
    if by_source { hash(&ip) } else { hash(&(ip, client.port(), local)) }
}

/// What a target is recognized by.
pub fn seed(target: SocketAddr) -> u64 {
    hash(&target)
}

/// Without a key of its own, so that it is the same after a restart.
fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The index of the target that has the flow.
pub fn choose(seeds: impl Iterator<Item = u64>, flow: u64) -> Option<usize> {
    let weighed = seeds.map(|seed| mix(seed ^ flow)).enumerate();
    weighed.max_by_key(|(_, weight)| *weight).map(|(index, _)| index)
}

/// Spreads every bit over all others (the last step of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn flows_of_one_client() {
        let local = address("10.0.0.1:80");
        let of = |client, by_source| key(address(client), local, by_source);
        assert_eq!(of("10.0.0.9:1", true), of("10.0.0.9:2", true));
        assert_ne!(of("10.0.0.9:1", true), of("10.0.0.8:1", true));
        assert_ne!(of("10.0.0.9:1", false), of("10.0.0.9:2", false));
    }

    #[test]
    fn flows_spread_evenly_and_move_only_from_a_target_that_goes() {
        let seeds: Vec<u64> = (0..4).map(|host| seed(address(&format!("10.0.0.{host}:80")))).collect();
        let flows: Vec<u64> =
            (1..4001).map(|port| key(address(&format!("10.1.0.1:{port}")), address("10.0.0.1:80"), false)).collect();
        let with = |seeds: &[u64]| {
            flows.iter().map(|flow| choose(seeds.iter().copied(), *flow).expect("one")).collect::<Vec<_>>()
        };
        let (all, fewer) = (with(&seeds), with(&seeds[..3]));
        for target in 0..4 {
            let count = all.iter().filter(|chosen| **chosen == target).count();
            assert!((900..1100).contains(&count), "{target} has {count} of 4000");
        }
        assert!(all.iter().zip(&fewer).all(|(before, after)| *before == 3 || before == after));
        assert_eq!(choose(std::iter::empty(), 1), None);
    }
}
