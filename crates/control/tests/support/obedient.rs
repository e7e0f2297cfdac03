//! A node that does at once what is desired of it, and finds images by name in a registry of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::link::{DesiredTask, FromAgent, FromControl, ReportedStatus, TaskReport, TaskSpec};
use model::task::NetworkBinding;
use model::task_definition::PortMapping;
use model::{Attribute, DesiredStatus, NetworkMode, NodeId, TaskId};
use tokio::task::JoinHandle;

use super::World;
use super::node::{Desired, Link, hello, report};

/// An image of this name cannot be pulled.
pub const BROKEN: &str = "broken";

/// What is at the registry, and what was run of it.
#[derive(Clone, Default)]
pub struct Registry {
    tags: Arc<Mutex<u64>>,
    run: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// Every tag names another image from now on.
    pub fn push(&self) {
        *self.tags.lock().unwrap() += 1;
    }

    /// The images of the tasks that were run, as they were named.
    pub fn run(&self) -> Vec<String> {
        self.run.lock().unwrap().clone()
    }

    /// What a tag names just now.
    pub fn digest(&self) -> String {
        format!("sha256:{:064x}", *self.tags.lock().unwrap())
    }

    fn resolve(&self, image: &str) -> String {
        image.split_once('@').map_or_else(|| self.digest(), |(_, digest)| digest.to_owned())
    }
}

/// Joins the node, and serves it until its link ends.
pub async fn join(world: &World, node: NodeId) -> JoinHandle<()> {
    let (link, desired) = Link::join(world, node).await;
    serve(link, desired, &Registry::default())
}

/// The same for a node in this availability zone.
pub async fn join_in(world: &World, node: NodeId, zone: &str) -> JoinHandle<()> {
    let mut link = Link::open(world).await;
    let mut hello = hello(node);
    hello.attributes.push(Attribute { name: "ecs.availability-zone".to_owned(), value: Some(zone.to_owned()) });
    link.say(&FromAgent::Hello(Box::new(hello))).await;
    let FromControl::Welcome(_) = link.hear().await else { panic!("not welcome") };
    let desired = link.desired().await;
    link.applied(&desired).await;
    serve(link, desired, &Registry::default())
}

/// The node's side of a link, until it ends.
pub fn serve(link: Link, first: Desired, registry: &Registry) -> JoinHandle<()> {
    tokio::spawn(attend(link, first.tasks, registry.clone()))
}

async fn attend(mut link: Link, mut tasks: Vec<DesiredTask>, registry: Registry) {
    let mut done: BTreeMap<TaskId, (u64, Option<DesiredStatus>)> = BTreeMap::new();
    loop {
        let mut reports = Vec::new();
        for task in &tasks {
            let (sequence, last) = done.entry(task.id).or_default();
            if *last != Some(task.desired_status) {
                *last = Some(task.desired_status);
                *sequence += 1;
                reports.push(obey(task, *sequence, &registry));
            }
        }
        if !reports.is_empty() {
            link.report(reports).await;
        }
        tasks = loop {
            let Some(message) = link.hear_or_end().await else { return };
            let FromControl::Desired { generation, tasks, .. } = message else { continue };
            link.say(&FromAgent::Applied { generation }).await;
            break tasks;
        };
    }
}

fn obey(task: &DesiredTask, sequence: u64, registry: &Registry) -> TaskReport {
    if task.desired_status == DesiredStatus::Stopped {
        return report(task.id, sequence, ReportedStatus::Stopped);
    }
    let spec = task.spec.as_ref().expect("a task that is to start is new to the session");
    let image = &spec.containers[0].definition.image;
    if image == BROKEN {
        let failure = Some("CannotPullContainerError: no".to_owned());
        return TaskReport { failure, ..report(task.id, sequence, ReportedStatus::Stopped) };
    }
    registry.run.lock().unwrap().push(image.clone());
    let mut report = report(task.id, sequence, ReportedStatus::Running);
    report.containers[0].image_digest = Some(registry.resolve(image));
    report.containers[0].network_bindings = bindings(spec);
    report
}

/// The node's choice for each port that a bridge-mode container publishes, another one for each task.
fn bindings(spec: &TaskSpec) -> Vec<NetworkBinding> {
    let chosen = 32_768 + (spec.id.0 % 16_384) as u16;
    let binding = |mapping: &PortMapping| NetworkBinding {
        bind_ip: "0.0.0.0".to_owned(),
        container_port: mapping.container_port,
        host_port: chosen,
        protocol: mapping.protocol,
    };
    let mappings =
        spec.containers[0].definition.port_mappings.iter().filter(|_| spec.network_mode == NetworkMode::Bridge);
    mappings.map(binding).collect()
}
