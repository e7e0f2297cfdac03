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
use super::leaf::{Entry, Key, Leaf, LeafId, Path, Rank};
use super::pool::{Cause, Change, Pool, Slot};
use super::refusal::{admits, has_room, refusal};
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
    /// Of `group`.
    digest: u64,
    /// A constraint looks at the tasks of a node, other groups' too.
    pub(super) reads_tasks: bool,
    /// No two tasks of the group on one node.
    pub(super) distinct: bool,
    /// A strategy looks at what a node has free.
    ranks_by_free: bool,
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
        let strategies = request.strategies[..deciding].to_vec();
        let by_free = |strategy: &Strategy| matches!(strategy, Strategy::BinpackCpu | Strategy::BinpackMemory);
        Self {
            digest: digest([request.group.as_str()].into_iter()),
            reads_tasks: request.constraints.iter().any(Constraint::reads_tasks),
            distinct: request.constraints.contains(&Constraint::DistinctInstance),
            ranks_by_free: strategies.iter().any(by_free),
            target: request.target.clone(),
            reservation: request.reservation.clone(),
            required_attributes: request.required_attributes.clone(),
            group: request.group.clone(),
            constraints: request.constraints.clone(),
            strategies,
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

    /// The node's values of the spread attributes.
    fn values<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = Option<&'a str>> {
        self.spread_attributes().map(|(_, name)| {
            let attribute = node.attributes.iter().find(|attribute| attribute.name == name)?;
            Some(attribute.value.as_deref().unwrap_or_default())
        })
    }
}

pub(super) struct Queue {
    shape: Shape,
    /// Changes of the pool that are taken in; `None` before the first.
    seen: Option<u64>,
    /// By slot.
    entries: Vec<Option<Entry>>,
    leaves: Vec<Leaf>,
    /// Of `leaves`: those without a node, for paths to come.
    vacant: Vec<LeafId>,
    by_path: BTreeMap<Path, LeafId>,
    /// Those that have a node to offer.
    order: BTreeSet<(Rank, Path)>,
    /// Tasks of the group on all nodes of a path's prefix, whether they fit or not.
    counts: BTreeMap<Path, u32>,
}

impl Queue {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            seen: None,
            entries: Vec::new(),
            leaves: Vec::new(),
            vacant: Vec::new(),
            by_path: BTreeMap::new(),
            order: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Takes in what changed in the pool.
    pub(super) fn catch_up(&mut self, pool: &Pool) {
        match self.seen.and_then(|seen| pool.changes_since(seen)) {
            Some(changes) => changes.for_each(|change| self.take_in(change, pool)),
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
        let from = ((*best, choices.next()), Path::default());
        let after = self.order.range(from..).next().filter(|((key, _), _)| key == best);
        let (_, path) = after.or(self.order.first())?;
        self.leaves[self.by_path[path] as usize].choose(choices.next())
    }

    /// Whether the node takes a task.
    pub(super) fn takes(&self, slot: Slot) -> bool {
        self.known(slot).is_some_and(|entry| entry.takes)
    }

    fn known(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot as usize).and_then(Option::as_ref)
    }

    fn take_in(&mut self, Change { slot, cause }: Change, pool: &Pool) {
        let Some(node) = pool.node(slot) else { return self.refresh(slot, None) };
        match cause {
            _ if self.shape.reads_tasks => self.refresh(slot, Some(node)),
            Cause::Node => self.refresh(slot, Some(node)),
            Cause::Tasks => self.recount(slot, node, self.shape.tasks(node)),
            Cause::Taken { group } if group == self.shape.digest => self.recount(slot, node, self.shape.tasks(node)),
            Cause::Taken { .. } => self.take_in_less_room(slot, node),
        }
    }

    /// For a node that got a task of another group. One that took no task takes none now.
    fn take_in_less_room(&mut self, slot: Slot, node: &Node) {
        if !self.shape.ranks_by_free && node.free.fits(&self.shape.reservation).is_ok() {
            return;
        }
        if let Some(Entry { takes: true, tasks, .. }) = self.known(slot).copied() {
            self.recount(slot, node, tasks);
        }
    }

    /// For a node that has other tasks than before, and is the same otherwise.
    fn recount(&mut self, slot: Slot, node: &Node, tasks: u32) {
        let Some(known) = self.known(slot).copied() else { return };
        let key = self.shape.key(node, tasks);
        let takes = known.admitted && has_room(&self.shape, node, tasks);
        if (known.tasks, known.takes) == (tasks, takes) && (!takes || known.key == key) {
            return;
        }
        if (known.tasks, known.takes) == (tasks, takes) && key < known.listed {
            self.entries[slot as usize] = Some(Entry { key, ..known });
            if self.leaves[known.leaf as usize].wait(slot, key, &self.entries) {
                self.reorder_leaf(known.leaf);
            }
            return;
        }
        self.replace(slot, Some(Entry { point: point(node, tasks), tasks, key, listed: key, takes, ..known }));
    }

    /// For a node of which nothing is known.
    fn refresh(&mut self, slot: Slot, node: Option<&Node>) {
        if slot as usize >= self.entries.len() {
            self.entries.resize_with(slot as usize + 1, || None);
        }
        let entry = node.filter(|node| self.shape.target.has(node)).map(|node| self.entry(node));
        self.replace(slot, entry);
    }

    fn entry(&mut self, node: &Node) -> Entry {
        let tasks = self.shape.tasks(node);
        let key = self.shape.key(node, tasks);
        let admitted = admits(&self.shape, node);
        let takes = admitted && has_room(&self.shape, node, tasks);
        debug_assert_eq!(takes, refusal(&self.shape, node).is_none(), "a node takes what nothing refuses");
        let leaf = self.leaf(self.shape.values(node).map(|value| value.map(str::to_owned)).collect());
        Entry { point: point(node, tasks), leaf, tasks, key, listed: key, takes, admitted }
    }

    /// That of the path, which may be new.
    fn leaf(&mut self, path: Path) -> LeafId {
        if let Some(leaf) = self.by_path.get(&path) {
            return *leaf;
        }
        let name = digest(path.iter().map(|value| value.as_deref().unwrap_or("\u{1}")));
        let new = Leaf::new(path.clone(), name);
        let leaf = match self.vacant.pop() {
            Some(leaf) => {
                self.leaves[leaf as usize] = new;
                leaf
            }
            None => {
                self.leaves.push(new);
                LeafId::try_from(self.leaves.len() - 1).expect("fewer leaves than 2^32")
            }
        };
        self.by_path.insert(path, leaf);
        leaf
    }

    fn replace(&mut self, slot: Slot, after: Option<Entry>) {
        let before = std::mem::replace(&mut self.entries[slot as usize], after);
        let counts = |entry: Option<Entry>| entry.map(|entry| (entry.leaf, entry.tasks));
        let counted = counts(before) != counts(after);
        if let Some(entry) = before {
            self.unlist(slot, &entry, counted);
        }
        if let Some(entry) = after {
            self.list(slot, &entry, counted);
        }
        let left = before.filter(|old| after.is_none_or(|new| new.leaf != old.leaf));
        for entry in left.into_iter().chain(after) {
            self.reorder(entry.leaf, counted);
        }
        if let Some(entry) = left {
            self.vacate(entry.leaf);
        }
    }

    fn list(&mut self, slot: Slot, entry: &Entry, counted: bool) {
        let leaf = &mut self.leaves[entry.leaf as usize];
        leaf.members += 1;
        leaf.list(slot, entry);
        let prefixes = if counted && entry.tasks > 0 { leaf.path.len() } else { 0 };
        for length in 1..=prefixes {
            *self.counts.entry(leaf.path[..length].into()).or_default() += entry.tasks;
        }
    }

    fn unlist(&mut self, slot: Slot, entry: &Entry, counted: bool) {
        let leaf = &mut self.leaves[entry.leaf as usize];
        leaf.members -= 1;
        leaf.unlist(slot, entry);
        let prefixes = if counted && entry.tasks > 0 { leaf.path.len() } else { 0 };
        for length in 1..=prefixes {
            let Some(count) = self.counts.get_mut(&leaf.path[..length]) else { continue };
            *count -= entry.tasks;
            if *count == 0 {
                self.counts.remove(&leaf.path[..length]);
            }
        }
    }

    fn vacate(&mut self, leaf: LeafId) {
        if self.leaves[leaf as usize].members == 0 {
            self.by_path.remove(&self.leaves[leaf as usize].path);
            self.vacant.push(leaf);
        }
    }

    /// Puts a leaf where it belongs now and, when its counts changed, those that share its first attribute.
    fn reorder(&mut self, leaf: LeafId, counted: bool) {
        let path = &self.leaves[leaf as usize].path;
        if !counted || path.len() < 2 {
            return self.reorder_leaf(leaf);
        }
        let shares = |other: &(&Path, &LeafId)| other.0.first() == path.first();
        let near = self.by_path.range(Path::from(&path[..1])..).take_while(shares);
        let near: Vec<LeafId> = near.map(|(_, leaf)| *leaf).collect();
        for other in near {
            self.reorder_leaf(other);
        }
    }

    fn reorder_leaf(&mut self, leaf: LeafId) {
        let leaf = &mut self.leaves[leaf as usize];
        leaf.settle(&mut self.entries);
        let rank = leaf.best().map(|key| leaf_rank(&self.shape, &self.counts, key, leaf));
        if rank == leaf.rank {
            return;
        }
        if let Some(old) = leaf.rank {
            self.order.remove(&(old, leaf.path.clone()));
        }
        leaf.rank = rank;
        if let Some(rank) = rank {
            self.order.insert((rank, leaf.path.clone()));
        }
    }
}

fn leaf_rank(shape: &Shape, counts: &BTreeMap<Path, u32>, mut key: Key, leaf: &Leaf) -> Rank {
    let mut total = 0;
    for (length, (position, _)) in shape.spread_attributes().enumerate() {
        total = counts.get(&leaf.path[..=length]).copied().unwrap_or(0);
        key[position] = total;
    }
    (key, mix(leaf.digest ^ u64::from(total)))
}

/// A node's on the ring of its equals.
fn point(node: &Node, tasks: u32) -> u64 {
    let id = node.id.0 as u64 ^ (node.id.0 >> 64) as u64;
    mix(id ^ mix(u64::from(tasks)))
}
