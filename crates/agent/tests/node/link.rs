//! A control plane of a few lines: the other end of the agent's link.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::link::Tcp;
use futures_util::{SinkExt as _, StreamExt as _};
use model::link::{
    DesiredTask, FromAgent, FromControl, Hello, LINK_PATH, ReportedStatus, TaskReport, TaskSpec, Welcome,
};
use model::{DesiredStatus, Scope, TaskId};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

pub const LIMIT: Duration = Duration::from_secs(120);

pub struct Control {
    listener: TcpListener,
}

pub struct Link {
    pub socket: WebSocketStream<TcpStream>,
    pub hello: Hello,
    /// The newest report of each task.
    pub reports: BTreeMap<TaskId, TaskReport>,
    /// The newest generation that was taken over.
    pub applied: Option<u64>,
    /// What each log stream holds.
    pub lines: BTreeMap<String, Vec<String>>,
}

impl Control {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn dial(&self) -> Tcp {
        Tcp { control: self.listener.local_addr().unwrap().to_string(), node_key: "secret".into() }
    }

    pub async fn accept(&self) -> Link {
        let (stream, _) = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("a connection").unwrap();
        #[allow(clippy::result_large_err)]
        let check = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), LINK_PATH);
            assert_eq!(request.headers()["authorization"], "Bearer secret");
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
        let FromAgent::Hello(hello) = receive(&mut socket).await else { panic!("no Hello first") };
        Link { socket, hello: *hello, reports: BTreeMap::new(), applied: None, lines: BTreeMap::new() }
    }

    pub async fn welcome(&self) -> Link {
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
    pub async fn send(&mut self, message: FromControl) {
        self.socket.send(Frame::text(serde_json::to_string(&message).unwrap())).await.unwrap();
    }

    pub async fn desire(&mut self, generation: u64, tasks: &[(DesiredStatus, &TaskSpec)]) {
        let desired = |(desired_status, spec): &(DesiredStatus, &TaskSpec)| DesiredTask {
            id: spec.id,
            desired_status: *desired_status,
            spec: Some((*spec).clone().into()),
        };
        self.send(FromControl::Desired { generation, tasks: tasks.iter().map(desired).collect(), firewall: None })
            .await;
    }

    /// Takes in messages until the task has been reported so.
    pub async fn wait_for(&mut self, task: TaskId, status: ReportedStatus) -> TaskReport {
        self.wait("a status", |link| link.reports.get(&task).is_some_and(|report| report.status == status)).await;
        self.reports[&task].clone()
    }

    pub async fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !done(self) {
                self.take().await;
            }
        };
        if tokio::time::timeout(LIMIT, wait).await.is_err() {
            panic!("never came to {what}: {:#?} {:?}", self.reports, self.lines);
        }
    }

    async fn take(&mut self) {
        match receive(&mut self.socket).await {
            FromAgent::Report { tasks } => self.reports.extend(tasks.into_iter().map(|report| (report.task, report))),
            FromAgent::Applied { generation } => self.applied = Some(generation),
            FromAgent::PutLogs(batch) => {
                let lines = batch.events.into_iter().map(|(_, line)| line);
                self.lines.entry(batch.stream).or_default().extend(lines);
                self.send(FromControl::LogsTaken { batch: batch.batch, refused: None }).await;
            }
            FromAgent::TaskProtection(question) => panic!("no task of these asks: {question:?}"),
            FromAgent::Hello(_) => panic!("a second Hello"),
        }
    }
}
