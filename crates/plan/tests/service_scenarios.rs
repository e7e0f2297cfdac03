//! Service scenarios: `tests/scenarios/service-*.txt` are scripts with their recorded output (lines that begin with
//! `|`). `UPDATE=1 cargo test -p plan` writes the output anew; the reviewer reads the difference. After every command
//! plans are made and carried out until one is empty.
//!
//! ```text
//! service DESIRED MINIMUM MAXIMUM [breaker|rollback]   a new service, with its deployment a
//! checked                    tasks have a health check
//! deploy ID                  a new deployment
//! desired N                  scale
//! run N, fail N, exit N      so many pending tasks run, or never do; so many running tasks end
//! healthy N, unhealthy N     so many running tasks are found to be so
//! end                        all tasks that were asked to stop have stopped
//! drain NODE, activate NODE  of the nodes 0, 1 and 2
//! leave NODE, return NODE    its session ends, or is there again
//! protect N SECONDS          so many running tasks
//! pass SECONDS
//! delete
//! ```

mod service_world;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use model::HealthStatus;
use model::service::ServiceStatus;
use plan::service::Life;
use service_world::{World, configuration};

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
    }
    output
}

fn execute(world: &mut World, command: &str, arguments: &[&str]) {
    let number = |index: usize| arguments[index].parse::<usize>().unwrap();
    match command {
        "service" => {
            let figures = [0, 1, 2].map(|index| u32::try_from(number(index)).unwrap());
            *world = World::new(figures[0], configuration(figures[1], figures[2]));
            if let Some(breaker) = arguments.get(3) {
                world.service.configuration.circuit_breaker =
                    Some(model::service::CircuitBreaker { enable: true, rollback: *breaker == "rollback" });
            }
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
        "end" => world.end(),
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
        unknown => panic!("unknown command {unknown}"),
    }
}

fn settle(world: &mut World, output: &mut String) {
    for _ in 0..PLANS_MAX {
        let plan = world.plan();
        let is_empty =
            plan.service == world.service && plan.counted.is_empty() && plan.stop.is_empty() && plan.start == 0;
        if is_empty {
            writeln!(output, "| {}", world.show()).unwrap();
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
