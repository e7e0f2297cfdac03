//! Container instances: a node's membership of a cluster (ecs-semantics §1.8).

use serde::{Deserialize, Serialize};

use crate::{ContainerInstanceId, NodeId, Scope, Tag, Timestamp};

/// A name with an optional value, on a container instance or asked for by a task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum InstanceStatus {
    Active,
    Draining,
    Inactive,
}

impl InstanceStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerInstance {
    pub id: ContainerInstanceId,
    pub scope: Scope,
    pub cluster: String,
    /// Whose resources, connection and built-in attributes it shows.
    pub node: NodeId,
    /// Shown as `ec2InstanceId`: `i-` and 17 hex digits derived from the node's id.
    pub ec2_instance_id: String,
    pub status: InstanceStatus,
    #[serde(default)]
    pub status_reason: Option<String>,
    /// Those set by PutAttributes; the node's own are on the node.
    #[serde(default)]
    pub custom_attributes: Vec<Attribute>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    pub registered_at: Timestamp,
    /// When it was deregistered. Stores of before this was noted have INACTIVE ones without.
    #[serde(default)]
    pub inactive_at: Option<Timestamp>,
    /// Starts at 1, rises with each change of the instance itself. What is shown counts the node's
    /// [`changes`](crate::Node::changes) too.
    pub version: u64,
}

impl ContainerInstance {
    /// What a node is called in EC2's words: `i-` and 17 hex digits.
    pub fn ec2_instance_id_of(node: NodeId) -> String {
        format!("i-{:017x}", node.0 & ((1 << 68) - 1))
    }
}
