//! Targets that nobody can reach, because what is at their addresses is simulated: each is taken as healthy from its
//! registration on, and as drained from its deregistration on.
//!
//! It says what a data path would say of containers that always answer. It carries no requests.

use model::edge::{Snapshot, TargetHealth, TargetReason, TargetSpec, TargetState};

use crate::health::explain;
use crate::mesh;
use crate::table::groups_in_use;

/// What there is to say of every target of the snapshot.
pub fn facts(snapshot: &Snapshot) -> Vec<TargetHealth> {
    let in_use = groups_in_use(snapshot);
    let facts = snapshot.target_groups.iter().flat_map(|group| {
        let is_in_use = in_use.contains_key(&group.arn);
        group.targets.iter().map(move |target| fact(&group.arn, target, is_in_use))
    });
    facts.chain(drained_calls(snapshot)).collect()
}

/// What is to stop has no call under way.
fn drained_calls(snapshot: &Snapshot) -> impl Iterator<Item = TargetHealth> {
    snapshot.mesh.endpoints.iter().flat_map(|endpoint| {
        let draining = endpoint.targets.iter().filter(|target| target.draining_since.is_some());
        draining.map(|target| mesh::drained(endpoint.arn.clone(), target.address))
    })
}

fn fact(target_group: &str, target: &TargetSpec, is_in_use: bool) -> TargetHealth {
    let (state, reason) = match (target.draining_since, is_in_use) {
        (Some(_), _) => (TargetState::Draining, Some(TargetReason::DeregistrationInProgress)),
        (None, true) => (TargetState::Healthy, None),
        (None, false) => (TargetState::Unused, Some(TargetReason::NotInUse)),
    };
    let description = reason.map(|reason| explain(reason).1).unwrap_or_default();
    TargetHealth {
        target_group: target_group.to_owned(),
        address: target.address,
        state,
        reason,
        description,
        drained: state == TargetState::Draining,
    }
}
