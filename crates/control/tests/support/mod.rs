//! A control plane in memory with nodes that speak the link over pipes in memory.
#![allow(dead_code)]

pub mod api;
pub mod node;
pub mod obedient;
pub mod rows;

use std::sync::Arc;
use std::time::Duration;

use control::{Clock, Config, Control};
use model::{Node, NodeId, Scope, Task, TaskId, Timestamp};
use store::log::memory::MemoryDisk;
use store::{Next, Tables};
use tempfile::TempDir;

/// No wait of a test is longer.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub control: Arc<Control>,
    pub disk: MemoryDisk,
    pub clock: Clock,
    directory: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let disk = MemoryDisk::new();
        let clock = Clock::manual(Timestamp(1_795_251_600_000));
        let directory = tempfile::tempdir().unwrap();
        let control = open(&directory, &disk, &clock).await;
        Self { control, disk, clock, directory }
    }

    /// The sessions break, and a new control plane opens the same disk (in another directory: the tasks of the old one
    /// may still hold its log store).
    pub async fn restart(&mut self) {
        self.control.close().await;
        self.directory = tempfile::tempdir().unwrap();
        self.control = open(&self.directory, &self.disk, &self.clock).await;
    }

    pub fn scope(&self) -> Scope {
        rows::scope()
    }

    pub fn view(&self) -> Arc<Tables> {
        self.control.store.view()
    }

    pub fn task(&self, id: TaskId) -> Arc<Task> {
        self.view().tasks.get(&id).expect("the task is there").clone()
    }

    pub fn node(&self, id: NodeId) -> Arc<Node> {
        self.view().nodes.get(&id).expect("the node is there").clone()
    }

    /// Waits until `predicate` holds of the durable state.
    pub async fn until(&self, what: &str, predicate: impl Fn(&Tables) -> bool) {
        let mut commits = self.control.store.subscribe();
        let wait = async {
            while !predicate(&self.view()) {
                assert!(!matches!(commits.next().await, Next::Closed), "closed before: {what}");
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// The node's free resources are what its tasks leave of it, and interfaces are those of living tasks and of load
    /// balancers.
    pub fn check_ledger(&self) {
        let view = self.view();
        for node in view.nodes.iter() {
            let held = view.tasks_on_node(node.id).map(|task| &task.reservation);
            assert_eq!(node.free, plan::node::free(&node.total, held), "node {}", node.id);
        }
        for interface in view.interfaces.iter().filter(|interface| interface.load_balancer.is_none()) {
            let task = interface.task.and_then(|task| view.tasks.get(&task)).expect("an interface without its task");
            assert!(task.stopped_at.is_none(), "a stopped task has an interface");
        }
    }
}

async fn open(directory: &TempDir, disk: &MemoryDisk, clock: &Clock) -> Arc<Control> {
    let config = Config { seed: Some(1), ..Config::new(directory.path()) };
    Control::open_with(config, disk.log(), clock.clone()).await.expect("opens")
}
