//! What a node's firewall has to know, of the rows of its account and region.
//!
//! Invariants
//! - It depends on VPCs, security groups, prefix lists and load balancers only, so that it stays as it is when tasks come
//!   and go.
//! - A rule that can match nothing on the node is left out, so that a rule always has something to match.

use ipnet::Ipv4Net;
use model::firewall::{Firewall, Group, LoadBalancerAddress, Peer, Rule, SubnetNetwork, VpcNetwork};
use model::load_balancer::LoadBalancer;
use model::security_group::{self, Direction, SecurityGroup, SecurityGroupRule};
use model::{InternetGateway, NatGateway, PrefixList, Vpc};

use crate::route::Ways;

/// Everything that the firewalls of one account and region are made of.
#[derive(Clone, Debug, Default)]
pub struct FirewallRows<'a> {
    /// By id, of all VPCs.
    pub groups: Vec<&'a SecurityGroup>,
    pub load_balancers: Vec<&'a LoadBalancer>,
    /// Of the caller's own, by id.
    pub vpcs: Vec<&'a Vpc>,
    pub internet_gateways: Vec<&'a InternetGateway>,
    pub nat_gateways: Vec<&'a NatGateway>,
    pub prefix_lists: Vec<&'a PrefixList>,
}

pub fn firewall(rows: &FirewallRows<'_>) -> Firewall {
    let mut load_balancers: Vec<_> = rows.load_balancers.iter().flat_map(|row| addresses(row)).collect();
    load_balancers.sort_by_key(|held| held.address);
    let is_own = |group: &SecurityGroup| rows.vpcs.iter().any(|vpc| vpc.id == group.vpc_id);
    Firewall {
        groups: rows.groups.iter().filter(|row| !is_own(row)).map(|row| group(rows, row)).collect(),
        load_balancers,
        vpcs: rows.vpcs.iter().map(|row| vpc(rows, row)).collect(),
    }
}

fn vpc(rows: &FirewallRows<'_>, row: &Vpc) -> VpcNetwork {
    let gateway = rows.internet_gateways.iter().find(|gateway| gateway.vpc_id.as_ref() == Some(&row.id));
    let ways = Ways {
        vpc: row,
        internet_gateway: gateway.map(|gateway| gateway.id.as_str()),
        nat_gateways: &rows.nat_gateways,
        prefix_lists: &rows.prefix_lists,
    };
    let subnet = |subnet| SubnetNetwork { network: model::Subnet::range(subnet), outside: ways.outside(subnet) };
    let mut subnets: Vec<SubnetNetwork> = row.subnets.iter().map(subnet).collect();
    subnets.sort_by_key(|subnet| subnet.network);
    VpcNetwork {
        id: row.id.clone(),
        range: row.range,
        subnets,
        groups: rows.groups.iter().filter(|group| group.vpc_id == row.id).map(|row| group(rows, row)).collect(),
    }
}

fn addresses(row: &LoadBalancer) -> impl Iterator<Item = LoadBalancerAddress> + '_ {
    row.subnets
        .iter()
        .map(|subnet| LoadBalancerAddress { address: subnet.address, groups: row.security_groups.clone() })
}

fn group(rows: &FirewallRows<'_>, row: &SecurityGroup) -> Group {
    let rules = |direction| row.rules_of(direction).filter_map(|row| rule(rows, row)).collect();
    Group { id: row.id.clone(), ingress: rules(Direction::Ingress), egress: rules(Direction::Egress) }
}

fn rule(rows: &FirewallRows<'_>, row: &SecurityGroupRule) -> Option<Rule> {
    let peer = match &row.peer {
        security_group::Peer::Cidr(net) => Peer::Networks(vec![*net]),
        security_group::Peer::Group(id) => Peer::Group(id.clone()),
        security_group::Peer::PrefixList(id) => {
            let list = rows.prefix_lists.iter().find(|list| list.id == *id)?;
            let networks: Vec<Ipv4Net> = list.networks().collect();
            Peer::Networks(Some(networks).filter(|networks| !networks.is_empty())?)
        }
        security_group::Peer::Cidr6(_) => return None,
    };
    Some(Rule { traffic: row.traffic, peer })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::load_balancer::{LoadBalancerKind, LoadBalancerSubnet};
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
        let balancer = load_balancer(&[[172, 31, 16, 9], [172, 31, 0, 9]]);
        let rows = FirewallRows { groups: vec![&group], load_balancers: vec![&balancer], ..FirewallRows::default() };
        let made = firewall(&rows);
        let id = &group.id;
        let from_itself = Rule { traffic: Traffic::All, peer: Peer::Group(id.clone()) };
        let out = Rule { traffic: Traffic::All, peer: Peer::Networks(vec!["0.0.0.0/0".parse().unwrap()]) };
        assert_eq!(made.groups, [Group { id: id.clone(), ingress: vec![from_itself], egress: vec![out] }]);
        let addresses: Vec<String> = made.load_balancers.iter().map(|held| held.address.to_string()).collect();
        assert_eq!(addresses, ["172.31.0.9", "172.31.16.9"]);
    }
    #[test]
    fn a_vpc_of_the_callers_own_has_its_groups_and_ways_apart() {
        let scope = Scope::new("000000000000", "us-east-1");
        let built_in = SecurityGroup::default_of(&Vpc::default_of(&scope));
        let mut vpc = Vpc { id: "vpc-1".to_owned(), is_default: false, ..Vpc::default_of(&scope) };
        vpc.subnets.truncate(1);
        let mut own = SecurityGroup::named_default(&scope, "sg-1", &vpc.id);
        own.rules[0].peer = security_group::Peer::PrefixList("pl-1".to_owned());
        let gateway = InternetGateway { scope: scope.clone(), id: "igw-1".to_owned(), vpc_id: Some(vpc.id.clone()) };
        let list = PrefixList {
            scope,
            id: "pl-1".to_owned(),
            name: "offices".to_owned(),
            max_entries: 5,
            version: 1,
            entries: vec![model::prefix_list::PrefixListEntry {
                network: "192.0.2.0/24".parse().unwrap(),
                description: None,
            }],
            is_modified: false,
        };
        let rows = FirewallRows {
            groups: vec![&built_in, &own],
            vpcs: vec![&vpc],
            internet_gateways: vec![&gateway],
            prefix_lists: vec![&list],
            ..FirewallRows::default()
        };
        let made = firewall(&rows);
        assert_eq!(made.groups.iter().map(|group| &group.id).collect::<Vec<_>>(), [&built_in.id]);
        let [network] = &made.vpcs[..] else { panic!("one VPC") };
        assert_eq!(network.groups[0].ingress[0].peer, Peer::Networks(vec!["192.0.2.0/24".parse().unwrap()]));
        // Its main table names another gateway than the one that it has.
        let subnet = SubnetNetwork { network: "172.31.0.0/20".parse().unwrap(), outside: Vec::new() };
        assert_eq!((network.id.as_str(), &network.subnets), ("vpc-1", &vec![subnet]));
    }
}
