//! Tasks of nodes that died (docs/decisions/0010): once a node's session has been gone for longer than a limit, its
//! tasks count for nothing and are asked to stop, so that they are replaced elsewhere.
//!
//! ```text
//! session up ◀─▶ down ─(limit)─▶ lost: the task is asked to stop ─▶ the node is back, and told so ─▶ STOPPED
//!                                                                └▶ the instance is deregistered ──▶ STOPPED
//! ```
//! Nothing is known of the task meanwhile: it keeps what it holds on its node. It is never counted again, for what was
//! asked to stop stays so.

use model::{StopCode, Timestamp};

use super::{ServicePlan, ServiceTask, Stop, event};

/// Neither protection nor the percentages hold a task that is gone already. Those that are more than one plan may stop
/// count as before until the next one; meanwhile nothing else can be stopped for relying on them.
pub(super) fn stop(plan: &mut ServicePlan, tasks: &[ServiceTask<'_>], now: Timestamp) {
    let lost = tasks.iter().filter(|task| task.is_lost(now)).take(plan.stops_left());
    let lost: Vec<&ServiceTask<'_>> = lost.collect();
    for task in &lost {
        let reason = event::host_stopped(task.site.node.expect("a lost task has a node"));
        plan.stop.push(Stop { task: task.id, code: StopCode::TerminationNotice, reason });
    }
    plan.say_stopped(&lost);
}

/// When the next node counts as lost.
pub(super) fn next(tasks: &[ServiceTask<'_>]) -> impl Iterator<Item = Timestamp> {
    tasks.iter().filter(|task| task.is_alive()).filter_map(|task| task.site.lost_at)
}
