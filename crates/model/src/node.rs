//! A machine that runs tasks. It is a member of one cluster as a [`ContainerInstance`](crate::ContainerInstance)
//! and may offer its capacity to FARGATE tasks of every cluster; there is one ledger for both.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Attribute, ContainerInstanceId, NodeId, Resources, Scope, Timestamp};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// Whose node it is: the account that joined it and the region in which it stands.
    pub scope: Scope,
    /// The host's name, for people.
    pub name: String,
    /// Availability zone, e.g. `us-east-1a`.
    pub zone: String,
    /// Takes FARGATE tasks of every cluster of its scope, whatever zone their subnet is in.
    pub offers_fargate: bool,
    /// What the machine has. `ports` are those kept back.
    pub total: Resources,
    /// What is not taken by any task, of either kind.
    pub free: Resources,
    /// As its agent says. Shared by the row's states, since each task that comes or goes makes another one.
    pub attributes: Arc<[Attribute]>,
    pub agent_version: String,
    /// Where the ports are that its tasks publish on it. `None`: nobody can reach them.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// containerd's version.
    pub runtime_version: String,
    /// The session is up.
    pub connected: bool,
    /// Since when it is not; also since when the control plane itself is back. `None` while it is.
    #[serde(default)]
    pub disconnected_at: Option<Timestamp>,
    /// Changes when the machine boots: containers of an earlier boot are gone.
    pub boot_id: String,
    pub container_instance: Option<ContainerInstanceId>,
    pub registered_at: Timestamp,
    /// Rises with each change that its container instance shows: resources taken and given back, the session up or
    /// down, a newer agent. A part of that instance's version, kept here because these changes write this row anyway.
    #[serde(default)]
    pub changes: u64,
}

impl Node {
    /// Whether two states of a node differ in nothing but what its tasks take.
    pub fn differs_in_room_only(&self, other: &Self) -> bool {
        let Self {
            id,
            scope,
            name,
            zone,
            offers_fargate,
            total,
            free: _,
            attributes,
            agent_version,
            address,
            runtime_version,
            connected,
            disconnected_at,
            boot_id,
            container_instance,
            registered_at,
            changes: _,
        } = self;
        *id == other.id
            && *scope == other.scope
            && *name == other.name
            && *zone == other.zone
            && *offers_fargate == other.offers_fargate
            && *total == other.total
            && *attributes == other.attributes
            && *agent_version == other.agent_version
            && *address == other.address
            && *runtime_version == other.runtime_version
            && *connected == other.connected
            && *disconnected_at == other.disconnected_at
            && *boot_id == other.boot_id
            && *container_instance == other.container_instance
            && *registered_at == other.registered_at
    }
}
