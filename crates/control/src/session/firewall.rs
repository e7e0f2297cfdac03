//! What a session has told its node of the firewall.

use model::firewall::Firewall;
use model::load_balancer::LoadBalancer;
use model::{NodeId, SecurityGroup};
use plan::firewall::FirewallRows;
use store::{Commit, Table, Tables};

use crate::ec2::security_group;

#[derive(Default)]
pub(super) struct Told {
    firewall: Option<Firewall>,
    /// What it was made of: as long as these are the same, so is the firewall.
    groups: Table<SecurityGroup>,
    load_balancers: Table<LoadBalancer>,
}

impl Told {
    /// The firewall, when it is another one than was told; then it counts as told.
    pub fn news(&mut self, tables: &Tables, node: NodeId) -> Option<Firewall> {
        let is_same =
            self.groups.is_same(&tables.security_groups) && self.load_balancers.is_same(&tables.load_balancers);
        if self.firewall.is_some() && is_same {
            return None;
        }
        self.groups = tables.security_groups.clone();
        self.load_balancers = tables.load_balancers.clone();
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
    let load_balancers: Vec<_> = tables.load_balancers_in_scope(scope).cloned().collect();
    let groups = security_group::all(tables, scope);
    plan::firewall::firewall(FirewallRows { groups: &groups, load_balancers: &load_balancers })
}

/// Whether a commit may change any node's firewall.
pub(super) fn is_touched(commit: &Commit) -> bool {
    !(commit.changes.security_groups.is_empty() && commit.changes.load_balancers.is_empty())
}
