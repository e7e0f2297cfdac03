//! Placement: which node takes a task (ecs-semantics §3.3). Pure: the same nodes, request and seed give the same
//! answer, whatever was asked before.
//!
//! ```text
//! nodes of the target → filter: resources, agent, attributes, zone → constraints → strategies → choose → take
//! ```
//! A strategy list is a nested grouping, so the best node is the one with the smallest tuple of keys, one key per
//! strategy: tasks of the group in the node's zone (or rack …), tasks of the group on the node, free CPU, free memory.
//! Among equals the seed decides.
//!
//! [`Pool`] keeps the nodes and, per kind of request, the ones that fit in order of preference, so that a placement
//! costs the logarithm of the number of nodes and what has changed since that kind was last asked for. [`place`] is
//! the same for a caller that has all its facts in one hand.
//!
//! It does not know clusters, subnets or tasks as rows, does not choose addresses, and never moves or stops a task.
//!
//! Invariants
//! - No node is ever given more than it has free.
//! - A request for nothing changes nothing.

mod choice;
mod leaf;
mod pool;
mod queue;
mod refusal;

use model::{Attribute, InstanceStatus, NodeId, Query, Resources, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub use pool::Pool;
pub use refusal::{Reason, Refusal};

/// Of one request (ecs-semantics §3.3).
pub const STRATEGIES_MAX: usize = 5;
/// Of one request, those of the task definition included (ecs-semantics §3.3).
pub const CONSTRAINTS_MAX: usize = 10;
/// Nodes whose refusal one placement explains; more tell a reader nothing new.
pub const REFUSALS_MAX: usize = 100;

/// A machine, as far as placement cares.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: NodeId,
    /// The cluster whose container instance it is.
    pub cluster: Option<String>,
    /// The capacity provider that it stands for there.
    pub capacity_provider: Option<String>,
    /// Of the container instance; INACTIVE when it is none. A DRAINING one takes no task of either target.
    pub status: InstanceStatus,
    /// Its agent's session is up.
    pub connected: bool,
    /// Takes FARGATE tasks.
    pub offers_fargate: bool,
    pub zone: String,
    /// What no task holds. `ports` are those taken.
    pub free: Resources,
    /// All that DescribeContainerInstances shows, built-in ones too.
    pub attributes: Vec<Attribute>,
    pub agent_version: String,
    pub ec2_instance_id: String,
    pub registered_at: Timestamp,
    pub running_tasks: u32,
    /// Group of each task that is not stopped, and how many of them are here.
    pub task_groups: BTreeMap<String, u32>,
}

/// Which nodes may take the tasks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Container instances of this cluster: launch types EC2 and EXTERNAL.
    Cluster(String),
    /// Those of them that stand for this capacity provider.
    Provider { cluster: String, provider: String },
    /// Nodes that offer capacity to the shared pool, in any zone.
    Fargate,
}

impl Target {
    fn has(&self, node: &Node) -> bool {
        match self {
            Self::Cluster(cluster) => node.cluster.as_ref() == Some(cluster),
            Self::Provider { cluster, provider } => {
                node.cluster.as_ref() == Some(cluster) && node.capacity_provider.as_ref() == Some(provider)
            }
            Self::Fargate => node.offers_fargate,
        }
    }

    /// Whether two nodes are had by the same ones.
    fn are_alike(a: &Node, b: &Node) -> bool {
        a.cluster == b.cluster && a.capacity_provider == b.capacity_provider && a.offers_fargate == b.offers_fargate
    }

    /// All that have the node.
    fn of(node: &Node) -> impl Iterator<Item = Self> {
        let cluster = node.cluster.clone().map(Self::Cluster);
        let provider = node.cluster.clone().zip(node.capacity_provider.clone());
        let provider = provider.map(|(cluster, provider)| Self::Provider { cluster, provider });
        cluster.into_iter().chain(provider).chain(node.offers_fargate.then_some(Self::Fargate))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// No two tasks of the group on one node.
    DistinctInstance,
    MemberOf(Query),
}

impl Constraint {
    /// Whether it looks at the tasks of a node, of whatever group. `distinctInstance` looks at the request's own only.
    fn reads_tasks(&self) -> bool {
        matches!(self, Self::MemberOf(query) if query.reads_tasks())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Over nodes: fields `instanceId` and `host`.
    SpreadInstances,
    /// Over the values of an attribute; nodes without it share one group.
    SpreadAttribute(String),
    /// The least free CPU that still fits.
    BinpackCpu,
    /// The least free memory that still fits.
    BinpackMemory,
    Random,
}

/// A subnet that an awsvpc task may get its interface in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub zone: String,
    /// Tasks of the group that are in it already.
    pub tasks: u32,
    /// Addresses that are left.
    pub free: u32,
}

/// A number of equal tasks that want a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub count: u32,
    pub target: Target,
    pub reservation: Resources,
    /// Each must be on the node; with the value, where one is given.
    pub required_attributes: Vec<Attribute>,
    /// Whose members strategies spread and `distinctInstance` keeps apart.
    pub group: String,
    pub constraints: Vec<Constraint>,
    /// Empty: any node, at random.
    pub strategies: Vec<Strategy>,
    /// Empty: the tasks have no interface of their own. Else an EC2 or EXTERNAL task goes to a zone of one of these.
    pub subnets: Vec<Subnet>,
    /// For choices among equals.
    pub seed: u64,
}

/// Where one task goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub node: NodeId,
    /// Index into the request's subnets.
    pub subnet: Option<usize>,
    /// The GPUs that it holds there.
    pub gpus: BTreeSet<String>,
}

/// A node of a request's target, as it stands to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surveyed {
    pub node: NodeId,
    pub status: InstanceStatus,
    pub connected: bool,
    /// It would take a task of the request.
    pub takes: bool,
}

/// The answer: as many tasks as could be placed, and why the others could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    pub assigned: Vec<Assignment>,
    /// Tasks without a place.
    pub unplaced: u32,
    /// When a task was left without a place: why each node of the target would not take one, by node id.
    pub refused: Vec<Refusal>,
}

/// Nodes and a request.
#[derive(Clone, Debug)]
pub struct Problem {
    pub nodes: Vec<Node>,
    pub request: Request,
}

/// Places the tasks of one request on nodes that are given with it.
pub fn place(problem: &Problem) -> Placement {
    let mut pool = Pool::default();
    for node in &problem.nodes {
        pool.put(node.clone());
    }
    pool.place(&problem.request)
}
