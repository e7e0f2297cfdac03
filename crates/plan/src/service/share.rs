//! Which tasks go when a service with a capacity provider strategy is scaled in, or balanced over its zones: so many of
//! each provider that the shares stay (ecs-semantics §3.14), and among a provider's those that [`victim`] chooses.

use std::collections::BTreeMap;

use model::Timestamp;
use model::capacity_provider::StrategyItem;
use model::service::PlacementStrategy;

use super::{ServiceTask, victim};
use crate::capacity;

/// Those to go, and the others.
pub(super) type Choice<'a> = (Vec<&'a ServiceTask<'a>>, Vec<&'a ServiceTask<'a>>);

/// `count` of the tasks, and the others. A task whose provider the strategy does not name goes first.
pub(super) fn choose_victims<'a>(
    tasks: Vec<&'a ServiceTask<'a>>,
    strategy: &[StrategyItem],
    placement: &[PlacementStrategy],
    count: usize,
    now: Timestamp,
) -> Choice<'a> {
    if strategy.is_empty() || count == 0 {
        return victim::choose(tasks, count, placement, now);
    }
    let mut groups: Vec<Vec<&ServiceTask<'_>>> = vec![Vec::new(); strategy.len()];
    let mut strays = Vec::new();
    for task in tasks {
        let index = strategy.iter().position(|item| task.provider.as_deref() == Some(&item.provider));
        index.map_or(&mut strays, |index| &mut groups[index]).push(task);
    }
    let (mut victims, mut left) = victim::choose(strays, count, placement, now);
    let present: Vec<usize> = groups.iter().map(Vec::len).collect();
    let counts = capacity::withdraw(strategy, &present, count - victims.len());
    for (group, count) in groups.into_iter().zip(counts) {
        let (gone, stays) = victim::choose(group, count, placement, now);
        victims.extend(gone);
        left.extend(stays);
    }
    (victims, left)
}

/// `count` of the tasks, each from a zone that has the most; there from the provider that is farthest above its share.
pub(super) fn choose_from_fullest_zones<'a>(
    tasks: Vec<&'a ServiceTask<'a>>,
    strategy: &[StrategyItem],
    placement: &[PlacementStrategy],
    count: usize,
    now: Timestamp,
) -> Choice<'a> {
    if strategy.is_empty() || count == 0 {
        return victim::choose(tasks, count, placement, now);
    }
    let mut corners = Corners::of(tasks, strategy);
    let (mut victims, mut left) = (Vec::new(), Vec::new());
    for tasks in corners.tasks.values_mut() {
        let (mut movable, held) = victim::choose(std::mem::take(tasks), usize::MAX, placement, now);
        movable.reverse();
        *tasks = movable;
        left.extend(held);
    }
    victims.extend(std::iter::from_fn(|| corners.take(strategy)).take(count));
    left.extend(corners.tasks.into_values().flatten());
    (victims, left)
}

/// Tasks by zone and by provider; those whose provider the strategy does not name are of one behind the last.
struct Corners<'a> {
    /// The last of each goes first.
    tasks: BTreeMap<(Option<&'a str>, usize), Vec<&'a ServiceTask<'a>>>,
    of_zone: BTreeMap<Option<&'a str>, usize>,
    of_provider: Vec<usize>,
}

impl<'a> Corners<'a> {
    fn of(tasks: Vec<&'a ServiceTask<'a>>, strategy: &[StrategyItem]) -> Self {
        let of_provider = vec![0; strategy.len() + 1];
        let mut corners = Self { tasks: BTreeMap::new(), of_zone: BTreeMap::new(), of_provider };
        for task in tasks {
            let provider = strategy.iter().position(|item| task.provider.as_deref() == Some(&item.provider));
            let (zone, provider) = (task.zone.as_deref(), provider.unwrap_or(strategy.len()));
            corners.tasks.entry((zone, provider)).or_default().push(task);
            *corners.of_zone.entry(zone).or_default() += 1;
            corners.of_provider[provider] += 1;
        }
        corners
    }

    fn take(&mut self, strategy: &[StrategyItem]) -> Option<&'a ServiceTask<'a>> {
        self.tasks.retain(|_, tasks| !tasks.is_empty());
        let zone = self.tasks.keys().map(|(zone, _)| *zone).max_by_key(|zone| self.of_zone[zone])?;
        let is_there = |provider: usize| self.tasks.contains_key(&(zone, provider));
        let stray = Some(strategy.len()).filter(|stray| is_there(*stray));
        let provider = stray.or_else(|| capacity::give_up(strategy, &self.of_provider, is_there))?;
        self.of_provider[provider] -= 1;
        *self.of_zone.get_mut(&zone)? -= 1;
        self.tasks.get_mut(&(zone, provider))?.pop()
    }
}
