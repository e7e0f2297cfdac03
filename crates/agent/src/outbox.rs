//! What waits to be sent to the control plane: never more than the newest report of each status of each task.
//!
//! Reports of one task are sent in the order of their statuses, which is that of their sequences, so that the control
//! plane sees a task RUNNING before it sees it STOPPED.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::TaskId;
use model::link::{ReportedStatus, TaskReport};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long news of a task that is still PENDING may wait for more: most often RUNNING follows at once, and both then
/// cost one message and one commit. Anything else is sent at once, and takes what waits with it.
const PENDING_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: BTreeMap<(TaskId, ReportedStatus), TaskReport>,
    /// When to send them at the latest; `None` while there are none.
    due: Option<Instant>,
}

impl Waiting {
    fn put(&mut self, report: TaskReport) {
        let pause = if report.status == ReportedStatus::Pending { PENDING_PAUSE } else { Duration::ZERO };
        let due = Instant::now() + pause;
        self.due = Some(self.due.map_or(due, |at| at.min(due)));
        self.reports.insert((report.task, report.status), report);
    }
}

impl Outbox {
    pub fn put_report(&self, report: TaskReport) {
        self.waiting().put(report);
        self.filled.notify_one();
    }

    /// For a session that begins: what was waiting is out of date.
    pub fn replace_reports(&self, reports: Vec<TaskReport>) {
        let mut waiting = Waiting::default();
        reports.into_iter().for_each(|report| waiting.put(report));
        *self.waiting() = waiting;
        self.filled.notify_one();
    }

    /// Takes at most `count` reports; returns once there is one that is due.
    pub async fn take(&self, count: usize) -> Vec<TaskReport> {
        loop {
            let due = self.waiting().due;
            match due {
                Some(at) if at <= Instant::now() => return self.take_now(count),
                Some(at) => {
                    // Late or early, the next look decides.
                    let _ = timeout_at(at, self.filled.notified()).await;
                }
                None => self.filled.notified().await,
            }
        }
    }

    fn take_now(&self, count: usize) -> Vec<TaskReport> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((_, report)) = waiting.reports.pop_first()
        {
            taken.push(report);
        }
        if waiting.reports.is_empty() {
            waiting.due = None;
        }
        taken
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn pending_waits_a_moment_for_what_follows_and_nothing_else_does() {
        let outbox = Outbox::default();
        let start = Instant::now();
        outbox.put_report(report(1, ReportedStatus::Pending, 1));
        assert_eq!(outbox.take(9).await.len(), 1);
        assert!(start.elapsed() >= PENDING_PAUSE);
        outbox.put_report(report(2, ReportedStatus::Pending, 1));
        outbox.put_report(report(3, ReportedStatus::Running, 2));
        let start = Instant::now();
        assert_eq!(outbox.take(9).await.len(), 2);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
