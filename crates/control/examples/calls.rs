//! How many ECS calls the operations themselves make in a second of one core's time, without HTTP and signatures:
//! `cargo run --release -p control --example calls [nodes]`. State in memory, one caller after the other; what is
//! measured is the time on the core, so that a busy machine says the same.

use std::time::{Duration, Instant};

use control::{Caller, Clock, Config, Control};
use model::{
    Attribute, ContainerInstance, ContainerInstanceId, CpuUnits, InstanceStatus, MemoryMib, Node, NodeId, Resources,
    Scope, Timestamp, capability,
};
use wire::ecs;

const SPAN: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let nodes = std::env::args().nth(1).map_or(100, |text| text.parse().expect("a number of nodes"));
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config::new(directory.path());
    let log = store::log::memory::MemoryLog::new();
    let control = Control::open_with(config, log, Clock::System).await.expect("opens");
    let caller = Caller::root(Scope::new("000000000000", "us-east-1"), "AKIA");
    prepare(&control, &caller, nodes).await;
    println!("{nodes} nodes");

    let run = || ecs::RunTaskRequest { task_definition: "job".to_owned(), ..Default::default() };
    let mut tasks = Vec::new();
    let rate = measure(async |_| {
        let answer = call(&control, &caller, ecs::Request::RunTask(run())).await;
        let ecs::Response::RunTask(answer) = answer else { unreachable!() };
        let task = answer.tasks.unwrap_or_default().pop().expect("there is room");
        tasks.push(task.task_arn.expect("a task has an ARN"));
    });
    println!("RunTask          {:>9.0}/s", rate.await);

    let rate = measure(async |index| {
        let tasks = vec![tasks[index % tasks.len()].clone()];
        call(&control, &caller, ecs::Request::DescribeTasks(ecs::DescribeTasksRequest { tasks, ..Default::default() }))
            .await;
    });
    println!("DescribeTasks    {:>9.0}/s", rate.await);

    let rate = measure(async |_| {
        call(&control, &caller, ecs::Request::ListTasks(ecs::ListTasksRequest::default())).await;
    });
    println!("ListTasks of 100 {:>9.0}/s", rate.await);

    let rate = measure(async |index| {
        let request = ecs::StopTaskRequest { task: tasks[index % tasks.len()].clone(), ..Default::default() };
        call(&control, &caller, ecs::Request::StopTask(request)).await;
    });
    println!("StopTask         {:>9.0}/s", rate.await);
}

async fn measure(mut call: impl AsyncFnMut(usize)) -> f64 {
    let (start, before) = (Instant::now(), time_on_core());
    let mut calls = 0;
    while start.elapsed() < SPAN {
        call(calls).await;
        calls += 1;
    }
    calls as f64 / (time_on_core() - before).as_secs_f64()
}

/// Of this thread.
fn time_on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

async fn call(control: &Control, caller: &Caller, request: ecs::Request) -> ecs::Response {
    let response = control.call_ecs(caller, request).await.unwrap_or_else(|error| panic!("{error:?}"));
    let mut json = Vec::new();
    wire::json::write(response.structure(), &mut json);
    std::hint::black_box(json);
    response
}

async fn prepare(control: &Control, caller: &Caller, nodes: u32) {
    let cluster = ecs::CreateClusterRequest::default();
    call(control, caller, ecs::Request::CreateCluster(cluster)).await;
    let container = ecs::ContainerDefinition {
        name: Some("main".to_owned()),
        image: Some("busybox".to_owned()),
        memory: Some(16),
        ..Default::default()
    };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: "job".to_owned(),
        container_definitions: vec![container],
        ..Default::default()
    };
    call(control, caller, ecs::Request::RegisterTaskDefinition(definition)).await;
    let scope = caller.scope.clone();
    let put = control.store.write(|txn| {
        for number in 0..u128::from(nodes) {
            txn.put(node(number, &scope));
            txn.put(instance(number, &scope));
        }
        Ok::<_, ()>(())
    });
    put.await.expect("nodes are written");
}

fn node(number: u128, scope: &Scope) -> Node {
    let total = Resources { cpu: CpuUnits(1 << 20), memory: MemoryMib(1 << 24), ..Resources::default() };
    Node {
        id: NodeId(number),
        scope: scope.clone(),
        name: format!("node-{number}"),
        zone: format!("{}a", scope.region),
        offers_fargate: true,
        free: total.clone(),
        total,
        attributes: capability::ALL.map(|name| Attribute { name: name.to_owned(), value: None }).into(),
        address: None,
        agent_version: "1.0.0".to_owned(),
        runtime_version: "none".to_owned(),
        connected: true,
        disconnected_at: None,
        boot_id: "boot".to_owned(),
        container_instance: Some(ContainerInstanceId(number)),
        registered_at: Timestamp(0),
        changes: 0,
    }
}

fn instance(number: u128, scope: &Scope) -> ContainerInstance {
    ContainerInstance {
        id: ContainerInstanceId(number),
        scope: scope.clone(),
        cluster: "default".to_owned(),
        node: NodeId(number),
        ec2_instance_id: format!("i-{number:017x}"),
        status: InstanceStatus::Active,
        status_reason: None,
        custom_attributes: vec![],
        tags: vec![],
        registered_at: Timestamp(0),
        inactive_at: None,
        version: 1,
    }
}
