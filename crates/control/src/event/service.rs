//! ECS Service Action: what a service says, by name. What has none is for people only.

use model::{Arn, ServiceEvent};
use serde_json::{Map, Value, json};
use store::RowChange;

use super::{Kind, Told, detail};

pub(super) fn event(change: &RowChange<ServiceEvent>) -> Option<Told> {
    let row = change.after.as_ref().filter(|_| change.before.is_none())?;
    let action = row.action.as_ref()?;
    let mut detail = Map::new();
    let mut put = |name: &str, value: Value| detail.insert(name.to_owned(), value);
    put("eventType", action.name.level().into());
    put("eventName", action.name.as_str().into());
    put("clusterArn", Arn::cluster(&row.scope, &row.cluster).to_string().into());
    if !action.capacity_providers.is_empty() {
        let arn = |name: &String| Arn::capacity_provider(&row.scope, name).to_string();
        put("capacityProviderArns", json!(action.capacity_providers.iter().map(arn).collect::<Vec<_>>()));
    }
    if !action.container_instances.is_empty() {
        let arn = |id| Arn::container_instance(&row.scope, &row.cluster, id).to_string();
        put("containerInstanceArns", json!(action.container_instances.iter().copied().map(arn).collect::<Vec<_>>()));
    }
    if let Some(reason) = &action.reason {
        put("reason", reason.as_str().into());
    }
    put("createdAt", detail::moment(row.created_at).into());
    let resource = Arn::service(&row.scope, &row.cluster, &row.service).to_string();
    Some(Told { kind: Kind::Service, scope: row.scope.clone(), resource, detail })
}
