//! The metadata endpoint over a real socket, with statistics from real control groups. Needs root.

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;

use agent::clock::Clock;
use agent::driver::TaskLimits;
use agent::metadata::task_protection::Question;
use agent::metadata::{Lookup, Metadata, View};
use agent::runtime::cgroup::{Groups, Version};
use agent::task::RuntimeId;
use agent::task::state::{ContainerState, Phase, State};
use model::link::ProtectionOutcome;
use model::{TaskId, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

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
    let (ask, questions) = mpsc::channel(1);
    tokio::spawn(answer_all(questions));
    tokio::spawn(Metadata::new(lookup, ask, Clock::System, groups).serve(listener));
    port
}

/// Plays a control plane that grants what is asked for, and knows of nothing before.
async fn answer_all(mut questions: mpsc::Receiver<Question>) {
    while let Some(Question { task, change, answer }) = questions.recv().await {
        assert_eq!(task, TASK);
        let until = change.filter(|change| change.enabled).and_then(|change| change.expires_in_minutes);
        answer.send(ProtectionOutcome::Protection { until: until.map(|minutes| Timestamp(minutes * 60_000)) }).unwrap();
    }
}

async fn request(port: u16, request: &str) -> (u16, Value) {
    send(port, request, &["connection: close"], b"").await
}

async fn put(port: u16, path: &str, body: &[u8]) -> (u16, Value) {
    let length = format!("content-length: {}", body.len());
    send(port, &format!("PUT {path}"), &["connection: close", &length], body).await
}

async fn send(port: u16, request: &str, headers: &[&str], body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: 169.254.170.2\r\n{}\r\n\r\n", headers.join("\r\n"));
    stream.write_all(head.as_bytes()).await.unwrap();
    // Who is not listened to any longer hears the answer all the same.
    let _ = stream.write_all(body).await;
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
async fn a_task_reads_and_changes_its_protection() {
    let port = serve(None).await;
    let path = format!("/api/{CONTAINER}/task-protection/v1/state");
    let protection = |until: Value| {
        let protection = json!({"ExpirationDate": until, "ProtectionEnabled": !until.is_null(), "TaskArn": "arn:task"});
        json!({"protection": protection})
    };
    assert_eq!(request(port, &format!("GET {path}")).await, (200, protection(Value::Null)));
    let body = br#"{"ProtectionEnabled":true,"ExpiresInMinutes":1}"#;
    assert_eq!(put(port, &path, body).await, (200, protection(json!("1970-01-01T00:01:00.000Z"))));
    assert_eq!(put(port, &path, br#"{"ProtectionEnabled":false}"#).await, (200, protection(Value::Null)));
    assert_eq!(request(port, &format!("POST {path}")).await.0, 405);
    let unknown =
        json!({"error": {"Code": "ResourceNotFoundException", "Message": "Failed to find a task for the request"}});
    for asked in [
        request(port, "GET /api/x/task-protection/v1/state").await,
        put(port, "/api/x/task-protection/v1/state", body).await,
    ] {
        assert_eq!(asked, (404, unknown.clone()));
    }
}

#[tokio::test]
async fn hostile_bodies_end_with_their_own_connection() {
    let port = serve(None).await;
    let path = format!("/api/{CONTAINER}/task-protection/v1/state");
    let nested = "[".repeat(4000);
    let long = format!(r#"{{"ProtectionEnabled":true,"x":"{}"}}"#, "x".repeat(1 << 20));
    for body in [b"".as_slice(), b"{", nested.as_bytes(), long.as_bytes(), &[0xff; 64]] {
        let (status, answer) = put(port, &path, body).await;
        assert_eq!((status, &answer["error"]["Code"]), (400, &json!("InvalidParameterException")));
    }
    // What was announced does not come, for as long as is waited for it.
    let (status, _) = send(port, &format!("PUT {path}"), &["connection: close", "content-length: 100"], b"{").await;
    assert_eq!(status, 400);
    let (status, _) = put(port, &path, br#"{"ProtectionEnabled":false}"#).await;
    assert_eq!(status, 200, "others are served on");
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
