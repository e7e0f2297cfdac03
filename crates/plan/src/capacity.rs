//! How tasks are shared out among the providers of a capacity provider strategy (ecs-semantics §3.14, §8).
//!
//! The share holds for all tasks together, those that are there and those to come: first each provider gets its base,
//! then every further task goes to the provider that is farthest below its share. Tasks are taken away the other way
//! round, so that the ratio stays. AWS does not tell its rule; this one gives the ratios that it documents.
//!
//! It does not know whether a provider has room: a task that finds none waits for its provider, and goes to no other.

use model::capacity_provider::StrategyItem;

/// How many of `count` more tasks go to each provider, in the strategy's order. `present` are those that each has. No
/// task goes anywhere when no provider may take one.
pub fn assign(strategy: &[StrategyItem], present: &[usize], count: usize) -> Vec<usize> {
    let mut tasks = present.to_vec();
    tasks.resize(strategy.len(), 0);
    let mut added = vec![0; strategy.len()];
    for _ in 0..count {
        let Some(index) = next(strategy, &tasks) else { break };
        tasks[index] += 1;
        added[index] += 1;
    }
    added
}

/// How many of `count` tasks each provider gives up, in the strategy's order. Fewer than `count` when there are fewer.
pub fn withdraw(strategy: &[StrategyItem], present: &[usize], count: usize) -> Vec<usize> {
    let mut tasks = present.to_vec();
    tasks.resize(strategy.len(), 0);
    let mut removed = vec![0; strategy.len()];
    for _ in 0..count {
        let Some(index) = last(strategy, &tasks, |_| true) else { break };
        tasks[index] -= 1;
        removed[index] += 1;
    }
    removed
}

/// Of the providers that can, the one that gives up a task, so that the shares stay as far as they allow. `tasks` may
/// count others behind the strategy's.
pub(crate) fn give_up(strategy: &[StrategyItem], tasks: &[usize], can: impl Fn(usize) -> bool) -> Option<usize> {
    let nearest = || (0..strategy.len()).rev().find(|index| tasks[*index] > 0 && can(*index));
    last(strategy, tasks, &can).or_else(nearest)
}

/// The provider that the next task goes to.
fn next(strategy: &[StrategyItem], tasks: &[usize]) -> Option<usize> {
    let below_base = |index: &usize| tasks[*index] < strategy[*index].base as usize;
    if let Some(index) = (0..strategy.len()).find(below_base) {
        return Some(index);
    }
    // A provider that is alone needs no weight.
    if strategy.len() == 1 {
        return Some(0);
    }
    let shared = beyond_base(strategy, tasks).sum::<usize>() + 1;
    let weighted = (0..strategy.len()).filter(|index| strategy[*index].weight > 0);
    // Among equals the first one.
    weighted.rev().max_by_key(|index| deficit(strategy, tasks, *index, shared))
}

/// The provider that gives up a task, of those that can.
fn last(strategy: &[StrategyItem], tasks: &[usize], can: impl Fn(usize) -> bool) -> Option<usize> {
    let shared = beyond_base(strategy, tasks).sum::<usize>();
    if shared == 0 {
        return (0..strategy.len()).rev().find(|index| tasks[*index] > 0 && can(*index));
    }
    let beyond = (0..strategy.len()).filter(|index| tasks[*index] > strategy[*index].base as usize && can(*index));
    beyond.min_by_key(|index| (deficit(strategy, tasks, *index, shared - 1), std::cmp::Reverse(*index)))
}

fn beyond_base(strategy: &[StrategyItem], tasks: &[usize]) -> impl Iterator<Item = usize> {
    strategy.iter().zip(tasks).map(|(item, tasks)| tasks.saturating_sub(item.base as usize))
}

/// How far a provider is below its share of `shared` tasks beyond the base, times the sum of the weights.
fn deficit(strategy: &[StrategyItem], tasks: &[usize], index: usize, shared: usize) -> i128 {
    let item = &strategy[index];
    let weights: i128 = strategy.iter().map(|item| i128::from(item.weight)).sum();
    let has = tasks[index].saturating_sub(item.base as usize);
    shared as i128 * i128::from(item.weight) - has as i128 * weights
}
