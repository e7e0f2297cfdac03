use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use control::retention::{STOPPED_TASK_RETENTION, sweep};
use control::{Clock, Config, Control};
use futures_util::FutureExt as _;
use model::network::Vpc;
use model::task_definition::TaskDefinitionStatus;
use model::{NetworkInterface, Task, TaskDefinition, TaskId, TaskStatus};
use store::Next;
use store::log::memory::MemoryLog;

use crate::task_definition::{put_task, register};
use crate::world::World;

#[tokio::test]
async fn stopped_tasks_are_kept_for_an_hour_and_then_removed() {
    let mut world = World::new();
    let stopped = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Stopped);
    let running = put_task(&mut world, 2, "web", "f", 1, TaskStatus::Running);
    let rows: Vec<Task> = [stopped, running].iter().map(|id| Task::clone(world.txn.tasks.get(id).unwrap())).collect();

    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(world.now);
    let control = Control::open_with(Config::new(directory.path()), MemoryLog::new(), clock.clone()).await.unwrap();
    let put = control.store.write(|txn| {
        for row in rows {
            txn.put(interface_of(&row));
            txn.put(Task { stopped_at: (row.id == stopped).then_some(world.now), ..row });
        }
        Ok::<(), Infallible>(())
    });
    put.await.unwrap();

    clock.advance(STOPPED_TASK_RETENTION);
    sweep(&control).await.unwrap();
    assert_eq!(ids(&control), [stopped, running]);
    clock.advance(Duration::from_millis(1));
    sweep(&control).await.unwrap();
    assert_eq!(ids(&control), [running]);
    let left: Vec<TaskId> = control.store.view().interfaces.iter().filter_map(|interface| interface.task).collect();
    assert_eq!(left, [running], "whose node never told that it had let go");
}

/// As many as end when a large service is scaled in: those whose time is over go, and no commit is long.
#[tokio::test]
async fn many_stopped_tasks_are_removed_a_thousand_at_a_time() {
    const COUNT: u32 = 50_000;
    const LEFT: u32 = 20_500;
    let mut world = World::new();
    let id = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Stopped);
    let row = Task::clone(world.txn.tasks.get(&id).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(world.now);
    let control = Control::open_with(Config::new(directory.path()), MemoryLog::new(), clock.clone()).await.unwrap();
    let put = control.store.write(|txn| {
        for number in 0..COUNT {
            let stopped_at = Some(world.now.plus(Duration::from_millis(number.into())));
            txn.put(Task { id: TaskId(number.into()), stopped_at, ..row.clone() });
        }
        Ok::<(), Infallible>(())
    });
    put.await.unwrap();

    let mut commits = control.store.subscribe();
    clock.advance(STOPPED_TASK_RETENTION + Duration::from_millis((COUNT - LEFT).into()));
    sweep(&control).await.unwrap();
    let view = control.store.view();
    assert_eq!(view.tasks.len(), LEFT as usize);
    assert!(view.tasks.get(&TaskId((COUNT - LEFT).into())).is_some(), "its hour is just not over");
    let mut removed = Vec::new();
    while let Some(Next::Commit(commit)) = commits.next().now_or_never() {
        removed.push(commit.changes.tasks.len());
    }
    assert_eq!(removed.iter().sum::<usize>(), (COUNT - LEFT) as usize);
    assert!(removed.iter().all(|count| *count <= 1000), "{removed:?}");

    sweep(&control).await.unwrap();
    assert!(commits.next().now_or_never().is_none(), "nothing is due, so nothing is written");
}

fn interface_of(task: &Task) -> NetworkInterface {
    let subnet = Vpc::default_of(&task.scope).subnets[0].clone();
    NetworkInterface {
        scope: task.scope.clone(),
        id: format!("eni-{}", task.id),
        attachment_id: String::new(),
        task: Some(task.id),
        load_balancer: None,
        nat_gateway: None,
        subnet_id: subnet.id,
        vpc_id: subnet.vpc_id,
        zone: subnet.zone,
        address: subnet.network,
        mac: String::new(),
        security_groups: Vec::new(),
        created_at: task.created_at,
    }
}

#[tokio::test]
async fn a_deleted_definition_goes_by_itself() {
    let mut world = World::new();
    register(&mut world, "f");
    let row = TaskDefinition::clone(world.txn.task_definitions.iter().next().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(world.now);
    let control = Control::open_with(Config::new(directory.path()), MemoryLog::new(), clock).await.unwrap();
    let mut commits = control.store.subscribe();
    let put = control.store.write(|txn| {
        txn.put(TaskDefinition { status: TaskDefinitionStatus::DeleteInProgress, ..row });
        Ok::<(), Infallible>(())
    });
    put.await.unwrap();
    let gone = async {
        while !control.store.view().task_definitions.is_empty() {
            commits.next().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("no round came");
}

fn ids(control: &Arc<Control>) -> Vec<TaskId> {
    control.store.view().tasks.iter().map(|task| task.id).collect()
}
