//! What a session has told its node of the firewall.

use model::firewall::Firewall;
use model::load_balancer::LoadBalancer;
use model::{InternetGateway, NatGateway, NodeId, PrefixList, SecurityGroup, Vpc};
use plan::firewall::FirewallRows;
use store::{Commit, Table, Tables};

use crate::ec2::security_group;

#[derive(Default)]
pub(super) struct Told {
    firewall: Option<Firewall>,
    made_of: MadeOf,
}

/// As long as these are the same, so is the firewall.
#[derive(Default)]
struct MadeOf {
    groups: Table<SecurityGroup>,
    load_balancers: Table<LoadBalancer>,
    vpcs: Table<Vpc>,
    internet_gateways: Table<InternetGateway>,
    nat_gateways: Table<NatGateway>,
    prefix_lists: Table<PrefixList>,
}

impl MadeOf {
    fn of(tables: &Tables) -> Self {
        Self {
            groups: tables.security_groups.clone(),
            load_balancers: tables.load_balancers.clone(),
            vpcs: tables.vpcs.clone(),
            internet_gateways: tables.internet_gateways.clone(),
            nat_gateways: tables.nat_gateways.clone(),
            prefix_lists: tables.prefix_lists.clone(),
        }
    }

    fn is_same(&self, tables: &Tables) -> bool {
        self.groups.is_same(&tables.security_groups)
            && self.load_balancers.is_same(&tables.load_balancers)
            && self.vpcs.is_same(&tables.vpcs)
            && self.internet_gateways.is_same(&tables.internet_gateways)
            && self.nat_gateways.is_same(&tables.nat_gateways)
            && self.prefix_lists.is_same(&tables.prefix_lists)
    }
}

impl Told {
    /// The firewall, when it is another one than was told; then it counts as told.
    pub fn news(&mut self, tables: &Tables, node: NodeId) -> Option<Firewall> {
        if self.firewall.is_some() && self.made_of.is_same(tables) {
            return None;
        }
        self.made_of = MadeOf::of(tables);
        let firewall = firewall_of(tables, node);
        if self.firewall.as_ref() == Some(&firewall) {
            return None;
        }
        self.firewall = Some(firewall.clone());
        Some(firewall)
    }
}

fn firewall_of(tables: &Tables, node: NodeId) -> Firewall {
    let Some(node) = tables.nodes.get(&node) else { return Firewall::default() };
    let scope = &node.scope;
    let groups = security_group::all(tables, scope);
    plan::firewall::firewall(&FirewallRows {
        groups: groups.iter().map(|row| &**row).collect(),
        load_balancers: tables.load_balancers_in_scope(scope).map(|row| &**row).collect(),
        vpcs: tables.vpcs_in_scope(scope).map(|row| &**row).collect(),
        internet_gateways: tables.internet_gateways_in_scope(scope).map(|row| &**row).collect(),
        nat_gateways: tables.nat_gateways_in_scope(scope).map(|row| &**row).collect(),
        prefix_lists: tables.prefix_lists_in_scope(scope).map(|row| &**row).collect(),
    })
}

/// Whether a commit may change any node's firewall.
pub(super) fn is_touched(commit: &Commit) -> bool {
    let changes = &commit.changes;
    !(changes.security_groups.is_empty()
        && changes.load_balancers.is_empty()
        && changes.vpcs.is_empty()
        && changes.internet_gateways.is_empty()
        && changes.nat_gateways.is_empty()
        && changes.prefix_lists.is_empty())
}
