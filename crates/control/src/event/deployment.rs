//! ECS Deployment State Change: a deployment of a service begins, is complete, has failed, or begins anew.

use model::service::Rollout;
use model::task_set::Controller;
use model::{Arn, Deployment, Service};
use serde_json::{Map, Value};
use store::RowChange;

use super::{Kind, Told, detail};

pub(super) fn events(change: &RowChange<Service>) -> impl Iterator<Item = Told> {
    let before = change.before.iter().flat_map(|row| &row.deployments);
    let known: Vec<(&str, &str)> = before.map(|row| (row.id.as_str(), row.rollout_reason.as_str())).collect();
    // A task set is nobody's deployment.
    let service = change.after.iter().filter(|service| service.controller == Controller::Ecs);
    let now = service.flat_map(|service| service.deployments.iter().map(move |row| (service, row)));
    // The reason names the deployment and its state, so that one that begins anew says so.
    now.filter(move |(_, row)| !known.contains(&(row.id.as_str(), row.rollout_reason.as_str())))
        .map(|(service, row)| event(service, row))
}

fn event(service: &Service, row: &Deployment) -> Told {
    let (level, name) = match row.rollout {
        Rollout::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        Rollout::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
        Rollout::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
    };
    let mut detail = Map::new();
    let mut put = |name: &str, value: Value| detail.insert(name.to_owned(), value);
    put("eventType", level.into());
    put("eventName", name.into());
    put("deploymentId", row.id.as_str().into());
    put("updatedAt", detail::moment(row.updated_at).into());
    put("reason", row.rollout_reason.as_str().into());
    let resource = Arn::service(&service.scope, &service.cluster, &service.name).to_string();
    Told { kind: Kind::Deployment, scope: service.scope.clone(), resource, detail }
}
