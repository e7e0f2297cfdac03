//! What happens, as EventBridge tells it (ecs-semantics §6.1): events made of what a commit changed, for whoever reads.
//!
//! ```text
//! commit ─▶ kept for a while (bounded) ──▶ events, for a reader that comes
//!    └────▶ events, while anybody reads ─▶ readers
//! ```
//! An event is never made for nobody: without a reader a commit costs a few pointers.
//!
//! It does not deliver anything anywhere, has no rules and no buses, and keeps nothing over a restart.
//!
//! Invariants
//! - The events of a commit follow from the commit alone, and their ids too: what is made twice is the same.
//! - A reader gets every event after those that it began with, in order, or is told how many it has lost.

mod container_instance;
mod deployment;
mod detail;
mod service;
mod stream;
mod task;

use model::{Scope, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::{Commit, Tables};

pub use stream::{EVENTS_KEPT, Events, Next, READERS_MAX, Reader};

pub(crate) use stream::start;

/// The `source` of every event.
const SOURCE: &str = "aws.ecs";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Task,
    ContainerInstance,
    Service,
    Deployment,
}

impl Kind {
    /// `detail-type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "ECS Task State Change",
            Self::ContainerInstance => "ECS Container Instance State Change",
            Self::Service => "ECS Service Action",
            Self::Deployment => "ECS Deployment State Change",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: Kind,
    pub scope: Scope,
    /// The ARN of what it is about.
    pub resource: String,
    pub at: Timestamp,
    pub detail: Map<String, Value>,
}

impl Event {
    /// The whole as EventBridge has it.
    pub fn to_json(&self) -> Value {
        json!({
            "version": "0",
            "id": self.id,
            "detail-type": self.kind.as_str(),
            "source": SOURCE,
            "account": *self.scope.account,
            "time": detail::seconds(self.at),
            "region": *self.scope.region,
            "resources": [self.resource],
            "detail": self.detail,
        })
    }
}

/// What is known of an event before it has its id and time.
struct Told {
    kind: Kind,
    scope: Scope,
    resource: String,
    detail: Map<String, Value>,
}

/// The events of a commit that was made at `at`. What it did not change is read from `tables`, which are as the commit
/// left them or later.
pub fn of_commit(commit: &Commit, tables: &Tables, at: Timestamp) -> Vec<Event> {
    let changes = &commit.changes;
    let tasks = changes.tasks.values().filter_map(|change| task::event(change, tables, at));
    let instances = container_instance::events(changes, tables, at);
    let deployments = changes.services.values().flat_map(deployment::events);
    let actions = changes.service_events.values().filter_map(service::event);
    let told = tasks.chain(instances).chain(deployments).chain(actions);
    let store = tables.meta_value(crate::session::CONTROL_ID).unwrap_or_default();
    let numbered = told.enumerate().map(|(index, told)| {
        let Told { kind, scope, resource, detail } = told;
        Event { id: id(store, commit.revision, index), kind, scope, resource, at, detail }
    });
    numbered.collect()
}

/// Whether a commit may have events, and the number of rows that could.
fn weight(commit: &Commit) -> usize {
    let changes = &commit.changes;
    changes.tasks.len()
        + changes.container_instances.len()
        + changes.nodes.len()
        + changes.services.len()
        + changes.service_events.len()
}

fn id(store: &str, revision: u64, index: usize) -> String {
    let digest = Sha256::digest(format!("{store}/{revision}/{index}"));
    let (bits, _) = digest.split_first_chunk::<16>().expect("a digest has 32 bytes");
    model::id::uuid(u128::from_be_bytes(*bits))
}
