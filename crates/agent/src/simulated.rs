//! Drivers without a world under them: containers, groups and networks are entries of a map. For thousands of nodes
//! in one process (`gantry up --simulated-nodes`) and for tests of all that is above the drivers.
//!
//! A [`World`] is a machine: it outlives the agents that are started on it, one after the other, as containerd does.
//! How containers behave is data, chosen by their image's name. It keeps count of what was asked of it, so that tests
//! can tell what must never happen: a container started twice, something left over. Labels are not kept: nothing above
//! the drivers asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::firewall::Firewall;
use model::link::InterfaceSpec;
use model::task::NetworkBinding;
use model::{TaskId, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::clock::Clock;
use crate::driver::{
    Attached, ContainerRequest, DriverError, ExecResult, Exit, Found, FoundStatus, Image, Network, NetworkKind,
    NetworkRequest, Result, Runtime, RuntimeEvent, TaskLimits,
};

/// Exits that a subscriber has not taken yet; beyond it, it sees a gap, as with the real runtime.
const EVENTS_MAX: usize = 1024;
const DYNAMIC_PORT_MIN: u16 = 32768;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// What the containers of an image do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Of each call about it.
    pub latency: Duration,
    pub pull_error: Option<DriverError>,
    pub create_error: Option<DriverError>,
    pub start_error: Option<DriverError>,
    /// Ends by itself so long after its start, with this code.
    pub exit: Option<(Duration, i32)>,
    /// That end is the kernel's doing, for want of memory.
    pub out_of_memory: bool,
    /// Answers the stop signal so much later with this code; `None`: ignores it.
    pub stop: Option<(Duration, i32)>,
    /// Exit codes of its health checks, one after the other; the last is repeated. Empty: 0.
    pub checks: Vec<i32>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            pull_error: None,
            create_error: None,
            start_error: None,
            exit: None,
            out_of_memory: false,
            stop: Some((Duration::ZERO, 143)),
            checks: Vec::new(),
        }
    }
}

/// The simulated machine. Both drivers of its agent.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    default: Behaviour,
    behaviours: BTreeMap<String, Behaviour>,
    machine: Mutex<Machine>,
    stalled: Notify,
}

#[derive(Default)]
struct Machine {
    containers: BTreeMap<Arc<str>, Container>,
    groups: BTreeSet<TaskId>,
    networks: BTreeMap<(TaskId, Option<usize>), Attachment>,
    firewall: Option<Firewall>,
    next_port: u16,
    subscribers: Vec<mpsc::Sender<RuntimeEvent>>,
    starts: BTreeMap<Arc<str>, u32>,
    exits: BTreeMap<String, i32>,
    fuse: Option<Fuse>,
}

/// What a network namespace has; its path follows from whose it is.
type Attachment = (Option<Ipv4Addr>, Vec<NetworkBinding>);

struct Container {
    image: String,
    status: FoundStatus,
    checks_done: usize,
}

/// After so many calls that change the machine, every further one hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuse {
    pub calls: usize,
    /// The call at which it blows is still carried out, but never answered.
    pub carries_out: bool,
}

/// What is on the machine, and what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    pub containers: BTreeSet<String>,
    /// Those of them whose process lives.
    pub running: BTreeSet<String>,
    pub groups: BTreeSet<TaskId>,
    pub networks: BTreeSet<TaskId>,
    /// How often each container was started, ever.
    pub starts: BTreeMap<String, u32>,
    /// The exit codes that containers truly had.
    pub exits: BTreeMap<String, i32>,
}

impl World {
    pub fn new(clock: Clock, default: Behaviour, behaviours: BTreeMap<String, Behaviour>) -> Self {
        let machine = Machine { next_port: DYNAMIC_PORT_MIN, ..Machine::default() };
        let shared = Shared { clock, default, behaviours, machine: Mutex::new(machine), stalled: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    pub fn inventory(&self) -> Inventory {
        let machine = self.machine();
        let runs = |container: &Container| matches!(container.status, FoundStatus::Running { .. });
        let running = machine.containers.iter().filter(|(_, container)| runs(container));
        Inventory {
            containers: machine.containers.keys().map(ToString::to_string).collect(),
            running: running.map(|(id, _)| id.to_string()).collect(),
            groups: machine.groups.clone(),
            networks: machine.networks.keys().map(|(task, _)| *task).collect(),
            starts: machine.starts.iter().map(|(id, count)| (id.to_string(), *count)).collect(),
            exits: machine.exits.clone(),
        }
    }

    /// The image of what runs at an address of its own.
    pub fn image_at(&self, address: Ipv4Addr) -> Option<String> {
        let machine = self.machine();
        let has_address = |(own, _): &Attachment| *own == Some(address);
        let ((task, _), _) = machine.networks.iter().find(|(_, attachment)| has_address(attachment))?;
        let prefix = format!("{task}-");
        let mut containers = machine.containers.iter().filter(|(id, _)| id.starts_with(&prefix));
        let (_, running) = containers.find(|(_, row)| matches!(row.status, FoundStatus::Running { .. }))?;
        let image = running.image.split_once('@').map_or(running.image.as_str(), |(name, _)| name);
        Some(image.to_owned())
    }

    /// From now on; `None` repairs it. Calls that hang go on hanging: their agent is to be dropped.
    pub fn set_fuse(&self, fuse: Option<Fuse>) {
        self.machine().fuse = fuse;
    }

    /// Returns when a call hangs on the fuse.
    pub async fn stalled(&self) {
        self.shared.stalled.notified().await;
    }

    /// The machine boots: nothing runs, networks and groups are gone, the runtime still knows its containers.
    pub fn reboot(&self) {
        let mut machine = self.machine();
        machine.groups.clear();
        machine.networks.clear();
        machine.subscribers.clear();
        for container in machine.containers.values_mut() {
            container.status = FoundStatus::Created;
        }
    }

    /// The container's process ends now.
    pub fn exit(&self, id: &str, exit_code: i32, out_of_memory: bool) {
        let at = self.shared.clock.now();
        self.machine().exit(id, exit_code, out_of_memory, at);
    }

    /// The runtime's event stream breaks: exits are told to nobody until the subscribers have listed again.
    pub fn lose_events(&self) {
        let mut machine = self.machine();
        for subscriber in std::mem::take(&mut machine.subscribers) {
            let _ = subscriber.try_send(RuntimeEvent::Gap);
        }
    }

    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaviour(&self, image: &str) -> &Behaviour {
        let (name, _) = image.split_once('@').unwrap_or((image, ""));
        self.shared.behaviours.get(name).unwrap_or(&self.shared.default)
    }

    fn behaviour_of(&self, id: &str) -> &Behaviour {
        let image = self.machine().containers.get(id).map(|container| container.image.clone());
        image.map_or(&self.shared.default, |image| self.behaviour(&image))
    }

    /// A call that changes the machine.
    async fn call<T>(&self, latency: Duration, change: impl FnOnce(&mut Machine) -> Result<T>) -> Result<T> {
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let answer = {
            let mut machine = self.machine();
            match &mut machine.fuse {
                None => Some(change(&mut machine)),
                Some(fuse) if fuse.calls > 0 => {
                    fuse.calls -= 1;
                    Some(change(&mut machine))
                }
                Some(fuse) => {
                    if std::mem::take(&mut fuse.carries_out) {
                        let _ = change(&mut machine);
                    }
                    None
                }
            }
        };
        if let Some(answer) = answer {
            return answer;
        }
        self.shared.stalled.notify_one();
        std::future::pending().await
    }

    fn exit_later(&self, id: &str, after: Duration, exit_code: i32, out_of_memory: bool) {
        if after.is_zero() {
            return self.exit(id, exit_code, out_of_memory);
        }
        let (world, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            world.exit(&id, exit_code, out_of_memory);
        });
    }
}

impl Machine {
    fn exit(&mut self, id: &str, exit_code: i32, out_of_memory: bool, at: Timestamp) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if !matches!(container.status, FoundStatus::Running { .. }) {
            return;
        }
        container.status = FoundStatus::Stopped { exit_code, at, out_of_memory };
        self.exits.insert(id.to_owned(), exit_code);
        let event = RuntimeEvent::Exited(Exit { id: id.to_owned(), exit_code, at, out_of_memory });
        self.subscribers.retain(|subscriber| !subscriber.is_closed());
        for subscriber in &self.subscribers {
            let _ = subscriber.try_send(event.clone());
        }
    }

    fn attach(&mut self, request: &NetworkRequest) -> Attached {
        let key = (request.task, request.container);
        if !self.networks.contains_key(&key) {
            let network = self.new_network(request);
            self.networks.insert(key, network);
        }
        let (address, bindings) = self.networks[&key].clone();
        let namespace = PathBuf::from(format!("/simulated/{}/{:?}", request.task, request.container));
        Attached { namespace, address, bindings }
    }

    fn new_network(&mut self, request: &NetworkRequest) -> Attachment {
        match &request.kind {
            NetworkKind::Awsvpc(interface) => (Some(interface.address), Vec::new()),
            NetworkKind::Bridge { ports } => {
                let bindings = ports.iter().map(|mapping| NetworkBinding {
                    bind_ip: "0.0.0.0".to_owned(),
                    container_port: mapping.container_port,
                    host_port: if mapping.host_port == 0 { self.take_port() } else { mapping.host_port },
                    protocol: mapping.protocol,
                });
                (Some(Ipv4Addr::new(172, 17, 0, 2)), bindings.collect())
            }
            NetworkKind::None => (None, Vec::new()),
        }
    }

    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(DYNAMIC_PORT_MIN);
        port
    }
}

fn fail_if(error: Option<&DriverError>) -> Result<()> {
    error.map_or(Ok(()), |error| Err(error.clone()))
}

fn no_container(id: &str) -> DriverError {
    DriverError::new("DockerStateError", format!("no container {id}"))
}

impl Runtime for World {
    async fn version(&self) -> Result<String> {
        Ok("simulated".to_owned())
    }

    async fn ensure_image(&self, image: &str) -> Result<Image> {
        let behaviour = self.behaviour(image);
        self.call(behaviour.latency, |_| {
            fail_if(behaviour.pull_error.as_ref())?;
            let named = image.split_once('@').map(|(_, digest)| digest.to_owned());
            let digest = named.unwrap_or_else(|| format!("sha256:{:064x}", image.len()));
            Ok(Image { reference: image.to_owned(), digest, pulled: false })
        })
        .await
    }

    async fn create_task_group(&self, task: TaskId, _: TaskLimits) -> Result<()> {
        self.call(self.shared.default.latency, |machine| {
            machine.groups.insert(task);
            Ok(())
        })
        .await
    }

    async fn remove_task_group(&self, task: TaskId) -> Result<()> {
        self.call(self.shared.default.latency, |machine| {
            machine.groups.remove(&task);
            Ok(())
        })
        .await
    }

    async fn task_groups(&self) -> Result<Vec<TaskId>> {
        Ok(self.machine().groups.iter().copied().collect())
    }

    async fn create(&self, request: &ContainerRequest) -> Result<()> {
        let behaviour = self.behaviour(&request.image.reference);
        self.call(behaviour.latency, |machine| {
            fail_if(behaviour.create_error.as_ref())?;
            machine.containers.entry(request.id.as_str().into()).or_insert_with(|| Container {
                image: request.image.reference.clone(),
                status: FoundStatus::Created,
                checks_done: 0,
            });
            Ok(())
        })
        .await
    }

    async fn start(&self, id: &str) -> Result<u32> {
        let behaviour = self.behaviour_of(id);
        let pid = self.call(behaviour.latency, |machine| {
            fail_if(behaviour.start_error.as_ref())?;
            let pid = 1000 + u32::try_from(machine.starts.len()).unwrap_or(0);
            let container = machine.containers.get_mut(id).ok_or_else(|| no_container(id))?;
            if container.status != FoundStatus::Created {
                return Ok(pid);
            }
            container.status = FoundStatus::Running { pid };
            let name = machine.containers.get_key_value(id).map_or_else(|| id.into(), |(name, _)| name.clone());
            *machine.starts.entry(name).or_default() += 1;
            if let Some((after, exit_code)) = behaviour.exit
                && !after.is_zero()
            {
                self.exit_later(id, after, exit_code, behaviour.out_of_memory);
            }
            Ok(pid)
        });
        let pid = pid.await?;
        if let Some((Duration::ZERO, exit_code)) = behaviour.exit {
            self.exit(id, exit_code, behaviour.out_of_memory);
        }
        Ok(pid)
    }

    async fn kill(&self, id: &str, signal: i32, _: bool) -> Result<()> {
        let behaviour = self.behaviour_of(id);
        let kill = self.call(behaviour.latency, |machine| {
            let at = self.shared.clock.now();
            match (signal, behaviour.stop) {
                (SIGKILL, _) => machine.exit(id, 128 + SIGKILL, false, at),
                (_, Some((Duration::ZERO, exit_code))) => machine.exit(id, exit_code, false, at),
                (_, Some((after, exit_code))) => self.exit_later(id, after, exit_code, false),
                (_, None) => {}
            }
            Ok(())
        });
        kill.await
    }

    async fn stop_signal(&self, _: &Image) -> Result<i32> {
        Ok(SIGTERM)
    }

    async fn delete(&self, id: &str) -> Result<()> {
        let latency = self.behaviour_of(id).latency;
        self.call(latency, |machine| {
            let at = self.shared.clock.now();
            machine.exit(id, 128 + SIGKILL, false, at);
            machine.containers.remove(id);
            Ok(())
        })
        .await
    }

    async fn exec(&self, id: &str, _: &[String], limit: Duration) -> Result<ExecResult> {
        let behaviour = self.behaviour_of(id);
        if behaviour.latency > limit {
            tokio::time::sleep(limit).await;
            return Ok(ExecResult { exit_code: None, output: String::new() });
        }
        self.call(behaviour.latency, |machine| {
            let container = machine.containers.get_mut(id).ok_or_else(|| no_container(id))?;
            let last = behaviour.checks.len().saturating_sub(1);
            let exit_code = behaviour.checks.get(container.checks_done.min(last)).copied().unwrap_or(0);
            container.checks_done += 1;
            Ok(ExecResult { exit_code: Some(exit_code), output: String::new() })
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Found>> {
        let machine = self.machine();
        let found = machine.containers.iter().map(|(id, container)| Found {
            id: id.to_string(),
            labels: Vec::new(),
            status: container.status.clone(),
        });
        Ok(found.collect())
    }

    fn events(&self) -> mpsc::Receiver<RuntimeEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        self.machine().subscribers.push(sender);
        receiver
    }
}

impl Network for World {
    async fn attach(&self, request: &NetworkRequest) -> Result<Attached> {
        self.call(self.shared.default.latency, |machine| Ok(machine.attach(request))).await
    }

    async fn detach(&self, task: TaskId) -> Result<()> {
        self.call(self.shared.default.latency, |machine| {
            machine.networks.retain(|(owner, _), _| *owner != task);
            Ok(())
        })
        .await
    }

    async fn protect(&self, firewall: &Firewall) -> Result<()> {
        self.machine().firewall = Some(firewall.clone());
        Ok(())
    }

    async fn list(&self) -> Result<Vec<TaskId>> {
        let tasks: BTreeSet<TaskId> = self.machine().networks.keys().map(|(task, _)| *task).collect();
        Ok(tasks.into_iter().collect())
    }

    fn dns_servers(&self, _: Option<&InterfaceSpec>) -> Vec<IpAddr> {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
    }
}
