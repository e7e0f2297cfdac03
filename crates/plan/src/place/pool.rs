//! The nodes that tasks are placed on, kept from one request to the next.
//!
//! ```text
//! put, remove, take ──► slots, by target ──► changes (slots, in order) ──► queues catch up when next asked
//! ```
//! What a queue answers depends on the nodes and the request alone, never on what the pool was asked before: a queue
//! that was kept and one that is made anew agree (tests/place.rs holds it to that).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{InstanceStatus, NodeId, Resources};

use super::choice::{Choices, digest};
use super::queue::{Queue, Shape};
use super::refusal::{detail, refusal};
use super::{Assignment, Node, Placement, REFUSALS_MAX, Reason, Refusal, Request, Subnet, Surveyed, Target};

/// Kinds of request whose order of preference is kept; the one not asked for the longest makes room.
const QUEUES_MAX: usize = 32;
/// Changes that are remembered. A queue that has missed more is made anew.
const CHANGES_MAX: usize = 1 << 16;

pub(super) type Slot = u32;

/// A slot that is not what it was.
#[derive(Clone, Copy)]
pub(super) struct Change {
    pub(super) slot: Slot,
    pub(super) cause: Cause,
}

#[derive(Clone, Copy)]
pub(super) enum Cause {
    /// The node came, went, or became another.
    Node,
    /// Tasks came or went: what is free and the counts of groups may be any; all else is as it was.
    Tasks,
    /// One task was placed, of the group with this digest.
    Taken { group: u64 },
}

/// See the module's documentation.
#[derive(Default)]
pub struct Pool {
    slots: Vec<Option<Node>>,
    vacant: Vec<Slot>,
    by_id: BTreeMap<NodeId, Slot>,
    by_target: BTreeMap<Target, BTreeSet<Slot>>,
    changes: VecDeque<Change>,
    /// How many changes were forgotten.
    forgotten: u64,
    /// The one asked for last is at the end.
    queues: Vec<Queue>,
}

impl Pool {
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.by_id.get(&id).and_then(|slot| self.node(*slot))
    }

    /// Takes the node in, or its new state.
    pub fn put(&mut self, node: Node) {
        let slot = match self.by_id.get(&node.id) {
            Some(slot) => *slot,
            None => self.vacant.pop().unwrap_or_else(|| {
                self.slots.push(None);
                Slot::try_from(self.slots.len() - 1).expect("fewer nodes than 2^32")
            }),
        };
        self.by_id.insert(node.id, slot);
        if !self.slots[slot as usize].as_ref().is_some_and(|old| Target::are_alike(old, &node)) {
            self.unlist(slot);
            for target in Target::of(&node) {
                self.by_target.entry(target).or_default().insert(slot);
            }
        }
        self.slots[slot as usize] = Some(node);
        self.changed(slot, Cause::Node);
    }

    /// Takes in what the tasks of a node have become: what they leave free, how many are RUNNING, how many there are of
    /// each group. No effect when the node is not known.
    pub fn put_tasks(&mut self, id: NodeId, free: Resources, running: u32, groups: BTreeMap<String, u32>) {
        let Some(slot) = self.by_id.get(&id).copied() else { return };
        let node = self.slots[slot as usize].as_mut().expect("a known id has a node");
        (node.free, node.running_tasks, node.task_groups) = (free, running, groups);
        self.changed(slot, Cause::Tasks);
    }

    pub fn remove(&mut self, id: NodeId) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        self.unlist(slot);
        self.slots[slot as usize] = None;
        self.vacant.push(slot);
        self.changed(slot, Cause::Node);
    }

    /// Whether the target has a node that could ever take a task: for clusters, an ACTIVE container instance.
    pub fn has_candidates(&self, target: &Target) -> bool {
        let active = |slot| self.node(slot).is_some_and(|node| node.status == InstanceStatus::Active);
        match target {
            Target::Cluster(_) | Target::Provider { .. } => self.members(target).any(active),
            Target::Fargate => self.members(target).next().is_some(),
        }
    }

    /// Whether this node would take a task of the request, whatever the other nodes are.
    pub fn check(&self, id: NodeId, request: &Request) -> Result<(), Refusal> {
        let shape = Shape::of(request, &request.subnets);
        let Some(node) = self.get(id) else {
            let detail = "the node is not known".to_owned();
            return Err(Refusal { node: id, reason: Reason::Inactive, detail });
        };
        match refusal(&shape, node) {
            Some(reason) => Err(explained(reason, &shape, node)),
            None => Ok(()),
        }
    }

    /// Places one task of the request on this very node, whatever the strategies say.
    ///
    /// # Errors
    /// Why the node does not take it.
    pub fn place_on(&mut self, id: NodeId, request: &Request) -> Result<Assignment, Refusal> {
        self.check(id, request)?;
        let zone = self.get(id).expect("a node that takes a task is known").zone.clone();
        let subnet = choose_subnet(&request.subnets, &request.target, &zone, &mut Choices::new(request.seed));
        let gpus = self.take(self.by_id[&id], &request.reservation, &request.group);
        Ok(Assignment { node: id, subnet, gpus })
    }

    /// The zones in which the target has a node that takes tasks, whatever room it has. There are no more than `most`.
    pub fn zones(&self, target: &Target, most: usize) -> BTreeSet<String> {
        let is_open = |node: &&Node| node.status == InstanceStatus::Active && node.connected;
        let mut zones = BTreeSet::new();
        for node in self.members(target).filter_map(|slot| self.node(slot)).filter(is_open) {
            if !zones.contains(&node.zone) {
                zones.insert(node.zone.clone());
            }
            if zones.len() == most {
                break;
            }
        }
        zones
    }

    /// All nodes of the request's target, and which of them would take a task of it, by node id.
    pub fn survey(&mut self, request: &Request) -> Vec<Surveyed> {
        let queue = self.take_queue(&Shape::of(request, &request.subnets));
        let members = self.members(&request.target).filter_map(|slot| Some((slot, self.node(slot)?)));
        let surveyed = members.map(|(slot, node)| Surveyed {
            node: node.id,
            status: node.status,
            connected: node.connected,
            takes: queue.takes(slot),
        });
        let mut surveyed: Vec<Surveyed> = surveyed.collect();
        self.queues.push(queue);
        surveyed.sort_by_key(|surveyed| surveyed.node);
        surveyed
    }

    /// Holds the reservation on a node that it fits, and names the GPUs that the task gets.
    fn take(&mut self, slot: Slot, reservation: &Resources, group: &str) -> BTreeSet<String> {
        let node = self.slots[slot as usize].as_mut().expect("a task is placed on a node");
        let gpus: BTreeSet<_> = node.free.gpus.iter().take(reservation.gpu_count as usize).cloned().collect();
        node.free.take(&Resources { gpus: gpus.clone(), ..reservation.clone() });
        match node.task_groups.get_mut(group) {
            Some(tasks) => *tasks += 1,
            None => {
                node.task_groups.insert(group.to_owned(), 1);
            }
        }
        self.changed(slot, Cause::Taken { group: digest([group].into_iter()) });
        gpus
    }

    /// Finds a place for each task of the request and takes it.
    pub fn place(&mut self, request: &Request) -> Placement {
        let mut placement = Placement::default();
        if request.count == 0 {
            return placement;
        }
        let mut choices = Choices::new(request.seed);
        let mut subnets = request.subnets.clone();
        let mut shape = Shape::of(request, &subnets);
        let mut queue = self.take_queue(&shape);
        for _ in 0..request.count {
            let Some(slot) = queue.choose(&mut choices) else { break };
            let node = self.node(slot).expect("a queue holds no vacant slot");
            let id = node.id;
            let subnet = choose_subnet(&subnets, &request.target, &node.zone, &mut choices);
            let gpus = self.take(slot, &request.reservation, &request.group);
            placement.assigned.push(Assignment { node: id, subnet, gpus });
            queue.catch_up(self);
            if let Some(index) = subnet {
                subnets[index].tasks += 1;
                subnets[index].free -= 1;
                if subnets[index].free == 0 {
                    self.queues.push(queue);
                    shape = Shape::of(request, &subnets);
                    queue = self.take_queue(&shape);
                }
            }
        }
        self.queues.push(queue);
        placement.unplaced = request.count - placement.assigned.len() as u32;
        if placement.unplaced > 0 {
            placement.refused = self.refusals(&shape);
        }
        placement
    }

    fn refusals(&self, shape: &Shape) -> Vec<Refusal> {
        let mut nodes: Vec<_> = self.members(&shape.target).filter_map(|slot| self.node(slot)).collect();
        if shape.target != Target::Fargate {
            nodes.retain(|node| node.status == InstanceStatus::Active);
        }
        nodes.sort_by_key(|node| node.id);
        let refused = nodes.into_iter().filter_map(|node| Some(explained(refusal(shape, node)?, shape, node)));
        refused.take(REFUSALS_MAX).collect()
    }

    /// The queue for the shape, up to date, taken out of the pool: the caller puts it back at the end.
    fn take_queue(&mut self, shape: &Shape) -> Queue {
        let kept = self.queues.iter().rposition(|queue| queue.shape() == shape);
        let mut queue = match kept {
            Some(index) => self.queues.remove(index),
            None => {
                if self.queues.len() == QUEUES_MAX {
                    self.queues.remove(0);
                }
                Queue::new(shape.clone())
            }
        };
        queue.catch_up(self);
        queue
    }

    pub(super) fn node(&self, slot: Slot) -> Option<&Node> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    pub(super) fn members(&self, target: &Target) -> impl Iterator<Item = Slot> + '_ {
        self.by_target.get(target).into_iter().flatten().copied()
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> u64 {
        self.forgotten + self.changes.len() as u64
    }

    /// The slots that changed since there were `seen` changes; `None` when that is too long ago to tell.
    pub(super) fn changes_since(&self, seen: u64) -> Option<impl Iterator<Item = Change> + '_> {
        let skipped = usize::try_from(seen.checked_sub(self.forgotten)?).ok()?;
        Some(self.changes.range(skipped..).copied())
    }

    fn changed(&mut self, slot: Slot, cause: Cause) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.drain(..CHANGES_MAX / 2);
            self.forgotten += (CHANGES_MAX / 2) as u64;
        }
        self.changes.push_back(Change { slot, cause });
    }

    fn unlist(&mut self, slot: Slot) {
        let Some(node) = self.slots[slot as usize].as_ref() else { return };
        for target in Target::of(node) {
            let Some(members) = self.by_target.get_mut(&target) else { continue };
            members.remove(&slot);
            if members.is_empty() {
                self.by_target.remove(&target);
            }
        }
    }
}

fn explained(reason: Reason, shape: &Shape, node: &Node) -> Refusal {
    Refusal { node: node.id, detail: detail(&reason, shape, node), reason }
}

/// The subnet with the fewest tasks of the group, of those that the node's zone allows.
fn choose_subnet(subnets: &[Subnet], target: &Target, zone: &str, choices: &mut Choices) -> Option<usize> {
    let in_reach = |subnet: &Subnet| subnet.free > 0 && (*target == Target::Fargate || subnet.zone == zone);
    let usable = || subnets.iter().enumerate().filter(|(_, subnet)| in_reach(subnet));
    let fewest = usable().map(|(_, subnet)| subnet.tasks).min()?;
    let equals: Vec<_> = usable().filter(|(_, subnet)| subnet.tasks == fewest).map(|(index, _)| index).collect();
    Some(equals[(choices.next() % equals.len() as u64) as usize])
}
