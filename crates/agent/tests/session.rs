//! The agent's end of the link, against a control plane of a few lines: who it says it is, what it does with a desired
//! set, and that a broken session changes nothing on the node.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::clock::Clock;
use agent::host::Host;
use agent::simulated::{Behaviour, World};
use agent::{Agent, Config};
use futures_util::{SinkExt as _, StreamExt as _};
use model::link::{
    ContainerSpec, DesiredTask, FromAgent, FromControl, Hello, LINK_PATH, ReportedStatus, TaskReport, TaskSpec, Welcome,
};
use model::{
    ContainerDefinition, CpuUnits, DesiredStatus, LaunchType, MemoryMib, NetworkMode, NodeId, Scope, TaskId, Timestamp,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

const LIMIT: Duration = Duration::from_secs(20);

struct Control {
    listener: TcpListener,
}

struct Link {
    socket: WebSocketStream<TcpStream>,
    hello: Hello,
}

impl Control {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    async fn accept(&self) -> Link {
        let (stream, _) = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("a connection").unwrap();
        #[allow(clippy::result_large_err)]
        let check = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), LINK_PATH);
            assert_eq!(request.headers()["authorization"], "Bearer secret");
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
        let FromAgent::Hello(hello) = receive(&mut socket).await else { panic!("no Hello first") };
        Link { socket, hello: *hello }
    }

    async fn welcome(&self) -> Link {
        let mut link = self.accept().await;
        link.send(FromControl::Welcome(Welcome {
            control_id: "control".into(),
            scope: Scope::new("000000000000", "us-east-1"),
            cluster: "default".into(),
            zone: "us-east-1a".into(),
            container_instance_arn: None,
        }))
        .await;
        link
    }
}

async fn receive(socket: &mut WebSocketStream<TcpStream>) -> FromAgent {
    loop {
        let frame = tokio::time::timeout(LIMIT, socket.next()).await.expect("a message").expect("a link").unwrap();
        if let Frame::Text(text) = frame {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

impl Link {
    async fn send(&mut self, message: FromControl) {
        self.socket.send(Frame::text(serde_json::to_string(&message).unwrap())).await.unwrap();
    }

    async fn desire(&mut self, generation: u64, tasks: &[(DesiredStatus, u128)]) {
        let tasks =
            tasks.iter().map(|(desired_status, id)| DesiredTask { desired_status: *desired_status, spec: task(*id) });
        self.send(FromControl::Desired { generation, tasks: tasks.collect() }).await;
    }

    /// Waits until each of the tasks has been reported so; answers whether the generation was taken over meanwhile.
    async fn wait_for(&mut self, tasks: &[(ReportedStatus, u128)]) -> Option<u64> {
        tokio::time::timeout(LIMIT, self.wait_long_for(tasks)).await.expect("the reports")
    }

    async fn wait_long_for(&mut self, tasks: &[(ReportedStatus, u128)]) -> Option<u64> {
        let mut newest: BTreeMap<TaskId, TaskReport> = BTreeMap::new();
        let mut applied = None;
        let is_so = |newest: &BTreeMap<TaskId, TaskReport>, (status, id): &(ReportedStatus, u128)| {
            newest.get(&TaskId(*id)).is_some_and(|report| report.status == *status)
        };
        while !tasks.iter().all(|task| is_so(&newest, task)) {
            match receive(&mut self.socket).await {
                FromAgent::Report { tasks } => newest.extend(tasks.into_iter().map(|report| (report.task, report))),
                FromAgent::Applied { generation } => applied = Some(generation),
                other => panic!("unexpected {other:?}"),
            }
        }
        applied
    }
}

fn task(id: u128) -> TaskSpec {
    let definition =
        ContainerDefinition { name: "a".into(), image: "a".into(), essential: true, ..ContainerDefinition::default() };
    TaskSpec {
        id: TaskId(id),
        arn: format!("arn:{id}"),
        scope: Scope::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        cluster_arn: "arn:cluster".into(),
        family: "web".into(),
        revision: 1,
        launch_type: LaunchType::Ec2,
        group: "family:web".into(),
        started_by: None,
        availability_zone: None,
        created_at: Timestamp(0),
        tags: Vec::new(),
        cpu: None,
        memory: None,
        network_mode: NetworkMode::None,
        interface: None,
        containers: vec![ContainerSpec {
            id: model::id::uuid(id),
            arn: "arn:c".into(),
            definition,
            gpu_ids: Vec::new(),
        }],
        volumes: Vec::new(),
    }
}

async fn start(control: &Control, world: &World) -> Agent {
    let config = Config {
        data_dir: None,
        control: control.address(),
        node_key: "secret".into(),
        node: NodeId(7),
        host: Host::simulated("node-7", CpuUnits(4096), MemoryMib(8192)),
        clock: Clock::System,
        endpoint: None,
    };
    Agent::start(config, world.clone(), world.clone()).await.unwrap()
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
    link.desire(1, &[(DesiredStatus::Running, 1), (DesiredStatus::Stopped, 2)]).await;
    link.wait_for(&[(ReportedStatus::Stopped, 2), (ReportedStatus::Running, 1)]).await;
    link.desire(2, &[(DesiredStatus::Stopped, 1)]).await;
    assert_eq!(link.wait_for(&[(ReportedStatus::Stopped, 1)]).await, Some(2));
    agent.shutdown().await;
}

#[tokio::test]
async fn a_broken_session_changes_nothing_and_the_next_begins_with_every_task() {
    let (control, world) = (Control::start().await, world());
    let _agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.desire(1, &[(DesiredStatus::Running, 1), (DesiredStatus::Running, 2)]).await;
    link.wait_for(&[(ReportedStatus::Running, 1), (ReportedStatus::Running, 2)]).await;
    drop(link);
    world.exit("00000000000000000000000000000002-0", 4, false);
    let mut link = control.welcome().await;
    link.wait_for(&[(ReportedStatus::Running, 1), (ReportedStatus::Stopped, 2)]).await;
    assert_eq!(world.inventory().containers.len(), 1);
}

#[tokio::test]
async fn shutting_down_leaves_the_containers() {
    let (control, world) = (Control::start().await, world());
    let agent = start(&control, &world).await;
    let mut link = control.welcome().await;
    link.desire(1, &[(DesiredStatus::Running, 1)]).await;
    link.wait_for(&[(ReportedStatus::Running, 1)]).await;
    agent.shutdown().await;
    assert_eq!(world.inventory().exits, BTreeMap::new());
    assert_eq!(world.inventory().containers.len(), 1);
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
