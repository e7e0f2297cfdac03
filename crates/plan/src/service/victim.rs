//! Which tasks go when a service is scaled in (ecs-semantics §3.3, §8): first those that serve nobody yet, then, by the
//! placement strategies, from the zone that has the most, there from the instance that has the most, or from the
//! instance that becomes the emptiest; among equals the newest. Protected ones never.
//!
//! The tasks are put into the order in which they would go, the last one first. Taking from the fullest group again and
//! again is taking the highest floor first: in a group of five the task on the fifth floor goes while there are five,
//! then the one on the fourth. So a strategy is one sort, the innermost strategy first, and the whole costs what sorting
//! costs, however many go.

use std::collections::BTreeMap;

use model::Timestamp;
use model::service::PlacementStrategy;

use super::{Grade, Life, ServiceTask};

const ZONES: &str = "ecs.availability-zone";

/// Up to `count` of the tasks, and the others.
pub(super) fn choose<'a>(
    mut tasks: Vec<&'a ServiceTask<'a>>,
    count: usize,
    strategies: &[PlacementStrategy],
    now: Timestamp,
) -> (Vec<&'a ServiceTask<'a>>, Vec<&'a ServiceTask<'a>>) {
    if count == 0 {
        return (Vec::new(), tasks);
    }
    tasks.sort_by_key(|task| (class(task, now), task.created_at, task.id));
    for preference in preferences(strategies).iter().rev() {
        preference.sort(&mut tasks, now);
    }
    let protected = tasks.partition_point(|task| class(task, now) == Class::Protected);
    let count = count.min(tasks.len() - protected);
    let mut victims = tasks.split_off(tasks.len() - count);
    victims.reverse();
    (victims, tasks)
}

/// Whoever is of a later class goes sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Protected,
    Healthy,
    Served,
    /// RUNNING, but not known to work, or about to lose its place.
    Doubtful,
    Pending,
}

fn class(task: &ServiceTask<'_>, now: Timestamp) -> Class {
    match task.life {
        _ if task.is_protected(now) => Class::Protected,
        Life::Running if task.site.is_draining => Class::Doubtful,
        Life::Running => match task.grade(now) {
            Grade::Healthy => Class::Healthy,
            Grade::Served => Class::Served,
            Grade::Doubtful => Class::Doubtful,
        },
        _ => Class::Pending,
    }
}

/// A placement strategy, as it reads when tasks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    SpreadZones,
    SpreadInstances,
    /// Over an attribute of the nodes: the index into the tasks' values.
    SpreadAttribute(usize),
    BinpackCpu,
    BinpackMemory,
}

/// Without strategies as with the default ones. What follows `random` can decide nothing more.
fn preferences(strategies: &[PlacementStrategy]) -> Vec<Preference> {
    if strategies.is_empty() {
        return vec![Preference::SpreadZones, Preference::SpreadInstances];
    }
    let mut preferences = Vec::new();
    let mut attributes = 0..;
    for strategy in strategies {
        let field = strategy.field.as_deref().unwrap_or_default();
        preferences.push(match (strategy.kind.as_str(), spread_attribute(strategy)) {
            ("random", _) => break,
            (_, Some(_)) => Preference::SpreadAttribute(attributes.next().expect("without end")),
            ("binpack", _) if field.eq_ignore_ascii_case("cpu") => Preference::BinpackCpu,
            ("binpack", _) => Preference::BinpackMemory,
            _ if field.starts_with("attribute:") => Preference::SpreadZones,
            _ => Preference::SpreadInstances,
        });
    }
    preferences
}

/// The attribute of nodes that a strategy spreads over, unless it is the zone, which tasks know themselves.
pub fn spread_attribute(strategy: &PlacementStrategy) -> Option<&str> {
    let field = strategy.field.as_deref().filter(|_| strategy.kind == "spread")?;
    field.strip_prefix("attribute:").filter(|name| *name != ZONES)
}

impl Preference {
    /// Keeps the order of those that are equal to it.
    fn sort(self, tasks: &mut [&ServiceTask<'_>], now: Timestamp) {
        match self {
            Self::SpreadZones => sort_by_floor(tasks, now, |task| task.zone.as_deref()),
            Self::SpreadInstances => sort_by_floor(tasks, now, |task| task.site.node),
            Self::SpreadAttribute(index) => {
                sort_by_floor(tasks, now, |task| task.site.values.get(index).and_then(Option::as_deref));
            }
            Self::BinpackCpu => tasks.sort_by_key(|task| (class(task, now), task.site.free_cpu, task.site.node)),
            Self::BinpackMemory => tasks.sort_by_key(|task| (class(task, now), task.site.free_memory, task.site.node)),
        }
    }
}

fn sort_by_floor<'t, 'a, G: Ord>(
    tasks: &mut [&'a ServiceTask<'t>],
    now: Timestamp,
    group: impl Fn(&'a ServiceTask<'t>) -> G,
) {
    let mut heights: BTreeMap<G, usize> = BTreeMap::new();
    let mut floors = BTreeMap::new();
    for task in tasks.iter() {
        let height = heights.entry(group(task)).or_default();
        *height += 1;
        floors.insert(task.id, *height);
    }
    tasks.sort_by_key(|task| (class(task, now), floors[&task.id]));
}
