//! What is served, kept in step with the newest snapshot. What the snapshot leaves as it was keeps its connections, its
//! health and its place in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::edge::{
    Action, ListenerProtocol, ListenerSpec, LoadBalancerAttributes, LoadBalancerSpec, Snapshot, TargetGroupSpec,
    TargetSpec,
};
use tokio::task::{AbortHandle, JoinSet};

use crate::cookie::CookieKey;
use crate::dial::Source;
use crate::edge::Shared;
use crate::facts::{Facts, TargetName};
use crate::front::{Door, Doors};
use crate::group::Group;
use crate::listener::{Listener, Served};
use crate::target::Target;
use crate::watch::{self, Role, Watch};

pub struct Table {
    key: CookieKey,
    workers: usize,
    shared: Arc<Shared>,
    doors: Doors,
    groups: BTreeMap<String, GroupEntry>,
    listeners: BTreeMap<String, ListenerEntry>,
    watches: JoinSet<()>,
}

struct GroupEntry {
    group: Arc<Group>,
    /// Without targets.
    spec: Arc<TargetGroupSpec>,
    targets: BTreeMap<SocketAddr, TargetEntry>,
}

struct TargetEntry {
    target: Arc<Target>,
    role: Role,
    watch: AbortHandle,
}

struct ListenerEntry {
    listener: Arc<Listener>,
    spec: ListenerSpec,
    attributes: LoadBalancerAttributes,
    zones: BTreeMap<Ipv4Addr, String>,
    /// What is open.
    doors: BTreeMap<Door, AbortHandle>,
}

impl Table {
    pub fn new(key: CookieKey, workers: usize, shared: Arc<Shared>, doors: Doors) -> Self {
        Self {
            key,
            workers,
            shared,
            doors,
            groups: BTreeMap::new(),
            listeners: BTreeMap::new(),
            watches: JoinSet::new(),
        }
    }

    /// Targets come before the listeners that lead to them, and are cut off after.
    pub fn apply(&mut self, snapshot: Snapshot) {
        let in_use = groups_in_use(&snapshot);
        let wanted: BTreeSet<String> = snapshot.target_groups.iter().map(|group| group.arn.clone()).collect();
        let known: BTreeSet<String> = self.groups.keys().cloned().collect();
        for spec in snapshot.target_groups {
            self.put_group(spec, &in_use);
        }
        let gone: Vec<GroupEntry> = known.difference(&wanted).filter_map(|arn| self.groups.remove(arn)).collect();
        self.put_listeners(&snapshot.load_balancers, wanted != known);
        for entry in gone {
            entry.targets.into_values().for_each(TargetEntry::end);
        }
        self.name(&snapshot.load_balancers);
        while self.watches.try_join_next().is_some() {}
    }

    pub fn has_target(&self, (group, address): &TargetName) -> bool {
        self.groups.get(group).is_some_and(|entry| entry.targets.contains_key(address))
    }

    fn put_group(&mut self, mut spec: TargetGroupSpec, in_use: &InUse) {
        let targets = std::mem::take(&mut spec.targets);
        let source = in_use.get(&spec.arn).copied();
        let spec = Arc::new(spec);
        let entry = self.groups.entry(spec.arn.clone()).or_insert_with(|| GroupEntry {
            group: Group::new(spec.arn.clone(), spec.clone(), from(source)),
            spec: spec.clone(),
            targets: BTreeMap::new(),
        });
        if entry.spec.health_check != spec.health_check {
            entry.group.check_changed.notify_waiters();
        }
        entry.spec = spec.clone();
        let mut before = std::mem::take(&mut entry.targets);
        for TargetSpec { address, zone, draining_since } in targets {
            let role = role(source.is_some(), draining_since);
            let put = match before.remove(&address) {
                Some(same) if same.role == role => same,
                found => {
                    let target = found.map(TargetEntry::release).unwrap_or_else(|| {
                        Target::new(address, zone, self.key.tag_of_target(&spec.arn, address), self.workers)
                    });
                    TargetEntry::start(target, role, &entry.group, &self.shared.facts, &mut self.watches)
                }
            };
            entry.targets.insert(address, put);
        }
        entry.group.set(spec, from(source), entry.targets.values().map(|entry| entry.target.clone()).collect());
        let cuts = watch::cuts_deregistered(&entry.spec);
        before.into_values().for_each(|gone| if cuts { gone.end() } else { drop(gone.release()) });
    }

    fn put_listeners(&mut self, load_balancers: &[LoadBalancerSpec], groups_changed: bool) {
        let groups = self.groups.iter().map(|(arn, entry)| (arn.clone(), entry.group.clone())).collect();
        let wanted: BTreeSet<&str> = listeners(load_balancers).map(|(_, listener)| listener.arn.as_str()).collect();
        self.listeners.retain(|arn, entry| {
            let stays = wanted.contains(arn.as_str());
            if !stays {
                entry.end();
            }
            stays
        });
        for (load_balancer, spec) in listeners(load_balancers) {
            let is_same = self.listeners.get(&spec.arn).is_some_and(|entry| {
                let LoadBalancerSpec { attributes, zones, .. } = load_balancer;
                entry.spec == *spec && entry.attributes == *attributes && entry.zones == *zones && !groups_changed
            });
            if !is_same {
                self.put_listener(spec, load_balancer, &groups);
            }
            self.put_doors(load_balancer, spec);
        }
    }

    fn put_listener(
        &mut self,
        spec: &ListenerSpec,
        load_balancer: &LoadBalancerSpec,
        groups: &BTreeMap<String, Arc<Group>>,
    ) {
        let LoadBalancerSpec { attributes, zones, .. } = load_balancer;
        let before = self.listeners.get(&spec.arn).map(|entry| entry.listener.served());
        let served = Served::new(spec, load_balancer, groups, &self.key, before.as_deref());
        match self.listeners.get_mut(&spec.arn) {
            Some(entry) => {
                entry.listener.set(served);
                entry.spec = spec.clone();
                entry.attributes = attributes.clone();
                entry.zones = zones.clone();
            }
            None => {
                let entry = ListenerEntry {
                    listener: Listener::new(served),
                    spec: spec.clone(),
                    attributes: attributes.clone(),
                    zones: zones.clone(),
                    doors: BTreeMap::new(),
                };
                self.listeners.insert(spec.arn.clone(), entry);
            }
        }
    }

    fn put_doors(&mut self, load_balancer: &LoadBalancerSpec, spec: &ListenerSpec) {
        let Some(entry) = self.listeners.get_mut(&spec.arn) else { return };
        let addresses = load_balancer.addresses.iter().map(|ip| SocketAddr::from((*ip, spec.port)));
        let doors = addresses.flat_map(|address| {
            let kinds = [
                (spec.protocol.has_connections(), Door::Connections(address)),
                (spec.protocol.has_datagrams(), Door::Datagrams(address)),
            ];
            kinds.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, door)| door)
        });
        let wanted: BTreeSet<Door> = doors.collect();
        entry.doors.retain(|door, opened| {
            let stays = wanted.contains(door);
            if !stays {
                opened.abort();
            }
            stays
        });
        for door in wanted {
            let open = || self.doors.open(spec.arn.clone(), door, entry.listener.clone());
            entry.doors.entry(door).or_insert_with(open);
        }
    }

    /// For requests that come by name, over another server's connection, which is not secured.
    fn name(&self, load_balancers: &[LoadBalancerSpec]) {
        let plain = listeners(load_balancers).filter(|(_, spec)| spec.protocol == ListenerProtocol::Http);
        let named = plain.filter_map(|(load_balancer, spec)| {
            let entry = self.listeners.get(&spec.arn)?;
            Some(((load_balancer.dns_name.to_ascii_lowercase(), spec.port), entry.listener.clone()))
        });
        self.shared.by_name.store(Arc::new(named.collect()));
    }
}

fn from(address: Option<Option<Ipv4Addr>>) -> Source {
    address.flatten().map_or(Source::Machine, Source::Address)
}

fn role(is_in_use: bool, draining_since: Option<model::Timestamp>) -> Role {
    match draining_since {
        Some(since) => Role::Draining { since },
        None if is_in_use => Role::Checked,
        None => Role::Unused,
    }
}

fn listeners(load_balancers: &[LoadBalancerSpec]) -> impl Iterator<Item = (&LoadBalancerSpec, &ListenerSpec)> {
    load_balancers
        .iter()
        .flat_map(|load_balancer| load_balancer.listeners.iter().map(move |spec| (load_balancer, spec)))
}

/// Groups that a rule leads to, by ARN, and the address of their load balancer that their targets see.
pub(crate) type InUse = BTreeMap<String, Option<Ipv4Addr>>;

pub(crate) fn groups_in_use(snapshot: &Snapshot) -> InUse {
    let mut in_use = InUse::new();
    for (load_balancer, listener) in listeners(&snapshot.load_balancers) {
        let forwards = listener.rules.iter().filter_map(|rule| match &rule.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::FixedResponse { .. } => None,
        });
        for (arn, _) in forwards.flat_map(|forward| &forward.groups) {
            in_use.insert(arn.clone(), load_balancer.addresses.first().copied());
        }
    }
    in_use
}

impl TargetEntry {
    fn start(
        target: Arc<Target>,
        role: Role,
        group: &Arc<Group>,
        facts: &Arc<Facts>,
        watches: &mut JoinSet<()>,
    ) -> Self {
        if !matches!(role, Role::Draining { .. }) {
            target.undrain();
        }
        let watch = Watch { group: group.clone(), target: target.clone(), facts: facts.clone() };
        Self { target, role, watch: watches.spawn(watch.play(role)) }
    }

    /// For another role.
    fn release(self) -> Arc<Target> {
        self.watch.abort();
        self.target
    }

    fn end(self) {
        self.watch.abort();
        self.target.cut();
    }
}

impl ListenerEntry {
    fn end(&self) {
        for door in self.doors.values() {
            door.abort();
        }
        self.listener.close();
    }
}
