//! What a node's firewall has to know, of the rows of its account and region.
//!
//! Invariants
//! - It depends on security groups and load balancers only, so that it stays as it is when tasks come and go.
//! - A rule that can match nothing on the node is left out, so that a rule always has something to match.

use model::firewall::{Firewall, Group, LoadBalancerAddress, Peer, Rule};
use model::load_balancer::LoadBalancer;
use model::security_group::{self, Direction, SecurityGroup, SecurityGroupRule};

/// Everything that the firewalls of one account and region are made of.
#[derive(Clone, Copy, Debug)]
pub struct FirewallRows<'a, G, B> {
    /// By id.
    pub groups: &'a [G],
    pub load_balancers: &'a [B],
}

pub fn firewall<G, B>(rows: FirewallRows<'_, G, B>) -> Firewall
where
    G: AsRef<SecurityGroup>,
    B: AsRef<LoadBalancer>,
{
    let mut load_balancers: Vec<_> = rows.load_balancers.iter().flat_map(|row| addresses(row.as_ref())).collect();
    load_balancers.sort_by_key(|held| held.address);
    Firewall { groups: rows.groups.iter().map(|row| group(row.as_ref())).collect(), load_balancers }
}

fn addresses(row: &LoadBalancer) -> impl Iterator<Item = LoadBalancerAddress> + '_ {
    row.subnets
        .iter()
        .map(|subnet| LoadBalancerAddress { address: subnet.address, groups: row.security_groups.clone() })
}

fn group(row: &SecurityGroup) -> Group {
    let rules = |direction| row.rules_of(direction).filter_map(rule).collect();
    Group { id: row.id.clone(), ingress: rules(Direction::Ingress), egress: rules(Direction::Egress) }
}

fn rule(row: &SecurityGroupRule) -> Option<Rule> {
    let peer = match &row.peer {
        security_group::Peer::Cidr(net) => Peer::Networks(vec![*net]),
        security_group::Peer::Group(id) => Peer::Group(id.clone()),
        security_group::Peer::PrefixList(_) | security_group::Peer::Cidr6(_) => return None,
    };
    Some(Rule { traffic: row.traffic, peer })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use model::load_balancer::{LoadBalancerKind, LoadBalancerSubnet};
    use model::network::Vpc;
    use model::security_group::Traffic;
    use model::{Scope, Timestamp};

    use super::*;

    fn load_balancer(addresses: &[[u8; 4]]) -> LoadBalancer {
        let subnet = |address: &[u8; 4]| LoadBalancerSubnet {
            id: "subnet-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            address: (*address).into(),
        };
        LoadBalancer {
            scope: Scope::new("000000000000", "us-east-1"),
            name: "web".to_owned(),
            id: "1".to_owned(),
            dns_name: "web.elb.localhost".to_owned(),
            is_internal: false,
            kind: LoadBalancerKind::Application,
            vpc_id: "vpc-1".to_owned(),
            subnets: addresses.iter().map(subnet).collect(),
            security_groups: vec!["sg-1".to_owned()],
            attributes: BTreeMap::new(),
            tags: Vec::new(),
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn rules_are_sorted_by_direction_and_those_that_match_nothing_are_left_out() {
        let vpc = Vpc::default_of(&Scope::new("000000000000", "us-east-1"));
        let mut group = SecurityGroup::default_of(&vpc);
        let nothing = |peer| SecurityGroupRule { peer, ..group.rules[0].clone() };
        let nothing = [
            nothing(security_group::Peer::Cidr6("::/0".parse().unwrap())),
            nothing(security_group::Peer::PrefixList("pl-1".to_owned())),
        ];
        group.rules.extend(nothing);
        let groups = [Arc::new(group)];
        let balancers = [Arc::new(load_balancer(&[[172, 31, 16, 9], [172, 31, 0, 9]]))];
        let made = firewall(FirewallRows { groups: &groups, load_balancers: &balancers });
        let id = &groups[0].id;
        let from_itself = Rule { traffic: Traffic::All, peer: Peer::Group(id.clone()) };
        let out = Rule { traffic: Traffic::All, peer: Peer::Networks(vec!["0.0.0.0/0".parse().unwrap()]) };
        assert_eq!(made.groups, [Group { id: id.clone(), ingress: vec![from_itself], egress: vec![out] }]);
        let addresses: Vec<String> = made.load_balancers.iter().map(|held| held.address.to_string()).collect();
        assert_eq!(addresses, ["172.31.0.9", "172.31.16.9"]);
    }
}
