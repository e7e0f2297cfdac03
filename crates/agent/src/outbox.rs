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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(task: u128, status: ReportedStatus, sequence: u64) -> TaskReport {
        TaskReport {
            task: TaskId(task),
            sequence,
            status,
            containers: Vec::new(),
            started_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            interface_attached: false,
            failure: None,
        }
    }

    fn sequences(outbox: &Outbox, count: usize) -> Vec<u64> {
        outbox.take_now(count).iter().map(|report| report.sequence).collect()
    }

    #[test]
    fn the_newest_of_each_status_in_their_order() {
        let outbox = Outbox::default();
        outbox.put_report(report(1, ReportedStatus::Running, 2));
        outbox.put_report(report(1, ReportedStatus::Running, 3));
        outbox.put_report(report(1, ReportedStatus::Stopped, 4));
        outbox.put_report(report(1, ReportedStatus::Pending, 1));
        assert_eq!(sequences(&outbox, 2), [1, 3]);
        assert_eq!(sequences(&outbox, 2), [4]);
        assert!(sequences(&outbox, 2).is_empty());
    }

    #[test]
    fn a_session_begins_with_what_is_and_not_with_what_waited() {
        let outbox = Outbox::default();
        outbox.put_report(report(1, ReportedStatus::Running, 1));
        outbox.replace_reports(vec![report(1, ReportedStatus::Stopped, 2), report(2, ReportedStatus::Pending, 3)]);
        assert_eq!(sequences(&outbox, 9), [2, 3]);
    }
}
