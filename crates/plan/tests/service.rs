//! Services: the worked examples of ecs-semantics §8, and what holds whatever happens.

mod service_world;

use std::time::Duration;

use model::deployment_configuration::{
    BreakerThreshold, DeploymentStrategy, HookAction, HookTarget, LifecycleHook, PerMille,
};
use model::service::ServiceStatus;
use model::service_deployment::{ServiceDeploymentStatus, Stage, Traffic};
use model::task_target::TaskTargetStatus;
use model::{HealthStatus, NodeId, TaskTarget};
use plan::service::record::{self, StopKind};
use plan::service::stage::{HookResult, answer};
use plan::service::{Life, STOPS_MAX, ServicePlan, ServiceTask, bounds, rollout};
use proptest::prelude::*;
use service_world::{Ground, World, configuration};

#[test]
fn bounds_are_those_of_the_worked_examples() {
    for (desired, minimum, maximum, expected) in [
        (4, 50, 200, (2, 8)),
        (2, 75, 100, (2, 2)),
        (3, 100, 125, (3, 3)),
        (1, 100, 200, (1, 2)),
        (1, 0, 100, (0, 1)),
        (0, 100, 200, (0, 0)),
        (u32::MAX, 100, 200, (u32::MAX as usize, 2 * u32::MAX as usize)),
    ] {
        assert_eq!(bounds(desired, minimum, maximum), expected, "{desired} {minimum} {maximum}");
    }
}

#[test]
fn the_circuit_breaker_trips_at() {
    let expected = [(1, 3), (5, 3), (6, 3), (7, 4), (25, 13), (400, 200), (800, 200), (0, 3), (u32::MAX, 200)];
    for (desired, threshold) in expected {
        assert_eq!(rollout::threshold(BreakerThreshold::default(), desired), threshold, "{desired}");
    }
    for (rule, desired, threshold) in [
        (BreakerThreshold::BoundedPercent(1), 25, 3),
        (BreakerThreshold::BoundedPercent(100), 25, 25),
        (BreakerThreshold::UnboundedPercent(1), 25, 1),
        (BreakerThreshold::UnboundedPercent(50), 800, 400),
        (BreakerThreshold::UnboundedPercent(50), 0, 1),
        (BreakerThreshold::Count(7), 1, 7),
        (BreakerThreshold::Count(7), 1000, 7),
    ] {
        assert_eq!(rollout::threshold(rule, desired), threshold, "{rule:?} {desired}");
    }
}

#[test]
fn delays_grow_to_27_minutes() {
    let seconds = |attempts| rollout::delay(attempts).as_secs();
    assert_eq!([1, 2, 3, 4, 11, 12, 33, u32::MAX].map(seconds), [1, 2, 4, 8, 1024, 1620, 1620, 1620]);
    assert_eq!(rollout::delay(0), Duration::from_secs(1));
}

/// Carries plans out and answers how many tasks each of them stopped, until one stops none.
fn stops_of_plans(world: &mut World) -> Vec<usize> {
    let mut stops = Vec::new();
    loop {
        let plan = world.plan();
        world.apply(&plan);
        match plan.stop.len() {
            0 => return stops,
            count => stops.push(count),
        }
    }
}

fn large(desired: u32) -> World {
    let mut world = World::new(desired, configuration(100, 200));
    while world.alive() < desired as usize {
        let plan = world.plan();
        world.apply(&plan);
    }
    world.run(usize::MAX);
    world.pass(40);
    settle(&mut world);
    world
}

#[test]
fn many_tasks_are_stopped_in_several_plans() {
    let mut world = large(2500);
    world.service.desired_count = 100;
    assert_eq!(stops_of_plans(&mut world), [STOPS_MAX, STOPS_MAX, 400]);

    let mut world = large(2500);
    world.service.status = ServiceStatus::Draining;
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!((plan.stop.len(), world.service.status), (STOPS_MAX, ServiceStatus::Draining), "tasks are still there");
    assert_eq!(stops_of_plans(&mut world), [STOPS_MAX, 500]);
    assert_eq!((world.alive(), world.service.status), (0, ServiceStatus::Inactive));

    let mut world = large(1500);
    world.deploy("b");
    while world.alive() < 3000 {
        let plan = world.plan();
        world.apply(&plan);
    }
    world.run(usize::MAX);
    world.pass(40);
    assert_eq!(stops_of_plans(&mut world), [STOPS_MAX, 500]);
    assert_eq!(world.service.deployments.len(), 1);
}

#[test]
fn tasks_of_a_lost_node_are_stopped_in_several_plans() {
    let mut world = large(3300);
    let now = world.now;
    world.change_node(1, |row| row.away_since = Some(now));
    world.pass(60);
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!((plan.stop.len(), plan.starts()), (STOPS_MAX, STOPS_MAX), "each is replaced");
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!((plan.stop.len(), plan.starts()), (100, 100));
    settle(&mut world);
    assert_eq!(world.alive(), 3300);
}

/// Carries plans out between the steps, and answers how many healthy tasks are left.
fn play(mut world: World, steps: &[Step]) -> usize {
    settle(&mut world);
    for (number, step) in steps.iter().enumerate() {
        take(&mut world, *step, number);
        settle(&mut world);
    }
    world.healthy()
}

#[test]
fn scaling_in_keeps_what_is_known_to_work() {
    use TaskTargetStatus::{Healthy, Initial};
    // The newer task is sent requests, and the older one not any more.
    let mut world = World::new(2, configuration(1, 100));
    (world.groups, world.has_health_check) = (1, true);
    assert_eq!(play(world, &[Step::Run(2), Step::Judge(2, Healthy), Step::Judge(1, Initial), Step::Scale(1)]), 1);

    // By the shares of the providers one task of each would go.
    let mut world = World::new(4, configuration(100, 200));
    (world.groups, world.has_health_check) = (1, false);
    world.share_out(2);
    settle(&mut world);
    world.run(usize::MAX);
    world.judge(usize::MAX, Healthy, "");
    world.change(usize::MAX, Life::Running, |task, _| {
        if task.provider.as_deref() == Some("p1") {
            task.targets.to_mut()[0].status = Initial;
        }
    });
    assert_eq!(play(world, &[Step::Scale(2)]), 2);

    // The one that does not work any more is protected.
    let mut world = World::new(2, configuration(100, 200));
    world.groups = 1;
    let steps = [Step::Run(2), Step::Judge(2, Healthy), Step::Protect(1, 300), Step::Judge(1, Initial), Step::Scale(1)];
    assert_eq!(play(world, &steps), 1);
}

#[test]
fn zones_are_evened_out_without_changing_the_providers_shares() {
    let mut world = World::new(6, configuration(50, 200));
    world.service.availability_zone_rebalancing = true;
    world.share_out(2);
    world.change_node(2, |row| row.is_draining = true);
    go_on(&mut world, settle);
    assert_eq!([0, 1, 2].map(|node| world.living_on(node)), [3, 3, 0]);
    world.change_node(2, |row| row.is_draining = false);
    go_on(&mut world, settle);
    assert_eq!([0, 1, 2].map(|node| world.living_on(node)), [2, 2, 2]);
    let of = |provider: &str| world.tasks.iter().filter(|task| task.provider.as_deref() == Some(provider)).count();
    assert_eq!([of("p0"), of("p1")], [3, 3]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Run(usize),
    Fail(usize),
    Exit(usize),
    End,
    Health(usize, bool),
    Judge(usize, TaskTargetStatus),
    Pass(u64),
    Deploy,
    Scale(u32),
    Drain(usize, bool),
    Leave(usize),
    Return(usize),
    Protect(usize, u64),
}

/// What a load balancer says of a target.
fn judgement() -> impl Strategy<Value = TaskTargetStatus> {
    use TaskTargetStatus::{Healthy, Initial, Missing, Unhealthy};
    prop_oneof![4 => Just(Healthy), 1 => Just(Initial), 1 => Just(Unhealthy), 1 => Just(Missing)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6usize).prop_map(Step::Run),
        1 => (0..4usize).prop_map(Step::Fail),
        1 => (0..3usize).prop_map(Step::Exit),
        3 => Just(Step::End),
        2 => ((0..4usize), any::<bool>()).prop_map(|(count, is_healthy)| Step::Health(count, is_healthy)),
        2 => ((0..4usize), judgement()).prop_map(|(count, status)| Step::Judge(count, status)),
        4 => (0..60u64).prop_map(Step::Pass),
        1 => Just(Step::Deploy),
        1 => (0..9u32).prop_map(Step::Scale),
        1 => ((1..3usize), any::<bool>()).prop_map(|(node, is_draining)| Step::Drain(node, is_draining)),
        1 => (1..3usize).prop_map(Step::Leave),
        1 => (1..3usize).prop_map(Step::Return),
        1 => ((0..4usize), (0..300u64)).prop_map(|(count, seconds)| Step::Protect(count, seconds)),
    ]
}

fn take(world: &mut World, step: Step, number: usize) {
    match step {
        Step::Run(count) => world.run(count),
        Step::Fail(count) => world.fail(count),
        Step::Exit(count) => world.exit(count),
        Step::End => world.end(),
        Step::Health(count, is_healthy) => {
            let health = if is_healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
            world.change(count, Life::Running, |task, _| task.health = health);
        }
        Step::Judge(count, status) => world.judge(count, status, "why"),
        Step::Pass(seconds) => world.pass(seconds),
        Step::Deploy => world.deploy(&format!("d{number}")),
        Step::Scale(desired) => world.service.desired_count = desired,
        // Node 0 always takes tasks.
        Step::Drain(node, is_draining) => world.change_node(node, |row| row.is_draining = is_draining),
        Step::Leave(node) => {
            let now = world.now;
            world.change_node(node, |row| row.away_since = row.away_since.or(Some(now)));
        }
        Step::Return(node) => world.change_node(node, |row| row.away_since = None),
        Step::Protect(count, seconds) => {
            let until = world.now.plus(Duration::from_secs(seconds));
            world.change(count, Life::Running, |task, _| task.protected_until = Some(until));
        }
    }
}

/// A protected task goes only when it is lost or unhealthy.
fn hold_protection(world: &World, plan: &ServicePlan) {
    for stop in &plan.stop {
        let task = world.tasks.iter().find(|task| task.id == stop.task).expect("a task that is there");
        let is_protected = task.protected_until.is_some_and(|until| world.now < until);
        let fails = task.health == HealthStatus::Unhealthy || task.targets.iter().any(TaskTarget::fails);
        let is_due = world.is_lost(task) || fails;
        assert!(!is_protected || is_due, "a protected task goes: {stop:?}");
    }
}

/// Carries plans out until nothing is left to do, and holds each of them to the bounds.
fn settle(world: &mut World) {
    let plan = world.plan();
    let (healthy, alive) = (world.healthy(), world.alive());
    let stopped = plan.stop.len();
    hold_protection(world, &plan);
    let primary = world.service.deployments[0].id.clone();
    world.apply(&plan);
    let (lower, upper) = world.bounds();
    if world.service.deployments[0].id == primary {
        assert!(world.healthy() >= lower.min(healthy), "{} healthy of {lower}: {}", world.healthy(), world.show());
    }
    let starts = plan.starts();
    assert!(starts == 0 || world.alive() <= upper, "{} of {upper}: {}", world.alive(), world.show());
    assert!(starts > 0 || world.alive() + stopped <= alive, "tasks from nowhere");
    let again = world.plan();
    assert!(world.is_empty(&again), "a second plan: {again:?}");
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    World(Step),
    Answer(bool),
    Call(bool),
    Stop(StopKind),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        12 => step().prop_map(Turn::World),
        2 => any::<bool>().prop_map(Turn::Answer),
        2 => any::<bool>().prop_map(Turn::Call),
        1 => prop_oneof![Just(StopKind::Abort), Just(StopKind::Rollback)].prop_map(Turn::Stop),
    ]
}

fn strategy() -> impl Strategy<Value = DeploymentStrategy> {
    prop_oneof![
        Just(DeploymentStrategy::BlueGreen),
        (30..=1000u32, 0..2u32).prop_map(|(step, step_bake_minutes)| DeploymentStrategy::Linear {
            step: PerMille(step),
            step_bake_minutes
        }),
        (1..=1000u32, 0..2u32).prop_map(|(percent, bake_minutes)| DeploymentStrategy::Canary {
            percent: PerMille(percent),
            bake_minutes
        }),
    ]
}

fn hook() -> impl Strategy<Value = LifecycleHook> {
    let target = prop_oneof![Just(HookTarget::Pause), Just(HookTarget::Lambda("arn:f".to_owned()))];
    let action = prop_oneof![Just(HookAction::Continue), Just(HookAction::Rollback)];
    // Those that can have hooks.
    let has_hooks = |stage: &Stage| !matches!(stage, Stage::ScaleUp | Stage::BakeTime | Stage::CleanUp);
    let stages: Vec<Stage> = Stage::ALL.into_iter().filter(has_hooks).collect();
    (target, proptest::sample::select(stages), 1..3u32, action).prop_map(
        |(target, stage, timeout_minutes, timeout_action)| LifecycleHook {
            target,
            stages: vec![stage],
            timeout_minutes,
            timeout_action,
        },
    )
}

fn take_turn(world: &mut World, turn: Turn, number: usize) {
    let now = world.now;
    match turn {
        Turn::World(step) => take(world, step, number),
        Turn::Answer(go_on) => {
            let Some(id) = world.waiting_hook() else { return };
            // Not every hook is one that a person answers.
            let _ = answer(world.record(), &id, go_on, now);
        }
        Turn::Call(succeeds) => {
            let Some(id) = world.waiting_hook() else { return };
            let outcome = if succeeds { Ok(()) } else { Err("returned FAILED status".to_owned()) };
            world.hooks.push(HookResult { id, outcome });
        }
        Turn::Stop(kind) => {
            let before = world.record().clone();
            if record::ask(world.record(), kind, now).is_err() {
                assert_eq!(*world.record(), before, "what is refused changes nothing");
            }
        }
    }
}

/// As [`settle`], with two revisions that are held to the bounds each for itself.
fn settle_stages(world: &mut World) {
    let plan = world.plan();
    let healthy = world.healthy();
    let has_served = shares(world).0 > 0;
    let primary = world.service.deployments[0].id.clone();
    world.apply(&plan);
    let (lower, upper) = world.bounds();
    if world.service.deployments[0].id == primary {
        assert!(world.healthy() >= lower.min(healthy), "{} healthy of {lower}: {}", world.healthy(), world.show());
    }
    for start in &plan.start {
        let alive = world.alive_of(&start.deployment);
        assert!(alive <= upper, "{alive} of {upper} for {}: {}", start.deployment, world.show());
    }
    let again = world.plan();
    assert!(world.is_empty(&again), "a second plan: {again:?}");
    hold_traffic(world, has_served);
}

/// Production and test traffic of all revisions together.
fn shares(world: &World) -> (u32, u32) {
    let shares = world.service.deployments.iter().filter_map(|deployment| deployment.traffic);
    shares.fold((0, 0), |(production, test), share| (production + share.production.0, test + share.test.0))
}

/// All traffic goes somewhere, once it has gone somewhere, and none to a revision that is not there.
fn hold_traffic(world: &World, has_served: bool) {
    let (production, test) = shares(world);
    for share in [production, test] {
        assert!(share == 1000 || share == 0 && !has_served, "{share}: {:?}", world.show_stage());
    }
    let is_in = world.deployment.as_ref().is_some_and(|row| row.status == ServiceDeploymentStatus::Successful);
    assert!(!is_in || world.service.deployments[0].traffic == Some(Traffic::ALL), "{:?}", world.show_stage());
}

/// From now on nothing goes wrong any more, for as long as anything takes.
fn go_well(world: &mut World, settle: fn(&mut World)) {
    world.change(usize::MAX, Life::Running, |task, _| task.health = HealthStatus::Unknown);
    for node in 0..3 {
        world.change_node(node, |row| *row = Ground::default());
    }
    go_on(world, settle);
}

/// As long as anything takes.
fn go_on(world: &mut World, settle: fn(&mut World)) {
    for _ in 0..40 {
        world.pass(1700);
        world.run(usize::MAX);
        world.judge(usize::MAX, TaskTargetStatus::Healthy, "");
        world.end();
        settle(world);
    }
}

fn settle_daemon(world: &mut World) {
    let plan = world.plan();
    hold_protection(world, &plan);
    let healthy = world.healthy();
    let primary = world.service.deployments[0].id.clone();
    world.apply(&plan);
    let open = world.nodes.iter().all(|node| !node.is_draining && node.away_since.is_none());
    if open && world.service.deployments[0].id == primary {
        let lower = world.bounds().0;
        assert!(world.healthy() >= lower.min(healthy), "{} healthy of {lower}: {}", world.healthy(), world.show());
    }
    for node in 0..3 {
        let here = |task: &&ServiceTask<'_>| task.site.node == Some(NodeId(node));
        let there = world.tasks.iter().filter(here).filter(|task| !matches!(task.life, Life::Stopped { .. }));
        assert!(there.count() <= 1, "two on one instance: {}", world.show());
    }
    let again = world.plan();
    assert!(world.is_empty(&again), "a second plan: {again:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_to_the_bounds_and_end(
        desired in 0..7u32,
        minimum in 0..=100u32,
        maximum in 100..=200u32,
        breaker in proptest::option::of(any::<bool>()),
        has_health_check in any::<bool>(),
        groups in 0..3usize,
        steps in proptest::collection::vec(step(), 1..40),
        providers in 0..3usize,
    ) {
        let mut world = World::new(desired, configuration(minimum, maximum));
        world.share_out(providers);
        if let Some(rollback) = breaker {
            world = world.with_breaker(rollback);
        }
        world.has_health_check = has_health_check;
        world.groups = groups;
        settle(&mut world);
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut world, step, number);
            settle(&mut world);
        }
    }

    /// A service that nothing happens to comes to rest with its tasks evened out, and stays there.
    #[test]
    fn rebalanced_services_rest(
        desired in 0..9u32,
        groups in 0..3usize,
        steps in proptest::collection::vec(step(), 0..30),
        providers in 0..3usize,
    ) {
        let mut world = World::new(desired, configuration(50, 200));
        world.groups = groups;
        world.share_out(providers);
        world.service.availability_zone_rebalancing = true;
        settle(&mut world);
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut world, step, number);
            settle(&mut world);
        }
        go_well(&mut world, settle);
        let zones = [0, 1, 2].map(|node| world.living_on(node));
        // Whoever may have no task more than desired cannot move one.
        let may_move = world.bounds().1 > world.service.desired_count as usize;
        let difference = zones.iter().max().unwrap() - zones.iter().min().unwrap();
        prop_assert!(difference <= 1 || !may_move, "{:?}", zones);
        prop_assert_eq!(world.alive(), world.service.desired_count as usize);
        prop_assert!(world.service.rebalancing.is_none() && world.service.steady_at.is_some());
    }

    /// Never two tasks on an instance, not even while one stops; never fewer healthy ones than the minimum because of a
    /// deployment; and once nothing goes wrong any more, one on each.
    #[test]
    fn daemons_keep_to_one_task_an_instance(minimum in 0..=66u32, steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::daemon(minimum);
        settle_daemon(&mut world);
        for (number, step) in steps.into_iter().enumerate() {
            if !matches!(step, Step::Scale(_)) {
                take(&mut world, step, number);
                settle_daemon(&mut world);
            }
        }
        go_well(&mut world, settle_daemon);
        prop_assert_eq!((world.alive(), world.service.deployments.len()), (3, 1));
        prop_assert!(world.service.steady_at.is_some(), "{}", world.show());
    }

    /// Once nothing goes wrong any more, every service whose bounds leave room becomes steady.
    #[test]
    fn services_converge(
        desired in 0..7u32,
        groups in 0..3usize,
        steps in proptest::collection::vec(step(), 0..30),
    ) {
        let mut world = World::new(desired, configuration(50, 200));
        world.groups = groups;
        settle(&mut world);
        for (number, step) in steps.into_iter().enumerate() {
            take(&mut world, step, number);
            settle(&mut world);
        }
        go_well(&mut world, settle);
        prop_assert_eq!(world.alive(), world.service.desired_count as usize);
        prop_assert_eq!(world.service.deployments.len(), 1);
        prop_assert!(world.service.steady_at.is_some(), "{}", world.show());
    }

    /// Whatever happens on the way, a deployment with stages keeps to the bounds, ends once nothing goes wrong any
    /// more, and leaves one revision that has all the traffic. It does so, too, when no older revision works.
    #[test]
    fn deployments_with_stages_keep_to_the_bounds_and_end(
        desired in 0..5u32,
        minimum in 0..=100u32,
        strategy in strategy(),
        hooks in proptest::collection::vec(hook(), 0..3),
        breaker in proptest::option::of(any::<bool>()),
        groups in 0..3usize,
        turns in proptest::collection::vec(turn(), 1..40),
        older_ones_work in any::<bool>(),
    ) {
        let mut world = World::new(desired, configuration(minimum, 200));
        if let Some(rollback) = breaker {
            world = world.with_breaker(rollback);
        }
        world.groups = groups;
        let row = &mut world.service.configuration;
        (row.strategy, row.bake_minutes, row.hooks) = (strategy, 1, hooks);
        world.deployment = Some(record::begin(&world.service, "record-a".to_owned(), world.now));
        settle_stages(&mut world);
        for (number, turn) in turns.into_iter().enumerate() {
            take_turn(&mut world, turn, number);
            settle_stages(&mut world);
        }
        if !older_ones_work || shares(&world).0 == 0 {
            // What waits for an answer that nobody gives is rolled back, to one that works.
            world.service.configuration.hooks.clear();
        }
        world.deploy("last");
        world.change(usize::MAX, Life::Running, |task, _| task.health = HealthStatus::Unknown);
        for _ in 0..120 {
            settle_stages(&mut world);
            if !older_ones_work {
                world.break_all_but("last");
            }
            world.run(usize::MAX);
            world.judge(usize::MAX, TaskTargetStatus::Healthy, "");
            world.end();
            world.pass(200);
        }
        prop_assert!(world.record().is_over(), "{:?}", world.show_stage());
        prop_assert_eq!(world.alive(), world.service.desired_count as usize);
        prop_assert_eq!(world.service.deployments.len(), 1);
        prop_assert_eq!(world.service.deployments[0].traffic, Some(Traffic::ALL));
        prop_assert!(world.service.steady_at.is_some(), "{}", world.show());
    }
}
