//! One node: a simulated machine with its disk, the line to the control plane, and the agents that come and go on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent::checkpoint::{Checkpoints, MemoryDisk};
use agent::clock::Clock;
use agent::host::Host;
use agent::simulated::{Behaviour, Fuse, World};
use agent::{Agent, Config, Data};
use model::network::Vpc;
use model::{Attribute, CpuUnits, MemoryMib, NodeId, capacity_provider};
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use crate::line::{Dialler, Line};
use crate::order::POOL;
use crate::plane::{Plane, scope};
use crate::random;
use crate::shape;
use crate::trace::Trace;

const TASKS_MAX: u32 = 8;
/// Of a call that is not about an image.
const LATENCY: Duration = Duration::from_millis(2);
/// An agent that makes no further call is killed at rest.
const FUSE_LIMIT: Duration = Duration::from_secs(5);

/// Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    pub number: usize,
    pub id: NodeId,
    pub world: World,
    pub line: Line,
    disk: MemoryDisk,
    plane: Plane,
    trace: Trace,
    state: Arc<Mutex<State>>,
}

struct State {
    agent: Option<Agent>,
    boots: u32,
    random: StdRng,
}

impl Machine {
    pub fn new(seed: u64, number: usize, clock: Clock, plane: Plane, trace: Trace) -> Self {
        let default = Behaviour { latency: LATENCY, ..Behaviour::default() };
        let random = random::fork(seed, &format!("machine {number}"));
        Self {
            number,
            id: NodeId(0x1000 + number as u128),
            world: World::new(clock, default, shape::behaviours()),
            line: Line::new(),
            disk: MemoryDisk::default(),
            plane,
            trace,
            state: Arc::new(Mutex::new(State { agent: None, boots: 1, random })),
        }
    }

    /// Starts the agent unless it runs.
    pub async fn start_agent(&self) {
        if self.state().agent.is_some() {
            return;
        }
        let config = Config {
            data: Data::Simulated(Checkpoints::Memory(self.disk.clone())),
            node: self.id,
            host: self.host(),
            clock: self.world.clock(),
            endpoint: None,
        };
        let dialler = Dialler { line: self.line.clone(), plane: self.plane.clone() };
        let agent = Agent::start(config, dialler, self.world.clone(), self.world.clone()).await;
        self.state().agent = Some(agent.expect("a simulated machine answers"));
        self.trace.tell(format_args!("node {}: agent started", self.number));
    }

    fn host(&self) -> Host {
        let cpu = CpuUnits(TASKS_MAX * shape::TASK_CPU);
        let memory = MemoryMib(TASKS_MAX * shape::TASK_MEMORY);
        let mut host = Host::simulated(&format!("node-{}", self.number), cpu, memory);
        host.boot_id = format!("boot-{}", self.state().boots);
        let zones: Vec<String> = Vpc::default_of(&scope()).subnets.into_iter().map(|subnet| subnet.zone).collect();
        let zone = Some(zones[self.number % zones.len()].clone());
        host.attributes.push(Attribute { name: "ecs.availability-zone".to_owned(), value: zone });
        let pool = Some(POOL.to_owned());
        host.attributes.push(Attribute { name: capacity_provider::ATTRIBUTE.to_owned(), value: pool });
        host
    }

    /// As `kill -9`: at once, or at a call to a driver, which is then carried out or not.
    pub async fn kill_agent(&self, at_call: Option<(usize, bool)>) {
        if let Some((calls, carries_out)) = at_call {
            self.world.set_fuse(Some(Fuse { calls, carries_out }));
            // Without that many calls it is killed at rest.
            let _ = timeout(FUSE_LIMIT, self.world.stalled()).await;
        }
        self.drop_agent();
        self.world.set_fuse(None);
    }

    fn drop_agent(&self) {
        if self.state().agent.take().is_some() {
            self.trace.tell(format_args!("node {}: agent killed", self.number));
        }
    }

    /// The machine is without power for a while. Nobody tells the control plane.
    pub async fn crash(&self, away: Duration) {
        self.line.freeze(true, true);
        self.drop_agent();
        self.world.reboot();
        {
            let mut state = self.state();
            state.boots += 1;
            self.disk.crash(&mut state.random);
        }
        self.trace.tell(format_args!("node {}: crashed", self.number));
        sleep(away).await;
        self.line.heal();
    }

    /// A container ends by itself.
    pub fn end_container(&self, pick: usize, code: i32) {
        let running: Vec<String> = self.world.inventory().running.into_iter().collect();
        if let Some(id) = running.get(pick % running.len().max(1)) {
            self.world.exit(id, code, false);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
