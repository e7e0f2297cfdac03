//! One run: the whole system in virtual time, a script on it, and then calm, until all is as it must become.
//!
//! ```text
//! start ─▶ script: clients ask, things go wrong ─▶ faults stop, all comes back ─▶ settled? ─▶ still so a while later
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use agent::clock::Clock;
use model::NodeId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wire::ecs::ContainerInstanceStatus;

use crate::check::{End, Violation, Watcher};
use crate::client::Client;
use crate::disk::{self, Disk};
use crate::edge::{Edge, Releases};
use crate::machine::Machine;
use crate::plane::Plane;
use crate::promise::Promises;
use crate::script::{NODES, Script};
use crate::step::{Fault, Step, Subject};
use crate::trace::Trace;

/// How long nodes may take to come back.
const RETURN_LIMIT: Duration = Duration::from_secs(5 * 60);
/// How long all may take to become as it must, once faults have stopped. Above the longest delay between two attempts
/// of a service.
const SETTLE_LIMIT: Duration = Duration::from_secs(40 * 60);
const SETTLE_PAUSE: Duration = Duration::from_secs(5);
/// What is settled must still be so this much later.
const STAYS: Duration = Duration::from_secs(60);

/// A control plane that makes no further commit is killed at rest.
const FUSE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub violation: Option<Violation>,
    /// Over the trace and every durable byte.
    pub hash: String,
    pub trace: Vec<String>,
}

/// Runs a script. `directory` holds the control plane's keys ([`crate::keys`]) and nothing else.
pub fn run(script: &Script, directory: &Path) -> Outcome {
    listen_for_panics();
    PANICS.with_borrow_mut(|panics| *panics = Some(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without a world needs nothing");
    let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(simulate(script, directory))));
    drop(runtime);
    let panics = PANICS.take().unwrap_or_default();
    match ran {
        Ok(outcome) => outcome,
        Err(_) => Outcome {
            violation: panics.first().map(|text| panicked(text)),
            hash: String::new(),
            trace: vec!["the simulation itself panicked".to_owned()],
        },
    }
}

thread_local! {
    /// The panics of the simulation that runs on this thread, if one does.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// A panic in a task ends only that task; here it is a violation.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.to_string();
            let is_ours = PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => {
                    panics.push(text);
                    true
                }
                None => false,
            });
            if !is_ours {
                usual(panic);
            }
        }));
    });
}

fn panicked(text: &str) -> Violation {
    Violation { invariant: "nothing panics".to_owned(), what: text.to_owned() }
}

fn first_panic() -> Option<Violation> {
    PANICS.with_borrow(|panics| panics.as_ref()?.first().map(|text| panicked(text)))
}

async fn simulate(script: &Script, directory: &Path) -> Outcome {
    let trace = Trace::start();
    let promises = Promises::default();
    let releases = Releases::default();
    let watcher = Watcher::new(&promises, &releases, trace.clone());
    let system = System::new(script, directory, (&promises, &releases), &watcher, &trace);
    tokio::select! {
        biased;
        () = watcher.violated() => {}
        () = system.live(script) => {}
    }
    if let Some(panic) = first_panic() {
        watcher.report(panic);
    }
    Outcome { violation: watcher.violation(), hash: trace.hash(), trace: trace.lines() }
}

#[derive(Clone)]
struct System {
    disk: Disk,
    plane: Plane,
    machines: Vec<Machine>,
    edge: Edge,
    client: Client,
    watcher: Watcher,
    trace: Trace,
}

impl System {
    fn new(
        script: &Script,
        directory: &Path,
        (promises, releases): (&Promises, &Releases),
        watcher: &Watcher,
        trace: &Trace,
    ) -> Self {
        let seed = script.seed;
        let disk = Disk::new(seed, trace.clone());
        let plane = Plane::new(seed, directory, disk.clone(), trace.clone(), watcher.clone());
        let machine = |number: usize| {
            let clock = Clock::tokio().skewed(script.skews[number]);
            Machine::new(seed, number, clock, plane.clone(), trace.clone())
        };
        let machines: Vec<Machine> = (0..NODES).map(machine).collect();
        let worlds = machines.iter().map(|machine| machine.world.clone()).collect();
        Self {
            edge: Edge::new(seed, plane.clone(), worlds, releases.clone()),
            machines,
            client: Client::new(plane.clone(), promises.clone(), trace.clone()),
            disk,
            plane,
            watcher: watcher.clone(),
            trace: trace.clone(),
        }
    }

    async fn live(&self, script: &Script) {
        self.plane.start().await;
        for machine in &self.machines {
            machine.start_agent().await;
        }
        tokio::spawn(self.edge.clone().run());
        self.client.set_up().await;
        self.play(script).await;
        self.calm().await;
        self.settle().await;
    }

    /// Hands the steps to their subjects at their times, and waits until all are done.
    async fn play(&self, script: &Script) {
        let start = Instant::now();
        let mut queues: BTreeMap<Subject, mpsc::Sender<Step>> = BTreeMap::new();
        let mut workers = JoinSet::new();
        for (time, step) in &script.steps {
            sleep_until(start + *time).await;
            let queue = queues.entry(step.subject()).or_insert_with(|| {
                let (queue, steps) = mpsc::channel(script.steps.len());
                workers.spawn(self.clone().work(steps));
                queue
            });
            // There is room for all, and a worker that panicked is found as such.
            let _ = queue.try_send(step.clone());
        }
        drop(queues);
        while workers.join_next().await.is_some() {}
    }

    async fn work(self, mut steps: mpsc::Receiver<Step>) {
        while let Some(step) = steps.recv().await {
            self.trace.tell(&step);
            match step {
                Step::Ask(ask) => self.client.ask(&ask, &self.nodes()).await,
                Step::Fault(fault) => self.go_wrong(fault).await,
            }
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.machines.iter().map(|machine| machine.id).collect()
    }

    async fn go_wrong(&self, fault: Fault) {
        match fault {
            Fault::KillAgent { node, at_call, away } => {
                self.machines[node].kill_agent(at_call).await;
                sleep(away).await;
                self.machines[node].start_agent().await;
            }
            Fault::Crash { node, away } => {
                self.machines[node].crash(away).await;
                self.machines[node].start_agent().await;
            }
            Fault::KillContainer { node, pick, code } => self.machines[node].end_container(pick, code),
            Fault::LoseEvents { node } => self.machines[node].world.lose_events(),
            Fault::Cut { node } => self.machines[node].line.cut(),
            Fault::Freeze { node, to_control, to_agent, lasts } => {
                self.machines[node].line.freeze(to_control, to_agent);
                sleep(lasts).await;
                self.machines[node].line.heal();
            }
            Fault::SlowLine { node, delay, lasts } => {
                self.machines[node].line.slow(delay);
                sleep(lasts).await;
                self.machines[node].line.heal();
            }
            Fault::KillControl { at_commit, away } => {
                if let Some((commits, is_durable)) = at_commit {
                    self.disk.set_fuse(Some(disk::Fuse { commits, is_durable }));
                    // Without that many commits it is killed at rest.
                    let _ = timeout(FUSE_LIMIT, self.disk.hung()).await;
                }
                self.plane.kill();
                self.disk.set_fuse(None);
                sleep(away).await;
                self.plane.start().await;
            }
            Fault::SlowDisk { slowest, lasts } => {
                self.disk.slow(slowest);
                sleep(lasts).await;
                self.disk.heal();
            }
            Fault::FailDisk { commits, is_written } => self.disk.fail(commits, is_written),
            Fault::FailTargets { lasts } => self.edge.fail(lasts),
            Fault::SilenceEdge { lasts } => self.edge.be_silent(lasts),
        }
    }

    /// Faults stop: what was away comes back, and every node says hello anew and takes tasks.
    async fn calm(&self) {
        self.trace.tell("faults stop");
        self.disk.heal();
        self.edge.heal();
        for machine in &self.machines {
            machine.line.heal();
            machine.line.cut();
        }
        sleep(SETTLE_PAUSE).await;
        let begun = Instant::now();
        while !self.are_all_connected() {
            if begun.elapsed() >= RETURN_LIMIT {
                let (invariant, what) = ("every node comes back", "a node is not connected, or in no cluster");
                self.watcher.report(Violation { invariant: invariant.to_owned(), what: what.to_owned() });
                return std::future::pending().await;
            }
            sleep(SETTLE_PAUSE).await;
        }
        for node in self.nodes() {
            self.client.set_state(node, ContainerInstanceStatus::Active).await;
        }
    }

    fn are_all_connected(&self) -> bool {
        let Some(view) = self.plane.view() else { return false };
        self.nodes()
            .iter()
            .all(|id| view.nodes.get(id).is_some_and(|node| node.connected && node.container_instance.is_some()))
    }

    async fn settle(&self) {
        let begun = Instant::now();
        let mut settled_at: Option<Instant> = None;
        loop {
            match (self.unsettled(), settled_at) {
                (None, Some(at)) if at.elapsed() >= STAYS => return self.trace.tell("settled"),
                (None, at) => settled_at = Some(at.unwrap_or_else(Instant::now)),
                (Some(violation), _) if begun.elapsed() >= SETTLE_LIMIT => self.watcher.report(violation),
                (Some(_), _) => settled_at = None,
            }
            sleep(SETTLE_PAUSE).await;
        }
    }

    fn unsettled(&self) -> Option<Violation> {
        let tables = self.plane.view().expect("no fault takes it down any more");
        let machines = self.machines.iter().map(|machine| (machine.id, machine.world.inventory())).collect();
        let end = End { tables: &tables, machines: &machines };
        self.watcher.look_at_end(&end);
        self.watcher.unsettled(&end)
    }
}
