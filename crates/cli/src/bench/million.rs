//! A million tasks of 200 services on 10,000 simulated nodes, placed and RUNNING, durably in redb, in one process.

use std::time::{Duration, Instant};

use super::figure::{Figure, Goal};
use super::process;
use super::service::{self, Fleet};
use crate::failure::Failure;

const NODES: u32 = 10_000;
/// Each as large as AWS lets a service be.
const TASKS_PER_SERVICE: u32 = 5_000;
const SERVICES: u32 = 200;
const SECONDS_GOAL: f64 = 240.0;
const GIB_GOAL: f64 = 8.0;
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(1800);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let fleet = Fleet::start(NODES).await?;
    let ready_after = fleet.instance.ready_after.as_secs_f64();
    let pid = fleet.instance.pid();
    let processor = process::processor_time(pid)?;
    let started = Instant::now();
    let names: Vec<String> = (0..SERVICES).map(|number| format!("web-{number}")).collect();
    for name in &names {
        service::create(&fleet.client, name, "bench-none", TASKS_PER_SERVICE, Default::default()).await?;
    }
    for name in &names {
        service::wait_for(&fleet.client, name, TASKS_PER_SERVICE, POLL_INTERVAL, LIMIT).await?;
    }
    let took = started.elapsed().as_secs_f64();
    let processor = process::processor_time(pid)? - processor;
    let peak = process::peak_resident_mib(pid)? / 1024.0;
    fleet.end()?;
    let tasks = f64::from(SERVICES * TASKS_PER_SERVICE);
    Ok(vec![
        Figure::new("1,000,000 tasks placed and RUNNING on 10,000 nodes", "s", took, None, Goal::AtMost(SECONDS_GOAL)),
        Figure::new("Most memory of that", "GiB", peak, None, Goal::AtMost(GIB_GOAL)),
        Figure::new("Processor time of a task", "µs", processor.as_secs_f64() * 1e6 / tasks, None, Goal::None),
        Figure::new("Start with 10,000 simulated nodes", "s", ready_after, None, Goal::None),
    ])
}
