//! What waits to be sent to the control plane: never more than the newest report of each status of each task.
//!
//! Reports of one task are sent in the order of their statuses, which is that of their sequences, so that the control
//! plane sees a task RUNNING before it sees it STOPPED.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::TaskId;
use model::link::{ReportedStatus, TaskReport};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Outbox {
    reports: Mutex<BTreeMap<(TaskId, ReportedStatus), TaskReport>>,
    filled: Notify,
}

impl Outbox {
    pub fn put_report(&self, report: TaskReport) {
        self.reports().insert((report.task, report.status), report);
        self.filled.notify_one();
    }

    /// For a session that begins: what was waiting is out of date.
    pub fn replace_reports(&self, reports: Vec<TaskReport>) {
        *self.reports() = reports.into_iter().map(|report| ((report.task, report.status), report)).collect();
        self.filled.notify_one();
    }

    /// Takes at most `count` reports; returns once there is one.
    pub async fn take(&self, count: usize) -> Vec<TaskReport> {
        loop {
            let reports = self.take_now(count);
            if !reports.is_empty() {
                return reports;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self, count: usize) -> Vec<TaskReport> {
        let mut reports = self.reports();
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, report)) = reports.pop_first()
        {
            taken.push(report);
        }
        taken
    }

    fn reports(&self) -> MutexGuard<'_, BTreeMap<(TaskId, ReportedStatus), TaskReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
