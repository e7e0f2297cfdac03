//! The agent's end of the link: who it says it is, what it does with a desired set, and that a broken session changes
//! nothing on the node.

use std::collections::BTreeMap;

use agent::checkpoint::Checkpoints;
use agent::clock::Clock;
use agent::host::Host;
use agent::simulated::{Behaviour, World};
use agent::{Agent, Config, Data};
use futures_util::SinkExt as _;
use model::link::{DesiredTask, FromControl, ReportedStatus, TaskSpec};
use model::{CpuUnits, DesiredStatus, MemoryMib, NetworkMode, NodeId, TaskId};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::link::Control;
use crate::spec::{container, spec};

fn task(id: u128) -> TaskSpec {
    TaskSpec { network_mode: NetworkMode::None, interface: None, ..spec(id, vec![container("a", "")]) }
}

async fn start(control: &Control, world: &World) -> Agent {
    let config = Config {
        data: Data::Simulated(Checkpoints::None),
        node: NodeId(7),
        host: Host::simulated("node-7", CpuUnits(4096), MemoryMib(8192)),
        clock: Clock::System,
        endpoint: None,
    };
    Agent::start(config, control.dial(), world.clone(), world.clone()).await.unwrap()
}

fn world() -> World {
    World::new(Clock::System, Behaviour::default(), BTreeMap::new())
}

#[tokio::test]
async fn hello_desired_applied_and_reports() {
    let (control, world) = (Control::start().await, world());
    let mut agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    assert_eq!((link.hello.node, link.hello.name.as_str()), (NodeId(7), "node-7"));
    assert_eq!(link.hello.total.cpu, CpuUnits(4096));
    assert_eq!(agent.ready().await.unwrap().cluster, "default");
    link.desire(1, &[(DesiredStatus::Running, &task(1)), (DesiredStatus::Stopped, &task(2))]).await;
    link.wait_for(TaskId(2), ReportedStatus::Stopped).await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    link.desire(2, &[(DesiredStatus::Stopped, &task(1))]).await;
    link.wait_for(TaskId(1), ReportedStatus::Stopped).await;
    link.wait("the set of generation 2", |link| link.applied == Some(2)).await;
    agent.shutdown().await;
}

#[tokio::test]
async fn a_broken_session_changes_nothing_and_the_next_begins_with_every_task() {
    let (control, world) = (Control::start().await, world());
    let _agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.desire(1, &[(DesiredStatus::Running, &task(1)), (DesiredStatus::Running, &task(2))]).await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    link.wait_for(TaskId(2), ReportedStatus::Running).await;
    drop(link);
    world.exit("00000000000000000000000000000002-0", 4, false);
    let mut link = control.welcome().await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    link.wait_for(TaskId(2), ReportedStatus::Stopped).await;
    assert_eq!(world.inventory().containers.len(), 1);
}

#[tokio::test]
async fn shutting_down_leaves_the_containers() {
    let (control, world) = (Control::start().await, world());
    let agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.desire(1, &[(DesiredStatus::Running, &task(1))]).await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    agent.shutdown().await;
    assert_eq!(world.inventory().exits, BTreeMap::new());
    assert_eq!(world.inventory().containers.len(), 1);
}

#[tokio::test]
async fn a_set_that_names_an_unknown_task_without_its_spec_ends_the_session_and_changes_nothing() {
    let (control, world) = (Control::start().await, world());
    let _agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.desire(1, &[(DesiredStatus::Running, &task(1))]).await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    let named = |id| DesiredTask { id: TaskId(id), desired_status: DesiredStatus::Stopped, spec: None };
    link.send(FromControl::Desired { generation: 2, tasks: vec![named(1), named(2)], firewall: None }).await;
    let mut link = control.welcome().await;
    link.wait_for(TaskId(1), ReportedStatus::Running).await;
    link.send(FromControl::Desired { generation: 3, tasks: vec![named(1)], firewall: None }).await;
    link.wait_for(TaskId(1), ReportedStatus::Stopped).await;
}

#[tokio::test]
async fn a_refused_node_stays_away() {
    let (control, world) = (Control::start().await, world());
    let mut agent = start(&control, &world).await;
    let mut link = control.accept().await;
    link.send(FromControl::Bye { reason: "no such node".into(), fatal: true }).await;
    assert_eq!(agent.ready().await, None);
}

#[tokio::test]
async fn nonsense_ends_the_session_but_not_the_agent() {
    let (control, world) = (Control::start().await, world());
    let _agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.socket.send(Frame::text("{\"type\":\"Nonsense\"}")).await.unwrap();
    control.welcome().await;
}
