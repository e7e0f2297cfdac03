//! Security groups: who may open connections to a network interface, and where it may open them to.
//!
//! Rules only ever allow. What no rule of any of an interface's groups allows is dropped; answers always pass.

use std::fmt;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::Scope;
use crate::network::Vpc;

/// Groups that one interface has.
pub const GROUPS_PER_INTERFACE_MAX: usize = 5;
/// The name of the group that every VPC has.
pub const DEFAULT_NAME: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub scope: Scope,
    /// `sg-` and 17 hex digits.
    pub id: String,
    /// Unique in the VPC.
    pub name: String,
    pub description: String,
    pub vpc_id: String,
    /// In the order in which they were made.
    pub rules: Vec<SecurityGroupRule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// `sgr-` and 17 hex digits.
    pub id: String,
    pub direction: Direction,
    pub traffic: Traffic,
    pub peer: Peer,
    #[serde(default)]
    pub description: Option<String>,
}

/// Seen from the interface that has the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    Ingress,
    Egress,
}

/// What may pass: a protocol, with its ports or its kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Traffic {
    All,
    Tcp(Ports),
    Udp(Ports),
    Icmp(IcmpKind),
    /// By its number; none of those above.
    Protocol(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    pub from: u16,
    /// At least `from`.
    pub to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IcmpKind {
    Any,
    Type(u8),
    TypeAndCode(u8, u8),
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    /// Without bits beyond the prefix.
    Cidr(Ipv4Net),
    /// No interface has an IPv6 address, so nothing is ever from or to it, as in an AWS VPC without an IPv6 block.
    Cidr6(Ipv6Net),
    /// The interfaces that have the group of this id.
    Group(String),
    /// The networks of the prefix list of this id.
    PrefixList(String),
}

impl SecurityGroup {
    /// The group that the built-in VPC has, as long as nobody has changed it: everything from itself, everything out.
    pub fn default_of(vpc: &Vpc) -> Self {
        Self::named_default(&vpc.scope, &vpc.security_group_id, &vpc.id)
    }

    /// The default group of a VPC.
    pub fn named_default(scope: &Scope, id: &str, vpc_id: &str) -> Self {
        let from_itself = SecurityGroupRule {
            id: rule_id(id, Direction::Ingress),
            direction: Direction::Ingress,
            traffic: Traffic::All,
            peer: Peer::Group(id.to_owned()),
            description: None,
        };
        Self {
            scope: scope.clone(),
            id: id.to_owned(),
            name: DEFAULT_NAME.to_owned(),
            description: "default VPC security group".to_owned(),
            vpc_id: vpc_id.to_owned(),
            rules: vec![from_itself, everything_out(id)],
        }
    }

    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_NAME
    }

    pub fn rule(&self, id: &str) -> Option<&SecurityGroupRule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    pub fn rules_of(&self, direction: Direction) -> impl Iterator<Item = &SecurityGroupRule> {
        self.rules.iter().filter(move |rule| rule.direction == direction)
    }

    /// Whether a rule of it names the other group.
    pub fn refers_to(&self, group: &str) -> bool {
        self.rules.iter().any(|rule| matches!(&rule.peer, Peer::Group(id) if id == group))
    }
}

impl SecurityGroupRule {
    /// Two rules that say the same cannot be in one group.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.direction == other.direction && self.traffic == other.traffic && self.peer == other.peer
    }
}

/// The rule that every new group begins with.
pub fn everything_out(group: &str) -> SecurityGroupRule {
    SecurityGroupRule {
        id: rule_id(group, Direction::Egress),
        direction: Direction::Egress,
        traffic: Traffic::All,
        peer: Peer::Cidr(Ipv4Net::default()),
        description: None,
    }
}

/// Follows from the group's, so that a built-in group needs no row.
fn rule_id(group: &str, direction: Direction) -> String {
    let hex = group.strip_prefix("sg-").unwrap_or(group);
    let lead = match direction {
        Direction::Ingress => '0',
        Direction::Egress => 'e',
    };
    format!("sgr-{lead}{}", hex.get(1..).unwrap_or_default())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(net) => write!(f, "{net}"),
            Self::Cidr6(net) => write!(f, "{net}"),
            Self::Group(id) | Self::PrefixList(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_groups_rules_have_ids_of_their_own_that_stay() {
        let vpc = Vpc::default_of(&Scope::new("000000000000", "us-east-1"));
        let group = SecurityGroup::default_of(&vpc);
        assert_eq!(group, SecurityGroup::default_of(&vpc));
        let [ingress, egress] = &group.rules[..] else { panic!("two rules") };
        assert_ne!(ingress.id, egress.id);
        assert_eq!(ingress.id.len(), "sgr-".len() + 17);
        assert!(group.refers_to(&group.id) && !group.refers_to("sg-1"));
    }
}
