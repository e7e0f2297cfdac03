//! Which tasks go when a service with a capacity provider strategy is scaled in: so many of each provider that the
//! shares stay (ecs-semantics §3.14), and among a provider's those that [`victim`] chooses.

use model::Timestamp;
use model::capacity_provider::StrategyItem;
use model::service::PlacementStrategy;

use super::{ServiceTask, victim};
use crate::capacity;

/// `count` of the tasks, and the others. A task whose provider the strategy does not name goes first.
pub(super) fn choose_victims<'a>(
    tasks: Vec<&'a ServiceTask<'a>>,
    strategy: &[StrategyItem],
    placement: &[PlacementStrategy],
    count: usize,
    now: Timestamp,
) -> (Vec<&'a ServiceTask<'a>>, Vec<&'a ServiceTask<'a>>) {
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
