//! Where the routes of a VPC's subnets lead, as far as it is beyond the VPC.
//!
//! Invariant: what no route names, what a route names whose target is gone, and the VPC's own range are not outside.

use ipnet::Ipv4Net;
use model::nat_gateway::NatGatewayState;
use model::network::{Subnet, Vpc};
use model::route_table::{Destination, Route, RouteTable, RouteTarget};
use model::{NatGateway, PrefixList};

/// A VPC, and what its routes may name.
#[derive(Clone, Copy, Debug)]
pub struct Ways<'a> {
    pub vpc: &'a Vpc,
    /// The gateway that is attached to it.
    pub internet_gateway: Option<&'a str>,
    /// Of the account and region, by whatever order.
    pub nat_gateways: &'a [&'a NatGateway],
    pub prefix_lists: &'a [&'a PrefixList],
}

impl Ways<'_> {
    /// Whether the route's target is there; else it is a black hole.
    pub fn is_active(&self, route: &Route) -> bool {
        match &route.target {
            RouteTarget::InternetGateway(id) => self.internet_gateway == Some(id),
            RouteTarget::NatGateway(id) => self.nat_gateway(id).is_some(),
        }
    }

    /// The networks beyond the VPC that the subnet reaches. None is part of another one.
    pub fn outside(&self, subnet: &Subnet) -> Vec<Ipv4Net> {
        let table = self.vpc.route_table_of(subnet);
        let claims_of = |route| self.destinations(route).into_iter().map(move |to| (to, self.beyond(route, to)));
        let claims: Vec<(Ipv4Net, Vec<Ipv4Net>)> = table.routes.iter().flat_map(claims_of).collect();
        // The route that says most goes before the others: what it claims is taken from theirs.
        let mut outside = Vec::new();
        for (to, beyond) in &claims {
            let finer = claims.iter().map(|(other, _)| *other).filter(|other| other != to && to.contains(other));
            let left = finer.fold(beyond.clone(), |nets, taken| without(&nets, taken));
            outside.extend(left);
        }
        Ipv4Net::aggregate(&without(&outside, self.vpc.range))
    }

    /// What of the destination the route really leads to.
    fn beyond(&self, route: &Route, to: Ipv4Net) -> Vec<Ipv4Net> {
        match &route.target {
            RouteTarget::InternetGateway(id) if self.internet_gateway == Some(id) => vec![to],
            RouteTarget::InternetGateway(_) => Vec::new(),
            RouteTarget::NatGateway(id) => {
                let subnet = self.nat_gateway(id).and_then(|gateway| self.vpc.subnet(&gateway.subnet_id));
                let open = subnet.map_or_else(Vec::new, |subnet| self.public(self.vpc.route_table_of(subnet)));
                open.into_iter().filter_map(|net| common(net, to)).collect()
            }
        }
    }

    /// Where a NAT gateway in a subnet with this table leads: by the internet gateway only.
    fn public(&self, table: &RouteTable) -> Vec<Ipv4Net> {
        let by_gateway = |route: &&Route| matches!(route.target, RouteTarget::InternetGateway(_));
        let active = table.routes.iter().filter(by_gateway).filter(|route| self.is_active(route));
        active.flat_map(|route| self.destinations(route)).collect()
    }

    fn nat_gateway(&self, id: &str) -> Option<&NatGateway> {
        let mut all = self.nat_gateways.iter().copied();
        let found = all.find(|gateway| gateway.id == id)?;
        (found.vpc_id == self.vpc.id && found.state == NatGatewayState::Available).then_some(found)
    }

    fn destinations(&self, route: &Route) -> Vec<Ipv4Net> {
        match &route.destination {
            Destination::Cidr(net) => vec![*net],
            Destination::PrefixList(id) => {
                let list = self.prefix_lists.iter().find(|list| list.id == *id);
                list.map_or_else(Vec::new, |list| list.networks().collect())
            }
        }
    }
}

/// Of two networks one is part of the other, or they have nothing in common.
fn common(one: Ipv4Net, other: Ipv4Net) -> Option<Ipv4Net> {
    if one.contains(&other) {
        return Some(other);
    }
    other.contains(&one).then_some(one)
}

/// What is left of the networks when one is taken out of them.
fn without(nets: &[Ipv4Net], taken: Ipv4Net) -> Vec<Ipv4Net> {
    nets.iter().flat_map(|net| rest(*net, taken)).collect()
}

/// Halves on the way down to what is taken: the other half stays each time.
fn rest(net: Ipv4Net, taken: Ipv4Net) -> Vec<Ipv4Net> {
    if taken.contains(&net) {
        return Vec::new();
    }
    if !net.contains(&taken) {
        return vec![net];
    }
    let halves = net.subnets(net.prefix_len() + 1).expect("it is larger than what lies in it");
    halves.flat_map(|half| rest(half, taken)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use model::network::SUBNET_PREFIX_LENGTH;
    use model::{Scope, Timestamp};

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn route(to: &str, target: RouteTarget) -> Route {
        Route { destination: Destination::Cidr(net(to)), target }
    }

    fn by_igw(to: &str) -> Route {
        route(to, RouteTarget::InternetGateway("igw-1".to_owned()))
    }

    fn by_nat(to: &str) -> Route {
        route(to, RouteTarget::NatGateway("nat-1".to_owned()))
    }

    /// The built-in VPC's shape, with another table for its second subnet.
    fn vpc(main: Vec<Route>, second: Vec<Route>) -> Vpc {
        let mut vpc = Vpc::default_of(&Scope::new("000000000000", "us-east-1"));
        vpc.route_tables[0].routes = main;
        vpc.route_tables.push(RouteTable { id: "rtb-2".to_owned(), routes: second });
        let association = vpc.main_route_table.clone();
        vpc.subnets[1].route_table =
            Some(model::route_table::RouteTableAssociation { route_table_id: "rtb-2".to_owned(), ..association });
        vpc
    }

    fn nat_gateway(vpc: &Vpc, state: NatGatewayState) -> NatGateway {
        NatGateway {
            scope: vpc.scope.clone(),
            id: "nat-1".to_owned(),
            vpc_id: vpc.id.clone(),
            subnet_id: vpc.subnets[0].id.clone(),
            interface_id: "eni-1".to_owned(),
            address: Ipv4Addr::new(172, 31, 0, 9),
            allocation_id: "eipalloc-1".to_owned(),
            public_address: Ipv4Addr::new(198, 18, 0, 1),
            state,
            created_at: Timestamp(0),
            deleted_at: None,
        }
    }

    /// What the two subnets reach.
    #[track_caller]
    fn check(vpc: &Vpc, attached: bool, state: NatGatewayState, expected: [&[&str]; 2]) {
        let nat = nat_gateway(vpc, state);
        let ways = Ways {
            vpc,
            internet_gateway: attached.then_some("igw-1"),
            nat_gateways: &[&nat],
            prefix_lists: &[&PrefixList {
                scope: vpc.scope.clone(),
                id: "pl-1".to_owned(),
                name: "offices".to_owned(),
                max_entries: 5,
                version: 1,
                entries: vec![model::prefix_list::PrefixListEntry { network: net("192.0.2.0/24"), description: None }],
                is_modified: false,
            }],
        };
        assert_eq!(vpc.subnets[0].prefix_length, SUBNET_PREFIX_LENGTH);
        for (subnet, expected) in vpc.subnets.iter().zip(expected) {
            let shown: Vec<String> = ways.outside(subnet).iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected, "{}", subnet.zone);
        }
    }

    #[test]
    fn a_subnet_reaches_what_its_routes_name_as_long_as_their_targets_are_there() {
        use NatGatewayState::{Available, Deleted};
        let few = vpc(vec![by_igw("10.0.0.0/8")], vec![by_nat("10.9.0.0/16"), by_nat("192.0.2.0/24")]);
        check(&few, true, Available, [&["10.0.0.0/8"], &["10.9.0.0/16"]]);
        check(&few, false, Available, [&[], &[]]);
        check(&few, true, Deleted, [&["10.0.0.0/8"], &[]]);
        // By a gateway that itself leads nowhere.
        let circle = vpc(vec![by_nat("10.0.0.0/8")], vec![by_nat("10.0.0.0/8")]);
        check(&circle, true, Available, [&[], &[]]);
    }

    #[test]
    fn the_finest_route_decides_and_the_vpcs_own_range_is_never_outside() {
        let hole = vpc(vec![by_igw("172.31.128.0/17"), by_igw("10.0.0.0/14"), by_nat("10.1.0.0/16")], vec![]);
        check(&hole, true, NatGatewayState::Deleted, [&["10.0.0.0/16", "10.2.0.0/15"], &[]]);
        let everything = vpc(vec![by_igw("0.0.0.0/0")], vec![]);
        let nat = nat_gateway(&everything, NatGatewayState::Deleted);
        let ways = Ways { vpc: &everything, internet_gateway: Some("igw-1"), nat_gateways: &[&nat], prefix_lists: &[] };
        let outside = ways.outside(&everything.subnets[0]);
        assert_eq!(outside.len(), 16);
        let reaches = |text: &str| outside.iter().any(|net| net.contains(&text.parse::<Ipv4Addr>().unwrap()));
        assert!(reaches("172.30.255.255") && reaches("172.32.0.0") && reaches("1.1.1.1"));
        assert!(!reaches("172.31.0.0") && !reaches("172.31.255.255"));
    }

    #[test]
    fn a_prefix_list_stands_for_its_networks() {
        let target = RouteTarget::InternetGateway("igw-1".to_owned());
        let listed = |id: &str| Route { destination: Destination::PrefixList(id.to_owned()), target: target.clone() };
        let vpc = vpc(vec![listed("pl-1"), listed("pl-2")], vec![by_nat("0.0.0.0/0")]);
        check(&vpc, true, NatGatewayState::Available, [&["192.0.2.0/24"], &["192.0.2.0/24"]]);
    }
}
