//! Capacity provider strategies: the worked examples of ecs-semantics §8, and what holds of every strategy.

use model::capacity_provider::StrategyItem;
use plan::capacity::{assign, withdraw};
use proptest::prelude::*;

/// (base, weight) of each provider.
fn strategy(items: &[(u32, u32)]) -> Vec<StrategyItem> {
    let item = |(index, (base, weight)): (usize, &(u32, u32))| StrategyItem {
        provider: format!("p{index}"),
        base: *base,
        weight: *weight,
    };
    items.iter().enumerate().map(item).collect()
}

#[test]
fn tasks_are_shared_out_by_base_and_weight() {
    let check = |items: &[(u32, u32)], present: &[usize], count: usize, expected: &[usize]| {
        assert_eq!(assign(&strategy(items), present, count), expected, "{items:?} {present:?} {count}");
    };
    check(&[(2, 1), (0, 3)], &[0, 0], 10, &[4, 6]);
    check(&[(0, 1), (0, 4)], &[0, 0], 5, &[1, 4]);
    check(&[(0, 0), (0, 0)], &[0, 0], 5, &[0, 0]);
    check(&[(0, 0)], &[0], 3, &[3]);
    check(&[(2, 0), (0, 1)], &[0, 0], 5, &[2, 3]);
    check(&[(5, 1), (0, 1)], &[0, 0], 3, &[3, 0]);
    check(&[(0, 1), (5, 1)], &[0, 0], 6, &[1, 5]);
    // What is there counts: the share is of all tasks together.
    check(&[(0, 1), (0, 1)], &[4, 0], 4, &[0, 4]);
    check(&[(2, 1), (0, 3)], &[4, 6], 4, &[1, 3]);
    check(&[(2, 1), (0, 3)], &[0, 6], 2, &[2, 0]);
    check(&[], &[], 2, &[]);
}

#[test]
fn tasks_are_taken_away_by_the_same_shares() {
    let check = |items: &[(u32, u32)], present: &[usize], count: usize, expected: &[usize]| {
        assert_eq!(withdraw(&strategy(items), present, count), expected, "{items:?} {present:?} {count}");
    };
    check(&[(2, 1), (0, 3)], &[4, 6], 4, &[1, 3]);
    check(&[(2, 1), (0, 3)], &[4, 6], 8, &[2, 6]);
    check(&[(2, 1), (0, 3)], &[4, 6], 9, &[3, 6]);
    check(&[(2, 1), (0, 3)], &[4, 6], 20, &[4, 6]);
    check(&[(0, 1), (0, 1)], &[5, 1], 4, &[4, 0]);
    check(&[(0, 0), (0, 1)], &[2, 2], 2, &[2, 0]);
}

prop_compose! {
    fn strategies()(
        weights in prop::collection::vec(0..20u32, 1..6), base in 0..8u32, at in 0..6usize,
    ) -> Vec<StrategyItem> {
        let at = at % weights.len();
        let items: Vec<_> = weights.iter().enumerate().map(|(i, w)| (if i == at { base } else { 0 }, *w)).collect();
        strategy(&items)
    }
}

/// How far each provider is from its share of what is beyond the base, in tasks.
fn distances(strategy: &[StrategyItem], tasks: &[usize]) -> Vec<f64> {
    let beyond: Vec<f64> =
        strategy.iter().zip(tasks).map(|(item, n)| n.saturating_sub(item.base as usize) as f64).collect();
    let (sum, weights) = (beyond.iter().sum::<f64>(), strategy.iter().map(|item| f64::from(item.weight)).sum::<f64>());
    strategy.iter().zip(beyond).map(|(item, n)| n - sum * f64::from(item.weight) / weights).collect()
}

proptest! {
    #[test]
    fn every_task_goes_somewhere_and_the_base_comes_first(strategy in strategies(), count in 0..200usize) {
        prop_assume!(strategy.iter().any(|item| item.weight > 0));
        let tasks = assign(&strategy, &[], count);
        prop_assert_eq!(tasks.iter().sum::<usize>(), count);
        let base: usize = strategy.iter().map(|item| item.base as usize).sum();
        for (item, tasks) in strategy.iter().zip(&tasks) {
            prop_assert!(*tasks >= (item.base as usize).min(count));
            prop_assert!(count > base || item.base > 0 || *tasks == 0, "before the base was there");
        }
    }

    #[test]
    fn no_provider_is_more_than_a_task_below_or_a_round_above_its_share(
        strategy in strategies(), count in 0..200usize, less in 0..200usize,
    ) {
        prop_assume!(strategy.iter().any(|item| item.weight > 0) && strategy.len() > 1);
        let mut tasks = assign(&strategy, &[], count);
        for step in [0, less.min(count)] {
            let gone = withdraw(&strategy, &tasks, step);
            tasks.iter_mut().zip(gone).for_each(|(tasks, gone)| *tasks -= gone);
            let most = strategy.len() as f64;
            prop_assert!(distances(&strategy, &tasks).iter().all(|distance| distance.abs() < most), "{:?}", tasks);
        }
    }

    #[test]
    fn sharing_out_in_steps_comes_to_the_same(strategy in strategies(), first in 0..60usize, then in 0..60usize) {
        prop_assume!(strategy.iter().any(|item| item.weight > 0));
        let mut tasks = assign(&strategy, &[], first);
        let more = assign(&strategy, &tasks, then);
        tasks.iter_mut().zip(more).for_each(|(tasks, more)| *tasks += more);
        prop_assert_eq!(tasks, assign(&strategy, &[], first + then));
    }
}
