//! ECS Task State Change: any change of a task that raises its version.

use model::{Arn, Task, Timestamp};
use serde_json::{Value, json};
use store::{RowChange, Tables};

use super::{Kind, Told, detail};
use crate::ecs::convert::task::to_wire;

/// What EventBridge calls an attachment that the API calls ElasticNetworkInterface (ecs-semantics §1.6).
const INTERFACE: &str = "eni";

pub(super) fn event(change: &RowChange<Task>, tables: &Tables, at: Timestamp) -> Option<Told> {
    let task = change.after.as_ref()?;
    if change.before.as_ref().is_some_and(|before| before.version == task.version) {
        return None;
    }
    let mut detail = detail::of(&to_wire(tables, task, false));
    detail.remove("tags");
    detail.insert("updatedAt".to_owned(), detail::moment(at).into());
    if let Some(Value::Array(attachments)) = detail.get_mut("attachments") {
        attachments.iter_mut().for_each(|attachment| attachment["type"] = json!(INTERFACE));
    }
    let resource = Arn::task_text(&task.scope, &task.cluster, task.id);
    Some(Told { kind: Kind::Task, scope: task.scope.clone(), resource, detail })
}
