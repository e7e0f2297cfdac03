//! The metadata endpoint over a real socket, with statistics from real control groups. Needs root.

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;

use agent::clock::Clock;
use agent::driver::TaskLimits;
use agent::metadata::{Lookup, Metadata, View};
use agent::runtime::cgroup::{Groups, Version};
use agent::task::RuntimeId;
use agent::task::state::{ContainerState, Phase, State};
use model::TaskId;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CONTAINER: &str = "01234567-89ab-cdef-0123-456789abcdef";
const TASK: TaskId = TaskId(0x5eed);

fn runtime_id() -> String {
    RuntimeId { task: TASK, container: 0, attempt: 0 }.to_string()
}

fn view() -> View {
    let spec = json!({
        "id": TASK, "arn": "arn:task", "cluster": "default", "scope": {"account": "1", "region": "us-east-1"},
        "cluster_arn": "arn:cluster", "family": "web", "revision": 3, "launch_type": "Ec2", "group": "family:web",
        "created_at": 0, "network_mode": "host",
        "containers": [{"id": CONTAINER, "arn": "arn:container", "definition": {
            "name": "web", "image": "nginx", "essential": true,
        }}],
    });
    let container = ContainerState { phase: Phase::Running, ..ContainerState::default() };
    View {
        spec: Arc::new(serde_json::from_value(spec).unwrap()),
        state: State { containers: vec![container], ..State::default() },
        addresses: Vec::new(),
        directory: "/t".into(),
    }
}

/// Serves in the background of the test's runtime; answers the port.
async fn serve(groups: Option<Groups>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lookup: Lookup = Arc::new(|id| (id == CONTAINER).then(view));
    tokio::spawn(Metadata::new(lookup, Clock::System, groups).serve(listener));
    port
}

async fn request(port: u16, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nhost: 169.254.170.2\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_container_reads_about_itself_and_its_task() {
    let port = serve(None).await;
    let (status, container) = request(port, &format!("GET /v4/{CONTAINER}")).await;
    assert_eq!((status, &container["ContainerARN"]), (200, &json!("arn:container")));
    let (status, task) = request(port, &format!("GET /v4/{CONTAINER}/task")).await;
    assert_eq!((status, &task["TaskARN"], &task["Containers"]), (200, &json!("arn:task"), &json!([container])));
    let (status, container) = request(port, &format!("GET /v3/{CONTAINER}")).await;
    assert_eq!((status, container.get("ContainerARN")), (200, None));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_json_string() {
    let port = serve(None).await;
    let (status, text) = request(port, "GET /v4/unknown/task").await;
    assert_eq!(status, 404);
    assert!(text.as_str().unwrap().starts_with("V4 task metadata handler: "), "{text}");
    assert!(text.as_str().unwrap().ends_with(": unknown"), "{text}");
    for (asked, expected) in
        [("GET /v2/credentials/x".to_owned(), 404), ("GET /".to_owned(), 404), (format!("PUT /v4/{CONTAINER}"), 405)]
    {
        assert_eq!(request(port, &asked).await.0, expected, "{asked}");
    }
}

#[tokio::test]
async fn a_task_that_asks_too_often_is_turned_away() {
    let port = serve(None).await;
    let mut turned_away = 0;
    for _ in 0..200 {
        turned_away += u32::from(request(port, &format!("GET /v4/{CONTAINER}")).await.0 == 429);
    }
    assert!(turned_away > 0);
}

/// A process in a control group of its own, both gone when this is dropped.
struct Running {
    groups: Groups,
    process: Child,
    path: String,
}

const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "blkio"];

impl Running {
    fn start() -> Self {
        let groups = Groups::new(Version::here().unwrap(), &format!("gantry-metadata-{}", std::process::id()));
        groups.create(TASK, TaskLimits { cpu: None, memory: None }).unwrap();
        let path = groups.container_path(TASK, &runtime_id());
        let process = Command::new("sleep").arg("1000").spawn().unwrap();
        for controller in CONTROLLERS {
            let group = groups.directory(controller, &path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("cgroup.procs"), process.id().to_string()).unwrap();
        }
        Self { groups, process, path }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for controller in CONTROLLERS {
            for ancestor in self.groups.directory(controller, &self.path).ancestors().take(2) {
                // Shared by controllers that are mounted together.
                let _ = fs::remove_dir(ancestor);
            }
        }
        self.groups.remove(TASK).unwrap();
        self.groups.remove_parent().unwrap();
    }
}

#[tokio::test]
async fn statistics_are_those_of_the_containers_control_group() {
    let running = Running::start();
    let port = serve(Some(running.groups.clone())).await;
    let (status, stats) = request(port, &format!("GET /v4/{CONTAINER}/stats")).await;
    assert_eq!(status, 200);
    assert_eq!((&stats["name"], &stats["id"]), (&json!("web"), &json!(runtime_id())));
    assert_eq!(stats["pids_stats"]["current"], 1);
    assert!(stats["memory_stats"]["stats"].as_object().is_some_and(|stats| !stats.is_empty()), "{stats}");
    assert!(stats["cpu_stats"]["system_cpu_usage"].as_u64().unwrap() > 0);
    let (status, all) = request(port, &format!("GET /v4/{CONTAINER}/task/stats")).await;
    assert_eq!(status, 200);
    assert_eq!(all[runtime_id()]["preread"], stats["read"]);
}

#[tokio::test]
async fn a_container_that_does_not_run_has_no_statistics() {
    let groups = Groups::new(Version::here().unwrap(), "gantry-metadata-none");
    let port = serve(Some(groups)).await;
    assert_eq!(request(port, &format!("GET /v4/{CONTAINER}/stats")).await, (200, Value::Null));
}
