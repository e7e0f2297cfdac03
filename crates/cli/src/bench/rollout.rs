//! The demo's service with ten tasks behind its load balancer: how long after a task listens it gets its first request,
//! and what became of every request of a steady load while a new revision was rolled out, also when the control plane was
//! killed meanwhile and stayed away.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::figure::{Figure, Goal, Sorted};
use super::instance::{Ground, Instance, until_interrupted};
use super::load::{ANSWER_LIMIT, Prepared, connect, exchange};
use crate::client::Client;
use crate::demo::balancer::Balancer;
use crate::demo::service::Size;
use crate::demo::{image, service};
use crate::failure::{Context, Failure};
use crate::page;

/// Where this machine is an instance.
const CLUSTER: &str = "default";
const TASKS: u32 = 10;
/// Small enough that two revisions at once fit on two processors.
const SIZE: Size = Size { cluster: CLUSTER, tasks: TASKS, launch_type: "EC2", cpu: None, memory: "64" };
const ROUNDS: usize = 3;
const FIRST_REQUEST_MS_GOAL: f64 = 300.0;
/// For all tasks to have answered.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Requests in turn, often enough that a task's turn comes at once.
const ASK_PAUSE: Duration = Duration::from_millis(2);
const CONNECTIONS: u32 = 20;
const REQUESTS_PER_SECOND: u32 = 2000;
/// A machine that is short of processors is late now and then, and catches up.
const PACE_GOAL: f64 = 0.95 * REQUESTS_PER_SECOND as f64;
/// How long the load goes on before an update and after it.
const CALM: Duration = Duration::from_secs(2);
/// From the order to update until the control plane is killed.
const KILLED_AFTER: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(10);

pub async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::make().await?;
    let mut instance = Some(ground.start().await?);
    let measured = until_interrupted(measure_on(&ground, &mut instance)).await;
    if let Some(instance) = &instance {
        service::prepare(&instance.client()?, CLUSTER).await?;
    }
    let cleared = ground.clear(instance).await;
    let figures = measured?;
    cleared.map(|()| figures)
}

async fn measure_on(ground: &Ground, instance: &mut Option<Instance>) -> Result<Vec<Figure>, Failure> {
    let first = instance.as_ref().expect("it was started");
    let archive = ground.path("page.tar");
    image::write(&archive)?;
    crate::image::import_file(&first.home, &first.running, &archive).await?;
    let client = first.client()?;
    service::prepare(&client, CLUSTER).await?;
    let balancer = Balancer::make(&client, &first.running).await?;
    let address = SocketAddr::from((balancer.address(&client).await?, 80));
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        service::prepare(&client, CLUSTER).await?;
        last.push(start(first, &client, &balancer).await?);
    }
    let calm = under_load(address, update(first, &client)).await?;
    let killed = under_load(address, update_while_killed(ground, instance, &client)).await?;
    let last = Sorted::new(last);
    let mut figures = vec![Figure::new(
        format!("The last of {TASKS} new tasks from listening to its first request, p50"),
        "ms",
        last.percentile(50.0),
        None,
        Goal::AtMost(FIRST_REQUEST_MS_GOAL),
    )];
    for (what, tally) in [("a rolling update", calm), ("one with the control plane killed for 10 s", killed)] {
        let rate = format!("Requests a second during {what}");
        figures.push(Figure::new(rate, "requests/s", tally.rate(), None, Goal::AtLeast(PACE_GOAL)));
        let failed = format!("Failed requests during {what}");
        figures.push(Figure::new(failed, "requests", tally.failed as f64, None, Goal::AtMost(0.0)));
        if let Some(failure) = tally.first_failure {
            eprintln!("the first failure during {what}: {failure}");
        }
    }
    Ok(figures)
}

/// Milliseconds from when the task listened that was the last to be asked, until it was.
async fn start(instance: &Instance, client: &Client, balancer: &Balancer) -> Result<f64, Failure> {
    service::create(client, &instance.running, balancer, SIZE).await?;
    let deadline = Instant::now() + START_LIMIT;
    let mut waited = BTreeMap::new();
    while waited.len() < TASKS as usize {
        if Instant::now() > deadline {
            return Err(Failure::new(format!("{} of {TASKS} tasks were asked in time", waited.len())));
        }
        // Nobody is there to answer at first.
        if let Ok(answer) = balancer.ask().await {
            let now = page::now_millis();
            waited.entry(answer.task).or_insert(now - answer.listening_since_millis);
        }
        sleep(ASK_PAUSE).await;
    }
    service::wait_until_complete(client, CLUSTER).await?;
    let longest = waited.into_values().max().unwrap_or_default();
    Ok(longest as f64)
}

async fn update(instance: &Instance, client: &Client) -> Result<(), Failure> {
    service::update(client, &instance.running, SIZE).await?;
    service::wait_until_complete(client, CLUSTER).await
}

async fn update_while_killed(ground: &Ground, instance: &mut Option<Instance>, client: &Client) -> Result<(), Failure> {
    let killed = instance.take().expect("it runs");
    service::update(client, &killed.running, SIZE).await?;
    sleep(KILLED_AFTER).await;
    killed.kill();
    sleep(AWAY).await;
    let next = instance.insert(ground.start().await?);
    service::wait_until_complete(&next.client()?, CLUSTER).await
}

/// What became of the requests, from before `change` until after it.
async fn under_load(address: SocketAddr, change: impl Future<Output = Result<(), Failure>>) -> Result<Tally, Failure> {
    let load = Paced::begin(address);
    sleep(CALM).await;
    let changed = change.await;
    sleep(CALM).await;
    let tally = load.end().await?;
    changed.map(|()| tally)
}

/// So many requests a second, however long each takes, over connections that are kept.
struct Paced {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    failed: u64,
    first_failure: Option<String>,
    took: Duration,
}

impl Tally {
    fn rate(&self) -> f64 {
        (self.answered + self.failed) as f64 / self.took.as_secs_f64()
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

impl Paced {
    fn begin(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        Self { is_over, thread: std::thread::spawn(move || on_thread(address, &seen)) }
    }

    async fn end(self) -> Result<Tally, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        let tally = joined.context(|| "the load's thread was lost".to_owned())?.expect("the load does not panic");
        tally.context(|| "the load failed".to_owned())
    }
}

fn on_thread(address: SocketAddr, is_over: &Arc<AtomicBool>) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let mut sum = LocalSet::new().block_on(&runtime, async {
        let ask = |_| tokio::task::spawn_local(ask(address, is_over.clone()));
        let connections: Vec<_> = (0..CONNECTIONS).map(ask).collect();
        let mut sum = Tally::default();
        for connection in connections {
            sum.add(connection.await?);
        }
        Ok::<_, io::Error>(sum)
    })?;
    sum.took = began.elapsed();
    Ok(sum)
}

async fn ask(address: SocketAddr, is_over: Arc<AtomicBool>) -> Tally {
    let request = Prepared::get(page::TASK_PATH).0;
    let mut tally = Tally::default();
    let mut connection = None;
    let mut buffer = Vec::new();
    let mut turn = interval(Duration::from_secs(1) * CONNECTIONS / REQUESTS_PER_SECOND);
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !is_over.load(Ordering::Relaxed) {
        turn.tick().await;
        let answered = async {
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => connect(address).await?,
            };
            let keeps = exchange(&mut stream, &request, &mut buffer).await?;
            connection = keeps.then_some(stream);
            Ok::<_, io::Error>(())
        };
        match timeout(ANSWER_LIMIT, answered).await.map_err(io::Error::from).and_then(|answered| answered) {
            Ok(()) => tally.answered += 1,
            Err(error) => {
                tally.failed += 1;
                tally.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
    tally
}
