//! 10,000 services at rest: what each costs in memory, idle and with a task, and the processor time of a gantry with
//! nothing to do for them.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::figure::{Figure, Goal};
use super::process;
use super::service::{self, Fleet};
use crate::failure::Failure;

const NODES: u32 = 100;
const SERVICES: u32 = 10_000;
const CALLS_AT_ONCE: usize = 64;
/// Tasks without a health check prove themselves, the services become steady, and what that needed is given back.
const SETTLING: Duration = Duration::from_secs(60);
const WATCHED: Duration = Duration::from_secs(30);
const CORE_PERCENT_GOAL: f64 = 2.0;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(300);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let fleet = Fleet::start(NODES).await?;
    let pid = fleet.instance.pid();
    let at_first = process::resident_mib(pid)?;
    create_all(&fleet).await?;
    let idle = process::resident_mib(pid)?;
    scale_all(&fleet).await?;
    tokio::time::sleep(SETTLING).await;
    let running = process::resident_mib(pid)?;
    let (before, started) = (process::processor_time(pid)?, Instant::now());
    tokio::time::sleep(WATCHED).await;
    let used = process::processor_time(pid)? - before;
    let percent = 100.0 * used.as_secs_f64() / started.elapsed().as_secs_f64();
    fleet.end()?;
    let each = |mib: f64| mib * 1024.0 / f64::from(SERVICES);
    Ok(vec![
        Figure::new("10,000 services at rest, of one core", "%", percent, None, Goal::AtMost(CORE_PERCENT_GOAL)),
        Figure::new("Memory of an idle service", "KiB", each(idle - at_first), None, Goal::None),
        Figure::new(
            "Memory of its running task and what was said of it",
            "KiB",
            each(running - idle),
            None,
            Goal::None,
        ),
    ])
}

fn names() -> impl Iterator<Item = String> {
    (0..SERVICES).map(|number| format!("web-{number}"))
}

async fn create_all(fleet: &Fleet) -> Result<(), Failure> {
    let create = async |name: String| service::create(&fleet.client, &name, "bench-none", 0, Value::Null).await;
    stream::iter(names()).map(create).buffered(CALLS_AT_ONCE).try_collect().await
}

async fn scale_all(fleet: &Fleet) -> Result<(), Failure> {
    let scale = async |name: String| service::scale(&fleet.client, &name, 1).await;
    stream::iter(names()).map(scale).buffered(CALLS_AT_ONCE).try_collect::<()>().await?;
    for name in names() {
        service::wait_for(&fleet.client, &name, 1, POLL_INTERVAL, LIMIT).await?;
    }
    Ok(())
}
