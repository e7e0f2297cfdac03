//! The nodes that take a task of one shape, in order of preference.
//!
//! ```text
//! order: leaves by key ──► leaf: one per tuple of spread attribute values, its nodes by key ──► node
//! ```
//! Within a leaf all nodes have the same counts for the attributes that are spread over, so the best node of the best
//! leaf is the best of all. A node's change touches its own leaf, and those that share a counted prefix with it.

use std::collections::{BTreeMap, BTreeSet};

use model::{Attribute, Resources};

use super::choice::{Choices, digest, mix};
use super::pool::{Pool, Slot};
use super::refusal::refusal;
use super::{Constraint, Node, Request, STRATEGIES_MAX, Strategy, Subnet, Target};

/// What two requests must share to have the same order of preference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) target: Target,
    pub(super) reservation: Resources,
    pub(super) required_attributes: Vec<Attribute>,
    pub(super) group: String,
    pub(super) constraints: Vec<Constraint>,
    strategies: Vec<Strategy>,
    /// For container instances: the zones of the subnets, and whether an address is left in them. `None`: all zones.
    pub(super) zones: Option<BTreeMap<String, bool>>,
    /// There are subnets, and none has an address left.
    pub(super) exhausted: bool,
}

impl Shape {
    pub(super) fn of(request: &Request, subnets: &[Subnet]) -> Self {
        // What follows `random` can decide nothing more.
        let random = request.strategies.iter().position(|strategy| *strategy == Strategy::Random);
        let deciding = random.unwrap_or(request.strategies.len()).min(STRATEGIES_MAX);
        let mut zones = BTreeMap::new();
        for subnet in subnets {
            *zones.entry(subnet.zone.clone()).or_default() |= subnet.free > 0;
        }
        let exhausted = !subnets.is_empty() && subnets.iter().all(|subnet| subnet.free == 0);
        let zones = (!subnets.is_empty() && request.target != Target::Fargate).then_some(zones);
        Self {
            target: request.target.clone(),
            reservation: request.reservation.clone(),
            required_attributes: request.required_attributes.clone(),
            group: request.group.clone(),
            constraints: request.constraints.clone(),
            strategies: request.strategies[..deciding].to_vec(),
            zones,
            exhausted,
        }
    }

    fn spread_attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.strategies.iter().enumerate().filter_map(|(position, strategy)| match strategy {
            Strategy::SpreadAttribute(name) => Some((position, name.as_str())),
            _ => None,
        })
    }

    fn tasks(&self, node: &Node) -> u32 {
        node.task_groups.get(&self.group).copied().unwrap_or(0)
    }

    /// The part of the key that is the node's own; the positions of spread attributes stay zero.
    fn key(&self, node: &Node, tasks: u32) -> Key {
        let mut key = Key::default();
        for (position, strategy) in self.strategies.iter().enumerate() {
            key[position] = match strategy {
                Strategy::SpreadInstances => tasks,
                Strategy::BinpackCpu => node.free.cpu.0,
                Strategy::BinpackMemory => node.free.memory.0,
                Strategy::SpreadAttribute(_) | Strategy::Random => 0,
            };
        }
        key
    }

    /// `None` when the node does not take a task.
    fn rank(&self, node: &Node, tasks: u32) -> Option<Rank> {
        if refusal(self, node).is_some() {
            return None;
        }
        // The point moves with every task of the group, so that no node stands behind a wide gap for long.
        let id = node.id.0 as u64 ^ (node.id.0 >> 64) as u64;
        Some((self.key(node, tasks), mix(id ^ mix(u64::from(tasks)))))
    }

    /// The node's values of the spread attributes.
    fn values<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = Option<&'a str>> {
        self.spread_attributes().map(|(_, name)| {
            let attribute = node.attributes.iter().find(|attribute| attribute.name == name)?;
            Some(attribute.value.as_deref().unwrap_or_default())
        })
    }
}

/// One number per strategy; smaller is better.
type Key = [u32; STRATEGIES_MAX];
/// Values of the spread attributes, in the order of the strategies.
type Path = Vec<Option<String>>;
/// A key, and a place on the ring of equals.
type Rank = (Key, u64);

#[derive(Default)]
struct Leaf {
    nodes: BTreeSet<(Rank, Slot)>,
    /// As it stands in the order; `None` while it has no node.
    rank: Option<Rank>,
}

/// How a node was counted and listed last.
struct Entry {
    path: Path,
    tasks: u32,
    /// `None`: it does not take a task.
    rank: Option<Rank>,
}

pub(super) struct Queue {
    shape: Shape,
    /// Changes of the pool that are taken in; `None` before the first.
    seen: Option<u64>,
    /// By slot.
    entries: Vec<Option<Entry>>,
    leaves: BTreeMap<Path, Leaf>,
    order: BTreeSet<(Rank, Path)>,
    /// Tasks of the group on all nodes of a path's prefix, whether they fit or not.
    counts: BTreeMap<Path, u32>,
}

impl Queue {
    pub(super) fn new(shape: Shape) -> Self {
        let (leaves, counts) = Default::default();
        Self { shape, seen: None, entries: Vec::new(), leaves, order: BTreeSet::new(), counts }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Takes in what changed in the pool.
    pub(super) fn catch_up(&mut self, pool: &Pool) {
        match self.seen.and_then(|seen| pool.changes_since(seen)) {
            Some(changes) => {
                for slot in changes {
                    self.refresh(slot, pool.node(slot));
                }
            }
            None => {
                *self = Self::new(self.shape.clone());
                let members: Vec<_> = pool.members(&self.shape.target).collect();
                for slot in members {
                    self.refresh(slot, pool.node(slot));
                }
            }
        }
        self.seen = Some(pool.changes());
    }

    /// The best node; among equals the first one after a random point of their ring.
    pub(super) fn choose(&self, choices: &mut Choices) -> Option<Slot> {
        let ((best, _), _) = self.order.first()?;
        let from = ((*best, choices.next()), Path::new());
        let after = self.order.range(from..).next().filter(|((key, _), _)| key == best);
        let (_, path) = after.or(self.order.first())?;

        let nodes = &self.leaves[path].nodes;
        let ((best, _), _) = nodes.first()?;
        let after = nodes.range(((*best, choices.next()), 0)..).next().filter(|((key, _), _)| key == best);
        after.or(nodes.first()).map(|(_, slot)| *slot)
    }

    /// Whether the node takes a task.
    pub(super) fn takes(&self, slot: Slot) -> bool {
        let entry = self.entries.get(slot as usize).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.rank.is_some())
    }

    fn refresh(&mut self, slot: Slot, node: Option<&Node>) {
        let index = slot as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        let node = node.filter(|node| self.shape.target.has(node));
        if let (Some(entry), Some(node)) = (&self.entries[index], node)
            && self.is_current(entry, node)
        {
            return;
        }
        let before = self.entries[index].take();
        let after = node.map(|node| self.entry(node));
        if let Some(entry) = &before {
            self.unlist(slot, entry);
        }
        if let Some(entry) = &after {
            self.list(slot, entry);
        }
        let moved = |a: &Entry, b: &Entry| a.path != b.path || a.tasks != b.tasks;
        let counted = !matches!((&before, &after), (Some(a), Some(b)) if !moved(a, b));
        let left = before.as_ref().filter(|old| after.as_ref().is_none_or(|new| new.path != old.path));
        for entry in left.into_iter().chain(&after) {
            self.reorder(&entry.path, counted);
        }
        self.entries[index] = after;
    }

    /// Most changes of a node are another group's tasks, which mean nothing here.
    fn is_current(&self, entry: &Entry, node: &Node) -> bool {
        let tasks = self.shape.tasks(node);
        entry.tasks == tasks
            && entry.rank == self.shape.rank(node, tasks)
            && self.shape.values(node).eq(entry.path.iter().map(Option::as_deref))
    }

    fn entry(&self, node: &Node) -> Entry {
        let tasks = self.shape.tasks(node);
        let path = self.shape.values(node).map(|value| value.map(str::to_owned)).collect();
        Entry { path, tasks, rank: self.shape.rank(node, tasks) }
    }

    fn list(&mut self, slot: Slot, entry: &Entry) {
        let counted = if entry.tasks > 0 { entry.path.len() } else { 0 };
        for length in 1..=counted {
            *self.counts.entry(entry.path[..length].to_vec()).or_default() += entry.tasks;
        }
        let Some(rank) = entry.rank else { return };
        self.leaves.entry(entry.path.clone()).or_default().nodes.insert((rank, slot));
    }

    fn unlist(&mut self, slot: Slot, entry: &Entry) {
        for length in 1..=entry.path.len() {
            let Some(count) = self.counts.get_mut(&entry.path[..length]) else { continue };
            *count -= entry.tasks;
            if *count == 0 {
                self.counts.remove(&entry.path[..length]);
            }
        }
        let Some(rank) = entry.rank else { return };
        if let Some(leaf) = self.leaves.get_mut(&entry.path) {
            leaf.nodes.remove(&(rank, slot));
        }
    }

    /// Puts a leaf where it belongs now and, when its counts changed, those that share its first attribute.
    fn reorder(&mut self, path: &Path, counted: bool) {
        if !counted || path.len() < 2 {
            return self.reorder_leaf(path);
        }
        let shares = |other: &&Path| other.first() == path.first();
        let near: Vec<Path> =
            self.leaves.range(path[..1].to_vec()..).map(|(other, _)| other).take_while(shares).cloned().collect();
        for other in &near {
            self.reorder_leaf(other);
        }
    }

    fn reorder_leaf(&mut self, path: &Path) {
        let Some(leaf) = self.leaves.get_mut(path) else { return };
        let rank = leaf.nodes.first().map(|((key, _), _)| leaf_rank(&self.shape, &self.counts, *key, path));
        if rank == leaf.rank {
            return;
        }
        if let Some(old) = leaf.rank {
            self.order.remove(&(old, path.clone()));
        }
        leaf.rank = rank;
        match rank {
            Some(rank) => {
                self.order.insert((rank, path.clone()));
            }
            None => {
                self.leaves.remove(path);
            }
        }
    }
}

fn leaf_rank(shape: &Shape, counts: &BTreeMap<Path, u32>, mut key: Key, path: &Path) -> Rank {
    let mut total = 0;
    for (length, (position, _)) in shape.spread_attributes().enumerate() {
        total = counts.get(&path[..=length]).copied().unwrap_or(0);
        key[position] = total;
    }
    let name = digest(path.iter().map(|value| value.as_deref().unwrap_or("\u{1}")));
    (key, mix(name ^ u64::from(total)))
}
