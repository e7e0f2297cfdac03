//! What the firewall holds of security groups and of those who have them, and the text of each change. Pure.
//!
//! ```text
//!  egress ─ 172.31.0.5 ▶ out.sg-a.sg-b ─▶ sg-a.out, sg-b.out ── allowed ▶ arrival ─▶ ingress ─ 172.31.0.9 ▶ in.sg-c ─▶ sg-c.in ── allowed ▶ accept
//!                        (a list of groups)  (a group's rules)                                              │ none allows
//!                           │ none allows                                                                   ▼
//!                           ▼ drop                                                                          drop
//!  sg-a, sg-b, sg-c: the addresses that have the group, which rules of others name
//! ```
//! Invariants
//! - An address in the maps leads to a list of groups that ends with a drop: what is not allowed never passes.
//! - Each change is a text that may be put behind others into one batch. It names nothing that is not there by then.
//! - Groups that are not known allow nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use model::firewall::{Firewall, Group, LoadBalancerAddress, Peer, Rule, SubnetNetwork, VpcNetwork};
use model::network::EndpointId;
use model::security_group::{IcmpKind, Ports, Traffic};

use super::netlink::Mac;

/// One that holds an address on the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub address: Ipv4Addr,
    pub access: Access,
    /// Where its packets come from, and from nowhere else; `None`: from the machine itself.
    pub origin: Option<Origin>,
}

/// Who judges what passes to and from a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The rules of the machine alone: a container in bridge mode.
    Machine,
    /// Nobody: a load balancer without security groups.
    Open,
    Groups(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub endpoint: EndpointId,
    /// The host's end.
    pub link: String,
    pub mac: Mac,
}

/// What one network is told of the firewall.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub groups: Vec<Group>,
    pub load_balancers: Vec<LoadBalancerAddress>,
    /// Of a VPC of the caller's own: what leaves one of its subnets is led by that alone.
    pub subnets: Vec<SubnetNetwork>,
}

impl From<&Firewall> for Rules {
    /// Of the built-in VPC.
    fn from(told: &Firewall) -> Self {
        Self { groups: told.groups.clone(), load_balancers: told.load_balancers.clone(), subnets: Vec::new() }
    }
}

impl From<&VpcNetwork> for Rules {
    fn from(told: &VpcNetwork) -> Self {
        Self { groups: told.groups.clone(), load_balancers: Vec::new(), subnets: told.subnets.clone() }
    }
}

#[derive(Clone, Debug)]
pub enum Change {
    Protect(Rules),
    Admit(Member),
    /// Everything of this task.
    Expel(model::TaskId),
}

#[derive(Clone, Debug)]
pub struct Wall {
    tag: String,
    rules: Rules,
    members: BTreeMap<Ipv4Addr, Member>,
    /// The groups that have chains and a set.
    groups: BTreeSet<String>,
    /// The lists of groups that somebody has: they have chains.
    lists: BTreeSet<Vec<String>>,
}

impl Wall {
    /// Before anything is known, nothing is allowed.
    pub fn new(tag: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            rules: Rules::default(),
            members: BTreeMap::new(),
            groups: BTreeSet::new(),
            lists: BTreeSet::new(),
        }
    }

    /// Takes over the change and answers its text; nothing when all is so already.
    pub fn change(&mut self, change: Change) -> String {
        let mut text = Text::new(&self.tag);
        match change {
            Change::Protect(rules) => self.protect(rules, &mut text),
            Change::Admit(member) => self.admit(member, &mut text),
            Change::Expel(task) => {
                let is_of = |member: &&Member| member.origin.as_ref().is_some_and(|o| o.endpoint.task == task);
                let gone: Vec<Ipv4Addr> = self.members.values().filter(is_of).map(|member| member.address).collect();
                gone.into_iter().for_each(|address| self.expel(address, &mut text));
            }
        }
        text.script
    }

    fn protect(&mut self, rules: Rules, text: &mut Text) {
        let before = std::mem::replace(&mut self.rules, rules);
        if before.subnets != self.rules.subnets {
            text.ways(&self.rules.subnets);
        }
        let told: BTreeMap<String, Group> =
            self.rules.groups.iter().map(|group| (group.id.clone(), group.clone())).collect();
        let old: BTreeMap<String, Group> = before.groups.into_iter().map(|group| (group.id.clone(), group)).collect();
        let gone: Vec<&String> = old.keys().filter(|id| !told.contains_key(*id)).collect();
        let made: BTreeSet<String> = told.keys().filter(|id| self.groups.insert((*id).clone())).cloned().collect();
        made.iter().for_each(|id| text.define_group(id));
        // Whom a rule names may have come or gone meanwhile.
        let names_other = |rule: &Rule| match &rule.peer {
            Peer::Group(id) => told.contains_key(id) != old.contains_key(id),
            Peer::Networks(_) => false,
        };
        let is_changed = |group: &Group| {
            let is_same = old.get(&group.id) == Some(group);
            !is_same || group.ingress.iter().chain(&group.egress).any(names_other)
        };
        for group in told.values().filter(|group| is_changed(group)) {
            text.rules(group, made.contains(&group.id), |id| told.contains_key(id));
        }
        // Whoever still has one is shut.
        gone.iter().for_each(|id| text.flush_group(id));
        self.hold_load_balancers(text);
        gone.iter().for_each(|id| self.drop_group(id, text));
    }

    /// The addresses of load balancers are exactly those that were told.
    fn hold_load_balancers(&mut self, text: &mut Text) {
        let wanted: Vec<Member> = self.rules.load_balancers.iter().map(load_balancer).collect();
        let is_gone =
            |member: &&Member| member.origin.is_none() && !wanted.iter().any(|wanted| wanted.address == member.address);
        let gone: Vec<Ipv4Addr> = self.members.values().filter(is_gone).map(|member| member.address).collect();
        gone.into_iter().for_each(|address| self.expel(address, text));
        wanted.into_iter().for_each(|member| self.admit(member, text));
    }

    /// A list that nobody has any more, and those of its groups that were not told.
    fn drop_list(&mut self, list: &Vec<String>, text: &mut Text) {
        let has_it = |member: &Member| matches!(&member.access, Access::Groups(groups) if groups == list);
        if self.members.values().any(has_it) || !self.lists.remove(list) {
            return;
        }
        text.drop_list(list);
        list.iter().for_each(|id| self.drop_group(id, text));
    }

    /// A group that was not told and that no list needs.
    fn drop_group(&mut self, id: &String, text: &mut Text) {
        let is_told = self.rules.groups.iter().any(|group| group.id == *id);
        let is_needed = self.lists.iter().flatten().any(|used| used == id);
        if !is_told && !is_needed && self.groups.remove(id) {
            text.drop_group(id);
        }
    }

    fn admit(&mut self, member: Member, text: &mut Text) {
        if self.members.get(&member.address) == Some(&member) {
            return;
        }
        self.expel(member.address, text);
        if let Access::Groups(groups) = &member.access {
            for id in groups {
                if self.groups.insert(id.clone()) {
                    text.define_group(id);
                }
            }
            if self.lists.insert(groups.clone()) {
                text.define_list(groups);
            }
        }
        text.member("add", &member);
        self.members.insert(member.address, member);
    }

    fn expel(&mut self, address: Ipv4Addr, text: &mut Text) {
        let Some(member) = self.members.remove(&address) else { return };
        text.member("delete", &member);
        if let Access::Groups(groups) = &member.access {
            self.drop_list(groups, text);
        }
    }
}

fn load_balancer(held: &model::firewall::LoadBalancerAddress) -> Member {
    let access = if held.groups.is_empty() { Access::Open } else { Access::Groups(held.groups.clone()) };
    Member { address: held.address, access, origin: None }
}

/// Commands for `nft`, each on its line.
struct Text {
    tag: String,
    script: String,
}

const DIRECTIONS: [&str; 2] = ["in", "out"];

impl Text {
    fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned(), script: String::new() }
    }

    fn line(&mut self, command: &str, what: std::fmt::Arguments<'_>) {
        let (verb, object) = command.split_once(' ').expect("a verb and an object");
        writeln!(self.script, "{verb} {object} ip {} {what}", self.tag).expect("writing to a string");
    }

    fn define_group(&mut self, id: &str) {
        self.line("add set", format_args!("{id} {{ type ipv4_addr; }}"));
        DIRECTIONS.iter().for_each(|direction| self.line("add chain", format_args!("{id}.{direction}")));
    }

    fn flush_group(&mut self, id: &str) {
        DIRECTIONS.iter().for_each(|direction| self.line("flush chain", format_args!("{id}.{direction}")));
    }

    fn drop_group(&mut self, id: &str) {
        DIRECTIONS.iter().for_each(|direction| self.line("delete chain", format_args!("{id}.{direction}")));
        self.line("delete set", format_args!("{id}"));
    }

    /// Where packets may leave the VPC to, subnet by subnet.
    fn ways(&mut self, subnets: &[SubnetNetwork]) {
        self.line("flush chain", format_args!("leaving"));
        for SubnetNetwork { network, outside } in subnets {
            // Without overlaps, as sets of ranges have to be.
            let outside: Vec<String> = outside.iter().map(ToString::to_string).collect();
            if !outside.is_empty() {
                let outside = outside.join(", ");
                self.line("add rule", format_args!("leaving ip saddr {network} ip daddr {{ {outside} }} return"));
            }
        }
        self.line("add rule", format_args!("leaving drop"));
    }

    /// The group's rules in place of those that it had. A rule that names a group that is not there allows nothing.
    fn rules(&mut self, group: &Group, is_fresh: bool, is_known: impl Fn(&str) -> bool) {
        if !is_fresh {
            self.flush_group(&group.id);
        }
        let sides = [("in", "saddr", "accept", &group.ingress), ("out", "daddr", "goto arrival", &group.egress)];
        for (direction, side, verdict, rules) in sides {
            for rule in rules {
                let Some(peer) = peer_match(&rule.peer, side, &is_known) else { continue };
                let traffic = traffic_match(rule.traffic);
                self.line("add rule", format_args!("{}.{direction} {peer}{traffic}{verdict}", group.id));
            }
        }
    }

    fn define_list(&mut self, list: &[String]) {
        let name = name(list);
        for direction in DIRECTIONS {
            self.line("add chain", format_args!("{direction}.{name}"));
            for id in list {
                self.line("add rule", format_args!("{direction}.{name} jump {id}.{direction}"));
            }
            self.line("add rule", format_args!("{direction}.{name} drop"));
        }
    }

    fn drop_list(&mut self, list: &[String]) {
        let name = name(list);
        for direction in DIRECTIONS {
            self.line("flush chain", format_args!("{direction}.{name}"));
            self.line("delete chain", format_args!("{direction}.{name}"));
        }
    }

    fn member(&mut self, verb: &str, member: &Member) {
        let address = member.address;
        if let Some(origin) = &member.origin {
            let (tag, link, mac) = (&self.tag, &origin.link, show_mac(origin.mac));
            writeln!(self.script, "{verb} element bridge {tag} ports {{ {link} }}").expect("writing to a string");
            writeln!(self.script, "{verb} element bridge {tag} sources {{ {link} . {mac} . {address} }}")
                .expect("writing to a string");
        }
        let (element, groups) = (format!("{verb} element"), member.access.groups());
        let (ingress, egress) = match &member.access {
            Access::Machine => return,
            Access::Open => ("accept".to_owned(), "goto arrival".to_owned()),
            Access::Groups(list) => (format!("goto in.{}", name(list)), format!("goto out.{}", name(list))),
        };
        self.line(&element, format_args!("ingress {{ {address} : {ingress} }}"));
        self.line(&element, format_args!("egress {{ {address} : {egress} }}"));
        groups.iter().for_each(|id| self.line(&element, format_args!("{id} {{ {address} }}")));
    }
}

impl Access {
    fn groups(&self) -> &[String] {
        match self {
            Self::Machine | Self::Open => &[],
            Self::Groups(list) => list,
        }
    }
}

/// Of the chains of a list of groups.
fn name(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(".") }
}

/// The part of a rule that chooses the other side; `None`: there is no such side.
fn peer_match(peer: &Peer, side: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let nets = match peer {
        Peer::Group(id) => return is_known(id).then(|| format!("ip {side} @{id} ")),
        // Without overlaps, which a set of ranges refuses.
        Peer::Networks(nets) => Ipv4Net::aggregate(nets),
    };
    match nets.as_slice() {
        [] => None,
        [net] if net.prefix_len() == 0 => Some(String::new()),
        nets => {
            let nets = nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Some(format!("ip {side} {{ {nets} }} "))
        }
    }
}

fn traffic_match(traffic: Traffic) -> String {
    match traffic {
        Traffic::All => String::new(),
        Traffic::Tcp(ports) => format!("tcp dport {} ", port_range(ports)),
        Traffic::Udp(ports) => format!("udp dport {} ", port_range(ports)),
        Traffic::Icmp(IcmpKind::Any) => "meta l4proto icmp ".to_owned(),
        Traffic::Icmp(IcmpKind::Type(kind)) => format!("icmp type {kind} "),
        Traffic::Icmp(IcmpKind::TypeAndCode(kind, code)) => format!("icmp type {kind} icmp code {code} "),
        Traffic::Protocol(number) => format!("meta l4proto {number} "),
    }
}

fn port_range(ports: Ports) -> String {
    match ports {
        Ports { from, to } if from == to => from.to_string(),
        Ports { from, to } => format!("{from}-{to}"),
    }
}

pub fn show_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use model::TaskId;

    use super::*;

    fn group(id: &str, ingress: &[Rule]) -> Group {
        let out = Rule { traffic: Traffic::All, peer: Peer::Networks(vec![Ipv4Net::default()]) };
        Group { id: id.to_owned(), ingress: ingress.to_vec(), egress: vec![out] }
    }

    fn web_from(peer: Peer) -> Rule {
        Rule { traffic: Traffic::Tcp(Ports { from: 80, to: 80 }), peer }
    }

    fn firewall(groups: Vec<Group>) -> Change {
        Change::Protect(Rules { groups, ..Rules::default() })
    }

    fn task(number: u8, groups: &[&str]) -> Member {
        Member {
            address: Ipv4Addr::new(172, 31, 0, number),
            access: Access::Groups(groups.iter().map(|&id| id.to_owned()).collect()),
            origin: Some(Origin {
                endpoint: EndpointId { task: TaskId(number.into()), container: None },
                link: format!("gt{number}"),
                mac: [2, 0, 0, 0, 0, number],
            }),
        }
    }

    #[track_caller]
    fn check(wall: &mut Wall, change: Change, expected: &[&str]) {
        let script = wall.change(change);
        assert_eq!(script.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_group_is_made_with_its_rules_and_only_what_changes_is_told_again() {
        let mut wall = Wall::new("t0");
        let from_itself = web_from(Peer::Group("sg-a".to_owned()));
        let change = firewall(vec![group("sg-a", std::slice::from_ref(&from_itself)), group("sg-b", &[])]);
        check(
            &mut wall,
            change.clone(),
            &[
                "add set ip t0 sg-a { type ipv4_addr; }",
                "add chain ip t0 sg-a.in",
                "add chain ip t0 sg-a.out",
                "add set ip t0 sg-b { type ipv4_addr; }",
                "add chain ip t0 sg-b.in",
                "add chain ip t0 sg-b.out",
                "add rule ip t0 sg-a.in ip saddr @sg-a tcp dport 80 accept",
                "add rule ip t0 sg-a.out goto arrival",
                "add rule ip t0 sg-b.out goto arrival",
            ],
        );
        check(&mut wall, change, &[]);
        let nets = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"].map(|net| net.parse().unwrap());
        check(
            &mut wall,
            firewall(vec![group("sg-a", &[from_itself]), group("sg-b", &[web_from(Peer::Networks(nets.to_vec()))])]),
            &[
                "flush chain ip t0 sg-b.in",
                "flush chain ip t0 sg-b.out",
                "add rule ip t0 sg-b.in ip saddr { 10.0.0.0/8, 192.0.2.0/24 } tcp dport 80 accept",
                "add rule ip t0 sg-b.out goto arrival",
            ],
        );
    }

    #[test]
    fn a_member_is_led_to_its_groups_and_leaves_nothing() {
        let mut wall = Wall::new("t0");
        wall.change(firewall(vec![group("sg-a", &[]), group("sg-b", &[])]));
        check(
            &mut wall,
            Change::Admit(task(5, &["sg-a", "sg-b"])),
            &[
                "add chain ip t0 in.sg-a.sg-b",
                "add rule ip t0 in.sg-a.sg-b jump sg-a.in",
                "add rule ip t0 in.sg-a.sg-b jump sg-b.in",
                "add rule ip t0 in.sg-a.sg-b drop",
                "add chain ip t0 out.sg-a.sg-b",
                "add rule ip t0 out.sg-a.sg-b jump sg-a.out",
                "add rule ip t0 out.sg-a.sg-b jump sg-b.out",
                "add rule ip t0 out.sg-a.sg-b drop",
                "add element bridge t0 ports { gt5 }",
                "add element bridge t0 sources { gt5 . 02:00:00:00:00:05 . 172.31.0.5 }",
                "add element ip t0 ingress { 172.31.0.5 : goto in.sg-a.sg-b }",
                "add element ip t0 egress { 172.31.0.5 : goto out.sg-a.sg-b }",
                "add element ip t0 sg-a { 172.31.0.5 }",
                "add element ip t0 sg-b { 172.31.0.5 }",
            ],
        );
        check(&mut wall, Change::Admit(task(5, &["sg-a", "sg-b"])), &[]);
        check(
            &mut wall,
            Change::Expel(TaskId(5)),
            &[
                "delete element bridge t0 ports { gt5 }",
                "delete element bridge t0 sources { gt5 . 02:00:00:00:00:05 . 172.31.0.5 }",
                "delete element ip t0 ingress { 172.31.0.5 : goto in.sg-a.sg-b }",
                "delete element ip t0 egress { 172.31.0.5 : goto out.sg-a.sg-b }",
                "delete element ip t0 sg-a { 172.31.0.5 }",
                "delete element ip t0 sg-b { 172.31.0.5 }",
                "flush chain ip t0 in.sg-a.sg-b",
                "delete chain ip t0 in.sg-a.sg-b",
                "flush chain ip t0 out.sg-a.sg-b",
                "delete chain ip t0 out.sg-a.sg-b",
            ],
        );
        check(&mut wall, Change::Expel(TaskId(5)), &[]);
    }

    #[test]
    fn a_group_that_was_not_told_allows_nothing_and_goes_with_the_last_that_has_it() {
        let mut wall = Wall::new("t0");
        wall.change(Change::Admit(task(5, &["sg-x"])));
        let names_it = group("sg-a", &[web_from(Peer::Group("sg-x".to_owned()))]);
        let script = wall.change(firewall(vec![names_it.clone()]));
        assert!(!script.contains("sg-x"), "{script}");
        let last = wall.change(Change::Expel(TaskId(5)));
        let lines: Vec<&str> = last.lines().rev().take(4).collect();
        assert_eq!(
            lines,
            [
                "delete set ip t0 sg-x",
                "delete chain ip t0 sg-x.out",
                "delete chain ip t0 sg-x.in",
                "delete chain ip t0 out.sg-x",
            ]
        );
    }

    #[test]
    fn the_addresses_of_load_balancers_are_those_told_last() {
        let mut wall = Wall::new("t0");
        let address = Ipv4Addr::new(172, 31, 0, 9);
        let told = |groups: &[&str]| {
            let groups = groups.iter().map(|&id| id.to_owned()).collect();
            let load_balancers = vec![LoadBalancerAddress { address, groups }];
            let groups = vec![group("sg-a", &[]), group("sg-b", &[])];
            Change::Protect(Rules { groups, load_balancers, ..Rules::default() })
        };
        assert!(wall.change(told(&["sg-a"])).contains("add element ip t0 ingress { 172.31.0.9 : goto in.sg-a }"));
        let other = wall.change(told(&["sg-b"]));
        assert!(other.contains("delete element ip t0 ingress { 172.31.0.9 : goto in.sg-a }"), "{other}");
        assert!(other.contains("add element ip t0 ingress { 172.31.0.9 : goto in.sg-b }"), "{other}");
        assert!(other.contains("delete chain ip t0 in.sg-a"), "{other}");
        let open = wall.change(told(&[]));
        assert!(open.contains("add element ip t0 ingress { 172.31.0.9 : accept }"), "{open}");
        let shut = wall.change(told(&["sg-b"]));
        assert!(shut.contains("delete element ip t0 ingress { 172.31.0.9 : accept }"), "{shut}");
        let gone = wall.change(firewall(vec![]));
        assert!(gone.contains("delete element ip t0 sg-b { 172.31.0.9 }"), "{gone}");
    }

    #[test]
    fn traffic_is_matched() {
        let check = |traffic, expected: &str| assert_eq!(traffic_match(traffic), expected);
        check(Traffic::All, "");
        check(Traffic::Tcp(Ports { from: 80, to: 90 }), "tcp dport 80-90 ");
        check(Traffic::Udp(Ports { from: 53, to: 53 }), "udp dport 53 ");
        check(Traffic::Icmp(IcmpKind::Any), "meta l4proto icmp ");
        check(Traffic::Icmp(IcmpKind::Type(8)), "icmp type 8 ");
        check(Traffic::Icmp(IcmpKind::TypeAndCode(3, 4)), "icmp type 3 icmp code 4 ");
        check(Traffic::Protocol(50), "meta l4proto 50 ");
    }

    #[test]
    fn where_subnets_lead_is_told_when_it_changes() {
        let mut wall = Wall::new("t0");
        let told = |outside: &[&str]| {
            let outside = outside.iter().map(|net| net.parse().unwrap()).collect();
            let subnet = SubnetNetwork { network: "10.0.1.0/24".parse().unwrap(), outside };
            Change::Protect(Rules { subnets: vec![subnet], ..Rules::default() })
        };
        let open = told(&["0.0.0.0/5", "11.0.0.0/8"]);
        let way = "add rule ip t0 leaving ip saddr 10.0.1.0/24 ip daddr { 0.0.0.0/5, 11.0.0.0/8 } return";
        check(&mut wall, open.clone(), &["flush chain ip t0 leaving", way, "add rule ip t0 leaving drop"]);
        check(&mut wall, open, &[]);
        check(&mut wall, told(&[]), &["flush chain ip t0 leaving", "add rule ip t0 leaving drop"]);
    }
}
