//! Rebalancing over availability zones (ecs-semantics §3.10): a steady service whose zones differ by more than one task
//! gets tasks in the zones that have too few, and once they work, loses as many in the zones that have too many.
//!
//! ```text
//! steady ─(zones differ by more than one)─▶ surplus started in the emptiest zones ─(healthy)─▶ stopped in the fullest
//!    ▲                                                │ something else happens to the service: rebalancing ends,
//!    └──────────────── balanced ◀─────────────────────┘ and the surplus goes as on any scale-in
//! ```
//! It never fights placement: placement chooses by the same spread, and what it starts here it starts only in zones that
//! are to gain. Protected tasks count, and never go. Capacity providers keep their shares as far as the zones let them.
//!
//! Invariants
//! - Never above the service's maximum, never below its desired count.
//! - A balanced service is left alone: the next plan is empty.

use std::collections::{BTreeMap, BTreeSet};

use model::service::{PlacementConstraint, PlacementStrategy, Rebalancing, Rollout, Service};
use model::{LaunchType, StopCode, Timestamp};

use super::replica::Census;
use super::{Places, STARTS_MAX, ServicePlan, ServiceTask, Start, Stop, event, share};

const ZONES: &str = "attribute:ecs.availability-zone";

/// Whether a REPLICA service like this can be rebalanced: it spreads over the zones first, may have more tasks than
/// desired for a while, and is not tied to zones.
pub fn applies(
    launch_type: LaunchType,
    maximum_percent: u32,
    strategies: &[PlacementStrategy],
    constraints: &[PlacementConstraint],
) -> bool {
    let spreads_zones = |first: &PlacementStrategy| first.kind == "spread" && first.field.as_deref() == Some(ZONES);
    let names_zones = |constraint: &PlacementConstraint| {
        constraint.expression.as_ref().is_some_and(|expression| expression.contains(ZONES))
    };
    launch_type != LaunchType::External
        && maximum_percent > 100
        && strategies.first().is_none_or(spreads_zones)
        && !constraints.iter().any(names_zones)
}

/// Ends a rebalancing that something has come between: from then on its surplus is too many.
pub(super) fn interrupt(plan: &mut ServicePlan, census: &Census<'_>) {
    if !may_go_on(&plan.service, census) {
        end(plan);
    }
}

/// A deployment with stages has no place for it.
pub(super) fn end(plan: &mut ServicePlan) {
    if plan.service.rebalancing.take().is_some() {
        plan.say(event::rebalancing_stopped(&plan.service.name));
    }
}

fn may_go_on(service: &Service, census: &Census<'_>) -> bool {
    service.availability_zone_rebalancing
        && service.deployments.len() == 1
        && service.deployments[0].rollout == Rollout::Completed
        && census.unhealthy.is_empty()
        && census.old.is_empty()
        && census.good.len() >= census.want.desired
}

/// How many tasks above the desired count are there to even out the zones.
pub(super) fn surplus(service: &Service) -> usize {
    service.rebalancing.as_ref().map_or(0, |row| row.surplus as usize)
}

/// The next step. `possible` are the zones where tasks could be started.
pub(super) fn go_on(plan: &mut ServicePlan, census: &mut Census<'_>, possible: &[String], now: Timestamp) {
    if !may_go_on(&plan.service, census) || census.has_unproven() {
        return;
    }
    stop_surplus(plan, census, now);
    let zones = Zones::of(census.good.iter().copied(), possible);
    let movable = Zones::of(census.good.iter().copied().filter(|task| !task.is_protected(now)), &[]);
    let name = plan.service.name.clone();
    if census.good.len() > census.want.desired {
        // Those that are more than one plan may stop go with the next.
        return if plan.stops_left() > 0 {
            blocked(plan, census, now)
        };
    }
    if zones.moves(possible, &zones).is_none() {
        if plan.service.rebalancing.take().is_some() {
            plan.say(event::balanced(&name, &zones.fullest_first()));
        }
        return;
    }
    let retry_at = plan.service.deployments[0].retry_at.filter(|at| now < *at);
    if census.room() == 0 || retry_at.is_some() {
        return plan.wake(retry_at, now);
    }
    if plan.service.rebalancing.is_none() {
        plan.say(event::not_balanced(&name, &zones.fullest_first()));
    }
    plan.service.rebalancing = Some(Rebalancing { surplus: 0 });
    let Some(Moves { count, into }) = zones.moves(possible, &movable) else { return blocked(plan, census, now) };
    let count = count.min(census.room()).min(STARTS_MAX);
    plan.service.rebalancing = Some(Rebalancing { surplus: u32::try_from(count).unwrap_or(u32::MAX) });
    plan.start.push(Start { deployment: census.want.deployment.clone(), count, places: Places::Zones(into) });
}

/// The replacements work: as many go where there are the most.
fn stop_surplus(plan: &mut ServicePlan, census: &mut Census<'_>, now: Timestamp) {
    let surplus = (census.good.len() - census.want.desired).min(plan.stops_left());
    let good = std::mem::take(&mut census.good);
    let service = &plan.service;
    let strategy = service.capacity_of(&service.deployments[0]).strategy;
    let placement = &service.placement_strategies;
    let (victims, left) = share::choose_from_fullest_zones(good, &strategy, placement, surplus, now);
    census.good = left;
    let mut by_zone: BTreeMap<&str, Vec<&ServiceTask<'_>>> = BTreeMap::new();
    for task in victims {
        let reason = event::rebalanced(&task.deployment);
        plan.stop.push(Stop { task: task.id, code: StopCode::ServiceSchedulerInitiated, reason });
        by_zone.entry(task.zone.as_deref().unwrap_or_default()).or_default().push(task);
    }
    for (zone, tasks) in by_zone {
        plan.say(event::stopped_to_rebalance(&plan.service.name, zone, tasks.iter().map(|task| task.id)));
    }
}

/// What could go is protected.
fn blocked(plan: &mut ServicePlan, census: &mut Census<'_>, now: Timestamp) {
    let protected: Vec<_> = census.good.iter().copied().filter(|task| task.is_protected(now)).collect();
    let deployment = plan.service.deployments[0].id.clone();
    let message = event::unable_to_rebalance(&plan.service.name, &deployment, protected.len());
    census.note_protected(&protected);
    plan.meet(message, now);
}

/// Tasks by zone. A zone without tasks is there when tasks could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zones(BTreeMap<String, usize>);

/// So many tasks, into these zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moves {
    pub count: usize,
    pub into: BTreeSet<String>,
}

impl Zones {
    fn of<'a>(tasks: impl Iterator<Item = &'a ServiceTask<'a>>, possible: &[String]) -> Self {
        let mut zones: BTreeMap<String, usize> = possible.iter().map(|zone| (zone.clone(), 0)).collect();
        for zone in tasks.filter_map(|task| task.zone.as_deref()) {
            match zones.get_mut(zone) {
                Some(count) => *count += 1,
                None => {
                    zones.insert(zone.to_owned(), 1);
                }
            }
        }
        Self(zones)
    }

    fn count(&self, zone: &str) -> usize {
        self.0.get(zone).copied().unwrap_or(0)
    }

    /// What evens them out as far as `possible` zones can gain and zones can lose what is `movable`: `None` when nothing
    /// would be better than it is.
    fn moves(&self, possible: &[String], movable: &Self) -> Option<Moves> {
        let (mut zones, mut movable) = (self.clone(), movable.clone());
        let mut moves = Moves { count: 0, into: BTreeSet::new() };
        loop {
            let emptiest = possible.iter().min_by_key(|zone| zones.count(zone));
            let givers = zones.0.iter().filter(|(zone, _)| movable.count(zone) > 0);
            let fullest = givers.max_by_key(|(_, count)| **count).map(|(zone, count)| (zone.clone(), *count));
            let (Some(emptiest), Some((fullest, most))) = (emptiest, fullest) else { break };
            if most <= zones.count(emptiest) + 1 {
                break;
            }
            zones.0.insert(fullest.clone(), most - 1);
            movable.0.insert(fullest.clone(), movable.count(&fullest) - 1);
            zones.0.insert(emptiest.clone(), zones.count(emptiest) + 1);
            moves.count += 1;
            moves.into.insert(emptiest.clone());
        }
        (moves.count > 0).then_some(moves)
    }

    fn fullest_first(&self) -> Vec<(&str, usize)> {
        let mut zones: Vec<(&str, usize)> = self.0.iter().map(|(zone, count)| (zone.as_str(), *count)).collect();
        zones.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        zones
    }
}
