//! Service scenarios: `tests/scenarios/service-*.txt` are scripts with their recorded output (lines that begin with
//! `|`). `UPDATE=1 cargo test -p plan` writes the output anew; the reviewer reads the difference. After every command
//! plans are made and carried out until one is empty.
//!
//! ```text
//! service DESIRED MINIMUM MAXIMUM [breaker|rollback|- [STRATEGY]]   a new service, with its deployment a
//! daemon MINIMUM [breaker]   a new DAEMON service, with its deployment a
//! rebalance                  over the zones of the nodes: a, b and c
//! checked                    tasks have a health check
//! deploy ID                  a new deployment
//! desired N                  scale
//! run N, fail N, exit N      so many pending tasks run, or never do; so many running tasks end
//! healthy N, unhealthy N     so many running tasks are found to be so
//! broken ID                  no task of this deployment runs any more
//! balanced N                 tasks are in so many target groups; they are registered when they run
//! failing N WHY, missing N   what load balancers say of so many running tasks
//! serving N, faulty N WHY    what they say of so many new ones
//! paired                     new deployments take turns in the target groups blue and green
//! drained                    nothing that was asked to stop has requests any more
//! grace SECONDS
//! end                        all tasks that were asked to stop have stopped
//! drain NODE, activate NODE  of the nodes 0, 1 and 2
//! leave NODE, return NODE    its session ends, or is there again
//! quit NODE, join NODE       it is no container instance of the cluster, or is one again; its tasks have stopped
//! unfit NODE, fit NODE       it does not satisfy a daemon's constraints, or does
//! busy NODE, idle NODE       it has tasks of others, or none
//! protect N SECONDS          so many running tasks
//! pass SECONDS
//! delete
//!
//! external DESIRED           a new service whose controller is EXTERNAL
//! set ID SCALE, scale ID SCALE, primary ID, delete-set ID
//!
//! rolling                    for the next deployment
//! strategy blue-green BAKE | linear STEP STEP-BAKE BAKE | canary PERCENT CANARY-BAKE BAKE    for the next deployment
//! hook pause|lambda STAGE MINUTES rollback|continue [now]    for the next deployment, or for this one too
//! answer continue|rollback   to the hook that waits
//! result ok|WORDS            of the hook's target that was called
//! stop rollback|abort        StopServiceDeployment
//! alarms NAME BAKE           for the next deployment: rolls back
//! alarm NAME                 is in ALARM from now on
//! threshold count|bounded|unbounded N    of the circuit breaker, which no healthy task takes back from now on
//! record                     shows the record of the newest deployment
//! ```

mod service_world;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use model::HealthStatus;
use model::deployment_configuration::{
    BreakerThreshold, DeploymentAlarms, DeploymentStrategy, HookAction, HookTarget, LifecycleHook, PerMille,
};
use model::service::ServiceStatus;
use model::service_deployment::Stage;
use model::task_set::TaskSetStatus;
use model::task_target::TaskTargetStatus;
use plan::service::record::StopKind;
use plan::service::stage::{HookResult, answer};
use plan::service::{Life, record};
use service_world::{World, breaker, configuration};

/// Plans until one is empty.
const PLANS_MAX: usize = 10;

#[test]
fn services_go_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut ran = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("service-")) {
            check(&path);
            ran += 1;
        }
    }
    assert!(ran > 0, "no scenario was found");
}

fn check(path: &Path) {
    let recorded = std::fs::read_to_string(path).unwrap();
    let actual = run(&recorded);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, actual).unwrap();
    }
    assert_eq!(actual, recorded, "{} differs: run with UPDATE=1 and read the difference", path.display());
}

fn run(script: &str) -> String {
    let mut world = World::new(0, configuration(100, 200));
    let mut output = String::new();
    for line in script.lines().filter(|line| !line.starts_with('|')) {
        writeln!(output, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((command, arguments)) = words.split_first().filter(|(command, _)| !command.starts_with('#')) else {
            continue;
        };
        execute(&mut world, command, arguments);
        settle(&mut world, &mut output);
        if *command == "record" {
            writeln!(output, "| {}", show_record(&world)).unwrap();
        }
    }
    output
}

fn execute(world: &mut World, command: &str, arguments: &[&str]) {
    let number = |index: usize| arguments[index].parse::<usize>().unwrap();
    match command {
        "service" => {
            let figures = [0, 1, 2].map(|index| u32::try_from(number(index)).unwrap());
            *world = World::new(figures[0], configuration(figures[1], figures[2]));
            if let Some(kind) = arguments.get(3) {
                world.service.configuration.circuit_breaker = (*kind != "-").then(|| breaker(*kind == "rollback"));
            }
            if arguments.len() > 4 {
                set_strategy(world, &arguments[4..]);
            }
            world.deployment = Some(record::begin(&world.service, "record-a".to_owned(), world.now));
        }
        "checked" => {
            world.has_health_check = true;
            world.tasks.iter_mut().for_each(|task| task.has_health_check = true);
        }
        "deploy" => world.deploy(arguments[0]),
        "desired" => world.service.desired_count = u32::try_from(number(0)).unwrap(),
        "run" => world.run(number(0)),
        "fail" => world.fail(number(0)),
        "exit" => world.exit(number(0)),
        "healthy" => world.change(number(0), Life::Running, |task, _| task.health = HealthStatus::Healthy),
        "unhealthy" => world.change(number(0), Life::Running, |task, _| task.health = HealthStatus::Unhealthy),
        "broken" => world.break_one(arguments[0]),
        "end" => world.end(),
        "balanced" => world.groups = number(0),
        "paired" => (world.groups, world.is_paired) = (1, true),
        "serving" => world.judge_new(number(0), TaskTargetStatus::Healthy, ""),
        "faulty" => world.judge_new(number(0), TaskTargetStatus::Unhealthy, &arguments[1..].join(" ")),
        "failing" => world.judge(number(0), TaskTargetStatus::Unhealthy, &arguments[1..].join(" ")),
        "missing" => world.judge(number(0), TaskTargetStatus::Missing, "TARGET IS NOT FOUND."),
        "drained" => world.drain_requests(),
        "grace" => world.service.health_check_grace_seconds = u32::try_from(number(0)).unwrap(),
        "daemon" => {
            *world = World::daemon(u32::try_from(number(0)).unwrap());
            if arguments.get(1) == Some(&"breaker") {
                world.service.configuration.circuit_breaker = Some(breaker(false));
            }
        }
        "rebalance" => world.service.availability_zone_rebalancing = true,
        "quit" => world.quit(number(0)),
        "join" => world.change_node(number(0), |node| node.is_absent = false),
        "unfit" => world.change_node(number(0), |node| node.is_unfit = true),
        "fit" => world.change_node(number(0), |node| node.is_unfit = false),
        "busy" => world.change_node(number(0), |node| node.is_busy = true),
        "idle" => world.change_node(number(0), |node| node.is_busy = false),
        "drain" => world.change_node(number(0), |node| node.is_draining = true),
        "activate" => world.change_node(number(0), |node| node.is_draining = false),
        "leave" => {
            let now = world.now;
            world.change_node(number(0), |node| node.away_since = Some(now));
        }
        "return" => world.change_node(number(0), |node| node.away_since = None),
        "protect" => {
            let until = world.now.plus(Duration::from_secs(number(1) as u64));
            world.change(number(0), Life::Running, |task, _| task.protected_until = Some(until));
        }
        "pass" => world.pass(number(0) as u64),
        "delete" => {
            world.service.status = ServiceStatus::Draining;
            world.service.desired_count = 0;
        }
        "external" => *world = World::external(u32::try_from(number(0)).unwrap()),
        "set" => world.add_set(arguments[0], number(1) as f64),
        "scale" => world.change_set(arguments[0], |set| set.scale = number(1) as f64),
        "primary" => {
            world.service.task_sets.iter_mut().for_each(|set| set.status = TaskSetStatus::Active);
            world.change_set(arguments[0], |set| set.status = TaskSetStatus::Primary);
        }
        "delete-set" => world.change_set(arguments[0], |set| set.status = TaskSetStatus::Draining),
        _ => execute_deployment(world, command, arguments),
    }
}

fn execute_deployment(world: &mut World, command: &str, arguments: &[&str]) {
    let number = |index: usize| arguments[index].parse::<u32>().unwrap();
    let configuration = &mut world.service.configuration;
    match command {
        "strategy" => set_strategy(world, arguments),
        "rolling" => {
            configuration.strategy = DeploymentStrategy::Rolling;
            configuration.hooks.clear();
        }
        "hook" => {
            let hook = LifecycleHook {
                target: match arguments[0] {
                    "pause" => HookTarget::Pause,
                    _ => HookTarget::Lambda("arn:f".to_owned()),
                },
                stages: vec![Stage::parse(arguments[1]).unwrap()],
                timeout_minutes: number(2),
                timeout_action: if arguments[3] == "continue" { HookAction::Continue } else { HookAction::Rollback },
            };
            configuration.hooks.push(hook.clone());
            if arguments.get(4) == Some(&"now") {
                world.record().configuration.hooks.push(hook);
            }
        }
        "answer" => {
            let (id, now) = (world.waiting_hook().expect("a hook waits"), world.now);
            answer(world.record(), &id, arguments[0] == "continue", now).unwrap();
        }
        "result" => {
            let id = world.waiting_hook().expect("a hook waits");
            let outcome = if arguments[0] == "ok" { Ok(()) } else { Err(arguments.join(" ")) };
            world.hooks.push(HookResult { id, outcome });
        }
        "stop" => {
            let kind = if arguments[0] == "abort" { StopKind::Abort } else { StopKind::Rollback };
            let now = world.now;
            record::ask(world.record(), kind, now).unwrap();
        }
        "alarms" => {
            let names = vec![arguments[0].to_owned()];
            configuration.alarms = Some(DeploymentAlarms { names, enable: true, rollback: true });
            world.alarm_bake = Duration::from_secs(number(1).into());
        }
        "alarm" => world.in_alarm.push(arguments[0].to_owned()),
        "threshold" => {
            let breaker = configuration.circuit_breaker.as_mut().expect("a circuit breaker");
            breaker.reset_on_healthy_task = false;
            breaker.threshold = match arguments[0] {
                "count" => BreakerThreshold::Count(number(1)),
                "bounded" => BreakerThreshold::BoundedPercent(number(1)),
                _ => BreakerThreshold::UnboundedPercent(number(1)),
            };
        }
        "record" => {}
        unknown => panic!("unknown command {unknown}"),
    }
}

fn set_strategy(world: &mut World, arguments: &[&str]) {
    let number = |index: usize| arguments[index].parse::<u32>().unwrap();
    let share = |index: usize| PerMille((arguments[index].parse::<f64>().unwrap() * 10.0) as u32);
    let (strategy, bake_minutes) = match arguments[0] {
        "blue-green" => (DeploymentStrategy::BlueGreen, number(1)),
        "linear" => (DeploymentStrategy::Linear { step: share(1), step_bake_minutes: number(2) }, number(3)),
        _ => (DeploymentStrategy::Canary { percent: share(1), bake_minutes: number(2) }, number(3)),
    };
    let configuration = &mut world.service.configuration;
    (configuration.strategy, configuration.bake_minutes) = (strategy, bake_minutes);
}

/// The newest deployment's record, but for its times.
fn show_record(world: &World) -> String {
    let row = world.deployment.as_ref().expect("a deployment");
    let mut shown = format!("{} of {} after [{}]", row.status.as_str(), row.target, row.sources.join(", "));
    if let Some(reason) = &row.status_reason {
        write!(shown, ": {reason}").unwrap();
    }
    let breaker = &row.breaker;
    let (failures, threshold) = (breaker.failures, breaker.threshold);
    write!(shown, " | circuit breaker {} {failures} of {threshold}", breaker.status.as_str()).unwrap();
    write!(shown, " | alarms {} [{}]", row.alarms.status.as_str(), row.alarms.triggered.join(", ")).unwrap();
    if let Some(back) = &row.rollback {
        write!(shown, " | back to {:?}", back.revision.as_deref().unwrap_or("nothing")).unwrap();
    }
    shown
}

fn settle(world: &mut World, output: &mut String) {
    for _ in 0..PLANS_MAX {
        let plan = world.plan();
        if world.is_empty(&plan) {
            writeln!(output, "| {}", world.show()).unwrap();
            if let Some(stage) = world.show_stage() {
                writeln!(output, "| {stage}").unwrap();
            }
            if let Some(shifts) = world.show_shifts() {
                writeln!(output, "| {shifts}").unwrap();
            }
            if let Some(at) = plan.wake_at {
                writeln!(output, "| again in {} s", at.since(world.now).as_secs()).unwrap();
            }
            return;
        }
        for event in world.apply(&plan) {
            writeln!(output, "| {}", short(&event.message)).unwrap();
        }
    }
    panic!("plans do not end: {}", world.show());
}

/// Task ids without their zeros.
fn short(event: &str) -> String {
    event.replace("(service web) ", "").replace("(task 0000000000000000000000000000", "(task ")
}
