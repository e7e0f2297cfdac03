//! The protection of a task from the model to the wire.

use model::{Arn, Task, Timestamp};
use wire::ecs;

use super::time;

/// A protection that has expired is none.
pub fn to_wire(task: &Task, now: Timestamp) -> ecs::ProtectedTask {
    let until = task.protected_until.filter(|until| now < *until);
    ecs::ProtectedTask {
        task_arn: Some(Arn::task_text(&task.scope, &task.cluster, task.id)),
        protection_enabled: Some(until.is_some()),
        expiration_date: until.map(time),
    }
}
