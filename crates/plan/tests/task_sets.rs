//! Task sets: what holds whatever happens to their tasks.

mod service_world;

use model::task_set::{Stability, TaskSetStatus};
use plan::service::{Life, STARTS_MAX};
use proptest::prelude::*;
use service_world::World;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u8),
    Scale(usize, u8),
    Delete(usize),
    Desired(u32),
    Run(usize),
    Fail(usize),
    Exit(usize),
    End,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..=100u8).prop_map(Step::Add),
        2 => ((0..3usize), (0..=100u8)).prop_map(|(set, scale)| Step::Scale(set, scale)),
        1 => (0..3usize).prop_map(Step::Delete),
        1 => (0..9u32).prop_map(Step::Desired),
        4 => (0..6usize).prop_map(Step::Run),
        1 => (0..3usize).prop_map(Step::Fail),
        1 => (0..3usize).prop_map(Step::Exit),
        3 => Just(Step::End),
        3 => (0..60u64).prop_map(Step::Pass),
    ]
}

fn make(world: &mut World, step: Step, number: usize) {
    let id = |world: &World, index: usize| world.service.task_sets.get(index).map(|set| set.id.clone());
    match step {
        Step::Add(scale) if world.service.task_sets.len() < 3 => world.add_set(&format!("s{number}"), scale.into()),
        Step::Add(_) => {}
        Step::Scale(index, scale) => {
            if let Some(id) = id(world, index) {
                world.change_set(&id, |set| set.scale = scale.into());
            }
        }
        Step::Delete(index) => {
            if let Some(id) = id(world, index) {
                world.change_set(&id, |set| set.status = TaskSetStatus::Draining);
            }
        }
        Step::Desired(count) => world.service.desired_count = count,
        Step::Run(count) => world.run(count),
        Step::Fail(count) => world.fail(count),
        Step::Exit(count) => world.exit(count),
        Step::End => world.end(),
        Step::Pass(seconds) => world.pass(seconds),
    }
}

/// One plan, carried out; the next one is empty.
fn settle(world: &mut World) {
    let plan = world.plan();
    world.apply(&plan);
    for set in &world.service.task_sets {
        let desired = set.computed_desired(world.service.desired_count) as usize;
        let alive = world.alive_of(&set.id);
        assert!(alive <= 2 * desired, "{alive} of {desired}: {}", world.show());
    }
    let deployments: Vec<_> = world.service.deployments.iter().map(|row| &row.id).collect();
    let sets: Vec<_> = world.service.task_sets.iter().map(|set| &set.id).collect();
    assert_eq!(deployments, sets, "each set has its deployment");
    let again = world.plan();
    assert!(world.is_empty(&again), "a second plan: {again:?}");
}

proptest! {
    #[test]
    fn every_set_comes_to_its_share_once_nothing_goes_wrong_any_more(
        desired in 0..9u32, steps in prop::collection::vec(step(), 0..30),
    ) {
        let mut world = World::external(desired);
        world.add_set("first", 100.0);
        for (number, step) in steps.into_iter().enumerate() {
            make(&mut world, step, number);
            settle(&mut world);
        }
        for _ in 0..20 {
            world.run(STARTS_MAX);
            world.end();
            world.pass(60);
            settle(&mut world);
        }
        for set in &world.service.task_sets {
            prop_assert!(set.status != TaskSetStatus::Draining, "{}", world.show());
            let running = world.tasks.iter().filter(|task| task.deployment == set.id && task.life == Life::Running);
            prop_assert_eq!(running.count(), set.computed_desired(world.service.desired_count) as usize);
            prop_assert_eq!(set.stability, Stability::SteadyState);
        }
        let total: u32 = world.service.task_sets.iter().map(|set| set.computed_desired(world.service.desired_count)).sum();
        prop_assert_eq!(world.alive(), total as usize, "no task is of a set that is gone");
    }
}
