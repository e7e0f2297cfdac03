//! The end of every task before the end of the process: what `gantry down --tasks` asks for.
//!
//! Services rest from then on, so that what is stopped is not replaced; what callers start meanwhile is stopped too.
//! None of it is kept: the next process takes services up again.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{DesiredStatus, StopCode, Task, TaskId};
use serde::{Deserialize, Serialize};
use store::{Next, Tables, TaskListing, WriteError};
use tokio::time::{Instant, timeout_at};

use crate::Control;

/// Where the command line asks for it, again and again until no task is left.
pub const STOP_TASKS_PATH: &str = "/gantry/stop-tasks";
/// How long one call waits.
pub(crate) const STOP_TASKS_WAIT: Duration = Duration::from_secs(5);

const REASON: &str = "gantry down";

/// What a call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTasks {
    /// Tasks that it asked to stop.
    pub asked: usize,
    /// Tasks that were not yet STOPPED at its end.
    pub left: usize,
}

impl Control {
    /// Lets services rest, asks every task to stop, and answers when none is left or when `wait` is over.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn stop_tasks(&self, wait: Duration) -> Result<StopTasks, WriteError<Infallible>> {
        self.services_rest.store(true, Ordering::Release);
        let mut commits = self.store.subscribe();
        let deadline = Instant::now() + wait;
        let mut asked = 0;
        loop {
            asked += self.ask_to_stop().await?;
            let left = left(&self.store.view());
            if left == 0 {
                return Ok(StopTasks { asked, left });
            }
            match timeout_at(deadline, commits.next()).await {
                Ok(Next::Commit(_) | Next::Lagged) => {}
                Ok(Next::Closed) | Err(_) => return Ok(StopTasks { asked, left }),
            }
        }
    }

    async fn ask_to_stop(&self) -> Result<usize, WriteError<Infallible>> {
        if running(&self.store.view()).next().is_none() {
            return Ok(0);
        }
        let now = self.now();
        let asked = self.store.write(|txn| {
            let ids: Vec<TaskId> = running(txn).collect();
            for id in &ids {
                txn.update::<Task, _>(id, |task| task.stop(StopCode::UserInitiated, REASON, now));
            }
            Ok(ids.len())
        });
        Ok(asked.await?.0)
    }
}

/// Tasks that are to run, of every account and region.
fn running(tables: &Tables) -> impl Iterator<Item = TaskId> {
    let listed = |cluster: &model::Cluster| {
        tables.tasks_listed(&cluster.scope, &cluster.name, DesiredStatus::Running, TaskListing::All, None)
    };
    tables.clusters.iter().flat_map(move |cluster| listed(cluster)).map(|task| task.id)
}

/// How many tasks nodes still hold something of.
fn left(tables: &Tables) -> usize {
    tables.nodes.iter().map(|node| tables.count_tasks_on_node(node.id)).sum()
}
