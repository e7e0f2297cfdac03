//! One service scaled from 0 to 50,000 tasks on 5,000 simulated nodes until all are RUNNING, durably in redb: the whole
//! path from the call to the nodes' reports.

use std::time::{Duration, Instant};

use super::figure::{Figure, Goal};
use super::process;
use super::service::{self, Fleet};
use crate::failure::Failure;

const NODES: u32 = 5_000;
const TASKS: u32 = 50_000;
const TASKS_GOAL: f64 = 5_000.0;
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(300);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let fleet = Fleet::start(NODES).await?;
    service::create(&fleet.client, "web", "bench-none", 0, Default::default()).await?;
    let pid = fleet.instance.pid();
    let (memory, processor) = (process::resident_mib(pid)?, process::processor_time(pid)?);
    let started = Instant::now();
    service::scale(&fleet.client, "web", TASKS).await?;
    service::wait_for(&fleet.client, "web", TASKS, POLL_INTERVAL, LIMIT).await?;
    let took = started.elapsed().as_secs_f64();
    let processor = process::processor_time(pid)? - processor;
    let per_task = (process::resident_mib(pid)? - memory) * 1024.0 / f64::from(TASKS);
    let tasks = f64::from(TASKS);
    fleet.end()?;
    Ok(vec![
        Figure::new("0 to 50,000 tasks on 5,000 nodes", "tasks/s", tasks / took, None, Goal::AtLeast(TASKS_GOAL)),
        Figure::new("Processor time of a task", "µs", processor.as_secs_f64() * 1e6 / tasks, None, Goal::None),
        Figure::new("Memory of a running task, its simulated node's part included", "KiB", per_task, None, Goal::None),
        Figure::new(
            "Memory of a simulated node with its session",
            "KiB",
            memory * 1024.0 / f64::from(NODES),
            None,
            Goal::None,
        ),
    ])
}
