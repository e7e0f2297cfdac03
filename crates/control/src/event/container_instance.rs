//! ECS Container Instance State Change: registered or gone, another status, other attributes, its agent there or away,
//! resources taken or given back.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{ContainerInstance, ContainerInstanceId, InstanceStatus, Node, Timestamp};
use store::{Changes, RowChange, Tables};

use super::{Kind, Told, detail};
use crate::ecs::convert::container_instance::{Detail, arn, to_wire};

/// One for each instance, whatever of it the commit changed.
pub(super) fn events(changes: &Changes, tables: &Tables, at: Timestamp) -> impl Iterator<Item = Told> {
    let own = changes.container_instances.iter().filter(|(_, change)| changes_version(change)).map(|(id, _)| *id);
    let of_nodes = changes.nodes.values().filter(|change| shows(change));
    let of_nodes = of_nodes.filter_map(|change| change.after.as_ref()?.container_instance);
    let ids: BTreeSet<ContainerInstanceId> = own.chain(of_nodes).collect();
    ids.into_iter().filter_map(move |id| event(changes, tables, id, at))
}

fn changes_version(change: &RowChange<ContainerInstance>) -> bool {
    let version = |row: &Option<Arc<ContainerInstance>>| row.as_ref().map(|row| row.version);
    change.after.is_some() && version(&change.before) != version(&change.after)
}

/// Whether an instance of the node is shown otherwise than before. A new node's instance is new too.
fn shows(change: &RowChange<Node>) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    before.connected != after.connected
        || before.free != after.free
        || before.total != after.total
        || before.attributes != after.attributes
        || before.agent_version != after.agent_version
        || before.runtime_version != after.runtime_version
}

fn event(changes: &Changes, tables: &Tables, id: ContainerInstanceId, at: Timestamp) -> Option<Told> {
    let changed = changes.container_instances.get(&id).and_then(|change| change.after.as_ref());
    let instance = changed.or_else(|| tables.container_instances.get(&id))?;
    // What its node does once it is gone is not its own any more.
    if instance.status == InstanceStatus::Inactive && changed.is_none() {
        return None;
    }
    let mut detail = detail::of(&to_wire(tables, instance, Detail::default()));
    for name in ["tags", "runningTasksCount", "pendingTasksCount"] {
        detail.remove(name);
    }
    detail.insert("clusterArn".to_owned(), model::Arn::cluster(&instance.scope, &instance.cluster).to_string().into());
    detail.insert("updatedAt".to_owned(), detail::moment(at).into());
    Some(Told { kind: Kind::ContainerInstance, scope: instance.scope.clone(), resource: arn(instance), detail })
}
