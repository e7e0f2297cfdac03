//! The protection that a task of this node asks for itself, answered as UpdateTaskProtection and GetTaskProtection are.

use model::link::{FromControl, ProtectionChange, ProtectionOutcome, ProtectionQuestion};
use model::{Arn, NodeId, Task, Timestamp};
use wire::ecs::{self, Request, Response};
use wire::error::Failure;

use crate::{Caller, Control};

/// Once it is durable.
pub(super) async fn answer(control: &Control, node: NodeId, question: ProtectionQuestion) -> FromControl {
    let task = control.store.view().tasks.get(&question.task).cloned();
    // A node speaks for its own tasks only.
    let outcome = match task.filter(|task| task.node == Some(node)) {
        Some(task) => ask(control, &task, question.change).await,
        None => ProtectionOutcome::Failure { reason: "MISSING".to_owned(), detail: None },
    };
    FromControl::TaskProtection { question: question.number, outcome }
}

async fn ask(control: &Control, task: &Task, change: Option<ProtectionChange>) -> ProtectionOutcome {
    let caller = Caller::root(task.scope.clone(), "");
    let (protected, failures) = match control.call_ecs(&caller, request(task, change)).await {
        Ok(Response::GetTaskProtection(answer)) => (answer.protected_tasks, answer.failures),
        Ok(Response::UpdateTaskProtection(answer)) => (answer.protected_tasks, answer.failures),
        Ok(_) => unreachable!("each request has its own answer"),
        Err(error) => return failed(control, error.into()),
    };
    if let Some(failure) = first(failures) {
        return ProtectionOutcome::Failure { reason: failure.reason.unwrap_or_default(), detail: failure.detail };
    }
    let until = first(protected).and_then(|protected| protected.expiration_date);
    ProtectionOutcome::Protection { until: until.map(|until| Timestamp(until.0)) }
}

fn request(task: &Task, change: Option<ProtectionChange>) -> Request {
    let cluster = task.cluster.clone();
    let tasks = vec![Arn::task_text(&task.scope, &task.cluster, task.id)];
    let Some(ProtectionChange { enabled, expires_in_minutes }) = change else {
        return Request::GetTaskProtection(ecs::GetTaskProtectionRequest { cluster, tasks: Some(tasks) });
    };
    // What is out of bounds stays so.
    let minutes = |minutes: i64| i32::try_from(minutes).unwrap_or(if minutes < 0 { i32::MIN } else { i32::MAX });
    Request::UpdateTaskProtection(ecs::UpdateTaskProtectionRequest {
        cluster,
        tasks,
        protection_enabled: enabled,
        expires_in_minutes: expires_in_minutes.map(minutes),
    })
}

/// Of the one task that was asked for.
fn first<T>(told: Option<Vec<T>>) -> Option<T> {
    told?.into_iter().next()
}

fn failed(control: &Control, failure: Failure) -> ProtectionOutcome {
    let Failure { status, code, message, .. } = failure;
    ProtectionOutcome::Error { status, code, message, request_id: control.new_uuid() }
}
