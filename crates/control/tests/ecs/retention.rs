use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use control::retention::{STOPPED_TASK_RETENTION, sweep};
use control::{Clock, Config, Control};
use model::{Task, TaskId, TaskStatus};
use store::log::memory::MemoryLog;

use crate::task_definition::put_task;
use crate::world::World;

#[tokio::test]
async fn stopped_tasks_are_kept_for_an_hour_and_then_removed() {
    let mut world = World::new();
    let stopped = put_task(&mut world, 1, "web", "f", 1, TaskStatus::Stopped);
    let running = put_task(&mut world, 2, "web", "f", 1, TaskStatus::Running);
    let rows: Vec<Task> = [stopped, running].iter().map(|id| Task::clone(&world.txn.tasks.get(id).unwrap())).collect();

    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual(world.now);
    let control = Control::open_with(Config::new(directory.path()), MemoryLog::new(), clock.clone()).await.unwrap();
    let put = control.store.write(|txn| {
        for row in rows {
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
}

fn ids(control: &Arc<Control>) -> Vec<TaskId> {
    control.store.view().tasks.iter().map(|task| task.id).collect()
}
