use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use control::retention::{STOPPED_TASK_RETENTION, sweep};
use control::{Clock, Config, Control};
use model::network::Vpc;
use model::task_definition::TaskDefinitionStatus;
use model::{NetworkInterface, Task, TaskDefinition, TaskId, TaskStatus};
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

fn interface_of(task: &Task) -> NetworkInterface {
    let subnet = Vpc::default_of(&task.scope).subnets[0].clone();
    NetworkInterface {
        scope: task.scope.clone(),
        id: format!("eni-{}", task.id),
        attachment_id: String::new(),
        task: Some(task.id),
        load_balancer: None,
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
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("no round came");
}

fn ids(control: &Arc<Control>) -> Vec<TaskId> {
    control.store.view().tasks.iter().map(|task| task.id).collect()
}
