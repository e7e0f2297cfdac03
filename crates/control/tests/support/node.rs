//! A node's side of the link, moved by hand: it says and hears exactly what a test wants.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use control::session;
use futures_util::{SinkExt, StreamExt};
use model::capability;
use model::firewall::Firewall;
use model::link::{
    ContainerReport, DesiredTask, FromAgent, FromControl, Hello, LINK_PROTOCOL, ReportedStatus, TaskReport, Welcome,
};
use model::task::ContainerStatus;
use model::{Attribute, CpuUnits, DesiredStatus, HealthStatus, MemoryMib, NodeId, Resources, TaskId};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{LIMIT, World};

const PIPE_BYTES: usize = 64 << 10;

pub fn hello(node: NodeId) -> Hello {
    Hello {
        protocol: LINK_PROTOCOL,
        node,
        name: format!("node-{node}"),
        agent_version: "1.0.0".to_owned(),
        runtime_version: "1.6.20".to_owned(),
        boot_id: "boot-1".to_owned(),
        total: Resources { cpu: CpuUnits(64 * 1024), memory: MemoryMib(128 * 1024), ..Resources::default() },
        address: Some(Ipv4Addr::new(10, 0, 0, 1)),
        attributes: capability::ALL.map(|name| Attribute { name: name.to_owned(), value: None }).to_vec(),
    }
}

/// One link, from the node's side.
pub struct Link {
    socket: WebSocketStream<DuplexStream>,
}

pub struct Desired {
    pub generation: u64,
    pub tasks: Vec<DesiredTask>,
    pub firewall: Option<Box<Firewall>>,
}

impl Desired {
    pub fn statuses(&self) -> BTreeMap<TaskId, DesiredStatus> {
        self.tasks.iter().map(|task| (task.id, task.desired_status)).collect()
    }
}

impl Link {
    /// Opens a link whose other end is a session of the control plane.
    pub async fn open(world: &World) -> Self {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let theirs = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        tokio::spawn(session::run(world.control.clone(), theirs));
        Self { socket: WebSocketStream::from_raw_socket(ours, Role::Client, None).await }
    }

    /// Opens a link and says hello.
    pub async fn connect(world: &World, node: NodeId) -> (Self, Welcome) {
        let mut link = Self::open(world).await;
        link.say(&FromAgent::Hello(Box::new(hello(node)))).await;
        let FromControl::Welcome(welcome) = link.hear().await else { panic!("not welcome") };
        (link, welcome)
    }

    /// Connects and takes over the first desired set.
    pub async fn join(world: &World, node: NodeId) -> (Self, Desired) {
        let (mut link, _) = Self::connect(world, node).await;
        let desired = link.desired().await;
        link.applied(&desired).await;
        (link, desired)
    }

    pub async fn say(&mut self, message: &FromAgent) {
        self.say_text(serde_json::to_string(message).unwrap()).await;
    }

    pub async fn say_text(&mut self, text: String) {
        // A session that is over does not listen; what it said last is still to be heard.
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub async fn hear(&mut self) -> FromControl {
        self.hear_or_end().await.expect("the link is open")
    }

    /// `None` when the link is closed.
    pub async fn hear_or_end(&mut self) -> Option<FromControl> {
        let next = async {
            loop {
                match self.socket.next().await? {
                    Ok(Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("a message in time")
    }

    /// Only reads, which answers pings, for this long. Nothing may be said meanwhile.
    pub async fn listen(&mut self, time: std::time::Duration) {
        let listening = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_))) => {}
                    other => return other,
                }
            }
        };
        let heard = tokio::time::timeout(time, listening).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    pub async fn desired(&mut self) -> Desired {
        match self.hear().await {
            FromControl::Desired { generation, tasks, firewall } => Desired { generation, tasks, firewall },
            other => panic!("not Desired: {other:?}"),
        }
    }

    pub async fn applied(&mut self, desired: &Desired) {
        self.say(&FromAgent::Applied { generation: desired.generation }).await;
    }

    pub async fn report(&mut self, tasks: Vec<TaskReport>) {
        self.say(&FromAgent::Report { tasks }).await;
    }

    pub async fn taken(&mut self) -> Vec<(TaskId, u64)> {
        match self.hear().await {
            FromControl::ReportTaken { tasks } => tasks,
            other => panic!("not ReportTaken: {other:?}"),
        }
    }

    /// The reason of the goodbye and whether it is for good.
    pub async fn bye(&mut self) -> (String, bool) {
        match self.hear().await {
            FromControl::Bye { reason, fatal } => (reason, fatal),
            other => panic!("not Bye: {other:?}"),
        }
    }
}

pub fn report(task: TaskId, sequence: u64, status: ReportedStatus) -> TaskReport {
    let container = match status {
        ReportedStatus::Pending => ContainerStatus::Pending,
        ReportedStatus::Running => ContainerStatus::Running,
        ReportedStatus::Stopped => ContainerStatus::Stopped,
    };
    TaskReport {
        task,
        sequence,
        status,
        containers: vec![ContainerReport {
            name: "app".to_owned(),
            runtime_id: Some(format!("{task}-0")),
            image_digest: None,
            status: container,
            exit_code: (status == ReportedStatus::Stopped).then_some(0),
            reason: None,
            health: HealthStatus::Unknown,
            network_bindings: Vec::new(),
        }],
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        execution_stopped_at: None,
        interface_attached: status != ReportedStatus::Pending,
        failure: None,
    }
}
