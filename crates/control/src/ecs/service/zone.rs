//! Availability zones of a service: where its tasks could be, and how they are started in some of them only.

use std::collections::BTreeSet;

use model::network::ZONE_LETTERS;
use model::service::Rebalancing;
use model::{LaunchType, Service, Task};
use plan::place::Target;
use plan::service::{ServicePlan, event};

use crate::Cx;
use crate::ec2::subnet;
use crate::ecs::task::run::{Manner, Part, Run};

/// The zones where tasks could be, of a service that is to be balanced over them: those of its subnets, and for launch
/// types with container instances those of them that take tasks.
pub(super) fn possible(cx: &Cx<'_>, service: &Service) -> Vec<String> {
    let Some(primary) = service.primary().filter(|_| service.availability_zone_rebalancing) else { return Vec::new() };
    let subnets = primary.network.as_ref().map(|network| &network.subnets);
    let zone_of = |id: &String| subnet::find(cx.txn, &service.scope, id).map(|(_, subnet)| subnet.zone);
    let subnets = subnets.map(|ids| ids.iter().filter_map(zone_of));
    let subnets: Option<BTreeSet<String>> = subnets.map(Iterator::collect);
    if service.capacity_of(primary).launch_type == LaunchType::Fargate {
        return subnets.unwrap_or_default().into_iter().collect();
    }
    let zones = cx.ledger.zones(cx.txn, cx.scope(), &Target::Cluster(service.cluster.clone()), ZONE_LETTERS.len());
    zones.into_iter().filter(|zone| subnets.as_ref().is_none_or(|subnets| subnets.contains(zone))).collect()
}

/// Starts the parts in these zones only, to even the zones out. Answers whether all found a place.
pub(super) fn start_in(
    cx: &mut Cx<'_>,
    plan: &mut ServicePlan,
    (run, manner): (&Run, &Manner),
    parts: &[Part],
    zones: &BTreeSet<String>,
) -> bool {
    let manner = run.within(manner, zones);
    let (mut tasks, mut unplaced): (Vec<Task>, u32) = (Vec::new(), 0);
    for part in parts {
        let (started, placement) = run.place_in(cx, &manner, part, Some(zones));
        tasks.extend(started);
        unplaced += placement.unplaced;
    }
    plan.service.rebalancing = Some(Rebalancing { surplus: u32::try_from(tasks.len()).unwrap_or(u32::MAX) });
    let name = plan.service.name.clone();
    for zone in zones {
        let here = tasks.iter().filter(|task| task.availability_zone.as_ref() == Some(zone));
        let ids: Vec<_> = here.map(|task| task.id).collect();
        if !ids.is_empty() {
            plan.events.push(event::started_to_rebalance(&name, zone, ids.into_iter()));
        }
    }
    if let Some(zone) = zones.first().filter(|_| tasks.is_empty()) {
        let is_fargate = plan.service.launch_type == LaunchType::Fargate;
        plan.meet(event::unplaced_in(&name, zone, is_fargate), cx.now);
    }
    unplaced == 0
}
